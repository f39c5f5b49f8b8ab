//! `min` and `max`. NaN only when all values are; histograms are left out.

use ferula_promql_syntax::ast::Span;

use super::fold::Fold;
use crate::exec::batch::{RowMut, RowRef};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::{Annotation, QueryError};

/// `min` or `max`.
pub(super) struct Extreme {
    name: &'static str,
    /// Whether the second value replaces the first.
    better: fn(f64, f64) -> bool,
    span: Span,
}

impl Extreme {
    pub(super) fn min(span: Span) -> Self {
        Extreme { name: "min", better: |held, value| held > value, span }
    }

    pub(super) fn max(span: Span) -> Self {
        Extreme { name: "max", better: |held, value| held < value, span }
    }
}

impl Fold for Extreme {
    /// Values and presence.
    type State = (Vec<f64>, Vec<u64>);

    fn empty(&self, steps: usize, query: &QueryContext<'_>) -> Result<Self::State, QueryError> {
        // NaN gives way to every value.
        Ok((query.filled(f64::NAN, steps)?, vec![0; bitmap::words_for(steps)]))
    }

    fn state_bytes(&self, steps: usize) -> usize {
        steps.saturating_mul(9)
    }

    fn add(
        &mut self,
        (values, present): &mut Self::State,
        row: RowRef<'_>,
        _metric_name: &str,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        query.each_one(row.present, |step| {
            let (held, value) = (values[step], row.values[step]);
            if !bitmap::get(present, step) || (self.better)(held, value) || held.is_nan() {
                values[step] = value;
            }
        })?;
        bitmap::union(present, row.present);
        if row.histograms.is_some_and(|row| !row.steps.is_empty()) {
            query.annotate(Annotation::histogram_ignored_in_aggregation(self.name, self.span));
        }
        Ok(())
    }

    fn finish(
        &mut self,
        (values, present): Self::State,
        out: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        query.work(values.len() / 8)?;
        out.values.copy_from_slice(&values);
        out.present.copy_from_slice(&present);
        Ok(())
    }
}
