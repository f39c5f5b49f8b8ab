//! What the manager counts, by Prometheus' names. A mechanism's own metrics are in its own file.

use ferula_telemetry::{CounterVec, Gauge, GaugeVec, Registry};

/// Instruments of one manager; `name` tells the scraper's from the notifier's.
#[derive(Clone)]
pub(crate) struct Metrics {
    name: &'static str,
    discovered_targets: GaugeVec,
    last_update: GaugeVec,
    received_updates: CounterVec,
    updates: CounterVec,
    updates_delayed: CounterVec,
    pub(crate) failed_configs: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, name: &'static str) -> Self {
        let counter = |metric: &str, help: &str| registry.counter_vec(metric, help, &["name"]);
        let failed = "Current number of service discovery configurations that failed to load.";
        let metrics = Metrics {
            name,
            discovered_targets: registry.gauge_vec(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            ),
            last_update: registry.gauge_vec(
                "prometheus_sd_last_update_timestamp_seconds",
                "Timestamp of the last update sent to the SD consumers.",
                &["name", "config"],
            ),
            received_updates: counter(
                "prometheus_sd_received_updates_total",
                "Total number of update events received from the SD providers.",
            ),
            updates: counter(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
            ),
            updates_delayed: counter(
                "prometheus_sd_updates_delayed_total",
                "Total number of update events that couldn't be sent immediately.",
            ),
            failed_configs: registry
                .gauge_vec("prometheus_sd_failed_configs", failed, &["name"])
                .with(&[name]),
        };
        // They are there, at 0, before anything happens.
        for family in [&metrics.received_updates, &metrics.updates, &metrics.updates_delayed] {
            family.with(&[name]);
        }
        metrics
    }

    pub(crate) fn received(&self) {
        self.received_updates.with(&[self.name]).inc();
    }

    pub(crate) fn delayed(&self) {
        self.updates_delayed.with(&[self.name]).inc();
    }

    /// An update went out; `jobs` has each job with its number of targets.
    pub(crate) fn sent<'a>(&self, now_seconds: f64, jobs: impl Iterator<Item = (&'a str, usize)>) {
        self.updates.with(&[self.name]).inc();
        for (job, targets) in jobs {
            self.discovered_targets.with(&[self.name, job]).set(targets as f64);
            self.last_update.with(&[self.name, job]).set(now_seconds);
        }
    }

    pub(crate) fn forget_job(&self, job: &str) {
        self.discovered_targets.remove(&[self.name, job]);
        self.last_update.remove(&[self.name, job]);
    }
}
