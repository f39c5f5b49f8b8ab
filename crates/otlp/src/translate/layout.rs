//! Buckets of OTLP as the sparse buckets of native histograms.

use ferula_model::Span;

/// Whether the first bucket of OTLP is the first of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexes {
    /// Bucket 0 of an exponential histogram reaches from 1 up, ours of that number up to 1.
    Exponential,
    /// Those of explicit bounds are the same.
    Explicit,
}

/// Spans and deltas of dense counts, the first of which has the number `offset`. 2^`scale_down` buckets become one. Gaps of up to two
/// empty buckets are filled, as in Prometheus' client library.
pub fn sparse(counts: &[u64], offset: i32, scale_down: u32, indexes: Indexes) -> (Vec<Span>, Vec<i64>) {
    const GAP_MAX: i64 = 2;
    if counts.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let scaled = |index: i64| (index >> scale_down.min(62)) + 1;
    let offset = i64::from(offset);
    let first = match indexes {
        Indexes::Exponential => scaled(offset),
        Indexes::Explicit => offset,
    };
    let mut spans = vec![Span { offset: first as i32, length: 0 }];
    let (mut deltas, mut before) = (Vec::new(), 0i64);
    let mut put = |gap: i64, count: i64| {
        let empty = if gap > GAP_MAX {
            spans.push(Span { offset: gap as i32, length: 0 });
            0
        } else {
            gap.max(0)
        };
        for value in std::iter::repeat_n(0, empty as usize).chain([count]) {
            if let Some(span) = spans.last_mut() {
                span.length += 1;
            }
            deltas.push(value.wrapping_sub(before));
            before = value;
        }
    };
    // The bucket that is collected, and the one after the last that was put.
    let (mut bucket, mut count) = (scaled(offset), 0i64);
    for (index, more) in counts.iter().enumerate() {
        let next = scaled(index as i64 + offset);
        if next == bucket {
            count = count.wrapping_add(*more as i64);
        } else if count == 0 {
            count = *more as i64;
        } else {
            put(next - bucket - 1, count);
            (bucket, count) = (next, *more as i64);
        }
    }
    let last = scaled(counts.len() as i64 - 1 + offset);
    put(last - bucket, count);
    (spans, deltas)
}
