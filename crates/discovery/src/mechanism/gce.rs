//! `gce_sd_configs`: the instances of a zone of Google Compute Engine.

mod account;
mod credentials_file;
mod external;
mod external_error;
mod impersonate;
mod subject;
mod token_file;

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, GceSdConfig};
use ferula_go::url::{path_escape, query_escape};
use ferula_http_client::StatusCode;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, joined, sanitized};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use account::Account;

const API: &str = "https://compute.googleapis.com";
/// No zone has this many pages; stops an API that always names another page.
const PAGES_MAX: u32 = 10_000;

pub(crate) struct Gce {
    section: GceSdConfig,
    api: ApiClient,
    base: String,
    account: Account,
}

answers! { "camelCase":
    Page { items: Vec<Instance>, next_page_token: String, }
    Instance {
        id: String,
        name: String,
        status: String,
        zone: String,
        machine_type: String,
        network_interfaces: Vec<Interface>,
        tags: Tags,
        metadata: Metadata,
        labels: BTreeMap<String, String>,
    }
    Interface {
        name: String,
        network: String,
        subnetwork: String,
        #[serde(rename = "networkIP")]
        network_ip: String,
        access_configs: Vec<AccessConfig>,
    }
    AccessConfig {
        #[serde(rename = "type")]
        access_type: String,
        #[serde(rename = "natIP")]
        nat_ip: String,
    }
    Tags { items: Vec<String>, }
    Metadata { items: Vec<Entry>, }
    Entry { key: String, value: Option<String>, }
    ErrorAnswer { error: ErrorReason, }
    ErrorReason { code: i64, message: String, }
}

impl Refresh for Gce {
    type Section = GceSdConfig;

    const MECHANISM: &'static str = "gce";

    fn sections(configs: &DiscoveryConfigs) -> Vec<GceSdConfig> {
        configs.gce_sd_configs.clone()
    }

    fn interval(section: &GceSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: GceSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&Default::default(), context, section.refresh_interval)?;
        let account = Account::find(&api, context, |name| std::env::var(name).ok())?;
        Ok(Gce { section, api, base: context.service_url(API), account })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = self.targets().await;
        let targets = targets.map_err(|error| error.within("error retrieving refresh targets from gce"))?;
        let GceSdConfig { project, zone, .. } = &self.section;
        Ok(vec![TargetGroup::of_targets(format!("GCE_{project}_{zone}"), targets)])
    }
}

impl Gce {
    async fn targets(&mut self) -> Result<Vec<ferula_model::LabelSet>, RefreshError> {
        let authorization = format!("Bearer {}", self.account.token().await?);
        let GceSdConfig { project, zone, filter, .. } = &self.section;
        let path = format!("projects/{}/zones/{}/instances", path_escape(project), path_escape(zone));
        let mut query = "alt=json&prettyPrint=false".to_owned();
        if !filter.is_empty() {
            query.push_str(&format!("&filter={}", query_escape(filter)));
        }
        let mut targets = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let url = format!("{}/compute/v1/{path}?{query}{next}", self.base);
            let answer = self.api.get_with(&url, &[("authorization", &authorization)]).await?;
            if answer.status != StatusCode::OK {
                if answer.status == StatusCode::UNAUTHORIZED {
                    self.account.forget_token();
                }
                let said: ErrorAnswer = answer.json().unwrap_or_default();
                let reason = match said.error.code {
                    0 => answer.status_text,
                    code => format!("{code}: {}", said.error.message),
                };
                return Err(RefreshError::Answer(format!("googleapi: Error {reason}")));
            }
            let page: Page = answer.json()?;
            targets.extend(page.items.iter().filter_map(|instance| Some(self.labels(instance)?.to_set())));
            if page.next_page_token.is_empty() {
                break;
            }
            next = format!("&pageToken={}", query_escape(&page.next_page_token));
        }
        Ok(targets)
    }

    /// `None` for an instance without a network.
    fn labels(&self, instance: &Instance) -> Option<Labels> {
        let first = instance.network_interfaces.first()?;
        let mut labels = Labels::of([
            // As in Prometheus, IPv6 addresses have no brackets here.
            ("__address__", format!("{}:{}", first.network_ip, self.section.port)),
            ("__meta_gce_project", self.section.project.clone()),
            ("__meta_gce_zone", instance.zone.clone()),
            ("__meta_gce_instance_id", instance.id.clone()),
            ("__meta_gce_instance_name", instance.name.clone()),
            ("__meta_gce_instance_status", instance.status.clone()),
            ("__meta_gce_machine_type", instance.machine_type.clone()),
            ("__meta_gce_network", first.network.clone()),
            ("__meta_gce_subnetwork", first.subnetwork.clone()),
            ("__meta_gce_private_ip", first.network_ip.clone()),
        ]);
        for interface in &instance.network_interfaces {
            let name = sanitized(&interface.name);
            labels.set(&format!("__meta_gce_interface_ipv4_{name}"), interface.network_ip.as_str());
        }
        if !instance.tags.items.is_empty() {
            labels.set("__meta_gce_tags", joined(&instance.tags.items, &self.section.tag_separator));
        }
        for entry in &instance.metadata.items {
            if let Some(value) = &entry.value {
                labels.set_key("__meta_gce_metadata_", &entry.key, value.as_str());
            }
        }
        labels.set_keys("__meta_gce_label_", &instance.labels);
        if let Some(access) = first.access_configs.first()
            && access.access_type == "ONE_TO_ONE_NAT"
        {
            labels.set("__meta_gce_public_ip", access.nat_ip.as_str());
        }
        Some(labels)
    }
}

#[cfg(test)]
pub(crate) mod tests;
