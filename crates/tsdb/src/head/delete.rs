//! Deletions: which ranges of which series are hidden from readers, and their tombstones in the log.

use ferula_model::{LabelSet, Matcher};
use ferula_storage::{AppendError, DiskError};

use super::{ExtraRef, Head, Ranges};
use crate::block::BlockError;
use crate::ids::{SlotId, TimeSpan};
use crate::wal::group::Entry;
use crate::wal::record::{LoggedTombstone, put_tombstones};

/// Why samples could not be deleted. What was deleted before stays deleted; the deletion can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// A block could not be read, or its tombstones could not be written.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The log could not be written.
    #[error("write-ahead log: {0}")]
    Log(DiskError),
    /// The head is at its limit, and cannot take the labels of series that are only in blocks and the log.
    #[error("write-ahead log: {0}")]
    Limit(AppendError),
}

impl Head {
    /// Marks the samples in `span` as deleted for all series that match all matchers.
    pub(crate) fn delete(&self, span: TimeSpan, matchers: &[Matcher]) -> Result<(), DeleteError> {
        let mut deleted = Vec::new();
        let mut tombstones = Vec::new();
        for slot in self.index().select(matchers) {
            let series = self.slots.lock(slot);
            // Only up to the existing samples: a sample that is added later at a deleted time is not deleted.
            let hit = series.span().intersect(span);
            if hit.is_empty() {
                continue;
            }
            deleted.push((slot, hit));
            tombstones.push(LoggedTombstone { series: series.log_ref, min: hit.start(), max: hit.last() });
        }
        self.log_tombstones(&tombstones)?;
        for (slot, hit) in deleted {
            self.add_deleted(slot, hit);
        }
        Ok(())
    }

    /// Logs deletions of samples that are in the log and in blocks, but not in the head. A checkpoint may
    /// have removed the series records from the log, so they are logged again.
    pub(crate) fn log_deletion_of_departed(
        &self,
        departed: &[(LabelSet, TimeSpan)],
    ) -> Result<(), DeleteError> {
        let (mut tombstones, mut pinned, mut refused) = (Vec::new(), Vec::new(), None);
        for (labels, span) in departed {
            match self.get_or_create(labels) {
                Ok((slot, ..)) => {
                    pinned.push(slot);
                    let series = self.slots.lock(slot).log_ref;
                    tombstones.push(LoggedTombstone { series, min: span.start(), max: span.last() });
                }
                // At the head's limit, the deletion fails; it can be repeated.
                Err(full) => refused = Some(DeleteError::Limit(full.into())),
            }
        }
        let logged = self.log_tombstones(&tombstones);
        for slot in pinned {
            self.slots.lock(slot).pending -= 1;
        }
        // The series are empty and will be removed; their records stay for as long as the tombstones.
        let mut extra = self.extra_refs.lock();
        for tombstone in &tombstones {
            ExtraRef::note(&mut extra, tombstone.series, tombstone.max);
        }
        refused.map_or(logged, Err)
    }

    fn log_tombstones(&self, tombstones: &[LoggedTombstone]) -> Result<(), DeleteError> {
        if tombstones.is_empty() {
            return Ok(());
        }
        let mut entry = Entry::default();
        let mut record = Vec::new();
        put_tombstones(&mut record, tombstones);
        entry.record(record);
        self.log.commit(entry).map_err(DeleteError::Log)
    }

    pub(super) fn add_deleted(&self, slot: SlotId, span: TimeSpan) {
        self.deleted.write().entry(slot).or_default().push(span);
    }

    pub(super) fn deleted_ranges(&self, slot: SlotId) -> Option<Ranges> {
        self.deleted.read().get(&slot).cloned()
    }

    /// Deleted ranges that end before this time are no longer needed if all in-order samples are at or after
    /// `min`. Out-of-order samples may be older, and after they went to blocks, their chunks stay in files
    /// for a while, where a start finds them.
    pub(crate) fn deleted_from(&self, min: i64) -> i64 {
        let in_memory = self.times.out_of_order();
        let in_files = self.chunks.oldest_out_of_order();
        let oldest = in_files.map_or(min, |oldest| oldest.min(min));
        if in_memory.is_empty() { oldest } else { oldest.min(in_memory.start()) }
    }

    /// Drops deleted ranges that are no longer needed, and those of removed series.
    pub(super) fn forget_deleted(&self, min: i64) {
        let min = self.deleted_from(min);
        self.deleted.write().retain(|slot, ranges| {
            let series = self.slots.lock(*slot);
            ranges.retain(|span| span.last() >= min);
            !ranges.is_empty() && series.alive
        });
    }
}
