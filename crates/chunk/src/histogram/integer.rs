//! Integer counts: everything but the sum is a delta of deltas.

use ferula_model::value::{STALE_NAN, is_stale};
use ferula_model::{CounterResetHint, FloatHistogram, Histogram, Span};

use super::kind::{Counts, Side};
use super::layout::Layout;
use crate::bits::{BitAccumulator, BitReader, Corrupt};
use crate::encoding::Encoding;
use crate::varbit::{put_signed, put_unsigned, read_signed, read_unsigned};
use crate::xor::Window;

/// Counts of a histogram with integer counts.
#[derive(Clone, Debug)]
pub struct IntegerCounts {
    timestamp: Tracked,
    count: Tracked,
    zero_count: Tracked,
    sum: f64,
    window: Window,
    /// Positive buckets, then negative ones; each is relative to the bucket before it.
    buckets: Vec<Tracked>,
}

/// A number whose second difference is written. All arithmetic wraps, so that any bits can be read.
#[derive(Clone, Copy, Debug, Default)]
struct Tracked {
    value: i64,
    delta: i64,
}

impl Tracked {
    fn first(value: i64) -> Self {
        Tracked { value, delta: 0 }
    }

    /// Moves to `value` and returns the change of the delta.
    fn change_to(&mut self, value: i64) -> i64 {
        let delta = value.wrapping_sub(self.value);
        let change = delta.wrapping_sub(self.delta);
        *self = Tracked { value, delta };
        change
    }

    fn change_by(&mut self, change: i64) {
        self.delta = self.delta.wrapping_add(change);
        self.value = self.value.wrapping_add(self.delta);
    }
}

/// Absolute counts of buckets that are relative to each other.
fn absolute(relative: impl Iterator<Item = i64>) -> impl Iterator<Item = i64> {
    relative.scan(0i64, |count, delta| {
        *count = count.wrapping_add(delta);
        Some(*count)
    })
}

fn relative(absolute: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut before = 0i64;
    absolute.into_iter().map(|count| count.wrapping_sub(std::mem::replace(&mut before, count))).collect()
}

impl IntegerCounts {
    fn side<'a>(&'a self, layout: &Layout, side: Side) -> &'a [Tracked] {
        let (positive, negative) = self.buckets.split_at(layout.positive_buckets().min(self.buckets.len()));
        match side {
            Side::Positive => positive,
            Side::Negative => negative,
        }
    }
}

impl Counts for IntegerCounts {
    type Sample = Histogram;
    type Bucket = i64;

    const ENCODING: Encoding = Encoding::Histogram;
    const ENCODING_ST: Encoding = Encoding::HistogramSt;

    fn layout(sample: &Histogram) -> Layout {
        Layout {
            schema: sample.schema,
            zero_threshold: sample.zero_threshold,
            positive_spans: sample.positive_spans.clone(),
            negative_spans: sample.negative_spans.clone(),
            custom_values: sample.custom_values.clone(),
        }
    }

    fn hint(sample: &Histogram) -> CounterResetHint {
        sample.counter_reset_hint
    }

    fn sum(sample: &Histogram) -> f64 {
        sample.sum
    }

    fn stale() -> Histogram {
        Histogram { sum: STALE_NAN, ..Histogram::default() }
    }

    fn sample_buckets(sample: &Histogram, side: Side) -> impl Iterator<Item = i64> + '_ {
        absolute(
            match side {
                Side::Positive => &sample.positive_buckets,
                Side::Negative => &sample.negative_buckets,
            }
            .iter()
            .copied(),
        )
    }

    fn set_buckets(sample: &mut Histogram, side: Side, spans: &[Span], buckets: Option<Vec<i64>>) {
        let (old_spans, old_buckets) = match side {
            Side::Positive => (&mut sample.positive_spans, &mut sample.positive_buckets),
            Side::Negative => (&mut sample.negative_spans, &mut sample.negative_buckets),
        };
        *old_spans = spans.to_vec();
        if let Some(buckets) = buckets {
            *old_buckets = relative(buckets);
        }
    }

    fn header_when_cut(reason: CounterResetHint) -> CounterResetHint {
        reason
    }

    fn header_when_full(verdict: CounterResetHint) -> CounterResetHint {
        verdict
    }

    fn timestamp(&self) -> i64 {
        self.timestamp.value
    }

    fn last_sum(&self) -> f64 {
        self.sum
    }

    fn count_shrank(&self, sample: &Histogram) -> bool {
        sample.count < self.count.value as u64
    }

    fn zero_count_shrank(&self, sample: &Histogram) -> bool {
        sample.zero_count < self.zero_count.value as u64
    }

    fn buckets(&self, layout: &Layout, side: Side) -> impl Iterator<Item = i64> + '_ {
        absolute(self.side(layout, side).iter().map(|bucket| bucket.value))
    }

    fn put_first(out: &mut BitAccumulator, sink: &mut Vec<u8>, timestamp: i64, sample: &Histogram) -> Self {
        put_signed(out, sink, timestamp);
        put_unsigned(out, sink, sample.count);
        put_unsigned(out, sink, sample.zero_count);
        out.put_wide(sink, sample.sum.to_bits(), 64);
        let buckets = || sample.positive_buckets.iter().chain(&sample.negative_buckets);
        buckets().for_each(|bucket| put_signed(out, sink, *bucket));
        IntegerCounts {
            timestamp: Tracked::first(timestamp),
            count: Tracked::first(sample.count as i64),
            zero_count: Tracked::first(sample.zero_count as i64),
            sum: sample.sum,
            window: Window::NONE,
            buckets: buckets().map(|bucket| Tracked::first(*bucket)).collect(),
        }
    }

    fn put_next(&mut self, out: &mut BitAccumulator, sink: &mut Vec<u8>, timestamp: i64, sample: &Histogram) {
        put_signed(out, sink, self.timestamp.change_to(timestamp));
        let (mut count, mut zero_count) =
            (self.count.change_to(sample.count as i64), self.zero_count.change_to(sample.zero_count as i64));
        if is_stale(sample.sum) {
            // The counts of a staleness marker are not read back.
            (count, zero_count) = (0, 0);
        }
        put_signed(out, sink, count);
        put_signed(out, sink, zero_count);
        self.window.put_xor(out, sink, sample.sum, self.sum);
        self.sum = sample.sum;
        let buckets = sample.positive_buckets.iter().chain(&sample.negative_buckets);
        for (tracked, bucket) in self.buckets.iter_mut().zip(buckets) {
            put_signed(out, sink, tracked.change_to(*bucket));
        }
    }

    fn read_first(from: &mut BitReader<'_>, layout: &Layout) -> Result<Self, Corrupt> {
        let timestamp = read_signed(from)?;
        let count = read_unsigned(from)? as i64;
        let zero_count = read_unsigned(from)? as i64;
        let sum = f64::from_bits(from.read(64)?);
        let buckets = (0..layout.positive_buckets() + layout.negative_buckets())
            .map(|_| read_signed(from).map(Tracked::first))
            .collect::<Result<_, _>>()?;
        Ok(IntegerCounts {
            timestamp: Tracked::first(timestamp),
            count: Tracked::first(count),
            zero_count: Tracked::first(zero_count),
            sum,
            window: Window::WHOLE,
            buckets,
        })
    }

    fn read_next(&mut self, from: &mut BitReader<'_>) -> Result<(), Corrupt> {
        self.timestamp.change_by(read_signed(from)?);
        self.count.change_by(read_signed(from)?);
        self.zero_count.change_by(read_signed(from)?);
        self.sum = self.window.read_xor(from, self.sum)?;
        if !is_stale(self.sum) {
            for bucket in &mut self.buckets {
                bucket.change_by(read_signed(from)?);
            }
        }
        Ok(())
    }

    fn sample(&self, layout: &Layout, hint: CounterResetHint) -> Histogram {
        if is_stale(self.sum) {
            return Histogram { counter_reset_hint: hint, ..Self::stale() };
        }
        let relative = |side| self.side(layout, side).iter().map(|bucket| bucket.value).collect();
        Histogram {
            counter_reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count.value as u64,
            count: self.count.value as u64,
            sum: self.sum,
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_buckets: relative(Side::Positive),
            negative_buckets: relative(Side::Negative),
            custom_values: layout.custom_values.clone(),
        }
    }

    fn reduce(sample: &mut Histogram) {
        sample.reduce_to_stored_schema();
    }

    fn float_sample(&self, layout: &Layout, hint: CounterResetHint) -> FloatHistogram {
        if is_stale(self.sum) {
            return FloatHistogram { counter_reset_hint: hint, sum: self.sum, ..FloatHistogram::default() };
        }
        let floats = |side| self.buckets(layout, side).map(|count| count as f64).collect();
        FloatHistogram {
            counter_reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count.value as u64 as f64,
            count: self.count.value as u64 as f64,
            sum: self.sum,
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_buckets: floats(Side::Positive),
            negative_buckets: floats(Side::Negative),
            custom_values: layout.custom_values.clone(),
        }
    }
}
