//! Duration expressions: `[5m * 2]`, `offset step()`. Known as soon as the grid of the query is.

use ferula_promql_syntax::ast::{BinaryOp, DurationExpr, DurationExprKind, DurationValue, UnaryOp};

use crate::QueryError;

/// What durations may refer to, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryTimes {
    /// The step of a range query; 0 in an instant query.
    pub step_seconds: f64,
    /// From the first to the last moment of the query.
    pub range_seconds: f64,
}

/// A duration in milliseconds. Ranges and steps must be positive, offsets may have any sign.
pub(super) fn millis(
    value: &DurationValue,
    times: QueryTimes,
    may_be_negative: bool,
) -> Result<i64, QueryError> {
    let expr = match value {
        DurationValue::Millis(ms) => return Ok(*ms),
        DurationValue::Expr(expr) => expr,
    };
    let seconds = seconds(expr, times)?;
    if !seconds.is_finite() {
        return Err(at(expr, "duration is NaN or infinite"));
    }
    if seconds <= 0.0 && !may_be_negative {
        return Err(at(expr, "duration must be greater than 0"));
    }
    // Prometheus keeps durations as nanoseconds in 64 bits.
    const SECONDS_MAX: f64 = 9_223_372_036_854_775_808.0 / 1e9;
    if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
        return Err(at(expr, "duration is out of range"));
    }
    Ok((seconds * 1000.0) as i64)
}

fn at(expr: &DurationExpr, text: &str) -> QueryError {
    QueryError::Parse(format!("{}:{}: {text}", expr.span.start, expr.span.end))
}

fn seconds(expr: &DurationExpr, times: QueryTimes) -> Result<f64, QueryError> {
    Ok(match &expr.kind {
        DurationExprKind::Number(number) => number.value,
        DurationExprKind::Step => times.step_seconds,
        DurationExprKind::Range => times.range_seconds,
        DurationExprKind::Unary(UnaryOp::Plus, inner) => seconds(inner, times)?,
        DurationExprKind::Unary(UnaryOp::Minus, inner) => -seconds(inner, times)?,
        DurationExprKind::MinOf(a, b) => ferula_go::math::min(seconds(a, times)?, seconds(b, times)?),
        DurationExprKind::MaxOf(a, b) => ferula_go::math::max(seconds(a, times)?, seconds(b, times)?),
        DurationExprKind::Binary(op, a, b) => {
            let (a, b) = (seconds(a, times)?, seconds(b, times)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 => return Err(at(expr, "division by zero")),
                BinaryOp::Div => a / b,
                BinaryOp::Mod if b == 0.0 => return Err(at(expr, "modulo by zero")),
                BinaryOp::Mod => a % b,
                BinaryOp::Pow => ferula_go::math::pow(a, b),
                _ => return Err(at(expr, "unexpected duration expression operator")),
            }
        }
    })
}
