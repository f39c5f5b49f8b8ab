//! What differs between chunks of integer and of float histograms.

use std::fmt::Debug;

use ferula_model::{CounterResetHint, FloatHistogram, Span};

use super::layout::Layout;
use crate::bits::{BitAccumulator, BitReader, Corrupt};
use crate::encoding::Encoding;

/// One half of the buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Buckets above the zero bucket.
    Positive,
    /// Buckets below it.
    Negative,
}

/// The counts of the sample read or written last, to which the next one is relative.
pub trait Counts: Clone + Debug + Sized {
    /// The type of the samples.
    type Sample: Clone + Debug;
    /// The absolute count of a bucket.
    type Bucket: Copy + Debug + Default + PartialOrd;

    /// The encoding without start timestamps.
    const ENCODING: Encoding;
    /// The encoding with them.
    const ENCODING_ST: Encoding;

    /// Layout of a sample.
    fn layout(sample: &Self::Sample) -> Layout;
    /// The hint of a sample.
    fn hint(sample: &Self::Sample) -> CounterResetHint;
    /// The sum of a sample, which is the staleness marker when the whole sample is.
    fn sum(sample: &Self::Sample) -> f64;
    /// The staleness marker as a sample.
    fn stale() -> Self::Sample;
    /// Absolute counts of the buckets of a sample.
    fn sample_buckets(sample: &Self::Sample, side: Side) -> impl Iterator<Item = Self::Bucket> + '_;
    /// Replaces the buckets of one side of a sample.
    fn set_buckets(sample: &mut Self::Sample, side: Side, spans: &[Span], buckets: Option<Vec<Self::Bucket>>);

    /// The header of a chunk that a sample begins because it does not fit the chunk before, for this reason.
    fn header_when_cut(reason: CounterResetHint) -> CounterResetHint;
    /// The header of a chunk that was begun for another reason, if the sample would have been judged like this.
    fn header_when_full(verdict: CounterResetHint) -> CounterResetHint;

    /// The time of the last sample.
    fn timestamp(&self) -> i64;
    /// The sum of the last sample.
    fn last_sum(&self) -> f64;
    /// Whether the sample has a smaller count of observations.
    fn count_shrank(&self, sample: &Self::Sample) -> bool;
    /// Whether the sample has a smaller count in the zero bucket.
    fn zero_count_shrank(&self, sample: &Self::Sample) -> bool;
    /// Absolute counts of the buckets of the last sample.
    fn buckets(&self, layout: &Layout, side: Side) -> impl Iterator<Item = Self::Bucket> + '_;

    /// Appends the first sample, whose layout is that of the chunk.
    fn put_first(out: &mut BitAccumulator, sink: &mut Vec<u8>, timestamp: i64, sample: &Self::Sample)
    -> Self;
    /// Appends a further sample.
    fn put_next(
        &mut self,
        out: &mut BitAccumulator,
        sink: &mut Vec<u8>,
        timestamp: i64,
        sample: &Self::Sample,
    );
    /// Reads the first sample.
    fn read_first(from: &mut BitReader<'_>, layout: &Layout) -> Result<Self, Corrupt>;
    /// Reads a further sample.
    fn read_next(&mut self, from: &mut BitReader<'_>) -> Result<(), Corrupt>;
    /// The last sample.
    fn sample(&self, layout: &Layout, hint: CounterResetHint) -> Self::Sample;
    /// The last sample with float counts.
    fn float_sample(&self, layout: &Layout, hint: CounterResetHint) -> FloatHistogram;
    /// Reduces a sample of a later version, finer than what this version supports, to the finest supported schema.
    fn reduce(sample: &mut Self::Sample);
}
