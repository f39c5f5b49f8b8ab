//! Copies the head into a savepoint while commits continue.
//!
//! Here: what is copied, and under which locks. Elsewhere: the encoding and the file (`savepoint`).

use std::sync::Arc;

use ferula_model::{Exemplar, LabelSet, MetricMetadata};

use super::index::Labels;
use super::{ChunkRules, ExtraRef, Head, Ranges, Reopened};
use crate::head_chunks::ChunkPlace;
use crate::head_chunks::format::StoredChunk;
use crate::ids::{LogRef, SlotId};

/// A series as it was when its slot was visited.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesCopy<'a> {
    pub log_ref: LogRef,
    /// Positions of its full chunks, and the timestamps of their last samples.
    pub full: Vec<(u64, i64)>,
    pub open: Option<(Reopened, &'a [u8])>,
    pub metadata: Option<Arc<MetricMetadata>>,
    pub deleted: Ranges,
}

/// How many series are copied while the index is locked: this takes less than a tenth of a millisecond.
const SERIES_AT_ONCE: u32 = 128;

impl Head {
    /// Waits for the commits that have begun, so that what they logged can be read afterwards. Must not be
    /// called concurrently.
    pub(crate) fn land(&self) {
        self.flights.land();
    }

    /// The current rules for chunks.
    pub(crate) fn chunk_rules(&self) -> ChunkRules {
        self.rules.now()
    }

    /// The ref of the next new series.
    pub(crate) fn next_ref(&self) -> LogRef {
        LogRef::new(self.next_ref.load(std::sync::atomic::Ordering::SeqCst))
    }

    /// All exemplars in the order of their arrival.
    pub(crate) fn exemplars_in_order(&self) -> Vec<(LabelSet, Exemplar)> {
        self.exemplars.lock().in_order()
    }

    /// Refs in the log in addition to those of living series.
    pub(crate) fn extra_refs(&self) -> Vec<(LogRef, ExtraRef)> {
        self.extra_refs.lock().iter().map(|(log_ref, extra)| (*log_ref, *extra)).collect()
    }

    /// The end times of removed series, by the hash of their labels.
    pub(crate) fn departed_ends(&self) -> Vec<(u64, i64)> {
        self.departed.lock().iter().collect()
    }

    /// Hands a full chunk to `read`.
    ///
    /// # Errors
    /// Its file does not have it.
    pub(crate) fn stored_chunk<T>(
        &self,
        place: ChunkPlace,
        read: impl FnOnce(&StoredChunk<'_>) -> T,
    ) -> std::io::Result<T> {
        self.chunks.read(place, read)
    }

    /// Hands every living series to `take`, some hundred of them under one lock. After each such slice `next` is called
    /// without a lock, and may end the copy with an error.
    pub(crate) fn copy_series<S, E>(
        &self,
        sink: &mut S,
        mut take: impl FnMut(&mut S, Labels<'_>, SeriesCopy<'_>),
        mut next: impl FnMut(&mut S) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = self.slots.count();
        for first in (0..end).step_by(SERIES_AT_ONCE as usize) {
            self.copy_slots(first..end.min(first + SERIES_AT_ONCE), |labels, copy| take(sink, labels, copy));
            next(sink)?;
        }
        Ok(())
    }

    fn copy_slots(&self, slots: std::ops::Range<u32>, mut take: impl FnMut(Labels<'_>, SeriesCopy<'_>)) {
        let mut data = Vec::new();
        let index = self.index();
        let (all_deleted, all_metadata) = (self.deleted.read(), self.metadata.lock());
        for slot in slots.map(SlotId::new) {
            let series = self.slots.lock(slot);
            if !series.alive {
                continue;
            }
            let open = series.save_open(&mut data);
            let full = series.full_chunks().map(|(_, chunk)| (chunk.place.number(), chunk.max())).collect();
            let log_ref = series.log_ref;
            drop(series);
            let open = open.map(|open| (open, &data[..]));
            let metadata = all_metadata.shared(slot);
            let deleted = all_deleted.get(&slot).cloned().unwrap_or_default();
            take(index.labels(slot), SeriesCopy { log_ref, full, open, metadata, deleted });
        }
    }
}
