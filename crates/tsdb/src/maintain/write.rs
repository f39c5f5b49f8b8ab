//! Writes a block from the head, and publishes it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::Maintained;
use crate::block::{Block, BlockChunk, BlockError, BlockMeta, Ulid, remove_block};
use crate::compact::{SeriesSource, Watch, write_block};
use crate::db::Db;
use crate::head::block_source::HeadSource;
use crate::ids::TimeSpan;
use crate::metrics::ChunkMetrics;

impl Db {
    /// A new block name; its random bits come from the hasher's keys, which the system seeds.
    pub(crate) fn new_ulid(&self, now_ms: i64) -> Ulid {
        let random = |n: u8| u128::from(RandomState::new().hash_one(n));
        Ulid::new(now_ms.max(0) as u64, random(0) << 64 | random(1))
    }

    pub(crate) fn write_head_block(
        &self,
        now_ms: i64,
        source: HeadSource<'_>,
        span: TimeSpan,
        hints: &[&str],
    ) -> Result<Option<BlockMeta>, BlockError> {
        let mut meta = BlockMeta::level_1(self.new_ulid(now_ms), span.start(), span.end());
        hints.iter().for_each(|hint| meta.compaction.set_hint(hint));
        let source: Box<dyn SeriesSource + '_> = Box::new(source);
        self.compaction(1, |watch| {
            write_block(&self.disk, &self.dir, meta, vec![source], &self.block_options(), watch)
        })
    }

    /// Writes one block of this level and measures the time.
    pub(crate) fn compaction<T>(&self, level: u32, write: impl FnOnce(&dyn Watch) -> T) -> T {
        let metrics = &self.maintenance;
        let watch = WatchedWriter { db: self, chunks: (level == 1).then_some(&metrics.chunks) };
        metrics.populating_block.set(1.0);
        let (written, took) = self.options.stopwatch.time(|| write(&watch));
        metrics.populating_block.set(0.0);
        metrics.compactions.inc();
        metrics.compaction_duration.observe_duration(took);
        written
    }

    /// Adds a new block to the view, which also determines the start of the head.
    pub(crate) fn publish(
        &self,
        written: Option<BlockMeta>,
        head_min: i64,
        done: &mut Maintained,
    ) -> Result<(), BlockError> {
        let mut blocks = self.views.get().blocks.to_vec();
        if let Some(meta) = written {
            let dir = self.dir.join(meta.ulid.to_string());
            blocks.push(Arc::new(Block::open(&self.disk, &dir, self.options.access)?));
            done.written.push(meta);
        }
        self.views.publish(blocks, head_min);
        Ok(())
    }

    /// Publishes a block in place of others, which are removed.
    pub(crate) fn replace(
        &self,
        old: &[Ulid],
        written: Option<BlockMeta>,
        done: &mut Maintained,
    ) -> Result<(), BlockError> {
        self.publish(written, i64::MIN, done)?;
        let view = self.views.get();
        let (gone, kept): (Vec<_>, Vec<_>) =
            view.blocks.iter().cloned().partition(|block| old.contains(&block.meta().ulid));
        self.views.publish(kept, i64::MIN);
        for block in gone {
            done.removed.push((block.meta().ulid, None));
            remove_block(&*self.disk, block.dir())?;
        }
        Ok(())
    }
}

/// Lets a block be written as long as the database is open, and counts the chunks of a level-1 block.
struct WatchedWriter<'a> {
    db: &'a Db,
    chunks: Option<&'a ChunkMetrics>,
}

impl Watch for WatchedWriter<'_> {
    fn goes_on(&self) -> bool {
        self.db.head.is_open()
    }

    fn chunk_written(&self, chunk: &BlockChunk) {
        if let Some(chunks) = self.chunks {
            chunks.observe(chunk);
        }
    }
}
