//! `lightsail_sd_configs`: the instances of Lightsail in a region.

use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, LightsailSdConfig};
use serde_json::json;

use super::api::{PAGES_MAX, Service, settings};
use crate::TargetGroup;
use crate::group::{Labels, host_port, joined};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const SEPARATOR: &str = ",";

pub(crate) struct Lightsail {
    section: LightsailSdConfig,
    service: Service,
}

answers! { "camelCase":
    Page { instances: Vec<Instance>, next_page_token: String, }
    Instance {
        name: String,
        support_code: String,
        location: Location,
        tags: Vec<Tag>,
        blueprint_id: String,
        bundle_id: String,
        private_ip_address: String,
        public_ip_address: String,
        ipv6_addresses: Vec<String>,
        state: State,
    }
    Location { availability_zone: String, }
    Tag { key: Option<String>, value: Option<String>, }
    State { name: String, }
}

impl Refresh for Lightsail {
    type Section = LightsailSdConfig;

    const MECHANISM: &'static str = "lightsail";

    fn sections(configs: &DiscoveryConfigs) -> Vec<LightsailSdConfig> {
        configs.lightsail_sd_configs.clone()
    }

    fn interval(section: &LightsailSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: LightsailSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let (settings, interval) = (settings!(section), section.refresh_interval);
        let endpoint = &section.endpoint;
        let service = Service::new("lightsail", endpoint, settings, &section.http, context, interval)?;
        Ok(Lightsail { section, service })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.service.region().await?;
        let mut parameters = json!({});
        let mut targets = Vec::new();
        // Prometheus reads only the first page.
        for _ in 0..PAGES_MAX {
            let page: Result<Page, _> =
                self.service.call("Lightsail_20161128.GetInstances", &parameters).await;
            let page = page.map_err(|error| error.within("could not get instances"))?;
            let with_address =
                page.instances.iter().filter(|instance| !instance.private_ip_address.is_empty());
            targets.extend(with_address.map(|instance| self.labels(&region, instance).to_set()));
            if page.next_page_token.is_empty() {
                break;
            }
            parameters = json!({"pageToken": page.next_page_token});
        }
        Ok(vec![TargetGroup::of_targets(region, targets)])
    }
}

impl Lightsail {
    fn labels(&self, region: &str, instance: &Instance) -> Labels {
        let private_ip = &instance.private_ip_address;
        let mut labels = Labels::of([
            ("__address__", host_port(private_ip, self.section.port)),
            ("__meta_lightsail_private_ip", private_ip.clone()),
            ("__meta_lightsail_region", region.to_owned()),
            ("__meta_lightsail_availability_zone", instance.location.availability_zone.clone()),
            ("__meta_lightsail_blueprint_id", instance.blueprint_id.clone()),
            ("__meta_lightsail_bundle_id", instance.bundle_id.clone()),
            ("__meta_lightsail_instance_name", instance.name.clone()),
            ("__meta_lightsail_instance_state", instance.state.name.clone()),
            ("__meta_lightsail_instance_support_code", instance.support_code.clone()),
            ("__meta_lightsail_public_ip", instance.public_ip_address.clone()),
        ]);
        if !instance.ipv6_addresses.is_empty() {
            labels.set("__meta_lightsail_ipv6_addresses", joined(&instance.ipv6_addresses, SEPARATOR));
        }
        for tag in &instance.tags {
            if let (Some(key), Some(value)) = (&tag.key, &tag.value) {
                labels.set_key("__meta_lightsail_tag_", key, value.as_str());
            }
        }
        labels
    }
}
