//! A common zero bucket for two histograms: the wider one, extended out of populated buckets.

use super::kahan::kahan_add;
use super::{Bucket, FloatHistogram};

/// A zero bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct ZeroBucket {
    /// Observations in it.
    pub(super) count: f64,
    /// Lost low-order bits of `count`.
    pub(super) compensation: f64,
    /// Its width.
    pub(super) threshold: f64,
}

impl FloatHistogram {
    /// The zero bucket that this histogram would have with a wider threshold. If `threshold` is inside a populated
    /// bucket, it moves outwards to the end of that bucket. A smaller threshold changes nothing.
    pub(super) fn zero_bucket_for(
        &self,
        threshold: f64,
        compensation: Option<&FloatHistogram>,
    ) -> ZeroBucket {
        let mut zero = ZeroBucket {
            count: self.zero_count,
            compensation: compensation.map_or(0.0, |c| c.zero_count),
            threshold: self.zero_threshold,
        };
        if threshold.is_nan() || threshold <= self.zero_threshold {
            return zero;
        }
        zero.threshold = threshold;
        loop {
            // A restart begins with the plain count again but keeps the compensation, as in Prometheus.
            zero.count = self.zero_count;
            let lost = compensation.map_or(&[][..], |c| &c.positive_buckets);
            zero.swallow(self.positive_bucket_iter(), lost);
            let lost = compensation.map_or(&[][..], |c| &c.negative_buckets);
            // Negative buckets that push the threshold outwards invalidate what was done with the positive ones.
            if !zero.swallow(self.negative_bucket_iter().map(mirrored), lost) {
                return zero;
            }
        }
    }

    /// Widens the zero bucket to at least the width that `other` would need. Returns the zero bucket that
    /// `other` would then have; `other` itself is unchanged.
    pub(super) fn reconcile_zero_buckets(
        &mut self,
        other: &FloatHistogram,
        mut compensation: Option<&mut FloatHistogram>,
    ) -> ZeroBucket {
        let mut theirs =
            ZeroBucket { count: other.zero_count, compensation: 0.0, threshold: other.zero_threshold };
        loop {
            if self.zero_threshold > theirs.threshold {
                theirs = other.zero_bucket_for(self.zero_threshold, None);
            } else if theirs.threshold > self.zero_threshold {
                let ours = self.zero_bucket_for(theirs.threshold, compensation.as_deref());
                self.zero_count = ours.count;
                self.zero_threshold = ours.threshold;
                if let Some(c) = compensation.as_deref_mut() {
                    c.zero_count = ours.compensation;
                }
                self.drop_buckets_in_zero_bucket(compensation.as_deref_mut());
            } else {
                return theirs;
            }
        }
    }

    /// Empties the buckets that the zero bucket covers; the zero count already includes them.
    fn drop_buckets_in_zero_bucket(&mut self, compensation: Option<&mut FloatHistogram>) {
        let covered = |bucket: &Bucket| bucket.lower < self.zero_threshold;
        let positive = self.positive_bucket_iter().take_while(covered).count();
        let negative = self.negative_bucket_iter().map(mirrored).take_while(covered).count();
        self.positive_buckets[..positive].fill(0.0);
        self.negative_buckets[..negative].fill(0.0);
        match compensation {
            Some(c) => {
                c.positive_buckets[..positive].fill(0.0);
                c.negative_buckets[..negative].fill(0.0);
                self.compact_with(c);
            }
            None => self.compact(0),
        }
    }
}

impl ZeroBucket {
    /// Adds the buckets below the threshold. Returns whether the threshold moved because a populated bucket crossed it.
    fn swallow(&mut self, buckets: impl Iterator<Item = Bucket>, lost: &[f64]) -> bool {
        let threshold = self.threshold;
        for (i, bucket) in buckets.take_while(|b| b.lower < threshold).enumerate() {
            kahan_add(bucket.count, &mut self.count, &mut self.compensation);
            if let Some(lost) = lost.get(i) {
                kahan_add(*lost, &mut self.count, &mut self.compensation);
            }
            if bucket.upper > threshold {
                if bucket.count != 0.0 {
                    self.threshold = bucket.upper;
                    return true;
                }
                return false;
            }
        }
        false
    }
}

/// A negative bucket seen from the positive side.
fn mirrored(bucket: Bucket) -> Bucket {
    Bucket { lower: -bucket.upper, upper: -bucket.lower, ..bucket }
}
