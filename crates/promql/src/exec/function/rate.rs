//! `rate`, `increase`, `delta`: the change over a window, stretched to its ends.
//!
//! The change between the first and the last sample is stretched to the range: all the way to an end that is less
//! than 1.1 average sample distances away, else by half a distance; a counter not below zero. Decreases of a counter
//! are restarts from zero. With `anchored` and `smoothed` nothing is stretched (`extended_rate.rs`).

use std::sync::Arc;

use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_promql_syntax::ast::RangeExtension;

use super::{extended_rate, interpolate, start_time};
use crate::exec::batch::{RowMut, Value};
use crate::exec::context::PIECE;
use crate::exec::select::window::{
    FloatWindow, RangeCall, RangeFunction, Samples, Window, Windows, windows_one_by_one,
};
use crate::{Annotation, QueryError};

/// `rate`.
pub(super) fn rate() -> Box<dyn RangeFunction> {
    Box::new(Rate { counter: true, per_second: true })
}

/// `increase`.
pub(super) fn increase() -> Box<dyn RangeFunction> {
    Box::new(Rate { counter: true, per_second: false })
}

/// `delta`.
pub(super) fn delta() -> Box<dyn RangeFunction> {
    Box::new(Rate { counter: false, per_second: false })
}

/// One of the three.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Decreases are restarts.
    pub counter: bool,
    /// Divided by the seconds of the range.
    pub per_second: bool,
}

impl RangeFunction for Rate {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        let samples = window.samples;
        if !samples.histograms.is_empty() && !samples.floats.is_empty() {
            call.query.annotate(Annotation::mixed_floats_histograms(call.metric_name(), call.span));
            return Ok(None);
        }
        if call.extension.is_some() {
            return Ok(extended_rate::window(*self, window, call));
        }
        if samples.histograms.is_empty() {
            return Ok(self.floats(window, call)?.map(Value::Float));
        }
        // Where this breaks off because the query was stopped, the next check says so.
        Ok(self.histograms(window, call).map(|histogram| Value::Histogram(Arc::new(histogram))))
    }

    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        let plain = samples.histograms.is_empty()
            && samples.float_starts.is_empty()
            && call.extension.is_none()
            && !windows.counts_by_step();
        if plain {
            return self.plain_row(samples, windows, call, out);
        }
        windows_one_by_one(self, samples, windows, call, out)
    }

    fn uses_start_timestamps(&self) -> bool {
        self.counter
    }

    fn allows(&self, _extension: RangeExtension) -> bool {
        true
    }

    fn expects_counter(&self) -> bool {
        self.counter
    }
}

/// A window as the extrapolation sees it, whatever its samples are.
struct Sampled {
    first_ms: i64,
    last_ms: i64,
    /// Number of distances between samples.
    distances: usize,
    /// The first value (of a histogram, its count) and the change: how a counter's zero is found.
    first_value: f64,
    change: f64,
    /// The first sample is to be treated as preceded by a zero at this time.
    zero_at_ms: Option<i64>,
}

impl Rate {
    /// What the change is multiplied with. `None` when one sample does not say enough.
    #[inline]
    fn factor(self, window: &Sampled, range_start: i64, range_end: i64, range_seconds: f64) -> Option<f64> {
        let mut to_start = window.first_ms.wrapping_sub(range_start) as f64 / 1000.0;
        let mut to_end = range_end.wrapping_sub(window.last_ms) as f64 / 1000.0;
        let mut sampled = window.last_ms.wrapping_sub(window.first_ms) as f64 / 1000.0;
        let distance = if window.distances > 0 { sampled / window.distances as f64 } else { 0.0 };
        let threshold = distance * 1.1;
        if let Some(zero_at_ms) = window.zero_at_ms {
            to_start = 0.0;
            sampled = window.last_ms.wrapping_sub(zero_at_ms) as f64 / 1000.0;
        } else if window.distances == 0 {
            return None;
        } else {
            if to_start >= threshold {
                to_start = distance / 2.0;
            }
            if self.counter {
                let to_zero = if window.change > 0.0 && window.first_value >= 0.0 {
                    sampled * (window.first_value / window.change)
                } else {
                    to_start
                };
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = distance / 2.0;
        }
        let mut factor = 1.0;
        if sampled != 0.0 {
            factor = (sampled + to_start + to_end) / sampled;
        }
        if self.per_second {
            factor /= range_seconds;
        }
        Some(factor)
    }

    fn floats(self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<f64>, QueryError> {
        let samples = window.samples;
        let Some(last) = samples.floats.len().checked_sub(1) else { return Ok(None) };
        let mut change = samples.floats[last] - samples.floats[0];
        let mut zero_at_ms = None;
        if self.counter {
            let starts = start_time::Starts::new(samples.float_starts, samples.float_times);
            starts.annotate_overlap(call);
            for at in 1..=last {
                call.query.work(2)?;
                let before = samples.floats[at - 1];
                if samples.floats[at] < before || starts.is_reset(at) {
                    change += before;
                }
            }
            zero_at_ms = starts.first_inside(window.range_start);
        }
        let sampled = Sampled {
            first_ms: samples.float_times[0],
            last_ms: samples.float_times[last],
            distances: last,
            first_value: samples.floats[0],
            change,
            zero_at_ms,
        };
        let factor = self.factor(&sampled, window.range_start, window.range_end, call.range_seconds());
        if zero_at_ms.is_some() {
            change += samples.floats[0];
        }
        Ok(factor.map(|factor| change * factor))
    }

    /// All windows of a series of floats without start timestamps, a word of steps at a time: first what each window is
    /// made of is gathered, then the arithmetic runs over all of them. Whether a window has a restart is known
    /// from a running count; only windows that have one look at every sample.
    fn plain_row(
        self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        let (times, values) = (samples.float_times, samples.floats);
        let restarts = if self.counter { running_restarts(values, call)? } else { Vec::new() };
        let mut walk = windows.floats(times);
        let mut lanes = Lanes::new();
        let steps = windows.grid.steps();
        for word in 0..out.present.len() {
            call.query.work(64)?;
            let count = (steps - word * 64).min(64);
            let mut present = 0u64;
            for lane in 0..count {
                let window = walk.next();
                if window.to - window.from < 2 {
                    continue;
                }
                present |= 1 << lane;
                lanes.set(lane, times, &window);
                let first = values[window.from];
                let mut change = values[window.to - 1] - first;
                if !restarts.is_empty() && restarts[window.to - 1] != restarts[window.from] {
                    for (at, pair) in values[window.from..window.to].windows(2).enumerate() {
                        if at % PIECE == 0 {
                            call.query.work(PIECE.min(window.to - window.from - at))?;
                        }
                        if pair[1] < pair[0] {
                            change += pair[0];
                        }
                    }
                }
                lanes.first[lane] = first;
                lanes.change[lane] = change;
            }
            out.present[word] = present;
            let results = &mut out.values[word * 64..word * 64 + count];
            match (self.counter, self.per_second) {
                (true, true) => lanes.extrapolate::<true>(call.range_seconds(), results),
                (true, false) => lanes.extrapolate::<true>(1.0, results),
                (false, _) => lanes.extrapolate::<false>(1.0, results),
            }
        }
        windows.count_floats(&walk);
        Ok(())
    }

    fn histograms(self, window: &Window<'_>, call: &RangeCall<'_>) -> Option<FloatHistogram> {
        let samples = window.samples;
        let (times, values) = (samples.histogram_times, samples.histograms);
        let last = values.len().checked_sub(1)?;
        let starts =
            start_time::Starts::new(if self.counter { samples.histogram_starts } else { &[] }, times);
        let mut change = match last {
            0 => None,
            _ => Some(self.histogram_change(values, &starts, call)?),
        };
        let zero_at_ms = starts.first_inside(window.range_start);
        let sampled = Sampled {
            first_ms: times[0],
            last_ms: times[last],
            distances: last,
            first_value: values[0].count,
            change: change.as_ref().map_or(0.0, |change| change.count),
            zero_at_ms,
        };
        let factor = self.factor(&sampled, window.range_start, window.range_end, call.range_seconds())?;
        if zero_at_ms.is_some() {
            match &mut change {
                Some(change) => {
                    interpolate::add(change, &values[0], call.query, call.metric_name(), call.span)?;
                }
                None => change = Some(FloatHistogram::clone(&values[0])),
            }
        }
        let mut change = change?;
        change.mul(factor);
        Some(change)
    }

    /// The change between the first and last of at least two histograms, restarts added.
    fn histogram_change(
        self,
        values: &[Arc<FloatHistogram>],
        starts: &start_time::Starts<'_>,
        call: &RangeCall<'_>,
    ) -> Option<FloatHistogram> {
        let (query, name, span) = (call.query, call.metric_name(), call.span);
        let last = values.last()?;
        let is_gauge = |histogram: &FloatHistogram| histogram.counter_reset_hint == CounterResetHint::Gauge;
        if self.counter && (is_gauge(&values[0]) || is_gauge(last)) {
            query.annotate(Annotation::native_not_counter(name, span));
        }
        let mut first = values[0].clone();
        if self.counter && (starts.is_reset(1) || values[1].detect_reset(&first)) {
            // The first sample does not count at all, whatever its buckets are.
            first = Arc::new(FloatHistogram {
                schema: values[1].schema,
                custom_values: values[1].custom_values.clone(),
                ..FloatHistogram::default()
            });
        }
        let custom = first.uses_custom_buckets();
        if last.uses_custom_buckets() != custom {
            query.annotate(Annotation::mixed_exponential_custom(name, span));
            return None;
        }
        let mut schema = first.schema.min(last.schema);
        if self.counter {
            for histogram in &values[1..values.len() - 1] {
                query.work(4).ok()?;
                if is_gauge(histogram) {
                    query.annotate(Annotation::native_not_counter(name, span));
                }
                schema = schema.min(histogram.schema);
                if histogram.uses_custom_buckets() != custom {
                    query.annotate(Annotation::mixed_exponential_custom(name, span));
                    return None;
                }
            }
        }
        let mut change = last.copy_to_schema(schema);
        interpolate::subtract(&mut change, &first, query, name, span)?;
        if self.counter {
            starts.annotate_overlap(call);
            let mut before = first;
            for (at, histogram) in values.iter().enumerate().skip(1) {
                query.work(histogram.sample_weight()).ok()?;
                if starts.is_reset(at) || histogram.detect_reset(&before) {
                    interpolate::add(&mut change, &before, query, name, span)?;
                }
                before = histogram.clone();
            }
        } else if !is_gauge(&values[0]) || !is_gauge(last) {
            query.annotate(Annotation::native_not_gauge(name, span));
        }
        change.counter_reset_hint = CounterResetHint::Gauge;
        change.compact(0);
        Some(change)
    }
}

/// What up to 64 windows are made of, times in milliseconds.
struct Lanes {
    to_start: [f64; 64],
    to_end: [f64; 64],
    sampled: [f64; 64],
    distances: [f64; 64],
    first: [f64; 64],
    change: [f64; 64],
}

impl Lanes {
    fn new() -> Self {
        let ones = [1.0; 64];
        Lanes { to_start: ones, to_end: ones, sampled: ones, distances: ones, first: ones, change: ones }
    }

    #[inline]
    fn set(&mut self, lane: usize, times: &[i64], window: &FloatWindow) {
        let (first, last) = (times[window.from], times[window.to - 1]);
        self.to_start[lane] = first.wrapping_sub(window.range_start) as f64;
        self.to_end[lane] = window.range_end.wrapping_sub(last) as f64;
        self.sampled[lane] = last.wrapping_sub(first) as f64;
        self.distances[lane] = (window.to - 1 - window.from) as f64;
    }

    /// [`Rate::factor`] times the change for every lane, with selects in place of branches. Dividing by 1 changes
    /// nothing, so `seconds` of 1 is the change over the range.
    fn extrapolate<const COUNTER: bool>(&self, seconds: f64, out: &mut [f64]) {
        for (lane, out) in out.iter_mut().enumerate() {
            let mut to_start = self.to_start[lane] / 1000.0;
            let mut to_end = self.to_end[lane] / 1000.0;
            let sampled = self.sampled[lane] / 1000.0;
            let change = self.change[lane];
            let distance = sampled / self.distances[lane];
            let threshold = distance * 1.1;
            let half = distance / 2.0;
            to_start = if to_start >= threshold { half } else { to_start };
            to_end = if to_end >= threshold { half } else { to_end };
            if COUNTER {
                let first = self.first[lane];
                let to_zero = sampled * (first / change);
                let nearer = (change > 0.0) & (first >= 0.0) & (to_zero < to_start);
                to_start = if nearer { to_zero } else { to_start };
            }
            let factor = (sampled + to_start + to_end) / sampled;
            let factor = if sampled != 0.0 { factor } else { 1.0 };
            *out = change * (factor / seconds);
        }
    }
}

/// How many restarts there are up to each sample; empty when there is none.
fn running_restarts(values: &[f64], call: &RangeCall<'_>) -> Result<Vec<u32>, QueryError> {
    let falls = |pair: &[f64]| pair[1] < pair[0];
    let pairs = |piece: usize| {
        let from = piece * PIECE;
        values[from..values.len().min(from + PIECE + 1)].windows(2)
    };
    let pieces = values.len().div_ceil(PIECE);
    let mut any = false;
    for piece in 0..pieces {
        call.query.work(PIECE.min(values.len()))?;
        any = any || pairs(piece).any(falls);
    }
    if !any {
        return Ok(Vec::new());
    }
    let mut count = 0;
    let mut running = Vec::with_capacity(values.len());
    running.push(0);
    for piece in 0..pieces {
        call.query.work(PIECE.min(values.len()))?;
        for pair in pairs(piece) {
            count += u32::from(falls(pair));
            running.push(count);
        }
    }
    Ok(running)
}
