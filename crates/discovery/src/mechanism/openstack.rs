//! `openstack_sd_configs`: hypervisors, instances or load balancers of an OpenStack region.
//!
//! Here: the common part of the three roles. Below: the identity service (`session`), and a file for each
//! role. As in Prometheus, each round authenticates again, so a new catalog takes effect in the next round.

mod hypervisor;
mod instance;
mod load_balancer;
mod session;

use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, OpenStackSdConfig};
use ferula_config::http_client::HttpClientConfig;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use session::{Access, Session};

pub(crate) struct OpenStack {
    section: OpenStackSdConfig,
    api: ApiClient,
    access: Access,
}

impl Refresh for OpenStack {
    type Section = OpenStackSdConfig;

    const MECHANISM: &'static str = "openstack";

    fn sections(configs: &DiscoveryConfigs) -> Vec<OpenStackSdConfig> {
        configs.openstack_sd_configs.clone()
    }

    fn interval(section: &OpenStackSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: OpenStackSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let http = HttpClientConfig { tls_config: section.tls_config.clone(), ..HttpClientConfig::default() };
        let api = ApiClient::new(&http, context, section.refresh_interval)?;
        let access = Access::of(&section, |name| std::env::var(name).ok())?;
        Ok(OpenStack { section, api, access })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let session = Session::begin(&self.api, &self.access).await;
        let session = session.map_err(|error| error.within("could not authenticate to OpenStack"))?;
        let targets = match self.section.role.as_str() {
            "hypervisor" => hypervisor::targets(&session, &self.section).await?,
            "loadbalancer" => load_balancer::targets(&session, &self.section).await?,
            _ => instance::targets(&session, &self.section).await?,
        };
        Ok(vec![TargetGroup::of_targets(format!("OS_{}", self.section.region), targets)])
    }
}

#[cfg(test)]
pub(crate) mod tests;
