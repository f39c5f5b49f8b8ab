//! Drops empty buckets, so that equal histograms have equal layouts and results stay small.

use super::buckets::indices;
use super::layout::SpanBuilder;
use super::{FloatHistogram, Histogram, Span};

impl FloatHistogram {
    /// Drops empty buckets at the ends of spans and runs of more than `empty_max` of them in between. Joins spans that
    /// are at most `empty_max` buckets apart, filling the gap with empty buckets.
    pub fn compact(&mut self, empty_max: usize) {
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, None, empty_max);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, None, empty_max);
    }

    /// The same for a histogram with its compensation: a bucket is empty if both parts are.
    pub(super) fn compact_with(&mut self, compensation: &mut FloatHistogram) {
        let c = compensation;
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, Some(&mut c.positive_buckets), 0);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, Some(&mut c.negative_buckets), 0);
        c.positive_spans.clone_from(&self.positive_spans);
        c.negative_spans.clone_from(&self.negative_spans);
    }
}

impl Histogram {
    /// See [`FloatHistogram::compact`].
    pub fn compact(&mut self, empty_max: usize) {
        compact_deltas(&mut self.positive_spans, &mut self.positive_buckets, empty_max);
        compact_deltas(&mut self.negative_spans, &mut self.negative_buckets, empty_max);
    }
}

fn compact_side(
    spans: &mut Vec<Span>,
    buckets: &mut Vec<f64>,
    compensation: Option<&mut Vec<f64>>,
    empty_max: usize,
) {
    let lost = compensation.as_ref().map_or(&[][..], |c| c.as_slice());
    let plan =
        plan(spans, buckets.len(), empty_max, |i| buckets[i] == 0.0 && lost.get(i).is_none_or(|c| *c == 0.0));
    if let Some((new_spans, sources)) = plan {
        *spans = new_spans;
        *buckets = pick(buckets, &sources);
        if let Some(c) = compensation {
            *c = pick(c, &sources);
        }
    }
}

fn compact_deltas(spans: &mut Vec<Span>, deltas: &mut Vec<i64>, empty_max: usize) {
    let mut counts = deltas.clone();
    let mut running = 0i64;
    for count in &mut counts {
        running = running.wrapping_add(*count);
        *count = running;
    }
    if let Some((new_spans, sources)) = plan(spans, counts.len(), empty_max, |i| counts[i] == 0) {
        *spans = new_spans;
        let mut previous = 0i64;
        *deltas = sources
            .iter()
            .map(|source| {
                let count = source.map_or(0, |i| counts[i]);
                let delta = count.wrapping_sub(previous);
                previous = count;
                delta
            })
            .collect();
    }
}

/// New spans, and for each of their buckets the index of the old one, or `None` for an empty one that fills a gap.
type Plan = (Vec<Span>, Vec<Option<usize>>);

/// `None` if there is nothing to do.
fn plan(spans: &[Span], buckets: usize, empty_max: usize, is_empty: impl Fn(usize) -> bool) -> Option<Plan> {
    let joinable =
        |i: usize, span: &Span| i > 0 && span.offset <= i32::try_from(empty_max).unwrap_or(i32::MAX);
    let untouched = !(0..buckets).any(&is_empty)
        && !spans.iter().enumerate().any(|(i, span)| span.length == 0 || joinable(i, span));
    if untouched {
        return None;
    }
    let mut built = SpanBuilder::default();
    let mut sources = Vec::with_capacity(buckets);
    let mut next = None;
    for (i, index) in indices(spans).take(buckets).enumerate().filter(|(i, _)| !is_empty(*i)) {
        let next_index: i64 = next.unwrap_or(i64::from(index));
        let gap = i64::from(index) - next_index;
        if gap > 0 && gap as u64 <= empty_max as u64 {
            for filler in next_index..i64::from(index) {
                built.push(filler as i32);
                sources.push(None);
            }
        }
        built.push(index);
        sources.push(Some(i));
        next = Some(i64::from(index) + 1);
    }
    Some((built.finish(), sources))
}

fn pick(values: &[f64], sources: &[Option<usize>]) -> Vec<f64> {
    sources.iter().map(|source| source.and_then(|i| values.get(i).copied()).unwrap_or(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_float_histogram, any_integer_histogram, spans_of};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_and_runs_of_empty_buckets() {
        type Side<'a> = (&'a [(i32, u32)], &'a [f64]);
        let cases: [(Side, usize, Side); 6] = [
            ((&[(0, 3)], &[0.0, 1.0, 0.0]), 0, (&[(1, 1)], &[1.0])),
            ((&[(0, 3)], &[1.0, 0.0, 2.0]), 0, (&[(0, 1), (1, 1)], &[1.0, 2.0])),
            ((&[(0, 3)], &[1.0, 0.0, 2.0]), 1, (&[(0, 3)], &[1.0, 0.0, 2.0])),
            ((&[(-2, 1), (2, 2)], &[1.0, 0.0, 2.0]), 3, (&[(-2, 5)], &[1.0, 0.0, 0.0, 0.0, 2.0])),
            ((&[(5, 1), (0, 1), (3, 0)], &[1.0, 2.0]), 0, (&[(5, 2)], &[1.0, 2.0])),
            ((&[(5, 2)], &[0.0, 0.0]), 0, (&[], &[])),
        ];
        for ((spans, buckets), empty_max, (want_spans, want)) in cases {
            let mut h = FloatHistogram {
                positive_spans: spans_of(spans),
                positive_buckets: buckets.to_vec(),
                ..FloatHistogram::default()
            };
            h.compact(empty_max);
            assert_eq!((h.positive_spans, h.positive_buckets), (spans_of(want_spans), want.to_vec()));
        }
    }

    proptest! {
        #[test]
        fn counts_are_preserved(h in any_float_histogram(), empty_max in 0usize..4) {
            let mut compacted = h.clone();
            compacted.compact(empty_max);
            prop_assert_eq!(compacted.to_string(), h.to_string());
            prop_assert!(compacted.validate().is_ok());
            let mut twice = compacted.clone();
            twice.compact(empty_max);
            prop_assert!(twice.equals(&compacted));
        }

        #[test]
        fn integers_as_floats(h in any_integer_histogram(), empty_max in 0usize..4) {
            let mut compacted = h.clone();
            compacted.compact(empty_max);
            let mut floats = h.to_float();
            floats.compact(empty_max);
            prop_assert!(compacted.to_float().equals(&floats));
        }
    }
}
