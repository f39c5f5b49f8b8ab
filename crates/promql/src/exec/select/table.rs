//! The labels of a selection, as a series table.

use ferula_storage::SelectionId;

use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::exec::series::SeriesTable;

/// What the query's account is charged for the labels of one series.
const LABELS_BYTES: usize = 128;

/// Labels of all rows of a selection, in its order.
pub(crate) fn of_selection(
    selection: SelectionId,
    query: &QueryContext<'_>,
) -> Result<SeriesTable, QueryError> {
    let rows = query.snapshot.series_count(selection);
    query.account.reserve(rows.saturating_mul(LABELS_BYTES))?;
    let mut table = SeriesTable::new();
    for row in 0..rows {
        if row % 4096 == 0 {
            query.check()?;
        }
        table.push(query.snapshot.labels(selection, row), false);
    }
    Ok(table)
}
