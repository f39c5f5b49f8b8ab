//! `stddev` and `stdvar` of the population, after Welford. Histograms are left out.

use ferula_promql_syntax::ast::Span;

use super::fold::Fold;
use crate::exec::batch::{RowMut, RowRef};
use crate::exec::context::QueryContext;
use crate::{Annotation, QueryError};

/// `stddev` when `root`, else `stdvar`.
pub(super) struct Deviation {
    pub root: bool,
    pub span: Span,
}

/// Welford's state at one step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
}

impl Fold for Deviation {
    type State = Vec<Spread>;

    fn empty(&self, steps: usize, query: &QueryContext<'_>) -> Result<Vec<Spread>, QueryError> {
        query.filled(Spread::default(), steps)
    }

    fn state_bytes(&self, steps: usize) -> usize {
        steps.saturating_mul(size_of::<Spread>())
    }

    fn add(
        &mut self,
        state: &mut Vec<Spread>,
        row: RowRef<'_>,
        _metric_name: &str,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        query.each_one(row.present, |step| state[step].add(row.values[step]))?;
        if row.histograms.is_some_and(|row| !row.steps.is_empty()) {
            let name = if self.root { "stddev" } else { "stdvar" };
            query.annotate(Annotation::histogram_ignored_in_aggregation(name, self.span));
        }
        Ok(())
    }

    fn finish(
        &mut self,
        state: Vec<Spread>,
        out: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        for (step, spread) in state.into_iter().enumerate() {
            query.work(1)?;
            if spread.count == 0.0 {
                continue;
            }
            let variance = spread.squares / spread.count;
            out.set_float(step, if self.root { variance.sqrt() } else { variance });
        }
        Ok(())
    }
}
