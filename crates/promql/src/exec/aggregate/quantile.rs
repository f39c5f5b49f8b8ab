//! `quantile`. Histograms are left out.

use ferula_promql_syntax::ast::Span;

use super::fold::Fold;
use crate::exec::batch::{Batch, RowMut, RowRef};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::scalars::{BoxScalar, Scalars};
use crate::numeric::quantile::quantile;
use crate::{Annotation, QueryError};

/// `quantile` with its parameter at each step.
pub(super) struct Quantile<'q> {
    pending: Option<BoxScalar<'q>>,
    param: Scalars,
    param_span: Span,
    span: Span,
}

impl<'q> Quantile<'q> {
    pub(super) fn new(param: BoxScalar<'q>, param_span: Span, span: Span) -> Self {
        Quantile { pending: Some(param), param: Scalars::Constant(f64::NAN), param_span, span }
    }
}

impl Fold for Quantile<'_> {
    fn start(&mut self, query: &QueryContext<'_>) -> Result<(), QueryError> {
        if let Some(mut param) = self.pending.take() {
            self.param = param.evaluate(query)?;
        }
        Ok(())
    }

    /// Warns of parameters outside 0..1. This comes after the rows, so that of two quantiles the outer one is named.
    fn rows_ended(&mut self, steps: usize, query: &QueryContext<'_>) -> Result<(), QueryError> {
        let extremes = self.param.extremes(steps, query)?;
        let warn = |share: f64| query.annotate(Annotation::invalid_quantile(share, self.param_span));
        if extremes.any_nan {
            warn(f64::NAN);
        }
        if extremes.max > 1.0 {
            warn(extremes.max);
        }
        if extremes.min < 0.0 {
            warn(extremes.min);
        }
        Ok(())
    }

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
        query.account.charge(Batch::bytes_for(1, rows.steps()))?;
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
        query.account.charge(rows.rows().saturating_mul(8))?;
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
