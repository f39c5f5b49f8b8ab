//! What discovery counts, by Prometheus' names.

use ferula_telemetry::{Counter, CounterVec, Gauge, GaugeVec, Registry, Summary};

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
    pub(crate) file: FileMetrics,
}

/// Instruments of file discovery.
#[derive(Clone)]
pub(crate) struct FileMetrics {
    pub(crate) read_errors: Counter,
    pub(crate) scan_duration: Summary,
    mtime: GaugeVec,
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
            file: FileMetrics::new(registry),
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

impl FileMetrics {
    fn new(registry: &Registry) -> Self {
        FileMetrics {
            read_errors: registry
                .counter("prometheus_sd_file_read_errors_total", "The number of File-SD read errors."),
            scan_duration: registry.summary(
                "prometheus_sd_file_scan_duration_seconds",
                "The duration of the File-SD scan in seconds.",
                &[0.5, 0.9, 0.99],
            ),
            mtime: registry.gauge_vec(
                "prometheus_sd_file_mtime_seconds",
                "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.",
                &["filename"],
            ),
        }
    }

    pub(crate) fn set_mtime(&self, file: &str, seconds: f64) {
        self.mtime.with(&[file]).set(seconds);
    }

    pub(crate) fn forget_file(&self, file: &str) {
        self.mtime.remove(&[file]);
    }
}
