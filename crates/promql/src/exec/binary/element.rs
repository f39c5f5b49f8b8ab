//! What operators do to two samples.

use std::sync::Arc;

use ferula_model::FloatHistogram;
use ferula_model::histogram::Keep;
use ferula_promql_syntax::ast::{BinaryOp, Span};

use crate::Annotation;
use crate::annotations::HistogramOperation;
use crate::exec::batch::Value;
use ferula_go::math;

/// Whether the operator compares.
pub(crate) const fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Gt | BinaryOp::Lt | BinaryOp::Ge | BinaryOp::Le)
}

/// Whether the result is no longer the metric of the left side.
pub(crate) const fn changes_metric(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

/// An arithmetic operator on two floats.
#[inline]
fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => math::pow(a, b),
        BinaryOp::Atan2 => ferula_go::math::atan2(a, b),
        _ => f64::NAN,
    }
}

/// A comparison of two floats.
#[inline]
#[expect(clippy::float_cmp, reason = "equality of floats is what the query asks for")]
pub(crate) fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Gt => a > b,
        BinaryOp::Lt => a < b,
        BinaryOp::Ge => a >= b,
        BinaryOp::Le => a <= b,
        _ => false,
    }
}

/// An operator between two scalars; comparisons give 1 or 0.
pub(crate) fn scalar(op: BinaryOp, a: f64, b: f64) -> f64 {
    if is_comparison(op) { f64::from(u8::from(compare(op, a, b))) } else { arithmetic(op, a, b) }
}

/// What an operator makes of two samples.
pub(crate) enum Outcome {
    /// A result, whether a filtering comparison lets it through, and what the user should know.
    Value { value: Value, keep: bool, annotation: Option<Annotation> },
    /// The two cannot meet; the annotation says why.
    Refused(Annotation),
}

/// An operator between two floats of vectors. Comparisons keep the left value.
#[inline]
pub(crate) fn floats(op: BinaryOp, a: f64, b: f64) -> Option<(f64, bool)> {
    match op {
        BinaryOp::TrimUpper | BinaryOp::TrimLower => None,
        _ if is_comparison(op) => Some((a, compare(op, a, b))),
        _ => Some((arithmetic(op, a, b), true)),
    }
}

/// An operator between any two samples of vectors.
pub(crate) fn samples(op: BinaryOp, left: &Value, right: &Value, span: Span) -> Outcome {
    let refused =
        |left, right| Outcome::Refused(Annotation::incompatible_types(left, op.as_str(), right, span));
    match (left, right) {
        (Value::Float(a), Value::Float(b)) => match floats(op, *a, *b) {
            Some((value, keep)) => Outcome::Value { value: Value::Float(value), keep, annotation: None },
            None => refused("float", "float"),
        },
        (Value::Float(factor), Value::Histogram(h)) => match op {
            BinaryOp::Mul => changed(h, |h| {
                h.mul(*factor);
                h.compact(0);
            }),
            _ => refused("float", "histogram"),
        },
        (Value::Histogram(h), Value::Float(by)) => match op {
            BinaryOp::Mul => changed(h, |h| {
                h.mul(*by);
                h.compact(0);
            }),
            BinaryOp::Div => changed(h, |h| {
                h.div(*by);
                h.compact(0);
            }),
            BinaryOp::TrimUpper => changed(h, |h| h.trim(*by, Keep::Below)),
            BinaryOp::TrimLower => changed(h, |h| h.trim(*by, Keep::Above)),
            _ => refused("histogram", "float"),
        },
        (Value::Histogram(a), Value::Histogram(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => histograms(op, a, b, span),
            BinaryOp::Eq | BinaryOp::Ne => {
                let keep = a.equals(b) == (op == BinaryOp::Eq);
                Outcome::Value { value: Value::Histogram(a.clone()), keep, annotation: None }
            }
            _ => refused("histogram", "histogram"),
        },
    }
}

fn changed(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> Outcome {
    let mut histogram = histogram.clone();
    change(&mut histogram);
    Outcome::Value { value: Value::Histogram(Arc::new(histogram)), keep: true, annotation: None }
}

fn histograms(op: BinaryOp, a: &FloatHistogram, b: &FloatHistogram, span: Span) -> Outcome {
    let mut result = a.clone();
    let (combined, operation) = if op == BinaryOp::Add {
        (result.add(b), HistogramOperation::Addition)
    } else {
        (result.sub(b), HistogramOperation::Subtraction)
    };
    let combined = match combined {
        Ok(combined) => combined,
        Err(_) => return Outcome::Refused(Annotation::incompatible_bucket_layout(op.as_str(), span)),
    };
    if op == BinaryOp::Sub {
        result.counter_reset_hint = ferula_model::CounterResetHint::Gauge;
    }
    if combined.counter_reset_collision {
        // Prometheus reports the collision instead of a value.
        return Outcome::Refused(Annotation::counter_reset_collision(operation, span));
    }
    let annotation =
        combined.bounds_reconciled.then(|| Annotation::custom_buckets_reconciled(operation, span));
    result.compact(0);
    Outcome::Value { value: Value::Histogram(Arc::new(result)), keep: true, annotation }
}
