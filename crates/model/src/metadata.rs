//! Metadata of a metric family from an exposition page: type, unit, help.

use std::fmt;

/// The type of a metric family: the union of what text, OpenMetrics and protobuf pages support.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricType {
    /// Unknown, or `untyped`.
    #[default]
    Unknown,
    /// Only increases, except for resets.
    Counter,
    Gauge,
    /// Buckets that only increase.
    Histogram,
    /// Buckets that rise and fall.
    GaugeHistogram,
    /// Precomputed quantiles.
    Summary,
    /// Informative labels with the value 1.
    Info,
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

impl MetricType {
    /// The number that stands for the type in Prometheus' log and in both versions of remote write.
    pub const fn number(self) -> u8 {
        match self {
            MetricType::Unknown => 0,
            MetricType::Counter => 1,
            MetricType::Gauge => 2,
            MetricType::Histogram => 3,
            MetricType::GaugeHistogram => 4,
            MetricType::Summary => 5,
            MetricType::Info => 6,
            MetricType::StateSet => 7,
        }
    }

    /// The type with a number; `Unknown` for any other number.
    pub const fn of_number(number: u64) -> Self {
        match number {
            1 => MetricType::Counter,
            2 => MetricType::Gauge,
            3 => MetricType::Histogram,
            4 => MetricType::GaugeHistogram,
            5 => MetricType::Summary,
            6 => MetricType::Info,
            7 => MetricType::StateSet,
            _ => MetricType::Unknown,
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
