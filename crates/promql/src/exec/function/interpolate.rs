//! Values between two samples, for `anchored` and `smoothed`.

use ferula_model::FloatHistogram;
use ferula_promql_syntax::ast::Span;

use crate::Annotation;
use crate::annotations::HistogramOperation;
use crate::exec::context::QueryContext;

/// The value at `moment` on the line through two points. A counter that fell between them counts as starting from 0.
pub(crate) fn interpolate(before: (i64, f64), after: (i64, f64), moment: i64, is_counter: bool) -> f64 {
    let (low, high) = (before.1, after.1);
    let low = if is_counter && high < low { 0.0 } else { low };
    low + (high - low) * moment.wrapping_sub(before.0) as f64 / after.0.wrapping_sub(before.0) as f64
}

/// The same for histograms. `None`, and an annotation, when the two cannot be combined.
pub(crate) fn interpolate_histograms(
    between: ((i64, &FloatHistogram), (i64, &FloatHistogram)),
    moment: i64,
    is_counter: bool,
    query: &QueryContext<'_>,
    metric_name: &str,
    span: Span,
) -> Option<FloatHistogram> {
    let ((before_time, before), (after_time, after)) = between;
    if moment == before_time {
        return Some(before.clone());
    }
    if moment == after_time {
        return Some(after.clone());
    }
    let fraction = moment.wrapping_sub(before_time) as f64 / after_time.wrapping_sub(before_time) as f64;
    let mut result = after.clone();
    if is_counter && after.detect_reset(before) {
        result.mul(fraction);
        return Some(result);
    }
    subtract(&mut result, before, query, metric_name, span)?;
    result.mul(fraction);
    add(&mut result, before, query, metric_name, span)?;
    Some(result)
}

/// `base += other` with the annotations that belong to it; `None` when the two cannot be combined.
pub(crate) fn add(
    base: &mut FloatHistogram,
    other: &FloatHistogram,
    query: &QueryContext<'_>,
    metric_name: &str,
    span: Span,
) -> Option<()> {
    let combined = base.add(other);
    annotate(combined, HistogramOperation::Addition, query, metric_name, span)
}

/// `base -= other` with the annotations that belong to it; `None` when the two cannot be combined.
pub(crate) fn subtract(
    base: &mut FloatHistogram,
    other: &FloatHistogram,
    query: &QueryContext<'_>,
    metric_name: &str,
    span: Span,
) -> Option<()> {
    let combined = base.sub(other);
    annotate(combined, HistogramOperation::Subtraction, query, metric_name, span)
}

fn annotate(
    combined: Result<ferula_model::histogram::Combined, ferula_model::histogram::HistogramError>,
    operation: HistogramOperation,
    query: &QueryContext<'_>,
    metric_name: &str,
    span: Span,
) -> Option<()> {
    match combined {
        Ok(combined) => {
            if combined.bounds_reconciled {
                query.annotate(Annotation::custom_buckets_reconciled(operation, span));
            }
            Some(())
        }
        Err(_) => {
            query.annotate(Annotation::mixed_exponential_custom(metric_name, span));
            None
        }
    }
}
