//! Collects the series of a classic histogram (`_bucket`, `_sum`, `_count`) into a histogram with custom buckets.

use std::sync::Arc;

use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, HistogramValue, Span};
use ferula_go::float::format_g;

/// What a series of a classic histogram holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassicPart {
    /// `x_bucket`
    Bucket,
    /// `x_sum`
    Sum,
    /// `x_count`
    Count,
}

impl ClassicPart {
    /// Splits a metric name into the histogram's name and the part; `None` if it has none of the suffixes.
    pub fn of(metric_name: &str) -> Option<(&str, ClassicPart)> {
        [("_bucket", ClassicPart::Bucket), ("_sum", ClassicPart::Sum), ("_count", ClassicPart::Count)]
            .into_iter()
            .find_map(|(suffix, part)| metric_name.strip_suffix(suffix).map(|base| (base, part)))
    }
}

/// Why the series do not make a histogram.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClassicError {
    /// A bucket has a negative count.
    #[error("bucket count must be non-negative: le={}, count={}", format_g(*.le), format_g(*.count))]
    NegativeBucket {
        /// Upper bound.
        le: f64,
        count: f64,
    },
    #[error("bucket boundary must not be NaN")]
    NanBucket,
    #[error("count must be non-negative: count={}", format_g(*.0))]
    NegativeCount(f64),
    /// The count differs from that of the highest bucket.
    #[error("count mismatch: count={} != le={} count={}", format_g(*.count), format_g(*.le), format_g(*.highest))]
    CountMismatch {
        /// `_count`
        count: f64,
        /// Bound of the highest bucket.
        le: f64,
        /// Its count.
        highest: f64,
    },
    /// A higher bucket has a lower count than the one below it.
    #[error("count is not cumulative: {} {} {}", format_g(*.count), sign, format_g(*.neighbour))]
    NotCumulative {
        /// The count that does not fit.
        count: f64,
        /// `<` the one below, or `>` the one above.
        sign: char,
        /// The count of the neighbour.
        neighbour: f64,
    },
}

/// Collects the parts of one histogram at one time, in any order. The first error is kept.
#[derive(Clone, Debug, Default)]
pub struct ClassicHistogram {
    /// Upper bound and cumulative count, bounds strictly rising.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<ClassicError>,
}

impl ClassicHistogram {
    /// Nothing gathered yet.
    pub fn new() -> ClassicHistogram {
        ClassicHistogram::default()
    }

    /// Clears everything and keeps the buffers.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = None;
        self.sum = 0.0;
        self.error = None;
    }

    /// Sets the cumulative count up to `le`. A second value for the same bound is ignored.
    pub fn set_bucket(&mut self, le: f64, count: f64) {
        if self.error.is_none()
            && let Err(error) = self.insert_bucket(le, count)
        {
            self.error = Some(error);
        }
    }

    fn insert_bucket(&mut self, le: f64, count: f64) -> Result<(), ClassicError> {
        if le.is_nan() {
            return Err(ClassicError::NanBucket);
        }
        if count < 0.0 {
            return Err(ClassicError::NegativeBucket { le, count });
        }
        let at = self.buckets.partition_point(|(bound, _)| *bound < le);
        let above = self.buckets.get(at).copied();
        if above.is_some_and(|(bound, _)| bound == le) {
            return Ok(());
        }
        let below = at.checked_sub(1).and_then(|i| self.buckets.get(i));
        if let Some((_, neighbour)) = below.filter(|(_, below)| count < *below) {
            return Err(ClassicError::NotCumulative { count, sign: '<', neighbour: *neighbour });
        }
        if let Some((_, neighbour)) = above.filter(|(_, above)| count > *above) {
            return Err(ClassicError::NotCumulative { count, sign: '>', neighbour });
        }
        self.buckets.insert(at, (le, count));
        Ok(())
    }

    /// Sets the count of all observations.
    pub fn set_count(&mut self, count: f64) {
        if self.error.is_some() {
            return;
        }
        if count < 0.0 {
            self.error = Some(ClassicError::NegativeCount(count));
        } else {
            self.count = Some(count);
        }
    }

    /// Sets the sum of all observations.
    pub fn set_sum(&mut self, sum: f64) {
        if self.error.is_none() {
            self.sum = sum;
        }
    }

    /// The histogram with custom buckets: with integer counts when all counts are whole numbers.
    ///
    /// Without a count, that of the highest bucket is used; without a `+Inf` bucket, the count becomes one.
    pub fn convert(&self) -> Result<HistogramValue, ClassicError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let mut buckets = self.buckets.clone();
        let count = self.count.or(buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            buckets.push((f64::INFINITY, count));
        }
        let (le, highest) = buckets[buckets.len() - 1];
        if count != highest {
            return Err(ClassicError::CountMismatch { count, le, highest });
        }
        let bounds: Vec<f64> = buckets[..buckets.len() - 1].iter().map(|(bound, _)| *bound).collect();
        let custom_values: Option<Arc<[f64]>> = (!bounds.is_empty()).then(|| bounds.into());
        let spans = vec![Span { offset: 0, length: buckets.len() as u32 }];
        let counts = buckets.iter().map(|(_, count)| *count);
        if counts.clone().all(|count| count.round() as i64 as f64 == count) {
            let mut h = Histogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                count: count as u64,
                sum: self.sum,
                positive_spans: spans,
                positive_buckets: deltas_of(counts.map(|count| count as i64)),
                custom_values,
                ..Histogram::default()
            };
            h.compact(2);
            return Ok(HistogramValue::Integer(Arc::new(h)));
        }
        let mut below = 0.0;
        let mut h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: spans,
            positive_buckets: counts.map(|count| count - std::mem::replace(&mut below, count)).collect(),
            custom_values,
            ..FloatHistogram::default()
        };
        h.compact(0);
        Ok(HistogramValue::Float(Arc::new(h)))
    }
}

/// Converts cumulative counts to deltas of the counts per bucket.
fn deltas_of(cumulative: impl Iterator<Item = i64>) -> Vec<i64> {
    let (mut below, mut previous) = (0i64, 0i64);
    cumulative
        .map(|count| {
            let own = count.wrapping_sub(std::mem::replace(&mut below, count));
            own.wrapping_sub(std::mem::replace(&mut previous, own))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_in_any_order_make_the_same_histogram() {
        let parts = [(1.0, 2.0), (2.0, 2.0), (5.0, 7.0), (f64::INFINITY, 9.0)];
        let mut forward = ClassicHistogram::new();
        let mut backward = ClassicHistogram::new();
        for (le, count) in parts {
            forward.set_bucket(le, count);
        }
        for (le, count) in parts.into_iter().rev() {
            backward.set_bucket(le, count);
        }
        forward.set_sum(33.0);
        backward.set_sum(33.0);
        forward.set_count(9.0);
        let (forward, backward) = (forward.convert().unwrap(), backward.convert().unwrap());
        assert!(forward.equals(&backward));
        assert!(matches!(forward, HistogramValue::Integer(_)));
        assert!(forward.validate().is_ok());
        assert_eq!(forward.to_float().to_string(), "{count:9, sum:33, [-Inf,1]:2, (2,5]:5, (5,+Inf]:2}");
    }

    #[test]
    fn inconsistent_series_are_refused() {
        let of = |buckets: &[(f64, f64)], count: Option<f64>| {
            let mut h = ClassicHistogram::new();
            buckets.iter().for_each(|(le, count)| h.set_bucket(*le, *count));
            if let Some(count) = count {
                h.set_count(count);
            }
            h.convert().map_or_else(|error| error.to_string(), |h| h.to_float().to_string())
        };
        assert_eq!(of(&[], None), "{count:0, sum:0}");
        assert_eq!(of(&[(1.0, 1.5)], Some(2.0)), "{count:2, sum:0, [-Inf,1]:1.5, (1,+Inf]:0.5}");
        assert_eq!(of(&[(1.0, 3.0), (2.0, 2.0)], None), "count is not cumulative: 2 < 3");
        assert_eq!(of(&[(2.0, 2.0), (1.0, 3.0)], None), "count is not cumulative: 3 > 2");
        assert_eq!(of(&[(f64::INFINITY, 2.0)], Some(3.0)), "count mismatch: count=3 != le=+Inf count=2");
        assert_eq!(of(&[(f64::NAN, 2.0)], None), "bucket boundary must not be NaN");
        assert_eq!(of(&[(1.0, -2.0)], None), "bucket count must be non-negative: le=1, count=-2");
        assert_eq!(of(&[], Some(-1.0)), "count must be non-negative: count=-1");
    }

    #[test]
    fn parts_by_name() {
        assert_eq!(ClassicPart::of("x_bucket"), Some(("x", ClassicPart::Bucket)));
        assert_eq!(ClassicPart::of("x_count_sum"), Some(("x_count", ClassicPart::Sum)));
        assert_eq!(ClassicPart::of("x_created"), None);
    }

    proptest! {
        #[test]
        fn counts_come_back(own in proptest::collection::vec(0u32..9, 1..12)) {
            let mut h = ClassicHistogram::new();
            let mut total = 0.0;
            for (i, count) in own.iter().enumerate() {
                total += f64::from(*count);
                h.set_bucket(i as f64, total);
            }
            let h = h.convert().unwrap();
            prop_assert!(h.validate().is_ok());
            let float = h.to_float();
            for (i, count) in own.iter().enumerate() {
                let found = float.positive_bucket_iter().find(|b| b.index == i as i32).map_or(0.0, |b| b.count);
                prop_assert_eq!(found, f64::from(*count));
            }
        }
    }
}
