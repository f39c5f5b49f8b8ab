//! `oci_sd_configs`: the instances of compartments of Oracle Cloud Infrastructure.

mod signer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, OciSdConfig};
use ferula_go::url::{path_escape, query_escape};
use ferula_model::LabelSet;
use serde::de::DeserializeOwned;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port, joined, sanitized};
use crate::json::{Json, answers};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use signer::Signer;

const SEPARATOR: &str = ",";
/// No tenancy has this many pages; stops an API that always names another page.
const PAGES_MAX: u32 = 10_000;
/// No tenancy has this many compartments.
const COMPARTMENTS_MAX: usize = 10_000;

pub(crate) struct Oci {
    section: OciSdConfig,
    api: ApiClient,
    signer: Signer,
    identity: String,
    core: String,
}

answers! { "camelCase":
    Compartment { id: String, lifecycle_state: String, }
    Instance {
        id: String,
        compartment_id: String,
        display_name: String,
        lifecycle_state: String,
        shape: String,
        availability_domain: String,
        fault_domain: String,
        region: String,
        image_id: String,
        freeform_tags: BTreeMap<String, String>,
        defined_tags: BTreeMap<String, BTreeMap<String, Json>>,
    }
    Attachment { vnic_id: String, lifecycle_state: String, }
    Vnic {
        id: String,
        is_primary: bool,
        private_ip: String,
        public_ip: String,
        ipv6_addresses: Vec<String>,
        hostname_label: String,
    }
    ErrorAnswer { code: String, message: String, }
}

impl Refresh for Oci {
    type Section = OciSdConfig;

    const MECHANISM: &'static str = "oci";

    fn sections(configs: &DiscoveryConfigs) -> Vec<OciSdConfig> {
        configs.oci_sd_configs.clone()
    }

    fn interval(section: &OciSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: OciSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        let signer = Signer::of(&section, context)?;
        let url = |service: &str| {
            context.service_url(&format!("https://{service}.{}.oraclecloud.com", section.region))
        };
        Ok(Oci { api, signer, identity: url("identity"), core: url("iaas"), section })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let compartments = match &self.section.compartments[..] {
            [] => self.compartments().await?,
            named => named.to_vec(),
        };
        let mut targets = Vec::new();
        for compartment in &compartments {
            let query = format!("compartmentId={}&limit=100", query_escape(compartment));
            let url = format!("{}/20160918/instances?{query}", self.core);
            let instances: Result<Vec<Instance>, _> = self.list(&url).await;
            let instances = instances.map_err(|error| {
                error.within(format!("listing OCI instances in compartment {compartment}"))
            })?;
            for instance in
                instances.iter().filter(|one| !one.id.is_empty() && !one.compartment_id.is_empty())
            {
                match self.primary_vnic(instance).await {
                    Ok(vnic) => targets.extend(vnic.and_then(|vnic| self.labels(instance, &vnic))),
                    // While the service is down, nothing is known about any instance.
                    Err(
                        error @ (RefreshError::Request(_) | RefreshError::Timeout(_) | RefreshError::Body(_)),
                    ) => {
                        return Err(error);
                    }
                    Err(error) => ferula_telemetry::warn!(
                        "OCI SD failed to resolve VNIC IPs, skipping instance",
                        discovery = Self::MECHANISM,
                        instance_id = instance.id,
                        err = error
                    ),
                }
            }
        }
        Ok(vec![TargetGroup::of_targets("OCI", targets)])
    }
}

impl Oci {
    async fn page<T: DeserializeOwned>(&self, url: &str) -> Result<(T, String), RefreshError> {
        let request = self.signer.sign(ferula_http_client::Request::get(url)?, url)?;
        let answer = self.api.send(request).await?;
        if !answer.status.is_success() {
            let said: ErrorAnswer = answer.json().unwrap_or_default();
            let status = answer.status_text;
            let text = format!("Error returned by service: {status} {} {}", said.code, said.message);
            return Err(RefreshError::Answer(text.trim().to_owned()));
        }
        let next = answer.header("opc-next-page").to_owned();
        Ok((answer.json()?, next))
    }

    async fn list<T: DeserializeOwned>(&self, url: &str) -> Result<Vec<T>, RefreshError> {
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let (page, token): (Vec<T>, String) = self.page(&format!("{url}{next}")).await?;
            all.extend(page);
            if token.is_empty() {
                break;
            }
            next = format!("&page={}", query_escape(&token));
        }
        Ok(all)
    }

    /// The tenancy and all active compartments below it. Compartments that may not be listed are skipped.
    async fn compartments(&self) -> Result<Vec<String>, RefreshError> {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut all = Vec::new();
        let mut queue = VecDeque::from([self.section.tenancy.clone()]);
        while let Some(compartment) = queue.pop_front().filter(|_| all.len() < COMPARTMENTS_MAX) {
            if !seen.insert(compartment.clone()) {
                continue;
            }
            let query = "accessLevel=ACCESSIBLE&compartmentIdInSubtree=false&limit=100";
            let id = query_escape(&compartment);
            let url = format!("{}/20160918/compartments?compartmentId={id}&{query}", self.identity);
            match self.list::<Compartment>(&url).await {
                Ok(children) => {
                    let active = children.into_iter().filter(|child| child.lifecycle_state == "ACTIVE");
                    queue.extend(active.map(|child| child.id).filter(|id| !id.is_empty()));
                }
                Err(
                    error @ (RefreshError::Request(_) | RefreshError::Timeout(_) | RefreshError::Body(_)),
                ) => {
                    return Err(error.within("oci_sd: failed to list compartments"));
                }
                Err(error) => ferula_telemetry::warn!(
                    "OCI SD failed to list child compartments, skipping subtree",
                    discovery = Self::MECHANISM,
                    compartment_id = compartment,
                    err = error
                ),
            }
            all.push(compartment);
        }
        Ok(all)
    }

    async fn primary_vnic(&self, instance: &Instance) -> Result<Option<Vnic>, RefreshError> {
        let (compartment, id) = (query_escape(&instance.compartment_id), query_escape(&instance.id));
        let query = format!("compartmentId={compartment}&instanceId={id}&limit=100");
        let attachments: Vec<Attachment> =
            self.list(&format!("{}/20160918/vnicAttachments?{query}", self.core)).await?;
        for attachment in attachments.iter().filter(|one| one.lifecycle_state == "ATTACHED") {
            let id = path_escape(&attachment.vnic_id);
            let (vnic, _): (Vnic, String) = self.page(&format!("{}/20160918/vnics/{id}", self.core)).await?;
            if vnic.is_primary {
                return Ok(Some(vnic));
            }
        }
        Ok(None)
    }

    /// `None` for an instance without an address.
    fn labels(&self, instance: &Instance, vnic: &Vnic) -> Option<LabelSet> {
        let mut ipv6: Vec<&str> = vnic.ipv6_addresses.iter().map(String::as_str).collect();
        // Their order varies.
        ipv6.sort_unstable();
        let first = ipv6.first().copied().unwrap_or_default();
        let address = [&*vnic.private_ip, &*vnic.public_ip, first].into_iter().find(|ip| !ip.is_empty())?;
        let ipv6 = if ipv6.is_empty() { String::new() } else { joined(&ipv6, SEPARATOR) };
        let mut labels = Labels::of([
            ("__address__", host_port(address, self.section.port)),
            ("__meta_oci_instance_id", instance.id.clone()),
            ("__meta_oci_instance_name", instance.display_name.clone()),
            ("__meta_oci_instance_state", instance.lifecycle_state.clone()),
            ("__meta_oci_instance_shape", instance.shape.clone()),
            ("__meta_oci_availability_domain", instance.availability_domain.clone()),
            ("__meta_oci_fault_domain", instance.fault_domain.clone()),
            ("__meta_oci_region", instance.region.clone()),
            ("__meta_oci_tenancy_id", self.section.tenancy.clone()),
            ("__meta_oci_compartment_id", instance.compartment_id.clone()),
            ("__meta_oci_image_id", instance.image_id.clone()),
            ("__meta_oci_vnic_id", vnic.id.clone()),
            ("__meta_oci_private_ip", vnic.private_ip.clone()),
            ("__meta_oci_public_ip", vnic.public_ip.clone()),
            ("__meta_oci_hostname_label", vnic.hostname_label.clone()),
            ("__meta_oci_ipv6_addresses", ipv6),
        ]);
        labels.set_keys("__meta_oci_tag_", &instance.freeform_tags);
        for (namespace, tags) in &instance.defined_tags {
            for (key, value) in tags {
                let prefix = format!("__meta_oci_defined_tag_{}_", sanitized(namespace));
                labels.set_key(&prefix, key, value.scalar());
            }
        }
        Some(labels.to_set())
    }
}

#[cfg(test)]
pub(crate) mod tests;
