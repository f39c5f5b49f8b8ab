//! `histogram </ v` and `histogram >/ v`: keep the observations below or above a value.
//!
//! A bucket that contains the value keeps its share: linear in custom buckets and in the zero bucket, logarithmic in
//! exponential ones. If anything was cut, count and sum are estimated from what is left.

use super::{Bucket, FloatHistogram};

/// Which observations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those below the value (`</`).
    Below,
    /// Those above it (`>/`).
    Above,
}

/// How many observations of a bucket are kept, and the value that represents each of them in the sum.
type KeptObservations = (f64, f64);

impl FloatHistogram {
    /// Keeps the observations below or above `value`.
    pub fn trim(&mut self, value: f64, keep: Keep) {
        let custom = self.uses_custom_buckets();
        let (mut count, mut sum, mut cut) = (0.0, 0.0, false);
        let mut side = |buckets: Vec<Bucket>, counts: &mut [f64], positive: bool| -> bool {
            let mut populated = false;
            for (bucket, slot) in buckets.iter().zip(counts).filter(|(bucket, _)| bucket.count != 0.0) {
                populated = true;
                match kept_of_bucket(bucket, value, keep, positive, custom) {
                    Some((kept, middle)) => {
                        count += kept;
                        sum += middle * kept;
                        cut |= *slot != kept;
                        *slot = kept;
                    }
                    None => {
                        *slot = 0.0;
                        cut = true;
                    }
                }
            }
            populated
        };
        let positive = side(self.positive_bucket_iter().collect(), &mut self.positive_buckets, true);
        let negative = side(self.negative_bucket_iter().collect(), &mut self.negative_buckets, false);
        if self.zero_count > 0.0 {
            let (kept, middle) = kept_of_zero_bucket(&self.zero_bucket(), value, keep, negative, positive);
            cut |= self.zero_count != kept;
            self.zero_count = kept;
            sum += middle * kept;
            count += kept;
        }
        if cut {
            self.count = count;
            self.sum = sum;
            self.compact(0);
        }
    }
}

/// `None` if nothing of the bucket is kept.
fn kept_of_bucket(
    bucket: &Bucket,
    value: f64,
    keep: Keep,
    positive: bool,
    custom: bool,
) -> Option<KeptObservations> {
    let (whole, partly) = match keep {
        Keep::Below => (bucket.upper <= value, bucket.lower < value),
        Keep::Above => (bucket.lower >= value, bucket.upper > value),
    };
    if whole {
        return Some((bucket.count, middle(bucket.lower, bucket.upper, positive, custom)));
    }
    if !partly {
        return None;
    }
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return Some(kept_of_infinite_bucket(bucket, value, keep));
    }
    let below = if value <= bucket.lower {
        0.0
    } else if value >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.fraction_below(value, custom)
    };
    Some(match keep {
        Keep::Below => (below, middle(bucket.lower, value, positive, custom)),
        Keep::Above => (bucket.count - below, middle(value, bucket.upper, positive, custom)),
    })
}

/// The distribution within an infinite bucket is unknown, so a cut through it keeps no observations, unless the
/// other bound is positive, where the bucket is assumed to begin at 0 (custom buckets only, hence linear).
fn kept_of_infinite_bucket(b: &Bucket, value: f64, keep: Keep) -> KeptObservations {
    let or_zero = |v: f64| if v.is_infinite() { 0.0 } else { v };
    if b.lower == f64::NEG_INFINITY {
        let from_zero = b.upper > 0.0 && b.upper != f64::INFINITY;
        return match keep {
            Keep::Below if value >= b.upper => (b.count, 0.0),
            Keep::Below if value > 0.0 && from_zero => (b.count * value / b.upper, value / 2.0),
            Keep::Below if b.upper <= 0.0 => (b.count, value),
            Keep::Above if value <= b.lower => (b.count, 0.0),
            Keep::Above if value >= 0.0 && b.upper > value && from_zero => {
                (b.count * (1.0 - value / b.upper), (value + b.upper) / 2.0)
            }
            Keep::Below | Keep::Above => (0.0, or_zero(b.upper)),
        };
    }
    match keep {
        Keep::Above if value >= b.lower => (b.count, value),
        Keep::Below | Keep::Above => (0.0, or_zero(b.lower)),
    }
}

/// The zero bucket extends to one side only if the other side has no observations.
fn kept_of_zero_bucket(
    zero: &Bucket,
    value: f64,
    keep: Keep,
    negative: bool,
    positive: bool,
) -> KeptObservations {
    let lower = if positive && !negative { 0.0 } else { zero.lower };
    let upper = if negative && !positive { 0.0 } else { zero.upper };
    let whole = (zero.count, (lower + upper) / 2.0);
    match keep {
        Keep::Below if value <= lower => (0.0, 0.0),
        Keep::Below if value >= upper => whole,
        Keep::Below => (zero.count * ((value - lower) / (upper - lower)), (lower + value) / 2.0),
        Keep::Above if value <= lower => whole,
        Keep::Above if value >= upper => (0.0, 0.0),
        Keep::Above => (zero.count * ((upper - value) / (upper - lower)), (value + upper) / 2.0),
    }
}

/// The value that represents the observations between two bounds: the arithmetic mean, or the geometric mean in
/// exponential buckets.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_float_histogram, spans_of};
    use super::*;
    use proptest::prelude::*;

    fn base() -> FloatHistogram {
        FloatHistogram {
            count: 8.0,
            sum: 100.0,
            zero_threshold: 0.5,
            zero_count: 2.0,
            positive_spans: spans_of(&[(1, 2)]),
            positive_buckets: vec![2.0, 4.0],
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn cuts_at_a_bound_inside_a_bucket_and_in_the_zero_bucket() {
        let trimmed = |value: f64, keep: Keep| {
            let mut h = base();
            h.trim(value, keep);
            (h.count, h.sum, h.zero_count, h.positive_buckets)
        };
        // Nothing to cut: the sum stays what it was.
        assert_eq!(trimmed(4.0, Keep::Below), (8.0, 100.0, 2.0, vec![2.0, 4.0]));
        // (1,2] has 2 observations at √2, the zero bucket 2 at 0.25 because nothing is negative.
        assert_eq!(trimmed(2.0, Keep::Below), (4.0, 2.0 * 2f64.sqrt() + 0.5, 2.0, vec![2.0]));
        assert_eq!(trimmed(2.0, Keep::Above), (4.0, 4.0 * 8f64.sqrt(), 0.0, vec![4.0]));
        let (count, _, zero, buckets) = trimmed(8f64.sqrt(), Keep::Below);
        assert!((count - 6.0).abs() < 1e-12 && zero == 2.0 && (buckets[1] - 2.0).abs() < 1e-12);
        assert_eq!(trimmed(0.25, Keep::Below), (1.0, 0.125, 1.0, vec![]));
        assert_eq!(trimmed(f64::NAN, Keep::Below).3, vec![0.0; 0]);
    }

    proptest! {
        #[test]
        fn the_two_parts_make_the_whole(h in any_float_histogram(), value in -50f64..50.0) {
            prop_assume!(!h.uses_custom_buckets());
            let counted = h.zero_count
                + h.positive_buckets.iter().sum::<f64>() + h.negative_buckets.iter().sum::<f64>();
            prop_assume!(counted == h.count);
            let (mut below, mut above) = (h.clone(), h.clone());
            below.trim(value, Keep::Below);
            above.trim(value, Keep::Above);
            prop_assert!((below.count + above.count - h.count).abs() <= 1e-9 * h.count.max(1.0));
        }
    }
}
