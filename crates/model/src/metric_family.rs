//! A program's own metrics at one moment: what `telemetry` gathers and `exposition` writes as a page.

use std::sync::Arc;

use crate::{Histogram, LabelSet, MetricType};

/// All metrics of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// Name of the family; a counter's ends in `_total`.
    pub name: String,
    /// One sentence about it.
    pub help: String,
    /// What every metric of the family is.
    pub kind: MetricType,
    /// The metrics, in the order in which they are to be written.
    pub metrics: Vec<Metric>,
}

/// One metric of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Labels without the name.
    pub labels: LabelSet,
    /// The value, of the shape that the family's type asks for.
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
        /// Quantile (0..=1) and value, quantiles rising; the value is NaN when nothing was observed lately.
        quantiles: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// How many there were.
        count: u64,
    },
    /// Classic buckets, cumulative, and native ones where they are kept.
    Histogram {
        /// Upper bound and count of observations up to it, bounds rising, without the `+Inf` bucket.
        buckets: Vec<(f64, u64)>,
        /// Sum of all observations.
        sum: f64,
        /// How many there were; also the count of the `+Inf` bucket.
        count: u64,
        /// The same observations in exponential buckets; only the protobuf format has them.
        native: Option<Arc<Histogram>>,
    },
}
