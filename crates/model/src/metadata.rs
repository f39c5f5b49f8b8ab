//! Metadata of a metric family, as a page states it: type, unit, help.

use std::fmt;

/// The type of a metric family, with the union of what text, OpenMetrics and protobuf pages know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricType {
    /// Not stated, or `untyped`.
    #[default]
    Unknown,
    /// Only rises, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets that only rise.
    Histogram,
    /// Buckets that go up and down.
    GaugeHistogram,
    /// Precomputed quantiles.
    Summary,
    /// Labels that matter, value 1.
    Info,
    /// One of several states.
    StateSet,
}

impl MetricType {
    /// The word that Prometheus' API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Metadata of one metric family of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MetricMetadata {
    /// The stated type.
    pub kind: MetricType,
    /// The stated unit, or empty.
    pub unit: String,
    /// The help text, or empty.
    pub help: String,
}
