//! The head: the newest samples, in memory until they become a block.
//!
//! ```text
//! resolve ──▶ index (pairs, lists, postings) ──▶ slot
//! commit  ──▶ log ──▶ gate: commit room ──▶ series ──▶ open chunk ──full──▶ chunks_head
//! read    ──▶ index ──▶ gate: freeze room (how far each series goes) ──▶ chunks up to there
//! ```
//! Here: series lookup, append checks, the open chunk of each series, reading. Elsewhere: bytes of chunks
//! (`ferula-chunk`), the log on disk (`wal`), when to cut blocks (`db`).
//!
//! Always true: a sample is in the log before any reader can see it; a label set has one ref in the log for as
//! long as the head has it; locks are taken in the order that `sync` lists.

mod appender;
pub(crate) mod block_source;
mod blocks;
mod exemplars;
mod flights;
mod id_table;
mod index;
mod isolation;
mod metrics;
mod out_of_order;
mod pins;
mod reader;
mod rules;
mod series;
mod slots;
mod stale;
mod truncate;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ferula_model::{LabelSet, MetricMetadata};
use ferula_storage::AppendError;

pub use appender::HeadAppender;
pub(crate) use exemplars::Exemplars;
pub(crate) use flights::Flights;
pub use index::{Cardinality, SlotId};
pub(crate) use index::{Full, Index};
pub(crate) use isolation::Gate;
pub(crate) use metrics::Metrics;
pub(crate) use out_of_order::{LateSample, LateValue, OutOfOrder};
pub(crate) use pins::{Pin, Pins};
pub(crate) use reader::FrozenRow;
pub(crate) use rules::{ChunkRules, Rules};
pub(crate) use series::{Bounds, Fate, FullChunk, Reopened, Series, range_end, stale_histogram};
pub(crate) use slots::{Slots, handle};
pub(crate) use stale::{Departed, StaleSeries};
pub(crate) use truncate::Limbo;
pub use truncate::Truncated;

use crate::head_chunks::Store;
use crate::series_metadata::SeriesMetadata;
// Also what the gate and the pins are made of: a model checker compiles those with locks of its own, see
// `tests/interleavings.rs`.
use crate::sync::{self, Mutex, ReadGuard, RwLock, WriteGuard, rank};
use crate::wal::group::GroupLog;

/// A ref that the log knows beside those of living series: of a label set that has another one, or of a series that left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extra {
    /// The other one of the label set; the ref itself when there is none.
    pub first: u64,
    /// The newest time at which this one was used.
    pub newest: i64,
}

impl Extra {
    /// Notes that a ref which the log must still know was used at a time.
    pub fn note(all: &mut HashMap<u64, Extra>, log_ref: u64, at: i64) {
        let extra = all.entry(log_ref).or_insert(Extra { first: log_ref, newest: at });
        extra.newest = extra.newest.max(at);
    }
}

/// Closed ranges of deleted time.
pub(crate) type Ranges = Vec<(i64, i64)>;

/// The newest samples of a database.
pub struct Head {
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    /// New series are being refused.
    full: AtomicBool,
    pub(crate) late_samples_max: usize,
    /// How far back out-of-order samples may be, in milliseconds.
    pub(crate) late_window: AtomicI64,
    pub(crate) log: GroupLog,
    /// Whether a start timestamp becomes a sample of value zero.
    pub(crate) start_as_zero_sample: bool,
    /// The out-of-order log, from the first moment on at which such samples were allowed.
    pub(crate) late_log: RwLock<Option<Arc<GroupLog>>, rank::OutOfOrderLog>,
    pub(crate) chunks: Store,
    pub(crate) slots: Slots,
    pub(crate) gate: Gate,
    pub(crate) flights: Flights,
    pub(crate) pins: Arc<Pins>,
    pub(crate) metrics: Metrics,
    pub(crate) times: Times,
    pub(crate) next_ref: AtomicU64,
    pub(crate) closed: AtomicBool,
    pub(crate) exemplars: Mutex<Exemplars, rank::Exemplars>,
    pub(crate) limbo: Mutex<Limbo, rank::Limbo>,
    pub(crate) extra_refs: Mutex<HashMap<u64, Extra>, rank::ExtraRefs>,
    pub(crate) departed: Mutex<Departed, rank::Departed>,
    index: RwLock<Index, rank::Index>,
    deleted: RwLock<HashMap<SlotId, Ranges>, rank::Deleted>,
    pub(crate) metadata: Mutex<SeriesMetadata<SlotId>, rank::Metadata>,
}

/// What a head is made of.
pub(crate) struct Parts {
    pub rules: ChunkRules,
    pub limits: Limits,
    pub late_samples_max: usize,
    pub late_window: i64,
    pub exemplars_max: usize,
    pub start_as_zero_sample: bool,
    pub log: GroupLog,
    pub chunks: Store,
    pub metrics: Metrics,
}

/// Bounds of the samples in a head.
pub(crate) struct Times {
    /// Oldest and newest in-order sample; `MAX` and `MIN` when there is none.
    pub min: AtomicI64,
    pub max: AtomicI64,
    /// In-order samples before this are in blocks.
    pub min_valid: AtomicI64,
    /// Oldest and newest out-of-order sample.
    pub late_min: AtomicI64,
    pub late_max: AtomicI64,
}

impl Times {
    fn new() -> Self {
        Times {
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
            min_valid: AtomicI64::new(i64::MIN),
            late_min: AtomicI64::new(i64::MAX),
            late_max: AtomicI64::new(i64::MIN),
        }
    }

    /// Widens the range of in-order samples.
    pub fn widen(&self, min: i64, max: i64) {
        self.max.fetch_max(max, Ordering::SeqCst);
        self.min.fetch_min(min, Ordering::SeqCst);
    }

    /// Widens the range of out-of-order samples.
    pub fn widen_late(&self, min: i64, max: i64) {
        self.late_max.fetch_max(max, Ordering::SeqCst);
        self.late_min.fetch_min(min, Ordering::SeqCst);
    }

    /// Oldest and newest in-order sample, if there is one.
    pub fn range(&self) -> Option<(i64, i64)> {
        let (min, max) = (self.min.load(Ordering::SeqCst), self.max.load(Ordering::SeqCst));
        (min <= max).then_some((min, max))
    }
}

fn bytes(index: &Index) -> u64 {
    index.series_count() as u64 * SERIES_BYTES + index.label_bytes()
}

/// Bounds of the head at which new series are refused. Those that are there go on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// How many series there may be.
    pub series: Option<u64>,
    /// How many bytes they may take, as [`Head::bytes`] estimates it.
    pub bytes: Option<u64>,
}

/// What a series takes in memory beside its labels: slot, open chunk, list of full chunks, an entry in a scraper's
/// cache. Measured at 330 to 420 bytes with floats; the rest is for the allocator.
const SERIES_BYTES: u64 = 512;

/// The head takes no new series.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadFull {
    Series(u64),
    Bytes(u64),
}

impl From<HeadFull> for AppendError {
    fn from(full: HeadFull) -> Self {
        match full {
            HeadFull::Series(limit) => AppendError::SeriesLimit(limit),
            HeadFull::Bytes(limit) => AppendError::MemoryLimit(limit),
        }
    }
}

impl Head {
    pub(crate) fn new(parts: Parts) -> Self {
        Head {
            rules: Rules::new(parts.rules),
            limits: parts.limits,
            full: AtomicBool::new(false),
            late_samples_max: parts.late_samples_max,
            late_window: AtomicI64::new(parts.late_window),
            log: parts.log,
            start_as_zero_sample: parts.start_as_zero_sample,
            late_log: RwLock::new(None),
            chunks: parts.chunks,
            slots: Slots::default(),
            gate: Gate::default(),
            flights: Flights::default(),
            pins: Arc::default(),
            metrics: parts.metrics,
            times: Times::new(),
            next_ref: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            exemplars: Mutex::new(Exemplars::new(parts.exemplars_max, parts.late_window)),
            limbo: Mutex::default(),
            extra_refs: Mutex::default(),
            departed: Mutex::default(),
            index: RwLock::default(),
            deleted: RwLock::default(),
            metadata: Mutex::default(),
        }
    }

    pub(crate) fn index(&self) -> ReadGuard<'_, Index, rank::Index> {
        self.index.read()
    }

    pub(crate) fn index_mut(&self) -> WriteGuard<'_, Index, rank::Index> {
        self.index.write()
    }

    pub(crate) fn late_log(&self) -> Option<Arc<GroupLog>> {
        self.late_log.read().clone()
    }

    /// The slot of the series with these labels, made if there is none, with one more pending use.
    pub(crate) fn get_or_create(&self, labels: &LabelSet) -> Result<(SlotId, u32), HeadFull> {
        let pin = |slot| {
            let mut series = self.slots.lock(slot);
            series.pending += 1;
            (slot, series.generation)
        };
        if let (Some(found), _index) = {
            let index = self.index();
            // The index stays locked while the series is marked, so that it is not removed in between.
            (index.find(labels).map(pin), index)
        } {
            return Ok(found);
        }
        let mut index = self.index_mut();
        if let Some(slot) = index.find(labels) {
            return Ok(pin(slot));
        }
        let slot = self.create(&mut index, labels)?;
        Ok(pin(slot))
    }

    /// Makes a series. Its record enters the queue of the log before anybody else can name it.
    fn create(&self, index: &mut Index, labels: &LabelSet) -> Result<SlotId, HeadFull> {
        self.check_limits(index)?;
        let slot = self.slots.take().ok_or(HeadFull::Series(slots::SLOTS_MAX as u64))?;
        if index.insert(labels, slot).is_err() {
            self.slots.give_back(&[slot]);
            return Err(HeadFull::Series(index.series_count() as u64));
        }
        let log_ref = self.next_ref.fetch_add(1, Ordering::SeqCst);
        let mut series = self.slots.lock(slot);
        series.log_ref = log_ref;
        series.alive = true;
        if let Some(end) = self.departed.lock().end_of(labels.iter()) {
            series.goes_on_after(end);
        }
        drop(series);
        self.log.new_series(log_ref, labels.iter());
        self.metrics.series.inc();
        self.metrics.series_created.inc();
        Ok(slot)
    }

    /// The slot of the series with these labels, made under `log_ref` if there is none; and whether it was made. What is in
    /// the log already was taken once, and is taken again, whatever the limits are.
    ///
    /// # Errors
    /// When there are more series than any head can hold.
    pub(crate) fn bring_back<'l>(
        &mut self,
        labels: impl ExactSizeIterator<Item = (&'l str, &'l str)> + Clone,
        log_ref: u64,
    ) -> Result<(SlotId, bool), Full> {
        let index = self.index.get_mut();
        let (slot, made) = index.find_or_insert(labels.clone(), || self.slots.take())?;
        if made {
            let series = self.slots.get_mut(slot);
            series.log_ref = log_ref;
            series.alive = true;
            let departed = self.departed.get_mut();
            if let Some(end) = departed.end_of(labels) {
                series.goes_on_after(end);
            }
            self.metrics.series.inc();
            self.metrics.series_created.inc();
        }
        Ok((slot, made))
    }

    /// Forgets all series that were brought back.
    pub(crate) fn clear(&mut self) {
        self.slots = Slots::default();
        self.index = RwLock::default();
        self.deleted = RwLock::default();
        self.metadata = Mutex::default();
        self.departed = Mutex::default();
        self.metrics.series.set(0.0);
        self.metrics.chunks.set(0.0);
    }

    /// Whether there is room for one more series. Told in the log when it changes, not for every series.
    fn check_limits(&self, index: &Index) -> Result<(), HeadFull> {
        let (series, bytes) = (index.series_count() as u64, bytes(index));
        let refused = match self.limits {
            Limits { series: Some(max), .. } if series >= max => Some(HeadFull::Series(max)),
            Limits { bytes: Some(max), .. } if bytes >= max => Some(HeadFull::Bytes(max)),
            _ => None,
        };
        if let Some(full) = refused {
            self.metrics.series_refused.inc();
            if !self.full.swap(true, Ordering::Relaxed) {
                ferula_telemetry::error!(
                    "The head is full: new series are refused, known ones go on",
                    component = "tsdb",
                    series = series,
                    estimated_bytes = bytes,
                    err = AppendError::from(full)
                );
            }
            return Err(full);
        }
        if self.full.load(Ordering::Relaxed) && self.full.swap(false, Ordering::Relaxed) {
            ferula_telemetry::info!("The head takes new series again", component = "tsdb", series = series);
        }
        Ok(())
    }

    /// Bytes that the head takes in memory, estimated from how many series there are and how long their labels.
    pub fn bytes(&self) -> u64 {
        bytes(&self.index())
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.index().series_count()
    }

    /// Oldest and newest in-order sample, if there is one.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        self.times.range()
    }

    /// The oldest time at which in-order samples are taken; `None` while there is no sample.
    pub fn min_valid_time(&self) -> Option<i64> {
        let (_, max) = self.times.range()?;
        Some(max.saturating_sub(self.rules.range() / 2).max(self.times.min_valid.load(Ordering::SeqCst)))
    }

    /// The largest labels.
    pub fn cardinality(&self, label: &str, limit: usize) -> Cardinality {
        self.index().cardinality(label, limit)
    }

    /// Bytes of the index on the heap, estimated.
    pub fn index_bytes(&self) -> usize {
        self.index().heap_bytes()
    }

    /// Metadata of the series with these labels.
    pub fn metadata(&self, labels: &LabelSet) -> Option<MetricMetadata> {
        let slot = self.index().find(labels)?;
        self.metadata.lock().get(slot).cloned()
    }

    pub(crate) fn chunks_of(&self, labels: &LabelSet) -> Vec<(i64, u16)> {
        let Some(slot) = self.index().find(labels) else { return Vec::new() };
        let series = self.slots.lock(slot);
        let full = series.full_chunks().map(|(_, chunk)| (chunk.min, chunk.samples));
        full.chain(series.open_range().map(|(first, _)| (first, series.open_samples()))).collect()
    }

    pub(crate) fn has_metadata(&self, slot: SlotId, metadata: &MetricMetadata) -> bool {
        self.metadata.lock().get(slot) == Some(metadata)
    }

    pub(crate) fn set_metadata(&self, slot: SlotId, metadata: &MetricMetadata) {
        self.metadata.lock().set(slot, metadata);
    }

    pub(crate) fn deleted_ranges(&self, slot: SlotId) -> Option<Ranges> {
        self.deleted.read().get(&slot).cloned()
    }

    /// Deleted ranges of all series.
    pub(crate) fn all_deleted(&self) -> ReadGuard<'_, HashMap<SlotId, Ranges>, rank::Deleted> {
        self.deleted.read()
    }

    pub(crate) fn add_deleted(&self, slot: SlotId, range: (i64, i64)) {
        self.deleted.write().entry(slot).or_default().push(range);
    }

    /// Deleted ranges that end before this time are of no more use, if all in-order samples are from `min` on. Out-of-order
    /// samples may be older, and chunks of them stay in their files for a while after they went to blocks: a start finds
    /// them there.
    pub(crate) fn deleted_from(&self, min: i64) -> i64 {
        let late = self.times.late_min.load(Ordering::SeqCst);
        self.chunks.oldest_late().map_or(min, |oldest| oldest.min(min)).min(late)
    }

    /// Forgets deleted ranges that are of no more use, and those of series that are gone.
    fn forget_deleted(&self, min: i64) {
        let min = self.deleted_from(min);
        let mut deleted = self.deleted.write();
        deleted.retain(|slot, ranges| {
            let series = self.slots.lock(*slot);
            ranges.retain(|(_, max)| *max >= min);
            !ranges.is_empty() && series.alive
        });
    }

    fn forget_metadata(&self, slots: &[SlotId]) {
        self.metadata.lock().forget(slots);
    }

    /// Writes chunks that are still buffered, and the records of series that no commit took along; syncs.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.log.flush().map_err(|error| io::Error::other(error.to_string()))?;
        if let Some(log) = self.late_log() {
            log.sync()?;
        }
        self.chunks.flush()
    }
}

#[cfg(test)]
mod tests;
