//! Metrics of the program as a whole.

use ferula_api::BuildInfo;
use ferula_telemetry::{Gauge, Registry, register_process_metrics};

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
                "Whether the last configuration reload attempt was successful.",
            ),
            success_time: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
        }
    }

    /// Notes a load.
    pub fn note(&self, successful: bool, now_seconds: f64) {
        self.successful.set(f64::from(u8::from(successful)));
        if successful {
            self.success_time.set(now_seconds);
        }
    }
}

/// Registers what the process and the build are.
pub fn register(registry: &Registry, build: &BuildInfo) {
    register_process_metrics(registry);
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    registry
        .gauge_vec(
            "prometheus_build_info",
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which prometheus was built, and the goos and goarch for the build.",
            &["branch", "goarch", "goos", "goversion", "revision", "tags", "version"],
        )
        .with(&[
            &build.branch,
            arch,
            std::env::consts::OS,
            &build.go_version,
            &build.revision,
            concat!("ferula ", env!("CARGO_PKG_VERSION")),
            &build.version,
        ])
        .set(1.0);
}
