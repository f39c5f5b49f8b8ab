//! The labels of a selection, as a series table.

use ferula_storage::SelectionId;

use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::exec::series::SeriesTable;

/// What the query's account is charged for an entry of the table and for each of its labels. Labels of the head are
/// shared, but those of blocks are made for the query.
const ENTRY_BYTES: usize = 64;
const LABEL_BYTES: usize = 32;

/// Labels of all rows of a selection, in its order.
pub(crate) fn of_selection(
    selection: SelectionId,
    query: &QueryContext<'_>,
) -> Result<SeriesTable, QueryError> {
    let rows = query.snapshot.series_count(selection);
    query.account.reserve(rows.saturating_mul(ENTRY_BYTES))?;
    let mut table = SeriesTable::new();
    for row in 0..rows {
        let labels = query.snapshot.labels(selection, row);
        query.work(16)?;
        query.account.reserve(labels.len() * LABEL_BYTES)?;
        table.push(labels, false);
    }
    Ok(table)
}
