//! Float counts: everything but the timestamp is the XOR with the value before.

use ferula_model::value::{STALE_NAN, is_stale};
use ferula_model::{CounterResetHint, FloatHistogram, Span};

use super::kind::{Counts, Side};
use super::layout::Layout;
use crate::bits::{BitAccumulator, BitReader, Corrupt};
use crate::encoding::Encoding;
use crate::varbit::{put_signed, read_signed};
use crate::xor::Window;

/// Counts of a histogram with float counts.
#[derive(Clone, Debug)]
pub struct FloatCounts {
    timestamp: i64,
    delta: i64,
    count: Tracked,
    zero_count: Tracked,
    sum: Tracked,
    /// Positive buckets, then negative ones.
    buckets: Vec<Tracked>,
}

/// A float with the window its XORs are written in.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    value: f64,
    window: Window,
}

impl Tracked {
    fn put_first(out: &mut BitAccumulator, sink: &mut Vec<u8>, value: f64) -> Self {
        out.put_wide(sink, value.to_bits(), 64);
        Tracked { value, window: Window::NONE }
    }

    fn put_next(&mut self, out: &mut BitAccumulator, sink: &mut Vec<u8>, value: f64) {
        self.window.put_xor(out, sink, value, self.value);
        self.value = value;
    }

    fn read_first(from: &mut BitReader<'_>) -> Result<Self, Corrupt> {
        Ok(Tracked { value: f64::from_bits(from.read(64)?), window: Window::WHOLE })
    }

    fn read_next(&mut self, from: &mut BitReader<'_>) -> Result<(), Corrupt> {
        self.value = self.window.read_xor(from, self.value)?;
        Ok(())
    }
}

impl FloatCounts {
    fn side<'a>(&'a self, layout: &Layout, side: Side) -> &'a [Tracked] {
        let (positive, negative) = self.buckets.split_at(layout.positive_buckets().min(self.buckets.len()));
        match side {
            Side::Positive => positive,
            Side::Negative => negative,
        }
    }
}

impl Counts for FloatCounts {
    type Sample = FloatHistogram;
    type Bucket = f64;

    const ENCODING: Encoding = Encoding::FloatHistogram;
    const ENCODING_ST: Encoding = Encoding::FloatHistogramSt;

    fn layout(sample: &FloatHistogram) -> Layout {
        Layout {
            schema: sample.schema,
            zero_threshold: sample.zero_threshold,
            positive_spans: sample.positive_spans.clone(),
            negative_spans: sample.negative_spans.clone(),
            custom_values: sample.custom_values.clone(),
        }
    }

    fn hint(sample: &FloatHistogram) -> CounterResetHint {
        sample.counter_reset_hint
    }

    fn sum(sample: &FloatHistogram) -> f64 {
        sample.sum
    }

    fn stale() -> FloatHistogram {
        FloatHistogram { sum: STALE_NAN, ..FloatHistogram::default() }
    }

    fn sample_buckets(sample: &FloatHistogram, side: Side) -> impl Iterator<Item = f64> + '_ {
        match side {
            Side::Positive => &sample.positive_buckets,
            Side::Negative => &sample.negative_buckets,
        }
        .iter()
        .copied()
    }

    fn set_buckets(sample: &mut FloatHistogram, side: Side, spans: &[Span], buckets: Option<Vec<f64>>) {
        let (old_spans, old_buckets) = match side {
            Side::Positive => (&mut sample.positive_spans, &mut sample.positive_buckets),
            Side::Negative => (&mut sample.negative_spans, &mut sample.negative_buckets),
        };
        *old_spans = spans.to_vec();
        if let Some(buckets) = buckets {
            *old_buckets = buckets;
        }
    }

    /// Prometheus knows only "reset" and "no reset" here, and calls the second unknown …
    fn header_when_cut(reason: CounterResetHint) -> CounterResetHint {
        match reason {
            CounterResetHint::Reset => CounterResetHint::Reset,
            _ => CounterResetHint::Unknown,
        }
    }

    /// … or "not a reset", depending on why the chunk was begun.
    fn header_when_full(verdict: CounterResetHint) -> CounterResetHint {
        match verdict {
            CounterResetHint::Reset => CounterResetHint::Reset,
            _ => CounterResetHint::NotReset,
        }
    }

    fn timestamp(&self) -> i64 {
        self.timestamp
    }

    fn last_sum(&self) -> f64 {
        self.sum.value
    }

    fn count_shrank(&self, sample: &FloatHistogram) -> bool {
        sample.count < self.count.value
    }

    fn zero_count_shrank(&self, sample: &FloatHistogram) -> bool {
        sample.zero_count < self.zero_count.value
    }

    fn buckets(&self, layout: &Layout, side: Side) -> impl Iterator<Item = f64> + '_ {
        self.side(layout, side).iter().map(|bucket| bucket.value)
    }

    fn put_first(
        out: &mut BitAccumulator,
        sink: &mut Vec<u8>,
        timestamp: i64,
        sample: &FloatHistogram,
    ) -> Self {
        put_signed(out, sink, timestamp);
        let mut put = |value| Tracked::put_first(out, sink, value);
        let (count, zero_count, sum) = (put(sample.count), put(sample.zero_count), put(sample.sum));
        let buckets = sample.positive_buckets.iter().chain(&sample.negative_buckets);
        let buckets = buckets.map(|bucket| put(*bucket)).collect();
        FloatCounts { timestamp, delta: 0, count, zero_count, sum, buckets }
    }

    fn put_next(
        &mut self,
        out: &mut BitAccumulator,
        sink: &mut Vec<u8>,
        timestamp: i64,
        sample: &FloatHistogram,
    ) {
        let delta = timestamp.wrapping_sub(self.timestamp);
        put_signed(out, sink, delta.wrapping_sub(self.delta));
        (self.timestamp, self.delta) = (timestamp, delta);
        self.count.put_next(out, sink, sample.count);
        self.zero_count.put_next(out, sink, sample.zero_count);
        self.sum.put_next(out, sink, sample.sum);
        let buckets = sample.positive_buckets.iter().chain(&sample.negative_buckets);
        for (tracked, bucket) in self.buckets.iter_mut().zip(buckets) {
            tracked.put_next(out, sink, *bucket);
        }
    }

    fn read_first(from: &mut BitReader<'_>, layout: &Layout) -> Result<Self, Corrupt> {
        let timestamp = read_signed(from)?;
        let mut read = || Tracked::read_first(from);
        let (count, zero_count, sum) = (read()?, read()?, read()?);
        let buckets = (0..layout.positive_buckets() + layout.negative_buckets())
            .map(|_| read())
            .collect::<Result<_, _>>()?;
        Ok(FloatCounts { timestamp, delta: 0, count, zero_count, sum, buckets })
    }

    fn read_next(&mut self, from: &mut BitReader<'_>) -> Result<(), Corrupt> {
        self.delta = self.delta.wrapping_add(read_signed(from)?);
        self.timestamp = self.timestamp.wrapping_add(self.delta);
        self.count.read_next(from)?;
        self.zero_count.read_next(from)?;
        self.sum.read_next(from)?;
        if !is_stale(self.sum.value) {
            for bucket in &mut self.buckets {
                bucket.read_next(from)?;
            }
        }
        Ok(())
    }

    fn sample(&self, layout: &Layout, hint: CounterResetHint) -> FloatHistogram {
        if is_stale(self.sum.value) {
            return FloatHistogram { counter_reset_hint: hint, ..Self::stale() };
        }
        FloatHistogram {
            counter_reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count.value,
            count: self.count.value,
            sum: self.sum.value,
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_buckets: self.buckets(layout, Side::Positive).collect(),
            negative_buckets: self.buckets(layout, Side::Negative).collect(),
            custom_values: layout.custom_values.clone(),
        }
    }

    fn reduce(sample: &mut FloatHistogram) {
        sample.reduce_to_stored_schema();
    }

    fn float_sample(&self, layout: &Layout, hint: CounterResetHint) -> FloatHistogram {
        self.sample(layout, hint)
    }
}
