//! Histograms as Prometheus prints them: in results, and as expressions in test scripts.

use std::fmt::{self, Display, Formatter};

use super::{Bucket, CounterResetHint, FloatHistogram, Histogram, Span};
use ferula_go::float::format_g;

impl Display for Bucket<f64> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_interval(self, f)?;
        write!(f, ":{}", format_g(self.count))
    }
}

impl Display for Bucket<u64> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_interval(self, f)?;
        write!(f, ":{}", self.count)
    }
}

fn write_interval<C>(bucket: &Bucket<C>, f: &mut Formatter<'_>) -> fmt::Result {
    let open = if bucket.lower_inclusive { '[' } else { '(' };
    let close = if bucket.upper_inclusive { ']' } else { ')' };
    write!(f, "{open}{},{}{close}", format_g(bucket.lower), format_g(bucket.upper))
}

impl Display for FloatHistogram {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_g(self.count), format_g(self.sum))?;
        for bucket in self.negative_bucket_iter().rev().filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for bucket in self.positive_bucket_iter().filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

impl Display for Histogram {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", self.count, format_g(self.sum))?;
        let mut negative: Vec<_> = self.negative_bucket_iter().filter(|b| b.count != 0).collect();
        negative.reverse();
        for bucket in negative {
            write!(f, ", {bucket}")?;
        }
        if self.zero_count != 0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for bucket in self.positive_bucket_iter().filter(|b| b.count != 0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

impl FloatHistogram {
    /// The notation of test scripts and rule unit tests: `{{schema:1 count:4 sum:3 buckets:[1 3]}}`.
    ///
    /// It has one span per side, so gaps are filled with empty buckets.
    pub fn test_expression(&self) -> String {
        /// A wider gap is not filled; the notation cannot express what follows it.
        const GAP_MAX: usize = 1 << 16;
        let mut h = self.clone();
        h.compact(GAP_MAX);
        let mut parts = Vec::new();
        if h.schema != 0 {
            parts.push(format!("schema:{}", h.schema));
        }
        for (key, value) in
            [("count", h.count), ("sum", h.sum), ("z_bucket", h.zero_count), ("z_bucket_w", h.zero_threshold)]
        {
            if value != 0.0 {
                parts.push(format!("{key}:{}", format_g(value)));
            }
        }
        if h.uses_custom_buckets() {
            parts.push(format!("custom_values:[{}]", joined(h.custom_bounds())));
        }
        match h.counter_reset_hint {
            CounterResetHint::Unknown => {}
            CounterResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
            CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
            CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        side(&mut parts, "buckets", "offset", &h.positive_spans, &h.positive_buckets);
        side(&mut parts, "n_buckets", "n_offset", &h.negative_spans, &h.negative_buckets);
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

fn side(parts: &mut Vec<String>, key: &str, offset_key: &str, spans: &[Span], buckets: &[f64]) {
    if let Some(span) = spans.first().filter(|s| s.offset != 0) {
        parts.push(format!("{offset_key}:{}", span.offset));
    }
    if !buckets.is_empty() {
        parts.push(format!("{key}:[{}]", joined(buckets)));
    }
}

fn joined(values: &[f64]) -> String {
    values.iter().map(|v| format_g(*v)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::testing::spans_of;
    use super::*;

    #[test]
    fn printed_as_in_results_and_in_scripts() {
        let h = FloatHistogram {
            schema: 1,
            count: 3493.3,
            sum: 2349209.324,
            zero_threshold: 0.01,
            zero_count: 5.5,
            positive_spans: spans_of(&[(-2, 1), (2, 1)]),
            positive_buckets: vec![1.0, 3.3],
            negative_spans: spans_of(&[(3, 2)]),
            negative_buckets: vec![3.1, 0.0],
            counter_reset_hint: CounterResetHint::Gauge,
            ..FloatHistogram::default()
        };
        assert_eq!(
            h.to_string(),
            "{count:3493.3, sum:2.349209324e+06, [-2.82842712474619,-2):3.1, [-0.01,0.01]:5.5, \
             (0.35355339059327373,0.5]:1, (1,1.414213562373095]:3.3}"
        );
        assert_eq!(
            h.test_expression(),
            "{{schema:1 count:3493.3 sum:2.349209324e+06 z_bucket:5.5 z_bucket_w:0.01 \
             counter_reset_hint:gauge offset:-2 buckets:[1 0 0 3.3] n_offset:3 n_buckets:[3.1]}}"
        );
    }

    #[test]
    fn custom_buckets_show_their_bounds() {
        let h = FloatHistogram {
            schema: super::super::CUSTOM_BUCKETS_SCHEMA,
            count: 3.0,
            sum: 1.0,
            positive_spans: spans_of(&[(0, 3)]),
            positive_buckets: vec![1.0, 0.0, 2.0],
            custom_values: Some([0.5, 1e7].into()),
            ..FloatHistogram::default()
        };
        assert_eq!(h.to_string(), "{count:3, sum:1, [-Inf,0.5]:1, (1e+07,+Inf]:2}");
        assert_eq!(
            h.test_expression(),
            "{{schema:-53 count:3 sum:1 custom_values:[0.5 1e+07] buckets:[1 0 2]}}"
        );
    }
}
