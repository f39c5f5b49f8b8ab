//! Metrics of an agent's store, by Prometheus' names.

use ferula_telemetry::{Counter, Gauge, Registry, Summary};

use crate::metrics::LogMetrics;

/// Place of floats in [`Metrics::samples`].
pub const FLOAT: usize = 0;
/// Place of histograms there.
pub const HISTOGRAM: usize = 1;

/// What is counted.
pub struct Metrics {
    pub active_series: Gauge,
    pub retired_series: Gauge,
    /// By kind.
    pub samples: [Counter; 2],
    pub exemplars: Counter,
    pub out_of_order: Counter,
    pub truncate_duration: Summary,
    pub corruptions: Counter,
    pub replay_duration: Gauge,
    pub checkpoint_creations: Counter,
    pub checkpoint_creations_failed: Counter,
    pub checkpoint_deletions: Counter,
    pub checkpoint_deletions_failed: Counter,
    pub clean_start: Gauge,
    pub log: LogMetrics,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Self {
        let samples = registry.counter_vec(
            "prometheus_agent_samples_appended_total",
            "Samples that were logged. They are sent from there.",
            &["type"],
        );
        let counter = |name: &str, help: &str| registry.counter(name, help);
        let gauge = |name: &str, help: &str| registry.gauge(name, help);
        Metrics {
            active_series: gauge(
                "prometheus_agent_active_series",
                "Series whose newest sample is not old enough to be forgotten.",
            ),
            retired_series: gauge(
                "prometheus_agent_deleted_series",
                "Series that were forgotten, but that the log still names.",
            ),
            samples: ["float", "histogram"].map(|kind| samples.with(&[kind])),
            exemplars: counter("prometheus_agent_exemplars_appended_total", "Exemplars that were logged."),
            out_of_order: counter(
                "prometheus_agent_out_of_order_samples_total",
                "Samples that were not newer than the newest of their series.",
            ),
            truncate_duration: registry.summary(
                "prometheus_agent_truncate_duration_seconds",
                "How long it took to write a checkpoint and remove what it replaces.",
                &[],
            ),
            corruptions: counter(
                "prometheus_agent_corruptions_total",
                "Places of the log that could not be read, at the start or by a checkpoint.",
            ),
            replay_duration: gauge(
                "prometheus_agent_data_replay_duration_seconds",
                "How long the last start took to read the log.",
            ),
            checkpoint_creations: counter(
                "prometheus_agent_checkpoint_creations_total",
                "Checkpoints of the log that were begun.",
            ),
            checkpoint_creations_failed: counter(
                "prometheus_agent_checkpoint_creations_failed_total",
                "Checkpoints of the log that could not be written. The log grows until one can.",
            ),
            checkpoint_deletions: counter(
                "prometheus_agent_checkpoint_deletions_total",
                "Times that old checkpoints were removed.",
            ),
            checkpoint_deletions_failed: counter(
                "prometheus_agent_checkpoint_deletions_failed_total",
                "Times that old checkpoints could not be removed.",
            ),
            clean_start: gauge(
                "prometheus_agent_clean_start",
                "Whether the last process closed the store: 1 yes, 0 it left its lock file behind, -1 no lock file is used.",
            ),
            log: LogMetrics::new(registry),
        }
    }
}
