//! Blocks, and the head as it is now, as sources of series.

use crate::Db;
use crate::block::BlockError;
use crate::compact::{BlockSource, SeriesSource};
use crate::head::block_source::{HeadSource, Which};

/// The samples of the head of `db` in `[min, max]`. The head must not change until the sources are read; a
/// database that was opened for a tool has no writer.
pub fn head_sources(db: &Db, (min, max): (i64, i64)) -> Result<Vec<Box<dyn SeriesSource + '_>>, BlockError> {
    db.head().move_late_samples();
    let range = (min, max.saturating_add(1));
    let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
    for which in [Which::OutOfOrder, Which::InOrder] {
        sources.push(Box::new(HeadSource::new(db.head(), which, range)));
    }
    Ok(sources)
}

/// The blocks among `blocks` that may have samples in `[min, max]`, as sources.
pub fn block_sources<'a>(
    blocks: impl IntoIterator<Item = &'a crate::block::Block>,
    (min, max): (i64, i64),
) -> Result<Vec<Box<dyn SeriesSource + 'a>>, BlockError> {
    let mut sources: Vec<Box<dyn SeriesSource + 'a>> = Vec::new();
    for block in blocks {
        if block.meta().overlaps(min, max) {
            sources.push(Box::new(BlockSource::new(block)?));
        }
    }
    Ok(sources)
}
