//! `vultr_sd_configs`: instances of a Vultr account.

use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, VultrSdConfig};
use ferula_go::url::query_escape;
use serde::Deserialize;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port, joined};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const API: &str = "https://api.vultr.com";
const SEPARATOR: &str = ",";
/// No account has this many pages; stops an API that always names another page.
const PAGES_MAX: u32 = 10_000;

pub(crate) struct Vultr {
    section: VultrSdConfig,
    api: ApiClient,
    base: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Page {
    instances: Vec<Instance>,
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    links: Links,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    next: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Instance {
    id: String,
    label: String,
    os: String,
    os_id: i64,
    region: String,
    plan: String,
    main_ip: String,
    v6_main_ip: String,
    internal_ip: String,
    hostname: String,
    server_status: String,
    vcpu_count: i64,
    ram: i64,
    disk: i64,
    allowed_bandwidth: i64,
    features: Vec<String>,
    tags: Vec<String>,
}

impl Refresh for Vultr {
    type Section = VultrSdConfig;

    const MECHANISM: &'static str = "vultr";

    fn sections(configs: &DiscoveryConfigs) -> Vec<VultrSdConfig> {
        configs.vultr_sd_configs.clone()
    }

    fn interval(section: &VultrSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: VultrSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(Vultr { section, api, base: context.service_url(API) })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let mut targets = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let mut url = format!("{}/v2/instances?per_page=100", self.base);
            if !cursor.is_empty() {
                url.push_str(&format!("&cursor={}", query_escape(&cursor)));
            }
            let page: Page = self.api.get_json(&url).await?;
            targets.extend(page.instances.iter().map(|instance| self.labels(instance).to_set()));
            cursor = page.meta.links.next;
            if cursor.is_empty() {
                break;
            }
        }
        Ok(vec![TargetGroup::of_targets("Vultr", targets)])
    }
}

impl Vultr {
    fn labels(&self, instance: &Instance) -> Labels {
        let mut labels = Labels::of([
            ("__address__", host_port(&instance.main_ip, self.section.port)),
            ("__meta_vultr_instance_id", instance.id.clone()),
            ("__meta_vultr_instance_label", instance.label.clone()),
            ("__meta_vultr_instance_os", instance.os.clone()),
            ("__meta_vultr_instance_os_id", instance.os_id.to_string()),
            ("__meta_vultr_instance_region", instance.region.clone()),
            ("__meta_vultr_instance_plan", instance.plan.clone()),
            ("__meta_vultr_instance_main_ip", instance.main_ip.clone()),
            ("__meta_vultr_instance_main_ipv6", instance.v6_main_ip.clone()),
            ("__meta_vultr_instance_internal_ip", instance.internal_ip.clone()),
            ("__meta_vultr_instance_hostname", instance.hostname.clone()),
            ("__meta_vultr_instance_server_status", instance.server_status.clone()),
            ("__meta_vultr_instance_vcpu_count", instance.vcpu_count.to_string()),
            ("__meta_vultr_instance_ram_mb", instance.ram.to_string()),
            ("__meta_vultr_instance_allowed_bandwidth_gb", instance.allowed_bandwidth.to_string()),
            ("__meta_vultr_instance_disk_gb", instance.disk.to_string()),
        ]);
        for (name, values) in [("features", &instance.features), ("tags", &instance.tags)] {
            if !values.is_empty() {
                labels.set(&format!("__meta_vultr_instance_{name}"), joined(values, SEPARATOR));
            }
        }
        labels
    }
}

#[cfg(test)]
mod tests;
