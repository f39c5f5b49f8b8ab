//! The notifier's own metrics, with Prometheus' names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use ferula_go::sync::MutexExt;
use ferula_telemetry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};

/// Metrics over all Alertmanagers.
#[derive(Clone)]
pub(crate) struct Metrics {
    latency: SummaryVec,
    latency_histogram: HistogramVec,
    errors: CounterVec,
    sent: CounterVec,
    dropped: CounterVec,
    queue_length: GaugeVec,
    pub discovered: Gauge,
    /// The number of senders per address. Two sections may name the same address, and a new sender may start while the
    /// old one for its address is still stopping.
    users: Arc<Mutex<HashMap<String, usize>>>,
}

/// Metrics of one address, as one of its senders sees them. They are removed with the last sender.
pub(crate) struct OfOne {
    all: Metrics,
    url: String,
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
                "Seconds it took to send each delivered batch of alerts.",
                &[0.5, 0.9, 0.99],
                &LABELS,
            ),
            latency_histogram: registry.histogram_vec(
                "prometheus_notifications_latency_histogram_seconds",
                "Seconds it took to send each delivered batch of alerts.",
                &[0.01, 0.1, 1.0, 10.0],
                &LABELS,
            ),
            errors: counter(
                "prometheus_notifications_errors_total",
                "Alerts in batches that could not be delivered; most are tried again. A rise means that an Alertmanager is down or refuses alerts.",
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
                "Alerts that wait for the Alertmanager. Near the capacity, alerts are about to be dropped.",
                &LABELS,
            ),
            discovered: registry.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "Alertmanagers that receive alerts.",
            ),
            users: Arc::default(),
        }
    }

    /// Returns the metrics of an address, for one of its senders.
    pub fn of(&self, url: &str) -> OfOne {
        // Held while the metrics are created, so that none is removed meanwhile.
        let mut users = self.users();
        *users.entry(url.to_owned()).or_default() += 1;
        OfOne {
            all: self.clone(),
            url: url.to_owned(),
            latency: self.latency.with(&[url]),
            latency_histogram: self.latency_histogram.with(&[url]),
            errors: self.errors.with(&[url]),
            sent: self.sent.with(&[url]),
            dropped: self.dropped.with(&[url]),
            queue_length: self.queue_length.with(&[url]),
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.users.locked()
    }
}

impl Drop for OfOne {
    fn drop(&mut self) {
        let (all, url) = (&self.all, &*self.url);
        let mut users = all.users();
        let Some(count) = users.get_mut(url) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        users.remove(url);
        all.latency.remove(&[url]);
        all.latency_histogram.remove(&[url]);
        all.errors.remove(&[url]);
        all.sent.remove(&[url]);
        all.dropped.remove(&[url]);
        all.queue_length.remove(&[url]);
    }
}
