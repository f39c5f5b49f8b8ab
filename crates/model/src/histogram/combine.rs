//! Addition, subtraction and scaling of float histograms, with Prometheus' order of additions.
//!
//! First, two histograms are brought to a common zero bucket and the coarser schema (or the common custom bounds). The
//! results may have empty buckets; `compact` drops them.

use super::buckets::indices;
use super::custom::{Rebinned, bounds_match, intersection};
use super::kahan::kahan_add;
use super::layout::merge;
use super::resolution::{reduce, reduce_with};
use super::schema::is_exponential_schema;
use super::validate::HistogramError;
use super::{CounterResetHint, FloatHistogram, Span, exponential_bound};

/// What the user should know about a combination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One hint was "reset", the other "not reset".
    pub counter_reset_collision: bool,
    /// Custom bounds differed; the result has the common ones.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Multiplies all counts and the sum. A negative factor makes the result a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.scale(factor < 0.0, |v| v * factor);
    }

    /// Divides all counts and the sum. Dividing by zero removes all buckets; a negative divisor makes the result a
    /// gauge.
    pub fn div(&mut self, divisor: f64) {
        self.scale(divisor < 0.0, |v| v / divisor);
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        }
    }

    fn scale(&mut self, to_gauge: bool, f: impl Fn(f64) -> f64) {
        for v in [&mut self.zero_count, &mut self.count, &mut self.sum]
            .into_iter()
            .chain(&mut self.positive_buckets)
            .chain(&mut self.negative_buckets)
        {
            *v = f(*v);
        }
        if to_gauge {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Adds `other`. On an error nothing changes.
    ///
    /// # Errors
    /// [`HistogramError::IncompatibleSchemas`] if only one has custom buckets.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, HistogramError> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`, with the hint adjusted as for an addition. For the `-` operator, the caller makes the result
    /// a gauge.
    ///
    /// # Errors
    /// [`HistogramError::IncompatibleSchemas`] if only one has custom buckets.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Combined, HistogramError> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &FloatHistogram, sign: f64) -> Result<Combined, HistogramError> {
        let mut combined = self.begin(other)?;
        if !self.uses_custom_buckets() {
            let theirs = self.reconcile_zero_buckets(other, None);
            self.zero_count += sign * theirs.count;
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if self.uses_custom_buckets() {
            if bounds_match(self.custom_bounds(), other.custom_bounds()) {
                self.add_positive(&other.positive_spans, &other.positive_buckets, sign);
            } else {
                combined.bounds_reconciled = true;
                self.rebin(other, sign, None);
            }
            return Ok(combined);
        }
        if other.schema < self.schema {
            self.reduce_to(other.schema);
        }
        if other.schema > self.schema {
            let (from, to) = (other.schema, self.schema);
            let (spans, buckets) = reduce(&other.positive_spans, &other.positive_buckets, from, to);
            self.add_positive(&spans, &buckets, sign);
            let (spans, buckets) = reduce(&other.negative_spans, &other.negative_buckets, from, to);
            self.add_negative(&spans, &buckets, sign);
        } else {
            self.add_positive(&other.positive_spans, &other.positive_buckets, sign);
            self.add_negative(&other.negative_spans, &other.negative_buckets, sign);
        }
        Ok(combined)
    }

    /// Adds `other` and collects the lost low-order bits in `compensation`, a histogram with the same layout that the
    /// first call creates. At the end of a sum, add the compensation.
    ///
    /// # Errors
    /// [`HistogramError::IncompatibleSchemas`] if only one has custom buckets.
    pub fn kahan_add(
        &mut self,
        other: &FloatHistogram,
        compensation: &mut Option<FloatHistogram>,
    ) -> Result<Combined, HistogramError> {
        let mut combined = self.begin(other)?;
        let c = compensation.get_or_insert_with(|| self.empty_compensation());
        // The caller may have dropped buckets from one of them by dividing by zero; the layouts must agree below.
        c.positive_buckets.resize(self.positive_buckets.len(), 0.0);
        c.negative_buckets.resize(self.negative_buckets.len(), 0.0);
        if !self.uses_custom_buckets() {
            let theirs = self.reconcile_zero_buckets(other, Some(c));
            kahan_add(theirs.count, &mut self.zero_count, &mut c.zero_count);
            kahan_add(theirs.compensation, &mut self.zero_count, &mut c.zero_count);
        }
        kahan_add(other.count, &mut self.count, &mut c.count);
        kahan_add(other.sum, &mut self.sum, &mut c.sum);
        if self.uses_custom_buckets() {
            if bounds_match(self.custom_bounds(), other.custom_bounds()) {
                self.kahan_add_positive(c, &other.positive_spans, &other.positive_buckets, &[]);
            } else {
                combined.bounds_reconciled = true;
                self.rebin(other, 1.0, Some(c));
            }
        } else {
            self.kahan_add_exponential(c, other);
            c.negative_spans.clone_from(&self.negative_spans);
        }
        c.positive_spans.clone_from(&self.positive_spans);
        c.schema = self.schema;
        c.zero_threshold = self.zero_threshold;
        Ok(combined)
    }

    fn kahan_add_exponential(&mut self, c: &mut FloatHistogram, other: &FloatHistogram) {
        let (from, to) = (self.schema, other.schema);
        if to < from {
            (self.positive_spans, self.positive_buckets, c.positive_buckets) =
                reduce_with(&self.positive_spans, &self.positive_buckets, &c.positive_buckets, from, to);
            (self.negative_spans, self.negative_buckets, c.negative_buckets) =
                reduce_with(&self.negative_spans, &self.negative_buckets, &c.negative_buckets, from, to);
            self.schema = to;
        }
        if to > from {
            let (spans, buckets, lost) =
                reduce_with(&other.positive_spans, &other.positive_buckets, &[], to, from);
            self.kahan_add_positive(c, &spans, &buckets, &lost);
            let (spans, buckets, lost) =
                reduce_with(&other.negative_spans, &other.negative_buckets, &[], to, from);
            self.kahan_add_negative(c, &spans, &buckets, &lost);
        } else {
            self.kahan_add_positive(c, &other.positive_spans, &other.positive_buckets, &[]);
            self.kahan_add_negative(c, &other.negative_spans, &other.negative_buckets, &[]);
        }
    }

    /// A histogram with the same layout and no observations, including the hint.
    fn empty_compensation(&self) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            custom_values: self.custom_values.clone(),
            positive_spans: self.positive_spans.clone(),
            positive_buckets: vec![0.0; self.positive_buckets.len()],
            negative_spans: self.negative_spans.clone(),
            negative_buckets: vec![0.0; self.negative_buckets.len()],
            ..FloatHistogram::default()
        }
    }

    /// Checks whether the two can be combined at all, and settles the hint.
    fn begin(&mut self, other: &FloatHistogram) -> Result<Combined, HistogramError> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(HistogramError::IncompatibleSchemas);
        }
        Ok(Combined { counter_reset_collision: self.adjust_hint(other), bounds_reconciled: false })
    }

    /// A gauge takes precedence over everything, "unknown" over the rest. Returns whether "reset" met "not reset".
    fn adjust_hint(&mut self, other: &FloatHistogram) -> bool {
        use CounterResetHint::{Gauge, Unknown};
        let (ours, theirs) = (self.counter_reset_hint, other.counter_reset_hint);
        let collision = ours != theirs && ![ours, theirs].iter().any(|hint| matches!(hint, Gauge | Unknown));
        self.counter_reset_hint = if ours == theirs {
            ours
        } else if ours == Gauge || theirs == Gauge {
            Gauge
        } else {
            Unknown
        };
        collision
    }

    /// Brings both to their common bounds and adds `other` times `sign`.
    fn rebin(&mut self, other: &FloatHistogram, sign: f64, compensation: Option<&mut FloatHistogram>) {
        let bounds = intersection(self.custom_bounds(), other.custom_bounds());
        let mut sums = Rebinned::empty(&bounds);
        sums.add(self, 1.0, compensation.as_ref().map(|c| c.positive_buckets.as_slice()), &bounds);
        sums.add(other, sign, None, &bounds);
        let (spans, counts, lost) = sums.into_side();
        self.positive_spans = spans;
        self.positive_buckets = counts;
        self.custom_values = Some(bounds.into());
        if let Some(c) = compensation {
            c.positive_buckets = lost;
            c.custom_values.clone_from(&self.custom_values);
        }
    }

    fn add_positive(&mut self, spans: &[Span], buckets: &[f64], sign: f64) {
        let skip = self.covered_by_zero_bucket(spans, buckets.len());
        add_side(&mut self.positive_spans, &mut self.positive_buckets, spans, buckets, skip, sign);
    }

    fn add_negative(&mut self, spans: &[Span], buckets: &[f64], sign: f64) {
        let skip = self.covered_by_zero_bucket(spans, buckets.len());
        add_side(&mut self.negative_spans, &mut self.negative_buckets, spans, buckets, skip, sign);
    }

    fn kahan_add_positive(&mut self, c: &mut FloatHistogram, spans: &[Span], buckets: &[f64], lost: &[f64]) {
        let skip = self.covered_by_zero_bucket(spans, buckets.len());
        let sums = (&mut self.positive_buckets, &mut c.positive_buckets);
        kahan_add_side(&mut self.positive_spans, sums, spans, buckets, lost, skip);
    }

    fn kahan_add_negative(&mut self, c: &mut FloatHistogram, spans: &[Span], buckets: &[f64], lost: &[f64]) {
        let skip = self.covered_by_zero_bucket(spans, buckets.len());
        let sums = (&mut self.negative_buckets, &mut c.negative_buckets);
        kahan_add_side(&mut self.negative_spans, sums, spans, buckets, lost, skip);
    }

    /// How many of the first buckets of `spans` end within the zero bucket, which already includes their counts.
    fn covered_by_zero_bucket(&self, spans: &[Span], buckets: usize) -> usize {
        if !is_exponential_schema(self.schema) {
            return 0;
        }
        let covered = |index: &i32| exponential_bound(*index, self.schema) <= self.zero_threshold;
        indices(spans).take(buckets).take_while(covered).count()
    }
}

/// Adds one side times `sign`, without the first `skip` buckets.
fn add_side(
    spans: &mut Vec<Span>,
    sums: &mut Vec<f64>,
    other_spans: &[Span],
    others: &[f64],
    skip: usize,
    sign: f64,
) {
    if skip == 0 && spans == other_spans && sums.len() == others.len() {
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum += sign * other;
        }
        return;
    }
    let mut out = Vec::with_capacity(sums.len().max(others.len()));
    *spans = merge((spans, sums.len()), (other_spans, others.len()), skip, |ours, theirs| {
        out.push(match (ours, theirs) {
            (Some(i), Some(j)) => sums[i] + sign * others[j],
            (Some(i), None) => sums[i],
            (None, Some(j)) => sign * others[j],
            (None, None) => 0.0,
        });
    });
    *sums = out;
}

/// Adds one side to sums and their compensation. `lost` is the compensation of `others`, or empty.
fn kahan_add_side(
    spans: &mut Vec<Span>,
    (sums, compensation): (&mut Vec<f64>, &mut Vec<f64>),
    other_spans: &[Span],
    others: &[f64],
    lost: &[f64],
    skip: usize,
) {
    let add = |j: usize, sum: &mut f64, c: &mut f64| {
        kahan_add(others[j], sum, c);
        if let Some(lost) = lost.get(j).filter(|lost| **lost != 0.0) {
            kahan_add(*lost, sum, c);
        }
    };
    if skip == 0 && spans == other_spans && sums.len() == others.len() {
        for (j, (sum, c)) in sums.iter_mut().zip(compensation.iter_mut()).enumerate() {
            add(j, sum, c);
        }
        return;
    }
    let longer = sums.len().max(others.len());
    let (mut new_sums, mut new_compensation) = (Vec::with_capacity(longer), Vec::with_capacity(longer));
    *spans = merge((spans, sums.len()), (other_spans, others.len()), skip, |ours, theirs| {
        let (mut sum, mut c) = match (ours, theirs) {
            (Some(i), _) => (sums[i], compensation[i]),
            (None, Some(j)) => (others[j], lost.get(j).copied().unwrap_or(0.0)),
            (None, None) => (0.0, 0.0),
        };
        if let (Some(_), Some(j)) = (ours, theirs) {
            add(j, &mut sum, &mut c);
        }
        new_sums.push(sum);
        new_compensation.push(c);
    });
    *sums = new_sums;
    *compensation = new_compensation;
}

#[cfg(test)]
mod tests {
    use super::super::CUSTOM_BUCKETS_SCHEMA;
    use super::super::testing::{any_float_histogram, spans_of, with_schema};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn hints_of_sums() {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        for (ours, theirs, want, collision) in [
            (Unknown, Unknown, Unknown, false),
            (Reset, Reset, Reset, false),
            (Reset, Unknown, Unknown, false),
            (Unknown, NotReset, Unknown, false),
            (Gauge, Reset, Gauge, false),
            (NotReset, Gauge, Gauge, false),
            (Unknown, Gauge, Gauge, false),
            (Reset, NotReset, Unknown, true),
            (NotReset, Reset, Unknown, true),
        ] {
            let mut a = FloatHistogram { counter_reset_hint: ours, ..FloatHistogram::default() };
            let b = FloatHistogram { counter_reset_hint: theirs, ..FloatHistogram::default() };
            let combined = a.add(&b).unwrap();
            assert_eq!((a.counter_reset_hint, combined.counter_reset_collision), (want, collision));
        }
    }

    #[test]
    fn scaling() {
        let h = FloatHistogram {
            count: 3.0,
            sum: 2.0,
            zero_count: 1.0,
            positive_spans: spans_of(&[(0, 1)]),
            positive_buckets: vec![2.0],
            ..FloatHistogram::default()
        };
        let mut doubled = h.clone();
        doubled.mul(-2.0);
        assert_eq!((doubled.count, doubled.positive_buckets[0]), (-6.0, -4.0));
        assert_eq!(doubled.counter_reset_hint, CounterResetHint::Gauge);
        let mut nothing = h;
        nothing.div(0.0);
        assert_eq!((nothing.count, nothing.positive_buckets.len()), (f64::INFINITY, 0));
    }

    #[test]
    fn a_wider_zero_bucket_takes_buckets_in() {
        // Thresholds meet at 2 because the bucket (1,2] is populated and 1.5 lies in it.
        let mut a = FloatHistogram {
            count: 6.0,
            zero_threshold: 0.5,
            zero_count: 1.0,
            positive_spans: spans_of(&[(0, 3)]),
            positive_buckets: vec![1.0, 1.0, 3.0],
            ..FloatHistogram::default()
        };
        let b =
            FloatHistogram { count: 4.0, zero_threshold: 1.5, zero_count: 4.0, ..FloatHistogram::default() };
        a.add(&b).unwrap();
        assert_eq!((a.zero_threshold, a.zero_count, a.count), (2.0, 7.0, 10.0));
        assert_eq!((a.positive_spans, a.positive_buckets), (spans_of(&[(2, 1)]), vec![3.0]));
    }

    #[test]
    fn nan_thresholds_end() {
        let mut a = FloatHistogram { zero_threshold: f64::NAN, ..FloatHistogram::default() };
        assert!(a.add(&FloatHistogram::default()).is_ok());
    }

    #[test]
    fn custom_bounds_meet_at_their_intersection() {
        let h = |bounds: &[f64], buckets: &[f64]| FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: buckets.iter().sum(),
            positive_spans: spans_of(&[(0, buckets.len() as u32)]),
            positive_buckets: buckets.to_vec(),
            custom_values: Some(bounds.into()),
            ..FloatHistogram::default()
        };
        let mut a = h(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        let combined = a.add(&h(&[2.0, 3.0, 5.0], &[10.0, 20.0, 30.0, 40.0])).unwrap();
        assert!(combined.bounds_reconciled);
        assert_eq!((a.custom_bounds(), &a.positive_buckets[..]), (&[2.0, 3.0][..], &[13.0, 23.0, 74.0][..]));
        let exponential = FloatHistogram::default();
        assert_eq!(
            a.add(&exponential).unwrap_err().to_string(),
            "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
        );
    }

    /// Counts by upper bound, the zero bucket under its threshold: the slow way to add.
    fn by_bound(h: &FloatHistogram) -> BTreeMap<(u64, u64), f64> {
        h.all_bucket_iter().map(|b| ((b.lower.to_bits(), b.upper.to_bits()), b.count)).collect()
    }

    proptest! {
        #[test]
        fn bucket_by_bucket(a in any_float_histogram(), b in any_float_histogram()) {
            let mut b = b;
            // Same schema and no buckets inside the zero bucket, so that a map of bounds is the sum.
            b.schema = a.schema;
            let mut a = a;
            (a.zero_threshold, b.zero_threshold) = (0.0, 0.0);
            b.custom_values.clone_from(&a.custom_values);
            prop_assume!(b.validate().is_ok());
            let mut want = by_bound(&a);
            for (bound, count) in by_bound(&b) {
                *want.entry(bound).or_default() += count;
            }
            let mut sum = a.clone();
            sum.add(&b).unwrap();
            let populated = |counts: BTreeMap<(u64, u64), f64>| -> Vec<_> {
                counts.into_iter().filter(|(_, count)| *count != 0.0).collect()
            };
            prop_assert_eq!(populated(by_bound(&sum)), populated(want));
            prop_assert!(sum.validate().is_ok());
        }

        #[test]
        fn nothing_is_lost(a in any_float_histogram(), b in any_float_histogram()) {
            let total = |h: &FloatHistogram| {
                h.zero_count + h.positive_buckets.iter().sum::<f64>() + h.negative_buckets.iter().sum::<f64>()
            };
            // A threshold that is a bound of the finer schema but not of the coarser one makes Prometheus count the
            // buckets below it twice: in the zero bucket and in the coarser bucket around the threshold. So do we.
            let b = if a.zero_threshold == b.zero_threshold { b } else { with_schema(b, a.schema) };
            let mut sum = a.clone();
            prop_assume!(sum.add(&b).is_ok());
            prop_assert_eq!(total(&sum), total(&a) + total(&b));
            let mut kahan = a.clone();
            let mut c = None;
            kahan.kahan_add(&b, &mut c).unwrap();
            let c = c.unwrap();
            prop_assert_eq!(&c.positive_spans, &kahan.positive_spans);
            prop_assert_eq!(c.positive_buckets.len(), kahan.positive_buckets.len());
            kahan.add(&c).unwrap();
            sum.compact(0);
            kahan.compact(0);
            prop_assert_eq!(sum.to_string(), kahan.to_string());
            sum.sub(&b).unwrap();
            prop_assert_eq!(total(&sum), total(&a));
        }
    }
}
