//! What an operator asks for: deleting series, removing deleted samples for good, copies of the database.

use std::path::Path;

use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_storage::AppendError;

use crate::block::index::SeriesEntry;
use crate::block::{BlockError, BlockMeta, HINT_SELECTED_SERIES, HINT_STALE_SERIES};
use crate::compact::{Compactor, SeriesSource, write_block};
use crate::db::Db;
use crate::head::block_source::{HeadSource, Which};
use crate::head::{Extra, Head};
use crate::maintain::Maintained;
use crate::wal::group::Entry;
use crate::wal::record::{LoggedTombstone, put_tombstones};

impl Db {
    /// Marks the samples in `range` of series that satisfy all matchers of any set as deleted. They are not read any
    /// more; the space is freed by compaction or by [`clean_tombstones`](Self::clean_tombstones).
    pub fn delete(&self, range: TimeRange, matcher_sets: &[Vec<Matcher>]) -> Result<(), BlockError> {
        // No block may be cut meanwhile: it might miss what is being deleted.
        let _maintenance = self.pending.lock();
        let (min, max) = (range.start.millis(), range.end.millis());
        for matchers in matcher_sets {
            for block in self.views.get().blocks.iter().filter(|block| block.meta().overlaps(min, max)) {
                block.delete(min, max, matchers)?;
            }
            let departed = self.departed((min, max), matchers)?;
            let deleted = self.head.delete((min, max), matchers);
            deleted
                .and_then(|()| self.head.log_deletion_of_departed(&departed))
                .map_err(|error| BlockError::Refused(format!("write-ahead log: {error}")))?;
        }
        Ok(())
    }

    /// Series in blocks that do not stand for all series of their time, with what of the range they have. The log may have
    /// their samples too, and would bring them back.
    fn departed(
        &self,
        (min, max): (i64, i64),
        matchers: &[Matcher],
    ) -> Result<Vec<(LabelSet, (i64, i64))>, BlockError> {
        let view = self.views.get();
        let mut departed = Vec::new();
        let mut entry = SeriesEntry::default();
        for block in view.blocks.iter() {
            let meta = block.meta();
            let of_part =
                [HINT_STALE_SERIES, HINT_SELECTED_SERIES].iter().any(|hint| meta.compaction.has_hint(hint));
            if !of_part || !meta.overlaps(min, max) || meta.max_time <= view.head_min {
                continue;
            }
            for number in block.select(matchers)? {
                block.series(number, &mut entry)?;
                let bounds = entry.chunks.first().zip(entry.chunks.last());
                let bounds = bounds.map(|(first, last)| (min.max(first.min_time), max.min(last.max_time)));
                if let Some(range) = bounds.filter(|(first, last)| first <= last) {
                    departed.push((block.labels(&entry)?, range));
                }
            }
        }
        Ok(departed)
    }

    /// Writes the blocks that have deleted samples anew, without them.
    pub fn clean_tombstones(&self, now_ms: i64) -> Result<Maintained, BlockError> {
        let _maintenance = self.pending.lock();
        let (cleaned, took) = self.options.stopwatch.time(|| self.clean_blocks(now_ms));
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
            if let Some(written) = cleaned {
                self.replace(&[block.meta().ulid], written, &mut done)?;
            }
        }
        Ok(done)
    }

    /// Makes a copy of the database in `dir`: blocks as second names of the same files, and with `with_head` a block
    /// of what the head holds.
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
        let Some((min, max)) = self.head.all_times().filter(|_| with_head) else { return Ok(None) };
        self.head.move_late_samples();
        let range = (min, max.saturating_add(1));
        let meta = BlockMeta::level_1(self.new_ulid(now_ms), range.0, range.1);
        let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
        for which in [Which::OutOfOrder, Which::InOrder] {
            sources.push(Box::new(HeadSource::new(&self.head, which, range)));
        }
        self.compaction(1, |watch| write_block(&self.disk, dir, meta, sources, &self.block_options(), watch))
    }
}

impl Head {
    /// Oldest and newest sample of both kinds.
    fn all_times(&self) -> Option<(i64, i64)> {
        use std::sync::atomic::Ordering::SeqCst;
        let times = &self.times;
        let min = times.min.load(SeqCst).min(times.late_min.load(SeqCst));
        let max = times.max.load(SeqCst).max(times.late_max.load(SeqCst));
        (min <= max).then_some((min, max))
    }

    /// Logs deletions of samples that only the log has beside blocks. The log may have lost the series' names to a
    /// checkpoint, so they are logged once more.
    fn log_deletion_of_departed(
        &self,
        departed: &[(LabelSet, (i64, i64))],
    ) -> Result<(), std::sync::Arc<str>> {
        let (mut tombstones, mut pinned, mut refused) = (Vec::new(), Vec::new(), None);
        for (labels, (min, max)) in departed {
            match self.get_or_create(labels) {
                Ok((slot, _)) => {
                    pinned.push(slot);
                    let series = self.slots.lock(slot).log_ref;
                    tombstones.push(LoggedTombstone { series, min: *min, max: *max });
                }
                // At the head's limit the deletion fails; it can be asked for again.
                Err(full) => refused = Some(AppendError::from(full).to_string().into()),
            }
        }
        let logged = self.log_tombstones(&tombstones);
        for slot in pinned {
            self.slots.lock(slot).pending -= 1;
        }
        // The series are empty and will go; their records stay for as long as the tombstones.
        let mut extra = self.extra_refs.lock();
        for tombstone in &tombstones {
            Extra::note(&mut extra, tombstone.series, tombstone.max);
        }
        refused.map_or(logged, Err)
    }

    fn log_tombstones(&self, tombstones: &[LoggedTombstone]) -> Result<(), std::sync::Arc<str>> {
        if tombstones.is_empty() {
            return Ok(());
        }
        let mut entry = Entry::default();
        let mut record = Vec::new();
        put_tombstones(&mut record, tombstones);
        entry.record(record);
        self.log.commit(entry)
    }

    fn delete(&self, (min, max): (i64, i64), matchers: &[Matcher]) -> Result<(), std::sync::Arc<str>> {
        let mut deleted = Vec::new();
        let mut tombstones = Vec::new();
        for slot in self.index().select(matchers) {
            let series = self.slots.lock(slot);
            let in_order = series.first().zip(series.last());
            let late = series.out_of_order.as_ref().and_then(|late| late.range());
            let bounds = in_order.into_iter().chain(late).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
            // Only what is there: a later sample at a deleted time is not deleted.
            let Some((first, last)) = bounds.filter(|(first, last)| *first <= max && min <= *last) else {
                continue;
            };
            let range = (min.max(first), max.min(last));
            deleted.push((slot, range));
            tombstones.push(LoggedTombstone { series: series.log_ref, min: range.0, max: range.1 });
        }
        self.log_tombstones(&tombstones)?;
        for (slot, range) in deleted {
            self.add_deleted(slot, range);
        }
        Ok(())
    }
}
