//! For tests: a provider that runs against a played API, and its groups as text.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::Config;
use ferula_model::Timestamp;
use ferula_runtime::{RealClock, Shutdown, SimClock};
use ferula_telemetry::Registry;
pub(crate) use ferula_testkit::played_api::{Play, PlayedServer, ReceivedRequest};

use crate::provider::{Context, Shared};
use crate::refresh::Refresh;
use crate::{Manager, TargetGroup, TargetSets};

/// A key that signs in tests only.
pub(crate) const RSA_KEY: &str = include_str!("../testdata/rsa_key.pem");

/// Services that are played instead of reached at their real addresses.
#[derive(Default)]
pub(crate) struct PlayedServices(Mutex<BTreeMap<String, String>>);

impl PlayedServices {
    pub(crate) fn url_of(&self, real: &str) -> Option<String> {
        self.0.lock().expect("a test").get(real).cloned()
    }

    pub(crate) fn play(&self, real: &str, address: &str) {
        self.0.lock().expect("a test").insert(real.to_owned(), format!("http://{address}"));
    }
}

/// A manager with one job, `a`, whose discovery is given as YAML in flow style.
pub(crate) struct Bed {
    pub manager: Manager,
    pub registry: Registry,
    pub clock: SimClock,
    shutdown: Shutdown,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

impl Bed {
    /// The same, with some services played: their real addresses, and where they are instead.
    pub(crate) fn with_services(discovery: &str, services: &[(&str, &str)]) -> Self {
        let clock = SimClock::at(Timestamp::from_millis(0));
        Self::start(discovery, services, clock.clone(), Arc::new(clock))
    }

    /// `discovery` is such as `http_sd_configs: [{url: 'http://x'}]`. Time stands still until it is moved on.
    pub(crate) fn new(discovery: &str) -> Self {
        let clock = SimClock::at(Timestamp::from_millis(0));
        Self::start(discovery, &[], clock.clone(), Arc::new(clock))
    }

    /// The same by the machine's clock.
    pub(crate) fn in_real_time(discovery: &str, services: &[(&str, &str)]) -> Self {
        Self::start(discovery, services, SimClock::at(Timestamp::from_millis(0)), RealClock::shared())
    }

    fn start(
        discovery: &str,
        services: &[(&str, &str)],
        sim: SimClock,
        clock: ferula_runtime::SharedClock,
    ) -> Self {
        let (registry, shutdown) = (Registry::new(), Shutdown::new());
        let manager = Manager::new("scrape", clock, &registry, shutdown.clone());
        let played = manager.shared().get::<PlayedServices>();
        services.iter().for_each(|(real, address)| played.play(real, address));
        let bed = Bed { manager, registry, clock: sim, shutdown };
        bed.apply(discovery);
        let manager = bed.manager.clone();
        tokio::spawn(async move { manager.run().await });
        bed
    }

    pub(crate) fn apply(&self, discovery: &str) {
        let yaml = format!("scrape_configs:\n- job_name: a\n  {}\n", discovery.replace('\n', "\n  "));
        let config = Config::parse(&yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
        let jobs = config.scrape_configs.iter().map(|job| (job.job_name.as_str(), &job.discovery));
        self.manager.apply_config(jobs);
    }

    /// Waits until the targets are as wanted, moving time on in the meantime; panics with what they are when
    /// that does not come.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut sets = self.manager.subscribe();
        let is_wanted = |sets: &TargetSets| wanted(&shown(&sets["a"]));
        let moving = async {
            loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.clock.advance(Duration::from_millis(20));
            }
        };
        let deadline = tokio::time::sleep(Duration::from_secs(60));
        tokio::select! {
            found = sets.wait_for(is_wanted) => {
                let found = found.expect("the manager lives");
                return shown(&found["a"]);
            }
            () = deadline => {}
            () = moving => {}
        }
        let now = self.manager.subscribe().borrow().clone();
        panic!("not as wanted:\n{}", shown(&now["a"]).join("\n"));
    }

    /// The targets once there are as many.
    pub(crate) async fn targets(&self, count: usize) -> Vec<String> {
        self.wait_for(|targets| targets.len() == count).await
    }

    /// The value of a metric, over all its labels; 0 while it has none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name == name).flat_map(|family| &family.metrics);
        metrics
            .map(|metric| match &metric.value {
                ferula_model::MetricValue::Single(value) => *value,
                other => panic!("{name} is {other:?}"),
            })
            .sum()
    }

    /// The targets as they are now.
    pub(crate) fn shown(&self) -> Vec<String> {
        let now = self.manager.subscribe().borrow().clone();
        shown(&now["a"])
    }

    /// Waits until a counter has reached a value.
    pub(crate) async fn wait_for_metric(&self, name: &str, at_least: f64) {
        self.wait_for_metric_of(name, at_least, "").await;
    }

    /// The same, with what is waited for in the panic.
    pub(crate) async fn wait_for_metric_of(&self, name: &str, at_least: f64, what: &str) {
        let start = std::time::Instant::now();
        while self.metric(name) < at_least {
            let value = self.metric(name);
            assert!(start.elapsed() < Duration::from_secs(60), "{what}: {name} stays at {value}");
            self.clock.advance(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Each target as `address name=value …` with the labels of its group, sorted.
pub(crate) fn shown(groups: &[Arc<TargetGroup>]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for group in groups {
        for target in &group.targets {
            let mut labels: BTreeMap<&str, &str> = group.labels.iter().collect();
            labels.extend(target.iter());
            let address = labels.remove("__address__").unwrap_or_default().to_owned();
            let pairs: String = labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            all.push(address + &pairs);
        }
    }
    all.sort();
    all
}

/// The one section of a mechanism in a job, and what its provider gets. For APIs whose address is fixed.
pub(crate) fn section_of<R: Refresh>(discovery: &str) -> (R::Section, Context) {
    let yaml = format!("scrape_configs:\n- job_name: a\n  {discovery}\n");
    let config = Config::parse(&yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
    (R::sections(&config.scrape_configs[0].discovery).remove(0), context())
}

/// The targets of one round.
pub(crate) async fn round_of<R: Refresh>(mechanism: &mut R) -> Vec<String> {
    let groups = mechanism.refresh().await.unwrap_or_else(|error| panic!("{error}"));
    shown(&groups.into_iter().map(Arc::new).collect::<Vec<_>>())
}

/// What a provider gets, by the machine's clock.
pub(crate) fn context() -> Context {
    Context {
        clock: RealClock::shared(),
        registry: Registry::new(),
        job: "a".into(),
        shared: Shared::default(),
    }
}
