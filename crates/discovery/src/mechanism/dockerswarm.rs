//! `dockerswarm_sd_configs`: nodes, services or tasks of a Docker swarm.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, DockerSwarmSdConfig};
use ferula_model::LabelSet;
use serde::Deserialize;

use super::docker_api::{DockerApi, filters, network_labels};
use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const PREFIX: &str = "__meta_dockerswarm_";

pub(crate) struct DockerSwarm {
    section: DockerSwarmSdConfig,
    api: DockerApi,
}

impl Refresh for DockerSwarm {
    type Section = DockerSwarmSdConfig;

    const MECHANISM: &'static str = "dockerswarm";

    fn sections(configs: &DiscoveryConfigs) -> Vec<DockerSwarmSdConfig> {
        configs.dockerswarm_sd_configs.clone()
    }

    fn interval(section: &DockerSwarmSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: DockerSwarmSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = DockerApi::new(&section.host, &section.http, context, section.refresh_interval)?;
        Ok(DockerSwarm { section, api })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = match self.section.role.as_str() {
            "nodes" => self.nodes().await?,
            "services" => self.services().await?,
            _ => self.tasks().await?,
        };
        Ok(vec![TargetGroup::of_targets("DockerSwarm", targets)])
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    spec: NodeSpec,
    description: NodeDescription,
    status: NodeStatus,
    manager_status: Option<ManagerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeSpec {
    role: String,
    availability: String,
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeDescription {
    hostname: String,
    platform: Platform,
    engine: Engine,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Platform {
    #[serde(rename = "Architecture")]
    architecture: String,
    #[serde(rename = "OS")]
    os: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Engine {
    engine_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeStatus {
    state: String,
    addr: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ManagerStatus {
    leader: bool,
    reachability: String,
    addr: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    spec: ServiceSpec,
    endpoint: ServiceEndpoint,
    update_status: Option<UpdateStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ServiceSpec {
    name: String,
    labels: BTreeMap<String, String>,
    mode: Mode,
    task_template: TaskTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mode {
    global: Option<serde::de::IgnoredAny>,
    replicated: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskTemplate {
    container_spec: Option<ContainerSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerSpec {
    image: String,
    hostname: String,
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceEndpoint {
    #[serde(rename = "Ports")]
    ports: Vec<Port>,
    #[serde(rename = "VirtualIPs")]
    virtual_ips: Vec<VirtualIp>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    name: String,
    protocol: String,
    published_port: u32,
    publish_mode: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct VirtualIp {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "Addr")]
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct UpdateStatus {
    state: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    #[serde(rename = "Slot")]
    slot: i64,
    #[serde(rename = "DesiredState")]
    desired_state: String,
    #[serde(rename = "Spec")]
    spec: TaskTemplate,
    #[serde(rename = "Status")]
    status: TaskStatus,
    #[serde(rename = "NetworksAttachments")]
    networks: Vec<NetworkAttachment>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskStatus {
    state: String,
    container_status: Option<ContainerStatus>,
    port_status: PortStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    container_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PortStatus {
    ports: Vec<Port>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkAttachment {
    network: NetworkReference,
    addresses: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NetworkReference {
    #[serde(rename = "ID")]
    id: String,
}

/// The address in `10.0.0.2/24`.
fn address_of(prefix: &str) -> Result<&str, RefreshError> {
    let parts = prefix.split_once('/').filter(|(address, length)| {
        address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok()
    });
    parts.map(|(address, _)| address).ok_or_else(|| {
        let text = format!("error while parsing address {prefix}: invalid CIDR address: {prefix}");
        RefreshError::Answer(text)
    })
}

fn service_labels(service: &Service) -> Labels {
    let mode = match &service.spec.mode {
        Mode { global: Some(_), .. } => "global",
        Mode { replicated: Some(_), .. } => "replicated",
        Mode { .. } => "",
    };
    let mut labels = Labels::of([
        ("__meta_dockerswarm_service_id", service.id.as_str()),
        ("__meta_dockerswarm_service_name", service.spec.name.as_str()),
        ("__meta_dockerswarm_service_mode", mode),
    ]);
    labels.set_keys("__meta_dockerswarm_service_label_", &service.spec.labels);
    labels
}

fn node_labels(node: &Node) -> Labels {
    let platform = &node.description.platform;
    let mut labels = Labels::of([
        ("__meta_dockerswarm_node_id", node.id.as_str()),
        ("__meta_dockerswarm_node_role", node.spec.role.as_str()),
        ("__meta_dockerswarm_node_address", node.status.addr.as_str()),
        ("__meta_dockerswarm_node_availability", node.spec.availability.as_str()),
        ("__meta_dockerswarm_node_hostname", node.description.hostname.as_str()),
        ("__meta_dockerswarm_node_platform_architecture", platform.architecture.as_str()),
        ("__meta_dockerswarm_node_platform_os", platform.os.as_str()),
        ("__meta_dockerswarm_node_status", node.status.state.as_str()),
    ]);
    labels.set_keys("__meta_dockerswarm_node_label_", &node.spec.labels);
    labels
}

impl DockerSwarm {
    async fn nodes(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let path = format!("/nodes{}", filters(&self.section.filters));
        let nodes: Vec<Node> = self.api.get(&path, "error while listing swarm nodes").await?;
        let target = |node: &Node| {
            let mut labels = node_labels(node);
            let version = node.description.engine.engine_version.as_str();
            labels.set("__meta_dockerswarm_node_engine_version", version);
            if let Some(manager) = &node.manager_status {
                labels.set("__meta_dockerswarm_node_manager_leader", manager.leader.to_string());
                labels.set("__meta_dockerswarm_node_manager_reachability", manager.reachability.as_str());
                labels.set("__meta_dockerswarm_node_manager_address", manager.addr.as_str());
            }
            labels.set("__address__", host_port(&node.status.addr, self.section.port));
            labels.to_set()
        };
        Ok(nodes.iter().map(target).collect())
    }

    async fn services(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let path = format!("/services{}", filters(&self.section.filters));
        let services: Vec<Service> = self.api.get(&path, "error while listing swarm services").await?;
        let what = "error while computing swarm network labels";
        let networks = network_labels(&self.api, PREFIX, what).await?;
        let mut targets = Vec::new();
        for service in &services {
            let mut common = service_labels(service);
            if let Some(container) = &service.spec.task_template.container_spec {
                let image = container.image.as_str();
                common.set("__meta_dockerswarm_service_task_container_hostname", container.hostname.as_str());
                common.set("__meta_dockerswarm_service_task_container_image", image);
            }
            if let Some(update) = &service.update_status {
                common.set("__meta_dockerswarm_service_updating_status", update.state.as_str());
            }
            for virtual_ip in &service.endpoint.virtual_ips {
                let ip = address_of(&virtual_ip.address)?;
                let mut labels = common.clone();
                if let Some(network) = networks.get(&virtual_ip.network_id) {
                    labels.extend(network);
                }
                let ports = service.endpoint.ports.iter().filter(|port| port.protocol == "tcp");
                targets.extend(self.port_targets(ip, ports, &labels, |port| {
                    Labels::of([
                        ("__meta_dockerswarm_service_endpoint_port_name", port.name.clone()),
                        ("__meta_dockerswarm_service_endpoint_port_publish_mode", port.publish_mode.clone()),
                    ])
                }));
            }
        }
        Ok(targets)
    }

    /// A target for each port; without ports, one with the section's port.
    fn port_targets<'p>(
        &self,
        ip: &str,
        ports: impl Iterator<Item = &'p Port>,
        common: &Labels,
        labels_of: impl Fn(&Port) -> Labels,
    ) -> Vec<LabelSet> {
        let mut targets: Vec<LabelSet> = ports
            .map(|port| {
                let mut labels = labels_of(port);
                labels.extend(common);
                labels.set("__address__", host_port(ip, port.published_port));
                labels.to_set()
            })
            .collect();
        if targets.is_empty() {
            let mut labels = common.clone();
            labels.set("__address__", host_port(ip, self.section.port));
            targets.push(labels.to_set());
        }
        targets
    }

    async fn tasks(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let path = format!("/tasks{}", filters(&self.section.filters));
        let tasks: Vec<Task> = self.api.get(&path, "error while listing swarm services").await?;
        let what = "error while computing services labels and ports";
        let services: Vec<Service> = self.api.get("/services", what).await?;
        let what = "error while computing nodes labels and ports: error while listing swarm nodes";
        let nodes: Vec<Node> = self.api.get("/nodes", what).await?;
        let what = "error while computing swarm network labels";
        let networks = network_labels(&self.api, PREFIX, what).await?;
        let services: BTreeMap<&str, (Labels, &[Port])> = services
            .iter()
            .map(|service| (service.id.as_str(), (service_labels(service), &service.endpoint.ports[..])))
            .collect();
        let nodes: BTreeMap<&str, Labels> =
            nodes.iter().map(|node| (node.id.as_str(), node_labels(node))).collect();

        let is_tcp = |port: &&Port| port.protocol == "tcp";
        let port_mode = |port: &Port| {
            Labels::of([("__meta_dockerswarm_task_port_publish_mode", port.publish_mode.as_str())])
        };
        let mut targets = Vec::new();
        for task in &tasks {
            let mut common = task_labels(task);
            let mut service_ports: &[Port] = &[];
            if let Some((labels, ports)) = services.get(task.service_id.as_str()) {
                common.extend(labels);
                service_ports = ports;
            }
            if let Some(labels) = nodes.get(task.node_id.as_str()) {
                common.extend(labels);
            }
            for port in task.status.port_status.ports.iter().filter(is_tcp) {
                let mut labels = port_mode(port);
                labels.extend(&common);
                let host = common.value("__meta_dockerswarm_node_address");
                labels.set("__address__", host_port(host, port.published_port));
                targets.push(labels.to_set());
            }
            for attachment in &task.networks {
                let mut labels = common.clone();
                if let Some(network) = networks.get(&attachment.network.id) {
                    labels.extend(network);
                }
                for address in &attachment.addresses {
                    let ip = address_of(address)?;
                    let ports = service_ports.iter().filter(is_tcp);
                    targets.extend(self.port_targets(ip, ports, &labels, port_mode));
                }
            }
        }
        Ok(targets)
    }
}

fn task_labels(task: &Task) -> Labels {
    let mut labels = Labels::of([
        ("__meta_dockerswarm_task_id", task.id.clone()),
        ("__meta_dockerswarm_task_desired_state", task.desired_state.clone()),
        ("__meta_dockerswarm_task_state", task.status.state.clone()),
        ("__meta_dockerswarm_task_slot", task.slot.to_string()),
    ]);
    if let Some(container) = &task.status.container_status {
        labels.set("__meta_dockerswarm_task_container_id", container.container_id.as_str());
    }
    if let Some(spec) = &task.spec.container_spec {
        labels.set_keys("__meta_dockerswarm_container_label_", &spec.labels);
    }
    labels
}

#[cfg(test)]
pub(crate) mod tests;
