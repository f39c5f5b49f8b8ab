//! The head's own metrics, by Prometheus' names.

use ferula_telemetry::{Counter, CounterVec, Gauge, Registry};

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
                .gauge("prometheus_tsdb_head_series", "Total number of series in the head block."),
            series_created: registry.counter(
                "prometheus_tsdb_head_series_created_total",
                "Total number of series created in the head",
            ),
            series_removed: registry.counter(
                "prometheus_tsdb_head_series_removed_total",
                "Total number of series removed in the head",
            ),
            series_refused: registry.counter(
                "ferula_tsdb_head_series_refused_total",
                "Total number of attempts to create a series while the head was at a limit",
            ),
            chunks: registry
                .gauge("prometheus_tsdb_head_chunks", "Total number of chunks in the head block."),
            chunks_created: registry.counter(
                "prometheus_tsdb_head_chunks_created_total",
                "Total number of chunks created in the head",
            ),
            chunks_removed: registry.counter(
                "prometheus_tsdb_head_chunks_removed_total",
                "Total number of chunks removed in the head",
            ),
            active_appenders: registry.gauge(
                "prometheus_tsdb_head_active_appenders",
                "Number of currently active appender transactions",
            ),
            appenders_created: registry.counter(
                "prometheus_tsdb_head_appenders_created_total",
                "Total number of appender transactions created.",
            ),
            samples_appended: by_type(
                "prometheus_tsdb_head_samples_appended_total",
                "Total number of appended samples.",
            ),
            out_of_order_samples_appended: by_type(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Total number of appended out of order samples.",
            ),
            out_of_order: by_type(
                "prometheus_tsdb_out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
            ),
            out_of_bounds: by_type(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            ),
            too_old: by_type(
                "prometheus_tsdb_too_old_samples_total",
                "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
            ),
            exemplars_appended: registry.counter(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Total number of appended exemplars.",
            ),
            exemplars_out_of_order: registry.counter(
                "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
                "Total number of out of order exemplar ingestion failed attempts.",
            ),
        }
    }
}
