//! Removes what is in blocks: chunks, series without samples, and finally their slots.
//!
//! A series is removed in two steps. First it can no longer be found; its slot and labels stay, because
//! earlier snapshots may still read them. When the last of these is gone, the slot is freed.

use std::collections::HashSet;

use super::histogram_count::HistogramCount;
use super::{Head, Moment, Series};
use crate::ids::{LogRef, SlotId, TimeSpan};

/// Statistics of a truncation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TruncationCounts {
    pub chunks: usize,
    pub series: usize,
}

/// Removed series whose slots are not free yet, by the moment up to which snapshots may need them.
#[derive(Debug, Default)]
pub(crate) struct RemovedSlots {
    /// Snapshots may read their samples and labels.
    read: Vec<(Moment, Vec<SlotId>)>,
    /// They never had a sample. No cut includes them, so only snapshots without a cut may know their slots.
    selected: Vec<(Moment, Vec<SlotId>)>,
}

impl RemovedSlots {
    fn all(&self) -> impl Iterator<Item = SlotId> {
        self.read.iter().chain(&self.selected).flat_map(|(_, slots)| slots.iter().copied())
    }
}

/// The out-of-order chunks of a series that are in blocks.
#[derive(Debug)]
pub(crate) struct MovedOutOfOrder {
    pub slot: SlotId,
    pub log_ref: LogRef,
    /// Their number, oldest first.
    pub chunks: usize,
    /// The time from their first to their last sample.
    pub span: TimeSpan,
}

impl Head {
    /// Removes in-order samples before `min`, which are in blocks that every future snapshot has.
    pub(crate) fn truncate(&self, min: i64) -> TruncationCounts {
        let mut chunks = 0;
        let mut empty = Vec::new();
        let mut oldest = i64::MAX;
        let mut counted = HistogramCount::default();
        for slot in self.slots.all() {
            let mut series = self.slots.lock(slot);
            if !series.alive {
                continue;
            }
            chunks += counted.around(&mut series, |series| series.truncate(min));
            if let Some(first) = series.first() {
                oldest = oldest.min(first);
            }
            if series.is_empty() && series.pending == 0 {
                empty.push(slot);
            }
        }
        counted.publish(&self.metrics);
        let series = self.remove_empty(&empty);
        if oldest.saturating_sub(min) > self.rules.range() {
            // After a gap, the head begins later. No older sample may be added while this is determined.
            let _room = self.gate.freeze();
            self.times.forget_before(self.oldest_sample().max(min));
        } else {
            self.times.forget_before(min);
        }
        self.forget_deleted(min);
        self.metrics.chunks.add(-(chunks as f64));
        self.metrics.chunks_removed.add(chunks as u64);
        TruncationCounts { chunks, series }
    }

    fn oldest_sample(&self) -> i64 {
        self.slots.all().filter_map(|slot| self.slots.lock(slot).first()).min().unwrap_or(i64::MAX)
    }

    /// Removes those of `slots` (in ascending order) that still hold a series without samples.
    fn remove_empty(&self, slots: &[SlotId]) -> usize {
        self.remove_if(slots, |_, series| series.is_empty())
    }

    /// Removes those of `slots` (in ascending order) that appenders created and that got no samples. Their
    /// unwritten log records are discarded.
    pub(super) fn unmake(&self, slots: &[SlotId]) {
        let mut refs = HashSet::new();
        let mut limbo = self.limbo.lock();
        let gone = self.unlink_if(slots, |_, series| {
            let goes = series.unused && series.is_empty();
            if goes {
                refs.insert(series.log_ref);
            }
            goes
        });
        if gone.is_empty() {
            return;
        }
        limbo.selected.push((self.selecting.advance(), gone));
        drop(limbo);
        self.log.forget_series(&refs);
        // Usually nothing is being selected, and the slots are free for the next series of the same sender.
        self.release_slots();
    }

    /// Removes those of `slots` (in ascending order) whose series may be removed. A series cannot be found
    /// while this is checked.
    pub(super) fn remove_if(
        &self,
        slots: &[SlotId],
        may_go: impl FnMut(SlotId, &mut Series) -> bool,
    ) -> usize {
        let mut limbo = self.limbo.lock();
        let dead = self.unlink_if(slots, may_go);
        let removed = dead.len();
        if removed > 0 {
            limbo.read.push((self.pins.advance(), dead));
        }
        removed
    }

    /// Makes those of `slots` (in ascending order) whose series may be removed impossible to find, and
    /// returns them. The caller holds the limbo lock until they are added to it: a compaction of label lists
    /// keeps only slots that can be found or are in limbo, and would drop those in between.
    fn unlink_if(
        &self,
        slots: &[SlotId],
        mut may_go: impl FnMut(SlotId, &mut Series) -> bool,
    ) -> Vec<SlotId> {
        let mut dead = Vec::new();
        let mut index = self.index_mut();
        for slot in slots {
            let mut series = self.slots.lock(*slot);
            // An appender may have intervened; it holds the index lock while it marks the series.
            if series.alive && series.pending == 0 && may_go(*slot, &mut series) {
                series.alive = false;
                series.generation = series.generation.wrapping_add(1);
                dead.push(*slot);
            }
        }
        if dead.is_empty() {
            return dead;
        }
        index.unlink(&dead);
        drop(index);
        self.metadata.lock().forget(&dead);
        self.metrics.series.add(-(dead.len() as f64));
        self.metrics.series_removed.add(dead.len() as u64);
        dead
    }

    /// Frees slots of removed series that no snapshot can read any more.
    pub(crate) fn release_slots(&self) {
        let mut limbo = self.limbo.lock();
        let mut free = Vec::new();
        let RemovedSlots { read, selected } = &mut *limbo;
        for (waiting, pins) in [(read, &self.pins), (selected, &self.selecting)] {
            waiting.retain_mut(|(moment, slots)| {
                let past = pins.is_past(*moment);
                if past {
                    free.append(slots);
                }
                !past
            });
        }
        if free.is_empty() {
            return;
        }
        // Their deletions must not apply to series that reuse their slots.
        let mut deleted = self.deleted.write();
        free.iter().for_each(|slot| drop(deleted.remove(slot)));
        drop(deleted);
        let mut index = self.index_mut();
        for slot in &free {
            let mut series = self.slots.lock(*slot);
            let generation = series.generation;
            *series = Series::default();
            series.generation = generation;
        }
        index.release(&free);
        if index.lists_are_sparse() {
            let mut readable: Vec<SlotId> = index.select(&[]);
            readable.extend(limbo.all());
            index.compact_lists(&readable);
        }
        self.slots.give_back(&free);
    }

    /// Moves all out-of-order samples in memory to chunks. Returns the number of chunks of each series that
    /// has any.
    pub(crate) fn move_out_of_order_samples(&self) -> Vec<MovedOutOfOrder> {
        let rules = self.rules.now();
        let mut moved = Vec::new();
        for slot in self.slots.all() {
            let mut series = self.slots.lock(slot);
            let log_ref = series.log_ref;
            let Some(samples) = &mut series.out_of_order else { continue };
            samples.move_to(&rules, log_ref, &self.chunks);
            let (chunks, span) = (samples.full_chunks().len(), samples.span());
            moved.push(MovedOutOfOrder { slot, log_ref, chunks, span });
        }
        moved
    }

    /// Drops the out-of-order chunks that [`move_out_of_order_samples`](Self::move_out_of_order_samples)
    /// counted.
    pub(crate) fn forget_out_of_order_chunks(&self, moved: &[MovedOutOfOrder]) {
        for MovedOutOfOrder { slot, log_ref, chunks, .. } in moved {
            let mut series = self.slots.lock(*slot);
            if series.log_ref != *log_ref {
                continue;
            }
            if let Some(samples) = &mut series.out_of_order {
                samples.forget_chunks(*chunks);
                if samples.is_empty() {
                    series.out_of_order = None;
                }
            }
        }
        // Commits must not add such a sample while the start of the remaining ones is determined.
        let _room = self.gate.freeze();
        let spans =
            self.slots.all().filter_map(|slot| Some(self.slots.lock(slot).out_of_order.as_ref()?.span()));
        self.times.set_out_of_order(spans.fold(TimeSpan::EMPTY, TimeSpan::cover));
    }

    /// Refs in the log of all living series, and additional refs of label sets that are used from `min` on.
    pub(crate) fn living_refs(&self, min: i64) -> HashSet<LogRef> {
        let mut refs: HashSet<LogRef> = HashSet::new();
        for slot in self.slots.all() {
            let series = self.slots.lock(slot);
            if series.alive {
                refs.insert(series.log_ref);
            }
        }
        self.departed.lock().forget_before(min);
        let mut extra = self.extra_refs.lock();
        extra.retain(|_, extra| extra.newest >= min);
        refs.extend(extra.keys());
        refs
    }

    /// Number of the oldest file of `chunks_head` with a chunk of any series.
    pub(crate) fn oldest_chunk_file(&self) -> u32 {
        let mut oldest = self.chunks.current_file();
        for slot in self.slots.all() {
            let series = self.slots.lock(slot);
            let out_of_order =
                series.out_of_order.as_ref().map_or(&[][..], |out_of_order| out_of_order.full_chunks());
            let places = series
                .full_chunks()
                .map(|(_, chunk)| chunk.place)
                .chain(out_of_order.iter().map(|c| c.place));
            oldest = places.map(|place| place.file()).fold(oldest, u32::min);
        }
        oldest
    }
}
