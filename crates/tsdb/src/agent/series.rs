//! Series of an agent: labels, the ref in the log, and the newest time. 24 bytes each beside the labels.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use ferula_model::{LabelSet, SeriesRef};
use ferula_storage::AppendError;

use crate::head::{Index, SLOTS_MAX, handle, split};
use crate::ids::{LogRef, SlotId};

/// One series.
pub struct Series {
    pub log_ref: LogRef,
    /// Time of its newest sample in milliseconds; `i64::MIN` without one.
    pub newest_ms: AtomicI64,
    /// How many times appenders that are not done use it.
    pub pending: AtomicU32,
    /// How many series had the slot before.
    generation: u32,
}

/// All series, by slot, by handle and by labels.
#[derive(Default)]
pub struct AllSeries {
    index: Index,
    slots: Vec<Series>,
    free: Vec<SlotId>,
    /// The newest ref that was given out, or that the log names.
    newest_ref: u64,
}

impl AllSeries {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.index.series_count()
    }

    /// The series with these labels.
    pub fn find(&self, labels: &LabelSet) -> Option<(SlotId, &Series)> {
        let slot = self.index.find(labels)?;
        Some((slot, &self.slots[slot.index()]))
    }

    /// How many series each value of a label has.
    pub fn by_value(&self, label: &str) -> Vec<(String, u64)> {
        self.index.series_by_value(label)
    }

    /// The series of a handle; `None` when it is gone.
    pub fn resolve(&self, series: SeriesRef) -> Option<(SlotId, &Series)> {
        let (slot, generation) = split(series);
        let found = self.slots.get(slot.index())?;
        (found.generation == generation).then_some((slot, found))
    }

    /// The series in a slot.
    pub fn in_slot(&self, slot: SlotId) -> &Series {
        &self.slots[slot.index()]
    }

    /// The handle of the series in a slot.
    pub fn handle(&self, slot: SlotId) -> SeriesRef {
        handle(slot, self.in_slot(slot).generation)
    }

    /// Labels of the series in a slot.
    pub fn labels(&self, slot: SlotId) -> LabelSet {
        self.index.label_set(slot)
    }

    /// A ref that nothing has or had.
    pub fn take_ref(&mut self) -> LogRef {
        self.newest_ref += 1;
        LogRef::new(self.newest_ref)
    }

    /// The log names this ref: none up to it is given out.
    pub fn note_ref(&mut self, log_ref: LogRef) {
        self.newest_ref = self.newest_ref.max(log_ref.get());
    }

    /// Adds a series that is not there yet.
    ///
    /// # Errors
    /// When there is no room for its labels, or no slot.
    pub fn add(&mut self, labels: &LabelSet, log_ref: LogRef) -> Result<SlotId, AppendError> {
        let full = AppendError::SeriesLimit(self.slots.len() as u64);
        let reused = self.free.last().copied();
        if reused.is_none() && self.slots.len() >= SLOTS_MAX {
            return Err(full);
        }
        let slot = reused.unwrap_or(SlotId::new(self.slots.len() as u32));
        self.index.insert(labels, slot).map_err(|_| full)?;
        match self.slots.get_mut(slot.index()) {
            Some(free) => {
                self.free.pop();
                free.log_ref = log_ref;
                free.newest_ms = AtomicI64::new(i64::MIN);
            }
            None => self.slots.push(Series {
                log_ref,
                newest_ms: AtomicI64::new(i64::MIN),
                pending: AtomicU32::new(0),
                generation: 0,
            }),
        }
        Ok(slot)
    }

    /// Removes series whose newest sample is before `min` and that no appender uses, and returns their refs. Their labels,
    /// too, if the caller wants them.
    pub fn remove_before(&mut self, min: i64, with_labels: bool) -> Vec<(LogRef, Option<LabelSet>)> {
        let goes = |series: &Series| {
            series.newest_ms.load(Ordering::Relaxed) < min && series.pending.load(Ordering::Acquire) == 0
        };
        let living = self.index.select(&[]);
        let (dead, living): (Vec<_>, Vec<_>) =
            living.into_iter().partition(|slot| goes(&self.slots[slot.index()]));
        let removed = dead
            .iter()
            .map(|slot| (self.slots[slot.index()].log_ref, with_labels.then(|| self.index.label_set(*slot))));
        let removed = removed.collect();
        self.index.unlink(&dead);
        self.index.release(&dead);
        if self.index.lists_are_sparse() {
            self.index.compact_lists(&living);
        }
        for slot in dead {
            let series = &mut self.slots[slot.index()];
            series.generation = series.generation.wrapping_add(1);
            self.free.push(slot);
        }
        removed
    }

    /// Refs of all series.
    pub fn refs(&self) -> HashSet<LogRef> {
        self.index.select(&[]).into_iter().map(|slot| self.slots[slot.index()].log_ref).collect()
    }

    /// Slots of all series, in order of their refs.
    pub fn by_ref(&self) -> Vec<SlotId> {
        let mut slots = self.index.select(&[]);
        slots.sort_unstable_by_key(|slot| self.slots[slot.index()].log_ref);
        slots
    }
}

const _: () = assert!(size_of::<Series>() == 24);
