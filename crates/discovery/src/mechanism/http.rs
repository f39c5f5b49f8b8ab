//! `http_sd_configs`: target groups that an HTTP server lists as JSON.

use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, HttpSdConfig};
use ferula_http_client::{HeaderValue, Request};
use ferula_telemetry::{Counter, Registry};

use crate::TargetGroup;
use crate::api_client::{ApiClient, header_name};
use crate::group::groups_from_json;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

/// The label that holds the URL of the list.
const URL_LABEL: &str = "__meta_url";

pub(crate) struct HttpDiscovery {
    section: HttpSdConfig,
    client: ApiClient,
    failures: Counter,
}

fn failures(registry: &Registry) -> Counter {
    registry.counter(
        "prometheus_sd_http_failures_total",
        "Requests of HTTP discovery that failed or returned an invalid list of targets. The last valid list stays in use.",
    )
}

impl Refresh for HttpDiscovery {
    type Section = HttpSdConfig;

    const MECHANISM: &'static str = "http";

    fn sections(configs: &DiscoveryConfigs) -> Vec<HttpSdConfig> {
        configs.http_sd_configs.clone()
    }

    fn interval(section: &HttpSdConfig) -> Duration {
        section.refresh_interval
    }

    fn register_metrics(registry: &Registry) {
        failures(registry);
    }

    fn new(section: HttpSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let client = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(HttpDiscovery { section, client, failures: failures(&context.registry) })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let result = self.ask().await;
        if result.is_err() {
            self.failures.inc();
        }
        result
    }
}

impl HttpDiscovery {
    async fn ask(&self) -> Result<Vec<TargetGroup>, RefreshError> {
        let url = self.section.url.as_str();
        let seconds = self.section.refresh_interval.as_secs_f64().to_string();
        let request = Request::get(url)?
            .header(header_name("accept"), HeaderValue::from_static("application/json"))
            .header(
                header_name("x-prometheus-refresh-interval-seconds"),
                HeaderValue::from_str(&seconds).unwrap_or(HeaderValue::from_static("0")),
            );
        let answer = self.client.send(request).await?.expect_ok()?;
        let content_type = answer.header("content-type");
        if !is_json(content_type) {
            return Err(RefreshError::ContentType(content_type.to_owned()));
        }
        let mut groups = groups_from_json(url, &answer.body)?;
        for group in &mut groups {
            group.set_label(URL_LABEL, url);
        }
        Ok(groups)
    }
}

/// `application/json`, alone or with `charset=utf-8`.
pub(super) fn is_json(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    let Some(parameters) = lower.strip_prefix("application/json") else { return false };
    parameters.is_empty()
        || parameters
            .strip_prefix(';')
            .map(str::trim_start)
            .is_some_and(|charset| matches!(charset, "charset=utf-8" | "charset=\"utf-8\""))
}

#[cfg(test)]
mod tests;
