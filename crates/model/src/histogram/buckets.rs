//! Buckets with their bounds and counts, in both directions.

use super::bounds::upper_bound;
use super::schema::is_custom_buckets_schema;
use super::{FloatHistogram, Histogram, Span};
use ferula_go::math::log2;

/// One bucket of a float histogram, or the zero bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<C = f64> {
    pub lower: f64,
    pub upper: f64,
    /// Whether an observation equal to `lower` is counted here.
    pub lower_inclusive: bool,
    /// Whether an observation equal to `upper` is counted here.
    pub upper_inclusive: bool,
    /// Observations in it.
    pub count: C,
    /// Its index in the schema; 0 for the zero bucket.
    pub index: i32,
}

/// One bucket of an integer histogram.
pub type IntegerBucket = Bucket<u64>;

/// Which bounds of a bucket belong to it, as the HTTP API numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundaries {
    /// `(lower, upper]`
    OpenLeft = 0,
    /// `[lower, upper)`
    OpenRight = 1,
    /// `(lower, upper)`
    OpenBoth = 2,
    /// `[lower, upper]`
    ClosedBoth = 3,
}

impl<C> Bucket<C> {
    /// Which bounds belong to the bucket.
    pub fn boundaries(&self) -> Boundaries {
        match (self.lower_inclusive, self.upper_inclusive) {
            (true, true) => Boundaries::ClosedBoth,
            (true, false) => Boundaries::OpenRight,
            (false, true) => Boundaries::OpenLeft,
            (false, false) => Boundaries::OpenBoth,
        }
    }
}

impl Bucket {
    /// Fraction of the bucket below `v`, which must be inside it. Interpolates linearly or logarithmically.
    pub fn fraction_below(&self, v: f64, linear: bool) -> f64 {
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, v_log) = (log2(self.lower.abs()), log2(self.upper.abs()), log2(v.abs()));
        if v > 0.0 { (v_log - lower) / (upper - lower) } else { 1.0 - ((v_log - upper) / (lower - upper)) }
    }
}

/// Indices of the buckets that `spans` describe, one per bucket.
pub(super) fn indices(spans: &[Span]) -> impl Iterator<Item = i32> + '_ {
    let mut next = 0i32;
    spans.iter().flat_map(move |span| {
        let first = next.wrapping_add(span.offset);
        next = first.wrapping_add(span.length as i32);
        (0..span.length).map(move |i| first.wrapping_add(i as i32))
    })
}

/// Pairs of bucket index and count, as long as both exist.
pub(super) fn indexed<'a, C: Copy>(
    spans: &'a [Span],
    buckets: &'a [C],
) -> impl Iterator<Item = (i32, C)> + 'a {
    indices(spans).zip(buckets.iter().copied())
}

/// Iterates over the buckets of one side, away from zero; reversed, towards zero.
#[derive(Clone, Debug)]
pub struct BucketIter<'a> {
    schema: i32,
    custom: &'a [f64],
    negative: bool,
    spans: &'a [Span],
    buckets: &'a [f64],
    front: Cursor,
    back: Cursor,
    left: usize,
}

/// A position between two buckets: the spans before it are consumed, and `in_span` buckets of the next one.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    span: usize,
    in_span: u32,
    index: i32,
    bucket: usize,
}

impl<'a> BucketIter<'a> {
    fn new(
        schema: i32,
        custom: &'a [f64],
        spans: &'a [Span],
        buckets: &'a [f64],
        negative: bool,
    ) -> BucketIter<'a> {
        let laid_out: usize = spans.iter().map(|s| s.length as usize).sum();
        let left = laid_out.min(buckets.len());
        let front = Cursor { index: spans.first().map_or(0, |s| s.offset), ..Cursor::default() };
        let back = Cursor::behind(spans, left);
        BucketIter { schema, custom, negative, spans, buckets, front, back, left }
    }

    fn bucket(&self, index: i32, count: f64) -> Bucket {
        bucket_at(index, count, self.schema, self.custom, self.negative)
    }
}

impl Cursor {
    /// The position after the first `count` buckets.
    fn behind(spans: &[Span], count: usize) -> Cursor {
        let mut cursor = Cursor { bucket: count, ..Cursor::default() };
        let mut left = count;
        for (i, span) in spans.iter().enumerate() {
            let first = cursor.index.wrapping_add(span.offset);
            let used = left.min(span.length as usize);
            cursor.span = i;
            cursor.in_span = used as u32;
            cursor.index = first.wrapping_add(used as i32);
            left -= used;
            if left == 0 {
                break;
            }
        }
        cursor
    }
}

impl Iterator for BucketIter<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        if self.left == 0 {
            return None;
        }
        while self.front.in_span >= self.spans[self.front.span].length {
            self.front.span += 1;
            self.front.in_span = 0;
            self.front.index = self.front.index.wrapping_add(self.spans[self.front.span].offset);
        }
        let bucket = self.bucket(self.front.index, self.buckets[self.front.bucket]);
        self.front.in_span += 1;
        self.front.bucket += 1;
        self.front.index = self.front.index.wrapping_add(1);
        self.left -= 1;
        Some(bucket)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for BucketIter<'_> {}

impl DoubleEndedIterator for BucketIter<'_> {
    fn next_back(&mut self) -> Option<Bucket> {
        if self.left == 0 {
            return None;
        }
        while self.back.in_span == 0 {
            self.back.index = self.back.index.wrapping_sub(self.spans[self.back.span].offset);
            self.back.span -= 1;
            self.back.in_span = self.spans[self.back.span].length;
        }
        self.back.in_span -= 1;
        self.back.bucket -= 1;
        self.back.index = self.back.index.wrapping_sub(1);
        self.left -= 1;
        Some(self.bucket(self.back.index, self.buckets[self.back.bucket]))
    }
}

/// The bucket `index` of one side of a histogram, with its bounds.
fn bucket_at<C>(index: i32, count: C, schema: i32, custom: &[f64], negative: bool) -> Bucket<C> {
    let outer = upper_bound(index, schema, custom);
    let inner = upper_bound(index.wrapping_sub(1), schema, custom);
    let (lower, upper) = if negative { (-outer, -inner) } else { (inner, outer) };
    let (lower_inclusive, upper_inclusive) =
        if is_custom_buckets_schema(schema) { (index == 0, true) } else { (lower < 0.0, upper > 0.0) };
    Bucket { lower, upper, lower_inclusive, upper_inclusive, count, index }
}

impl FloatHistogram {
    /// Positive buckets, upwards; reversed, from the highest one towards zero.
    pub fn positive_bucket_iter(&self) -> BucketIter<'_> {
        BucketIter::new(
            self.schema,
            self.custom_bounds(),
            &self.positive_spans,
            &self.positive_buckets,
            false,
        )
    }

    /// Negative buckets, downwards; reversed, from the lowest one towards zero.
    pub fn negative_bucket_iter(&self) -> BucketIter<'_> {
        BucketIter::new(self.schema, &[], &self.negative_spans, &self.negative_buckets, true)
    }

    /// The zero bucket.
    pub fn zero_bucket(&self) -> Bucket {
        zero_bucket(self.zero_threshold, self.zero_count)
    }

    /// All buckets upwards: negative ones, the zero bucket if it is not empty, positive ones. Buckets that overlap
    /// the zero bucket are cut at its threshold.
    pub fn all_bucket_iter(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let threshold = self.zero_threshold;
        let cut = move |mut b: Bucket| {
            if b.upper < 0.0 && b.upper > -threshold {
                b.upper = -threshold;
            } else if b.lower > 0.0 && b.lower < threshold {
                b.lower = threshold;
            }
            b
        };
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        self.negative_bucket_iter().rev().map(cut).chain(zero).chain(self.positive_bucket_iter().map(cut))
    }

    /// Bounds of custom buckets; empty for other schemas.
    pub fn custom_bounds(&self) -> &[f64] {
        self.custom_values.as_deref().unwrap_or_default()
    }

    /// Whether the bounds are listed explicitly (schema −53).
    pub fn uses_custom_buckets(&self) -> bool {
        is_custom_buckets_schema(self.schema)
    }
}

impl Histogram {
    /// Positive buckets, upwards.
    pub fn positive_bucket_iter(&self) -> impl Iterator<Item = IntegerBucket> + '_ {
        integer_buckets(
            &self.positive_spans,
            &self.positive_buckets,
            self.schema,
            self.custom_bounds(),
            false,
        )
    }

    /// Negative buckets, downwards.
    pub fn negative_bucket_iter(&self) -> impl Iterator<Item = IntegerBucket> + '_ {
        integer_buckets(&self.negative_spans, &self.negative_buckets, self.schema, &[], true)
    }

    /// The zero bucket.
    pub fn zero_bucket(&self) -> IntegerBucket {
        zero_bucket(self.zero_threshold, self.zero_count)
    }

    /// Bounds of custom buckets; empty for other schemas.
    pub fn custom_bounds(&self) -> &[f64] {
        self.custom_values.as_deref().unwrap_or_default()
    }

    /// Whether the bounds are listed explicitly (schema −53).
    pub fn uses_custom_buckets(&self) -> bool {
        is_custom_buckets_schema(self.schema)
    }
}

fn zero_bucket<C>(threshold: f64, count: C) -> Bucket<C> {
    Bucket {
        lower: -threshold,
        upper: threshold,
        lower_inclusive: true,
        upper_inclusive: true,
        count,
        index: 0,
    }
}

/// Buckets of deltas as absolute counts.
fn integer_buckets<'a>(
    spans: &'a [Span],
    deltas: &'a [i64],
    schema: i32,
    custom: &'a [f64],
    negative: bool,
) -> impl Iterator<Item = IntegerBucket> + 'a {
    let mut count = 0i64;
    indexed(spans, deltas).map(move |(index, delta)| {
        count = count.wrapping_add(delta);
        bucket_at(index, count as u64, schema, custom, negative)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_float_histogram, spans_of};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_and_inclusiveness() {
        let h = FloatHistogram {
            schema: 0,
            zero_threshold: 0.3,
            zero_count: 5.0,
            positive_spans: spans_of(&[(-1, 2), (1, 1)]),
            positive_buckets: vec![1.0, 2.0, 3.0],
            negative_spans: spans_of(&[(0, 1)]),
            negative_buckets: vec![4.0],
            ..FloatHistogram::default()
        };
        let seen: Vec<_> =
            h.all_bucket_iter().map(|b| (b.lower, b.upper, b.boundaries() as u8, b.count)).collect();
        assert_eq!(
            seen,
            [
                (-1.0, -0.5, 1, 4.0),
                (-0.3, 0.3, 3, 5.0),
                (0.3, 0.5, 0, 1.0),
                (0.5, 1.0, 0, 2.0),
                (2.0, 4.0, 0, 3.0)
            ]
        );
    }

    #[test]
    fn surplus_buckets_and_spans_are_left_out() {
        let mut h = FloatHistogram {
            positive_spans: spans_of(&[(0, 1), (2, 0), (1, 5)]),
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        let indices: Vec<i32> = h.positive_bucket_iter().map(|b| b.index).collect();
        assert_eq!(indices, [0, 4]);
        let reverse: Vec<i32> = h.positive_bucket_iter().rev().map(|b| b.index).collect();
        assert_eq!(reverse, [4, 0]);
        h.positive_spans.clear();
        assert_eq!(h.positive_bucket_iter().next(), None);
        assert_eq!(h.positive_bucket_iter().next_back(), None);
    }

    proptest! {
        #[test]
        fn backward_is_forward_reversed(h in any_float_histogram()) {
            let forward: Vec<Bucket> = h.all_bucket_iter().collect();
            let mut backward: Vec<Bucket> = h.all_bucket_iter().rev().collect();
            backward.reverse();
            prop_assert_eq!(&forward, &backward);
            prop_assert!(forward.windows(2).all(|w| w[0].upper <= w[1].lower || w[0].index < w[1].index || w[0].upper <= w[1].upper));
            let positive: Vec<(i32, f64)> = h.positive_bucket_iter().map(|b| (b.index, b.count)).collect();
            prop_assert_eq!(positive, indexed(&h.positive_spans, &h.positive_buckets).collect::<Vec<_>>());
        }
    }
}
