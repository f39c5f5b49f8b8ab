//! The notifier's own metrics, by Prometheus' names.

use ferula_telemetry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};

/// What is counted of all Alertmanagers.
#[derive(Clone)]
pub(crate) struct Metrics {
    latency: SummaryVec,
    latency_histogram: HistogramVec,
    errors: CounterVec,
    sent: CounterVec,
    dropped: CounterVec,
    queue_length: GaugeVec,
    pub discovered: Gauge,
}

/// What is counted of one Alertmanager.
#[derive(Clone)]
pub(crate) struct OfOne {
    pub latency: Summary,
    pub latency_histogram: Histogram,
    pub errors: Counter,
    pub sent: Counter,
    pub dropped: Counter,
    pub queue_length: Gauge,
}

impl Metrics {
    pub fn new(registry: &Registry, queue_capacity: usize) -> Self {
        const LABELS: [&str; 1] = ["alertmanager"];
        let counter = |name: &str, help: &str| registry.counter_vec(name, help, &LABELS);
        registry
            .gauge(
                "prometheus_notifications_queue_capacity",
                "The capacity of the alert notifications queue.",
            )
            .set(queue_capacity as f64);
        Metrics {
            latency: registry.summary_vec(
                "prometheus_notifications_latency_seconds",
                "Latency quantiles for sending alert notifications.",
                &[0.5, 0.9, 0.99],
                &LABELS,
            ),
            latency_histogram: registry.histogram_vec(
                "prometheus_notifications_latency_histogram_seconds",
                "Latency histogram for sending alert notifications.",
                &[0.01, 0.1, 1.0, 10.0],
                &LABELS,
            ),
            errors: counter(
                "prometheus_notifications_errors_total",
                "Total number of sent alerts affected by errors.",
            ),
            sent: counter("prometheus_notifications_sent_total", "Total number of alerts sent."),
            dropped: counter(
                "prometheus_notifications_dropped_total",
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
            ),
            queue_length: registry.gauge_vec(
                "prometheus_notifications_queue_length",
                "The number of alert notifications in the queue.",
                &LABELS,
            ),
            discovered: registry.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
            ),
        }
    }

    pub fn of(&self, url: &str) -> OfOne {
        OfOne {
            latency: self.latency.with(&[url]),
            latency_histogram: self.latency_histogram.with(&[url]),
            errors: self.errors.with(&[url]),
            sent: self.sent.with(&[url]),
            dropped: self.dropped.with(&[url]),
            queue_length: self.queue_length.with(&[url]),
        }
    }

    pub fn forget(&self, url: &str) {
        self.latency.remove(&[url]);
        self.latency_histogram.remove(&[url]);
        self.errors.remove(&[url]);
        self.sent.remove(&[url]);
        self.dropped.remove(&[url]);
        self.queue_length.remove(&[url]);
    }
}
