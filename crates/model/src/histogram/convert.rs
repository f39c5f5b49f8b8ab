//! Conversion from integer to float, equality, and how much a histogram counts in a query's accounting.

use std::sync::Arc;

use super::layout::same_layout;
use super::{FloatHistogram, Histogram, HistogramValue};
use crate::value::is_stale;

impl Histogram {
    /// The same histogram with float counts. The sum and the counter reset hint are kept.
    pub fn to_float(&self) -> FloatHistogram {
        let mut out = FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            positive_buckets: absolute(&self.positive_buckets),
            ..FloatHistogram::default()
        };
        if self.uses_custom_buckets() {
            out.custom_values.clone_from(&self.custom_values);
        } else {
            out.zero_threshold = self.zero_threshold;
            out.zero_count = self.zero_count as f64;
            out.negative_spans.clone_from(&self.negative_spans);
            out.negative_buckets = absolute(&self.negative_buckets);
        }
        out
    }

    /// Whether both hold the same data: bit-equal sums, equal layouts. Hints and empty spans are ignored.
    pub fn equals(&self, other: &Histogram) -> bool {
        self.schema == other.schema
            && self.count == other.count
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || self.custom_bounds() == other.custom_bounds())
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && same_layout(&self.negative_spans, &other.negative_spans)
            && self.negative_buckets == other.negative_buckets
            && same_layout(&self.positive_spans, &other.positive_spans)
            && self.positive_buckets == other.positive_buckets
    }
}

/// Absolute counts from deltas, added up as floats.
fn absolute(deltas: &[i64]) -> Vec<f64> {
    let mut count = 0.0;
    deltas
        .iter()
        .map(|delta| {
            count += *delta as f64;
            count
        })
        .collect()
}

impl FloatHistogram {
    /// Whether both hold the same data, compared by bits. Hints and empty spans are ignored.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        let same_bits = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
        };
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || self.custom_bounds() == other.custom_bounds())
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && same_layout(&self.negative_spans, &other.negative_spans)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && same_layout(&self.positive_spans, &other.positive_spans)
            && same_bits(&self.positive_buckets, &other.positive_buckets)
    }

    /// The bytes that Prometheus accounts for this histogram.
    pub fn accounted_bytes(&self) -> usize {
        const STRUCT_BYTES: usize = 168;
        const ELEMENT_BYTES: usize = 8;
        let elements = self.positive_spans.len()
            + self.negative_spans.len()
            + self.positive_buckets.len()
            + self.negative_buckets.len()
            + self.custom_bounds().len();
        STRUCT_BYTES + elements * ELEMENT_BYTES
    }

    /// How many float samples a histogram sample counts for against `--query.max-samples`.
    pub fn sample_weight(&self) -> usize {
        const TIMESTAMP_BYTES: usize = 8;
        const FLOAT_SAMPLE_BYTES: usize = 16;
        (self.accounted_bytes() + TIMESTAMP_BYTES) / FLOAT_SAMPLE_BYTES
    }

    /// Whether any field overflowed to infinity.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .chain(self.custom_bounds())
            .any(|v| v.is_infinite())
    }
}

impl HistogramValue {
    /// The histogram with float counts; shared if it already has them.
    pub fn to_float(&self) -> Arc<FloatHistogram> {
        match self {
            HistogramValue::Integer(h) => Arc::new(h.to_float()),
            HistogramValue::Float(h) => h.clone(),
        }
    }

    /// The bucket layout.
    pub fn schema(&self) -> i32 {
        match self {
            HistogramValue::Integer(h) => h.schema,
            HistogramValue::Float(h) => h.schema,
        }
    }

    /// The number of buckets on both sides of zero, without the zero bucket.
    pub fn bucket_count(&self) -> usize {
        match self {
            HistogramValue::Integer(h) => h.positive_buckets.len() + h.negative_buckets.len(),
            HistogramValue::Float(h) => h.positive_buckets.len() + h.negative_buckets.len(),
        }
    }

    /// Sum of all observations.
    pub fn sum(&self) -> f64 {
        match self {
            HistogramValue::Integer(h) => h.sum,
            HistogramValue::Float(h) => h.sum,
        }
    }

    /// Whether the sample is a staleness marker.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum())
    }

    /// Whether both have the same kind of counts and hold the same data.
    pub fn equals(&self, other: &HistogramValue) -> bool {
        match (self, other) {
            (HistogramValue::Integer(a), HistogramValue::Integer(b)) => a.equals(b),
            (HistogramValue::Float(a), HistogramValue::Float(b)) => a.equals(b),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_float_histogram, any_integer_histogram, spans_of};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weight_of_a_sample() {
        let h = FloatHistogram {
            positive_spans: spans_of(&[(0, 2)]),
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        assert_eq!((h.accounted_bytes(), h.sample_weight()), (192, 12));
    }

    proptest! {
        #[test]
        fn deltas_become_counts(h in any_integer_histogram()) {
            let float = h.to_float();
            prop_assert!(h.validate().is_ok());
            prop_assert!(float.validate().is_ok());
            prop_assert_eq!(h.to_string(), float.to_string());
        }

        #[test]
        fn every_field_counts_for_equality(h in any_float_histogram(), field in 0usize..5) {
            prop_assert!(h.equals(&h.clone()));
            let mut other = h.clone();
            match field {
                0 => other.count += 1.0,
                1 => other.sum = -other.sum - 1.0,
                2 => other.positive_buckets.push(1.0),
                3 => other.zero_count += 1.0,
                _ => other.schema -= 1,
            }
            prop_assert!(!h.equals(&other));
        }
    }
}
