//! Counters of incoming alerts.

use ferula_telemetry::{Counter, Registry};

/// Received and refused alerts.
pub(super) struct AlertMetrics {
    pub firing: Counter,
    pub resolved: Counter,
    pub invalid: Counter,
}

impl AlertMetrics {
    pub fn new(registry: &Registry) -> Self {
        let received = registry.counter_vec(
            "alertmanager_alerts_received_total",
            "Alerts received from clients, including repeated ones.",
            &["status", "version"],
        );
        let invalid = registry.counter_vec(
            "alertmanager_alerts_invalid_total",
            "Alerts that were refused because they are invalid.",
            &["version"],
        );
        let of_status = |status: &str| received.with(&[status, "v2"]);
        AlertMetrics {
            firing: of_status("firing"),
            resolved: of_status("resolved"),
            invalid: invalid.with(&["v2"]),
        }
    }
}
