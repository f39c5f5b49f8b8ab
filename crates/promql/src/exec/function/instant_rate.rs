//! `irate` and `idelta`: the change between the last two samples of a window.

use std::sync::Arc;

use ferula_model::{CounterResetHint, FloatHistogram};

use super::{interpolate, start_time};
use crate::exec::batch::Value;
use crate::exec::select::window::{RangeCall, RangeFunction, Samples, Window};
use crate::{Annotation, QueryError};

/// `irate`.
pub(super) fn irate() -> Box<dyn RangeFunction> {
    Box::new(InstantRate { counter: true })
}

/// `idelta`.
pub(super) fn idelta() -> Box<dyn RangeFunction> {
    Box::new(InstantRate { counter: false })
}

/// `irate` when `counter`, else `idelta`.
struct InstantRate {
    counter: bool,
}

/// One of the last two samples.
struct Point<'a> {
    time: i64,
    start: i64,
    value: Either<'a>,
}

enum Either<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl RangeFunction for InstantRate {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        let Some((before, last)) = last_two(&window.samples) else { return Ok(None) };
        if before.time == last.time {
            return Ok(None);
        }
        let seconds = last.time.wrapping_sub(before.time) as f64 / 1000.0;
        let reset = start_time::is_reset((before.start, before.time), (last.start, last.time));
        Ok(match (before.value, last.value) {
            (Either::Float(a), Either::Float(b)) => {
                let restarted = self.counter && (b < a || reset);
                let change = if restarted { b } else { b - a };
                Some(Value::Float(if self.counter { change / seconds } else { change }))
            }
            (Either::Histogram(a), Either::Histogram(b)) => self
                .histograms(a, b, reset, seconds, call)
                .map(|histogram| Value::Histogram(Arc::new(histogram))),
            _ => {
                call.query.annotate(Annotation::mixed_floats_histograms(call.metric_name(), call.span));
                None
            }
        })
    }

    fn uses_start_timestamps(&self) -> bool {
        self.counter
    }
}

impl InstantRate {
    fn histograms(
        &self,
        a: &FloatHistogram,
        b: &FloatHistogram,
        reset: bool,
        seconds: f64,
        call: &RangeCall<'_>,
    ) -> Option<FloatHistogram> {
        let (query, name, span) = (call.query, call.metric_name(), call.span);
        let gauges = [a, b].map(|histogram| histogram.counter_reset_hint == CounterResetHint::Gauge);
        if self.counter && gauges.contains(&true) {
            query.annotate(Annotation::native_not_counter(name, span));
        }
        if !self.counter && gauges.contains(&false) {
            query.annotate(Annotation::native_not_gauge(name, span));
        }
        let mut change = b.clone();
        if !self.counter || (!reset && !b.detect_reset(a)) {
            interpolate::subtract(&mut change, a, query, name, span)?;
        }
        change.counter_reset_hint = CounterResetHint::Gauge;
        change.compact(0);
        if self.counter {
            change.div(seconds);
        }
        Some(change)
    }
}

/// The two newest samples of either kind, the older first.
fn last_two<'a>(samples: &Samples<'a>) -> Option<(Point<'a>, Point<'a>)> {
    let mut points: Vec<Point<'a>> = Vec::with_capacity(4);
    for at in samples.floats.len().saturating_sub(2)..samples.floats.len() {
        let start = samples.float_starts.get(at).copied().unwrap_or(0);
        points.push(Point { time: samples.float_times[at], start, value: Either::Float(samples.floats[at]) });
    }
    for at in samples.histograms.len().saturating_sub(2)..samples.histograms.len() {
        let start = samples.histogram_starts.get(at).copied().unwrap_or(0);
        let value = Either::Histogram(&samples.histograms[at]);
        points.push(Point { time: samples.histogram_times[at], start, value });
    }
    points.sort_by_key(|point| point.time);
    let last = points.pop()?;
    Some((points.pop()?, last))
}
