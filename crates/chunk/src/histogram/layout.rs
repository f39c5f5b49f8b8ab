//! Schema, zero threshold, spans and custom bounds: written once per chunk.

use std::sync::Arc;

use ferula_model::Span;
use ferula_model::histogram::CUSTOM_BUCKETS_SCHEMA;

use super::buckets::bucket_count;
use crate::bits::{BitAccumulator, BitReader, BitSink, Corrupt};
use crate::varbit::{put_signed, put_unsigned, read_signed, read_unsigned};

/// Exponential schemas that Prometheus uses or has reserved.
const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i64> = -9..=52;

/// Custom bounds up to this are written as a multiple of 0.001.
const SHORT_BOUND_MAX_THOUSANDTHS: f64 = 33_554_430.0;

/// The layout of a chunk.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Bucket layout, as in [`ferula_model::Histogram`].
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Positive buckets.
    pub positive_spans: Vec<Span>,
    /// Negative buckets.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of custom buckets.
    pub custom_values: Option<Arc<[f64]>>,
}

impl Layout {
    /// How many positive buckets there are.
    pub(super) fn positive_buckets(&self) -> usize {
        bucket_count(&self.positive_spans)
    }

    /// How many negative buckets there are.
    pub(super) fn negative_buckets(&self) -> usize {
        bucket_count(&self.negative_spans)
    }

    /// Whether a sample with that layout has buckets of the same kind, though perhaps not the same buckets.
    pub(super) fn same_custom_values(&self, other: &Layout) -> bool {
        if other.schema != CUSTOM_BUCKETS_SCHEMA {
            return true;
        }
        self.custom_values.as_deref().unwrap_or(&[]) == other.custom_values.as_deref().unwrap_or(&[])
    }

    pub(super) fn put<S: BitSink>(&self, out: &mut BitAccumulator, sink: &mut S) {
        put_zero_threshold(out, sink, self.zero_threshold);
        put_signed(out, sink, i64::from(self.schema));
        put_spans(out, sink, &self.positive_spans);
        put_spans(out, sink, &self.negative_spans);
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            let bounds = self.custom_values.as_deref().unwrap_or(&[]);
            put_unsigned(out, sink, bounds.len() as u64);
            bounds.iter().for_each(|bound| put_bound(out, sink, *bound));
        }
    }

    pub(super) fn read(from: &mut BitReader<'_>) -> Result<Self, Corrupt> {
        let zero_threshold = read_zero_threshold(from)?;
        let schema = read_signed(from)?;
        if schema != i64::from(CUSTOM_BUCKETS_SCHEMA) && !EXPONENTIAL_SCHEMAS.contains(&schema) {
            return Err(from.corrupt("unknown histogram schema"));
        }
        let positive_spans = read_spans(from)?;
        let negative_spans = read_spans(from)?;
        let mut custom_values = None;
        if schema == i64::from(CUSTOM_BUCKETS_SCHEMA) {
            let count = read_count(from, "more custom bounds than bits")?;
            let bounds: Result<Vec<f64>, _> = (0..count).map(|_| read_bound(from)).collect();
            custom_values = Some(bounds?.into());
        }
        Ok(Layout { schema: schema as i32, zero_threshold, positive_spans, negative_spans, custom_values })
    }
}

fn put_spans<S: BitSink>(out: &mut BitAccumulator, sink: &mut S, spans: &[Span]) {
    put_unsigned(out, sink, spans.len() as u64);
    for span in spans {
        put_unsigned(out, sink, u64::from(span.length));
        put_signed(out, sink, i64::from(span.offset));
    }
}

/// A number of things that take at least one bit each.
fn read_count(from: &mut BitReader<'_>, what: &'static str) -> Result<usize, Corrupt> {
    let count = usize::try_from(read_unsigned(from)?).unwrap_or(usize::MAX);
    if count > from.bits_left() { Err(from.corrupt(what)) } else { Ok(count) }
}

/// Every bucket takes at least one bit in the first sample, so longer spans cannot be right.
fn read_spans(from: &mut BitReader<'_>) -> Result<Vec<Span>, Corrupt> {
    let count = read_count(from, "more spans than bits")?;
    let mut spans = Vec::new();
    let mut buckets = 0usize;
    for _ in 0..count {
        let length = usize::try_from(read_unsigned(from)?).unwrap_or(usize::MAX);
        buckets = buckets.saturating_add(length);
        if buckets > from.bits_left() {
            return Err(from.corrupt("more buckets than bits"));
        }
        let offset = i32::try_from(read_signed(from)?)
            .map_err(|_| from.corrupt("a span offset of more than 32 bits"))?;
        let length = u32::try_from(length).map_err(|_| from.corrupt("a span of more than 32 bits"))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

/// One byte for 0 and for powers of two from 2^-243 to 2^10, nine for everything else.
fn put_zero_threshold<S: BitSink>(out: &mut BitAccumulator, sink: &mut S, threshold: f64) {
    if threshold == 0.0 {
        out.put(sink, 0, 8);
        return;
    }
    let bits = threshold.to_bits();
    let (mantissa, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) as i64 - 1023);
    if mantissa == 0 && (-243..=10).contains(&exponent) {
        out.put(sink, (exponent + 244) as u64, 8);
    } else {
        out.put(sink, 255, 8);
        out.put_wide(sink, bits, 64);
    }
}

fn read_zero_threshold(from: &mut BitReader<'_>) -> Result<f64, Corrupt> {
    Ok(f64::from_bits(match from.read(8)? {
        0 => 0,
        255 => from.read(64)?,
        short => (short + 1023 - 244) << 52,
    }))
}

fn put_bound<S: BitSink>(out: &mut BitAccumulator, sink: &mut S, bound: f64) {
    let thousandths = bound * 1000.0;
    let short =
        (0.0..=SHORT_BOUND_MAX_THOUSANDTHS).contains(&thousandths) && thousandths.round() / 1000.0 == bound;
    if short {
        put_unsigned(out, sink, thousandths.round() as u64 + 1);
    } else {
        out.put(sink, 0, 1);
        out.put_wide(sink, bound.to_bits(), 64);
    }
}

fn read_bound(from: &mut BitReader<'_>) -> Result<f64, Corrupt> {
    Ok(match read_unsigned(from)? {
        0 => f64::from_bits(from.read(64)?),
        short => (short - 1) as f64 / 1000.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(layout: &Layout) -> (Layout, usize) {
        let (mut bits, mut bytes) = (BitAccumulator::new(), Vec::new());
        layout.put(&mut bits, &mut bytes);
        let (tail, tail_bytes) = bits.tail();
        bytes.extend_from_slice(&tail[..tail_bytes]);
        (Layout::read(&mut BitReader::new(&bytes, 0)).expect("a layout just written"), bytes.len())
    }

    #[test]
    fn zero_thresholds_come_back_and_powers_of_two_are_short() {
        // One byte for the threshold, three bits for schema and spans.
        for (threshold, bytes) in [
            (0.0, 2),
            (2f64.powi(-128), 2),
            (2f64.powi(-243), 2),
            (2f64.powi(10), 2),
            (2f64.powi(-244), 10),
            (2f64.powi(11), 10),
            (0.1, 10),
            (-1.0, 10),
            (5e-324, 10),
            (f64::INFINITY, 10),
        ] {
            let layout = Layout { zero_threshold: threshold, ..Layout::default() };
            let (read, read_bytes) = back(&layout);
            assert_eq!(read.zero_threshold.to_bits(), threshold.to_bits());
            assert_eq!(read_bytes, bytes, "{threshold}");
        }
    }

    #[test]
    fn custom_bounds_come_back() {
        let bounds: Arc<[f64]> = [-1.5, 0.0, 0.001, 0.25, 0.3333, 33_554.43, 33_554.431, 1e9].into();
        let layout = Layout {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: Some(bounds.clone()),
            positive_spans: vec![],
            ..Layout::default()
        };
        assert_eq!(back(&layout).0.custom_values, Some(bounds));
    }

    #[test]
    fn sizes_that_the_data_cannot_hold_are_refused() {
        let huge = Layout { positive_spans: vec![Span { offset: 0, length: u32::MAX }], ..Layout::default() };
        let (mut bits, mut bytes) = (BitAccumulator::new(), Vec::new());
        huge.put(&mut bits, &mut bytes);
        bytes.extend_from_slice(&bits.tail().0);
        let error =
            Layout::read(&mut BitReader::new(&bytes, 0)).expect_err("four billion buckets in 9 bytes");
        assert_eq!(error.what, "more buckets than bits");
    }
}
