//! Parts that are the same at every step: run on the first step, held for all.

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::{PIECE, QueryContext};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scalars::{BoxScalar, Scalars};
use crate::exec::scope::Scope;
use crate::exec::series::SeriesTable;

/// The operator of a step-invariant vector, which runs in the scope `once`.
pub(crate) fn vector<'q>(inner: BoxOperator<'q>, once: Scope, scope: &Scope) -> BoxOperator<'q> {
    Box::new(StepInvariant { inner, batch: Batch::new(1), once, scope: scope.clone(), finished: false })
}

/// The same for a scalar.
pub(crate) fn scalar<'q>(mut inner: BoxScalar<'q>, once: Scope, scope: &Scope) -> BoxScalar<'q> {
    let scope = scope.clone();
    Box::new(move |query: &QueryContext<'_>| {
        let value = inner.evaluate(query)?;
        absorb(&once, &scope, query)?;
        Ok(Scalars::Constant(if scope.steps() == 0 { f64::NAN } else { value.at(0) }))
    })
}

/// Counts the samples of the one evaluation as if every step had made it.
fn absorb(once: &Scope, scope: &Scope, query: &QueryContext<'_>) -> Result<(), QueryError> {
    for step in 0..scope.steps() {
        query.work(1)?;
        let read = if step == 0 { once.stats.read() } else { 0 };
        scope.stats.add(step, once.stats.total(), read);
    }
    Ok(())
}

struct StepInvariant<'q> {
    inner: BoxOperator<'q>,
    batch: Batch,
    once: Scope,
    scope: Scope,
    finished: bool,
}

impl Operator for StepInvariant<'_> {
    fn series(&self) -> &SeriesTable {
        self.inner.series()
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        if self.finished || !self.inner.next(query, &mut self.batch)? {
            if !self.finished {
                absorb(&self.once, &self.scope, query)?;
            }
            self.finished = true;
            return Ok(false);
        }
        let steps = self.scope.steps();
        let bytes = Batch::bytes_for(self.batch.rows(), steps);
        let _rows = query.account.reserve(bytes)?;
        for row in self.batch.iter().filter(|row| !row.is_empty()) {
            let weight = row.histogram(0).map_or(1, |h| h.sample_weight() as u64);
            query.samples.hold(weight * (steps as u64 - 1))?;
            let mut held = out.push(row.series);
            if let Some(value) = row.float(0) {
                for piece in held.values.chunks_mut(PIECE) {
                    query.work(piece.len())?;
                    piece.fill(value);
                }
                bitmap::fill(held.present, steps);
            } else if let Some(histogram) = row.histogram(0) {
                query.account.charge(steps.saturating_mul(12))?;
                for step in 0..steps {
                    query.work(4)?;
                    held.set_histogram(step, histogram.clone());
                }
            }
        }
        Ok(true)
    }
}
