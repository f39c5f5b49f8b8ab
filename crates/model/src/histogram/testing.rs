//! Histograms for tests of this folder.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, Span};

/// Spans of pairs of offset and length.
pub(super) fn spans_of(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs.iter().map(|&(offset, length)| Span { offset, length }).collect()
}

/// One side: spans of a few buckets, some spans empty, with small counts.
fn any_side(first_offset: std::ops::Range<i32>) -> impl Strategy<Value = (Vec<Span>, Vec<i64>)> {
    (first_offset, vec((0i32..4, 0u32..4), 0..5)).prop_flat_map(|(first, pairs)| {
        let mut spans = spans_of(&pairs);
        if let Some(span) = spans.first_mut() {
            span.offset = first;
        }
        let buckets: u32 = spans.iter().map(|s| s.length).sum();
        (Just(spans), vec(0i64..5, buckets as usize))
    })
}

fn deltas(counts: &[i64]) -> Vec<i64> {
    let mut previous = 0;
    counts
        .iter()
        .map(|count| {
            let delta = count - previous;
            previous = *count;
            delta
        })
        .collect()
}

/// Valid integer histograms of all kinds.
pub(super) fn any_integer_histogram() -> impl Strategy<Value = Histogram> {
    let hint = prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::Reset),
        Just(CounterResetHint::NotReset),
        Just(CounterResetHint::Gauge),
    ];
    let exponential = (any_side(-12..12), any_side(-12..12), -4i32..=8, 0u64..5, 0usize..4).prop_map(
        |((positive_spans, positive), (negative_spans, negative), schema, zero_count, threshold)| {
            let total: i64 = positive.iter().chain(&negative).sum();
            Histogram {
                schema,
                zero_threshold: [0.0, 1e-3, 0.5, 1.7][threshold],
                zero_count,
                count: zero_count + total as u64,
                positive_buckets: deltas(&positive),
                negative_buckets: deltas(&negative),
                positive_spans,
                negative_spans,
                ..Histogram::default()
            }
        },
    );
    let custom = (any_side(0..3), 1i32..4).prop_map(|((positive_spans, positive), step)| {
        let reach: i64 = positive_spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
        Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: positive.iter().sum::<i64>() as u64,
            positive_buckets: deltas(&positive),
            positive_spans,
            custom_values: Some((0..reach).map(|i| (i * i64::from(step)) as f64).collect()),
            ..Histogram::default()
        }
    });
    (prop_oneof![4 => exponential.boxed(), 1 => custom.boxed()], hint, -100i32..100).prop_map(
        |(mut h, hint, sum)| {
            h.counter_reset_hint = hint;
            h.sum = f64::from(sum);
            h
        },
    )
}

/// Valid float histograms of all kinds, nothing counted in buckets that reach into the zero bucket.
pub(super) fn any_float_histogram() -> impl Strategy<Value = FloatHistogram> {
    any_integer_histogram().prop_map(|h| clear_of_zero_bucket(h.to_float()))
}

/// The same counts in another exponential schema.
pub(super) fn with_schema(mut h: FloatHistogram, schema: i32) -> FloatHistogram {
    if !h.uses_custom_buckets() && schema != CUSTOM_BUCKETS_SCHEMA {
        h.schema = schema;
    }
    clear_of_zero_bucket(h)
}

fn clear_of_zero_bucket(mut h: FloatHistogram) -> FloatHistogram {
    let threshold = h.zero_threshold;
    if threshold > 0.0 {
        let positive = h.positive_bucket_iter().take_while(|b| b.lower < threshold).count();
        let negative = h.negative_bucket_iter().take_while(|b| b.upper > -threshold).count();
        h.positive_buckets[..positive].fill(0.0);
        h.negative_buckets[..negative].fill(0.0);
        h.count =
            h.zero_count + h.positive_buckets.iter().sum::<f64>() + h.negative_buckets.iter().sum::<f64>();
    }
    h
}
