//! `hetzner_sd_configs`: servers of the Hetzner Cloud (`hcloud`) or dedicated ones (`robot`).

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, HetznerSdConfig};
use ferula_go::unicode;
use ferula_go::url::query_escape;
use ferula_http_client::Request;
use ferula_model::LabelSet;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const CLOUD_API: &str = "https://api.hetzner.cloud/v1";
const ROBOT_API: &str = "https://robot-ws.your-server.de";

pub(crate) struct Hetzner {
    section: HetznerSdConfig,
    api: ApiClient,
    base: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageMeta {
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pagination {
    /// 0 on the last page.
    next_page: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Servers {
    servers: Vec<CloudServer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Networks {
    networks: Vec<Network>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Network {
    id: i64,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CloudServer {
    id: i64,
    name: String,
    status: String,
    public_net: PublicNet,
    private_net: Vec<PrivateNet>,
    server_type: ServerType,
    /// Newer answers contain the location itself, older ones have it in the datacenter.
    location: Option<Location>,
    datacenter: Datacenter,
    image: Option<Image>,
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PublicNet {
    ipv4: Option<Ip>,
    ipv6: Option<Ip>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ip {
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PrivateNet {
    network: i64,
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServerType {
    name: String,
    cores: i64,
    cpu_type: String,
    memory: f64,
    disk: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Datacenter {
    location: Location,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Location {
    name: String,
    network_zone: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image {
    name: String,
    description: String,
    os_flavor: String,
    os_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RobotEntry {
    server: RobotServer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RobotServer {
    server_ip: String,
    server_number: i64,
    server_name: String,
    dc: String,
    status: String,
    product: String,
    cancelled: bool,
    subnet: Vec<Subnet>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subnet {
    ip: String,
    mask: String,
}

impl Refresh for Hetzner {
    type Section = HetznerSdConfig;

    const MECHANISM: &'static str = "hetzner";

    fn sections(configs: &DiscoveryConfigs) -> Vec<HetznerSdConfig> {
        configs.hetzner_sd_configs.clone()
    }

    fn interval(section: &HetznerSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: HetznerSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        let base = if section.role.as_str() == "robot" { ROBOT_API } else { CLOUD_API };
        Ok(Hetzner { section, api, base: context.service_url(base) })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets =
            if self.section.role.as_str() == "robot" { self.robot().await? } else { self.cloud().await? };
        Ok(vec![TargetGroup::of_targets("hetzner", targets)])
    }
}

impl Hetzner {
    /// Reads all pages of a list of the cloud API.
    async fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, RefreshError> {
        let (mut all, mut page) = (Vec::new(), 1);
        loop {
            let answer = self.api.get(&format!("{}/{path}page={page}&per_page=50", self.base)).await?;
            all.push(answer.json()?);
            let next = answer.json::<PageMeta>()?.meta.pagination.next_page;
            // A next page that does not increase would never end.
            if next <= page {
                return Ok(all);
            }
            page = next;
        }
    }

    async fn cloud(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let selector = match self.section.label_selector.as_str() {
            "" => String::new(),
            selector => format!("label_selector={}&", query_escape(selector)),
        };
        let servers: Vec<Servers> = self.pages(&format!("servers?{selector}")).await?;
        let networks: Vec<Networks> = self.pages("networks?").await?;
        let names: BTreeMap<i64, &str> = networks
            .iter()
            .flat_map(|page| &page.networks)
            .map(|network| (network.id, network.name.as_str()))
            .collect();
        let servers = servers.iter().flat_map(|page| &page.servers);
        Ok(servers.map(|server| self.cloud_labels(server, &names).to_set()).collect())
    }

    fn cloud_labels(&self, server: &CloudServer, networks: &BTreeMap<i64, &str>) -> Labels {
        // What Go prints for an absent address.
        let ip = |ip: &Option<Ip>| ip.as_ref().map_or_else(|| "<nil>".to_owned(), |ip| ip.ip.clone());
        let location = server.location.clone().unwrap_or_else(|| server.datacenter.location.clone());
        let (public, kind) = (ip(&server.public_net.ipv4), &server.server_type);
        let mut labels = Labels::of([
            ("__address__", host_port(&public, self.section.port)),
            ("__meta_hetzner_role", "hcloud".to_owned()),
            ("__meta_hetzner_server_id", server.id.to_string()),
            ("__meta_hetzner_server_name", server.name.clone()),
            ("__meta_hetzner_server_status", server.status.clone()),
            ("__meta_hetzner_public_ipv4", public),
            ("__meta_hetzner_public_ipv6_network", ip(&server.public_net.ipv6)),
            ("__meta_hetzner_hcloud_location", location.name.clone()),
            ("__meta_hetzner_hcloud_location_network_zone", location.network_zone.clone()),
            ("__meta_hetzner_hcloud_datacenter_location", location.name),
            ("__meta_hetzner_hcloud_datacenter_location_network_zone", location.network_zone),
            ("__meta_hetzner_hcloud_server_type", kind.name.clone()),
            ("__meta_hetzner_hcloud_cpu_cores", kind.cores.to_string()),
            ("__meta_hetzner_hcloud_cpu_type", kind.cpu_type.clone()),
            ("__meta_hetzner_hcloud_memory_size_gb", (kind.memory as i64).to_string()),
            ("__meta_hetzner_hcloud_disk_size_gb", kind.disk.to_string()),
        ]);
        if let Some(image) = &server.image {
            labels.set("__meta_hetzner_hcloud_image_name", image.name.as_str());
            labels.set("__meta_hetzner_hcloud_image_description", image.description.as_str());
            labels.set("__meta_hetzner_hcloud_image_os_version", image.os_version.as_str());
            labels.set("__meta_hetzner_hcloud_image_os_flavor", image.os_flavor.as_str());
        }
        for net in &server.private_net {
            if let Some(name) = networks.get(&net.network) {
                labels.set_key("__meta_hetzner_hcloud_private_ipv4_", name, net.ip.as_str());
            }
        }
        for (key, value) in &server.labels {
            labels.set_key("__meta_hetzner_hcloud_label_", key, value.as_str());
            labels.set_key("__meta_hetzner_hcloud_labelpresent_", key, "true");
        }
        labels
    }

    async fn robot(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let answer = self.api.send(Request::get(&format!("{}/server", self.base))?).await?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            let text = format!(
                "non 2xx status '{status}' response during hetzner service discovery with role robot"
            );
            return Err(RefreshError::Answer(text));
        }
        let servers: Vec<RobotEntry> = answer.json()?;
        Ok(servers.iter().map(|entry| self.robot_labels(&entry.server).to_set()).collect())
    }

    fn robot_labels(&self, server: &RobotServer) -> Labels {
        let datacenter = unicode::lower(&server.dc);
        let mut labels = Labels::of([
            ("__address__", host_port(&server.server_ip, self.section.port)),
            ("__meta_hetzner_role", "robot".to_owned()),
            ("__meta_hetzner_server_id", server.server_number.to_string()),
            ("__meta_hetzner_server_name", server.server_name.clone()),
            ("__meta_hetzner_server_status", server.status.clone()),
            ("__meta_hetzner_datacenter", datacenter.clone()),
            ("__meta_hetzner_public_ipv4", server.server_ip.clone()),
            ("__meta_hetzner_robot_datacenter", datacenter),
            ("__meta_hetzner_robot_product", server.product.clone()),
            ("__meta_hetzner_robot_cancelled", server.cancelled.to_string()),
        ]);
        let is_ipv4 = |subnet: &Subnet| subnet.ip.parse::<std::net::Ipv4Addr>().is_ok();
        if let Some(subnet) = server.subnet.iter().find(|subnet| !is_ipv4(subnet)) {
            labels.set("__meta_hetzner_public_ipv6_network", format!("{}/{}", subnet.ip, subnet.mask));
        }
        labels
    }
}

#[cfg(test)]
mod tests;
