//! For tests: runs a provider against a simulated API, and shows its groups as text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::Config;
use ferula_model::Timestamp;
use ferula_runtime::{RealClock, Shutdown, SimClock};
use ferula_telemetry::Registry;
pub(crate) use ferula_testkit::played_api::{Play, PlayedServer, ReceivedRequest, untrusted};

use crate::played_services::PlayedServices;
use crate::provider::{Context, SharedState};
use crate::refresh::Refresh;
use crate::{Manager, TargetGroup, TargetSets};

/// An RSA key that is used only in tests.
pub(crate) const RSA_KEY: &str = include_str!("../testdata/rsa_key.pem");

/// A manager with one job, `a`, whose discovery sections are YAML in flow style.
pub(crate) struct TestBed {
    pub manager: Manager,
    pub registry: Registry,
    pub clock: SimClock,
    shutdown: Shutdown,
}

impl Drop for TestBed {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

impl TestBed {
    /// Creates one with simulated services: their real addresses, and the addresses of the simulations.
    pub(crate) fn with_services(discovery: &str, services: &[(&str, &str)]) -> Self {
        let clock = SimClock::at(Timestamp::from_millis(0));
        Self::start(discovery, services, clock.clone(), Arc::new(clock))
    }

    /// Creates one with sections such as `http_sd_configs: [{url: 'http://x'}]`. Time stands still until it
    /// is advanced.
    pub(crate) fn new(discovery: &str) -> Self {
        let clock = SimClock::at(Timestamp::from_millis(0));
        Self::start(discovery, &[], clock.clone(), Arc::new(clock))
    }

    /// Creates one that uses the system clock.
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
        let bed = TestBed { manager, registry, clock: sim, shutdown };
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

    /// Waits until the targets fulfil the condition, advancing time in the meantime. Panics with the current
    /// targets if that does not happen.
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
        panic!("unexpected targets:\n{}", shown(&now["a"]).join("\n"));
    }

    /// Waits for this number of targets, and returns them.
    pub(crate) async fn targets(&self, count: usize) -> Vec<String> {
        self.wait_for(|targets| targets.len() == count).await
    }

    /// The sum of a metric over all its labels; 0 if it does not exist.
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

    /// The current targets.
    pub(crate) fn shown(&self) -> Vec<String> {
        let now = self.manager.subscribe().borrow().clone();
        shown(&now["a"])
    }

    /// Waits until a counter reaches a value.
    pub(crate) async fn wait_for_metric(&self, name: &str, at_least: f64) {
        self.wait_for_metric_of(name, at_least, "").await;
    }

    /// Waits like [`TestBed::wait_for_metric`]; `what` appears in the panic.
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

/// The only section of a mechanism in a job, and the context for its provider. For APIs with a fixed address.
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

/// The context of a provider, with the system clock.
pub(crate) fn context() -> Context {
    Context {
        clock: RealClock::shared(),
        registry: Registry::new(),
        job: "a".into(),
        shared: SharedState::default(),
    }
}
