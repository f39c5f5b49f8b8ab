//! Tracks the current Alertmanagers and routes every alert to each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_config::Config;
use ferula_config::alerting::AlertmanagerConfig;
use ferula_config::discovery::DiscoveryConfigs;
use ferula_discovery::TargetSets;
use ferula_go::sync::MutexExt;
use ferula_http_client::{HttpClient, SetupError};
use ferula_model::relabel::{Rule, process};
use ferula_model::{Alert, AlertSink, LabelSet};
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{Registry, error, info, warn};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::alertmanager::Addresses;
use crate::metrics::Metrics;
use crate::send::{AlertmanagerClient, Sender, SenderOptions};

/// How long to wait before retrying to create a client.
const CLIENT_RETRY: Duration = Duration::from_secs(5);

/// Options that stay fixed for the manager's lifetime.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--alertmanager.notification-queue-capacity`
    pub queue_capacity: usize,
    /// `--alertmanager.notification-batch-size`
    pub batch_size: usize,
    /// `--alertmanager.drain-notification-queue-on-shutdown`
    pub drain_on_shutdown: bool,
    /// Sent as `User-Agent`.
    pub user_agent: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            queue_capacity: 10_000,
            batch_size: 256,
            drain_on_shutdown: true,
            user_agent: "Prometheus/3.14.0",
        }
    }
}

/// Why a section is not in use.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The client of a section could not be created.
    #[error("alertmanagers[{index}]: {error}")]
    Client { index: usize, error: SetupError },
}

/// A snapshot of the Alertmanagers for the API: the addresses that alerts are posted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertmanagersSnapshot {
    /// Alertmanagers that receive alerts.
    pub active: Vec<String>,
    /// Alertmanagers that relabelling dropped.
    pub dropped: Vec<String>,
}

/// Sends alerts to all Alertmanagers. Clones share one manager.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    options: Options,
    metrics: Metrics,
    clock: SharedClock,
    shutdown: Shutdown,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// An Alertmanager in the same process.
    local: Option<Arc<dyn AlertSink>>,
    external_labels: BTreeMap<String, String>,
    rules: Vec<Rule>,
    sets: Vec<Set>,
}

/// The Alertmanagers of one section.
struct Set {
    /// The section's name in discovery.
    job: String,
    config: AlertmanagerConfig,
    /// `None` while its files cannot be read; retried on every discovery update.
    client: Option<AlertmanagerClient>,
    target_rules: Vec<Rule>,
    alert_rules: Vec<Rule>,
    addresses: Addresses,
    senders: Vec<Running>,
}

struct Running {
    sender: Arc<Sender>,
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Set {
    /// Creates the client if there is none yet.
    fn make_client(&mut self, user_agent: &'static str) -> Result<(), SetupError> {
        if self.client.is_some() {
            return Ok(());
        }
        match AlertmanagerClient::of(&self.config, user_agent) {
            Ok(client) => {
                if let Some(caveat) = HttpClient::caveat(&self.config.http) {
                    warn!(caveat, section = self.job);
                }
                self.client = Some(client);
            }
            Err(error) => {
                error!("Creating the client of Alertmanagers failed", section = self.job, err = error);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Manager {
    /// Creates a manager without Alertmanagers.
    pub fn new(options: Options, registry: &Registry, clock: SharedClock, shutdown: Shutdown) -> Self {
        let metrics = Metrics::new(registry, options.queue_capacity);
        Manager(Arc::new(Inner { options, metrics, clock, shutdown, state: Mutex::default() }))
    }

    /// Also sends every alert to `sink`, with external labels added and the global alert relabelling applied.
    pub fn set_local(&self, sink: Arc<dyn AlertSink>) {
        self.0.state().local = Some(sink);
    }

    /// The sections of a configuration, each with the name that discovery should run it under.
    pub fn discovery_jobs(config: &Config) -> Vec<(String, &DiscoveryConfigs)> {
        let sections = config.alerting.alertmanagers.iter().enumerate();
        sections.map(|(index, section)| (format!("config-{index}"), &section.discovery)).collect()
    }

    /// Applies the sections of a configuration. An unchanged section keeps its Alertmanagers and
    /// their queues, even if its position changed.
    ///
    /// Returns why some sections cannot be used. The others are applied, and these are tried again.
    #[must_use = "sections that cannot be used"]
    pub fn apply_config(&self, config: &Config) -> Vec<ApplyError> {
        let names = &config.global.metric_name_validation_scheme;
        let compiled = |rules| ferula_config::relabel::compiled(rules, names);
        let mut sets = Vec::new();
        for (index, section) in config.alerting.alertmanagers.iter().enumerate() {
            sets.push(Set {
                job: format!("config-{index}"),
                config: section.clone(),
                client: None,
                target_rules: section.target_rules(&config.global),
                alert_rules: compiled(&section.alert_relabel_configs),
                addresses: Addresses::default(),
                senders: Vec::new(),
            });
        }
        let mut state = self.0.state();
        state.external_labels.clone_from(&config.global.external_labels.0);
        state.rules = compiled(&config.alerting.alert_relabel_configs);
        let mut old = std::mem::take(&mut state.sets);
        for set in &mut sets {
            if let Some(at) = old.iter().position(|old| old.config == set.config) {
                let before = old.swap_remove(at);
                (set.addresses, set.senders, set.client) = (before.addresses, before.senders, before.client);
            }
        }
        let mut failed = Vec::new();
        for (index, set) in sets.iter_mut().enumerate() {
            if let Err(error) = set.make_client(self.0.options.user_agent) {
                failed.push(ApplyError::Client { index, error });
            }
        }
        state.sets = sets;
        for gone in old.into_iter().flat_map(|set| set.senders) {
            self.0.end(gone);
        }
        self.0.count(&state);
        failed
    }

    /// Follows discovery until shutdown, then drains the queues and returns.
    pub async fn run(&self, mut targets: watch::Receiver<TargetSets>) {
        loop {
            let sets = targets.borrow_and_update().clone();
            self.0.sync(&sets);
            let lacks_client = self.0.state().sets.iter().any(|set| set.client.is_none());
            tokio::select! {
                // A missing file may exist now, and discovery does not report that.
                () = self.0.clock.sleep(CLIENT_RETRY), if lacks_client => {}
                changed = targets.changed() => if changed.is_err() {
                    self.0.shutdown.requested().await;
                    break;
                },
                () = self.0.shutdown.requested() => break,
            }
        }
        info!("Stopping notification manager...");
        let senders: Vec<Running> =
            self.0.state().sets.iter_mut().flat_map(|set| std::mem::take(&mut set.senders)).collect();
        for running in &senders {
            running.stop.request();
        }
        for running in senders {
            if let Err(error) = running.task.await {
                error!("Sending alerts ended badly", alertmanager = running.sender.url, err = error);
            }
        }
        info!("Notification manager stopped");
    }

    /// The current Alertmanagers.
    pub fn snapshot(&self) -> AlertmanagersSnapshot {
        let state = self.0.state();
        AlertmanagersSnapshot {
            active: state.sets.iter().flat_map(|set| set.addresses.active.clone()).collect(),
            dropped: state.sets.iter().flat_map(|set| set.addresses.dropped.clone()).collect(),
        }
    }
}

impl AlertSink for Manager {
    fn send(&self, alerts: Vec<Alert>) {
        if self.0.shutdown.is_requested() {
            return;
        }
        let state = self.0.state();
        let alerts =
            relabelled(alerts.into_iter().map(Arc::new).collect(), &state.rules, &state.external_labels);
        if let Some(local) = &state.local {
            local.send(alerts.iter().map(|alert| Alert::clone(alert)).collect());
        }
        for set in &state.sets {
            if set.senders.is_empty() {
                continue;
            }
            let own = relabelled(alerts.clone(), &set.alert_rules, &BTreeMap::new());
            if own.is_empty() {
                continue;
            }
            for running in &set.senders {
                running.sender.add(&own);
            }
        }
    }
}

/// Adds labels that an alert lacks and applies the rules. Alerts that a rule drops are left out.
fn relabelled(
    alerts: Vec<Arc<Alert>>,
    rules: &[Rule],
    missing: &BTreeMap<String, String>,
) -> Vec<Arc<Alert>> {
    if rules.is_empty() && missing.is_empty() {
        return alerts;
    }
    let change = |alert: Arc<Alert>| {
        let mut labels = alert.labels.to_builder();
        for (name, value) in missing {
            if alert.labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        if !process(rules, &mut labels) {
            return None;
        }
        let labels: LabelSet = labels.finish();
        Some(if labels == alert.labels { alert } else { Arc::new(Alert { labels, ..Alert::clone(&alert) }) })
    };
    alerts.into_iter().filter_map(change).collect()
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    fn count(&self, state: &State) {
        let active: usize = state.sets.iter().map(|set| set.addresses.active.len()).sum();
        self.metrics.discovered.set(active as f64);
    }

    /// Applies discovery results: starts senders for new addresses and stops those of removed ones.
    fn sync(self: &Arc<Self>, targets: &TargetSets) {
        let mut state = self.state();
        for set in &mut state.sets {
            let Some(groups) = targets.get(&set.job) else { continue };
            set.addresses =
                Addresses::of_groups(&set.config, &set.target_rules, groups.iter().map(|group| &**group));
            let (stay, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut set.senders)
                .into_iter()
                .partition(|running| set.addresses.active.contains(&running.sender.url));
            set.senders = stay;
            for running in gone {
                self.end(running);
            }
            // The error has already been logged.
            if set.make_client(self.options.user_agent).is_err() {
                continue;
            }
            let Some(client) = set.client.clone() else { continue };
            for url in &set.addresses.active {
                if set.senders.iter().all(|running| running.sender.url != *url) {
                    set.senders.push(self.start(client.clone(), url, set.config.timeout));
                }
            }
        }
        self.count(&state);
    }

    fn start(&self, client: AlertmanagerClient, url: &str, timeout: std::time::Duration) -> Running {
        let sender = Arc::new(Sender::new(
            url.to_owned(),
            SenderOptions {
                client,
                metrics: self.metrics.of(url),
                timeout,
                queue_capacity: self.options.queue_capacity,
                batch_size: self.options.batch_size.max(1),
                clock: self.clock.clone(),
            },
        ));
        // Not a child of the server's shutdown: alerts that rules send last must still reach the queue.
        let stop = Shutdown::new();
        let task = tokio::spawn(sender.clone().run(stop.clone(), self.options.drain_on_shutdown));
        Running { sender, stop, task }
    }

    /// Stops the sender of a removed address. Its queued alerts get one last attempt.
    fn end(&self, running: Running) {
        running.stop.request();
        tokio::spawn(async move {
            if let Err(error) = running.task.await {
                error!("Sending alerts ended badly", alertmanager = running.sender.url, err = error);
            }
        });
    }
}
