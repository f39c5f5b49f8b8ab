//! The scraper's metrics, with Prometheus' names.

use std::time::Duration;

use ferula_telemetry::{
    Counter, CounterVec, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};

use crate::options::go_duration;

/// Upper bounds in seconds, as in Prometheus.
const BOUNDS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];

/// Instruments of the scraper.
#[derive(Clone)]
pub struct Metrics {
    /// Pools to create, successful or not.
    pub(crate) pools: Counter,
    /// Pools that could not be created.
    pub(crate) pools_failed: Counter,
    pub(crate) pool_reloads: Counter,
    pub(crate) pool_reloads_failed: Counter,
    pub(crate) exceeded_target_limit: Counter,
    pub(crate) exceeded_label_limits: Counter,
    pub(crate) exceeded_sample_limit: Counter,
    pub(crate) exceeded_body_size: Counter,
    pub(crate) exceeded_bucket_limit: Counter,
    pub(crate) cache_flush_forced: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    /// From the start of a scrape until its samples are stored.
    pub(crate) scrape_duration: Histogram,
    interval_length: SummaryVec,
    interval_length_histogram: HistogramVec,
    sync_length: SummaryVec,
    sync_length_histogram: HistogramVec,
    reload_length: SummaryVec,
    sync_failed: CounterVec,
    pub(crate) series_refused: CounterVec,
    syncs: CounterVec,
    targets: GaugeVec,
    target_limit: GaugeVec,
    symbols: GaugeVec,
}

/// Observes the time between two scrapes.
#[derive(Clone)]
pub(crate) struct IntervalLength(Summary, Histogram);

impl IntervalLength {
    pub(crate) fn observe(&self, length: Duration) {
        self.0.observe_duration(length);
        self.1.observe_duration(length);
    }
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(&format!("prometheus_target_{name}"), help);
        let job = ["scrape_job"];
        Metrics {
            pools: counter("scrape_pools_total", "Attempts to create a pool of targets for a job, successful or not."),
            pools_failed: counter(
                "scrape_pools_failed_total",
                "Jobs whose pool of targets could not be created; they are not scraped. The log names the file or option.",
            ),
            pool_reloads: counter("scrape_pool_reloads_total", "Reloads of jobs whose section had changed."),
            pool_reloads_failed: counter(
                "scrape_pool_reloads_failed_total",
                "Reloads that failed; such a job continues with its old options.",
            ),
            exceeded_target_limit: counter(
                "scrape_pool_exceeded_target_limit_total",
                "Times that a job had more targets than target_limit; all of its targets fail until it has fewer.",
            ),
            exceeded_label_limits: counter(
                "scrape_pool_exceeded_label_limits_total",
                "Pages refused because a sample had too many or too long labels (label_limit and the like).",
            ),
            exceeded_sample_limit: counter(
                "scrapes_exceeded_sample_limit_total",
                "Pages refused because they had more samples than sample_limit.",
            ),
            exceeded_bucket_limit: counter(
                "scrapes_exceeded_native_histogram_bucket_limit_total",
                "Pages refused because a native histogram had more buckets than native_histogram_bucket_limit and could not be made coarser.",
            ),
            exceeded_body_size: counter(
                "scrapes_exceeded_body_size_limit_total",
                "Pages refused because they had as many bytes as body_size_limit, or 256 MiB where no limit is set.",
            ),
            cache_flush_forced: counter(
                "scrapes_cache_flush_forced_total",
                "Times that the known series of a target were forgotten because they had become too many while its scrapes failed.",
            ),
            duplicates: counter(
                "scrapes_sample_duplicate_timestamp_total",
                "Samples dropped because their series has another value at the same time already.",
            ),
            out_of_order: counter(
                "scrapes_sample_out_of_order_total",
                "Samples dropped because their series has a newer sample already.",
            ),
            out_of_bounds: counter(
                "scrapes_sample_out_of_bounds_total",
                "Samples dropped because their time is too far back or more than ten minutes ahead: check the clocks.",
            ),
            exemplars_out_of_order: counter(
                "scrapes_exemplar_out_of_order_total",
                "Exemplars dropped because their series has a newer one already.",
            ),
            scrape_duration: registry
                .native_histogram_vec(
                    "prometheus_target_scrape_duration_seconds",
                    "Seconds from the start of a scrape until its samples are stored, over all targets.",
                    &[],
                    &[],
                )
                .with(&[]),
            interval_length_histogram: registry.native_histogram_vec(
                "prometheus_target_interval_length_histogram_seconds",
                "Seconds between the starts of two scrapes of a target, by configured interval.",
                &BOUNDS,
                &["interval"],
            ),
            sync_length_histogram: registry.native_histogram_vec(
                "prometheus_target_sync_length_histogram_seconds",
                "Seconds it took to turn discovered groups into targets, by job.",
                &BOUNDS,
                &job,
            ),
            symbols: registry.gauge_vec(
                "prometheus_target_scrape_pool_symboltable_items",
                "Symbols of the job's table of label texts. Always 0: targets share their texts without such a table.",
                &job,
            ),
            interval_length: registry.summary_vec(
                "prometheus_target_interval_length_seconds",
                "Seconds between the starts of two scrapes of a target, by configured interval. Longer than that means too little CPU.",
                &QUANTILES,
                &["interval"],
            ),
            sync_length: registry.summary_vec(
                "prometheus_target_sync_length_seconds",
                "Seconds it took to turn discovered groups into targets, by job.",
                &QUANTILES,
                &job,
            ),
            reload_length: registry.summary_vec(
                "prometheus_target_reload_length_seconds",
                "Seconds it took to reload a changed job, by scrape interval.",
                &QUANTILES,
                &["interval"],
            ),
            series_refused: registry.counter_vec(
                "ferula_target_scrapes_series_refused_total",
                "Samples of new series that were not stored because the head had reached its limit of memory or series.",
                &job,
            ),
            sync_failed: registry.counter_vec(
                "prometheus_target_sync_failed_total",
                "Discovered targets that cannot be scraped, because of an invalid label; the log names it.",
                &job,
            ),
            syncs: registry.counter_vec(
                "prometheus_target_scrape_pool_sync_total",
                "Times that discovered groups were turned into targets.",
                &job,
            ),
            targets: registry.gauge_vec(
                "prometheus_target_scrape_pool_targets",
                "Targets that the job scrapes now.",
                &job,
            ),
            target_limit: registry.gauge_vec(
                "prometheus_target_scrape_pool_target_limit",
                "target_limit of the job; 0 means no limit.",
                &job,
            ),
        }
    }

    /// The observer of times between two scrapes with this interval.
    pub(crate) fn interval_length(&self, interval: Duration) -> IntervalLength {
        let label = go_duration(interval);
        let labels = [label.as_str()];
        IntervalLength(self.interval_length.with(&labels), self.interval_length_histogram.with(&labels))
    }

    pub(crate) fn reloaded(&self, interval: Duration, took: Duration) {
        self.reload_length.with(&[&go_duration(interval)]).observe_duration(took);
    }

    pub(crate) fn synced(&self, job: &str, targets: usize, failed: usize, limit: u64, took: Duration) {
        self.sync_length.with(&[job]).observe_duration(took);
        self.sync_length_histogram.with(&[job]).observe_duration(took);
        self.symbols.with(&[job]).set(0.0);
        self.syncs.with(&[job]).inc();
        self.sync_failed.with(&[job]).add(failed as u64);
        self.targets.with(&[job]).set(targets as f64);
        self.target_limit.with(&[job]).set(limit as f64);
    }

    /// Drops the metrics of a job that was removed.
    pub(crate) fn forget_job(&self, job: &str) {
        self.sync_length.remove(&[job]);
        self.sync_length_histogram.remove(&[job]);
        self.symbols.remove(&[job]);
        self.syncs.remove(&[job]);
        self.sync_failed.remove(&[job]);
        self.series_refused.remove(&[job]);
        self.targets.remove(&[job]);
        self.target_limit.remove(&[job]);
    }
}
