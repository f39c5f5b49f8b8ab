//! Series of a savepoint, which replace what the log contains about them.

use ferula_chunk::Corrupt;

use super::{Full, REF_MAX, RefTable, RefTarget, Replay, Replayed, by_series, is_sound};
use crate::head::{ExtraRef, Head, Reopened, SeriesCopy};
use crate::head_chunks::LoadedChunk;
use crate::ids::{LogRef, SlotId, TimeSpan};

/// Why a series of a savepoint cannot be restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedSeriesError {
    #[error("the ref {0} is invalid or a duplicate")]
    Ref(LogRef),
    #[error("the labels of series {0} are duplicates")]
    Twice(LogRef),
    #[error("there is no space for series {0}")]
    NoRoom(LogRef),
    #[error("a chunk of series {0} is not in chunks_head")]
    Chunk(LogRef),
    #[error("a histogram of series {0} is inconsistent")]
    Histogram(LogRef),
    #[error("series {0}: {1}")]
    OpenChunk(LogRef, Corrupt),
}

impl Replay<'_> {
    /// Resets everything, as if nothing had been restored. `chunks` are those in `chunks_head`.
    pub fn start_over(&mut self, chunks: Vec<LoadedChunk>) {
        self.head.clear();
        self.chunks = by_series(chunks);
        self.unmarked.clear();
        self.without_marked.clear();
        self.slots = RefTable::default();
        self.extra_refs.clear();
        self.waiting_refs.clear();
        self.done = Replayed::default();
        self.uncovered = 0;
        (self.in_order, self.out_of_order) = (TimeSpan::EMPTY, TimeSpan::EMPTY);
    }

    /// Adds an additional ref of a label set. Precedes the series.
    pub fn extra_ref(&mut self, log_ref: LogRef, extra: ExtraRef) {
        self.note_ref(log_ref);
        // Its chunks belong to the label set.
        if let Some(mut chunks) = self.chunks.remove(&log_ref) {
            self.chunks.entry(extra.first).or_default().append(&mut chunks);
        }
        self.extra_refs.insert(log_ref, extra);
        self.waiting_refs.entry(extra.first).or_default().push(log_ref);
    }

    /// Adds the end time of a removed series, by the hash of its labels.
    pub fn departed(&mut self, hash: u64, end: i64) {
        self.head.departed.get_mut().add(hash, end);
    }

    /// Restores a series.
    ///
    /// # Errors
    /// A part of it may have been restored.
    pub fn saved_series(
        &mut self,
        labels: &[(&str, &str)],
        saved: SeriesCopy<'_>,
    ) -> Result<(), SavedSeriesError> {
        let log_ref = saved.log_ref;
        if log_ref.get() >= REF_MAX || self.slots.get(log_ref).is_some() {
            return Err(SavedSeriesError::Ref(log_ref));
        }
        self.check_chunks(&saved)?;
        let brought_back = self.head.bring_back(labels.iter().copied(), log_ref);
        let (slot, made) = brought_back.map_err(|Full| SavedSeriesError::NoRoom(log_ref))?;
        if made {
            self.done.saved_series += 1;
        } else {
            self.replace_empty(slot, log_ref)?;
        }
        self.note_ref(log_ref);
        self.drop_truncated_chunks(&saved);
        self.adopt_chunks(log_ref, slot);
        if let Some((open, data)) = &saved.open {
            if open.last_histogram.as_ref().is_some_and(|last| !is_sound(last)) {
                return Err(SavedSeriesError::Histogram(log_ref));
            }
            self.reopen(slot, open, data).map_err(|error| SavedSeriesError::OpenChunk(log_ref, error))?;
        }
        if let Some(metadata) = saved.metadata {
            self.head.set_metadata(slot, &metadata);
        }
        saved.deleted.into_iter().for_each(|range| self.head.add_deleted(slot, range));
        let done_to = self.head.slots.get_mut(slot).last().unwrap_or(i64::MIN);
        self.slots.insert(log_ref, RefTarget { done_to, chunks_from: i64::MIN, slot, extra: false });
        if !self.waiting_refs.is_empty() {
            for extra in self.waiting_refs.remove(&log_ref).unwrap_or_default() {
                self.slots.insert(extra, RefTarget { done_to, chunks_from: i64::MIN, slot, extra: true });
            }
        }
        Ok(())
    }

    /// Restores a series in place of one with the same labels but without samples: an appender created that
    /// one, had all of its samples refused and removed it, and the series was created again while the
    /// savepoint was being written.
    fn replace_empty(&mut self, slot: SlotId, log_ref: LogRef) -> Result<(), SavedSeriesError> {
        let series = self.head.slots.get_mut(slot);
        if !series.is_empty() {
            return Err(SavedSeriesError::Twice(log_ref));
        }
        let before = std::mem::replace(&mut series.log_ref, log_ref);
        self.extra_refs.insert(before, ExtraRef { first: log_ref, newest: i64::MIN });
        self.slots.insert(before, RefTarget { done_to: i64::MIN, chunks_from: i64::MIN, slot, extra: true });
        Ok(())
    }

    /// Checks that `chunks_head` has all full chunks of a series that are not in blocks: the log before the
    /// savepoint, which has their samples too, is not read.
    fn check_chunks(&self, saved: &SeriesCopy<'_>) -> Result<(), SavedSeriesError> {
        let known = self.chunks.get(&saved.log_ref).map_or(&[][..], Vec::as_slice);
        let mut next = 0;
        for (place, max) in &saved.full {
            if *max < self.floor {
                continue;
            }
            // Both are ascending, except for chunks of additional refs of the label set.
            let is_it = |at: &usize| known[*at].place.number() == *place;
            match (next..known.len()).find(is_it).or_else(|| (0..next).find(is_it)) {
                Some(at) => next = at + 1,
                None => return Err(SavedSeriesError::Chunk(saved.log_ref)),
            }
        }
        Ok(())
    }

    /// Drops in-order chunks that the series had no longer when it was saved. Their file may still be there, and no block
    /// says that they are old if all of their samples were deleted; the deletion has been forgotten with the samples.
    fn drop_truncated_chunks(&mut self, saved: &SeriesCopy<'_>) {
        let Some(chunks) = self.chunks.get_mut(&saved.log_ref) else { return };
        let last_place = saved.full.iter().map(|(place, _)| *place).max();
        let open_min = saved.open.as_ref().map(|(open, _)| open.min);
        chunks.retain(|chunk| {
            let place = chunk.place.number();
            // Chunks that were written since are behind the saved ones. With none to compare with, their samples are in
            // the log behind the savepoint.
            let is_newer = match (last_place, open_min) {
                (Some(last), _) => place > last,
                (None, Some(open)) => chunk.max >= open,
                (None, None) => false,
            };
            chunk.out_of_order || is_newer || saved.full.iter().any(|(saved, _)| *saved == place)
        });
    }

    fn reopen(&mut self, slot: SlotId, open: &Reopened, data: &[u8]) -> Result<(), Corrupt> {
        let (rules, Head { slots, chunks, metrics, .. }) = (&self.rules, &mut *self.head);
        let series = slots.get_mut(slot);
        // If it was cut since, it is in chunks_head, with everything that was added before the cut.
        let (samples, began) = if open.min >= self.floor && series.last().is_none_or(|last| last < open.min) {
            series.reopen(open, data)?;
            (u64::from(series.open_samples()), 1)
        } else {
            series.append_newer(open.encoding, data, self.floor, rules, chunks)?
        };
        self.done.samples += samples;
        metrics.chunks.add(began as f64);
        if let Some(open) = series.open_span() {
            self.in_order = self.in_order.cover(open);
        }
        Ok(())
    }
}
