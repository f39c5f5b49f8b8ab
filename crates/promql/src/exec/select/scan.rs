//! The rows of a selection, read in batches: what all leaves of a query share.

use ferula_model::{LabelSet, TimeRange};
use ferula_storage::{SelectionId, SeriesSamples};

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::select::counts_only::{ReadWindow, counts_only};
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

    /// Reads rows until one of them is in `out`, a batch at a time. `each` turns the samples of a series into a row, or
    /// into none.
    pub(crate) fn next(
        &mut self,
        range: TimeRange,
        reach: &ReadWindow,
        query: &QueryContext<'_>,
        out: &mut Batch,
        mut each: impl FnMut(usize, &LabelSet, &SeriesSamples, &mut Batch) -> Result<(), QueryError>,
    ) -> Result<bool, QueryError> {
        out.clear();
        if !self.started {
            self.read_labels(query)?;
        }
        let (series, only) = (&self.series, self.counts_only);
        let mut reduced = SeriesSamples::default();
        while out.is_empty() && self.next_row < series.len() {
            query.work(1)?;
            let end = series.len().min(self.next_row + Batch::rows_wanted(out.steps()));
            query.read_rows(self.selection, self.next_row..end, range, |row, samples| {
                if only && !samples.histograms.values.is_empty() {
                    counts_only(samples, reach, &mut reduced, query)?;
                    return each(row, series.labels(row), &reduced, out);
                }
                each(row, series.labels(row), samples, out)
            })?;
            self.next_row = end;
        }
        Ok(!out.is_empty())
    }

    fn read_labels(&mut self, query: &QueryContext<'_>) -> Result<(), QueryError> {
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
}
