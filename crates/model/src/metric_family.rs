//! Ferula's own metrics at one moment: what `telemetry` gathers and `exposition` writes as a page.

use std::sync::Arc;

use crate::{Exemplar, Histogram, LabelSet, MetricType};

/// All metrics with one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// Name of the family; a counter's ends in `_total`.
    pub name: String,
    /// One sentence about it.
    pub help: String,
    /// The type of every metric in the family.
    pub kind: MetricType,
    /// The metrics, in the order in which they are written.
    pub metrics: Vec<Metric>,
}

/// One metric of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Labels without the name.
    pub labels: LabelSet,
    /// The value, in the form that the family's type requires.
    pub value: MetricValue,
    /// When the value was taken, in milliseconds since the epoch; `None` for "now".
    pub timestamp: Option<i64>,
}

/// Value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Counter, gauge, untyped: one number.
    Single(f64),
    /// Quantiles with their values, then the sum and the count of all observations.
    Summary {
        /// Quantile (0..=1) and value, ascending by quantile; the value is NaN if there were no recent observations.
        quantiles: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// The number of observations.
        count: u64,
    },
    /// Classic, cumulative buckets, and native ones where they are kept.
    Histogram {
        /// Upper bound and cumulative count, ascending by bound, without the `+Inf` bucket.
        buckets: Vec<(f64, u64)>,
        /// Sum of all observations.
        sum: f64,
        /// The number of observations, which is also the count of the `+Inf` bucket.
        count: u64,
        /// The same observations in exponential buckets; only written in the protobuf format.
        native: Option<Arc<Histogram>>,
        /// One observation of each bucket that has one to show, with the index of the bucket, ascending; `buckets.len()`
        /// is the index of the `+Inf` bucket. The text format cannot show them.
        exemplars: Vec<(usize, Exemplar)>,
    },
}
