//! `rate`, `increase`, `delta`: the change over a window, stretched to its ends.
//!
//! The change between the first and the last sample is stretched to the range: all the way to an end that is less
//! than 1.1 average sample distances away, else by half a distance; a counter not below zero. Decreases of a counter
//! are restarts from zero. With `anchored` and `smoothed` nothing is stretched (`extended_rate.rs`).

use std::sync::Arc;

use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_promql_syntax::ast::RangeExtension;

use super::change::Rate;
use super::stretch::{Stretch, Stretches, below_zero};
use super::{extended_rate, interpolate, start_time};
use crate::exec::batch::{RowMut, Value};
use crate::exec::bitmap;
use crate::exec::context::{PIECE, QueryContext};
use crate::exec::select::window::{RangeCall, RangeFunction, Samples, Window, Windows, windows_one_by_one};
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
    /// By the number of their axis.
    stretches: Vec<Stretches>,
    /// Those of a series whose axis has no number.
    passing: Stretches,
}

impl RateFunction {
    fn new(rate: Rate) -> Self {
        let (restarts, stretches) = (Vec::new(), Vec::new());
        RateFunction { rate, restarts, stretches, passing: Stretches::default() }
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
        if !plain || samples.floats.is_empty() {
            return windows_one_by_one(self, samples, windows, call, out);
        }
        self.restarts.clear();
        if self.rate.counter {
            find_restarts(samples.floats, &mut self.restarts, call.query)?;
        }
        let axis = windows.axis(samples.float_times, call.query)?;
        let stretches = match axis.number {
            None => {
                self.passing.work_out(self.rate, &axis, samples.float_times, windows, call)?;
                &self.passing
            }
            Some(number) => {
                // The axes of series that go window by window have none.
                if number >= self.stretches.len() {
                    self.stretches.resize_with(number + 1, Stretches::default);
                }
                let kept = &mut self.stretches[number];
                if kept.ends.is_empty() {
                    kept.work_out(self.rate, &axis, samples.float_times, windows, call)?;
                }
                &self.stretches[number]
            }
        };
        self.rate.plain_row(samples, windows, &self.restarts, stretches, call, out)?;
        windows.count_axis(&axis, call.query)
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
    fn factor(self, window: &Sampled, range: (i64, i64), range_seconds: f64) -> Option<f64> {
        let mut stretch = Stretch::between((window.first_ms, window.last_ms), window.distances, range);
        if let Some(zero_at_ms) = window.zero_at_ms {
            stretch.to_start = 0.0;
            stretch.sampled = window.last_ms.wrapping_sub(zero_at_ms) as f64 / 1000.0;
        } else if window.distances == 0 {
            return None;
        } else if self.counter {
            stretch = stretch.not_below_zero(window.first_value, window.change);
        }
        Some(stretch.factor(self, range_seconds))
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
        let range = (window.range_start, window.range_end);
        let factor = self.factor(&sampled, range, call.range_seconds());
        if zero_at_ms.is_some() {
            change += samples.floats[0];
        }
        Ok(factor.map(|factor| change * factor))
    }

    /// All windows of a series of floats without start timestamps, a word of steps at a time. The restarts of a window
    /// are found by two indices into the list of all restarts, which move forward with the windows: the same values are
    /// added in the same order as by a look at every sample.
    fn plain_row(
        self,
        samples: Samples<'_>,
        windows: &Windows,
        restarts: &[(usize, f64)],
        stretches: &Stretches,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        let (times, values) = (samples.float_times, samples.floats);
        let (mut passed, mut reached) = (0, 0);
        let (mut firsts, mut changes) = ([0.0; 64], [0.0; 64]);
        for (word, results) in out.values.chunks_mut(64).enumerate() {
            call.query.work(64)?;
            let (from, count) = (word * 64, results.len());
            let ends = &stretches.ends[from..from + count];
            let present = stretches.present[word];
            for (lane, &(first, last)) in ends.iter().enumerate() {
                firsts[lane] = values[first as usize];
                changes[lane] = values[last as usize] - firsts[lane];
            }
            for lane in bitmap::ones(&[if restarts.is_empty() { 0 } else { present }]) {
                let (first, last) = ends[lane];
                // A restart at the first sample of the window happened before it.
                while restarts.get(passed).is_some_and(|(at, _)| *at <= first as usize) {
                    passed += 1;
                }
                reached = reached.max(passed);
                while restarts.get(reached).is_some_and(|(at, _)| *at <= last as usize) {
                    reached += 1;
                }
                for piece in restarts[passed..reached].chunks(PIECE) {
                    call.query.work(piece.len())?;
                    changes[lane] = piece.iter().fold(changes[lane], |change, (_, before)| change + before);
                }
            }
            out.present[word] = present;
            let factors = &stretches.factors[from..from + count];
            for ((result, change), factor) in results.iter_mut().zip(&changes).zip(factors) {
                *result = change * factor;
            }
            if !self.counter {
                continue;
            }
            let near_zero = &stretches.near_zero[from..from + count];
            let lanes =
                || firsts.iter().zip(&changes).zip(near_zero).map(|((a, b), c)| below_zero(*a, *b, *c));
            if !lanes().fold(false, |any, lane| any | lane) {
                continue;
            }
            for (lane, _) in lanes().enumerate().filter(|(lane, below)| *below && present >> lane & 1 == 1) {
                let (first, last) = (ends[lane].0 as usize, ends[lane].1 as usize);
                let range = windows.range(from + lane);
                let stretch = Stretch::between((times[first], times[last]), last - first, range);
                let stretch = stretch.not_below_zero(firsts[lane], changes[lane]);
                results[lane] = changes[lane] * stretch.factor(self, call.range_seconds());
            }
        }
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
        let range = (window.range_start, window.range_end);
        let factor = self.factor(&sampled, range, call.range_seconds())?;
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
