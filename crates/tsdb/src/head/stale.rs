//! Series that have ended: their newest sample is a staleness marker, and they have no out-of-order samples.
//!
//! Series that left the head are remembered by a hash of their labels and their end time. One that returns
//! must not accept older samples in order, because the log still has the earlier ones, and a start reads
//! those first.

use std::collections::HashMap;
use std::hash::Hasher;

use ferula_model::value::is_stale;
use twox_hash::XxHash64;

use super::histogram_count::HistogramCount;
use super::{ExtraRef, Head, Series};
use crate::ids::{LogRef, SlotId};

/// A series that had ended when it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StaleSeries {
    slot: SlotId,
    log_ref: LogRef,
    /// Timestamp of the marker.
    last: i64,
}

impl StaleSeries {
    /// Its slot.
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// The series in a slot, if it has ended and no appender is about to append to it.
    fn of(slot: SlotId, series: &Series) -> Option<Self> {
        let ended = series.alive
            && series.pending == 0
            && series.out_of_order.is_none()
            && series.last_value().is_some_and(is_stale);
        let last = series.last().filter(|_| ended)?;
        Some(StaleSeries { slot, log_ref: series.log_ref, last })
    }
}

/// The end times of removed series, by the hash of their labels, for as long as the log has samples of them.
/// Two label sets with the same hash share the later end; at worst, a new series loses samples that are older
/// than it.
#[derive(Debug, Default)]
pub(crate) struct RemovedSeriesEnds(HashMap<u64, i64>);

impl RemovedSeriesEnds {
    /// The hash of labels: XXH64 of all names and values, each followed by a byte 255. It is stored in
    /// savepoints.
    pub fn hash<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> u64 {
        let mut hasher = XxHash64::with_seed(0);
        for text in labels.flat_map(|(name, value)| [name, value]) {
            hasher.write(text.as_bytes());
            hasher.write(&[255]);
        }
        hasher.finish()
    }

    /// Records an end time.
    pub fn add(&mut self, hash: u64, end: i64) {
        let known = self.0.entry(hash).or_insert(end);
        *known = (*known).max(end);
    }

    /// When the series with these labels ended, if it was removed.
    pub fn end_of<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Option<i64> {
        if self.0.is_empty() { None } else { self.0.get(&Self::hash(labels)).copied() }
    }

    /// Drops end times before `min`: the log no longer has samples from before it.
    pub fn forget_before(&mut self, min: i64) {
        self.0.retain(|_, end| *end >= min);
    }

    /// Hashes and end times.
    pub fn iter(&self) -> impl Iterator<Item = (u64, i64)> {
        self.0.iter().map(|(hash, end)| (*hash, *end))
    }
}

impl Head {
    /// All series that have ended.
    pub(crate) fn stale_series(&self) -> Vec<StaleSeries> {
        self.slots.all().filter_map(|slot| StaleSeries::of(slot, &self.slots.lock(slot))).collect()
    }

    /// Removes those of the series (in ascending order of slots) that have not continued. Their samples are
    /// in blocks that every snapshot has. Returns their number.
    pub(crate) fn remove_stale(&self, stale: &[StaleSeries]) -> usize {
        let (mut chunks, mut wanted, mut counted) = (0, stale.iter(), HistogramCount::default());
        let mut gone: Vec<StaleSeries> = Vec::new();
        let slots: Vec<SlotId> = stale.iter().map(|series| series.slot).collect();
        let index = self.index();
        // A slot may have been freed meanwhile, and has no labels then.
        let is_there = |series: &&StaleSeries| {
            let now = self.slots.lock(series.slot);
            now.alive && now.log_ref == series.log_ref
        };
        let hash = |series: &StaleSeries| (series.slot, RemovedSeriesEnds::hash(index.labels(series.slot)));
        let hashes: HashMap<SlotId, u64> = stale.iter().filter(is_there).map(hash).collect();
        drop(index);
        let removed = self.remove_if(&slots, |slot, series| {
            let before = wanted.find(|before| before.slot == slot);
            let now = StaleSeries::of(slot, series);
            let Some(unchanged) = now.filter(|now| before == Some(now)) else { return false };
            chunks += counted.around(series, Series::forget_samples);
            // The index is locked: no such series can be created again before its end is recorded.
            hashes.get(&slot).into_iter().for_each(|hash| self.departed.lock().add(*hash, unchanged.last));
            gone.push(unchanged);
            true
        });
        counted.publish(&self.metrics);
        // The log may still have samples of them for a while, and must define their refs.
        let mut extra = self.extra_refs.lock();
        for series in gone {
            ExtraRef::note(&mut extra, series.log_ref, series.last);
        }
        drop(extra);
        self.metrics.chunks.add(-(chunks as f64));
        self.metrics.chunks_removed.add(chunks as u64);
        removed
    }
}
