//! Forgetting what is in blocks: chunks, series without samples, and at last their slots.
//!
//! A series goes in two steps. First nobody finds it any more; its slot and labels stay, because snapshots that were
//! taken before may still read them. When the last of those is gone, the slot is free again.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::{Head, Series, SlotId};

/// What a truncation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    /// Chunks that were forgotten.
    pub chunks: usize,
    /// Series that were removed.
    pub series: usize,
}

/// Removed series whose slots are not free yet.
#[derive(Debug, Default)]
pub(crate) struct Limbo(Vec<(u64, Vec<SlotId>)>);

impl Head {
    /// Forgets in-order samples before `min`, which are in blocks that every snapshot from now on has.
    pub(crate) fn truncate(&self, min: i64) -> Truncated {
        let mut chunks = 0;
        let mut empty = Vec::new();
        let mut oldest = i64::MAX;
        for slot in 0..self.slots.end() {
            let mut series = self.slots.lock(slot);
            if !series.alive {
                continue;
            }
            chunks += series.truncate(min);
            if let Some(first) = series.first() {
                oldest = oldest.min(first);
            }
            if series.is_empty() && series.pending == 0 {
                empty.push(slot);
            }
        }
        let series = self.remove_empty(&empty);
        if oldest.saturating_sub(min) > self.rules.range() {
            // After a gap the head begins later. Nobody may add an older sample while that is found out.
            let _room = self.gate.freeze();
            self.times.min.store(self.oldest_sample().max(min), Ordering::SeqCst);
        } else {
            self.times.min.store(min, Ordering::SeqCst);
        }
        self.forget_deleted(min);
        self.metrics.chunks.add(-(chunks as f64));
        self.metrics.chunks_removed.add(chunks as u64);
        Truncated { chunks, series }
    }

    fn oldest_sample(&self) -> i64 {
        (0..self.slots.end()).filter_map(|slot| self.slots.lock(slot).first()).min().unwrap_or(i64::MAX)
    }

    /// Removes those of `slots`, which rise, that still hold a series without samples.
    fn remove_empty(&self, slots: &[SlotId]) -> usize {
        self.remove_if(slots, |_, series| series.is_empty())
    }

    /// Removes those of `slots`, which rise, whose series may go. Nobody can find a series while it is asked about.
    pub(super) fn remove_if(
        &self,
        slots: &[SlotId],
        mut may_go: impl FnMut(SlotId, &mut Series) -> bool,
    ) -> usize {
        let mut dead = Vec::new();
        let mut index = self.index_mut();
        for slot in slots {
            let mut series = self.slots.lock(*slot);
            // An appender may have come in between; it holds the index while it marks the series.
            if series.alive && series.pending == 0 && may_go(*slot, &mut series) {
                series.alive = false;
                series.generation = series.generation.wrapping_add(1);
                dead.push(*slot);
            }
        }
        if dead.is_empty() {
            return 0;
        }
        index.unlink(&dead);
        drop(index);
        self.forget_metadata(&dead);
        let removed = dead.len();
        self.metrics.series.add(-(removed as f64));
        self.metrics.series_removed.add(removed as u64);
        let moment = self.pins.advance();
        self.limbo.lock().0.push((moment, dead));
        removed
    }

    /// Frees slots of removed series that no snapshot can read any more.
    pub(crate) fn release_slots(&self) {
        let mut limbo = self.limbo.lock();
        let mut free = Vec::new();
        limbo.0.retain_mut(|(moment, slots)| {
            let past = self.pins.is_past(*moment);
            if past {
                free.append(slots);
            }
            !past
        });
        if free.is_empty() {
            return;
        }
        // What was deleted of them is not deleted of who comes into their slots.
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
        let waiting = limbo.0.iter().flat_map(|(_, slots)| slots);
        let mut readable: Vec<SlotId> = index.select(&[]);
        readable.extend(waiting);
        index.compact_lists(&readable);
        self.slots.give_back(&free);
    }

    /// Moves all out-of-order samples in memory to chunks. Says for each series that has some: its slot, its ref, and
    /// how many chunks there are now.
    pub(crate) fn move_late_samples(&self) -> Vec<(SlotId, u64, usize)> {
        let rules = self.rules.now();
        let mut moved = Vec::new();
        for slot in 0..self.slots.end() {
            let mut series = self.slots.lock(slot);
            let log_ref = series.log_ref;
            let Some(late) = &mut series.out_of_order else { continue };
            late.move_to(&rules, log_ref, &self.chunks);
            moved.push((slot, log_ref, late.full_chunks().len()));
        }
        moved
    }

    /// Forgets the out-of-order chunks that [`move_late_samples`](Self::move_late_samples) counted.
    pub(crate) fn forget_late_chunks(&self, moved: &[(SlotId, u64, usize)]) {
        for (slot, log_ref, chunks) in moved {
            let mut series = self.slots.lock(*slot);
            if series.log_ref != *log_ref {
                continue;
            }
            if let Some(late) = &mut series.out_of_order {
                late.forget_chunks(*chunks);
                if late.is_empty() {
                    series.out_of_order = None;
                }
            }
        }
        // Nobody may add a late sample while it is found out where the others begin.
        let _room = self.gate.freeze();
        let bounds =
            (0..self.slots.end()).filter_map(|slot| self.slots.lock(slot).out_of_order.as_ref()?.range());
        let (min, max) =
            bounds.fold((i64::MAX, i64::MIN), |(min, max), (first, last)| (min.min(first), max.max(last)));
        self.times.late_min.store(min, Ordering::SeqCst);
        self.times.late_max.store(max, Ordering::SeqCst);
    }

    /// Refs in the log of all living series, and of label sets' other refs that are used from `min` on.
    pub(crate) fn living_refs(&self, min: i64) -> HashSet<u64> {
        let mut refs: HashSet<u64> = HashSet::new();
        for slot in 0..self.slots.end() {
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

    /// Number of the oldest file of `chunks_head` that a series still has a chunk in.
    pub(crate) fn oldest_chunk_file(&self) -> u32 {
        let mut oldest = self.chunks.current_file();
        for slot in 0..self.slots.end() {
            let series = self.slots.lock(slot);
            let late = series.out_of_order.as_ref().map_or(&[][..], |late| late.full_chunks());
            let places =
                series.full_chunks().map(|(_, chunk)| chunk.place).chain(late.iter().map(|c| c.place));
            oldest = places.map(|place| place.file()).fold(oldest, u32::min);
        }
        oldest
    }
}
