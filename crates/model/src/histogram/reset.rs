//! Did a counter histogram restart between two samples?

use super::buckets::indexed;
use super::custom::{Rebinned, bounds_match, intersection};
use super::resolution::target_index;
use super::schema::is_exponential_schema;
use super::{CounterResetHint, FloatHistogram, Span, exponential_bound};

impl FloatHistogram {
    /// Whether any count (of a bucket, of the zero bucket or of all observations; not the sum) is below that of
    /// `previous`, or a populated bucket is missing. An explicit hint settles the question.
    ///
    /// A finer schema or a narrower zero bucket than before implies a restart. A coarser schema or a wider
    /// zero bucket is compared after `previous` has been converted; a threshold inside a populated bucket of
    /// `previous` also implies a restart. Gauge histograms are treated as counters.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if !bounds_match(self.custom_bounds(), previous.custom_bounds()) {
                return self.lost_counts_in_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let zero = previous.zero_bucket_for(self.zero_threshold, None);
        if zero.threshold != self.zero_threshold || self.zero_count < zero.count {
            return true;
        }
        let side = |h: &FloatHistogram, spans: &[Span], buckets: &[f64]| -> Vec<(i32, f64)> {
            merged_from(spans, buckets, h.schema, self.schema, self.zero_threshold)
        };
        let lost = |now: Vec<(i32, f64)>, before: Vec<(i32, f64)>| has_lost_counts(&now, &before);
        lost(
            side(self, &self.positive_spans, &self.positive_buckets),
            side(previous, &previous.positive_spans, &previous.positive_buckets),
        ) || lost(
            side(self, &self.negative_spans, &self.negative_buckets),
            side(previous, &previous.negative_spans, &previous.negative_buckets),
        )
    }

    /// The same for custom buckets with different bounds: compares the counts between common bounds.
    fn lost_counts_in_common_bounds(&self, previous: &FloatHistogram) -> bool {
        let bounds = intersection(self.custom_bounds(), previous.custom_bounds());
        let rebinned = |h: &FloatHistogram| {
            let mut counts = Rebinned::empty(&bounds);
            counts.add(h, 1.0, None, &bounds);
            counts.counts
        };
        rebinned(self).iter().zip(rebinned(previous)).any(|(now, before)| *now < before)
    }
}

/// Buckets of one side converted to schema `to`, as index and count, without those that end at or below `threshold`.
fn merged_from(spans: &[Span], buckets: &[f64], from: i32, to: i32, threshold: f64) -> Vec<(i32, f64)> {
    let mut out: Vec<(i32, f64)> = Vec::with_capacity(buckets.len());
    for (index, count) in indexed(spans, buckets) {
        let index = if from == to { index } else { target_index(index, from, to) };
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => out.push((index, count)),
        }
    }
    if threshold != 0.0 && is_exponential_schema(to) {
        let covered = out.iter().take_while(|(i, _)| exponential_bound(*i, to) <= threshold).count();
        out.drain(..covered);
    }
    out
}

/// Whether a populated bucket of `before` is missing or has fewer observations in `now`. Both are sorted by index.
fn has_lost_counts(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while now.next_if(|(i, _)| i < index).is_some() {}
        match now.peek() {
            Some((i, current)) if i == index => current < count,
            _ => *count != 0.0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_float_histogram, spans_of, with_schema};
    use super::*;
    use proptest::prelude::*;

    fn base() -> FloatHistogram {
        FloatHistogram {
            schema: 1,
            count: 10.0,
            zero_threshold: 0.01,
            zero_count: 2.0,
            positive_spans: spans_of(&[(-3, 3)]),
            positive_buckets: vec![1.0, 0.0, 3.0],
            negative_spans: spans_of(&[(2, 1)]),
            negative_buckets: vec![4.0],
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn restarts_are_detected() {
        type Change = fn(&mut FloatHistogram);
        let cases: [(&str, Change, bool); 11] = [
            ("the same", |_| {}, false),
            ("hint says reset", |h| h.counter_reset_hint = CounterResetHint::Reset, true),
            ("count fell", |h| h.count = 9.0, true),
            ("zero count fell", |h| h.zero_count = 1.0, true),
            ("bucket fell", |h| h.positive_buckets[2] = 2.0, true),
            (
                "hint says none",
                |h| {
                    h.positive_buckets[2] = 2.0;
                    h.counter_reset_hint = CounterResetHint::NotReset;
                },
                false,
            ),
            (
                "populated bucket went",
                |h| {
                    h.negative_spans.clear();
                    h.negative_buckets.clear();
                },
                true,
            ),
            (
                "empty bucket went",
                |h| {
                    h.positive_spans = spans_of(&[(-3, 1), (1, 1)]);
                    h.positive_buckets = vec![1.0, 3.0];
                },
                false,
            ),
            ("finer", |h| h.schema = 2, true),
            ("coarser", |h| *h = h.copy_to_schema(0), false),
            ("wider zero bucket inside a populated bucket", |h| h.zero_threshold = 0.3, true),
        ];
        for (what, change, want) in cases {
            let mut now = base();
            change(&mut now);
            assert_eq!(now.detect_reset(&base()), want, "{what}");
        }
        let mut wider = base();
        wider.zero_threshold = exponential_bound(-2, 1);
        wider.zero_count = 3.0;
        assert!(!wider.detect_reset(&base()));
        wider.zero_count = 2.5;
        assert!(wider.detect_reset(&base()));
    }

    #[test]
    fn custom_bounds_are_compared_where_both_have_one() {
        let h = |bounds: &[f64], buckets: &[f64]| FloatHistogram {
            schema: super::super::CUSTOM_BUCKETS_SCHEMA,
            count: buckets.iter().sum(),
            positive_spans: spans_of(&[(0, buckets.len() as u32)]),
            positive_buckets: buckets.to_vec(),
            custom_values: Some(bounds.into()),
            ..FloatHistogram::default()
        };
        let before = h(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]);
        assert!(!h(&[2.0, 4.0], &[2.0, 1.0, 1.0]).detect_reset(&before));
        assert!(h(&[2.0, 4.0], &[1.5, 1.5, 1.0]).detect_reset(&before));
    }

    proptest! {
        #[test]
        fn more_observations_are_not_a_restart(before in any_float_histogram(), more in any_float_histogram()) {
            let mut now = before.clone();
            // Different thresholds move across buckets that a coarser schema splits elsewhere.
            let more = with_schema(more, before.schema);
            prop_assume!(now.add(&more).is_ok());
            now.counter_reset_hint = CounterResetHint::Unknown;
            prop_assert!(!now.detect_reset(&before), "{now} after {before}");
        }
    }
}
