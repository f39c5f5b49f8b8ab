//! `rate`, `increase`, `delta`: the change over a window, stretched to its ends.
//!
//! The change between the first and the last sample is stretched to the range: all the way to an end that is less
//! than 1.1 average sample distances away, else by half a distance; a counter not below zero. Decreases of a counter
//! are restarts from zero. With `anchored` and `smoothed` nothing is stretched (`extended_rate.rs`).

use std::sync::Arc;

use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_promql_syntax::ast::RangeExtension;

use super::change::Rate;
use super::{extended_rate, interpolate, start_time};
use crate::exec::batch::{RowMut, Value};
use crate::exec::context::{PIECE, QueryContext};
use crate::exec::select::window::{
    FloatWindow, RangeCall, RangeFunction, Samples, Window, Windows, windows_one_by_one,
};
use crate::{Annotation, QueryError};

/// `rate`.
pub(super) fn rate() -> Box<dyn RangeFunction> {
    Box::new(RateFunction::new(Rate { counter: true, per_second: true }))
}

/// `increase`.
pub(super) fn increase() -> Box<dyn RangeFunction> {
    Box::new(RateFunction::new(Rate { counter: true, per_second: false }))
}

/// `delta`.
pub(super) fn delta() -> Box<dyn RangeFunction> {
    Box::new(RateFunction::new(Rate { counter: false, per_second: false }))
}

/// One of the three as it runs over many series.
struct RateFunction {
    rate: Rate,
    /// Restarts of the series at hand: the index of the first sample after each, and the value before it.
    restarts: Vec<(usize, f64)>,
}

impl RateFunction {
    fn new(rate: Rate) -> Self {
        RateFunction { rate, restarts: Vec::new() }
    }
}

impl RangeFunction for RateFunction {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        let samples = window.samples;
        if !samples.histograms.is_empty() && !samples.floats.is_empty() {
            call.query.annotate(Annotation::mixed_floats_histograms(call.metric_name(), call.span));
            return Ok(None);
        }
        if call.extension.is_some() {
            return Ok(extended_rate::window(self.rate, window, call));
        }
        if samples.histograms.is_empty() {
            return Ok(self.rate.floats(window, call)?.map(Value::Float));
        }
        // Where this breaks off because the query was stopped, the next check says so.
        Ok(self.rate.histograms(window, call).map(|histogram| Value::Histogram(Arc::new(histogram))))
    }

    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        let plain =
            samples.histograms.is_empty() && samples.float_starts.is_empty() && call.extension.is_none();
        if plain {
            self.restarts.clear();
            if self.rate.counter {
                find_restarts(samples.floats, &mut self.restarts, call.query)?;
            }
            return self.rate.plain_row(samples, windows, &self.restarts, call, out);
        }
        windows_one_by_one(self, samples, windows, call, out)
    }

    fn uses_start_timestamps(&self) -> bool {
        self.rate.counter
    }

    fn allows(&self, _extension: RangeExtension) -> bool {
        true
    }

    fn expects_counter(&self) -> bool {
        self.rate.counter
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
    /// made of is gathered, then the arithmetic runs over all of them. The restarts of a window are found by two indices
    /// into the list of all restarts, which move forward with the windows: the same values are added in the same order
    /// as by a look at every sample.
    fn plain_row(
        self,
        samples: Samples<'_>,
        windows: &Windows,
        restarts: &[(usize, f64)],
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        let (times, values) = (samples.float_times, samples.floats);
        let (mut passed, mut reached) = (0, 0);
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
                // A restart at the first sample of the window happened before it.
                while restarts.get(passed).is_some_and(|(at, _)| *at <= window.from) {
                    passed += 1;
                }
                reached = reached.max(passed);
                while restarts.get(reached).is_some_and(|(at, _)| *at < window.to) {
                    reached += 1;
                }
                for piece in restarts[passed..reached].chunks(PIECE) {
                    call.query.work(piece.len())?;
                    change = piece.iter().fold(change, |change, (_, before)| change + before);
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
        windows.count_floats(&walk, call.query)
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

/// Puts the restarts of a counter into a list: the index of the sample that is lower than the one before it, and the
/// value of that one.
fn find_restarts(
    values: &[f64],
    into: &mut Vec<(usize, f64)>,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    for from in (0..values.len()).step_by(PIECE) {
        let piece = &values[from..values.len().min(from + PIECE + 1)];
        query.work(piece.len())?;
        // Most pieces have none, and that is found without a branch for each sample.
        let falls = piece.windows(2).map(|pair| usize::from(pair[1] < pair[0])).sum::<usize>();
        if falls == 0 {
            continue;
        }
        if into.len() + falls > into.capacity() {
            let more = falls.max(into.capacity());
            query.account.charge(more.saturating_mul(size_of::<(usize, f64)>()))?;
            into.reserve_exact(more);
        }
        let falling = piece.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]);
        into.extend(falling.map(|(at, pair)| (from + at + 1, pair[0])));
    }
    Ok(())
}
