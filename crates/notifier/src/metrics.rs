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
                "Alerts that may wait for one Alertmanager; beyond that the oldest are dropped.",
            )
            .set(queue_capacity as f64);
        Metrics {
            latency: registry.summary_vec(
                "prometheus_notifications_latency_seconds",
                "Seconds that it took to send a batch of alerts that arrived.",
                &[0.5, 0.9, 0.99],
                &LABELS,
            ),
            latency_histogram: registry.histogram_vec(
                "prometheus_notifications_latency_histogram_seconds",
                "Seconds that it took to send a batch of alerts that arrived.",
                &[0.01, 0.1, 1.0, 10.0],
                &LABELS,
            ),
            errors: counter(
                "prometheus_notifications_errors_total",
                "Alerts in batches that could not be delivered; most are tried again. Rising means an Alertmanager is down or refuses.",
            ),
            sent: counter(
                "prometheus_notifications_sent_total",
                "Alerts in batches that were sent and accepted.",
            ),
            dropped: counter(
                "prometheus_notifications_dropped_total",
                "Alerts that an Alertmanager never got: refused by it, or pushed out of a full queue. Should stay at 0.",
            ),
            queue_length: registry.gauge_vec(
                "prometheus_notifications_queue_length",
                "Alerts that wait for the Alertmanager. Near the capacity means that some will be dropped.",
                &LABELS,
            ),
            discovered: registry
                .gauge("prometheus_notifications_alertmanagers_discovered", "Alertmanagers that get alerts."),
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
