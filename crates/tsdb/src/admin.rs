//! Administrative operations: deleting series, removing deleted samples from disk, backups.

use std::path::Path;

use ferula_model::{LabelSet, Matcher, TimeRange, Timestamp};

use crate::block::index::SeriesEntry;
use crate::block::{Block, BlockError, BlockMeta, HINT_SELECTED_SERIES, HINT_STALE_SERIES};
use crate::compact::{Compactor, SeriesSource, write_block};
use crate::db::Db;
use crate::head::DeleteError;
use crate::head::block_source::{HeadSource, Samples};
use crate::head::range_end;
use crate::ids::TimeSpan;
use crate::maintain::Maintained;

impl Db {
    /// Marks the samples in `range` as deleted for all series that match any of the matcher sets. They are no
    /// longer returned by reads; compaction or [`clean_tombstones`](Self::clean_tombstones) frees the space.
    pub fn delete(&self, range: TimeRange, matcher_sets: &[Vec<Matcher>]) -> Result<(), DeleteError> {
        // No block may be cut meanwhile: it might miss what is being deleted.
        let _maintenance = self.pending.lock();
        let span = TimeSpan::from(range);
        for matchers in matcher_sets {
            for block in self.views.get().blocks.iter().filter(|block| block.meta().overlaps(span)) {
                block.delete(span, matchers)?;
            }
            let departed = self.departed(span, matchers)?;
            self.head.delete(span, matchers)?;
            self.head.log_deletion_of_departed(&departed)?;
        }
        Ok(())
    }

    /// Series in blocks that hold only a part of the series of their time, with the part of the range that
    /// they have. The log may have their samples too, and a replay would restore them.
    fn departed(
        &self,
        span: TimeSpan,
        matchers: &[Matcher],
    ) -> Result<Vec<(LabelSet, TimeSpan)>, BlockError> {
        let view = self.views.get();
        let mut departed = Vec::new();
        let mut entry = SeriesEntry::default();
        for block in view.blocks.iter() {
            let meta = block.meta();
            let of_part =
                [HINT_STALE_SERIES, HINT_SELECTED_SERIES].iter().any(|hint| meta.compaction.has_hint(hint));
            if !of_part || !meta.overlaps(span) || meta.max_time <= view.head_min {
                continue;
            }
            for number in block.select(matchers)? {
                block.series(number, &mut entry)?;
                if let Some(hit) = entry.span().intersect(span).some() {
                    departed.push((block.labels(&entry)?, hit));
                }
            }
        }
        Ok(departed)
    }

    /// Rewrites the blocks that have deleted samples, without them.
    pub fn clean_tombstones(&self, now: Timestamp) -> Result<Maintained, BlockError> {
        let _maintenance = self.pending.lock();
        let (cleaned, took) = self.options.stopwatch.time(|| self.clean_blocks(now.millis()));
        self.maintenance.tombstone_cleanup.observe_duration(took);
        cleaned
    }

    fn clean_blocks(&self, now_ms: i64) -> Result<Maintained, BlockError> {
        let mut done = Maintained::default();
        let compactor =
            Compactor { disk: self.disk.clone(), data_dir: self.dir.clone(), options: self.block_options() };
        for block in self.views.get().blocks.iter() {
            let ulid = self.new_ulid(now_ms);
            if block.tombstones().is_empty() {
                continue;
            }
            let cleaned = self.compaction(1, |watch| compactor.clean_tombstones(block, ulid, watch))?;
            // Without the newest block a start would take from the log what that block had.
            if let Some(written) = cleaned.filter(|written| written.is_some() || !self.ends_the_blocks(block))
            {
                self.replace(&[block.meta().ulid], written, &mut done)?;
            }
        }
        Ok(done)
    }

    /// Whether the head begins at the end of this block.
    pub(crate) fn ends_the_blocks(&self, block: &Block) -> bool {
        block.meta().max_time >= self.views.get().head_min
    }

    /// Creates a backup of the database in `dir`: blocks as hard links to the same files, and with
    /// `with_head` a block with the content of the head.
    pub fn snapshot_to(
        &self,
        dir: &Path,
        with_head: bool,
        now_ms: i64,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let _maintenance = self.pending.lock();
        self.disk.create_dir_all(dir).map_err(|error| BlockError::io(dir, error))?;
        for block in self.views.get().blocks.iter() {
            block.snapshot(dir)?;
        }
        let span = self.head.in_order_span().cover(self.head.out_of_order_span());
        if span.is_empty() || !with_head {
            return Ok(None);
        }
        self.head.move_out_of_order_samples();
        let meta = BlockMeta::level_1(self.new_ulid(now_ms), span.start(), span.end());
        let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
        for samples in [Samples::OutOfOrder, Samples::InOrder] {
            sources.push(Box::new(HeadSource::new(&self.head, samples, span)));
        }
        self.compaction(1, |watch| write_block(&self.disk, dir, meta, sources, &self.block_options(), watch))
    }

    /// Writes blocks of all that the head holds up to `until_ms`, one for each range of a block, and publishes none of them:
    /// the head is to be forgotten.
    pub(crate) fn write_head_until(&self, until_ms: i64) -> Result<Vec<BlockMeta>, BlockError> {
        let _maintenance = self.pending.lock();
        let all = self.head.in_order_span().cover(self.head.out_of_order_span());
        self.head.move_out_of_order_samples();
        let range = self.options.min_block_duration_ms;
        let end = all.end().min(until_ms.saturating_add(1));
        let (mut start, mut written) = (all.start(), Vec::new());
        while start < end {
            let next = range_end(start, range).min(end);
            let span = TimeSpan::new(start, next);
            let meta = BlockMeta::level_1(self.new_ulid(until_ms), start, next);
            let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
            for samples in [Samples::OutOfOrder, Samples::InOrder] {
                sources.push(Box::new(HeadSource::new(&self.head, samples, span)));
            }
            written.extend(self.compaction(1, |watch| {
                write_block(&self.disk, &self.dir, meta, sources, &self.block_options(), watch)
            })?);
            start = next;
        }
        Ok(written)
    }
}
