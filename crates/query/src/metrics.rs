//! The engine's metrics, with Prometheus' names.

use ferula_promql::QueryStats;
use ferula_telemetry::{Counter, Gauge, Histogram, Registry, Summary};

pub(crate) struct EngineMetrics {
    pub(crate) queries: Gauge,
    samples: Counter,
    samples_read: Counter,
    pub(crate) log_enabled: Gauge,
    pub(crate) log_failures: Counter,
    queue_time: Slice,
    prepare_time: Slice,
    inner_eval: Slice,
    result_sort: Slice,
}

/// One phase of queries, as a summary and as a histogram.
struct Slice(Summary, Histogram);

impl Slice {
    fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
        self.1.observe(seconds);
    }
}

impl EngineMetrics {
    pub(crate) fn new(registry: &Registry, concurrency_max: usize) -> Self {
        registry
            .gauge(
                "prometheus_engine_queries_concurrent_max",
                "How many queries may run at once (--query.max-concurrency); further ones wait.",
            )
            .set(concurrency_max as f64);
        let summaries = registry.summary_vec(
            "prometheus_engine_query_duration_seconds",
            "Seconds that queries of clients and rules spent in each phase (slice): waiting for a place, selecting series, evaluating, sorting.",
            &[0.5, 0.9, 0.99],
            &["slice"],
        );
        let histograms = registry.histogram_vec(
            "prometheus_engine_query_duration_histogram_seconds",
            "The durations of prometheus_engine_query_duration_seconds as a histogram, which can be added up over servers.",
            &[0.01, 0.1, 1.0, 10.0],
            &["slice"],
        );
        let slice = |name| Slice(summaries.with(&[name]), histograms.with(&[name]));
        EngineMetrics {
            queries: registry.gauge(
                "prometheus_engine_queries",
                "Queries of clients and rules running or waiting now. At prometheus_engine_queries_concurrent_max or above, queries wait for a place.",
            ),
            samples: registry.counter(
                "prometheus_engine_query_samples_total",
                "Samples that the steps of all queries looked at; a sample counts at every step whose window holds it.",
            ),
            samples_read: registry.counter(
                "prometheus_engine_query_samples_read_total",
                "Samples that all queries read from storage; a sample counts once per selector.",
            ),
            log_enabled: registry.gauge(
                "prometheus_engine_query_log_enabled",
                "1 while queries are written to global.query_log_file, otherwise 0.",
            ),
            log_failures: registry.counter(
                "prometheus_engine_query_log_failures_total",
                "Queries that could not be written to the query log; check the disk if it rises.",
            ),
            queue_time: slice("queue_time"),
            prepare_time: slice("prepare_time"),
            inner_eval: slice("inner_eval"),
            result_sort: slice("result_sort"),
        }
    }

    pub(crate) fn waited(&self, seconds: f64) {
        self.queue_time.observe(seconds);
    }

    pub(crate) fn count_samples(&self, stats: &QueryStats) {
        self.samples.add(stats.samples_total);
        self.samples_read.add(stats.samples_read);
    }

    /// Prometheus sorts the results of range queries only.
    pub(crate) fn time_phases(&self, stats: &QueryStats, is_range: bool) {
        self.prepare_time.observe(stats.timings.query_preparation_seconds);
        self.inner_eval.observe(stats.timings.inner_eval_seconds);
        if is_range {
            self.result_sort.observe(stats.timings.result_sort_seconds);
        }
    }
}

/// Counts a query while it waits or runs.
pub(crate) struct CountedQuery(Gauge);

impl CountedQuery {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        CountedQuery(gauge.clone())
    }
}

impl Drop for CountedQuery {
    fn drop(&mut self) {
        self.0.dec();
    }
}
