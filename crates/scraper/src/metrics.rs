//! What the scraper counts, by Prometheus' names.

use std::time::Duration;

use ferula_telemetry::{Counter, CounterVec, GaugeVec, Registry, Summary, SummaryVec};

use crate::options::go_duration;

const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];

/// Instruments of the scraper.
#[derive(Clone)]
pub struct Metrics {
    /// Pools that were made.
    pub(crate) pools: Counter,
    /// Pools that could not be made.
    pub(crate) pools_failed: Counter,
    pub(crate) pool_reloads: Counter,
    pub(crate) pool_reloads_failed: Counter,
    pub(crate) exceeded_target_limit: Counter,
    pub(crate) exceeded_label_limits: Counter,
    pub(crate) exceeded_sample_limit: Counter,
    pub(crate) exceeded_body_size: Counter,
    pub(crate) cache_flush_forced: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    interval_length: SummaryVec,
    sync_length: SummaryVec,
    reload_length: SummaryVec,
    sync_failed: CounterVec,
    pub(crate) series_refused: CounterVec,
    syncs: CounterVec,
    targets: GaugeVec,
    target_limit: GaugeVec,
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(&format!("prometheus_target_{name}"), help);
        let job = ["scrape_job"];
        Metrics {
            pools: counter("scrape_pools_total", "Total number of scrape pool creation attempts."),
            pools_failed: counter(
                "scrape_pools_failed_total",
                "Total number of scrape pool creations that failed.",
            ),
            pool_reloads: counter("scrape_pool_reloads_total", "Total number of scrape pool reloads."),
            pool_reloads_failed: counter(
                "scrape_pool_reloads_failed_total",
                "Total number of failed scrape pool reloads.",
            ),
            exceeded_target_limit: counter(
                "scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            exceeded_label_limits: counter(
                "scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            exceeded_sample_limit: counter(
                "scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            exceeded_body_size: counter(
                "scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit",
            ),
            cache_flush_forced: counter(
                "scrapes_cache_flush_forced_total",
                "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
            ),
            duplicates: counter(
                "scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_order: counter(
                "scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            out_of_bounds: counter(
                "scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            exemplars_out_of_order: counter(
                "scrapes_exemplar_out_of_order_total",
                "Total number of exemplar rejected due to not being out of the expected order.",
            ),
            interval_length: registry.summary_vec(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                &QUANTILES,
                &["interval"],
            ),
            sync_length: registry.summary_vec(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                &QUANTILES,
                &job,
            ),
            reload_length: registry.summary_vec(
                "prometheus_target_reload_length_seconds",
                "Actual interval to reload the scrape pool with a given configuration.",
                &QUANTILES,
                &["interval"],
            ),
            series_refused: registry.counter_vec(
                "ferula_target_scrapes_series_refused_total",
                "Total number of samples of new series that were not stored because the store was at a limit.",
                &job,
            ),
            sync_failed: registry.counter_vec(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
                &job,
            ),
            syncs: registry.counter_vec(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
                &job,
            ),
            targets: registry.gauge_vec(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
                &job,
            ),
            target_limit: registry.gauge_vec(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
                &job,
            ),
        }
    }

    /// Where the time between two scrapes of this interval is observed.
    pub(crate) fn interval_length(&self, interval: Duration) -> Summary {
        self.interval_length.with(&[&go_duration(interval)])
    }

    pub(crate) fn reloaded(&self, interval: Duration, took: Duration) {
        self.reload_length.with(&[&go_duration(interval)]).observe_duration(took);
    }

    pub(crate) fn synced(&self, job: &str, targets: usize, failed: usize, limit: u64, took: Duration) {
        self.sync_length.with(&[job]).observe_duration(took);
        self.syncs.with(&[job]).inc();
        self.sync_failed.with(&[job]).add(failed as u64);
        self.targets.with(&[job]).set(targets as f64);
        self.target_limit.with(&[job]).set(limit as f64);
    }

    /// A job is gone.
    pub(crate) fn forget_job(&self, job: &str) {
        self.sync_length.remove(&[job]);
        self.syncs.remove(&[job]);
        self.sync_failed.remove(&[job]);
        self.series_refused.remove(&[job]);
        self.targets.remove(&[job]);
        self.target_limit.remove(&[job]);
    }
}
