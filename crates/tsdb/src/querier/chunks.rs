//! The chunks of a series as stored, for readers that pass them on.
//!
//! As in Prometheus, a chunk that is entirely in the range and has no deleted samples is returned unchanged. The remaining samples of
//! others, and those of overlapping chunks, are encoded again.

use ferula_model::TimeRange;
use ferula_storage::{StorageError, StoredChunk};

use super::blocks::BlockPart;
use crate::block::{Block, BlockChunk, Interval, Intervals};
use crate::compact::{EncodeOptions, merge, visible};
use crate::head::{FrozenRow, Head};
use crate::ids::TimeSpan;

/// The sources of one series, oldest first.
pub struct ChunkSources {
    /// What chunks must overlap.
    span: TimeSpan,
    /// What is kept of their samples.
    kept: TimeSpan,
    sources: Vec<Vec<BlockChunk>>,
}

fn corrupt(error: impl std::fmt::Display) -> StorageError {
    StorageError::Corrupt(error.to_string())
}

impl ChunkSources {
    /// No source yet.
    pub fn new(range: TimeRange, trimmed: bool) -> Self {
        let kept = if trimmed { range } else { TimeRange::ALL };
        ChunkSources { span: TimeSpan::from(range), kept: TimeSpan::from(kept), sources: Vec::new() }
    }

    /// Adds a series of a block.
    pub fn add_block(&mut self, part: &BlockPart, number: u32) -> Result<(), StorageError> {
        let mut chunks = part.chunks(number, self.span)?;
        let deleted = Block::deleted(part.tombstones(), number).cloned().unwrap_or_default();
        visible(&mut chunks, &deleted, self.kept).map_err(corrupt)?;
        self.sources.push(chunks);
        Ok(())
    }

    /// Adds a series of the head, in-order samples from `head_min` on.
    pub fn add_head(&mut self, head: &Head, row: &FrozenRow, head_min: i64) -> Result<(), StorageError> {
        let mut deleted = Intervals::new();
        for range in head.deleted_of(row) {
            deleted.add(Interval { min: range.start(), max: range.last() });
        }
        let (in_order, out_of_order) = head.chunks_of_row(row, self.span, head_min)?;
        for (mut chunks, kept) in std::iter::once((in_order, self.kept.since(head_min)))
            .chain(out_of_order.into_iter().map(|chunk| (vec![chunk], self.kept)))
        {
            visible(&mut chunks, &deleted, kept).map_err(corrupt)?;
            self.sources.push(chunks);
        }
        Ok(())
    }

    /// The chunks, in order of time.
    pub fn finish(mut self) -> Result<Vec<StoredChunk>, StorageError> {
        self.sources.retain(|chunks| !chunks.is_empty());
        let chunks = match self.sources.len() {
            0 => Vec::new(),
            1 => self.sources.remove(0),
            _ => merge(self.sources, EncodeOptions::default()).map_err(corrupt)?,
        };
        let stored = |chunk: BlockChunk| StoredChunk {
            min_ms: chunk.min_time,
            max_ms: chunk.max_time,
            encoding: chunk.encoding.number(),
            data: chunk.data.to_vec(),
        };
        Ok(chunks.into_iter().map(stored).collect())
    }
}
