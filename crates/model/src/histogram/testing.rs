//! Histograms for the tests of this directory.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, Span};

/// Spans from pairs of offset and length.
pub(super) fn spans_of(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs.iter().map(|&(offset, length)| Span { offset, length }).collect()
}

/// One side: spans of a few buckets with small counts; some spans are empty.
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

/// Valid float histograms of all kinds, without observations in buckets that overlap the zero bucket.
pub(super) fn any_float_histogram() -> impl Strategy<Value = FloatHistogram> {
    any_integer_histogram().prop_map(|h| clear_of_zero_bucket(h.to_float()))
}

/// The same counts with another exponential schema.
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

/// Float histograms that may be inconsistent in every way that a chunk or a remote writer could make them.
pub(super) fn any_broken_histogram() -> impl Strategy<Value = FloatHistogram> {
    let schema = prop_oneof![Just(CUSTOM_BUCKETS_SCHEMA), -4i32..=8, any::<i32>()];
    let number = prop_oneof![0f64..9.0, Just(0.0), any::<f64>()];
    let offset = prop_oneof![-3i32..9, any::<i32>()];
    let length = prop_oneof![0u32..5, any::<u32>()];
    let side = || (vec((offset.clone(), length.clone()), 0..4), vec(number.clone(), 0..9));
    let bounds = proptest::option::of(vec(number.clone(), 0..4));
    (schema, [number.clone(), number.clone(), number.clone(), number.clone()], side(), side(), bounds)
        .prop_map(
            |(
                schema,
                numbers,
                (positive_spans, positive_buckets),
                (negative_spans, negative_buckets),
                bounds,
            )| {
                FloatHistogram {
                    schema,
                    zero_threshold: numbers[0],
                    zero_count: numbers[1],
                    count: numbers[2],
                    sum: numbers[3],
                    positive_spans: spans_of(&positive_spans),
                    positive_buckets,
                    negative_spans: spans_of(&negative_spans),
                    negative_buckets,
                    custom_values: bounds.map(Into::into),
                    counter_reset_hint: CounterResetHint::Unknown,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_operation_panics_on_an_inconsistent_histogram(
        a in any_broken_histogram(),
        b in any_broken_histogram(),
        number in any::<f64>(),
        schema in -9i32..9,
    ) {
        let ends = |h: &FloatHistogram| (h.all_bucket_iter().next(), h.all_bucket_iter().next_back());
        let _ = (a.validate(), a.equals(&b), a.detect_reset(&b), a.accounted_bytes(), ends(&a));
        let _ = (a.to_string(), a.test_expression(), a.copy_to_schema(schema));
        let mut sum = a.clone();
        let _ = (sum.add(&b), ends(&sum), sum.sub(&a), ends(&sum));
        let (mut sum, mut compensation) = (b.clone(), None);
        let _ = (sum.kahan_add(&a, &mut compensation), sum.kahan_add(&b, &mut compensation));
        let mut changed = a.clone();
        changed.trim(number, super::Keep::Below);
        changed.mul(number);
        changed.compact(3);
        changed.trim(number, super::Keep::Above);
        changed.div(number);
        let _ = (changed.reduce_resolution(schema), ends(&changed));
    }
}
