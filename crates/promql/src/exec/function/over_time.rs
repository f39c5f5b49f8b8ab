//! `*_over_time` that look at every float of a window: sum, avg, min, max, stddev, stdvar, quantile, mad, and the times
//! of extremes. Sums and averages also take histograms.

use std::collections::VecDeque;
use std::sync::Arc;

use ferula_model::FloatHistogram;
use ferula_model::histogram::HistogramError;

use super::sorted_window::{SortedWindow, copy_of};
use crate::annotations::HistogramOperation;
use crate::exec::aggregate::ResetHints;
use crate::exec::batch::{RowMut, Value};
use crate::exec::context::{PIECE, QueryContext};
use crate::exec::select::window::{RangeCall, RangeFunction, Samples, Window, Windows, windows_one_by_one};
use crate::numeric::kahan::{self, Kahan};
use crate::numeric::mean::{HistogramMean, Mean};
use crate::numeric::quantile::{quantile as quantile_of, quantile_of_sorted};
use crate::{Annotation, QueryError};

/// `sum_over_time`.
pub(super) fn sum() -> Box<dyn RangeFunction> {
    Box::new(SumOverTime)
}

/// `avg_over_time`.
pub(super) fn avg() -> Box<dyn RangeFunction> {
    Box::new(AvgOverTime)
}

/// `min_over_time`.
pub(super) fn min() -> Box<dyn RangeFunction> {
    Box::new(Extreme { better: |value: f64, held: f64| value < held, queue: VecDeque::new() })
}

/// `max_over_time`.
pub(super) fn max() -> Box<dyn RangeFunction> {
    Box::new(Extreme { better: |value: f64, held: f64| value > held, queue: VecDeque::new() })
}

/// `ts_of_min_over_time`.
pub(super) fn time_of_min() -> Box<dyn RangeFunction> {
    Box::new(FloatsOnly(|w, q| Ok(seconds(extreme(w, q, |cur, held| cur <= held)?.1))))
}

/// `ts_of_max_over_time`.
pub(super) fn time_of_max() -> Box<dyn RangeFunction> {
    Box::new(FloatsOnly(|w, q| Ok(seconds(extreme(w, q, |cur, held| cur >= held)?.1))))
}

/// `stddev_over_time`.
pub(super) fn stddev() -> Box<dyn RangeFunction> {
    Box::new(FloatsOnly(|w, q| Ok(variance(w.samples.floats, q)?.sqrt())))
}

/// `stdvar_over_time`.
pub(super) fn stdvar() -> Box<dyn RangeFunction> {
    Box::new(FloatsOnly(|w, q| variance(w.samples.floats, q)))
}

/// `mad_over_time`.
pub(super) fn mad() -> Box<dyn RangeFunction> {
    Box::new(FloatsOnly(|w, q| median_deviation(w.samples.floats, q)))
}

/// `quantile_over_time`.
pub(super) fn quantile() -> Box<dyn RangeFunction> {
    Box::new(QuantileOverTime { values: Vec::new(), window: SortedWindow::default() })
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// A function of the floats of a window, histograms left out with an info.
struct FloatsOnly(fn(&Window<'_>, &QueryContext<'_>) -> Result<f64, QueryError>);

impl RangeFunction for FloatsOnly {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        if window.samples.floats.is_empty() {
            return Ok(None);
        }
        annotate_ignored(window, call);
        (self.0)(window, call.query).map(|value| Some(Value::Float(value)))
    }
}

/// An info when the window also has histograms.
pub(super) fn annotate_ignored(window: &Window<'_>, call: &RangeCall<'_>) {
    if !window.samples.histograms.is_empty() {
        call.query.annotate(Annotation::histograms_ignored_in_mixed_range(call.metric_name(), call.span));
    }
}

/// The value that no other beats, and its time. NaN only when all values are.
fn extreme(
    window: &Window<'_>,
    query: &QueryContext<'_>,
    better: impl Fn(f64, f64) -> bool,
) -> Result<(f64, i64), QueryError> {
    let mut held = (window.samples.floats[0], window.samples.float_times[0]);
    let mut times = window.samples.float_times.iter();
    query.in_pieces(window.samples.floats, |piece| {
        for (&value, &time) in piece.iter().zip(&mut times) {
            if better(value, held.0) || held.0.is_nan() {
                held = (value, time);
            }
        }
    })?;
    Ok(held)
}

/// The variance of the population, after Welford, with compensated sums.
fn variance(values: &[f64], query: &QueryContext<'_>) -> Result<f64, QueryError> {
    let (mut count, mut mean, mut squares) = (0.0, Kahan::ZERO, Kahan::ZERO);
    query.in_pieces(values, |piece| {
        for &value in piece {
            count += 1.0;
            let delta = value - mean.value();
            mean = mean.plus(delta / count);
            squares = squares.plus(delta * (value - mean.value()));
        }
    })?;
    Ok(squares.value() / count)
}

/// The median distance to the median; NaN when any value is.
fn median_deviation(values: &[f64], query: &QueryContext<'_>) -> Result<f64, QueryError> {
    let _copy = query.account.reserve(size_of_val(values))?;
    let (mut copy, mut nan) = (Vec::with_capacity(values.len()), false);
    query.in_pieces(values, |piece| copy.extend_from_slice(piece))?;
    query.in_pieces(values, |piece| nan = nan || piece.iter().any(|value| value.is_nan()))?;
    if nan {
        return Ok(f64::NAN);
    }
    let median = quantile_of(0.5, &mut copy, query)?;
    for piece in copy.chunks_mut(PIECE) {
        query.work(piece.len())?;
        piece.iter_mut().for_each(|value| *value = (*value - median).abs());
    }
    quantile_of(0.5, &mut copy, query)
}

struct QuantileOverTime {
    values: Vec<f64>,
    window: SortedWindow,
}

impl QuantileOverTime {
    /// The quantile at a step that has samples; a warning if it is outside 0..1.
    fn share(step: usize, call: &RangeCall<'_>) -> f64 {
        let q = call.scalars[0].at(step);
        if !(0.0..=1.0).contains(&q) {
            call.query.annotate(Annotation::invalid_quantile(q, call.span));
        }
        q
    }
}

impl RangeFunction for QuantileOverTime {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        if window.samples.floats.is_empty() {
            return Ok(None);
        }
        let q = Self::share(window.step, call);
        annotate_ignored(window, call);
        copy_of(window.samples.floats, &mut self.values, call.query)?;
        quantile_of(q, &mut self.values, call.query).map(|value| Some(Value::Float(value)))
    }

    /// The part that two neighbouring windows share stays sorted.
    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        if !is_plain(&samples) || windows.grid.steps() == 1 {
            return windows_one_by_one(self, samples, windows, call, out);
        }
        let axis = windows.axis(samples.float_times, call.query)?;
        self.window.clear();
        for step in 0..windows.grid.steps() {
            let window = axis.window(step);
            call.query.work(1)?;
            if !window.is_empty() {
                let q = Self::share(step, call);
                self.window.move_to(samples.floats, (window.start, window.end), call.query)?;
                out.set_float(step, quantile_of_sorted(q, self.window.sorted()));
            }
        }
        windows.count_axis(&axis, call.query)
    }
}

/// Whether the window has samples of both kinds, which these functions refuse with a warning.
fn is_mixed(window: &Window<'_>, call: &RangeCall<'_>) -> bool {
    let mixed = !window.samples.floats.is_empty() && !window.samples.histograms.is_empty();
    if mixed {
        call.query.annotate(Annotation::mixed_floats_histograms(call.metric_name(), call.span));
    }
    mixed
}

/// Folds the histograms of a window, with the annotations that belong to it.
fn fold_histograms<S>(
    window: &Window<'_>,
    call: &RangeCall<'_>,
    start: impl FnOnce(&Arc<FloatHistogram>) -> S,
    mut add: impl FnMut(&mut S, &FloatHistogram) -> Result<ferula_model::histogram::Combined, HistogramError>,
) -> Result<Option<S>, QueryError> {
    let Some((first, rest)) = window.samples.histograms.split_first() else { return Ok(None) };
    let mut hints = ResetHints::default();
    hints.see(first);
    let (mut state, mut reconciled, mut failed) = (start(first), false, false);
    for histogram in rest {
        call.query.work(histogram.sample_weight())?;
        hints.see(histogram);
        match add(&mut state, histogram) {
            Ok(combined) => reconciled |= combined.bounds_reconciled,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    if failed {
        call.query.annotate(Annotation::mixed_exponential_custom(call.metric_name(), call.span));
        return Ok(None);
    }
    let during = HistogramOperation::Aggregation;
    if hints.collide() {
        call.query.annotate(Annotation::counter_reset_collision(during, call.span));
    }
    if reconciled {
        call.query.annotate(Annotation::custom_buckets_reconciled(during, call.span));
    }
    Ok(Some(state))
}

/// Whether all windows of a series can be walked through as floats.
fn is_plain(samples: &Samples<'_>) -> bool {
    samples.histograms.is_empty()
}

/// `min_over_time` or `max_over_time`.
struct Extreme<F> {
    /// Whether the first value replaces the second. A separate type, so that loops are specialized for it.
    better: F,
    /// Indices of values that may still become the extreme: each is beaten by none that came after it.
    queue: VecDeque<usize>,
}

impl<F: Fn(f64, f64) -> bool + Send> RangeFunction for Extreme<F> {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        if window.samples.floats.is_empty() {
            return Ok(None);
        }
        annotate_ignored(window, call);
        Ok(Some(Value::Float(extreme(window, call.query, &self.better)?.0)))
    }

    /// Each value enters and leaves the queue once, however many windows it is in.
    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        if !is_plain(&samples) || windows.grid.steps() == 1 {
            return windows_one_by_one(self, samples, windows, call, out);
        }
        let values = samples.floats;
        let axis = windows.axis(samples.float_times, call.query)?;
        let mut entered = 0;
        self.queue.clear();
        for step in 0..windows.grid.steps() {
            let window = axis.window(step);
            call.query.work(1)?;
            entered = entered.max(window.start);
            for at in entered..window.end {
                if at % PIECE == 0 {
                    call.query.work(PIECE)?;
                }
                if values[at].is_nan() {
                    continue;
                }
                while self.queue.back().is_some_and(|&last| (self.better)(values[at], values[last])) {
                    self.queue.pop_back();
                }
                self.queue.push_back(at);
            }
            entered = entered.max(window.end);
            while self.queue.front().is_some_and(|&first| first < window.start) {
                self.queue.pop_front();
            }
            if !window.is_empty() {
                // All values of the window are NaN when none is in the queue.
                let best = self.queue.front().copied().unwrap_or(window.end - 1);
                out.set_float(step, values[best]);
            }
        }
        windows.count_axis(&axis, call.query)
    }
}

/// Steps whose windows are summed up side by side. Each lane adds its own values in their own order, so the results are
/// those of one after the other; the processor just does not wait for one sum before it begins the next.
const LANES: usize = 8;

/// Compensated sums of all windows of a series of floats, `finish`ed with their counts.
fn sum_windows(
    samples: Samples<'_>,
    windows: &Windows,
    call: &RangeCall<'_>,
    empty: Kahan,
    out: &mut RowMut<'_>,
    finish: impl Fn(Kahan, &[f64]) -> Result<f64, QueryError>,
) -> Result<(), QueryError> {
    let values = samples.floats;
    let axis = windows.axis(samples.float_times, call.query)?;
    let steps = windows.grid.steps();
    let mut step = 0;
    while step < steps {
        let lanes = LANES.min(steps - step);
        let mut bounds = [(0, 0); LANES];
        for (lane, bounds) in bounds[..lanes].iter_mut().enumerate() {
            let window = axis.window(step + lane);
            *bounds = (window.start, window.end);
        }
        let length = bounds[0].1 - bounds[0].0;
        if lanes == LANES && length > 0 && bounds.iter().all(|(from, to)| to - from == length) {
            let starts: [&[f64]; LANES] = bounds.map(|(from, to)| &values[from..to]);
            let mut sums = [empty.sum; LANES];
            let mut compensations = [empty.compensation; LANES];
            for from in (0..length).step_by(PIECE) {
                let to = length.min(from + PIECE);
                call.query.work((to - from) * LANES)?;
                #[expect(clippy::needless_range_loop, reason = "one index into all lanes")]
                for at in from..to {
                    for lane in 0..LANES {
                        (sums[lane], compensations[lane]) =
                            kahan::add(starts[lane][at], sums[lane], compensations[lane]);
                    }
                }
            }
            for lane in 0..LANES {
                let sum = Kahan { sum: sums[lane], compensation: compensations[lane] };
                out.set_float(step + lane, finish(sum, starts[lane])?);
            }
        } else {
            for (lane, &(from, to)) in bounds[..lanes].iter().enumerate().filter(|(_, (from, to))| to > from)
            {
                let sum = sum_of(&values[from..to], empty, call.query)?;
                out.set_float(step + lane, finish(sum, &values[from..to])?);
            }
        }
        call.query.work(lanes)?;
        step += lanes;
    }
    windows.count_axis(&axis, call.query)
}

fn finished_sum(sum: Kahan) -> f64 {
    if sum.sum.is_infinite() { sum.sum } else { sum.value() }
}

fn sum_of(values: &[f64], empty: Kahan, query: &QueryContext<'_>) -> Result<Kahan, QueryError> {
    let mut sum = empty;
    query.in_pieces(values, |piece| sum = piece.iter().fold(sum, |sum, &value| sum.plus(value)))?;
    Ok(sum)
}

fn mean_of(values: &[f64], query: &QueryContext<'_>) -> Result<f64, QueryError> {
    let mut mean = Mean::default();
    query.in_pieces(values, |piece| piece.iter().for_each(|&value| mean.add(value)))?;
    Ok(mean.value())
}

struct SumOverTime;

impl RangeFunction for SumOverTime {
    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        if !is_plain(&samples) {
            return windows_one_by_one(self, samples, windows, call, out);
        }
        sum_windows(samples, windows, call, Kahan::ZERO, out, |sum, _| Ok(finished_sum(sum)))
    }

    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        if is_mixed(window, call) {
            return Ok(None);
        }
        if window.samples.histograms.is_empty() {
            let sum = sum_of(window.samples.floats, Kahan::ZERO, call.query)?;
            return Ok(Some(Value::Float(finished_sum(sum))));
        }
        let sum = fold_histograms(
            window,
            call,
            |first| (FloatHistogram::clone(first), None),
            |(sum, compensation), histogram| sum.kahan_add(histogram, compensation),
        )?;
        Ok(sum.map(|(mut sum, compensation)| {
            if let Some(compensation) = compensation {
                // Both have one layout, so this cannot fail.
                let _ = sum.add(&compensation);
            }
            Value::Histogram(Arc::new(sum))
        }))
    }
}

struct AvgOverTime;

impl RangeFunction for AvgOverTime {
    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        if !is_plain(&samples) {
            return windows_one_by_one(self, samples, windows, call, out);
        }
        sum_windows(samples, windows, call, Kahan::EMPTY, out, |sum, values| {
            // A sum that overflowed, at any point, is not finite now: then the mean goes another way.
            if sum.sum.is_finite() {
                let count = values.len() as f64;
                Ok(sum.sum / count + sum.compensation / count)
            } else {
                mean_of(values, call.query)
            }
        })
    }

    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        if is_mixed(window, call) {
            return Ok(None);
        }
        if window.samples.histograms.is_empty() {
            return Ok(Some(Value::Float(mean_of(window.samples.floats, call.query)?)));
        }
        let mean = fold_histograms(
            window,
            call,
            |first| HistogramMean::new(first.clone()),
            |mean, histogram| mean.add(histogram),
        )?;
        Ok(mean.map(|mean| Value::Histogram(Arc::new(mean.value()))))
    }
}
