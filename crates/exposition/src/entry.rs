//! The elements of a page. Everything is borrowed from the body.

use std::borrow::Cow;

use ferula_model::MetricType;
use ferula_model::histogram::HistogramValue;

/// A meaningful line, or its equivalent in a protobuf page. Comments and blank lines are skipped.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A sample.
    Series(Series<'a>),
    /// A native histogram, or a classic one converted to custom buckets.
    Histogram(HistogramSample<'a>),
    /// `# TYPE`: applies to all samples until the next one, whatever their names.
    Type {
        /// Name of the metric family, as written (quoted names are still escaped).
        metric: &'a [u8],
        /// The stated type.
        kind: MetricType,
    },
    /// `# HELP`
    Help {
        /// Name of the metric family.
        metric: &'a [u8],
        /// The text, unescaped.
        text: Cow<'a, str>,
    },
    /// `# UNIT`, in OpenMetrics only
    Unit {
        /// Name of the metric family, which ends in the unit.
        metric: &'a [u8],
        /// The unit; may be empty.
        unit: &'a [u8],
    },
}

/// A sample on the page.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Name and labels as written: equal bytes mean the same series. Decoded by [`crate::key::decode`].
    pub key: &'a [u8],
    /// The value. All NaNs on a page become the ordinary NaN.
    pub value: f64,
    /// Milliseconds since the epoch, if the page states a timestamp.
    pub timestamp: Option<i64>,
    /// When the series began to count, in milliseconds since the epoch; 0 if unknown, and always unless
    /// [`crate::PageOptions::start_timestamps`] is set.
    pub start_timestamp: i64,
    /// The latest stated type, which determines which labels hold numbers.
    pub kind: MetricType,
    /// What follows a `#` at the end of the line in OpenMetrics; in protobuf, of counters and classic buckets.
    pub exemplar: Option<ExemplarText<'a>>,
}

/// Values are compared by bits, so NaNs are equal to themselves.
impl PartialEq for Series<'_> {
    fn eq(&self, other: &Self) -> bool {
        let parts = |s: &Self| (s.value.to_bits(), s.timestamp, s.start_timestamp, s.kind);
        self.key == other.key && parts(self) == parts(other) && self.exemplar == other.exemplar
    }
}

/// A histogram sample on the page. Its buckets are only compacted; they may be inconsistent.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample<'a> {
    /// See [`Series::key`].
    pub key: &'a [u8],
    pub value: HistogramValue,
    /// Milliseconds since the epoch, if the page states a timestamp.
    pub timestamp: Option<i64>,
    /// See [`Series::start_timestamp`].
    pub start_timestamp: i64,
    /// The latest stated type.
    pub kind: MetricType,
    /// Only those with their own timestamp.
    pub exemplars: &'a [ExemplarText<'a>],
}

/// Labels of an exemplar. Decoded by [`crate::key::decode_exemplar`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExemplarLabels<'a> {
    /// As written, including both braces.
    Text(&'a [u8]),
    /// The message that contains them.
    Protobuf(&'a [u8]),
}

/// An exemplar on the page.
#[derive(Clone, Debug)]
pub struct ExemplarText<'a> {
    pub labels: ExemplarLabels<'a>,
    pub value: f64,
    /// Milliseconds since the epoch, if given.
    pub timestamp: Option<i64>,
}

impl PartialEq for ExemplarText<'_> {
    fn eq(&self, other: &Self) -> bool {
        let parts = |e: &Self| (e.value.to_bits(), e.timestamp);
        self.labels == other.labels && parts(self) == parts(other)
    }
}
