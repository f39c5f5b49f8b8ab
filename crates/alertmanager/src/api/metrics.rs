//! Counters of incoming alerts.

use ferula_telemetry::{Counter, CounterVec, Registry};

/// Received and refused alerts.
pub(super) struct AlertMetrics {
    pub received: CounterVec,
    pub invalid: Counter,
}

impl AlertMetrics {
    pub fn new(registry: &Registry) -> Self {
        let received = registry.counter_vec(
            "alertmanager_alerts_received_total",
            "Alerts received from clients, including repeated ones.",
            &["status", "version"],
        );
        received.with(&["firing", "v2"]);
        received.with(&["resolved", "v2"]);
        let invalid = registry.counter_vec(
            "alertmanager_alerts_invalid_total",
            "Alerts that were refused because they are invalid.",
            &["version"],
        );
        AlertMetrics { received, invalid: invalid.with(&["v2"]) }
    }
}
