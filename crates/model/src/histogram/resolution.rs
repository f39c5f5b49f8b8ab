//! Merges exponential buckets into those of a coarser schema.

use std::sync::Arc;

use super::buckets::indices;
use super::kahan::kahan_add;
use super::layout::SpanBuilder;
use super::schema::{EXPONENTIAL_SCHEMA_MAX, is_custom_buckets_schema, is_exponential_schema_reserved};
use super::validate::{HistogramError, check_spans};
use super::{CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span};

/// Index in schema `to` of the bucket that contains bucket `index` of the finer schema `from`.
pub(super) fn target_index(index: i32, from: i32, to: i32) -> i32 {
    let shift = (i64::from(from) - i64::from(to)).clamp(0, 63);
    (((i64::from(index) - 1) >> shift) + 1) as i32
}

/// Spans in the coarser schema, and for each old bucket the position of the new one that contains it.
pub(super) fn coarser(spans: &[Span], buckets: usize, from: i32, to: i32) -> (Vec<Span>, Vec<usize>) {
    let mut built = SpanBuilder::default();
    let mut targets = Vec::with_capacity(buckets);
    let mut last = None;
    let mut count = 0usize;
    for index in indices(spans).take(buckets).map(|i| target_index(i, from, to)) {
        if last != Some(index) {
            built.push(index);
            last = Some(index);
            count += 1;
        }
        targets.push(count - 1);
    }
    (built.finish(), targets)
}

/// One side in the coarser schema.
pub(super) fn reduce(spans: &[Span], buckets: &[f64], from: i32, to: i32) -> (Vec<Span>, Vec<f64>) {
    let (spans, targets) = coarser(spans, buckets.len(), from, to);
    let mut sums = Vec::with_capacity(buckets.len());
    for (target, count) in targets.into_iter().zip(buckets) {
        match sums.get_mut(target) {
            Some(sum) => *sum += count,
            None => sums.push(*count),
        }
    }
    (spans, sums)
}

/// One side with its compensation in the coarser schema.
pub(super) fn reduce_with(
    spans: &[Span],
    buckets: &[f64],
    compensation: &[f64],
    from: i32,
    to: i32,
) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
    let (spans, targets) = coarser(spans, buckets.len(), from, to);
    let (mut sums, mut lost) = (Vec::with_capacity(buckets.len()), Vec::with_capacity(buckets.len()));
    for (i, (target, count)) in targets.into_iter().zip(buckets).enumerate() {
        let compensation = compensation.get(i).copied().unwrap_or(0.0);
        if target == sums.len() {
            sums.push(*count);
            lost.push(compensation);
        } else {
            kahan_add(*count, &mut sums[target], &mut lost[target]);
            kahan_add(compensation, &mut sums[target], &mut lost[target]);
        }
    }
    (spans, sums, lost)
}

fn check(from: i32, to: i32) -> Result<(), HistogramError> {
    if is_custom_buckets_schema(from) {
        Err(HistogramError::ReduceFromCustom)
    } else if is_custom_buckets_schema(to) {
        Err(HistogramError::ReduceToCustom)
    } else if to >= from {
        Err(HistogramError::ReduceUpward { from, to })
    } else {
        Ok(())
    }
}

impl FloatHistogram {
    /// Merges buckets so that the histogram has the coarser schema `target`.
    ///
    /// # Errors
    /// If `target` is not coarser, if either schema has custom buckets, or if spans and buckets are inconsistent.
    pub fn reduce_resolution(&mut self, target: i32) -> Result<(), HistogramError> {
        check(self.schema, target)?;
        check_spans(&self.positive_spans, self.positive_buckets.len())?;
        check_spans(&self.negative_spans, self.negative_buckets.len())?;
        self.reduce_to(target);
        Ok(())
    }

    /// See [`HistogramValue::reduced_to_stored_schema`].
    pub fn reduce_to_stored_schema(&mut self) {
        if is_finer_than_stored(self.schema) {
            // An inconsistent histogram stays as it is.
            let _ = self.reduce_resolution(EXPONENTIAL_SCHEMA_MAX);
        }
    }

    /// [`FloatHistogram::reduce_resolution`] for an exponential histogram that is known to be finer.
    pub(super) fn reduce_to(&mut self, target: i32) {
        let from = self.schema;
        (self.positive_spans, self.positive_buckets) =
            reduce(&self.positive_spans, &self.positive_buckets, from, target);
        (self.negative_spans, self.negative_buckets) =
            reduce(&self.negative_spans, &self.negative_buckets, from, target);
        self.schema = target;
    }

    /// A copy with schema `target`. If the resolution had to be reduced, the copy has no counter reset hint. For a
    /// target that is not coarser, or custom buckets, the result is a plain copy.
    pub fn copy_to_schema(&self, target: i32) -> FloatHistogram {
        let mut copy = self.clone();
        if check(self.schema, target).is_ok() {
            copy.reduce_to(target);
            copy.counter_reset_hint = CounterResetHint::Unknown;
        }
        copy
    }
}

impl Histogram {
    /// See [`FloatHistogram::reduce_resolution`].
    pub fn reduce_resolution(&mut self, target: i32) -> Result<(), HistogramError> {
        check(self.schema, target)?;
        check_spans(&self.positive_spans, self.positive_buckets.len())?;
        check_spans(&self.negative_spans, self.negative_buckets.len())?;
        let from = self.schema;
        (self.positive_spans, self.positive_buckets) =
            reduce_deltas(&self.positive_spans, &self.positive_buckets, from, target);
        (self.negative_spans, self.negative_buckets) =
            reduce_deltas(&self.negative_spans, &self.negative_buckets, from, target);
        self.schema = target;
        Ok(())
    }

    /// See [`HistogramValue::reduced_to_stored_schema`].
    pub fn reduce_to_stored_schema(&mut self) {
        if is_finer_than_stored(self.schema) {
            // An inconsistent histogram stays as it is.
            let _ = self.reduce_resolution(EXPONENTIAL_SCHEMA_MAX);
        }
    }
}

/// Whether a schema is reserved for resolutions that are not stored yet.
fn is_finer_than_stored(schema: i32) -> bool {
    schema > EXPONENTIAL_SCHEMA_MAX && is_exponential_schema_reserved(schema)
}

impl HistogramValue {
    /// Converts a histogram with a reserved schema, finer than the finest stored one, to the finest stored
    /// schema. Any other, including an inconsistent one, is returned unchanged; the store refuses it.
    pub fn reduced_to_stored_schema(self) -> HistogramValue {
        match self {
            HistogramValue::Integer(mut h) if is_finer_than_stored(h.schema) => {
                Arc::make_mut(&mut h).reduce_to_stored_schema();
                HistogramValue::Integer(h)
            }
            HistogramValue::Float(mut h) if is_finer_than_stored(h.schema) => {
                Arc::make_mut(&mut h).reduce_to_stored_schema();
                HistogramValue::Float(h)
            }
            other => other,
        }
    }
}

fn reduce_deltas(spans: &[Span], deltas: &[i64], from: i32, to: i32) -> (Vec<Span>, Vec<i64>) {
    let (spans, targets) = coarser(spans, deltas.len(), from, to);
    let mut counts: Vec<i64> = Vec::with_capacity(deltas.len());
    let mut count = 0i64;
    for (target, delta) in targets.into_iter().zip(deltas) {
        count = count.wrapping_add(*delta);
        match counts.get_mut(target) {
            Some(sum) => *sum = sum.wrapping_add(count),
            None => counts.push(count),
        }
    }
    for i in (1..counts.len()).rev() {
        counts[i] = counts[i].wrapping_sub(counts[i - 1]);
    }
    (spans, counts)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_float_histogram, any_integer_histogram, spans_of};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn buckets_merge_according_to_their_bounds() {
        let mut h = FloatHistogram {
            schema: 1,
            positive_spans: spans_of(&[(-1, 4), (5, 1)]),
            positive_buckets: vec![1.0, 2.0, 4.0, 8.0, 16.0],
            ..FloatHistogram::default()
        };
        h.reduce_resolution(0).unwrap();
        assert_eq!(h.positive_spans, spans_of(&[(0, 2), (2, 1)]));
        assert_eq!(h.positive_buckets, [3.0, 12.0, 16.0]);
        assert_eq!(
            h.reduce_resolution(0).unwrap_err().to_string(),
            "cannot reduce resolution from schema 0 to 0"
        );
        h.positive_buckets.pop();
        assert_eq!(
            h.reduce_resolution(-1).unwrap_err().to_string(),
            "spans need 3 buckets, have 2 buckets: histogram spans specify different number of buckets than provided"
        );
    }

    #[test]
    fn reserved_schemas_are_reduced_to_the_finest_stored_one() {
        let of = |schema: i32, buckets: Vec<i64>| {
            let h = Histogram {
                schema,
                count: 7,
                positive_spans: spans_of(&[(1, 5)]),
                positive_buckets: buckets,
                ..Histogram::default()
            };
            match HistogramValue::Integer(Arc::new(h)).reduced_to_stored_schema() {
                HistogramValue::Integer(h) => {
                    (h.schema, h.positive_spans.clone(), h.positive_buckets.clone())
                }
                HistogramValue::Float(_) => panic!("integers stay integers"),
            }
        };
        // Four buckets of schema 10 are one of schema 8: 1+2+2+1, and then 1.
        assert_eq!(of(10, vec![1, 1, 0, -1, 0]), (8, spans_of(&[(1, 2)]), vec![6, -5]));
        assert_eq!(of(8, vec![1, 1, 0, -1, 0]).0, 8);
        assert_eq!(of(53, vec![1, 1, 0, -1, 0]).0, 53);
        assert_eq!(of(10, vec![1]).0, 10);
    }

    proptest! {
        #[test]
        fn as_a_map_of_target_indices(h in any_float_histogram(), by in 1i32..5) {
            let target = (h.schema - by).max(-4);
            prop_assume!(target < h.schema && !h.uses_custom_buckets());
            let mut want: BTreeMap<i32, f64> = BTreeMap::new();
            for b in h.positive_bucket_iter() {
                *want.entry(target_index(b.index, h.schema, target)).or_default() += b.count;
            }
            let reduced = h.copy_to_schema(target);
            let got: Vec<(i32, f64)> = reduced.positive_bucket_iter().map(|b| (b.index, b.count)).collect();
            prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
            prop_assert!(reduced.validate().is_ok());
        }

        #[test]
        fn integers_as_floats(h in any_integer_histogram(), by in 1i32..5) {
            let target = (h.schema - by).max(-4);
            prop_assume!(target < h.schema && !h.uses_custom_buckets());
            let mut reduced = h.clone();
            reduced.reduce_resolution(target).unwrap();
            let mut floats = h.to_float();
            floats.reduce_resolution(target).unwrap();
            prop_assert!(reduced.to_float().equals(&floats));
        }
    }
}
