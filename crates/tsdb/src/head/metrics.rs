//! The head's own metrics, under Prometheus' names.

use ferula_telemetry::{Counter, CounterVec, Gauge, Histogram, Registry};

/// Metrics of a head; all of them start at 0.
#[derive(Clone)]
pub struct Metrics {
    pub series: Gauge,
    pub series_created: Counter,
    pub series_removed: Counter,
    pub series_refused: Counter,
    pub chunks: Gauge,
    pub chunks_created: Counter,
    pub chunks_removed: Counter,
    pub active_appenders: Gauge,
    pub appenders_created: Counter,
    pub samples_appended: [Counter; 2],
    pub out_of_order_samples_appended: [Counter; 2],
    pub out_of_order: [Counter; 2],
    pub out_of_bounds: [Counter; 2],
    pub too_old: [Counter; 2],
    pub exemplars_appended: Counter,
    pub exemplars_out_of_order: Counter,
    /// Number of series whose newest in-order sample is a histogram, and of buckets in all these samples.
    pub histogram_series: Gauge,
    pub histogram_buckets: Gauge,
    pub out_of_order_delta: Histogram,
}

/// Index into the counters that are kept by sample type.
pub const FLOAT: usize = 0;
/// See [`FLOAT`].
pub const HISTOGRAM: usize = 1;

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let by_type = |name: &str, help: &str| {
            let vec: CounterVec = registry.counter_vec(name, help, &["type"]);
            [vec.with(&["float"]), vec.with(&["histogram"])]
        };
        Metrics {
            series: registry
                .gauge("prometheus_tsdb_head_series", "Current number of series in the head. Memory grows with it; compare with ferula_tsdb_head_limit_series."),
            series_created: registry.counter(
                "prometheus_tsdb_head_series_created_total",
                "Series created in the head. A high rate means churn: labels whose values keep changing.",
            ),
            series_removed: registry.counter(
                "prometheus_tsdb_head_series_removed_total",
                "Series removed from the head because they no longer have samples in it.",
            ),
            series_refused: registry.counter(
                "ferula_tsdb_head_series_refused_total",
                "Series refused because the head was at its limit. Anything above 0 means lost data.",
            ),
            chunks: registry
                .gauge("prometheus_tsdb_head_chunks", "Current number of chunks in the head, in memory and in chunks_head."),
            chunks_created: registry.counter(
                "prometheus_tsdb_head_chunks_created_total",
                "Chunks created in the head.",
            ),
            chunks_removed: registry.counter(
                "prometheus_tsdb_head_chunks_removed_total",
                "Chunks removed from the head because their samples are in blocks.",
            ),
            active_appenders: registry.gauge(
                "prometheus_tsdb_head_active_appenders",
                "Current number of commits being prepared or written.",
            ),
            appenders_created: registry.counter(
                "prometheus_tsdb_head_appenders_created_total",
                "Commits that were begun, whatever their outcome.",
            ),
            samples_appended: by_type(
                "prometheus_tsdb_head_samples_appended_total",
                "Samples stored in the head, by type.",
            ),
            out_of_order_samples_appended: by_type(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Samples stored although their series had newer ones, by type.",
            ),
            out_of_order: by_type(
                "prometheus_tsdb_out_of_order_samples_total",
                "Samples refused because their series had a newer one, by type. The usual cause is that two senders write the same series.",
            ),
            out_of_bounds: by_type(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Samples refused because they were older than what the head accepts, by type. Check the sender's clock.",
            ),
            too_old: by_type(
                "prometheus_tsdb_too_old_samples_total",
                "Samples refused because they were older than the out-of-order window, by type.",
            ),
            exemplars_appended: registry.counter(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Exemplars stored.",
            ),
            exemplars_out_of_order: registry.counter(
                "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
                "Exemplars refused because their series had a newer one.",
            ),
            histogram_series: registry.gauge(
                "prometheus_tsdb_head_native_histogram_series",
                "Current number of series in the head whose newest in-order sample is a native histogram.",
            ),
            histogram_buckets: registry.gauge(
                "prometheus_tsdb_head_native_histogram_buckets",
                "Total number of buckets in the newest in-order samples of these series. Memory and disk space of histograms grow with it.",
            ),
            out_of_order_delta: registry.histogram(
                "prometheus_tsdb_sample_ooo_delta",
                "How far out-of-order samples were behind the newest sample of the head, whether they were stored or not, in seconds.",
                &[600.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0],
            ),
        }
    }
}
