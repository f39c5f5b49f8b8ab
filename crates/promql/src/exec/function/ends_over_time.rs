//! `*_over_time` that take samples of both kinds alike: count, present, first, last, and the times of the ends.

use crate::QueryError;
use crate::exec::batch::Value;
use crate::exec::select::window::{RangeCall, RangeFunction, Samples, Window};

/// `count_over_time`.
pub(super) fn count() -> Box<dyn RangeFunction> {
    Box::new(OfSamples(|s| Value::Float((s.floats.len() + s.histograms.len()) as f64)))
}

/// `present_over_time`.
pub(super) fn present() -> Box<dyn RangeFunction> {
    Box::new(OfSamples(|_| Value::Float(1.0)))
}

/// `ts_of_first_over_time`.
pub(super) fn time_of_first() -> Box<dyn RangeFunction> {
    Box::new(OfSamples(|s| Value::Float(first_time(s) as f64 / 1000.0)))
}

/// `ts_of_last_over_time`.
pub(super) fn time_of_last() -> Box<dyn RangeFunction> {
    Box::new(OfSamples(|s| Value::Float(last_time(s) as f64 / 1000.0)))
}

/// `first_over_time`.
pub(super) fn first() -> Box<dyn RangeFunction> {
    Box::new(EdgeSample(first_sample))
}

/// `last_over_time`.
pub(super) fn last() -> Box<dyn RangeFunction> {
    Box::new(EdgeSample(last_sample))
}

/// A value computed from a window.
struct OfSamples(fn(&Samples<'_>) -> Value);

impl RangeFunction for OfSamples {
    fn window(&mut self, window: &Window<'_>, _call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        Ok(Some((self.0)(&window.samples)))
    }
}

/// A sample of a window, which stays what it is, name included.
struct EdgeSample(fn(&Samples<'_>) -> Value);

impl RangeFunction for EdgeSample {
    fn window(&mut self, window: &Window<'_>, _call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        Ok(Some((self.0)(&window.samples)))
    }

    fn keeps_name(&self) -> bool {
        true
    }
}

fn first_time(samples: &Samples<'_>) -> i64 {
    let ends = [samples.float_times.first(), samples.histogram_times.first()];
    ends.into_iter().flatten().copied().min().unwrap_or(i64::MAX)
}

fn last_time(samples: &Samples<'_>) -> i64 {
    // Prometheus begins at 0: times before the epoch do not come out when one kind is missing.
    let ends = [samples.float_times.last(), samples.histogram_times.last()];
    ends.into_iter().map(|time| time.copied().unwrap_or(0)).max().unwrap_or(0)
}

fn first_sample(samples: &Samples<'_>) -> Value {
    match (samples.float_times.first(), samples.histogram_times.first()) {
        (Some(float), Some(histogram)) if histogram <= float => {
            Value::Histogram(samples.histograms[0].clone())
        }
        (None, Some(_)) => Value::Histogram(samples.histograms[0].clone()),
        _ => Value::Float(samples.floats.first().copied().unwrap_or(f64::NAN)),
    }
}

fn last_sample(samples: &Samples<'_>) -> Value {
    let newest = samples.histograms.last();
    match (samples.float_times.last(), samples.histogram_times.last(), newest) {
        (Some(float), Some(histogram), Some(newest)) if float <= histogram => {
            Value::Histogram(newest.clone())
        }
        (None, _, Some(newest)) => Value::Histogram(newest.clone()),
        _ => Value::Float(samples.floats.last().copied().unwrap_or(f64::NAN)),
    }
}
