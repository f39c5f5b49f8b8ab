//! `kuma_sd_configs`: targets assigned by a Kuma control plane, through xDS over HTTP.
//!
//! Each request states the known version. The server answers when there is a newer one, or with 304 after
//! `fetch_timeout`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, KumaSdConfig};
use ferula_go::url::query_escape;
use ferula_http_client::StatusCode;
use ferula_model::LabelSet;
use ferula_telemetry::{Counter, Registry, Summary};
use serde_json::json;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::Labels;
use crate::json::answers;
use crate::provider::{Context, Output, Provider, ProviderError};
use crate::refresh::RefreshError;

const RESOURCE: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";
/// How long a request may take beyond the server's waiting time.
const MARGIN: Duration = Duration::from_secs(15);

pub(crate) struct Kuma {
    api: ApiClient,
    context: Context,
    metrics: Metrics,
    url: String,
    client_id: String,
    interval: Duration,
    version: String,
    nonce: String,
}

answers! { "camelCase":
    DiscoveryResponse {
        #[serde(alias = "version_info")]
        version_info: String,
        resources: Vec<Assignment>,
        #[serde(alias = "type_url")]
        type_url: String,
        nonce: String,
    }
    Assignment {
        #[serde(rename = "@type")]
        type_url: String,
        mesh: String,
        service: String,
        targets: Vec<Target>,
        labels: BTreeMap<String, String>,
    }
    Target {
        name: String,
        scheme: String,
        address: String,
        #[serde(alias = "metrics_path")]
        metrics_path: String,
        labels: BTreeMap<String, String>,
    }
}

struct Metrics {
    failures: Counter,
    skipped: Counter,
    duration: Summary,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        Metrics {
            failures: registry.counter(
                "prometheus_sd_kuma_fetch_failures_total",
                "Failed requests to a Kuma control plane. The last known targets stay in use.",
            ),
            skipped: registry.counter(
                "prometheus_sd_kuma_fetch_skipped_updates_total",
                "Requests to a Kuma control plane that returned nothing new.",
            ),
            duration: registry.summary(
                "prometheus_sd_kuma_fetch_duration_seconds",
                "Duration of requests to a Kuma control plane, including the server's waiting time.",
                &[0.5, 0.9, 0.99],
            ),
        }
    }
}

impl Provider for Kuma {
    type Section = KumaSdConfig;

    const MECHANISM: &'static str = "kuma";

    fn sections(configs: &DiscoveryConfigs) -> Vec<KumaSdConfig> {
        configs.kuma_sd_configs.clone()
    }

    fn register_metrics(registry: &Registry) {
        Metrics::new(registry);
    }

    fn new(section: KumaSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let (server, rest) = match section.server.find("://").map(|at| at + 3) {
            Some(start) => match section.server[start..].find('/') {
                Some(slash) => section.server.split_at(start + slash),
                None => (section.server.as_str(), ""),
            },
            None => (section.server.as_str(), ""),
        };
        if !server.starts_with("http://") && !server.starts_with("https://") {
            let text = "kuma_sd: invalid xDS server URL protocol. must be either 'http' or 'https'";
            return Err(ProviderError::Option(text.to_owned()));
        }
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let path = ferula_go::path::join(path, "v3/discovery:monitoringassignments");
        let timeout = ferula_model::duration::format_millis(section.fetch_timeout.as_millis() as i64);
        let url =
            format!("{server}/{}?fetch-timeout={}", path.trim_start_matches('/'), query_escape(&timeout));
        Ok(Kuma {
            api: ApiClient::new(&section.http, context, section.fetch_timeout + MARGIN)?,
            context: context.clone(),
            metrics: Metrics::new(&context.registry),
            url,
            client_id: if section.client_id.is_empty() { host_name() } else { section.client_id },
            interval: section.refresh_interval.max(Duration::from_millis(1)),
            version: String::new(),
            nonce: String::new(),
        })
    }

    async fn run(mut self, output: Output) {
        let clock = self.context.clock.clone();
        loop {
            let start = clock.elapsed();
            let fetched = self.fetch().await;
            let took = clock.elapsed().saturating_sub(start);
            self.metrics.duration.observe_duration(took);
            match fetched {
                Ok(Some(targets)) => output.send(vec![Arc::new(TargetGroup::of_targets("kuma", targets))]),
                Ok(None) => self.metrics.skipped.inc(),
                Err(error) => {
                    self.metrics.failures.inc();
                    ferula_telemetry::error!(
                        "error parsing resources",
                        discovery = Self::MECHANISM,
                        config = self.context.job,
                        err = error
                    );
                }
            }
            // As with Go's ticker: immediately if the server has waited longer than the interval.
            clock.sleep(self.interval.saturating_sub(took)).await;
        }
    }
}

impl Kuma {
    /// All targets, or `None` if they have not changed.
    async fn fetch(&mut self) -> Result<Option<Vec<LabelSet>>, RefreshError> {
        let body = json!({
            "version_info": self.version,
            "node": {"id": self.client_id},
            "type_url": RESOURCE,
            "response_nonce": self.nonce,
        });
        let answer = self.api.post_json(&self.url, &[("accept", "application/json")], &body).await?;
        match answer.status {
            StatusCode::NOT_MODIFIED => return Ok(None),
            StatusCode::OK => {}
            status => {
                let text = format!("non 200 status '{}' response during xDS fetch", status.as_u16());
                return Err(RefreshError::Answer(text));
            }
        }
        let response: DiscoveryResponse = answer.json()?;
        self.nonce = response.nonce;
        self.version = response.version_info;
        if response.type_url != RESOURCE {
            let text = format!("received invalid typeURL for Kuma MADS v1 Resource: {}", response.type_url);
            return Err(RefreshError::Answer(text));
        }
        let mut targets = Vec::new();
        for assignment in &response.resources {
            if assignment.type_url != RESOURCE {
                let text =
                    format!("mismatched message type: got {:?}, want {RESOURCE:?}", assignment.type_url);
                return Err(RefreshError::Answer(text));
            }
            targets.extend(assignment.targets.iter().map(|target| labels(assignment, target).to_set()));
        }
        Ok(Some(targets))
    }
}

fn labels(assignment: &Assignment, target: &Target) -> Labels {
    let mut labels = Labels::default();
    for user in [&target.labels, &assignment.labels] {
        labels.set_keys("__meta_kuma_label_", user);
    }
    labels.extend(&Labels::of([
        ("__meta_kuma_mesh", assignment.mesh.as_str()),
        ("__meta_kuma_service", &assignment.service),
        ("__meta_kuma_dataplane", &target.name),
        ("__address__", &target.address),
        ("instance", &target.name),
        ("__scheme__", &target.scheme),
        ("__metrics_path__", &target.metrics_path),
    ]));
    labels
}

/// The host name, by which the control plane identifies this client.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "prometheus".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
pub(crate) mod tests;
