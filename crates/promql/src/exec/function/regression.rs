//! `deriv`, `predict_linear` (least squares) and `double_exponential_smoothing`: trends of floats.

use super::over_time::annotate_ignored;
use crate::QueryError;
use crate::exec::batch::Value;
use crate::exec::select::window::{RangeCall, RangeFunction, Window};
use crate::numeric::kahan::Kahan;

/// `deriv`.
pub(super) fn deriv() -> Box<dyn RangeFunction> {
    Box::new(Trend(slope_at_first))
}

/// `predict_linear`.
pub(super) fn predict_linear() -> Box<dyn RangeFunction> {
    Box::new(Trend(predicted))
}

/// `double_exponential_smoothing`.
pub(super) fn smoothing() -> Box<dyn RangeFunction> {
    Box::new(Smoothing)
}

/// A function of at least two floats.
struct Trend(fn(&Window<'_>, &RangeCall<'_>) -> Result<f64, QueryError>);

impl RangeFunction for Trend {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        if !window.samples.floats.is_empty() {
            annotate_ignored(window, call);
        }
        if window.samples.floats.len() < 2 {
            return Ok(None);
        }
        (self.0)(window, call).map(|value| Some(Value::Float(value)))
    }
}

fn slope_at_first(window: &Window<'_>, call: &RangeCall<'_>) -> Result<f64, QueryError> {
    // Times near the samples keep the sums small.
    Ok(linear_regression(window, window.samples.float_times[0], call)?.0)
}

fn predicted(window: &Window<'_>, call: &RangeCall<'_>) -> Result<f64, QueryError> {
    let (slope, intercept) = linear_regression(window, window.at, call)?;
    Ok(slope * call.scalars[0].at(window.step) + intercept)
}

/// Slope per second, and value at `intercept_ms`, of the line through the floats.
#[expect(clippy::float_cmp, reason = "a constant series has equal values")]
fn linear_regression(
    window: &Window<'_>,
    intercept_ms: i64,
    call: &RangeCall<'_>,
) -> Result<(f64, f64), QueryError> {
    let (times, values) = (window.samples.float_times, window.samples.floats);
    let first = values[0];
    let (mut x, mut y, mut xy, mut xx) = (Kahan::ZERO, Kahan::ZERO, Kahan::ZERO, Kahan::ZERO);
    let (mut n, mut constant) = (0.0, true);
    let mut times = times.iter();
    call.query.in_pieces(values, |piece| {
        for (&value, &time) in piece.iter().zip(&mut times) {
            // A NaN differs from itself, but only from the second sample on is anything compared.
            constant = constant && (n == 0.0 || value == first);
            n += 1.0;
            let seconds = time.wrapping_sub(intercept_ms) as f64 / 1e3;
            x = x.plus(seconds);
            y = y.plus(value);
            xy = xy.plus(seconds * value);
            xx = xx.plus(seconds * seconds);
        }
    })?;
    if constant {
        return Ok(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    let (x, y, xy, xx) = (x.value(), y.value(), xy.value(), xx.value());
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    Ok((slope, y / n - slope * x / n))
}

struct Smoothing;

impl RangeFunction for Smoothing {
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError> {
        let (smoothing, trend) = (call.scalars[0].at(window.step), call.scalars[1].at(window.step));
        check_factor("smoothing", "sf", smoothing)?;
        check_factor("trend", "tf", trend)?;
        let values = window.samples.floats;
        if !values.is_empty() {
            annotate_ignored(window, call);
        }
        if values.len() < 2 {
            return Ok(None);
        }
        let (mut before, mut smoothed, mut slope) = (0.0, values[0], values[1] - values[0]);
        for (index, value) in values.iter().enumerate().skip(1) {
            call.query.work(1)?;
            let scaled = smoothing * value;
            if index > 1 {
                slope = trend * (smoothed - before) + (1.0 - trend) * slope;
            }
            let held = (1.0 - smoothing) * (smoothed + slope);
            (before, smoothed) = (smoothed, scaled + held);
        }
        Ok(Some(Value::Float(smoothed)))
    }
}

fn check_factor(word: &str, short: &str, factor: f64) -> Result<(), QueryError> {
    if factor <= 0.0 || factor >= 1.0 {
        return Err(QueryError::Execution(format!(
            "invalid {word} factor. Expected: 0 < {short} < 1, got: {}",
            go_fixed(factor)
        )));
    }
    Ok(())
}

/// Go's `%f`.
fn go_fixed(value: f64) -> String {
    if value.is_infinite() {
        return ferula_go::float::format_f(value);
    }
    format!("{value:.6}")
}
