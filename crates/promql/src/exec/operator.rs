//! What a node of a running query can do.

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::series::{SeriesEntry, SeriesTable, labels_bytes};

/// One node of a running query.
///
/// Rows come in the order in which Prometheus would have the series, each series at most once. A row may
/// be without samples only where its operator says so.
pub(crate) trait Operator {
    /// Labels of the series that rows so far point to, and mostly of all others. Empty before the first batch.
    fn series(&self) -> &SeriesTable;

    /// Clears `out` and fills it with the next rows; `false` if there are no more. Not called again after that or
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

/// Fails when its first row is requested: what cannot be built is an error of its place in the query, and what
/// Prometheus evaluates before that place comes first.
pub(crate) struct Failing {
    error: QueryError,
    series: SeriesTable,
}

impl Failing {
    pub(crate) fn new(error: QueryError) -> Self {
        Failing { error, series: SeriesTable::new() }
    }
}

impl Operator for Failing {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, _query: &QueryContext<'_>, _out: &mut Batch) -> Result<bool, QueryError> {
        Err(self.error.clone())
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
        query.account.charge(batch.bytes())?;
        for row in batch.iter().filter(|row| !row.is_empty()) {
            all.push_copy(row.series, row, query)?;
        }
    }
    Ok(all)
}

/// What an entry of a table takes whose labels are shared.
const ENTRY_BYTES: usize = 16;

/// Hands out the rows of a collected batch.
#[derive(Debug)]
pub(crate) struct Replay {
    pub series: SeriesTable,
    pub rows: Batch,
    given: usize,
}

impl Replay {
    pub(crate) fn new(series: SeriesTable, rows: Batch) -> Self {
        Replay { series, rows, given: 0 }
    }

    /// Rows that point into the table of the operand that they came from.
    pub(crate) fn of_operand(
        series: &SeriesTable,
        rows: Batch,
        query: &QueryContext<'_>,
    ) -> Result<Self, QueryError> {
        query.account.charge(series.len().saturating_mul(ENTRY_BYTES))?;
        Ok(Replay::new(series.clone(), rows))
    }

    /// What it takes, labels included: those of a result may be shared with nothing.
    pub(crate) fn bytes(&self) -> usize {
        let entry = |entry: &SeriesEntry| ENTRY_BYTES + labels_bytes(&entry.labels);
        self.series.since(0).iter().map(entry).fold(self.rows.bytes(), usize::saturating_add)
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
