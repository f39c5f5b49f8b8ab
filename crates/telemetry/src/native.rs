//! Exponential buckets of one distribution, as Prometheus' client library keeps them for a bucket factor of 1.1.

use std::collections::BTreeMap;

use ferula_model::histogram::{EXPONENTIAL_SCHEMA_MIN, exponential_bound};
use ferula_model::{Histogram, Span};

/// Bounds grow by a factor of 2^(1/8), about nine per cent.
const SCHEMA: i32 = 3;
/// Beyond this number of buckets the resolution is halved.
const BUCKETS_MAX: usize = 100;
/// Values this close to zero count as zero: 2^-128.
const ZERO_THRESHOLD: f64 = f64::from_bits((1023 - 128) << 52);

/// Counts by bucket.
#[derive(Debug)]
pub(crate) struct NativeBuckets {
    schema: i32,
    zero_count: u64,
    negative: BTreeMap<i32, u64>,
    positive: BTreeMap<i32, u64>,
}

impl Default for NativeBuckets {
    fn default() -> Self {
        let (negative, positive) = (BTreeMap::new(), BTreeMap::new());
        NativeBuckets { schema: SCHEMA, zero_count: 0, negative, positive }
    }
}

impl NativeBuckets {
    /// Counts one observation. A non-finite one has no bucket and only adds to the total count.
    pub(crate) fn observe(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if value.abs() <= ZERO_THRESHOLD {
            self.zero_count += 1;
            return;
        }
        let index = bucket_of(value.abs(), self.schema);
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        *side.entry(index).or_default() += 1;
        while self.positive.len() + self.negative.len() > BUCKETS_MAX && self.schema > EXPONENTIAL_SCHEMA_MIN
        {
            self.schema -= 1;
            for side in [&mut self.positive, &mut self.negative] {
                let mut halved = BTreeMap::new();
                for (index, count) in &*side {
                    // The bounds of the coarser schema are every second bound of the finer one.
                    *halved.entry((index + 1).div_euclid(2)).or_default() += count;
                }
                *side = halved;
            }
        }
    }

    /// The sample with this count and sum.
    pub(crate) fn histogram(&self, count: u64, sum: f64) -> Histogram {
        let (positive_spans, positive_buckets) = spans_and_deltas(&self.positive);
        let (negative_spans, negative_buckets) = spans_and_deltas(&self.negative);
        Histogram {
            schema: self.schema,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: self.zero_count,
            count,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            ..Histogram::default()
        }
    }
}

/// The bucket of a positive value: the lowest whose upper bound is at least the value.
fn bucket_of(value: f64, schema: i32) -> i32 {
    let mut index = (value.log2() * f64::from(schema).exp2()).ceil() as i32;
    // The logarithm is rounded and may be off by one at a bound.
    while exponential_bound(index - 1, schema) >= value {
        index -= 1;
    }
    while exponential_bound(index, schema) < value {
        index += 1;
    }
    index
}

fn spans_and_deltas(counts: &BTreeMap<i32, u64>) -> (Vec<Span>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut next, mut before) = (0, 0i64);
    for (index, count) in counts {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index + 1;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - std::mem::replace(&mut before, count));
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Histogram {
        let mut buckets = NativeBuckets::default();
        values.iter().for_each(|value| buckets.observe(*value));
        let histogram = buckets.histogram(values.len() as u64, values.iter().sum());
        histogram.validate().expect("a good histogram");
        histogram
    }

    #[test]
    fn every_value_is_in_the_bucket_whose_bounds_contain_it() {
        assert_eq!(
            of(&[1.0, 1.0, 1.05, 4.0, -0.5, 0.0, 1e-300]).to_float().to_string(),
            "{count:7, sum:6.55, [-0.5,-0.45850202160233555):1, \
             [-2.938735877055719e-39,2.938735877055719e-39]:2, (0.9170040432046711,1]:2, \
             (1,1.0905077326652577]:1, (3.6680161728186844,4]:1}"
        );
        for exponent in -1000..1000 {
            for index in [exponent, exponent * 8] {
                let bound = exponential_bound(index, SCHEMA);
                if bound.is_finite() && bound > 1e-290 && bound < 1e290 {
                    assert_eq!(bucket_of(bound, SCHEMA), index, "{bound} is the upper bound of its bucket");
                    assert_eq!(bucket_of(bound.next_up(), SCHEMA), index + 1);
                }
            }
        }
    }

    #[test]
    fn too_many_buckets_halve_the_resolution_and_lose_no_observation() {
        let values: Vec<f64> = (0..400).map(|n| (f64::from(n) / 8.0).exp2()).collect();
        let histogram = of(&values);
        assert!(histogram.schema < SCHEMA, "{}", histogram.schema);
        assert!(histogram.positive_buckets.len() <= BUCKETS_MAX);
        let in_buckets: u64 = histogram.positive_bucket_iter().map(|bucket| bucket.count).sum();
        assert_eq!(in_buckets, values.len() as u64);
    }
}
