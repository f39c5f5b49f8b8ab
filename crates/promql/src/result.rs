//! What a query comes to: values, annotations, statistics. The API turns these into JSON.

use std::sync::Arc;

use ferula_model::{FloatHistogram, LabelSet};

use crate::{Annotations, QueryError, QueryStats};

/// The end of a query. Annotations and statistics are there also when it failed.
#[derive(Debug)]
pub struct QueryOutcome {
    /// The value, or why there is none.
    pub result: Result<QueryValue, QueryError>,
    /// Warnings and infos, each once.
    pub annotations: Annotations,
    /// What it cost.
    pub stats: QueryStats,
}

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// One number.
    Scalar {
        /// Time of evaluation.
        timestamp_ms: i64,
        /// The number.
        value: f64,
    },
    /// One string.
    String {
        /// Time of evaluation.
        timestamp_ms: i64,
        /// The string.
        value: String,
    },
    /// One sample per series, in the order in which Prometheus answers.
    Vector(Vec<InstantSample>),
    /// Series sorted by their labels.
    Matrix(Vec<RangeSeries>),
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct InstantSample {
    /// Labels of the series.
    pub labels: LabelSet,
    /// Time of evaluation.
    pub timestamp_ms: i64,
    /// The sample.
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
    /// A float.
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
