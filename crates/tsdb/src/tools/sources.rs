//! Blocks, and the current head, as sources of series.

use ferula_model::TimeRange;

use crate::Db;
use crate::block::BlockError;
use crate::compact::{BlockSource, SeriesSource};
use crate::head::block_source::{HeadSource, Samples};
use crate::ids::TimeSpan;

/// The samples of the head of `db` in the range. The head must not change until the sources have been
/// read; a database opened by a tool has no writer.
pub fn head_sources(db: &Db, range: TimeRange) -> Result<Vec<Box<dyn SeriesSource + '_>>, BlockError> {
    db.head().move_out_of_order_samples();
    let span = TimeSpan::from(range);
    let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
    for samples in [Samples::OutOfOrder, Samples::InOrder] {
        sources.push(Box::new(HeadSource::new(db.head(), samples, span)));
    }
    Ok(sources)
}

/// Those of `blocks` that may have samples in the range, as sources.
pub fn block_sources<'a>(
    blocks: impl IntoIterator<Item = &'a crate::block::Block>,
    range: TimeRange,
) -> Result<Vec<Box<dyn SeriesSource + 'a>>, BlockError> {
    let mut sources: Vec<Box<dyn SeriesSource + 'a>> = Vec::new();
    for block in blocks {
        if block.meta().overlaps(range.into()) {
            sources.push(Box::new(BlockSource::new(block)?));
        }
    }
    Ok(sources)
}
