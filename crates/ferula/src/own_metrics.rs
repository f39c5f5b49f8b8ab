//! Metrics of the program as a whole.

use ferula_api::BuildInfo;
use ferula_telemetry::{Gauge, Registry, register_process_metrics};

use crate::version;

/// Whether and when the configuration was loaded.
#[derive(Clone)]
pub struct ReloadMetrics {
    successful: Gauge,
    success_time: Gauge,
}

impl ReloadMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Self {
        ReloadMetrics {
            successful: registry.gauge(
                "prometheus_config_last_reload_successful",
                "1 when the configuration was loaded the last time that was tried, 0 when it was refused and the one before is \
                 in use. Alert on 0.",
            ),
            success_time: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "When the current configuration was loaded, in seconds since 1970.",
            ),
        }
    }

    /// Records an attempt to load a configuration.
    pub fn note(&self, successful: bool, now_seconds: f64) {
        self.successful.set(f64::from(u8::from(successful)));
        if successful {
            self.success_time.set(now_seconds);
        }
    }
}

/// Registers the metrics of the process and of the build.
pub fn register(registry: &Registry, build: &BuildInfo) {
    register_process_metrics(registry);
    registry
        .gauge_vec(
            "prometheus_build_info",
            "Always 1. The labels name the version of Prometheus whose place this program takes, its own version (tags), \
             and how it was built. Join it to see which servers run what.",
            &["branch", "goarch", "goos", "goversion", "revision", "tags", "version"],
        )
        .with(&[
            &build.branch,
            version::architecture(),
            std::env::consts::OS,
            &build.go_version,
            &build.revision,
            &format!("ferula {}", version::FERULA_VERSION),
            &build.version,
        ])
        .set(1.0);
}
