//! `linode_sd_configs`: the instances of a Linode account.
//!
//! After the first round, only the account's events are requested: everything is listed again when there was
//! an event, and in every tenth round. A token without permission to read events lists everything each time.

use std::collections::HashMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, LinodeSdConfig};
use ferula_http_client::StatusCode;
use ferula_runtime::SharedClock;
use ferula_telemetry::{Counter, Registry};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port, joined};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const API: &str = "https://api.linode.com";
/// No account has this many pages; stops an API that always names another page.
const PAGES_MAX: u32 = 10_000;
/// Number of rounds without an event after which everything is listed anyway: some changes cause no event.
const QUIET_ROUNDS_MAX: u32 = 10;

pub(crate) struct Linode {
    section: LinodeSdConfig,
    api: ApiClient,
    base: String,
    clock: SharedClock,
    failures: Counter,
    last: Option<Vec<TargetGroup>>,
    /// Start of the last round, in seconds since the Unix epoch.
    last_round: i64,
    quiet_rounds: u32,
    may_read_events: bool,
}

#[derive(Default, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    #[serde(default)]
    data: Vec<T>,
    #[serde(default)]
    pages: u32,
}

answers! { "snake_case":
    Instance {
        id: i64,
        label: String,
        image: String,
        region: String,
        #[serde(rename = "type")]
        instance_type: String,
        status: String,
        group: String,
        hypervisor: String,
        tags: Vec<String>,
        ipv4: Vec<String>,
        ipv6: String,
        specs: Specs,
        backups: Backups,
    }
    Specs { disk: i64, memory: i64, vcpus: i64, transfer: i64, gpus: i64, }
    Backups { enabled: bool, }
    IpAddress { address: String, public: bool, rdns: String, }
    Ipv6Range { range: String, prefix: i64, route_target: String, }
    ErrorAnswer { errors: Vec<ErrorReason>, }
    ErrorReason { reason: String, field: String, }
}

fn failures(registry: &Registry) -> Counter {
    registry.counter(
        "prometheus_sd_linode_failures_total",
        "Failed requests to Linode. The last known instances stay in use.",
    )
}

impl Refresh for Linode {
    type Section = LinodeSdConfig;

    const MECHANISM: &'static str = "linode";

    fn sections(configs: &DiscoveryConfigs) -> Vec<LinodeSdConfig> {
        configs.linode_sd_configs.clone()
    }

    fn interval(section: &LinodeSdConfig) -> Duration {
        section.refresh_interval
    }

    fn register_metrics(registry: &Registry) {
        failures(registry);
    }

    fn new(section: LinodeSdConfig, context: &Context) -> Result<Self, ProviderError> {
        Ok(Linode {
            api: ApiClient::new(&section.http, context, section.refresh_interval)?,
            base: context.service_url(API),
            clock: context.clock.clone(),
            failures: failures(&context.registry),
            last: None,
            last_round: 0,
            quiet_rounds: 0,
            may_read_events: true,
            section,
        })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let now = self.clock.unix_nanos().div_euclid(1_000_000_000);
        if let Some(last) = self.last.clone()
            && self.may_read_events
            && !self.has_changed().await?
        {
            self.last_round = now;
            return Ok(last);
        }
        let targets = self.targets().await.inspect_err(|_| self.failures.inc())?;
        let groups = vec![TargetGroup::of_targets("Linode", targets)];
        self.quiet_rounds = 0;
        self.last_round = now;
        self.last = Some(groups.clone());
        Ok(groups)
    }
}

impl Linode {
    /// Whether anything may have changed since the last round.
    async fn has_changed(&mut self) -> Result<bool, RefreshError> {
        let since = ferula_go::calendar::format(self.last_round * 1_000_000_000, "2006-01-02T15:04:05");
        let filter = format!(r#"{{"created": {{"+gte": "{since}"}}}}"#);
        let url = format!("{}/v4/account/events?page=1&page_size=25", self.base);
        let answer = self.api.get_with(&url, &[("x-filter", &filter)]).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.may_read_events = false;
            return Ok(true);
        }
        let events: Page<IgnoredAny> = checked(&answer)?.json()?;
        self.quiet_rounds += 1;
        Ok(!events.data.is_empty() || self.quiet_rounds >= QUIET_ROUNDS_MAX)
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, RefreshError> {
        let filter = match self.section.region.as_str() {
            "" => None,
            region => Some(format!(r#"{{"region": "{region}"}}"#)),
        };
        let headers: Vec<(&str, &str)> = filter.iter().map(|filter| ("x-filter", filter.as_str())).collect();
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let url = format!("{}/v4/{path}?page={page}&page_size=500", self.base);
            let answer = self.api.get_with(&url, &headers).await?;
            let found: Page<T> = checked(&answer)?.json()?;
            all.extend(found.data);
            if page >= found.pages {
                break;
            }
        }
        Ok(all)
    }

    async fn targets(&self) -> Result<Vec<ferula_model::LabelSet>, RefreshError> {
        let instances: Vec<Instance> = self.list("linode/instances").await?;
        let addresses: Vec<IpAddress> = self.list("networking/ips").await?;
        let ranges: Vec<Ipv6Range> = self.list("networking/ipv6/ranges").await?;
        let addresses: HashMap<&str, &IpAddress> =
            addresses.iter().map(|address| (address.address.as_str(), address)).collect();
        let with_address = instances.iter().filter(|instance| !instance.ipv4.is_empty());
        Ok(with_address.map(|instance| self.labels(instance, &addresses, &ranges).to_set()).collect())
    }

    fn labels(
        &self,
        instance: &Instance,
        addresses: &HashMap<&str, &IpAddress>,
        ranges: &[Ipv6Range],
    ) -> Labels {
        let mut labels = Labels::default();
        let mut extra: Vec<&str> = Vec::new();
        let mut public = "";
        for address in instance.ipv4.iter().filter_map(|ip| addresses.get(ip.as_str())) {
            let name = if address.public { "public_ipv4" } else { "private_ipv4" };
            if labels.value(&format!("__meta_linode_{name}")).is_empty() {
                set_address(&mut labels, name, address);
                public = if address.public { &address.address } else { public };
            } else {
                extra.push(&address.address);
            }
        }
        let slaac = instance.ipv6.split('/').next().unwrap_or_default();
        let mut own_ranges: Vec<String> = Vec::new();
        if !slaac.is_empty() {
            if let Some(address) = addresses.get(slaac) {
                set_address(&mut labels, "public_ipv6", address);
            }
            let own = ranges.iter().filter(|range| range.route_target == slaac);
            own_ranges.extend(own.map(|range| format!("{}/{}", range.range, range.prefix)));
        }
        let backups = if instance.backups.enabled { "enabled" } else { "disabled" };
        let specs = &instance.specs;
        let bytes = |megabytes: i64| megabytes.wrapping_shl(20).to_string();
        labels.extend(&Labels::of([
            ("__address__", host_port(public, self.section.port)),
            ("__meta_linode_instance_id", instance.id.to_string()),
            ("__meta_linode_instance_label", instance.label.clone()),
            ("__meta_linode_image", instance.image.clone()),
            ("__meta_linode_region", instance.region.clone()),
            ("__meta_linode_type", instance.instance_type.clone()),
            ("__meta_linode_status", instance.status.clone()),
            ("__meta_linode_group", instance.group.clone()),
            ("__meta_linode_gpus", specs.gpus.to_string()),
            ("__meta_linode_hypervisor", instance.hypervisor.clone()),
            ("__meta_linode_backups", backups.to_owned()),
            ("__meta_linode_specs_disk_bytes", bytes(specs.disk)),
            ("__meta_linode_specs_memory_bytes", bytes(specs.memory)),
            ("__meta_linode_specs_vcpus", specs.vcpus.to_string()),
            ("__meta_linode_specs_transfer_bytes", bytes(specs.transfer)),
        ]));
        let separator = &self.section.tag_separator;
        if !instance.tags.is_empty() {
            labels.set("__meta_linode_tags", joined(&instance.tags, separator));
        }
        if !extra.is_empty() {
            labels.set("__meta_linode_extra_ips", joined(&extra, separator));
        }
        if !own_ranges.is_empty() {
            labels.set("__meta_linode_ipv6_ranges", joined(&own_ranges, separator));
        }
        labels
    }
}

fn set_address(labels: &mut Labels, name: &str, address: &IpAddress) {
    labels.set(&format!("__meta_linode_{name}"), address.address.as_str());
    // Some answers contain the word in place of nothing.
    if address.rdns != "null" {
        labels.set(&format!("__meta_linode_{name}_rdns"), address.rdns.as_str());
    }
}

/// Returns the answer, unless it is an error in Linode's format.
fn checked(answer: &crate::api_client::Answer) -> Result<&crate::api_client::Answer, RefreshError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let said: ErrorAnswer = answer.json().unwrap_or_default();
    let reasons = said.errors.iter().map(|error| match error.field.as_str() {
        "" => error.reason.clone(),
        field => format!("[{field}] {}", error.reason),
    });
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    let text = if reasons.is_empty() { answer.status_text.clone() } else { reasons };
    Err(RefreshError::Answer(format!("[{:03}] {text}", answer.status.as_u16())))
}

#[cfg(test)]
pub(crate) mod tests;
