//! Runs providers for jobs and distributes their groups. The manager knows no mechanism by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_config::discovery::DiscoveryConfigs;
use ferula_go::sync::MutexExt;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::Registry;
use tokio::sync::{Notify, watch};

use crate::TargetGroup;
use crate::mechanism;
use crate::metrics::Metrics;
use crate::provider::{AnySection, Context, Groups, Mechanism, Output, Run, SharedState};

/// The groups of every job, by its name. A job without targets has an empty list.
pub type TargetSets = Arc<BTreeMap<String, Vec<Arc<TargetGroup>>>>;

/// After an update, the next one waits at least this long…
const DELAY_MIN: Duration = Duration::from_millis(100);
/// … and at most this long when updates keep coming.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Runs the providers that jobs need. Clones are handles to the same manager.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    clock: SharedClock,
    registry: Registry,
    shutdown: Shutdown,
    mechanisms: Vec<Mechanism>,
    shared: SharedState,
    metrics: Metrics,
    state: Mutex<State>,
    /// A provider sent groups.
    changed: Notify,
    sets: watch::Sender<TargetSets>,
    /// The longest delay between two updates while changes keep coming.
    delay_max: Duration,
}

#[derive(Default)]
struct State {
    providers: Vec<RunningProvider>,
    /// All jobs, including those without a provider.
    jobs: BTreeSet<String>,
    next_id: u64,
    /// Why sections of the last configuration could not be started.
    start_errors: Vec<String>,
}

struct RunningProvider {
    id: u64,
    section: Box<dyn AnySection>,
    jobs: BTreeSet<String>,
    groups: Groups,
    /// Whether it has reported at least once, even if it found nothing.
    has_reported: bool,
    stop: Shutdown,
}

impl Manager {
    /// Creates a manager without jobs. `name` distinguishes its metrics from those of other managers. Its
    /// providers stop with `shutdown`.
    pub fn new(name: &'static str, clock: SharedClock, registry: &Registry, shutdown: Shutdown) -> Self {
        let mechanisms = mechanism::table();
        for mechanism in &mechanisms {
            (mechanism.register_metrics)(registry);
        }
        Manager(Arc::new(Inner {
            clock,
            registry: registry.clone(),
            shutdown,
            mechanisms,
            shared: SharedState::default(),
            metrics: Metrics::new(registry, name),
            state: Mutex::default(),
            changed: Notify::new(),
            sets: watch::Sender::new(TargetSets::default()),
            delay_max: DELAY_MAX,
        }))
    }

    /// The same manager, of which no clone exists yet, with another longest delay between two updates.
    pub fn with_delay_max(mut self, delay_max: Option<Duration>) -> Self {
        if let (Some(delay_max), Some(inner)) = (delay_max, Arc::get_mut(&mut self.0)) {
            inner.delay_max = delay_max;
        }
        self
    }

    /// Switches to exactly these jobs. Providers that are still needed keep running; new ones are started. A
    /// section that cannot be started is logged and counted, and everything else runs.
    ///
    /// Must be called within a Tokio runtime.
    pub fn apply_config<'a>(&self, jobs: impl IntoIterator<Item = (&'a str, &'a DiscoveryConfigs)>) {
        let mut wanted: BTreeMap<String, Vec<Box<dyn AnySection>>> = BTreeMap::new();
        for (job, configs) in jobs {
            let sections = self.0.mechanisms.iter().flat_map(|mechanism| (mechanism.sections)(configs));
            wanted.entry(job.to_owned()).or_default().extend(sections);
        }
        let mut state = self.0.lock();
        for gone in state.jobs.iter().filter(|job| !wanted.contains_key(*job)) {
            self.0.metrics.forget_job(gone);
        }
        state.jobs = wanted.keys().cloned().collect();
        state.start_errors.clear();
        for provider in &mut state.providers {
            provider.jobs.clear();
        }
        let mut failed: u32 = 0;
        for (job, sections) in wanted {
            for section in sections {
                failed += u32::from(!self.subscribe_job(&mut state, &job, section));
            }
        }
        state.providers.retain(|provider| {
            let keep = !provider.jobs.is_empty();
            if !keep {
                provider.stop.request();
            }
            keep
        });
        self.0.metrics.failed_configs.set(f64::from(failed));
        drop(state);
        self.0.publish();
    }

    /// Adds the job to the provider of an equal section, or starts a new one; returns whether that succeeded.
    fn subscribe_job(&self, state: &mut State, job: &str, section: Box<dyn AnySection>) -> bool {
        if let Some(provider) =
            state.providers.iter_mut().find(|provider| provider.section.equals(section.as_ref()))
        {
            provider.jobs.insert(job.to_owned());
            return true;
        }
        state.next_id += 1;
        let id = state.next_id;
        let context = Context {
            clock: self.0.clock.clone(),
            registry: self.0.registry.clone(),
            job: job.into(),
            shared: self.0.shared.clone(),
        };
        let inner = self.0.clone();
        let output = Output::new(move |groups| inner.replace_groups(id, groups));
        let (groups, run) = match section.start(&context, output) {
            Ok(started) => started,
            Err(error) => {
                ferula_telemetry::error!(
                    "Cannot create service discovery",
                    type = section.mechanism(),
                    config = job,
                    err = error
                );
                state.start_errors.push(error.to_string());
                return false;
            }
        };
        let stop = self.0.shutdown.child();
        tokio::spawn(supervise(run, stop.clone(), section.mechanism(), context.job));
        let jobs = BTreeSet::from([job.to_owned()]);
        state.providers.push(RunningProvider {
            id,
            section,
            jobs,
            has_reported: !groups.is_empty(),
            groups,
            stop,
        });
        true
    }

    /// Why sections of the last configuration could not be started.
    pub fn start_errors(&self) -> Vec<String> {
        self.0.lock().start_errors.clone()
    }

    /// Returns when every provider has reported once and its groups have been distributed, which requires
    /// [`Manager::run`]. A provider that keeps failing delays this forever, so callers set a timeout.
    pub async fn first_targets(&self) -> TargetSets {
        let mut sets = self.subscribe();
        let all_reported =
            |_: &TargetSets| self.0.lock().providers.iter().all(|provider| provider.has_reported);
        // An error means that the manager is gone, and then there is nothing to find.
        let _ = sets.wait_for(all_reported).await.map(drop);
        // The last groups may not have been distributed yet.
        self.0.publish();
        self.0.sets.borrow().clone()
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &SharedState {
        &self.0.shared
    }

    /// Subscribes to the groups of all jobs, starting with the current ones.
    pub fn subscribe(&self) -> watch::Receiver<TargetSets> {
        self.0.sets.subscribe()
    }

    /// Distributes the groups that providers report, throttled, until shutdown.
    pub async fn run(&self) {
        let inner = &self.0;
        let mut delay = DELAY_MIN.min(inner.delay_max);
        let mut last_sent: Option<Duration> = None;
        loop {
            tokio::select! {
                () = inner.changed.notified() => {}
                () = inner.shutdown.requested() => return,
            }
            let idle = last_sent.map_or(Duration::MAX, |sent| inner.clock.elapsed().saturating_sub(sent));
            if idle < delay {
                inner.metrics.delayed();
                tokio::select! {
                    () = inner.clock.sleep(delay - idle) => {}
                    () = inner.shutdown.requested() => return,
                }
            }
            inner.publish();
            last_sent = Some(inner.clock.elapsed());
            let delay_max = inner.delay_max;
            delay = if idle > delay_max { DELAY_MIN.min(delay_max) } else { (delay * 3 / 2).min(delay_max) };
        }
    }
}

/// Runs a provider until it is stopped. A panic affects nothing else: its groups stay as they are.
async fn supervise(run: Run, stop: Shutdown, mechanism: &'static str, job: Arc<str>) {
    let mut task = tokio::spawn(run);
    tokio::select! {
        ended = &mut task => {
            if ended.is_err_and(|error| error.is_panic()) {
                ferula_telemetry::error!("Service discovery panicked", discovery = mechanism, config = job);
            }
        }
        () = stop.requested() => task.abort(),
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    fn publish(&self) {
        // Held while sending, so that an older state never follows a newer one.
        let state = self.lock();
        let mut sets: BTreeMap<String, Groups> =
            state.jobs.iter().map(|job| (job.clone(), Vec::new())).collect();
        for provider in &state.providers {
            for job in &provider.jobs {
                let found = provider.groups.iter().filter(|group| !group.targets.is_empty());
                sets.entry(job.clone()).or_default().extend(found.cloned());
            }
        }
        let count = |groups: &[Arc<TargetGroup>]| groups.iter().map(|group| group.targets.len()).sum();
        self.metrics
            .sent(self.clock.now().seconds(), sets.iter().map(|(job, groups)| (job.as_str(), count(groups))));
        self.sets.send_replace(Arc::new(sets));
    }

    /// Replaces the groups of a provider; groups that arrive after the provider was stopped are dropped.
    fn replace_groups(&self, id: u64, groups: Groups) {
        self.metrics.received();
        if let Some(provider) = self.lock().providers.iter_mut().find(|provider| provider.id == id) {
            provider.groups = groups;
            provider.has_reported = true;
        }
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use ferula_config::Config;
    use ferula_model::Timestamp;
    use ferula_runtime::SimClock;

    use super::*;

    struct TestBed {
        clock: SimClock,
        manager: Manager,
        shutdown: Shutdown,
    }

    fn bed() -> TestBed {
        let clock = SimClock::at(Timestamp::from_millis(0));
        let shutdown = Shutdown::new();
        let manager = Manager::new("scrape", Arc::new(clock.clone()), &Registry::new(), shutdown.clone());
        TestBed { clock, manager, shutdown }
    }

    impl TestBed {
        fn apply(&self, yaml: &str) {
            let config = Config::parse(yaml).expect("a good configuration");
            self.manager.apply_config(
                config.scrape_configs.iter().map(|job| (job.job_name.as_str(), &job.discovery)),
            );
        }

        fn shown(&self) -> Vec<String> {
            let sets = self.manager.subscribe().borrow().clone();
            sets.iter()
                .map(|(job, groups)| {
                    let targets: Vec<&str> = groups
                        .iter()
                        .flat_map(|g| g.targets.iter().map(|t| t.value("__address__")))
                        .collect();
                    format!("{job}: {}", targets.join(","))
                })
                .collect()
        }
    }

    #[tokio::test]
    async fn static_targets_are_known_at_once_and_follow_the_configuration() {
        let bed = bed();
        bed.apply(
            "scrape_configs:\n- job_name: a\n  static_configs: [{targets: [x:1, x:2]}]\n- job_name: b\n- job_name: c\n  static_configs: [{targets: [x:1, x:2]}]\n",
        );
        assert_eq!(bed.shown(), ["a: x:1,x:2", "b: ", "c: x:1,x:2"]);
        assert_eq!(bed.manager.0.lock().providers.len(), 1, "equal sections share a provider");
        bed.apply("scrape_configs:\n- job_name: a\n  static_configs: [{targets: [x:3]}]\n");
        assert_eq!(bed.shown(), ["a: x:3"]);
        bed.apply("");
        assert_eq!(bed.shown(), Vec::<String>::new());
        assert_eq!(bed.manager.0.lock().providers.len(), 0);
    }

    #[tokio::test]
    async fn files_are_read_at_once_and_after_each_change() {
        let bed = bed();
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("t.yml");
        std::fs::write(&file, "- targets: [f:1]\n").expect("written");
        let mut updates = bed.manager.subscribe();
        bed.apply(&format!(
            "scrape_configs:\n- job_name: a\n  file_sd_configs: [{{files: ['{}']}}]\n",
            file.display()
        ));
        let runner = tokio::spawn({
            let manager = bed.manager.clone();
            async move { manager.run().await }
        });
        let has = |target: &'static str| {
            move |sets: &TargetSets| {
                sets["a"].iter().any(|g| g.targets.iter().any(|t| t.value("__address__") == target))
            }
        };
        updates.wait_for(|sets| sets.contains_key("a")).await.expect("the manager lives");
        updates.wait_for(has("f:1")).await.expect("the manager lives");
        std::fs::write(&file, "- targets: [f:1, f:2]\n").expect("written");
        // Time advances until the change is noticed: files are compared every two seconds, and updates are
        // throttled.
        tokio::select! {
            found = updates.wait_for(has("f:2")) => { found.expect("the manager lives"); }
            () = async { loop { bed.clock.advance_to_next(); tokio::task::yield_now().await; } } => {}
        }
        bed.shutdown.request();
        runner.await.expect("the manager does not panic");
    }
}
