//! `docker_sd_configs`: the containers of a Docker daemon, with a target in each of their networks.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, DockerSdConfig};
use serde::Deserialize;

use super::docker_api::{DockerApi, filters, network_labels};
use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const PREFIX: &str = "__meta_docker_";

pub(crate) struct Docker {
    section: DockerSdConfig,
    api: DockerApi,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    id: String,
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    labels: BTreeMap<String, String>,
    ports: Vec<Port>,
    host_config: HostConfig,
    network_settings: NetworkSettings,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    networks: BTreeMap<String, Option<Endpoint>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip: String,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    #[serde(rename = "PrivatePort")]
    private: u16,
    #[serde(rename = "PublicPort")]
    public: u16,
    #[serde(rename = "Type")]
    kind: String,
}

impl Refresh for Docker {
    type Section = DockerSdConfig;

    const MECHANISM: &'static str = "docker";

    fn sections(configs: &DiscoveryConfigs) -> Vec<DockerSdConfig> {
        configs.docker_sd_configs.clone()
    }

    fn interval(section: &DockerSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: DockerSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = DockerApi::new(&section.host, &section.http, context, section.refresh_interval)?;
        Ok(Docker { section, api })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let path = format!("/containers/json{}", filters(&self.section.filters));
        let containers: Vec<Container> = self.api.get(&path, "error while listing containers").await?;
        let networks = network_labels(&self.api, PREFIX, "error while computing network labels").await?;
        let by_id: BTreeMap<&str, &Container> =
            containers.iter().map(|container| (container.id.as_str(), container)).collect();
        let mut targets = Vec::new();
        for container in &containers {
            let Some(name) = container.names.first() else { continue };
            let common = common_labels(container, name);
            for endpoint in self.endpoints(container, &by_id) {
                let network = networks.get(&endpoint.network_id);
                for mut labels in self.targets(container, endpoint) {
                    labels.extend(&common);
                    if let Some(network) = network {
                        labels.extend(network);
                    }
                    targets.push(labels.to_set());
                }
            }
        }
        Ok(vec![TargetGroup::of_targets("Docker", targets)])
    }
}

fn common_labels(container: &Container, name: &str) -> Labels {
    let mut labels = Labels::of([
        ("__meta_docker_container_id", container.id.as_str()),
        ("__meta_docker_container_name", name),
        ("__meta_docker_container_network_mode", container.host_config.network_mode.as_str()),
        ("__meta_docker_container_image", container.image.as_str()),
        ("__meta_docker_container_image_id", container.image_id.as_str()),
    ]);
    labels.set_keys("__meta_docker_container_label_", &container.labels);
    labels
}

/// The ID of the container whose network is shared: `container:<id>`.
fn shares_with(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:")
}

impl Docker {
    /// The networks of a container, its own or those of the container whose network it shares.
    fn endpoints<'c>(
        &self,
        container: &'c Container,
        by_id: &BTreeMap<&str, &'c Container>,
    ) -> Vec<&'c Endpoint> {
        let mut holder = container;
        // Containers may refer to each other in a cycle; no chain is longer than the number of containers.
        for _ in 0..by_id.len() {
            let shared = shares_with(&holder.host_config.network_mode).and_then(|id| by_id.get(id));
            match shared {
                Some(next) if holder.network_settings.networks.is_empty() => holder = next,
                _ => break,
            }
        }
        let networks = &holder.network_settings.networks;
        let first_only = self.section.match_first_network && networks.len() > 1;
        networks.values().flatten().take(if first_only { 1 } else { usize::MAX }).collect()
    }

    /// A target for each TCP port; without ports, one target.
    fn targets(&self, container: &Container, endpoint: &Endpoint) -> Vec<Labels> {
        let ip = if endpoint.ip.is_empty() { &endpoint.ipv6 } else { &endpoint.ip };
        let with_port = |port: &Port| {
            let mut labels = Labels::of([
                ("__address__", host_port(ip, port.private)),
                ("__meta_docker_network_ip", ip.clone()),
                ("__meta_docker_port_private", port.private.to_string()),
            ]);
            if port.public > 0 {
                labels.set("__meta_docker_port_public", port.public.to_string());
                labels.set("__meta_docker_port_public_ip", port.ip.as_str());
            }
            labels
        };
        let found: Vec<Labels> =
            container.ports.iter().filter(|port| port.kind == "tcp").map(with_port).collect();
        if !found.is_empty() {
            return found;
        }
        let address = match container.host_config.network_mode.as_str() {
            "host" => self.section.host_networking_host.clone(),
            _ => host_port(ip, self.section.port),
        };
        vec![Labels::of([("__address__", address), ("__meta_docker_network_ip", ip.clone())])]
    }
}

#[cfg(test)]
pub(crate) mod tests;
