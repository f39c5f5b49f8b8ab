//! `nomad_sd_configs`: services registered with Nomad.

use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, NomadSdConfig};
use ferula_go::url::{path_escape, query_escape};
use ferula_telemetry::{Counter, Registry};
use serde::Deserialize;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port, joined};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

pub(crate) struct Nomad {
    section: NomadSdConfig,
    api: ApiClient,
    failures: Counter,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ServiceList {
    services: Vec<ServiceName>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ServiceName {
    service_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Instance {
    #[serde(rename = "ID")]
    id: String,
    service_name: String,
    namespace: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    datacenter: String,
    tags: Vec<String>,
    address: String,
    port: i64,
}

fn failures(registry: &Registry) -> Counter {
    registry.counter(
        "prometheus_sd_nomad_failures_total",
        "Failed requests to Nomad. The last known services stay in use.",
    )
}

impl Refresh for Nomad {
    type Section = NomadSdConfig;

    const MECHANISM: &'static str = "nomad";

    fn sections(configs: &DiscoveryConfigs) -> Vec<NomadSdConfig> {
        configs.nomad_sd_configs.clone()
    }

    fn interval(section: &NomadSdConfig) -> Duration {
        section.refresh_interval
    }

    fn register_metrics(registry: &Registry) {
        failures(registry);
    }

    fn new(section: NomadSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(Nomad { section, api, failures: failures(&context.registry) })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let result = self.instances().await;
        if result.is_err() {
            self.failures.inc();
        }
        let targets = result?.iter().map(|instance| self.labels(instance).to_set()).collect();
        Ok(vec![TargetGroup::of_targets("Nomad", targets)])
    }
}

impl Nomad {
    async fn instances(&self) -> Result<Vec<Instance>, RefreshError> {
        let lists: Vec<ServiceList> = self.api.get_json(&self.url("/v1/services")).await?;
        let mut all = Vec::new();
        for service in lists.iter().flat_map(|list| &list.services) {
            let url = self.url(&format!("/v1/service/{}", path_escape(&service.service_name)));
            let instances: Vec<Instance> = self
                .api
                .get_json(&url)
                .await
                .map_err(|error| RefreshError::Answer(format!("failed to fetch services: {error}")))?;
            all.extend(instances);
        }
        Ok(all)
    }

    fn url(&self, path: &str) -> String {
        let NomadSdConfig { server, namespace, region, .. } = &self.section;
        let mut query = String::new();
        for (key, value) in [("namespace", namespace), ("region", region)] {
            if !value.is_empty() {
                query.push_str(&format!("&{key}={}", query_escape(value)));
            }
        }
        if self.section.allow_stale {
            query.push_str("&stale=");
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{}", server.trim_end_matches('/'), query.trim_start_matches('&'))
    }

    fn labels(&self, instance: &Instance) -> Labels {
        let mut labels = Labels::of([
            ("__address__", host_port(&instance.address, instance.port)),
            ("__meta_nomad_address", instance.address.clone()),
            ("__meta_nomad_dc", instance.datacenter.clone()),
            ("__meta_nomad_node_id", instance.node_id.clone()),
            ("__meta_nomad_namespace", instance.namespace.clone()),
            ("__meta_nomad_service", instance.service_name.clone()),
            ("__meta_nomad_service_address", instance.address.clone()),
            ("__meta_nomad_service_id", instance.id.clone()),
            ("__meta_nomad_service_port", instance.port.to_string()),
        ]);
        if !instance.tags.is_empty() {
            labels.set("__meta_nomad_tags", joined(&instance.tags, &self.section.tag_separator));
        }
        labels
    }
}

#[cfg(test)]
pub(crate) mod tests;
