//! `ionos_sd_configs`: the servers of a data center of IONOS Cloud.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, IonosSdConfig};
use ferula_go::url::path_escape;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port, joined};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const API: &str = "https://api.ionos.com";
const SEPARATOR: &str = ",";
/// Prometheus' name for a network card without a name.
const UNNAMED: &str = "unnamed";

pub(crate) struct Ionos {
    section: IonosSdConfig,
    api: ApiClient,
    base: String,
}

answers! { "camelCase":
    Servers { id: String, items: Vec<Server>, }
    Server { id: String, metadata: Metadata, properties: Properties, entities: Entities, }
    Metadata { state: String, }
    Properties {
        name: String,
        availability_zone: String,
        cpu_family: String,
        vm_state: String,
        #[serde(rename = "type")]
        server_type: String,
        boot_cdrom: Reference,
        boot_volume: Reference,
    }
    Reference { id: String, }
    Entities { nics: Nics, volumes: Volumes, }
    Nics { items: Vec<Nic>, }
    Nic { properties: Option<NicProperties>, }
    NicProperties { name: Option<String>, ips: Vec<String>, }
    Volumes { items: Vec<Volume>, }
    Volume { properties: VolumeProperties, }
    VolumeProperties { image: String, }
}

impl Refresh for Ionos {
    type Section = IonosSdConfig;

    const MECHANISM: &'static str = "ionos";

    fn sections(configs: &DiscoveryConfigs) -> Vec<IonosSdConfig> {
        configs.ionos_sd_configs.clone()
    }

    fn interval(section: &IonosSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: IonosSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(Ionos { section, api, base: context.service_url(API) })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let datacenter = path_escape(&self.section.datacenter_id);
        let url = format!("{}/cloudapi/v6/datacenters/{datacenter}/servers?depth=3", self.base);
        let answer = self.api.get_with(&url, &[("accept", "application/json")]).await?;
        if !answer.status.is_success() {
            return Err(RefreshError::Status(answer.status_text));
        }
        let servers: Servers = answer.json()?;
        let targets = servers.items.iter().filter_map(|server| self.labels(&servers.id, server));
        Ok(vec![TargetGroup::of_targets("ionos", targets.map(|labels| labels.to_set()).collect())])
    }
}

impl Ionos {
    /// `None` for a server without an address.
    fn labels(&self, list_id: &str, server: &Server) -> Option<Labels> {
        let mut addresses: Vec<&str> = Vec::new();
        let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for nic in server.entities.nics.items.iter().filter_map(|nic| nic.properties.as_ref()) {
            let name = nic.name.as_deref().unwrap_or(UNNAMED);
            // Cards are listed in the order of creation; the newest comes first here.
            for all in [&mut addresses, by_name.entry(name).or_default()] {
                all.splice(0..0, nic.ips.iter().map(String::as_str));
            }
        }
        let first = addresses.first()?;
        let properties = &server.properties;
        let mut labels = Labels::of([
            ("__address__", host_port(first, self.section.port)),
            ("__meta_ionos_server_ip", joined(&addresses, SEPARATOR)),
            ("__meta_ionos_server_availability_zone", properties.availability_zone.clone()),
            ("__meta_ionos_server_cpu_family", properties.cpu_family.clone()),
            ("__meta_ionos_server_servers_id", list_id.to_owned()),
            ("__meta_ionos_server_id", server.id.clone()),
            ("__meta_ionos_server_lifecycle", server.metadata.state.clone()),
            ("__meta_ionos_server_name", properties.name.clone()),
            ("__meta_ionos_server_state", properties.vm_state.clone()),
            ("__meta_ionos_server_type", properties.server_type.clone()),
            ("__meta_ionos_server_boot_cdrom_id", properties.boot_cdrom.id.clone()),
            ("__meta_ionos_server_boot_volume_id", properties.boot_volume.id.clone()),
        ]);
        for (name, addresses) in &by_name {
            labels.set_key("__meta_ionos_server_nic_ip_", name, joined(addresses, SEPARATOR));
        }
        if let Some(volume) = server.entities.volumes.items.first() {
            labels.set("__meta_ionos_server_boot_image_id", volume.properties.image.as_str());
        }
        Some(labels)
    }
}

#[cfg(test)]
pub(crate) mod tests;
