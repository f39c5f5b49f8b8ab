//! What a database does to itself, when its owner says what time it is: blocks out of the head, larger blocks out of
//! small ones, old blocks away, blocks of others taken in.
//!
//! A block comes out of the head in steps, each of which may be the last before a crash:
//! 1. `min_valid` rises: no in-order sample before the block's end is taken any more; commits under way are waited for.
//! 2. The block is written under a temporary name and renamed.
//! 3. The view is published: new snapshots read the block, and the head only from its end on.
//! 4. When no snapshot from before step 3 is left, the head forgets its chunks, and the log is checkpointed.
//!
//! Nothing waits in step 4: with a long query under way it happens at a later call.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::block::{
    Block, BlockChunk, BlockError, BlockMeta, HINT_OUT_OF_ORDER, Ulid, block_dirs, remove_block,
};
use crate::compact::{
    Compactor, PlanOptions, SeriesSource, Watch, block_ranges, plan, without_waiting, write_block,
};
use crate::db::{Db, Options, WAL_DIR, WBL_DIR};
use crate::head::block_source::{HeadSource, Samples};
use crate::head::{self, range_end};
use crate::ids::TimeSpan;
use crate::metrics::ChunkMetrics;
use crate::retention::{BlockUse, Reason, replaced};
use crate::savepoint::{Moment, SAVEPOINT_DIR};
use crate::stale_series::StaleRemoval;
use crate::wal::WriterOptions;
use crate::wal::checkpoint::{CheckpointStats, Keep, checkpoint, remove_checkpoints, remove_segments};
use crate::wal::format::{list_segments, segment_path};

/// What one call of [`Db::maintain`] did.
#[derive(Debug, Default)]
pub struct Maintained {
    /// Blocks that were written.
    pub written: Vec<BlockMeta>,
    /// Blocks that appeared in the folder and were opened.
    pub opened: usize,
    /// Blocks that were removed, with the reason when it was retention.
    pub removed: Vec<(Ulid, Option<Reason>)>,
    /// Series that left the head.
    pub removed_series: usize,
    /// The head was truncated to this time.
    pub truncated_to: Option<i64>,
    /// The log was checkpointed up to this segment.
    pub checkpoint: Option<(u32, CheckpointStats)>,
    /// Blocks whose folders are gone, though nobody here removed them.
    pub vanished: Vec<Ulid>,
    /// The clock went on by this many milliseconds, or back when negative, and not at its own pace since the last call.
    pub clock_jump_ms: Option<i64>,
    /// What looks wrong and stays as it is. The same at every call, for as long as it lasts.
    pub doubts: Vec<Doubt>,
    /// What failed; all else was done, and it is tried again next time.
    pub errors: Vec<String>,
}

/// Something that looks wrong, but nothing is done about it: a person has to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The newest sample of the head is of the future.
    HeadAhead {
        /// By so many hours.
        hours: i64,
    },
    /// A block begins in the future.
    FutureBlock {
        /// Which one.
        ulid: Ulid,
        /// When it begins, in milliseconds.
        min_time: i64,
    },
    /// Old blocks are kept, because it is not sure that they are old.
    RetentionWaits {
        /// How many.
        blocks: usize,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::HeadAhead { hours } => write!(
                f,
                "the newest sample is {hours}h ahead of the clock: samples of now are refused as out of order or out of bounds until the clock gets there; was it wrong, or is it wrong now?"
            ),
            Doubt::FutureBlock { ulid, min_time } => write!(
                f,
                "block {ulid} begins at {min_time}, ahead of the clock: it is read, but neither says where the head begins nor how old other blocks are"
            ),
            Doubt::RetentionWaits { blocks } => write!(
                f,
                "{blocks} blocks would be deleted for their age if the newest block is right about the time, but that one is ahead of the clock or alone behind a gap of more than a day: they are kept until newer blocks span a day"
            ),
        }
    }
}

/// What a call leaves to the next.
#[derive(Default)]
pub(crate) struct Pending {
    pub truncation: Option<Truncation>,
    late: Option<OutOfOrderTruncation>,
    last_reload: Option<i64>,
    last_call: Option<i64>,
    head_cut: bool,
    /// When a block was cut from the head last.
    pub last_cut: Option<i64>,
    pub stale: Option<StaleRemoval>,
    pub stale_looked: Option<i64>,
    /// Snapshots up to this moment may read chunks of series that are removed.
    pub chunk_files_read: Option<head::Moment>,
    /// When the last savepoint was taken.
    pub saved: Option<Moment>,
}

pub(crate) struct Truncation {
    to: i64,
    /// Snapshots up to this moment read the head as it was.
    moment: head::Moment,
}

struct OutOfOrderTruncation {
    moment: head::Moment,
    /// Out-of-order chunks of each series that are in blocks.
    chunks: Vec<head::MovedOutOfOrder>,
    /// Segments of the out-of-order log up to this one are not needed any more.
    segment: Option<u32>,
}

/// Calls that are further apart than this, though they come every minute, tell of a clock that was set, or of a machine
/// that slept.
const CLOCK_AHEAD_MS: i64 = 3_600_000;
/// A clock is not set back by more than this without a word.
const CLOCK_BACK_MS: i64 = 60_000;

impl Db {
    /// Does what is due at `now_ms`. Call it every minute or so; calls while one is under way return at once.
    pub fn maintain(&self, now_ms: i64) -> Maintained {
        let mut done = Maintained::default();
        let Some(mut pending) = self.pending.try_lock() else { return done };
        self.maintenance.compactions_triggered.inc();
        let mut reload = false;
        let since = pending.last_call.replace(now_ms).map(|last| now_ms.saturating_sub(last));
        done.clock_jump_ms = since.filter(|since| !(-CLOCK_BACK_MS..CLOCK_AHEAD_MS).contains(since));
        self.truncate_if_possible(&mut pending, &mut done);
        while pending.truncation.is_none() && self.head_is_full() {
            if let Err(error) = self.cut_block(now_ms, &mut pending, &mut done) {
                self.maintenance.compactions_failed.inc();
                done.errors.push(format!("compacting the head: {error}"));
                break;
            }
            reload = true;
            self.truncate_if_possible(&mut pending, &mut done);
        }
        if pending.head_cut && pending.truncation.is_none() && pending.late.is_none() {
            pending.head_cut = false;
            if let Err(error) = self.cut_out_of_order_blocks(now_ms, &mut pending, &mut done) {
                done.errors.push(format!("compacting out-of-order samples: {error}"));
            }
            self.truncate_if_possible(&mut pending, &mut done);
        }
        self.compact_stale_series(now_ms, &mut pending, &mut done);
        let due = pending
            .last_reload
            .is_none_or(|last| !(0..self.options.reload_interval_ms).contains(&(now_ms - last)));
        if reload || due {
            pending.last_reload = Some(now_ms);
            self.compact_blocks(now_ms, &mut done);
            self.reload(now_ms, &mut done);
        }
        done.doubts = self.doubts(now_ms);
        self.head.release_slots();
        if let Err(error) = self.head.flush_chunks() {
            done.errors.push(format!("writing head chunks: {error}"));
        }
        done
    }

    /// Whether the head spans more than one and a half blocks, so that [`maintain`](Self::maintain) would cut one.
    /// Cheap enough to be asked after every write.
    pub fn head_is_full(&self) -> bool {
        let range = self.options.min_block_duration_ms;
        self.head
            .in_order_span()
            .some()
            .is_some_and(|span| span.last().saturating_sub(span.start()) > range / 2 * 3)
    }

    /// A name for a block; random bits come from the hasher's keys, which the system seeds.
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

    /// Does the writing of one block of that level, and measures it.
    pub(crate) fn compaction<T>(&self, level: u32, write: impl FnOnce(&dyn Watch) -> T) -> T {
        let metrics = &self.maintenance;
        let watch = Watched { db: self, chunks: (level == 1).then_some(&metrics.chunks) };
        metrics.populating_block.set(1.0);
        let (written, took) = self.options.stopwatch.time(|| write(&watch));
        metrics.populating_block.set(0.0);
        metrics.compactions.inc();
        metrics.compaction_duration.observe_duration(took);
        written
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.head.is_open()
    }

    /// Steps 1 to 3 for the oldest chunk range of the head.
    fn cut_block(&self, now_ms: i64, pending: &mut Pending, done: &mut Maintained) -> Result<(), BlockError> {
        let Some(in_head) = self.head.in_order_span().some() else { return Ok(()) };
        let end = range_end(in_head.start(), self.options.min_block_duration_ms);
        let span = TimeSpan::new(in_head.start(), end);
        self.head.raise_floor(end);
        let source = HeadSource::new(&self.head, Samples::InOrder, span);
        let written = self.write_head_block(now_ms, source, span, &[])?;
        self.publish(written, end, done)?;
        pending.head_cut = true;
        pending.last_cut = Some(now_ms);
        pending.truncation = Some(Truncation { to: end, moment: self.head.end_moment() });
        Ok(())
    }

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

    /// Step 4, once nobody reads what it removes.
    fn truncate_if_possible(&self, pending: &mut Pending, done: &mut Maintained) {
        if let Some(truncation) = &pending.truncation
            && self.head.is_past(truncation.moment)
        {
            let to = truncation.to;
            pending.truncation = None;
            let (truncated, took) = self.options.stopwatch.time(|| self.head.truncate(to));
            self.maintenance.head_gc_duration.observe_duration(took);
            self.maintenance.head_truncations.inc();
            done.removed_series += truncated.series;
            done.truncated_to = Some(to);
            pending.chunk_files_read.take_if(|moment| self.head.is_past(*moment));
            let chunk_files = match pending.chunk_files_read {
                None => self.truncate_chunk_files(),
                // The next truncation removes them.
                Some(_) => Ok(()),
            };
            match chunk_files {
                Ok(()) => {
                    if let Err(error) = self.truncate_log(to, done) {
                        done.errors.push(format!("truncating the log: {error}"));
                    }
                }
                Err(error) => {
                    self.maintenance.head_truncations_failed.inc();
                    done.errors.push(format!("truncating the head's chunk files: {error}"));
                }
            }
        }
        if let Some(late) = pending.late.take_if(|late| self.head.is_past(late.moment)) {
            self.forget_out_of_order(&late, done);
        }
    }

    /// Removes files of `chunks_head` that nobody needs.
    fn truncate_chunk_files(&self) -> io::Result<()> {
        self.head.remove_unused_chunk_files()
    }

    /// Checkpoints two thirds of the log and removes them.
    fn truncate_log(&self, min: i64, done: &mut Maintained) -> io::Result<()> {
        let start = self.options.stopwatch.elapsed();
        let wal = self.dir.join(WAL_DIR);
        self.head.cut_log()?;
        let segments = list_segments(&*self.disk, &wal)?;
        let [first, .., last] = segments.as_slice() else { return Ok(()) };
        // The segment that is being written never goes.
        let Some(last) = last.number.checked_sub(1) else { return Ok(()) };
        let last = first.number + last.saturating_sub(first.number) * 2 / 3;
        if last <= first.number {
            return Ok(());
        }
        let living = self.head.living_refs(min);
        let keep = Keep {
            series: &|series| living.contains(&series),
            min_time: min,
            deleted_from: self.head.deleted_from(min),
        };
        self.maintenance.checkpoint_creations.inc();
        let stats = checkpoint(&self.disk, &wal, last, self.wal_options(), &keep)
            .inspect_err(|_| self.maintenance.checkpoint_creations_failed.inc())?;
        done.checkpoint = Some((last, stats));
        self.update_series_state()?;
        self.maintenance.log_truncations.inc();
        remove_segments(&*self.disk, &wal, last)
            .inspect_err(|_| self.maintenance.log_truncations_failed.inc())?;
        self.maintenance.checkpoint_deletions.inc();
        remove_checkpoints(&*self.disk, &wal, last)
            .inspect_err(|_| self.maintenance.checkpoint_deletions_failed.inc())?;
        let took = self.options.stopwatch.elapsed().saturating_sub(start);
        self.maintenance.log_truncate_duration.observe_duration(took);
        Ok(())
    }

    fn wal_options(&self) -> WriterOptions {
        WriterOptions {
            compression: self.options.wal_compression,
            segment_bytes: self.options.wal_segment_bytes,
        }
    }

    /// Blocks out of the samples that came out of order, one for each chunk range.
    fn cut_out_of_order_blocks(
        &self,
        now_ms: i64,
        pending: &mut Pending,
        done: &mut Maintained,
    ) -> Result<(), BlockError> {
        let Some(out_of_order) = self.head.out_of_order_span().some() else { return Ok(()) };
        let segment = self.head.cut_out_of_order_log();
        let next = segment.map_err(|error| BlockError::io(&self.dir.join(WBL_DIR), error))?;
        let segment = next.and_then(|next| next.checked_sub(1));
        let chunks = self.head.move_out_of_order_samples();
        let range = self.options.min_block_duration_ms;
        let mut start = range_end(out_of_order.start(), range).saturating_sub(range);
        while start <= out_of_order.last() {
            let end = start.saturating_add(range);
            let span = TimeSpan::new(start, end);
            let source = HeadSource::new(&self.head, Samples::OutOfOrder, span);
            let written = self.write_head_block(now_ms, source, span, &[HINT_OUT_OF_ORDER])?;
            self.publish(written, i64::MIN, done)?;
            start = end;
        }
        pending.late = Some(OutOfOrderTruncation { moment: self.head.end_moment(), chunks, segment });
        Ok(())
    }

    fn forget_out_of_order(&self, late: &OutOfOrderTruncation, done: &mut Maintained) {
        let ((), took) = self.options.stopwatch.time(|| self.head.forget_out_of_order_chunks(&late.chunks));
        self.maintenance.head_gc_duration.observe_duration(took);
        let wbl = self.dir.join(WBL_DIR);
        let removed = late.segment.map_or(Ok(()), |last| {
            for segment in list_segments(&*self.disk, &wbl)?.iter().filter(|segment| segment.number <= last) {
                self.disk.remove_file(&segment_path(&wbl, segment.number))?;
            }
            Ok(())
        });
        if let Err(error) = removed {
            let error: io::Error = error;
            done.errors.push(format!("truncating the out-of-order log: {error}"));
        }
    }

    /// Merges blocks for as long as there is something to merge.
    fn compact_blocks(&self, now_ms: i64, done: &mut Maintained) {
        let (min, max) = (self.options.min_block_duration_ms, self.options.max_block_duration_ms);
        let options =
            PlanOptions { ranges: block_ranges(min, max), overlapping: self.options.overlapping_compaction };
        let compactor =
            Compactor { disk: self.disk.clone(), data_dir: self.dir.clone(), options: self.block_options() };
        loop {
            let view = self.views.get();
            // A block of late samples may reach into the time that the head still holds. Merged with others it would
            // look like one that was cut from the head, and the next start would pass over the log of that time.
            let metas: Vec<BlockMeta> = view
                .blocks
                .iter()
                .map(|block| (*block.meta()).clone())
                .filter(|meta| meta.max_time <= view.head_min)
                .collect();
            let metas = match &self.options.delay_compact_file {
                None => metas,
                Some(file) => without_waiting(&*self.disk, file, metas).unwrap_or_else(|(error, metas)| {
                    ferula_telemetry::warn!(
                        "cannot read TSDB upload meta file: no block waits for its upload",
                        component = "tsdb",
                        err = error
                    );
                    metas
                }),
            };
            let chosen = plan(&metas, &options);
            if chosen.is_empty() || !self.goes_on() {
                return;
            }
            let blocks: Vec<&Block> =
                view.blocks.iter().map(|b| &**b).filter(|b| chosen.contains(&b.meta().ulid)).collect();
            if blocks.windows(2).any(|pair| pair[1].meta().min_time < pair[0].meta().max_time) {
                self.maintenance.vertical_compactions.inc();
            }
            let ulid = self.new_ulid(now_ms);
            let compacted = self
                .compaction(2, |watch| compactor.compact(&blocks, ulid, watch))
                .and_then(|written| self.replace(&chosen, written, done));
            if let Err(error) = compacted {
                self.maintenance.compactions_failed.inc();
                done.errors.push(format!("compacting blocks: {error}"));
                return;
            }
        }
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

    /// Takes in blocks that appeared, lets go of those that vanished, and removes those that had their time.
    fn reload(&self, now_ms: i64, done: &mut Maintained) {
        self.maintenance.reloads.inc();
        let before = done.errors.len();
        if let Err(error) = self.try_reload(now_ms, done) {
            done.errors.push(format!("reloading blocks: {error}"));
        }
        if done.errors.len() > before {
            self.maintenance.reloads_failed.inc();
        }
    }

    fn try_reload(&self, now_ms: i64, done: &mut Maintained) -> Result<(), BlockError> {
        let known = self.views.get().blocks;
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        for dir in block_dirs(&*self.disk, &self.dir)? {
            if let Some(block) = known.iter().find(|block| block.dir() == dir) {
                blocks.push(block.clone());
                continue;
            }
            match Block::open(&self.disk, &dir, self.options.access) {
                Ok(block) => {
                    done.opened += 1;
                    blocks.push(Arc::new(block));
                }
                // Nothing is deleted on doubt: the block is left alone, and looked at again next time.
                Err(error) => done.errors.push(format!("opening block: {error}")),
            }
        }
        let gone = known.iter().filter(|block| blocks.iter().all(|kept| kept.dir() != block.dir()));
        done.vanished.extend(gone.map(|block| block.meta().ulid));
        let doomed = self.doomed(now_ms, &blocks);
        blocks.retain(|block| !doomed.iter().any(|(ulid, _)| *ulid == block.meta().ulid));
        self.views.publish(blocks, i64::MIN);
        // Times at which a bound was exceeded are counted, not blocks.
        let exceeded = |bound| doomed.iter().any(|(_, reason)| *reason == Some(bound));
        self.maintenance.time_retentions.add(u64::from(exceeded(Reason::Time)));
        self.maintenance.size_retentions.add(u64::from(exceeded(Reason::Size)));
        for (ulid, reason) in doomed {
            remove_block(&*self.disk, &self.dir.join(ulid.to_string()))?;
            done.removed.push((ulid, reason));
        }
        Ok(())
    }

    /// Blocks that are replaced by others, or that retention lets go.
    fn doomed(&self, now_ms: i64, blocks: &[Arc<Block>]) -> Vec<(Ulid, Option<Reason>)> {
        let metas: Vec<Arc<BlockMeta>> = blocks.iter().map(|block| block.meta()).collect();
        let present: BTreeSet<Ulid> = metas.iter().map(|meta| meta.ulid).collect();
        let mut doomed: Vec<(Ulid, Option<Reason>)> = replaced(metas.iter().map(|meta| &**meta))
            .into_iter()
            .filter(|ulid| present.contains(ulid))
            .map(|ulid| (ulid, None))
            .collect();
        let uses: Vec<BlockUse<'_>> = blocks
            .iter()
            .zip(&metas)
            .filter(|(_, meta)| !doomed.iter().any(|(ulid, _)| *ulid == meta.ulid))
            .map(|(block, meta)| BlockUse { meta, bytes: block.bytes() })
            .collect();
        let retention = *self.retention.lock();
        let filesystem =
            (retention.percentage > 0.0).then(|| self.disk.total_bytes(&self.dir).ok()).flatten();
        if retention.percentage > 0.0 && filesystem.is_none_or(|bytes| bytes == 0) {
            ferula_telemetry::warn!(
                "Unable to retrieve filesystem size of database directory, skip percentage limitation and default to \
                 fixed size limitation",
                component = "tsdb",
                dir = self.dir.display()
            );
        }
        let savepoint = folder_bytes(&*self.disk, &self.dir.join(SAVEPOINT_DIR));
        let other = self.wal_bytes() + self.head.chunk_file_bytes() + savepoint;
        let old = retention.doomed(now_ms, &uses, other, filesystem);
        doomed.extend(old.into_iter().map(|(ulid, reason)| (ulid, Some(reason))));
        doomed
    }

    fn doubts(&self, now_ms: i64) -> Vec<Doubt> {
        const HOUR_MS: i64 = 3_600_000;
        let mut doubts = Vec::new();
        let ahead = self.head.in_order_span().some().map_or(0, |span| span.last().saturating_sub(now_ms));
        if ahead > HOUR_MS {
            doubts.push(Doubt::HeadAhead { hours: ahead / HOUR_MS });
        }
        let metas: Vec<Arc<BlockMeta>> = self.views.get().blocks.iter().map(|block| block.meta()).collect();
        let of_future = metas.iter().filter(|meta| is_of_future(meta, now_ms, &self.options));
        doubts.extend(of_future.map(|meta| Doubt::FutureBlock { ulid: meta.ulid, min_time: meta.min_time }));
        let metas: Vec<&BlockMeta> = metas.iter().map(|meta| &**meta).collect();
        match self.retention.lock().held_back(now_ms, &metas) {
            0 => {}
            blocks => doubts.push(Doubt::RetentionWaits { blocks }),
        }
        doubts
    }

    /// Bytes of the logs with their checkpoints.
    pub fn wal_bytes(&self) -> u64 {
        [WAL_DIR, WBL_DIR].iter().map(|name| folder_bytes(&*self.disk, &self.dir.join(name))).sum()
    }
}

/// Lets a block be written for as long as the database is open, and counts the chunks of a first block.
struct Watched<'a> {
    db: &'a Db,
    chunks: Option<&'a ChunkMetrics>,
}

impl Watch for Watched<'_> {
    fn goes_on(&self) -> bool {
        self.db.goes_on()
    }

    fn chunk_written(&self, chunk: &BlockChunk) {
        if let Some(chunks) = self.chunks {
            chunks.observe(chunk);
        }
    }
}

/// Whether no clock that is right can have led to this block: it begins more than a block's length ahead.
pub(crate) fn is_of_future(meta: &BlockMeta, now_ms: i64, options: &Options) -> bool {
    meta.min_time > now_ms.saturating_add(options.min_block_duration_ms)
}

/// Bytes of all files below a folder; 0 for one that cannot be read.
pub(crate) fn folder_bytes(disk: &dyn crate::disk::Disk, dir: &Path) -> u64 {
    let entries = disk.list(dir).unwrap_or_default();
    entries
        .iter()
        .map(
            |entry| {
                if entry.stat.is_dir { folder_bytes(disk, &dir.join(&entry.name)) } else { entry.stat.bytes }
            },
        )
        .sum()
}
