//! `marathon_sd_configs`: the tasks of Marathon's applications, with a target for each port.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, MarathonSdConfig};
use ferula_http_client::Request;
use serde::Deserialize;

use crate::TargetGroup;
use crate::api_client::{ApiClient, header_name, header_value};
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

pub(crate) struct Marathon {
    section: MarathonSdConfig,
    api: ApiClient,
    /// The server for the next round: each round uses another one.
    next: usize,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AppList {
    apps: Vec<App>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct App {
    id: String,
    tasks: Vec<Task>,
    labels: BTreeMap<String, String>,
    container: Container,
    port_definitions: Vec<PortDefinition>,
    networks: Vec<Network>,
    require_ports: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Task {
    id: String,
    host: String,
    ports: Vec<u32>,
    ip_addresses: Vec<IpAddress>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IpAddress {
    ip_address: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    docker: DockerContainer,
    port_mappings: Vec<PortMapping>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DockerContainer {
    image: String,
    port_mappings: Vec<PortMapping>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PortMapping {
    labels: BTreeMap<String, String>,
    container_port: u32,
    host_port: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PortDefinition {
    labels: BTreeMap<String, String>,
    port: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Network {
    mode: String,
}

impl Refresh for Marathon {
    type Section = MarathonSdConfig;

    const MECHANISM: &'static str = "marathon";

    fn sections(configs: &DiscoveryConfigs) -> Vec<MarathonSdConfig> {
        configs.marathon_sd_configs.clone()
    }

    fn interval(section: &MarathonSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: MarathonSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        let marathon = Marathon { section, api, next: 0 };
        marathon.token()?;
        Ok(marathon)
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let servers = &self.section.servers;
        let url = format!("{}/v2/apps/?embed=apps.tasks", servers[self.next % servers.len()]);
        self.next += 1;
        let mut request = Request::get(&url)?;
        if let Some(token) = self.token().map_err(|error| RefreshError::Answer(error.to_string()))? {
            request = request.header(
                header_name("authorization"),
                header_value("Authorization", &token)
                    .map_err(|error| RefreshError::Answer(error.to_string()))?,
            );
        }
        let answer = self.api.send(request).await?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            let text = format!("non 2xx status '{status}' response during marathon service discovery");
            return Err(RefreshError::Answer(text));
        }
        let list: AppList = answer.json()?;
        Ok(list.apps.iter().map(group).collect())
    }
}

impl Marathon {
    /// `token=…`; the file is read again each time.
    fn token(&self) -> Result<Option<String>, ProviderError> {
        let MarathonSdConfig { auth_token, auth_token_file: file, .. } = &self.section;
        if !auth_token.is_empty() {
            return Ok(Some(format!("token={}", auth_token.reveal())));
        }
        if file.is_empty() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| ProviderError::File(format!("unable to read auth token file {file}"), error))?;
        Ok(Some(format!("token={}", text.trim())))
    }
}

fn group(app: &App) -> TargetGroup {
    let mut labels = Labels::of([
        ("__meta_marathon_app", app.id.as_str()),
        ("__meta_marathon_image", app.container.docker.image.as_str()),
    ]);
    labels.set_keys("__meta_marathon_app_label_", &app.labels);
    TargetGroup { labels: labels.to_set(), ..TargetGroup::of_targets(app.id.as_str(), targets(app)) }
}

/// The ports of an application (0 where Mesos chooses the port for each task) and their labels.
fn ports(app: &App) -> (Vec<u32>, Vec<&BTreeMap<String, String>>, &'static str) {
    let in_container_net = is_container_net(app);
    let Container { docker, port_mappings } = &app.container;
    // Marathon 1.5 moved them.
    let mappings = if port_mappings.is_empty() { &docker.port_mappings } else { port_mappings };
    if !mappings.is_empty() {
        let port = |mapping: &PortMapping| {
            if in_container_net { mapping.container_port } else { mapping.host_port }
        };
        let labels = mappings.iter().map(|mapping| &mapping.labels).collect();
        return (mappings.iter().map(port).collect(), labels, "__meta_marathon_port_mapping_label_");
    }
    let definitions = &app.port_definitions;
    // Without `requirePorts`, the port is that of the service, not of the task.
    let port = |definition: &PortDefinition| if app.require_ports { definition.port } else { 0 };
    let labels = definitions.iter().map(|definition| &definition.labels).collect();
    (definitions.iter().map(port).collect(), labels, "__meta_marathon_port_definition_label_")
}

fn is_container_net(app: &App) -> bool {
    app.networks.first().is_some_and(|network| network.mode == "container")
}

fn targets(app: &App) -> Vec<ferula_model::LabelSet> {
    let (mut ports, port_labels, prefix) = ports(app);
    let mut targets = Vec::new();
    for task in &app.tasks {
        if ports.is_empty() {
            // These ports are the same for all tasks.
            ports.clone_from(&task.ports);
        }
        for (index, port) in ports.iter().enumerate() {
            let port = match port {
                0 if task.ports.len() == ports.len() => task.ports[index],
                port => *port,
            };
            let own_ip = task.ip_addresses.first().filter(|_| is_container_net(app));
            let host = own_ip.map_or(&task.host, |address| &address.ip_address);
            let mut target = Labels::of([
                ("__address__", host_port(host, port)),
                ("__meta_marathon_task", task.id.clone()),
                ("__meta_marathon_port_index", index.to_string()),
            ]);
            if let Some(labels) = port_labels.get(index) {
                target.set_keys(prefix, *labels);
            }
            targets.push(target.to_set());
        }
    }
    targets
}

#[cfg(test)]
pub(crate) mod tests;
