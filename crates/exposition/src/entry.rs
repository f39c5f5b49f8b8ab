//! What a page consists of. Everything is borrowed from the body.

use std::borrow::Cow;

use ferula_model::MetricType;
use ferula_model::histogram::HistogramValue;

/// One line that means something, or what a protobuf page has in its place. Comments and blank lines are passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A sample.
    Series(Series<'a>),
    /// A sample that is a native histogram, or a classic one made native with custom buckets.
    Histogram(HistogramSample<'a>),
    /// `# TYPE`: holds for all samples until the next one, whatever their names are.
    Type {
        /// Name of the metric family, as written (escapes of quoted names included).
        metric: &'a [u8],
        /// The stated type.
        kind: MetricType,
    },
    /// `# HELP`
    Help {
        /// Name of the metric family.
        metric: &'a [u8],
        /// The text, escapes resolved.
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

/// A sample as the page has it.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Name and labels as written: equal bytes mean the same series. [`crate::key::decode`] reads them.
    pub key: &'a [u8],
    /// The value. Every NaN of a page is the same, ordinary NaN.
    pub value: f64,
    /// Milliseconds since the epoch, if the page states a time.
    pub timestamp: Option<i64>,
    /// Milliseconds since the epoch at which the series began to count; 0 where the page does not say, and always unless
    /// [`crate::PageOptions::start_timestamps`] is set.
    pub start_timestamp: i64,
    /// The type that was stated last; decides which labels hold numbers.
    pub kind: MetricType,
    /// What follows a `#` at the end of the line in OpenMetrics; in protobuf, of counters and classic buckets.
    pub exemplar: Option<ExemplarText<'a>>,
}

/// Values are compared by bits, so that NaNs equal themselves.
impl PartialEq for Series<'_> {
    fn eq(&self, other: &Self) -> bool {
        let parts = |s: &Self| (s.value.to_bits(), s.timestamp, s.start_timestamp, s.kind);
        self.key == other.key && parts(self) == parts(other) && self.exemplar == other.exemplar
    }
}

/// A histogram sample as the page has it. Its buckets were only compacted: they may contradict themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample<'a> {
    /// See [`Series::key`].
    pub key: &'a [u8],
    pub value: HistogramValue,
    /// Milliseconds since the epoch, if the page states a time.
    pub timestamp: Option<i64>,
    /// See [`Series::start_timestamp`].
    pub start_timestamp: i64,
    /// The type that was stated last.
    pub kind: MetricType,
    /// Those with a time of their own.
    pub exemplars: &'a [ExemplarText<'a>],
}

/// Labels of an exemplar. [`crate::key::decode_exemplar`] reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExemplarLabels<'a> {
    /// As written, with both braces.
    Text(&'a [u8]),
    /// The message that has them.
    Protobuf(&'a [u8]),
}

/// An exemplar as the page has it.
#[derive(Clone, Debug)]
pub struct ExemplarText<'a> {
    pub labels: ExemplarLabels<'a>,
    /// The value.
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
