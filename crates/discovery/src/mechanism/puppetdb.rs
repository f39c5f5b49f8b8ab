//! `puppetdb_sd_configs`: the resources that a PuppetDB query returns.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, PuppetDbSdConfig};
use ferula_http_client::{Bytes, HeaderValue, Request};
use serde::Deserialize;

use crate::TargetGroup;
use crate::api_client::{ApiClient, header_name};
use crate::group::{Labels, host_port, joined, sanitized};
use crate::json::Json;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const SEPARATOR: &str = ",";

pub(crate) struct PuppetDb {
    section: PuppetDbSdConfig,
    url: String,
    api: ApiClient,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    certname: String,
    resource: String,
    r#type: String,
    title: String,
    exported: bool,
    tags: Vec<String>,
    file: String,
    environment: String,
    parameters: BTreeMap<String, Json>,
}

impl Refresh for PuppetDb {
    type Section = PuppetDbSdConfig;

    const MECHANISM: &'static str = "puppetdb";

    fn sections(configs: &DiscoveryConfigs) -> Vec<PuppetDbSdConfig> {
        configs.puppetdb_sd_configs.clone()
    }

    fn interval(section: &PuppetDbSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: PuppetDbSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        let (address, query) =
            section.url.split_once('?').map_or((&*section.url, None), |(a, q)| (a, Some(q)));
        let mut url = format!("{}/pdb/query/v4", address.trim_end_matches('/'));
        if let Some(query) = query {
            url.push_str(&format!("?{query}"));
        }
        Ok(PuppetDb { section, url, api })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let body = serde_json::json!({"query": self.section.query}).to_string();
        let json = HeaderValue::from_static("application/json");
        let request = Request::post(&self.url, "application/json", Bytes::from(body))?
            .header(header_name("accept"), json);
        let answer = self.api.send(request).await?.expect_ok()?;
        let content_type = answer.header("content-type");
        if !super::http::is_json(content_type) {
            return Err(RefreshError::ContentType(content_type.to_owned()));
        }
        let resources: Vec<Resource> = answer.json()?;
        let targets = resources.iter().map(|resource| self.labels(resource).to_set()).collect();
        Ok(vec![TargetGroup::of_targets(format!("{}?query={}", self.url, self.section.query), targets)])
    }
}

impl PuppetDb {
    fn labels(&self, resource: &Resource) -> Labels {
        let mut labels = Labels::of([
            ("__address__", host_port(&resource.certname, self.section.port)),
            ("__meta_puppetdb_query", self.section.query.clone()),
            ("__meta_puppetdb_certname", resource.certname.clone()),
            ("__meta_puppetdb_resource", resource.resource.clone()),
            ("__meta_puppetdb_type", resource.r#type.clone()),
            ("__meta_puppetdb_title", resource.title.clone()),
            ("__meta_puppetdb_exported", resource.exported.to_string()),
            ("__meta_puppetdb_file", resource.file.clone()),
            ("__meta_puppetdb_environment", resource.environment.clone()),
        ]);
        if !resource.tags.is_empty() {
            labels.set("__meta_puppetdb_tags", joined(&resource.tags, SEPARATOR));
        }
        if self.section.include_parameters {
            add_parameters(&mut labels, "__meta_puppetdb_parameter_", &resource.parameters);
        }
        labels
    }
}

/// Parameters may be nested; their names are joined by `_`.
fn add_parameters(labels: &mut Labels, prefix: &str, parameters: &BTreeMap<String, Json>) {
    for (key, value) in parameters {
        let name = format!("{prefix}{}", sanitized(key));
        match value {
            Json::Object(inner) => add_parameters(labels, &format!("{name}_"), inner),
            Json::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| scalar(item).unwrap_or_default()).collect();
                labels.set(&name, items.join(SEPARATOR));
            }
            value => {
                if let Some(text) = scalar(value) {
                    labels.set(&name, text);
                }
            }
        }
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::Bool(value) => Some(value.to_string()),
        // Go parses every number as a float.
        Json::Number(number) => Some(ferula_go::float::format_g(*number)),
        Json::Text(text) => Some(text.clone()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
