//! The result of a query: values, annotations, statistics. The API turns these into JSON.

use std::sync::Arc;

use ferula_model::{FloatHistogram, LabelSet};

use crate::{Annotations, HeldMemory, QueryError, QueryStats};

/// The outcome of a query. Annotations and statistics are there even if it failed.
#[derive(Debug)]
pub struct QueryOutcome {
    /// The value, or why there is none.
    pub result: Result<QueryValue, QueryError>,
    /// Warnings and infos, each once.
    pub annotations: Annotations,
    /// What it cost.
    pub stats: QueryStats,
    /// The memory of the value, to be kept as long as the value is.
    pub held: HeldMemory,
}

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    Scalar {
        /// Time of evaluation.
        timestamp_ms: i64,
        value: f64,
    },
    String {
        /// Time of evaluation.
        timestamp_ms: i64,
        value: String,
    },
    /// One sample per series, in the order in which Prometheus answers.
    Vector(Vec<InstantSample>),
    /// Series sorted by their labels.
    Matrix(Vec<RangeSeries>),
}

impl QueryValue {
    /// Bytes that the value takes, labels left out: they are shared with the store.
    pub(crate) fn bytes(&self) -> usize {
        let histograms = |list: &[(i64, Arc<FloatHistogram>)]| -> usize {
            list.iter().map(|(_, histogram)| 16 + histogram.accounted_bytes()).sum()
        };
        match self {
            QueryValue::Scalar { .. } => 0,
            QueryValue::String { value, .. } => value.len(),
            QueryValue::Vector(samples) => samples.len() * size_of::<InstantSample>(),
            QueryValue::Matrix(series) => series
                .iter()
                .map(|series| {
                    size_of::<RangeSeries>() + 16 * series.floats.len() + histograms(&series.histograms)
                })
                .sum(),
        }
    }
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct InstantSample {
    /// Labels of the series.
    pub labels: LabelSet,
    /// Time of evaluation.
    pub timestamp_ms: i64,
    pub value: SampleValue,
}

/// One series of a matrix. Timestamps rise strictly within each list.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSeries {
    /// Labels of the series.
    pub labels: LabelSet,
    /// Float samples: milliseconds and value.
    pub floats: Vec<(i64, f64)>,
    /// Histogram samples: milliseconds and value.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// A sample's value.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    /// The float, if it is one.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            SampleValue::Float(value) => Some(*value),
            SampleValue::Histogram(_) => None,
        }
    }
}
