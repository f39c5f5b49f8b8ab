//! The head's own metrics, by Prometheus' names.

use ferula_telemetry::{Counter, CounterVec, Gauge, Histogram, Registry};

/// Metrics of a head; all of them count from 0 at start.
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
    /// Series whose newest in-order sample is a histogram, and the buckets of all of those samples.
    pub histogram_series: Gauge,
    pub histogram_buckets: Gauge,
    /// Seconds.
    pub out_of_order_delta: Histogram,
}

/// Index into the counters that are kept by kind of sample.
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
                .gauge("prometheus_tsdb_head_series", "Series in the head now. Memory grows with it; compare with ferula_tsdb_head_limit_series."),
            series_created: registry.counter(
                "prometheus_tsdb_head_series_created_total",
                "Series that were made in the head. A high rate means churn: labels whose values keep changing.",
            ),
            series_removed: registry.counter(
                "prometheus_tsdb_head_series_removed_total",
                "Series that left the head because nothing was appended to them any more.",
            ),
            series_refused: registry.counter(
                "ferula_tsdb_head_series_refused_total",
                "Series that were refused because the head was at its limit. Anything above 0 is lost data.",
            ),
            chunks: registry
                .gauge("prometheus_tsdb_head_chunks", "Chunks of the head, in memory and in chunks_head."),
            chunks_created: registry.counter(
                "prometheus_tsdb_head_chunks_created_total",
                "Chunks that were begun in the head.",
            ),
            chunks_removed: registry.counter(
                "prometheus_tsdb_head_chunks_removed_total",
                "Chunks that left the head, because blocks have their samples.",
            ),
            active_appenders: registry.gauge(
                "prometheus_tsdb_head_active_appenders",
                "Commits that are being prepared or written now.",
            ),
            appenders_created: registry.counter(
                "prometheus_tsdb_head_appenders_created_total",
                "Commits that were begun, whatever became of them.",
            ),
            samples_appended: by_type(
                "prometheus_tsdb_head_samples_appended_total",
                "Samples that were stored in the head, by kind.",
            ),
            out_of_order_samples_appended: by_type(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Samples that were stored although newer ones of their series were there, by kind.",
            ),
            out_of_order: by_type(
                "prometheus_tsdb_out_of_order_samples_total",
                "Samples that were refused because a newer one of their series was there, by kind. Two senders of one series are the usual cause.",
            ),
            out_of_bounds: by_type(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Samples that were refused because they were older than what the head still takes, by kind. Look at the clock of the sender.",
            ),
            too_old: by_type(
                "prometheus_tsdb_too_old_samples_total",
                "Samples that were refused because they were older than the out-of-order window, by kind.",
            ),
            exemplars_appended: registry.counter(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Exemplars that were stored.",
            ),
            exemplars_out_of_order: registry.counter(
                "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
                "Exemplars that were refused because a newer one of their series was there.",
            ),
            histogram_series: registry.gauge(
                "prometheus_tsdb_head_native_histogram_series",
                "Series of the head whose newest in-order sample is a native histogram.",
            ),
            histogram_buckets: registry.gauge(
                "prometheus_tsdb_head_native_histogram_buckets",
                "Buckets of the newest in-order sample of those series, together. Memory and disk of histograms grow with them.",
            ),
            out_of_order_delta: registry.histogram(
                "prometheus_tsdb_sample_ooo_delta",
                "Seconds by which samples that came out of order were behind the newest sample of the head, whether they were stored or not.",
                &[600.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0],
            ),
        }
    }
}
