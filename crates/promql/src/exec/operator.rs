//! What a node of a running query can do.

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::series::SeriesTable;

/// One node of a running query.
///
/// Rows come in the order in which Prometheus would have the series, each series at most once. A row may
/// be without samples only where its operator says so.
pub(crate) trait Operator {
    /// Labels of the series. Complete before the first batch, except that nodes whose labels depend on samples
    /// add to it while they run.
    fn series(&self) -> &SeriesTable;

    /// Clears `out` and fills it with the next rows; `false` when there are no more. Not called again after that or
    /// after an error.
    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError>;
}

/// An operator of any kind.
pub(crate) type BoxOperator<'q> = Box<dyn Operator + 'q>;

/// No series at all.
#[derive(Debug, Default)]
pub(crate) struct Nothing {
    series: SeriesTable,
}

impl Operator for Nothing {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, _query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        Ok(false)
    }
}

/// Runs an operator to its end and keeps all its rows.
pub(crate) fn collect(
    operator: &mut dyn Operator,
    steps: usize,
    query: &QueryContext<'_>,
) -> Result<Batch, QueryError> {
    let mut all = Batch::new(steps);
    let mut batch = Batch::new(steps);
    while operator.next(query, &mut batch)? {
        query.work(1)?;
        query.account.reserve(batch.bytes())?;
        for row in batch.iter().filter(|row| !row.is_empty()) {
            all.push_copy(row.series, row, query)?;
        }
    }
    Ok(all)
}

/// Hands out the rows of a collected batch.
pub(crate) struct Replay {
    pub series: SeriesTable,
    pub rows: Batch,
    given: usize,
}

impl Replay {
    pub(crate) fn new(series: SeriesTable, rows: Batch) -> Self {
        Replay { series, rows, given: 0 }
    }

    /// The next rows, as [`Operator::next`].
    pub(crate) fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        let end = self.rows.rows().min(self.given + Batch::rows_wanted(self.rows.steps()));
        for index in self.given..end {
            let row = self.rows.row(index);
            out.push_copy(row.series, row, query)?;
        }
        self.given = end;
        Ok(!out.is_empty())
    }
}
