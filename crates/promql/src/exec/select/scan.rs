//! The rows of a selection, read in batches: what all leaves of a query share.

use std::ops::Range;

use ferula_storage::{SelectionId, SeriesSamples};

use super::worker::{OneSeries, Task, Worker};
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::scope::Scope;
use crate::exec::select::counts_only::counts_only;
use crate::exec::series::SeriesTable;

/// What the query's account is charged for an entry of the table and for each of its labels. Labels of the head are
/// shared, but those of blocks are made for the query.
const ENTRY_BYTES: usize = 64;
const LABEL_BYTES: usize = 32;

/// The rows of a selection that have not been read yet.
pub(crate) struct Scan {
    selection: SelectionId,
    /// Labels of all rows, in the selection's order; read before the first row is.
    series: SeriesTable,
    started: bool,
    next_row: usize,
    /// Histograms are passed on without their buckets.
    counts_only: bool,
}

impl Scan {
    pub(crate) fn new(selection: SelectionId, counts_only: bool) -> Self {
        Scan { selection, series: SeriesTable::new(), started: false, next_row: 0, counts_only }
    }

    pub(crate) fn series(&self) -> &SeriesTable {
        &self.series
    }

    pub(crate) fn reads_counts_only(&self) -> bool {
        self.counts_only
    }

    /// Reads the labels of all rows before the first row is read.
    pub(super) fn start(&mut self, query: &QueryContext<'_>) -> Result<(), QueryError> {
        if self.started {
            return Ok(());
        }
        self.started = true;
        let rows = query.snapshot.series_count(self.selection);
        query.account.charge(rows.saturating_mul(ENTRY_BYTES))?;
        for row in 0..rows {
            let labels = query.snapshot.labels(self.selection, row);
            query.work(16)?;
            query.account.charge(labels.len() * LABEL_BYTES)?;
            self.series.push(labels, false);
        }
        Ok(())
    }

    /// How many rows are left.
    pub(super) fn left(&self) -> usize {
        self.series.len() - self.next_row
    }

    /// The next rows, at most so many.
    pub(super) fn take(&mut self, rows_max: usize) -> Range<usize> {
        let from = self.next_row;
        self.next_row = self.series.len().min(from + rows_max);
        from..self.next_row
    }

    /// All rows, for several threads.
    pub(super) fn rows(&self) -> Rows<'_> {
        Rows { selection: self.selection, series: &self.series, counts_only: self.counts_only }
    }
}

/// Reads rows of a selection.
pub(super) struct Rows<'a> {
    selection: SelectionId,
    series: &'a SeriesTable,
    counts_only: bool,
}

impl Rows<'_> {
    /// Reads rows and has the worker fill `out` with them. Returns how much work that was.
    pub(super) fn fill<W: Worker>(
        &self,
        rows: Range<usize>,
        worker: &mut W,
        task: Task<'_, W>,
        scope: &Scope,
        query: &QueryContext<'_>,
        out: &mut Batch,
    ) -> Result<u64, QueryError> {
        let mut work = (rows.len() * out.steps()) as u64;
        let mut reduced = SeriesSamples::default();
        query.read_rows(self.selection, rows, task.read.range, |row, samples| {
            let samples = if self.counts_only && !samples.histograms.values.is_empty() {
                counts_only(samples, &task.read.reach, &mut reduced, query)?;
                &reduced
            } else {
                samples
            };
            work += samples.len() as u64;
            let labels = self.series.labels(row);
            worker.row(task.params, &OneSeries { row, labels, samples, scope, query }, out)
        })?;
        Ok(work)
    }
}
