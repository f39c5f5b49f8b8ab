//! `eureka_sd_configs`: the instances of applications registered with Eureka.

use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, EurekaSdConfig};
use ferula_http_client::Request;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use crate::xml::{Document, Element, XmlError, boolean};

/// The port of instances that have none.
const PORT: i64 = 80;

pub(crate) struct Eureka {
    section: EurekaSdConfig,
    api: ApiClient,
}

impl Refresh for Eureka {
    type Section = EurekaSdConfig;

    const MECHANISM: &'static str = "eureka";

    fn sections(configs: &DiscoveryConfigs) -> Vec<EurekaSdConfig> {
        configs.eureka_sd_configs.clone()
    }

    fn interval(section: &EurekaSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: EurekaSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(Eureka { section, api })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let url = format!("{}/apps", self.section.server);
        let answer = self.api.send(Request::get(&url)?).await?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            let text = format!("non 2xx status '{status}' response during eureka service discovery");
            return Err(RefreshError::Answer(text));
        }
        let targets = targets(&answer.body);
        let targets =
            targets.map_err(|error| RefreshError::from(error).within(ferula_go::quote::go_quote(&url)))?;
        Ok(vec![TargetGroup::of_targets("eureka", targets)])
    }
}

fn targets(body: &[u8]) -> Result<Vec<ferula_model::LabelSet>, XmlError> {
    let document = Document::parse(body)?;
    let mut targets = Vec::new();
    for application in document.root("applications")?.all("application") {
        let name = application.text_at(&["name"]);
        for instance in application.all("instance") {
            targets.push(labels(&document, name, instance)?.to_set());
        }
    }
    Ok(targets)
}

fn labels(document: &Document, application: &str, instance: &Element) -> Result<Labels, XmlError> {
    let text = |name: &str| instance.text_at(&[name]).to_owned();
    let integer = |name: &str| instance.child(name).map(Element::integer).transpose();
    let port = integer("port")?;
    let mut labels = Labels::of([
        ("__address__", host_port(&text("hostName"), port.unwrap_or(PORT))),
        ("instance", text("instanceId")),
        ("__meta_eureka_app_name", application.to_owned()),
        ("__meta_eureka_app_instance_hostname", text("hostName")),
        ("__meta_eureka_app_instance_homepage_url", text("homePageUrl")),
        ("__meta_eureka_app_instance_statuspage_url", text("statusPageUrl")),
        ("__meta_eureka_app_instance_healthcheck_url", text("healthCheckUrl")),
        ("__meta_eureka_app_instance_ip_addr", text("ipAddr")),
        ("__meta_eureka_app_instance_vip_address", text("vipAddress")),
        ("__meta_eureka_app_instance_secure_vip_address", text("secureVipAddress")),
        ("__meta_eureka_app_instance_status", text("status")),
        ("__meta_eureka_app_instance_country_id", integer("countryId")?.unwrap_or(0).to_string()),
        ("__meta_eureka_app_instance_id", text("instanceId")),
    ]);
    for (element, label) in [("port", "port"), ("securePort", "secure_port")] {
        let Some(element) = instance.child(element) else { continue };
        let enabled = boolean(element.attribute("enabled"))?;
        labels.set(&format!("__meta_eureka_app_instance_{label}"), element.integer()?.to_string());
        labels.set(&format!("__meta_eureka_app_instance_{label}_enabled"), enabled.to_string());
    }
    if let Some(center) = instance.child("dataCenterInfo") {
        labels.set("__meta_eureka_app_instance_datacenterinfo_name", center.text_at(&["name"]));
        set_metadata(&mut labels, "__meta_eureka_app_instance_datacenterinfo_metadata_", document, center);
    }
    set_metadata(&mut labels, "__meta_eureka_app_instance_metadata_", document, instance);
    Ok(labels)
}

/// Each metadata element becomes a label whose value is its content as written.
fn set_metadata(labels: &mut Labels, prefix: &str, document: &Document, of: &Element) {
    for item in of.child("metadata").into_iter().flat_map(|metadata| &metadata.children) {
        labels.set_key(prefix, &item.name, document.content(item));
    }
}

#[cfg(test)]
pub(crate) mod tests;
