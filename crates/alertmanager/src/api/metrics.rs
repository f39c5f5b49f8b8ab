//! What is counted of the alerts that come in.

use ferula_telemetry::{Counter, CounterVec, Registry};

/// Alerts that were received, and those that were refused.
pub(super) struct AlertMetrics {
    pub received: CounterVec,
    pub invalid: Counter,
}

impl AlertMetrics {
    pub fn new(registry: &Registry) -> Self {
        let received = registry.counter_vec(
            "alertmanager_alerts_received_total",
            "Alerts that clients sent, repeated ones included.",
            &["status", "version"],
        );
        received.with(&["firing", "v2"]);
        received.with(&["resolved", "v2"]);
        let invalid = registry.counter_vec(
            "alertmanager_alerts_invalid_total",
            "Alerts that were refused because something is wrong with them.",
            &["version"],
        );
        AlertMetrics { received, invalid: invalid.with(&["v2"]) }
    }
}
