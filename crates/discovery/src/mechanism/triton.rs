//! `triton_sd_configs`: the containers or compute nodes of a Triton data center.

use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, TritonSdConfig};
use ferula_config::http_client::HttpClientConfig;
use ferula_go::url::query_escape;
use ferula_http_client::Request;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, joined};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

pub(crate) struct Triton {
    section: TritonSdConfig,
    api: ApiClient,
}

answers! { "snake_case":
    Containers { containers: Vec<Container>, }
    Container {
        groups: Vec<String>,
        server_uuid: String,
        vm_alias: String,
        vm_brand: String,
        vm_image_uuid: String,
        vm_uuid: String,
    }
    ComputeNodes { cns: Vec<ComputeNode>, }
    ComputeNode { server_uuid: String, server_hostname: String, }
}

impl Refresh for Triton {
    type Section = TritonSdConfig;

    const MECHANISM: &'static str = "triton";

    fn sections(configs: &DiscoveryConfigs) -> Vec<TritonSdConfig> {
        configs.triton_sd_configs.clone()
    }

    fn interval(section: &TritonSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: TritonSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let http = HttpClientConfig { tls_config: section.tls_config.clone(), ..HttpClientConfig::default() };
        let api = ApiClient::new(&http, context, section.refresh_interval)?;
        Ok(Triton { section, api })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let url = self.url();
        let answer = self.api.send(Request::get(&url)?).await.map_err(|error| {
            error.within("an error occurred when requesting targets from the discovery endpoint")
        })?;
        // Prometheus accepts error pages too. They contain no targets, so the known ones would be lost.
        let answer = answer.expect_ok()?;
        let targets = if self.section.role == "cn" {
            let nodes: ComputeNodes = answer.json().map_err(unreadable)?;
            nodes.cns.iter().map(|node| self.node_labels(node).to_set()).collect()
        } else {
            let list: Containers = answer.json().map_err(unreadable)?;
            list.containers.iter().map(|container| self.container_labels(container).to_set()).collect()
        };
        Ok(vec![TargetGroup::of_targets(url, targets)])
    }
}

fn unreadable(error: RefreshError) -> RefreshError {
    error.within("an error occurred unmarshaling the discovery response json")
}

impl Triton {
    fn url(&self) -> String {
        let TritonSdConfig { endpoint, port, version, groups, .. } = &self.section;
        let path = if self.section.role == "cn" { "gz/discover" } else { "discover" };
        let mut url = format!("https://{endpoint}:{port}/v{version}/{path}");
        if !groups.is_empty() {
            url.push_str(&format!("?groups={}", query_escape(&groups.join(","))));
        }
        url
    }

    fn address(&self, id: &str) -> String {
        format!("{id}.{}:{}", self.section.dns_suffix, self.section.port)
    }

    fn container_labels(&self, container: &Container) -> Labels {
        let mut labels = Labels::of([
            ("__address__", self.address(&container.vm_uuid)),
            ("__meta_triton_machine_id", container.vm_uuid.clone()),
            ("__meta_triton_machine_alias", container.vm_alias.clone()),
            ("__meta_triton_machine_brand", container.vm_brand.clone()),
            ("__meta_triton_machine_image", container.vm_image_uuid.clone()),
            ("__meta_triton_server_id", container.server_uuid.clone()),
        ]);
        if !container.groups.is_empty() {
            labels.set("__meta_triton_groups", joined(&container.groups, ","));
        }
        labels
    }

    fn node_labels(&self, node: &ComputeNode) -> Labels {
        Labels::of([
            ("__address__", self.address(&node.server_uuid)),
            ("__meta_triton_machine_id", node.server_uuid.clone()),
            ("__meta_triton_machine_alias", node.server_hostname.clone()),
        ])
    }
}

#[cfg(test)]
pub(crate) mod tests;
