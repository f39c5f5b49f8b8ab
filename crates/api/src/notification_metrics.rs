//! Metrics of the live notifications.

use ferula_telemetry::{Counter, Gauge, Registry};

/// Counts the followers, and what they receive.
pub(crate) struct NotificationMetrics {
    pub(crate) followers: Gauge,
    pub(crate) sent: Counter,
}

impl NotificationMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        // A follower compares what it has sent with the current state, so there is no queue that could be full.
        registry.counter(
            "prometheus_api_notification_updates_dropped_total",
            "Notifications that a client did not receive because its queue was full. Always 0: there is no queue.",
        );
        NotificationMetrics {
            followers: registry.gauge(
                "prometheus_api_notification_active_subscribers",
                "Clients that follow the live notifications.",
            ),
            sent: registry.counter(
                "prometheus_api_notification_updates_sent_total",
                "Beginnings and ends of notifications that were sent to clients, one for each client.",
            ),
        }
    }
}
