//! The manager's metrics, under Prometheus' names. A mechanism's own metrics are in its file.

use ferula_telemetry::{CounterVec, Gauge, GaugeVec, Registry};

/// The metrics of one manager; `name` distinguishes the scraper's from the notifier's.
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
        let failed = "Discovery sections that could not be started, for example because of a missing certificate. Their targets are not scraped; the log names them.";
        let metrics = Metrics {
            name,
            discovered_targets: registry.gauge_vec(
                "prometheus_sd_discovered_targets",
                "Targets found for a job, before relabelling. A drop to 0 means that its discovery no longer finds anything.",
                &["name", "config"],
            ),
            last_update: registry.gauge_vec(
                "prometheus_sd_last_update_timestamp_seconds",
                "When the targets of a job were last updated, in seconds since 1970.",
                &["name", "config"],
            ),
            received_updates: counter(
                "prometheus_sd_received_updates_total",
                "Updates received from providers.",
            ),
            updates: counter(
                "prometheus_sd_updates_total",
                "Updates sent to consumers; one of them may combine several from providers.",
            ),
            updates_delayed: counter(
                "prometheus_sd_updates_delayed_total",
                "Updates that were delayed, by up to five seconds, because another one had just been sent.",
            ),
            failed_configs: registry
                .gauge_vec("prometheus_sd_failed_configs", failed, &["name"])
                .with(&[name]),
        };
        // Present with value 0 before anything happens.
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

    /// Counts an update; `jobs` contains each job with its number of targets.
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
