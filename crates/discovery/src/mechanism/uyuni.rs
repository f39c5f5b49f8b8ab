//! `uyuni_sd_configs`: the exporters of systems managed by Uyuni, through its XML-RPC interface.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, UyuniSdConfig};
use ferula_http_client::url;
use ferula_runtime::SharedClock;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::Labels;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use crate::xml::rpc::{self, Value};

/// The requested duration of a session. After half of it, a new one is started.
const SESSION: Duration = Duration::from_secs(600);

pub(crate) struct Uyuni {
    section: UyuniSdConfig,
    api: ApiClient,
    clock: SharedClock,
    url: String,
    /// A session key, and when it is to be replaced.
    session: Option<(String, Duration)>,
}

#[derive(Default)]
struct System {
    hostname: String,
    primary_fqdn: String,
}

impl Refresh for Uyuni {
    type Section = UyuniSdConfig;

    const MECHANISM: &'static str = "uyuni";

    fn sections(configs: &DiscoveryConfigs) -> Vec<UyuniSdConfig> {
        configs.uyuni_sd_configs.clone()
    }

    fn interval(section: &UyuniSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: UyuniSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let mut url =
            url::parse(&section.server).map_err(|error| ProviderError::Option(error.to_string()))?;
        url.set_unescaped_path(&ferula_go::path::join(&url.path(), "rpc/api"));
        let url = url.to_string();
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(Uyuni { section, api, clock: context.clock.clone(), url, session: None })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let session = self.session().await.map_err(|error| error.within("unable to login to Uyuni API"))?;
        let targets = self.targets(&session).await;
        if targets.is_err() {
            self.session = None;
        }
        Ok(vec![TargetGroup::of_targets(self.url.as_str(), targets?)])
    }
}

impl Uyuni {
    async fn call(&self, method: &str, parameters: &[Value]) -> Result<Value, RefreshError> {
        let body = rpc::call(method, parameters);
        let request = ferula_http_client::Request::post(&self.url, "text/xml", body.into())?;
        let answer = self.api.send(request).await?;
        if !answer.status.is_success() {
            let text = format!("request error: bad status code - {}", answer.status.as_u16());
            return Err(RefreshError::Answer(text));
        }
        Ok(rpc::result(&answer.body)?)
    }

    async fn session(&mut self) -> Result<String, RefreshError> {
        let now = self.clock.elapsed();
        if let Some((session, _)) = self.session.as_ref().filter(|(_, until)| *until > now) {
            return Ok(session.clone());
        }
        let parameters = [
            Value::Text(self.section.username.clone()),
            Value::Text(self.section.password.reveal().to_owned()),
            Value::Integer(SESSION.as_secs() as i64),
        ];
        let session = self.call("auth.login", &parameters).await?.text().to_owned();
        self.session = Some((session.clone(), now + SESSION / 2));
        Ok(session)
    }

    async fn targets(&self, session: &str) -> Result<Vec<ferula_model::LabelSet>, RefreshError> {
        let session = || Value::Text(session.to_owned());
        let entitlement = Value::Text(self.section.entitlement.clone());
        let parameters = [session(), entitlement];
        let groups = self.call("system.listSystemGroupsForSystemsWithEntitlement", &parameters).await;
        let groups = groups.map_err(|error| {
            error.within("unable to get the managed system groups information of monitored clients")
        })?;
        let groups: BTreeMap<i64, String> = groups
            .items()
            .map(|system| {
                let names = system.get("system_groups").items().map(|group| group.get("name").text());
                let names = names.collect::<Vec<_>>().join(&self.section.separator);
                (system.get("id").integer(), names)
            })
            .collect();
        let ids = Value::Array(groups.keys().map(|id| Value::Integer(*id)).collect());
        let parameters = [session(), ids];
        let endpoints = self.call("system.monitoring.listEndpoints", &parameters).await;
        let endpoints = endpoints.map_err(|error| error.within("unable to get endpoints information"))?;
        let networks = self.call("system.getNetworkForSystems", &parameters).await;
        let networks =
            networks.map_err(|error| error.within("unable to get the systems network information"))?;
        let systems: BTreeMap<i64, System> = networks
            .items()
            .map(|network| {
                let text = |key| network.get(key).text().to_owned();
                let system = System { hostname: text("hostname"), primary_fqdn: text("primary_fqdn") };
                (network.get("system_id").integer(), system)
            })
            .collect();
        Ok(endpoints.items().map(|endpoint| labels(endpoint, &groups, &systems).to_set()).collect())
    }
}

fn labels(endpoint: &Value, groups: &BTreeMap<i64, String>, systems: &BTreeMap<i64, System>) -> Labels {
    let id = endpoint.get("system_id").integer();
    let none = System::default();
    let system = systems.get(&id).unwrap_or(&none);
    let text = |key| endpoint.get(key).text().to_owned();
    let scheme = if endpoint.get("tls_enabled").boolean() { "https" } else { "http" };
    Labels::of([
        ("__address__", format!("{}:{}", system.hostname, endpoint.get("port").integer())),
        ("__meta_uyuni_minion_hostname", system.hostname.clone()),
        ("__meta_uyuni_primary_fqdn", system.primary_fqdn.clone()),
        ("__meta_uyuni_system_id", id.to_string()),
        ("__meta_uyuni_groups", groups.get(&id).cloned().unwrap_or_default()),
        ("__meta_uyuni_endpoint_name", text("endpoint_name")),
        ("__meta_uyuni_exporter", text("exporter_name")),
        ("__meta_uyuni_proxy_module", text("module")),
        ("__meta_uyuni_metrics_path", text("path")),
        ("__meta_uyuni_scheme", scheme.to_owned()),
    ])
}

#[cfg(test)]
pub(crate) mod tests;
