//! `scaleway_sd_configs`: instances or bare-metal servers of a zone of Scaleway.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, ScalewaySdConfig};
use ferula_go::url::query_escape;
use ferula_model::LabelSet;
use serde::de::DeserializeOwned;

use crate::TargetGroup;
use crate::api_client::{Answer, ApiClient};
use crate::group::{Labels, host_port, joined};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const SEPARATOR: &str = ",";
/// No account has this many pages; stops an API whose count keeps growing.
const PAGES_MAX: u64 = 10_000;

pub(crate) struct Scaleway {
    section: ScalewaySdConfig,
    api: ApiClient,
}

answers! { "snake_case":
    Total { total_count: u64, }
    Instances { servers: Vec<Instance>, }
    Instance {
        id: String,
        name: String,
        hostname: String,
        organization: String,
        project: String,
        state: String,
        commercial_type: String,
        boot_type: String,
        zone: String,
        tags: Vec<String>,
        image: Image,
        location: Location,
        security_group: Named,
        public_ip: Option<Ip>,
        public_ips: Vec<Ip>,
        private_ip: Option<String>,
        ipv6: Option<Ip>,
        private_nics: Vec<Named>,
    }
    Image { id: String, name: String, arch: String, }
    Location { cluster_id: String, hypervisor_id: String, node_id: String, }
    Named { id: String, name: String, }
    Ip { address: String, family: String, version: String, }
    ManagedIps { ips: Vec<ManagedIp>, }
    ManagedIp { address: String, is_ipv6: bool, resource: Named, }
    BareServers { servers: Vec<BareServer>, }
    BareServer {
        id: String,
        name: String,
        zone: String,
        status: String,
        project_id: String,
        offer_id: String,
        tags: Vec<String>,
        install: Install,
        ips: Vec<Ip>,
    }
    Install { os_id: String, }
    Offers { offers: Vec<Named>, }
    Systems { os: Vec<System>, }
    System { id: String, name: String, version: String, }
    ErrorAnswer { message: String, #[serde(rename = "type")] kind: String, }
}

impl Refresh for Scaleway {
    type Section = ScalewaySdConfig;

    const MECHANISM: &'static str = "scaleway";

    fn sections(configs: &DiscoveryConfigs) -> Vec<ScalewaySdConfig> {
        configs.scaleway_sd_configs.clone()
    }

    fn interval(section: &ScalewaySdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: ScalewaySdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        let scaleway = Scaleway { section, api };
        // An unreadable file is reported at the start.
        scaleway.secret_key().map_err(|(file, error)| {
            ProviderError::File(format!("unable to read auth token file {file}"), error)
        })?;
        Ok(scaleway)
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = match self.section.role.as_str() {
            "baremetal" => self.bare_servers().await?,
            _ => self.instances().await?,
        };
        Ok(vec![TargetGroup::of_targets("scaleway", targets)])
    }
}

impl Scaleway {
    /// The secret key; a file is read again each time.
    fn secret_key(&self) -> Result<String, (String, std::io::Error)> {
        let file = &self.section.secret_key_file;
        if file.is_empty() {
            return Ok(self.section.secret_key.reveal().to_owned());
        }
        let key = std::fs::read_to_string(file).map_err(|error| (file.clone(), error))?;
        Ok(key.trim().to_owned())
    }

    /// Reads all pages of a list. The number of entries is in the answer or in a header.
    async fn list<T: DeserializeOwned, I>(
        &self,
        path: &str,
        query: &str,
        items: impl Fn(T) -> Vec<I>,
    ) -> Result<Vec<I>, RefreshError> {
        let key = self.secret_key();
        let key = key.map_err(|(file, error)| {
            RefreshError::File(format!("unable to read auth token file {file}"), error)
        })?;
        let mut all = Vec::new();
        let mut pages = PAGES_MAX;
        let mut page = 1;
        while page <= pages {
            let url = format!("{}{path}?{query}page={page}", self.section.api_url.trim_end_matches('/'));
            let answer = self.api.get_with(&url, &[("x-auth-token", &key)]).await?;
            let answer = checked(answer)?;
            let total: Total = answer.json()?;
            let found = items(answer.json()?);
            let size = found.len() as u64;
            all.extend(found);
            if size == 0 {
                break;
            }
            if page == 1 {
                let total = answer.header("x-total-count").parse().unwrap_or(total.total_count);
                pages = total.div_ceil(size).min(PAGES_MAX);
            }
            page += 1;
        }
        Ok(all)
    }

    fn filters(&self) -> String {
        let mut query = String::new();
        if !self.section.name_filter.is_empty() {
            query = format!("name={}&", query_escape(&self.section.name_filter));
        }
        query
    }

    fn zone_path(&self, api: &str) -> String {
        format!("{api}/zones/{}", self.section.zone)
    }

    async fn instances(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let mut query = self.filters();
        if !self.section.tags_filter.is_empty() {
            query.push_str(&format!("tags={}&", query_escape(&self.section.tags_filter.join(","))));
        }
        let path = self.zone_path("/instance/v1") + "/servers";
        let list = |list: Instances| list.servers;
        let instances = self.list(&path, &query, list).await?;
        let nic_addresses = self.nic_addresses(&instances).await?;
        let labels = instances.iter().filter_map(|instance| self.instance_labels(instance, &nic_addresses));
        Ok(labels.map(|labels| labels.to_set()).collect())
    }

    /// The addresses of network cards, by ID, for instances that have no other address.
    async fn nic_addresses(&self, instances: &[Instance]) -> Result<BTreeMap<String, String>, RefreshError> {
        let mut by_region: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for instance in instances {
            if instance.private_ip.is_some() || instance.public_ip.is_some() || instance.ipv6.is_some() {
                continue;
            }
            let nics = instance.private_nics.iter().map(|nic| nic.id.as_str()).filter(|id| !id.is_empty());
            by_region.entry(region(&instance.zone).unwrap_or_default()).or_default().extend(nics);
        }
        let mut addresses = BTreeMap::new();
        for (region, nics) in by_region.into_iter().filter(|(_, nics)| !nics.is_empty()) {
            let ids: String = nics.iter().map(|id| format!("resource_ids={}&", query_escape(id))).collect();
            let query = format!("{ids}resource_types=instance_private_nic&");
            let path = format!("/ipam/v1/regions/{region}/ips");
            let found = self.list(&path, &query, |list: ManagedIps| list.ips).await?;
            for ip in found.into_iter().filter(|ip| !ip.is_ipv6) {
                let address = ip.address.split('/').next().unwrap_or_default().to_owned();
                addresses.insert(ip.resource.id, address);
            }
        }
        Ok(addresses)
    }

    /// `None` for an instance without an address.
    fn instance_labels(
        &self,
        instance: &Instance,
        nic_addresses: &BTreeMap<String, String>,
    ) -> Option<Labels> {
        const PREFIX: &str = "__meta_scaleway_instance_";
        let mut labels = Labels::default();
        for (name, value) in [
            ("boot_type", &instance.boot_type),
            ("hostname", &instance.hostname),
            ("id", &instance.id),
            ("name", &instance.name),
            ("organization_id", &instance.organization),
            ("project_id", &instance.project),
            ("status", &instance.state),
            ("type", &instance.commercial_type),
            ("zone", &instance.zone),
            ("image_arch", &instance.image.arch),
            ("image_id", &instance.image.id),
            ("image_name", &instance.image.name),
            ("location_cluster_id", &instance.location.cluster_id),
            ("location_hypervisor_id", &instance.location.hypervisor_id),
            ("location_node_id", &instance.location.node_id),
            ("security_group_id", &instance.security_group.id),
            ("security_group_name", &instance.security_group.name),
        ] {
            labels.set(&format!("{PREFIX}{name}"), value.as_str());
        }
        let mut set = |name: &str, value: &str| labels.set(&format!("{PREFIX}{name}"), value);
        set("region", region(&instance.zone).unwrap_or_default());
        if !instance.tags.is_empty() {
            set("tags", &joined(&instance.tags, SEPARATOR));
        }
        for (name, family) in [("public_ipv4_addresses", "inet"), ("public_ipv6_addresses", "inet6")] {
            let of_family = instance.public_ips.iter().filter(|ip| ip.family == family);
            let addresses: Vec<&str> = of_family.map(|ip| ip.address.as_str()).collect();
            if !addresses.is_empty() {
                set(name, &joined(&addresses, SEPARATOR));
            }
        }
        let mut address = "";
        if let Some(ip) = &instance.ipv6 {
            set("public_ipv6", &ip.address);
            address = &ip.address;
        }
        if let Some(ip) = &instance.public_ip {
            if ip.family != "inet6" {
                set("public_ipv4", &ip.address);
            }
            address = &ip.address;
        }
        if let Some(ip) = &instance.private_ip {
            set("private_ipv4", ip);
            address = ip;
        }
        if address.is_empty() {
            let mut of_nics = instance.private_nics.iter().filter_map(|nic| nic_addresses.get(&nic.id));
            let found = of_nics.find(|ip| !ip.is_empty())?;
            set("private_ipv4", found);
            address = found;
        }
        labels.set("__address__", host_port(address, self.section.port));
        Some(labels)
    }

    async fn bare_servers(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let mut query = self.filters();
        for tag in &self.section.tags_filter {
            query.push_str(&format!("tags={}&", query_escape(tag)));
        }
        let base = self.zone_path("/baremetal/v1");
        let servers = self.list(&format!("{base}/servers"), &query, |list: BareServers| list.servers).await?;
        let offers = self.list(&format!("{base}/offers"), "", |list: Offers| list.offers).await?;
        let systems = self.list(&format!("{base}/os"), "", |list: Systems| list.os).await?;
        servers.iter().map(|server| Ok(self.bare_labels(server, &offers, &systems)?.to_set())).collect()
    }

    fn bare_labels(
        &self,
        server: &BareServer,
        offers: &[Named],
        systems: &[System],
    ) -> Result<Labels, RefreshError> {
        let mut labels = Labels::of([
            ("__meta_scaleway_baremetal_id", server.id.as_str()),
            ("__meta_scaleway_baremetal_name", &server.name),
            ("__meta_scaleway_baremetal_zone", &server.zone),
            ("__meta_scaleway_baremetal_status", &server.status),
            ("__meta_scaleway_baremetal_project_id", &server.project_id),
        ]);
        if let Some(offer) = offers.iter().find(|offer| offer.id == server.offer_id) {
            labels.set("__meta_scaleway_baremetal_type", offer.name.as_str());
        }
        let system = systems.iter().find(|system| system.id == server.install.os_id);
        if let Some(system) = system.filter(|system| !system.id.is_empty()) {
            labels.set("__meta_scaleway_baremetal_os_name", system.name.as_str());
            labels.set("__meta_scaleway_baremetal_os_version", system.version.as_str());
        }
        if !server.tags.is_empty() {
            labels.set("__meta_scaleway_baremetal_tags", joined(&server.tags, SEPARATOR));
        }
        for ip in &server.ips {
            let name = match ip.version.as_str() {
                "IPv4" => "__meta_scaleway_baremetal_public_ipv4",
                "IPv6" => "__meta_scaleway_baremetal_public_ipv6",
                other => return Err(RefreshError::Answer(format!("unknown IP version: {other}"))),
            };
            if !labels.value(name).is_empty() {
                continue;
            }
            labels.set(name, ip.address.as_str());
            if ip.version == "IPv4" || labels.value("__address__").is_empty() {
                labels.set("__address__", host_port(&ip.address, self.section.port));
            }
        }
        Ok(labels)
    }
}

/// `fr-par` of `fr-par-1`; `None` for an invalid zone.
fn region(zone: &str) -> Option<&str> {
    let parts = zone.split('-').count();
    (parts == 3).then(|| zone.rsplit_once('-').map_or("", |(region, _)| region))
}

fn checked(answer: Answer) -> Result<Answer, RefreshError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let said: ErrorAnswer = answer.json().unwrap_or_default();
    let message = if said.message.is_empty() { said.kind } else { said.message };
    let text = format!("scaleway-sdk-go: http error {}: {message}", answer.status_text);
    Err(RefreshError::Answer(text.trim_end_matches(": ").to_owned()))
}

#[cfg(test)]
pub(crate) mod tests;
