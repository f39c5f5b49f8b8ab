//! Subqueries: an inner query on its own grid, whose rows become samples of windows.

use std::sync::Arc;

use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_storage::SeriesSamples;

use crate::Grid;
use crate::QueryError;
use crate::exec::batch::{Batch, RowRef};
use crate::exec::context::QueryContext;
use crate::exec::operator::BoxOperator;
use crate::exec::scalars::{Parameters, Scalars};
use crate::exec::scope::Scope;
use crate::exec::series::SeriesTable;
use crate::plan::node::Subquery;

/// The moments at which the inner query of a subquery on `grid` is evaluated: multiples of its step, counted from the
/// epoch, in the union of all windows.
pub(crate) fn inner_grid(subquery: &Subquery, grid: &Grid) -> Grid {
    let step_ms = subquery.step_ms;
    let open = subquery.lookup.time(grid.start_ms).saturating_sub(subquery.range_ms);
    let last_step = grid.steps().saturating_sub(1);
    let end_ms = subquery.lookup.time(grid.time(last_step));
    let mut start_ms = step_ms.saturating_mul(open / step_ms);
    if start_ms <= open {
        start_ms = start_ms.saturating_add(step_ms);
    }
    Grid { start_ms, end_ms, step_ms }
}

/// A running subquery, whose series are taken one by one.
pub(crate) struct SubquerySource<'q> {
    inner: BoxOperator<'q>,
    pub inner_scope: Scope,
    batch: Batch,
    next_in_batch: usize,
    samples: SeriesSamples,
}

impl<'q> SubquerySource<'q> {
    /// `inner` runs in `inner_scope`, whose grid is the [`inner_grid`] of the subquery.
    pub(crate) fn new(inner: BoxOperator<'q>, inner_scope: Scope) -> Self {
        let batch = Batch::new(inner_scope.steps());
        SubquerySource { inner, inner_scope, batch, next_in_batch: 0, samples: SeriesSamples::default() }
    }

    pub(crate) fn series(&self) -> &SeriesTable {
        self.inner.series()
    }

    /// The other, scalar arguments, which Prometheus evaluates after the subquery.
    pub(crate) fn scalars_after<'s>(
        &mut self,
        scalars: &'s mut Parameters<'_>,
        query: &QueryContext<'_>,
    ) -> Result<&'s [Scalars], QueryError> {
        scalars.values_after(&mut *self.inner, self.inner_scope.steps(), query)
    }

    /// Goes to the next series that has samples and says which it is. What hints say about the sample before is
    /// forgotten: inner steps may leave samples out or repeat them.
    pub(crate) fn advance(&mut self, query: &QueryContext<'_>) -> Result<Option<usize>, QueryError> {
        let series = self.advance_keeping_hints(query)?;
        for histogram in &mut self.samples.histograms.values {
            query.work(histogram.sample_weight())?;
            forget_reset_hint(histogram);
        }
        Ok(series)
    }

    /// The same with the hints as they are, for subqueries that are results themselves.
    pub(crate) fn advance_keeping_hints(
        &mut self,
        query: &QueryContext<'_>,
    ) -> Result<Option<usize>, QueryError> {
        loop {
            if self.next_in_batch >= self.batch.rows() {
                if !self.inner.next(query, &mut self.batch)? {
                    return Ok(None);
                }
                self.next_in_batch = 0;
                continue;
            }
            let row = self.batch.row(self.next_in_batch);
            self.next_in_batch += 1;
            if !row.is_empty() {
                let series = row.series;
                let points = row.present.iter().map(|word| word.count_ones() as usize).sum::<usize>();
                let points = points + row.histograms.map_or(0, |row| row.steps.len());
                let had = self.samples.floats.values.capacity() + self.samples.histograms.values.capacity();
                query.account.charge(points.saturating_sub(had).saturating_mul(POINT_BYTES))?;
                take_row(&mut self.samples, row, &self.inner_scope.grid, query)?;
                return Ok(Some(series));
            }
        }
    }

    /// The samples of the series that [`SubquerySource::advance`] went to.
    pub(crate) fn samples(&self) -> &SeriesSamples {
        &self.samples
    }
}

/// Time and value, twice: a column that grows is copied.
const POINT_BYTES: usize = 32;

/// The samples of a row as columns.
fn take_row(
    into: &mut SeriesSamples,
    row: RowRef<'_>,
    grid: &Grid,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    into.clear();
    query.each_one(row.present, |step| {
        into.floats.timestamps.push(grid.time(step));
        into.floats.values.push(row.values[step]);
    })?;
    for (step, histogram) in row.histograms.into_iter().flat_map(|row| row.iter()) {
        query.work(4)?;
        into.histograms.timestamps.push(grid.time(step));
        into.histograms.values.push(histogram.clone());
    }
    Ok(())
}

fn forget_reset_hint(histogram: &mut Arc<FloatHistogram>) {
    if matches!(histogram.counter_reset_hint, CounterResetHint::Reset | CounterResetHint::NotReset) {
        *histogram = Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            ..FloatHistogram::clone(histogram)
        });
    }
}
