//! Reads blocks: the series of a selection and their samples.

use std::sync::Arc;

use ferula_model::{LabelSet, Matcher};
use ferula_storage::{DiskError, SeriesSamples, StorageError};

use super::columns::append_chunk;
use super::identity::{Identities, IdentityCache, identity};
use super::merge::{append, join_at, newest, remove_ranges};
use crate::block::index::{ChunkMeta, SeriesEntry};
use crate::block::{Block, BlockChunk, BlockError, Tombstones};
use crate::ids::TimeSpan;
use crate::postings::Compare;

/// A block with its deletions at the time of the snapshot.
pub struct BlockPart {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    identities: Arc<Identities>,
}

/// Converts a block's error to that of a reader.
pub fn storage_error(error: BlockError) -> StorageError {
    match &error {
        BlockError::Io { source, .. } => StorageError::Io(DiskError::new(source.kind(), &error)),
        _ => StorageError::Corrupt(error.to_string()),
    }
}

impl BlockPart {
    /// The block in its current state.
    pub fn new(block: Arc<Block>, identities: &IdentityCache) -> Self {
        let (tombstones, identities) = (block.tombstones(), identities.of(block.meta().ulid));
        BlockPart { block, tombstones, identities }
    }

    /// The identity of a series, which is the same in all sources.
    pub fn identity(&self, number: u32) -> Result<u128, StorageError> {
        self.identities.get(number, || Ok(identity(self.labels(number)?.iter())))
    }

    /// The block.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Numbers of the matching series that have a chunk in the span, in label order.
    pub fn select(
        &self,
        matchers: &[Matcher],
        span: TimeSpan,
        matches: &Compare<'_>,
    ) -> Result<Vec<u32>, StorageError> {
        let mut numbers = self.block.select_by(matchers, matches).map_err(storage_error)?;
        let mut entry = SeriesEntry::default();
        let mut failed = None;
        numbers.retain(|number| match self.block.series(*number, &mut entry) {
            Ok(()) => entry.chunks.iter().any(|chunk| chunk.span().overlaps(span)),
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        failed.map_or(Ok(numbers), |error| Err(storage_error(error)))
    }

    /// The deletions that held when the snapshot was taken.
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// The chunks of a series that overlap the span, as they are stored.
    pub fn chunks(&self, number: u32, span: TimeSpan) -> Result<Vec<BlockChunk>, StorageError> {
        let mut entry = SeriesEntry::default();
        self.block.series(number, &mut entry).map_err(storage_error)?;
        let inside = entry.chunks.iter().filter(|meta| meta.span().overlaps(span));
        inside.map(|meta| self.block.chunk(*meta).map_err(storage_error)).collect()
    }

    /// Labels of a series.
    pub fn labels(&self, number: u32) -> Result<LabelSet, StorageError> {
        let mut entry = SeriesEntry::default();
        self.block.series(number, &mut entry).map_err(storage_error)?;
        self.block.labels(&entry).map_err(storage_error)
    }

    /// Appends the samples of a series in the span to `out`, which contains those of older sources.
    pub fn read(
        &self,
        number: u32,
        span: TimeSpan,
        entry: &mut SeriesEntry,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        self.block.series(number, entry).map_err(storage_error)?;
        let deleted = Block::deleted(&self.tombstones, number);
        let chunks = || entry.chunks.iter().filter(|meta| meta.span().overlaps(span));
        let first = chunks().next().map(|meta| meta.min_time.max(span.start()));
        let in_order = chunks().zip(chunks().skip(1)).all(|(meta, next)| meta.max_time < next.min_time);
        if deleted.is_none() && in_order && newest(out) < first {
            // Nothing is there yet that these samples could meet.
            let joins = !out.is_empty();
            let histograms = out.histograms.values.len();
            for meta in chunks() {
                self.decode(number, *meta, span, out)?;
            }
            if joins {
                join_at(out, histograms);
            }
            return Ok(());
        }
        let mut samples = SeriesSamples::default();
        let mut last = i64::MIN;
        let mut overlapping = false;
        for meta in chunks() {
            overlapping |= meta.min_time <= last;
            last = last.max(meta.max_time);
            if overlapping {
                let mut one = SeriesSamples::default();
                self.decode(number, *meta, span, &mut one)?;
                append(&mut samples, one);
            } else {
                self.decode(number, *meta, span, &mut samples)?;
            }
        }
        if let Some(deleted) = deleted {
            let ranges: Vec<TimeSpan> =
                deleted.iter().map(|interval| TimeSpan::closed(interval.min, interval.max)).collect();
            remove_ranges(&mut samples, &ranges);
        }
        append(out, samples);
        Ok(())
    }

    /// Appends the samples of one chunk that are in the span.
    fn decode(
        &self,
        number: u32,
        meta: ChunkMeta,
        span: TimeSpan,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        let chunk = self.block.chunk(meta).map_err(storage_error)?;
        append_chunk(chunk.encoding, &chunk.data, u16::MAX, span, out).map_err(|error| {
            StorageError::Corrupt(format!(
                "{}: chunk {:#x} of series {number}: {error}",
                self.block.dir().display(),
                meta.reference
            ))
        })
    }
}
