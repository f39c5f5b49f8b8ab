//! `ovhcloud_sd_configs`: dedicated servers or virtual private servers of an OVHcloud account.
//!
//! The account lists names; each server then takes two requests, for its details and its addresses. A server
//! that cannot be read is skipped and logged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, OvhCloudSdConfig};
use ferula_go::url::query_escape;
use ferula_runtime::SharedClock;
use ring::digest;
use serde::de::DeserializeOwned;

use crate::TargetGroup;
use crate::api_client::{Answer, ApiClient};
use crate::group::Labels;
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

/// The timeout of the real client.
const TIMEOUT: Duration = Duration::from_secs(180);

const ENDPOINTS: [(&str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

pub(crate) struct OvhCloud {
    section: OvhCloudSdConfig,
    api: ApiClient,
    clock: SharedClock,
}

answers! { "camelCase":
    DedicatedServer {
        state: String,
        commercial_range: String,
        link_speed: i64,
        rack: String,
        no_intervention: bool,
        os: String,
        support_level: String,
        server_id: i64,
        reverse: String,
        datacenter: String,
        name: String,
    }
    Vps {
        zone: String,
        model: VpsModel,
        display_name: String,
        cluster: String,
        state: String,
        name: String,
        netboot_mode: String,
        memory_limit: i64,
        offer_type: String,
        vcore: i64,
    }
    VpsModel {
        #[serde(rename = "maximumAdditionnalIp")]
        maximum_additional_ip: i64,
        offer: String,
        datacenter: Vec<String>,
        vcore: i64,
        version: String,
        name: String,
        disk: i64,
        memory: i64,
    }
    ErrorAnswer { message: String, class: String, }
}

/// One round with the server's time, which signatures need.
struct Round<'o> {
    ovh: &'o OvhCloud,
    base: String,
    /// How far the local clock is ahead, in seconds.
    ahead: i64,
}

impl Refresh for OvhCloud {
    type Section = OvhCloudSdConfig;

    const MECHANISM: &'static str = "ovhcloud";

    fn sections(configs: &DiscoveryConfigs) -> Vec<OvhCloudSdConfig> {
        configs.ovhcloud_sd_configs.clone()
    }

    fn interval(section: &OvhCloudSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: OvhCloudSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&Default::default(), context, TIMEOUT)?;
        Ok(OvhCloud { section, api, clock: context.clock.clone() })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let round = self.round().await?;
        let path = if self.section.service == "vps" { "/vps" } else { "/dedicated/server" };
        let source = format!("ovhcloud_{}", self.section.service);
        let names: Vec<String> = round.get(path).await?;
        let mut targets = Vec::new();
        for name in names {
            match round.target(path, &name).await {
                Ok(labels) => targets.push(labels.to_set()),
                // While the service is down, nothing is known about any server.
                Err(
                    error @ (RefreshError::Request(_) | RefreshError::Timeout(_) | RefreshError::Body(_)),
                ) => {
                    return Err(error);
                }
                Err(error) => ferula_telemetry::warn!(
                    "Could not get details of a server",
                    discovery = source,
                    server = name,
                    err = error
                ),
            }
        }
        Ok(vec![TargetGroup::of_targets(source, targets)])
    }
}

impl OvhCloud {
    fn seconds(&self) -> i64 {
        self.clock.unix_nanos().div_euclid(1_000_000_000)
    }

    async fn round(&self) -> Result<Round<'_>, RefreshError> {
        let endpoint = self.section.endpoint.as_str();
        let known = ENDPOINTS.iter().find(|(name, _)| *name == endpoint).map(|(_, url)| *url);
        let base = known.or(Some(endpoint).filter(|endpoint| endpoint.contains('/')));
        let base = base.ok_or_else(|| {
            let text = "unknown endpoint '{}', consider checking 'Endpoints' list or using an URL";
            RefreshError::Answer(text.replace("{}", endpoint))
        })?;
        let url = format!("{base}/auth/time");
        let headers = [("x-ovh-application", self.section.application_key.as_str())];
        let time: i64 = checked(self.api.get_with(&url, &headers).await?)?.json()?;
        Ok(Round { ovh: self, base: base.to_owned(), ahead: self.seconds().saturating_sub(time) })
    }
}

impl Round<'_> {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RefreshError> {
        let section = &self.ovh.section;
        let url = format!("{}{path}", self.base);
        let time = self.ovh.seconds().saturating_sub(self.ahead).to_string();
        let (secret, consumer) = (section.application_secret.reveal(), section.consumer_key.reveal());
        let signed = format!("{secret}+{consumer}+GET+{url}++{time}");
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes());
        let hex = ferula_go::hex::encode(digest);
        let headers = [
            ("accept", "application/json"),
            ("x-ovh-application", section.application_key.as_str()),
            ("x-ovh-timestamp", &time),
            ("x-ovh-consumer", consumer),
            ("x-ovh-signature", &format!("$1${hex}")),
        ];
        checked(self.ovh.api.get_with(&url, &headers).await?)?.json()
    }

    async fn target(&self, path: &str, name: &str) -> Result<Labels, RefreshError> {
        let path = format!("{path}/{}", query_escape(name));
        let (name, mut labels) = if self.ovh.section.service == "vps" {
            let vps: Vps = self.get(&path).await?;
            (vps.name.clone(), vps_labels(&vps))
        } else {
            let server: DedicatedServer = self.get(&path).await?;
            (server.name.clone(), dedicated_labels(&server))
        };
        let addresses: Vec<String> = self.get(&format!("{path}/ips")).await?;
        let (v4, v6) = addresses_of(&addresses)?;
        let v4 = v4.map(|ip| ip.to_string()).unwrap_or_default();
        let v6 = v6.map(|ip| ip.to_string()).unwrap_or_default();
        labels.set("__address__", if v4.is_empty() { &*v6 } else { &*v4 });
        labels.set("instance", name);
        let prefix = format!("__meta_ovhcloud_{}_", self.ovh.section.service);
        labels.set(&format!("{prefix}ipv4"), v4);
        labels.set(&format!("{prefix}ipv6"), v6);
        Ok(labels)
    }
}

/// The last address of each version. Networks count only if they consist of a single address.
fn addresses_of(list: &[String]) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), RefreshError> {
    let unreadable = || RefreshError::Answer("could not parse IP addresses from list".to_owned());
    let (mut v4, mut v6) = (None, None);
    for text in list {
        let address: IpAddr = match text.split_once('/') {
            None => text.parse().map_err(|_| unreadable())?,
            Some((address, bits)) => {
                let address = address.parse().map_err(|_| unreadable())?;
                let bits: u8 = bits.parse().map_err(|_| unreadable())?;
                // As in Prometheus, 32 for both versions.
                if bits != 32 {
                    continue;
                }
                address
            }
        };
        match address {
            address if address.is_unspecified() => {}
            IpAddr::V4(address) => v4 = Some(address),
            IpAddr::V6(address) => v6 = Some(address),
        }
    }
    if v4.is_none() && v6.is_none() { Err(unreadable()) } else { Ok((v4, v6)) }
}

fn dedicated_labels(server: &DedicatedServer) -> Labels {
    Labels::of([
        ("__meta_ovhcloud_dedicated_server_state", server.state.clone()),
        ("__meta_ovhcloud_dedicated_server_commercial_range", server.commercial_range.clone()),
        ("__meta_ovhcloud_dedicated_server_link_speed", server.link_speed.to_string()),
        ("__meta_ovhcloud_dedicated_server_rack", server.rack.clone()),
        ("__meta_ovhcloud_dedicated_server_no_intervention", server.no_intervention.to_string()),
        ("__meta_ovhcloud_dedicated_server_os", server.os.clone()),
        ("__meta_ovhcloud_dedicated_server_support_level", server.support_level.clone()),
        ("__meta_ovhcloud_dedicated_server_server_id", server.server_id.to_string()),
        ("__meta_ovhcloud_dedicated_server_reverse", server.reverse.clone()),
        ("__meta_ovhcloud_dedicated_server_datacenter", server.datacenter.clone()),
        ("__meta_ovhcloud_dedicated_server_name", server.name.clone()),
    ])
}

fn vps_labels(vps: &Vps) -> Labels {
    let model = &vps.model;
    Labels::of([
        ("__meta_ovhcloud_vps_offer", model.offer.clone()),
        // In Go's notation for lists.
        ("__meta_ovhcloud_vps_datacenter", format!("[{}]", model.datacenter.join(" "))),
        ("__meta_ovhcloud_vps_model_vcore", model.vcore.to_string()),
        ("__meta_ovhcloud_vps_maximum_additional_ip", model.maximum_additional_ip.to_string()),
        ("__meta_ovhcloud_vps_version", model.version.clone()),
        ("__meta_ovhcloud_vps_model_name", model.name.clone()),
        ("__meta_ovhcloud_vps_disk", model.disk.to_string()),
        ("__meta_ovhcloud_vps_memory", model.memory.to_string()),
        ("__meta_ovhcloud_vps_zone", vps.zone.clone()),
        ("__meta_ovhcloud_vps_display_name", vps.display_name.clone()),
        ("__meta_ovhcloud_vps_cluster", vps.cluster.clone()),
        ("__meta_ovhcloud_vps_state", vps.state.clone()),
        ("__meta_ovhcloud_vps_name", vps.name.clone()),
        ("__meta_ovhcloud_vps_netboot_mode", vps.netboot_mode.clone()),
        ("__meta_ovhcloud_vps_memory_limit", vps.memory_limit.to_string()),
        ("__meta_ovhcloud_vps_offer_type", vps.offer_type.clone()),
        ("__meta_ovhcloud_vps_vcore", vps.vcore.to_string()),
    ])
}

fn checked(answer: Answer) -> Result<Answer, RefreshError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let said: ErrorAnswer = answer.json().unwrap_or_default();
    let message = if said.message.is_empty() { answer.status_text.clone() } else { said.message };
    let text = format!("OVHcloud API error (status code {}): {}", answer.status.as_u16(), message);
    Err(RefreshError::Answer(if said.class.is_empty() { text } else { format!("{text} ({})", said.class) }))
}

#[cfg(test)]
pub(crate) mod tests;
