//! `consul_sd_configs`: instances of services registered with Consul.
//!
//! Consul holds a request until something changes (a blocking query). One request waits for the list of
//! services, unless all of them are configured by name, and one for each service. A failed request is
//! repeated after 15 s, and the known instances are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::discovery::{ConsulSdConfig, DiscoveryConfigs};
use ferula_go::sync::MutexExt;
use ferula_go::url::{path_escape, query_escape};
use ferula_http_client::{HeaderValue, Request};
use ferula_telemetry::{Counter, Registry, Summary, SummaryVec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::{AbortHandle, JoinSet};

use crate::TargetGroup;
use crate::api_client::{ApiClient, header_name, header_value};
use crate::group::{Labels, host_port, joined};
use crate::provider::{Context, Output, Provider, ProviderError};
use crate::refresh::RefreshError;

/// How long Consul may hold a request.
const WATCH_TIME: Duration = Duration::from_secs(120);
/// Consul adds up to a sixteenth of the wait time, and the answer must arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(135);
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

pub(crate) struct Consul(Arc<Inner>);

struct Inner {
    section: ConsulSdConfig,
    api: ApiClient,
    token: Option<HeaderValue>,
    context: Context,
    metrics: ConsulMetrics,
    /// Groups by service.
    groups: Mutex<BTreeMap<String, Arc<TargetGroup>>>,
}

struct ConsulMetrics {
    failures: Counter,
    catalog_duration: Summary,
    health_duration: Summary,
}

impl ConsulMetrics {
    fn new(registry: &Registry) -> Self {
        let duration: SummaryVec = registry.summary_vec(
            "prometheus_sd_consul_rpc_duration_seconds",
            "Duration of requests to Consul. Consul holds requests until something changes, so minutes are normal.",
            &[0.5, 0.9, 0.99],
            &["endpoint", "call"],
        );
        ConsulMetrics {
            failures: registry.counter(
                "prometheus_sd_consul_rpc_failures_total",
                "Failed requests to Consul. They are repeated after 15 seconds, and the last known instances stay in use.",
            ),
            catalog_duration: duration.with(&["catalog", "services"]),
            health_duration: duration.with(&["catalog", "service"]),
        }
    }
}

impl Provider for Consul {
    type Section = ConsulSdConfig;

    const MECHANISM: &'static str = "consul";

    fn sections(configs: &DiscoveryConfigs) -> Vec<ConsulSdConfig> {
        configs.consul_sd_configs.clone()
    }

    fn register_metrics(registry: &Registry) {
        ConsulMetrics::new(registry);
    }

    fn new(section: ConsulSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, REQUEST_TIMEOUT)?;
        let token = match section.token.reveal() {
            "" => None,
            token => Some(header_value("X-Consul-Token", token)?),
        };
        let metrics = ConsulMetrics::new(&context.registry);
        Ok(Consul(Arc::new(Inner {
            section,
            api,
            token,
            context: context.clone(),
            metrics,
            groups: Mutex::default(),
        })))
    }

    async fn run(self, output: Output) {
        let inner = self.0;
        let datacenter = inner.datacenter().await;
        let section = &inner.section;
        // Dropping the set ends the watches of all services.
        let mut watches = JoinSet::new();
        if section.services.is_empty() || !section.tags.is_empty() || !section.filter.is_empty() {
            inner.watch_catalog(&datacenter, &output, &mut watches).await;
        } else {
            for name in &section.services {
                watches.spawn(inner.clone().watch_service(name.clone(), datacenter.clone(), output.clone()));
            }
            while watches.join_next().await.is_some() {}
        }
    }
}

/// The agent's own configuration.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Agent {
    #[serde(rename = "Config")]
    config: AgentConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AgentConfig {
    #[serde(rename = "Datacenter")]
    datacenter: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Instance {
    node: Node,
    service: Service,
    checks: Vec<Check>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Node {
    node: String,
    address: String,
    tagged_addresses: BTreeMap<String, String>,
    meta: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    tags: Vec<String>,
    meta: BTreeMap<String, String>,
    port: i64,
    address: String,
    namespace: String,
    partition: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Check {
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(rename = "Status")]
    status: String,
}

impl Inner {
    /// The datacenter of the section, or else that of the agent. Retries until it is known.
    async fn datacenter(&self) -> String {
        if !self.section.datacenter.is_empty() {
            return self.section.datacenter.clone();
        }
        loop {
            let url = self.url("/v1/agent/self", &[]);
            let error = match self.ask::<Agent>(&url).await {
                Ok((agent, _)) if !agent.config.datacenter.is_empty() => return agent.config.datacenter,
                Ok(_) => RefreshError::Answer("invalid value '' for Config.Datacenter".to_owned()),
                Err(error) => {
                    self.metrics.failures.inc();
                    error
                }
            };
            self.report("Error retrieving datacenter name", "", &error);
            self.context.clock.sleep(RETRY_INTERVAL).await;
        }
    }

    /// Maintains a watch for each service of the catalog, until it is dropped.
    async fn watch_catalog(self: &Arc<Self>, datacenter: &str, output: &Output, watches: &mut JoinSet<()>) {
        let mut watched: BTreeMap<String, AbortHandle> = BTreeMap::new();
        let mut index = 0;
        loop {
            let slot = self.context.clock.elapsed() + self.section.refresh_interval;
            let start = self.context.clock.elapsed();
            let url = self.blocking_url("/v1/catalog/services", index, &self.section.filter, &[]);
            let asked = self.ask::<BTreeMap<String, Vec<String>>>(&url).await;
            let took = self.context.clock.elapsed().saturating_sub(start);
            self.metrics.catalog_duration.observe_duration(took);
            match asked {
                Err(error) => {
                    self.metrics.failures.inc();
                    self.report("Error refreshing service list", "", &error);
                    self.context.clock.sleep(RETRY_INTERVAL).await;
                }
                // The wait time is over without a change.
                Ok((_, same)) if same == index && index > 0 => {}
                Ok((services, new_index)) => {
                    index = new_index;
                    for (name, tags) in &services {
                        if self.wants(name, tags) && !watched.contains_key(name) {
                            let watch = self.clone().watch_service(
                                name.clone(),
                                datacenter.to_owned(),
                                output.clone(),
                            );
                            watched.insert(name.clone(), watches.spawn(watch));
                        }
                    }
                    self.forget_services(&services, &mut watched, output);
                }
            }
            // Removes ended watches, so that the set does not grow.
            while watches.try_join_next().is_some() {}
            let rest = slot.saturating_sub(self.context.clock.elapsed());
            self.context.clock.sleep(rest).await;
        }
    }

    fn forget_services(
        &self,
        listed: &BTreeMap<String, Vec<String>>,
        watched: &mut BTreeMap<String, AbortHandle>,
        output: &Output,
    ) {
        let before = watched.len();
        watched.retain(|name, watch| {
            let keep = listed.contains_key(name);
            if !keep {
                watch.abort();
            }
            keep
        });
        // Even without services, since callers may wait for the first report.
        if watched.len() < before || watched.is_empty() {
            let mut groups = self.lock();
            groups.retain(|name, _| watched.contains_key(name));
            output.send(groups.values().cloned().collect());
        }
    }

    fn wants(&self, name: &str, tags: &[String]) -> bool {
        let named = &self.section.services;
        (named.is_empty() || named.iter().any(|wanted| wanted == name))
            && self.section.tags.iter().all(|tag| tags.contains(tag))
    }

    async fn watch_service(self: Arc<Self>, name: String, datacenter: String, output: Output) {
        let path = format!("/v1/health/service/{}", path_escape(&name));
        let tags: Vec<(&str, &str)> = self.section.tags.iter().map(|tag| ("tag", tag.as_str())).collect();
        let mut index = 0;
        loop {
            let slot = self.context.clock.elapsed() + self.section.refresh_interval;
            let start = self.context.clock.elapsed();
            let url = self.blocking_url(&path, index, &self.section.health_filter, &tags);
            let asked = self.ask::<Vec<Instance>>(&url).await;
            let took = self.context.clock.elapsed().saturating_sub(start);
            self.metrics.health_duration.observe_duration(took);
            match asked {
                Err(error) => {
                    self.metrics.failures.inc();
                    self.report("Error refreshing service", &name, &error);
                    self.context.clock.sleep(RETRY_INTERVAL).await;
                }
                Ok((_, same)) if same == index && index > 0 => {}
                Ok((instances, new_index)) => {
                    index = new_index;
                    let targets = instances.iter().map(|instance| self.labels(instance).to_set()).collect();
                    let group = TargetGroup {
                        source: name.clone(),
                        targets,
                        labels: Labels::of([
                            ("__meta_consul_service", name.as_str()),
                            ("__meta_consul_dc", datacenter.as_str()),
                        ])
                        .to_set(),
                    };
                    // Sent under the lock: every send replaces all groups, so an older state must not follow
                    // a newer one.
                    let mut groups = self.lock();
                    groups.insert(name.clone(), Arc::new(group));
                    output.send(groups.values().cloned().collect());
                }
            }
            let rest = slot.saturating_sub(self.context.clock.elapsed());
            self.context.clock.sleep(rest).await;
        }
    }

    fn labels(&self, instance: &Instance) -> Labels {
        let Instance { node, service, checks } = instance;
        let host = if service.address.is_empty() { &node.address } else { &service.address };
        let mut labels = Labels::of([
            ("__address__", host_port(host, service.port)),
            ("__meta_consul_address", node.address.clone()),
            ("__meta_consul_node", node.node.clone()),
            ("__meta_consul_namespace", service.namespace.clone()),
            ("__meta_consul_partition", service.partition.clone()),
            ("__meta_consul_tags", joined(&service.tags, &self.section.tag_separator)),
            ("__meta_consul_service_address", service.address.clone()),
            ("__meta_consul_service_port", service.port.to_string()),
            ("__meta_consul_service_id", service.id.clone()),
            ("__meta_consul_health", health(checks).to_owned()),
        ]);
        labels.set_keys("__meta_consul_metadata_", &node.meta);
        labels.set_keys("__meta_consul_service_metadata_", &service.meta);
        labels.set_keys("__meta_consul_tagged_address_", &node.tagged_addresses);
        labels
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<TargetGroup>>> {
        self.groups.locked()
    }

    fn report(&self, message: &str, service: &str, error: &RefreshError) {
        ferula_telemetry::error!(
            message,
            discovery = "consul",
            config = self.context.job,
            service = service,
            err = error
        );
    }

    /// Sends a request and returns the answer with its index.
    async fn ask<T: DeserializeOwned>(&self, url: &str) -> Result<(T, u64), RefreshError> {
        let mut request = Request::get(url)?;
        if let Some(token) = &self.token {
            request = request.header(header_name("x-consul-token"), token.clone());
        }
        let answer = self.api.send(request).await?.expect_ok()?;
        let index = answer.header("x-consul-index").parse().unwrap_or(0);
        Ok((answer.json()?, index))
    }

    fn blocking_url(&self, path: &str, index: u64, filter: &str, more: &[(&str, &str)]) -> String {
        let (index, wait) = (index.to_string(), format!("{}ms", WATCH_TIME.as_millis()));
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        if index != "0" {
            pairs.push(("index", &index));
        }
        pairs.push(("wait", &wait));
        if self.section.allow_stale {
            pairs.push(("stale", ""));
        }
        let meta: Vec<String> =
            self.section.node_meta.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        pairs.extend(meta.iter().map(|pair| ("node-meta", pair.as_str())));
        if !filter.is_empty() {
            pairs.push(("filter", filter));
        }
        pairs.extend_from_slice(more);
        self.url(path, &pairs)
    }

    fn url(&self, path: &str, pairs: &[(&str, &str)]) -> String {
        let section = &self.section;
        let (scheme, server) = match section.server.split_once("://") {
            Some((scheme, server)) => (scheme, server),
            None => (section.scheme.as_str(), section.server.as_str()),
        };
        let places =
            [("dc", &section.datacenter), ("ns", &section.namespace), ("partition", &section.partition)];
        let query: Vec<String> = places
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (*key, value.as_str()))
            .chain(pairs.iter().copied())
            .map(|(key, value)| format!("{key}={}", query_escape(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{scheme}://{server}{}{path}{mark}{}", section.path_prefix, query.join("&"))
    }
}

/// The worst status of all checks. Maintenance outranks everything except an unknown status.
fn health(checks: &[Check]) -> &'static str {
    let is_maintenance =
        |check: &&Check| check.id == "_node_maintenance" || check.id.starts_with("_service_maintenance:");
    let any = |status: &str| checks.iter().any(|check| !is_maintenance(&check) && check.status == status);
    let unknown = |check: &&Check| !matches!(check.status.as_str(), "passing" | "warning" | "critical");
    if checks.iter().filter(|check| !is_maintenance(check)).any(|check| unknown(&check)) {
        return "";
    }
    match checks.iter().any(|check| is_maintenance(&check)) {
        true => "maintenance",
        false if any("critical") => "critical",
        false if any("warning") => "warning",
        false => "passing",
    }
}

#[cfg(test)]
pub(crate) mod tests;
