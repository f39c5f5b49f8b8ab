//! Metrics of federation.

use ferula_telemetry::{Counter, Registry};

/// Counters of federation.
pub(crate) struct FederationMetrics {
    pub errors: Counter,
}

impl FederationMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        // Nothing here produces warnings; the counter exists for dashboards.
        registry.counter(
            "prometheus_web_federation_warnings_total",
            "Warnings on /federate pages that were answered anyway.",
        );
        FederationMetrics {
            errors: registry.counter(
                "prometheus_web_federation_errors_total",
                "Pages of /federate that failed because the store could not be read; check the log if it rises.",
            ),
        }
    }
}
