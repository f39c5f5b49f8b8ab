//! Refuses inconsistent histograms, with Prometheus' texts.

use super::schema::{
    CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN, is_custom_buckets_schema,
    is_exponential_schema,
};
use super::{FloatHistogram, Histogram, HistogramValue, Span};
use ferula_go::float::format_g;

/// Why a histogram is refused, or why two of them cannot be combined.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// The buckets hold more observations than the count, and the sum is NaN.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
    )]
    CountNotBigEnough {
        /// Sum over all buckets.
        in_buckets: u64,
        /// The histogram's count.
        count: u64,
    },
    /// Buckets and count differ.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch {
        /// Sum over all buckets.
        in_buckets: u64,
        /// The histogram's count.
        count: u64,
    },
    /// The count is negative. (Two spaces, as in Prometheus.)
    #[error("observation count is  {}: histogram's observation count is negative", format_g(*.0))]
    NegativeCount(f64),
    /// A bucket is negative.
    #[error(
        "{what} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeBucketCount {
        /// `bucket number 3` or `zero bucket`.
        what: String,
        count: String,
    },
    /// A span has a negative offset.
    #[error("span number {number} with offset {offset}: histogram has a span whose offset is negative")]
    NegativeSpanOffset {
        /// Its number, counted from 1.
        number: usize,
        offset: i32,
    },
    /// Spans and buckets are inconsistent.
    #[error(
        "spans need {need} buckets, have {have} buckets: histogram spans specify different number of buckets than provided"
    )]
    SpansBucketsMismatch {
        /// Sum of the span lengths.
        need: u64,
        /// The number of buckets.
        have: usize,
    },
    /// Spans extend beyond the last bound.
    #[error(
        "only {bounds} custom bounds defined which is insufficient to cover total span length of {length}: histogram custom bounds are too few"
    )]
    CustomBoundsTooFew {
        bounds: usize,
        /// Where the last span ends.
        length: i64,
    },
    /// Bounds are not ascending.
    #[error("previous bound is {} and current is {}: histogram custom bounds must be in strictly increasing order", six_decimals(*.previous), six_decimals(*.current))]
    CustomBoundsNotRising {
        /// The previous bound.
        previous: f64,
        /// The bound that is not greater.
        current: f64,
    },
    /// The `+Inf` bucket is implicit.
    #[error("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite")]
    CustomBoundInfinite,
    #[error("histogram custom bounds must not be NaN")]
    CustomBoundNan,
    /// One histogram has exponential buckets, the other custom ones.
    #[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
    IncompatibleSchemas,
    /// Custom buckets have no zero bucket.
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    /// Custom buckets have no zero bucket.
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    /// Custom buckets have no negative side.
    #[error("custom buckets: must not have negative spans")]
    CustomNegativeSpans,
    /// Custom buckets have no negative side.
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    /// Exponential buckets have no list of bounds.
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialWithCustomBounds,
    /// A schema that cannot be stored or queried.
    #[error(
        "histogram has an invalid schema, which must be between {EXPONENTIAL_SCHEMA_MIN} and {EXPONENTIAL_SCHEMA_MAX} for exponential buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema {0}"
    )]
    InvalidSchema(i32),
    /// Custom buckets cannot be converted to exponential ones.
    #[error("cannot reduce resolution when there are custom buckets")]
    ReduceFromCustom,
    /// Exponential buckets cannot be converted to custom ones.
    #[error("cannot reduce resolution to custom buckets schema")]
    ReduceToCustom,
    /// Resolution can only be reduced.
    #[error("cannot reduce resolution from schema {from} to {to}")]
    ReduceUpward {
        /// Schema of the histogram.
        from: i32,
        /// The requested schema.
        to: i32,
    },
    /// One of the above, on one side of the histogram.
    #[error("{side}: {error}")]
    Side {
        /// `positive side`, `negative side` or `custom buckets`.
        side: &'static str,
        /// The error on that side.
        error: Box<HistogramError>,
    },
}

/// Go's `%f`.
fn six_decimals(v: f64) -> String {
    if v.is_infinite() { format_g(v) } else { format!("{v:.6}") }
}

impl FloatHistogram {
    /// Checks spans against buckets, signs, bounds, and fields that the schema does not use.
    ///
    /// The count is not compared with the buckets: rounding makes them differ even in correct histograms.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if is_custom_buckets_schema(self.schema) {
            check_custom(
                self.custom_bounds(),
                &self.positive_spans,
                self.positive_buckets.len(),
                [
                    self.zero_count != 0.0,
                    self.zero_threshold != 0.0,
                    !self.negative_spans.is_empty(),
                    !self.negative_buckets.is_empty(),
                ],
            )?;
        } else if is_exponential_schema(self.schema) {
            check_spans(&self.positive_spans, self.positive_buckets.len()).map_err(on("positive side"))?;
            check_spans(&self.negative_spans, self.negative_buckets.len()).map_err(on("negative side"))?;
            check_counts(&self.negative_buckets).map_err(on("negative side"))?;
            if self.zero_count < 0.0 {
                let count = format_g(self.zero_count);
                return Err(HistogramError::NegativeBucketCount { what: "zero bucket".to_owned(), count });
            }
            if self.custom_values.is_some() {
                return Err(HistogramError::ExponentialWithCustomBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount(self.count));
        }
        check_counts(&self.positive_buckets).map_err(on("positive side"))
    }
}

impl Histogram {
    /// Checks spans against buckets, buckets against the count, signs, bounds, and fields that the schema does not
    /// use. NaN observations are in no bucket, so with a NaN sum the count may be larger.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let mut in_buckets = self.zero_count;
        if is_custom_buckets_schema(self.schema) {
            check_custom(
                self.custom_bounds(),
                &self.positive_spans,
                self.positive_buckets.len(),
                [
                    self.zero_count != 0,
                    self.zero_threshold != 0.0,
                    !self.negative_spans.is_empty(),
                    !self.negative_buckets.is_empty(),
                ],
            )?;
        } else if is_exponential_schema(self.schema) {
            check_spans(&self.positive_spans, self.positive_buckets.len()).map_err(on("positive side"))?;
            check_spans(&self.negative_spans, self.negative_buckets.len()).map_err(on("negative side"))?;
            let negative = check_deltas(&self.negative_buckets).map_err(on("negative side"))?;
            in_buckets = in_buckets.wrapping_add(negative);
            if self.custom_values.is_some() {
                return Err(HistogramError::ExponentialWithCustomBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        let positive = check_deltas(&self.positive_buckets).map_err(on("positive side"))?;
        in_buckets = in_buckets.wrapping_add(positive);
        let count = self.count;
        if self.sum.is_nan() {
            if in_buckets > count {
                return Err(HistogramError::CountNotBigEnough { in_buckets, count });
            }
        } else if in_buckets != count {
            return Err(HistogramError::CountMismatch { in_buckets, count });
        }
        Ok(())
    }
}

impl HistogramValue {
    /// See [`Histogram::validate`] and [`FloatHistogram::validate`].
    pub fn validate(&self) -> Result<(), HistogramError> {
        match self {
            HistogramValue::Integer(h) => h.validate(),
            HistogramValue::Float(h) => h.validate(),
        }
    }
}

fn on(side: &'static str) -> impl Fn(HistogramError) -> HistogramError {
    move |error| HistogramError::Side { side, error: Box::new(error) }
}

/// What custom buckets must not have: a zero count, a zero threshold, negative spans, negative buckets.
fn check_custom(
    bounds: &[f64],
    spans: &[Span],
    buckets: usize,
    present: [bool; 4],
) -> Result<(), HistogramError> {
    check_custom_bounds(bounds, spans, buckets).map_err(on("custom buckets"))?;
    let refusals = [
        HistogramError::CustomZeroCount,
        HistogramError::CustomZeroThreshold,
        HistogramError::CustomNegativeSpans,
        HistogramError::CustomNegativeBuckets,
    ];
    match present.into_iter().zip(refusals).find(|(is_there, _)| *is_there) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}

fn check_custom_bounds(bounds: &[f64], spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    let mut previous = f64::NEG_INFINITY;
    for (i, &current) in bounds.iter().enumerate() {
        if current.is_nan() {
            return Err(HistogramError::CustomBoundNan);
        }
        if i > 0 && current <= previous {
            return Err(HistogramError::CustomBoundsNotRising { previous, current });
        }
        previous = current;
    }
    if previous == f64::INFINITY {
        return Err(HistogramError::CustomBoundInfinite);
    }
    check_span_offsets(spans, 0)?;
    check_span_lengths(spans, buckets)?;
    let length: i64 = spans.iter().map(|s| i64::from(s.length) + i64::from(s.offset)).sum();
    if (bounds.len() as i64) + 1 < length {
        return Err(HistogramError::CustomBoundsTooFew { bounds: bounds.len(), length });
    }
    Ok(())
}

/// Spans must not have negative offsets (except the first) and must describe as many buckets as there are.
pub(super) fn check_spans(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    check_span_offsets(spans, 1)?;
    check_span_lengths(spans, buckets)
}

fn check_span_offsets(spans: &[Span], from: usize) -> Result<(), HistogramError> {
    match spans.iter().enumerate().skip(from).find(|(_, span)| span.offset < 0) {
        Some((i, span)) => Err(HistogramError::NegativeSpanOffset { number: i + 1, offset: span.offset }),
        None => Ok(()),
    }
}

fn check_span_lengths(spans: &[Span], have: usize) -> Result<(), HistogramError> {
    let need: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if need == have as u64 { Ok(()) } else { Err(HistogramError::SpansBucketsMismatch { need, have }) }
}

fn check_counts(buckets: &[f64]) -> Result<(), HistogramError> {
    match buckets.iter().position(|count| *count < 0.0) {
        Some(i) => Err(negative_bucket(i, format_g(buckets[i]))),
        None => Ok(()),
    }
}

/// The sum of the counts that the deltas represent.
fn check_deltas(deltas: &[i64]) -> Result<u64, HistogramError> {
    let (mut count, mut sum) = (0i64, 0u64);
    for (i, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return Err(negative_bucket(i, count.to_string()));
        }
        sum = sum.wrapping_add(count as u64);
    }
    Ok(sum)
}

fn negative_bucket(position: usize, count: String) -> HistogramError {
    HistogramError::NegativeBucketCount { what: format!("bucket number {}", position + 1), count }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_integer_histogram, spans_of};
    use super::*;
    use proptest::prelude::*;

    fn integer(change: fn(&mut Histogram)) -> String {
        let mut h = Histogram {
            count: 12,
            zero_count: 2,
            positive_spans: spans_of(&[(-2, 2), (1, 1)]),
            positive_buckets: vec![1, 1, -1],
            negative_spans: spans_of(&[(0, 1)]),
            negative_buckets: vec![6],
            ..Histogram::default()
        };
        change(&mut h);
        h.validate().map_or_else(|e| e.to_string(), |()| String::new())
    }

    fn custom(change: fn(&mut FloatHistogram)) -> String {
        let mut h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 3.0,
            positive_spans: spans_of(&[(1, 2)]),
            positive_buckets: vec![1.0, 2.0],
            custom_values: Some([1.0, 2.0].into()),
            ..FloatHistogram::default()
        };
        change(&mut h);
        h.validate().map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn texts_of_integer_histograms() {
        for (change, want) in [
            ((|_| {}) as fn(&mut Histogram), ""),
            (
                |h| h.count = 11,
                "12 observations found in buckets, but the Count field is 11: histogram's observation count should \
                 equal the number of observations found in the buckets (in absence of NaN)",
            ),
            (
                |h| {
                    h.sum = f64::NAN;
                    h.count = 11;
                },
                "12 observations found in buckets, but the Count field is 11: histogram's observation count should \
                 be at least the number of observations found in the buckets",
            ),
            (
                |h| h.positive_buckets[1] = -2,
                "positive side: bucket number 2 has observation count of -1: histogram has a bucket whose \
                 observation count is negative",
            ),
            (
                |h| h.positive_spans[1].offset = -1,
                "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
            ),
            (
                |h| h.negative_spans.clear(),
                "negative side: spans need 0 buckets, have 1 buckets: histogram spans specify different number of \
                 buckets than provided",
            ),
            (
                |h| h.schema = 9,
                "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 \
                 for custom buckets, got schema 9",
            ),
            (
                |h| h.custom_values = Some([1.0].into()),
                "histogram with exponential schema must not have custom bounds",
            ),
        ] {
            assert_eq!(integer(change), want);
        }
    }

    #[test]
    fn texts_of_float_histograms() {
        for (change, want) in [
            ((|_| {}) as fn(&mut FloatHistogram), ""),
            (|h| h.count = -1.5, "observation count is  -1.5: histogram's observation count is negative"),
            (
                |h| h.custom_values = Some([2.0, 1.0].into()),
                "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram custom bounds must \
                 be in strictly increasing order",
            ),
            (
                |h| h.custom_values = Some([1.0, f64::INFINITY].into()),
                "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
            ),
            (
                |h| h.custom_values = Some([f64::NAN].into()),
                "custom buckets: histogram custom bounds must not be NaN",
            ),
            (
                |h| h.custom_values = Some([1.0].into()),
                "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3: \
                 histogram custom bounds are too few",
            ),
            (|h| h.zero_count = 1.0, "custom buckets: must have zero count of 0"),
            (|h| h.zero_threshold = 1.0, "custom buckets: must have zero threshold of 0"),
            (|h| h.negative_buckets.push(1.0), "custom buckets: must not have negative buckets"),
            (|h| h.negative_spans = spans_of(&[(0, 0)]), "custom buckets: must not have negative spans"),
            (
                |h| {
                    h.schema = 3;
                    h.custom_values = None;
                    h.zero_count = -1.0;
                },
                "zero bucket has observation count of -1: histogram has a bucket whose observation count is negative",
            ),
        ] {
            assert_eq!(custom(change), want);
        }
    }

    proptest! {
        #[test]
        fn a_wrong_count_is_refused(mut h in any_integer_histogram(), off in 1u64..100) {
            h.count += off;
            prop_assert!(h.validate().is_err());
        }
    }
}
