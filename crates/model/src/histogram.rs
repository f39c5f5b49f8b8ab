//! Native histograms: integer and float, exponential and custom buckets.
//!
//! Schemas −4..8 have exponential buckets (base 2^(2^−schema)); schema −53 has custom upper bounds ("NHCB").
//! Rules, names and texts are as in Prometheus' `model/histogram/`; results are bit-equal.
//!
//! ```text
//! schema.rs      which schemas there are           combine.rs   add, subtract, compensated add, scale
//! bounds.rs      bounds of exponential buckets     zero.rs      one zero bucket for two histograms
//! buckets.rs     iterate with bounds and counts    custom.rs    one list of bounds for two NHCBs
//! validate.rs    refuse inconsistent histograms    reset.rs     did the counter restart?
//! compact.rs     drop empty buckets                trim.rs      `</` and `>/`
//! resolution.rs  to a coarser schema               text.rs      as Prometheus prints them
//! convert.rs     integer to float, equality, size  classic.rs   from `_bucket`, `_sum`, `_count` series
//! layout.rs      spans built and walked            kahan.rs     one compensated addition
//! ```
//!
//! Elsewhere: bytes of histogram chunks (`ferula-chunk`), JSON (`ferula-api`), quantiles (`ferula-promql`).
//! No function here panics on an inconsistent histogram; surplus buckets or spans are ignored.

mod bounds;
mod buckets;
mod classic;
mod combine;
mod compact;
mod convert;
mod custom;
mod kahan;
mod layout;
mod reset;
mod resolution;
mod schema;
#[cfg(test)]
mod testing;
mod text;
mod trim;
mod validate;
mod zero;

use std::sync::Arc;

pub use bounds::{exponential_bound, upper_bound};
pub use buckets::{Boundaries, Bucket, BucketIter, IntegerBucket};
pub use classic::{ClassicError, ClassicHistogram, ClassicPart};
pub use combine::Combined;
pub use custom::bounds_match;
pub use kahan::kahan_add;
pub use schema::*;
pub use trim::Keep;
pub use validate::HistogramError;

/// A run of neighbouring buckets that are present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Gap after the previous span; for the first span, the index of its first bucket.
    pub offset: i32,
    /// The number of consecutive buckets.
    pub length: u32,
}

/// What is known about a counter reset between the previous sample and this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterResetHint {
    /// Unknown: compare the samples.
    #[default]
    Unknown,
    Reset,
    /// There was no reset.
    NotReset,
    /// A gauge histogram: resets mean nothing.
    Gauge,
}

/// A histogram with integer counts. Buckets are deltas: the first is absolute, each next is relative to the previous
/// one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// See [`CounterResetHint`].
    pub counter_reset_hint: CounterResetHint,
    /// Bucket layout.
    pub schema: i32,
    /// Observations with an absolute value up to this are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of all observations; the staleness marker here makes the whole sample a marker.
    pub sum: f64,
    /// Layout of `positive_buckets`.
    pub positive_spans: Vec<Span>,
    /// Layout of `negative_buckets`.
    pub negative_spans: Vec<Span>,
    /// Counts of positive buckets, as deltas.
    pub positive_buckets: Vec<i64>,
    /// Counts of negative buckets, as deltas.
    pub negative_buckets: Vec<i64>,
    /// Upper bounds, for schema −53 only.
    pub custom_values: Option<Arc<[f64]>>,
}

/// A histogram with float counts. Buckets are absolute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// See [`CounterResetHint`].
    pub counter_reset_hint: CounterResetHint,
    /// Bucket layout.
    pub schema: i32,
    /// Observations with an absolute value up to this are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; the staleness marker here makes the whole sample a marker.
    pub sum: f64,
    /// Layout of `positive_buckets`.
    pub positive_spans: Vec<Span>,
    /// Layout of `negative_buckets`.
    pub negative_spans: Vec<Span>,
    /// Counts of positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Counts of negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds, for schema −53 only.
    pub custom_values: Option<Arc<[f64]>>,
}

/// A histogram sample with integer or float counts.
#[derive(Clone, Debug, PartialEq)]
pub enum HistogramValue {
    Integer(Arc<Histogram>),
    Float(Arc<FloatHistogram>),
}
