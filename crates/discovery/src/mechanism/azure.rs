//! `azure_sd_configs`: the virtual machines of an Azure subscription, including those of scale sets.
//!
//! Each machine refers to its network cards, which are requested one by one and cached for about ten rounds.

mod credential;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ferula_config::discovery::{AzureSdConfig, DiscoveryConfigs};
use ferula_go::unicode;
use ferula_go::url::path_escape;
use ferula_http_client::StatusCode;
use ferula_runtime::SharedClock;
use ferula_telemetry::{Counter, Registry};
use serde::de::DeserializeOwned;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use credential::{Cloud, Credential};

const COMPUTE_VERSION: &str = "2024-07-01";
const NETWORK_VERSION: &str = "2024-05-01";
/// Only this API version serves network cards of scale sets.
const SCALE_SET_NETWORK_VERSION: &str = "2018-10-01";
/// No subscription has this many pages; stops an API that always names another page.
const PAGES_MAX: u32 = 10_000;
/// Maximum number of cached cards, as in Prometheus.
const CARDS_MAX: usize = 5000;
/// How many cards are requested at the same time.
const CONCURRENCY: usize = 20;
/// For how many rounds a card is cached; up to three more are added to spread the requests.
const ROUNDS_KEPT: u32 = 10;

pub(crate) struct Azure {
    section: AzureSdConfig,
    api: ApiClient,
    clock: SharedClock,
    manager: String,
    credential: Credential,
    cards: HashMap<String, (NetworkCard, Duration)>,
    failures: Counter,
    cache_hits: Counter,
}

answers! { "camelCase":
    Machine {
        id: String,
        name: String,
        location: String,
        instance_id: String,
        tags: BTreeMap<String, String>,
        properties: MachineProperties,
    }
    MachineProperties {
        storage_profile: StorageProfile,
        network_profile: NetworkProfile,
        os_profile: OsProfile,
        hardware_profile: HardwareProfile,
    }
    StorageProfile { os_disk: OsDisk, }
    OsDisk { os_type: String, }
    NetworkProfile { network_interfaces: Vec<Reference>, }
    OsProfile { computer_name: String, }
    HardwareProfile { vm_size: String, }
    Reference { id: String, name: String, }
    NetworkCard { properties: Option<CardProperties>, }
    CardProperties { primary: Option<bool>, ip_configurations: Vec<IpConfiguration>, }
    IpConfiguration { properties: IpProperties, }
    IpProperties {
        #[serde(rename = "privateIPAddress")]
        private_ip: String,
        #[serde(rename = "publicIPAddress")]
        public_ip: PublicIp,
    }
    PublicIp { properties: PublicIpProperties, }
    PublicIpProperties { ip_address: String, }
    ErrorAnswer { error: ErrorReason, }
    ErrorReason { code: String, message: String, }
}

fn failures(registry: &Registry) -> Counter {
    registry.counter(
        "prometheus_sd_azure_failures_total",
        "Failed requests to Azure. The last known machines stay in use.",
    )
}

fn cache_hits(registry: &Registry) -> Counter {
    registry
        .counter("prometheus_sd_azure_cache_hit_total", "Azure network cards that were found in the cache.")
}

impl Refresh for Azure {
    type Section = AzureSdConfig;

    const MECHANISM: &'static str = "azure";

    fn sections(configs: &DiscoveryConfigs) -> Vec<AzureSdConfig> {
        configs.azure_sd_configs.clone()
    }

    fn interval(section: &AzureSdConfig) -> Duration {
        section.refresh_interval
    }

    fn register_metrics(registry: &Registry) {
        failures(registry);
        cache_hits(registry);
    }

    fn new(section: AzureSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let cloud = Cloud::named(&section.environment).ok_or_else(|| {
            let name = ferula_go::quote::go_quote(&unicode::upper(&section.environment));
            let text = format!("there is no cloud configuration matching the name {name}");
            ProviderError::Option(format!("could not create Azure client: {text}"))
        })?;
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        let credential = Credential::of(&section, cloud, context, |name| std::env::var(name).ok())?;
        Ok(Azure {
            api,
            clock: context.clock.clone(),
            manager: context.service_url(cloud.manager),
            credential,
            cards: HashMap::new(),
            failures: failures(&context.registry),
            cache_hits: cache_hits(&context.registry),
            section,
        })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = self.targets().await.inspect_err(|_| self.failures.inc())?;
        Ok(vec![TargetGroup::of_targets("", targets)])
    }
}

/// A machine and the name of its scale set, or "".
type MachineOfSet = (Machine, String);

impl Azure {
    async fn targets(&mut self) -> Result<Vec<ferula_model::LabelSet>, RefreshError> {
        let token = self.credential.token().await;
        let token = token.map_err(|error| error.within("could not create Azure client"))?;
        let authorization = format!("Bearer {token}");
        let manager = Manager { api: &self.api, manager: &self.manager, authorization: &authorization };
        let machines = manager.machines(&self.section).await?;
        let now = self.clock.elapsed();
        self.cards.retain(|_, (_, until)| *until > now);
        let wanted = machines.iter().flat_map(|(machine, set)| {
            let cards = &machine.properties.network_profile.network_interfaces;
            cards.iter().map(move |card| (card.id.clone(), machine.instance_id.clone(), set.clone()))
        });
        let (known, unknown): (Vec<_>, Vec<_>) = wanted.partition(|(card, ..)| self.cards.contains_key(card));
        self.cache_hits.add(known.len() as u64);
        let mut fresh: HashMap<String, NetworkCard> = HashMap::new();
        for some in unknown.chunks(CONCURRENCY) {
            let answers = some.iter().map(|(card, instance, set)| manager.card(card, instance, set));
            let answers = futures_util::future::try_join_all(answers).await;
            let answers =
                answers.map_err(|error| error.within("unable to complete Azure service discovery"))?;
            for ((card, ..), answer) in some.iter().zip(answers) {
                // A missing card belongs to a machine that is being deleted.
                if let Some(answer) = answer {
                    fresh.insert(card.clone(), answer);
                }
            }
        }
        let mut targets = Vec::new();
        for (machine, scale_set) in &machines {
            let labels = self.labels(machine, scale_set, &fresh);
            let labels =
                labels.map_err(|error| error.within("unable to complete Azure service discovery"))?;
            targets.extend(labels.map(|labels| labels.to_set()));
        }
        self.keep(fresh, now);
        Ok(targets)
    }

    fn keep(&mut self, fresh: HashMap<String, NetworkCard>, now: Duration) {
        let interval = self.section.refresh_interval;
        for (at, (id, card)) in fresh.into_iter().enumerate() {
            if self.cards.len() < CARDS_MAX {
                let spread = (at % 4) as u32;
                self.cards.insert(id, (card, now + interval * (ROUNDS_KEPT + spread)));
            }
        }
    }

    /// `None` for a machine that has no primary network card or is not allocated.
    fn labels(
        &self,
        machine: &Machine,
        scale_set: &str,
        fresh: &HashMap<String, NetworkCard>,
    ) -> Result<Option<Labels>, RefreshError> {
        let properties = &machine.properties;
        let group = resource_group(&machine.id)?;
        let mut labels = Labels::of([
            ("__meta_azure_subscription_id", self.section.subscription_id.as_str()),
            ("__meta_azure_tenant_id", &self.section.tenant_id),
            ("__meta_azure_machine_id", &machine.id),
            ("__meta_azure_machine_name", &machine.name),
            ("__meta_azure_machine_computer_name", &properties.os_profile.computer_name),
            ("__meta_azure_machine_os_type", &properties.storage_profile.os_disk.os_type),
            ("__meta_azure_machine_location", &machine.location),
            ("__meta_azure_machine_resource_group", group),
            ("__meta_azure_machine_size", &properties.hardware_profile.vm_size),
            ("__meta_azure_machine_scale_set", scale_set),
        ]);
        labels.set_keys("__meta_azure_machine_tag_", &machine.tags);
        for reference in &properties.network_profile.network_interfaces {
            let known = self.cards.get(&reference.id).map(|(card, _)| card);
            let Some(card) = fresh.get(&reference.id).or(known) else { return Ok(None) };
            let Some(card) = &card.properties else { continue };
            match card.primary {
                // This is the case for deallocated machines.
                None => return Ok(None),
                Some(false) => continue,
                Some(true) => {}
            }
            let Some(ip) = card.ip_configurations.first().map(|ip| &ip.properties) else { continue };
            labels.set("__meta_azure_machine_public_ip", ip.public_ip.properties.ip_address.as_str());
            if ip.private_ip.is_empty() {
                let text = format!("unable to find a private IP for VM {}", machine.name);
                return Err(RefreshError::Answer(text));
            }
            labels.set("__meta_azure_machine_private_ip", ip.private_ip.as_str());
            labels.set("__address__", host_port(&ip.private_ip, self.section.port));
            return Ok(Some(labels));
        }
        Ok(None)
    }
}

/// Requests to the resource manager during one round.
struct Manager<'a> {
    api: &'a ApiClient,
    manager: &'a str,
    authorization: &'a str,
}

answers! { "camelCase":
    NextLink { next_link: String, }
}

impl Manager<'_> {
    /// All machines, both standalone and in scale sets.
    async fn machines(&self, section: &AzureSdConfig) -> Result<Vec<MachineOfSet>, RefreshError> {
        let subscription = format!("/subscriptions/{}", path_escape(&section.subscription_id));
        let group = match section.resource_group.as_str() {
            "" => String::new(),
            group => format!("/resourceGroups/{}", path_escape(group)),
        };
        let base = format!("{subscription}{group}/providers/Microsoft.Compute");
        let machines = self.list::<Machine>(&format!("{base}/virtualMachines")).await;
        let machines = machines.map_err(|error| error.within("could not get virtual machines"))?;
        let mut all: Vec<MachineOfSet> =
            machines.into_iter().map(|machine| (machine, String::new())).collect();
        let sets = self.list::<Reference>(&format!("{base}/virtualMachineScaleSets")).await;
        let sets = sets.map_err(|error| error.within("could not get virtual machine scale sets"))?;
        for set in sets {
            let within = |error: RefreshError| error.within("could not get virtual machine scale set vms");
            let group = path_escape(resource_group(&set.id).map_err(within)?);
            let path = format!(
                "{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{}/virtualMachines",
                path_escape(&set.name)
            );
            let machines = self.list::<Machine>(&path).await.map_err(within)?;
            all.extend(machines.into_iter().map(|machine| (machine, set.name.clone())));
        }
        Ok(all)
    }

    async fn get(&self, url: &str) -> Result<Option<crate::api_client::Answer>, RefreshError> {
        let headers = [("authorization", self.authorization), ("accept", "application/json")];
        let answer = self.api.get_with(url, &headers).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => {
                let said: ErrorAnswer = answer.json().unwrap_or_default();
                let text = format!(
                    "GET {}: RESPONSE {}: ERROR CODE: {} {}",
                    url.split('?').next().unwrap_or_default(),
                    answer.status_text,
                    said.error.code,
                    said.error.message
                );
                Err(RefreshError::Answer(text.trim().to_owned()))
            }
        }
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, RefreshError> {
        let mut all = Vec::new();
        let mut url = format!("{}{path}?api-version={COMPUTE_VERSION}", self.manager);
        for _ in 0..PAGES_MAX {
            let answer = self.get(&url).await?;
            let answer = answer.ok_or_else(|| RefreshError::Status("404 Not Found".to_owned()))?;
            let mut page = crate::json::object(&answer.body)?;
            let items: Option<Vec<T>> = page.take("value")?;
            let missing = || RefreshError::Answer(format!("the answer of {path} has no value"));
            all.extend(items.ok_or_else(missing)?);
            let next: NextLink = answer.json()?;
            if next.next_link.is_empty() {
                break;
            }
            url = next.next_link;
        }
        Ok(all)
    }

    /// `None` for a card that no longer exists.
    async fn card(
        &self,
        id: &str,
        instance: &str,
        scale_set: &str,
    ) -> Result<Option<NetworkCard>, RefreshError> {
        const EXPAND: &str = "%24expand=IPConfigurations%2FPublicIPAddress";
        let within =
            |error: RefreshError| error.within(format!("failed to retrieve Interface {id} with error"));
        let group = path_escape(resource_group(id).map_err(within)?);
        let subscription = path_escape(segment_after(id, "subscriptions").unwrap_or_default());
        let name = path_escape(id.rsplit('/').next().unwrap_or_default());
        let base = format!("{}/subscriptions/{subscription}/resourceGroups/{group}", self.manager);
        let url = match scale_set {
            "" => format!(
                "{base}/providers/Microsoft.Network/networkInterfaces/{name}?{EXPAND}&api-version={NETWORK_VERSION}"
            ),
            set => format!(
                "{base}/providers/microsoft.Compute/virtualMachineScaleSets/{}/virtualMachines/{}/networkInterfaces/{name}?{EXPAND}&api-version={SCALE_SET_NETWORK_VERSION}",
                path_escape(set),
                path_escape(instance)
            ),
        };
        match self.get(&url).await.map_err(within)? {
            Some(answer) => Ok(Some(answer.json().map_err(within)?)),
            None => Ok(None),
        }
    }
}

/// The path segment after one with this name, in any case.
fn segment_after<'i>(id: &'i str, name: &str) -> Option<&'i str> {
    let mut segments = id.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
    segments.next()
}

fn resource_group(id: &str) -> Result<&str, RefreshError> {
    let invalid = || RefreshError::Answer(format!("invalid ID '{id}': invalid resource ID"));
    segment_after(id, "resourceGroups").filter(|group| !group.is_empty()).ok_or_else(invalid)
}

#[cfg(test)]
pub(crate) mod tests;
