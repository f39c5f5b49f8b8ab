//! `rate`, `increase`, `delta` with `anchored` or `smoothed`: the change between the ends of the range itself.
//!
//! The window is wider than the range. `anchored` takes the sample at or before the range's start for its value
//! there; `smoothed` takes the values on the lines between the samples around both ends.

use std::sync::Arc;

use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_promql_syntax::ast::RangeExtension;

use super::change::Rate;
use super::interpolate::{self, interpolate, interpolate_histograms};
use crate::Annotation;
use crate::exec::batch::Value;
use crate::exec::select::window::{RangeCall, Window};

/// The value of a window that has samples of one kind only.
pub(super) fn window(rate: Rate, window: &Window<'_>, call: &RangeCall<'_>) -> Option<Value> {
    if window.samples.histograms.is_empty() {
        return floats(rate, window, call).map(Value::Float);
    }
    histograms(rate, window, call).map(|histogram| Value::Histogram(Arc::new(histogram)))
}

/// Indices of the samples that stand at the ends of the range, or around them.
fn ends(times: &[i64], window: &Window<'_>, smoothed: bool) -> Option<(usize, usize)> {
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last].partition_point(|&time| time <= window.range_start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|&time| time < window.range_end);
    }
    let nothing_inside = times[last] <= window.range_start;
    let all_later = smoothed && times[first] > window.range_end;
    (!nothing_inside && !all_later).then_some((first, last))
}

fn floats(rate: Rate, window: &Window<'_>, call: &RangeCall<'_>) -> Option<f64> {
    let smoothed = call.extension == Some(RangeExtension::Smoothed);
    let (times, values) = (window.samples.float_times, window.samples.floats);
    let (mut first, last) = ends(times, window, smoothed)?;
    let point = |at: usize| (times[at], values[at]);
    let left = if smoothed && times[first] < window.range_start {
        interpolate(point(first), point(first + 1), window.range_start, rate.counter)
    } else {
        values[first]
    };
    let right = if smoothed && last > 0 && times[last] > window.range_end {
        interpolate(point(last - 1), point(last), window.range_end, rate.counter)
    } else {
        values[last]
    };
    let mut change = right - left;
    if rate.counter {
        if times[first] <= window.range_start {
            first += 1;
        }
        let inside_end = if times[last] >= window.range_end { last } else { last + 1 };
        change += corrections(left, right, values.get(first..inside_end).unwrap_or(&[]), call)?;
    }
    if rate.per_second {
        change /= call.range_seconds();
    }
    Some(change)
}

/// What restarts between the ends took away.
fn corrections(left: f64, right: f64, inside: &[f64], call: &RangeCall<'_>) -> Option<f64> {
    let (mut correction, mut before) = (0.0, left);
    for &value in inside.iter().chain([&right]) {
        call.query.work(1).ok()?;
        if value < before {
            correction += before;
        }
        before = value;
    }
    Some(correction)
}

fn histograms(rate: Rate, window: &Window<'_>, call: &RangeCall<'_>) -> Option<FloatHistogram> {
    let (query, name, span) = (call.query, call.metric_name(), call.span);
    let smoothed = call.extension == Some(RangeExtension::Smoothed);
    let (times, values) = (window.samples.histogram_times, window.samples.histograms);
    let (first, last) = ends(times, window, smoothed)?;
    check_kinds(rate, &values[first..=last], call)?;
    let point = |at: usize| (times[at], &*values[at]);
    let left = if smoothed && times[first] < window.range_start {
        let between = (point(first), point(first + 1));
        interpolate_histograms(between, window.range_start, rate.counter, query, name, span)?
    } else {
        FloatHistogram::clone(&values[first])
    };
    let right = if smoothed && last > 0 && times[last] > window.range_end {
        let between = (point(last - 1), point(last));
        interpolate_histograms(between, window.range_end, rate.counter, query, name, span)?
    } else {
        FloatHistogram::clone(&values[last])
    };
    let is_gauge = |histogram: &FloatHistogram| histogram.counter_reset_hint == CounterResetHint::Gauge;
    if !rate.counter && (!is_gauge(&left) || !is_gauge(&right)) {
        query.annotate(Annotation::native_not_gauge(name, span));
    }
    let mut change = right.clone();
    interpolate::subtract(&mut change, &left, query, name, span)?;
    if rate.counter {
        let skip_first = smoothed
            && times[first] < window.range_start
            && values.get(first + 1).is_some_and(|next| next.detect_reset(&values[first]));
        if let Some(correction) =
            histogram_corrections(&left, &right, &values[first..=last], skip_first, call)?
        {
            interpolate::add(&mut change, &correction, query, name, span)?;
        }
    }
    if rate.per_second {
        change.div(call.range_seconds());
    }
    change.counter_reset_hint = CounterResetHint::Gauge;
    change.compact(0);
    Some(change)
}

/// `None`, with a warning, when exponential and custom buckets meet.
fn check_kinds(rate: Rate, values: &[Arc<FloatHistogram>], call: &RangeCall<'_>) -> Option<()> {
    let (query, name, span) = (call.query, call.metric_name(), call.span);
    let custom = values.first()?.uses_custom_buckets();
    for histogram in values {
        query.work(1).ok()?;
        if histogram.uses_custom_buckets() != custom {
            query.annotate(Annotation::mixed_exponential_custom(name, span));
            return None;
        }
        if rate.counter && histogram.counter_reset_hint == CounterResetHint::Gauge {
            query.annotate(Annotation::native_not_counter(name, span));
        }
    }
    Some(())
}

/// What restarts between the ends took away. The first and the last sample are represented by the ends; with
/// `skip_first` the left end already took the restart after the first sample into account.
fn histogram_corrections(
    left: &FloatHistogram,
    right: &FloatHistogram,
    values: &[Arc<FloatHistogram>],
    skip_first: bool,
    call: &RangeCall<'_>,
) -> Option<Option<FloatHistogram>> {
    let mut before = left;
    let mut from = 1;
    if skip_first {
        before = &values[1];
        from = 2;
    }
    let to = values.len() - 1;
    if from > to {
        return Some(None);
    }
    let mut correction: Option<FloatHistogram> = None;
    let inside = values[from..to].iter().map(|histogram| &**histogram);
    for histogram in inside.chain([right]) {
        call.query.work(histogram.sample_weight()).ok()?;
        if histogram.detect_reset(before) {
            match &mut correction {
                None => correction = Some(before.clone()),
                Some(sum) => {
                    interpolate::add(sum, before, call.query, call.metric_name(), call.span)?;
                }
            }
        }
        before = histogram;
    }
    Some(correction)
}
