//! `quantile`. Histograms are left out.

use ferula_promql_syntax::ast::Span;

use super::fold::Fold;
use crate::exec::batch::{Batch, RowMut, RowRef};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::scalars::Scalars;
use crate::numeric::quantile::quantile;
use crate::{Annotation, QueryError};

/// `quantile` with its parameter at each step.
pub(super) struct Quantile {
    pub param: Scalars,
    pub span: Span,
}

/// Warns of parameters that are no share.
pub(super) fn annotate(
    param: &Scalars,
    steps: usize,
    span: Span,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    let extremes = param.extremes(steps, query)?;
    if extremes.any_nan {
        query.annotate(Annotation::invalid_quantile(f64::NAN, span));
    }
    if extremes.max > 1.0 {
        query.annotate(Annotation::invalid_quantile(extremes.max, span));
    }
    if extremes.min < 0.0 {
        query.annotate(Annotation::invalid_quantile(extremes.min, span));
    }
    Ok(())
}

impl Fold for Quantile {
    /// All rows of the group.
    type State = Batch;

    fn empty(&self, steps: usize, _query: &QueryContext<'_>) -> Result<Batch, QueryError> {
        Ok(Batch::new(steps))
    }

    fn state_bytes(&self, _steps: usize) -> usize {
        size_of::<Batch>()
    }

    fn add(
        &mut self,
        rows: &mut Batch,
        row: RowRef<'_>,
        _metric_name: &str,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        if row.histograms.is_some_and(|row| !row.steps.is_empty()) {
            query.annotate(Annotation::histogram_ignored_in_aggregation("quantile", self.span));
        }
        query.account.reserve(Batch::bytes_for(1, rows.steps()))?;
        rows.push_copy(0, RowRef { histograms: None, ..row }, query)
    }

    fn finish(
        &mut self,
        rows: Batch,
        out: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let mut present = vec![0; bitmap::words_for(rows.steps())];
        for row in rows.iter() {
            query.work(row.present.len())?;
            bitmap::union(&mut present, row.present);
        }
        query.account.reserve(rows.rows().saturating_mul(8))?;
        let mut values = Vec::with_capacity(rows.rows());
        for step in bitmap::ones(&present) {
            values.clear();
            for row in rows.iter() {
                query.work(1)?;
                values.extend(row.float(step));
            }
            out.set_float(step, quantile(self.param.at(step), &mut values, query)?);
        }
        Ok(())
    }
}
