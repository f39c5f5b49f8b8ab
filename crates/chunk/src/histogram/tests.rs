//! Histogram chunks: whatever the layouts, a chunk returns the samples that it was given.

use std::sync::Arc;

use ferula_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use ferula_model::value::{STALE_NAN, is_stale};
use ferula_model::{FloatHistogram, Histogram, Span};
use proptest::prelude::*;

use super::*;

/// Buckets by index, from which spans are made: each histogram of a series may have others.
fn histogram_of(
    hint: CounterResetHint,
    positive: &[(i32, i64)],
    negative: &[(i32, i64)],
    zero_count: u64,
    sum: f64,
) -> Histogram {
    let (positive_spans, positive_buckets) = spans_of(positive);
    let (negative_spans, negative_buckets) = spans_of(negative);
    let all: i64 = positive.iter().chain(negative).map(|(_, count)| *count).sum();
    Histogram {
        counter_reset_hint: hint,
        schema: 1,
        zero_threshold: 0.01,
        zero_count,
        count: zero_count + all as u64,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: None,
    }
}

fn spans_of(buckets: &[(i32, i64)]) -> (Vec<Span>, Vec<i64>) {
    let mut spans: Vec<Span> = Vec::new();
    let (mut end, mut before, mut deltas) = (0, 0, Vec::new());
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(span) if *index == end => span.length += 1,
            _ => spans.push(Span { offset: index - end, length: 1 }),
        }
        end = index + 1;
        deltas.push(count - before);
        before = *count;
    }
    (spans, deltas)
}

fn to_float(h: &Histogram) -> FloatHistogram {
    let absolute = |deltas: &[i64]| {
        let mut count = 0;
        deltas
            .iter()
            .map(|delta| {
                count += delta;
                count as f64
            })
            .collect()
    };
    FloatHistogram {
        counter_reset_hint: h.counter_reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as f64,
        count: h.count as f64,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_buckets: absolute(&h.positive_buckets),
        negative_buckets: absolute(&h.negative_buckets),
        custom_values: h.custom_values.clone(),
    }
}

/// The meaning of a histogram, whatever its spans: counts by bucket index, without empty buckets.
fn meaning(h: &FloatHistogram) -> (u64, u64, u64, Vec<(i64, u64)>, Vec<(i64, u64)>) {
    let by_index = |spans: &[Span], counts: &[f64]| {
        let mut next = 0i64;
        let mut indices = Vec::new();
        for span in spans {
            next += i64::from(span.offset);
            for _ in 0..span.length {
                indices.push(next);
                next += 1;
            }
        }
        assert_eq!(indices.len(), counts.len());
        indices
            .into_iter()
            .zip(counts.iter().map(|c| c.to_bits()))
            .filter(|(_, count)| *count != 0)
            .collect::<Vec<_>>()
    };
    (
        h.count.to_bits(),
        h.zero_count.to_bits(),
        h.sum.to_bits(),
        by_index(&h.positive_spans, &h.positive_buckets),
        by_index(&h.negative_spans, &h.negative_buckets),
    )
}

/// Appends samples as the head does, starting new chunks where one does not fit.
fn chunks_of<C: kind::Counts>(
    with_starts: bool,
    samples: &[(i64, i64, C::Sample)],
) -> Vec<HistogramWriter<C>> {
    let mut chunks: Vec<HistogramWriter<C>> = Vec::new();
    for (start, t, sample) in samples {
        let Some(chunk) = chunks.last_mut() else {
            let header = HistogramWriter::<C>::header_after(None, sample);
            chunks.push(HistogramWriter::begin(header, with_starts, *start, *t, sample));
            continue;
        };
        match chunk.fit(sample) {
            Fit::Append(relayout) => chunk.append(*start, *t, sample, &relayout),
            Fit::NewChunk(header) => {
                chunks.push(HistogramWriter::begin(header, with_starts, *start, *t, sample));
            }
        }
    }
    chunks
}

/// Series that grow buckets, lose empty ones, reset, become gauges and go stale.
fn series() -> impl Strategy<Value = Vec<(i64, i64, Histogram)>> {
    let step = (
        prop::collection::btree_map(-6i32..6, 0i64..5, 0..5),
        prop::collection::btree_map(-3i32..3, 0i64..3, 0..3),
        0u64..3,
        0u8..20,
        0i64..4,
    );
    (any::<bool>(), any::<i32>(), prop::collection::vec(step, 1..40)).prop_map(|(gauge, t0, steps)| {
        let mut counts = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new(), 0);
        let mut t = i64::from(t0);
        let mut samples = Vec::new();
        for (positive, negative, zero, event, start) in steps {
            t += 15_000 + start;
            if event == 0 || gauge {
                counts = (positive, negative, zero);
            } else {
                positive.into_iter().for_each(|(i, c)| *counts.0.entry(i).or_insert(0) += c);
                negative.into_iter().for_each(|(i, c)| *counts.1.entry(i).or_insert(0) += c);
                counts.2 += zero;
            }
            if event == 1 {
                counts.0.retain(|_, count| *count != 0);
            }
            let flat = |map: &std::collections::BTreeMap<i32, i64>| {
                map.iter().map(|(i, c)| (*i, *c)).collect::<Vec<_>>()
            };
            let hint = if gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
            let sum = if event == 2 { STALE_NAN } else { t as f64 / 7.0 };
            let h = histogram_of(hint, &flat(&counts.0), &flat(&counts.1), counts.2, sum);
            samples.push((if start == 3 { t - 5 } else { 0 }, t, h));
        }
        samples
    })
}

fn check<C: kind::Counts>(
    with_starts: bool,
    samples: &[(i64, i64, C::Sample)],
    float: impl Fn(&C::Sample) -> FloatHistogram,
) {
    let mut out = HistogramColumns::default();
    for chunk in chunks_of::<C>(with_starts, samples) {
        let data = chunk.to_bytes();
        assert_eq!(data.len(), chunk.byte_len());
        assert_eq!(decode_histograms(chunk.encoding(), &data, u16::MAX, &mut out), Ok(chunk.len().into()));
        let header = counter_reset_header(chunk.encoding(), &data).unwrap();
        assert_eq!(header, chunk.counter_reset_header());
    }
    assert_eq!(out.timestamps, samples.iter().map(|s| s.1).collect::<Vec<_>>());
    if with_starts && !out.start_timestamps.is_empty() {
        assert_eq!(out.start_timestamps, samples.iter().map(|s| s.0).collect::<Vec<_>>());
    } else if with_starts {
        assert!(samples.iter().all(|s| s.0 == 0));
    }
    for (read, (_, t, sample)) in out.values.iter().zip(samples) {
        let sample = float(sample);
        if is_stale(sample.sum) {
            assert!(is_stale(read.sum));
        } else {
            assert_eq!(meaning(read), meaning(&sample), "at {t}");
        }
    }
}

proptest! {
    #[test]
    fn a_series_comes_back_from_its_chunks(samples in series(), with_starts: bool) {
        check::<IntegerCounts>(with_starts, &samples, to_float);
        let floats: Vec<_> = samples.iter().map(|(st, t, h)| (*st, *t, to_float(h))).collect();
        check::<FloatCounts>(with_starts, &floats, Clone::clone);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        for encoding in Encoding::ALL {
            if encoding.value_kind() != crate::ValueKind::Float {
                let mut out = HistogramColumns::default();
                if decode_histograms(encoding, &data, u16::MAX, &mut out).is_err() {
                    prop_assert!(out.is_empty());
                }
            }
        }
    }
}

fn counter(positive: &[(i32, i64)]) -> Histogram {
    histogram_of(CounterResetHint::Unknown, positive, &[], 1, 1.5)
}

fn begun(sample: &Histogram) -> IntegerHistogramWriter {
    IntegerHistogramWriter::begin(CounterResetHint::Unknown, false, 0, 1000, sample)
}

fn refusal(fit: Fit) -> CounterResetHint {
    match fit {
        Fit::NewChunk(header) => header,
        Fit::Append(_) => panic!("it must not fit"),
    }
}

#[test]
fn new_buckets_rewrite_the_chunk_and_missing_empty_ones_the_sample() {
    let mut chunk = begun(&counter(&[(0, 3), (1, 0), (4, 2)]));
    let Fit::Append(relayout) = chunk.fit(&counter(&[(0, 3), (2, 1), (4, 2)])) else { panic!("it fits") };
    assert!(relayout.rewrites_chunk());
    chunk.append(0, 2000, &counter(&[(0, 3), (2, 1), (4, 2)]), &relayout);
    let data = chunk.to_bytes();
    let read: Vec<_> = HistogramIter::new(&data, false).unwrap().map(|s| s.unwrap().2).collect();
    let spans = vec![Span { offset: 0, length: 3 }, Span { offset: 1, length: 1 }];
    assert!(read.iter().all(|h| h.positive_spans == spans));
    assert_eq!(read[0].positive_buckets, [3, -3, 0, 2]);
    assert_eq!(read[1].positive_buckets, [3, -3, 1, 1]);
    assert_eq!(read[0].counter_reset_hint, CounterResetHint::Unknown);
    assert_eq!(read[1].counter_reset_hint, CounterResetHint::NotReset);
}

/// A chunk of a later version may be finer than what this one works with.
#[test]
fn resolutions_of_later_versions_are_reduced() {
    let mut fine = counter(&[(1, 1), (2, 2), (3, 2), (4, 1), (5, 1)]);
    fine.schema = 10;
    let chunk = begun(&fine);
    let bytes = chunk.to_bytes();
    let read = HistogramIter::new(&bytes, false).expect("a header").next().expect("a sample").expect("whole");
    // Four buckets of schema 10 are one of schema 8: 1+2+2+1, and then 1.
    assert_eq!((read.2.schema, &read.2.positive_buckets[..]), (8, &[6, -5][..]));
    let read =
        HistogramIter::new(&bytes, false).expect("a header").next_float().expect("a sample").expect("whole");
    assert_eq!((read.2.schema, &read.2.positive_buckets[..]), (8, &[6.0, 1.0][..]));
}

#[test]
fn what_does_not_fit_says_why() {
    let first = counter(&[(0, 3), (1, 2)]);
    let chunk = begun(&first);
    let mut other = first.clone();
    other.schema = 2;
    assert_eq!(refusal(chunk.fit(&other)), CounterResetHint::Unknown);
    let mut other = first.clone();
    other.zero_threshold = 0.5;
    assert_eq!(refusal(chunk.fit(&other)), CounterResetHint::Unknown);
    let mut other = first.clone();
    other.zero_count = 0;
    assert_eq!(refusal(chunk.fit(&other)), CounterResetHint::Reset);
    let mut other = first.clone();
    other.count -= 1;
    assert_eq!(refusal(chunk.fit(&other)), CounterResetHint::Reset);
    let mut lost = counter(&[(0, 3)]);
    lost.count = first.count;
    assert_eq!(refusal(chunk.fit(&lost)), CounterResetHint::Reset);
    let mut hinted = first.clone();
    hinted.counter_reset_hint = CounterResetHint::Reset;
    assert_eq!(refusal(chunk.fit(&hinted)), CounterResetHint::Reset);
    hinted.counter_reset_hint = CounterResetHint::Gauge;
    assert_eq!(refusal(chunk.fit(&hinted)), CounterResetHint::Gauge);
    let gauges = IntegerHistogramWriter::begin(CounterResetHint::Gauge, false, 0, 1, &hinted);
    assert_eq!(refusal(gauges.fit(&first)), CounterResetHint::NotReset);
    assert_eq!(IntegerHistogramWriter::header_after(Some(&chunk), &first), CounterResetHint::NotReset);
    assert_eq!(IntegerHistogramWriter::header_after(Some(&chunk), &lost), CounterResetHint::Reset);
    assert_eq!(IntegerHistogramWriter::header_after(None, &first), CounterResetHint::Unknown);
}

#[test]
fn other_custom_bounds_are_a_reset() {
    let mut first = counter(&[(0, 3), (1, 2)]);
    first.schema = CUSTOM_BUCKETS_SCHEMA;
    first.custom_values = Some(Arc::from([1.0, 2.0]));
    let chunk = begun(&first);
    let mut other = first.clone();
    other.custom_values = Some(Arc::from([1.0, 2.5]));
    assert_eq!(refusal(chunk.fit(&other)), CounterResetHint::Reset);
    assert!(matches!(chunk.fit(&first), Fit::Append(_)));
}

#[test]
fn only_staleness_markers_follow_one() {
    let first = counter(&[(0, 3)]);
    let mut stale = first.clone();
    stale.sum = STALE_NAN;
    let mut chunk = begun(&first);
    for t in [2000, 3000] {
        let Fit::Append(relayout) = chunk.fit(&stale) else { panic!("markers always fit") };
        chunk.append(0, t, &stale, &relayout);
    }
    assert_eq!(refusal(chunk.fit(&first)), CounterResetHint::Unknown);
    let mut out = HistogramColumns::default();
    decode_histograms(Encoding::Histogram, &chunk.to_bytes(), u16::MAX, &mut out).unwrap();
    assert!(!is_stale(out.values[0].sum) && is_stale(out.values[1].sum) && is_stale(out.values[2].sum));
    assert!(out.values[2].positive_buckets.is_empty());
}
