//! The head: the newest samples, in memory until they become a block.
//!
//! ```text
//! resolve ──▶ index (pairs, lists, postings) ──▶ slot
//! commit  ──▶ log ──▶ gate: commit room ──▶ series ──▶ open chunk ──full──▶ chunks_head
//! read    ──▶ index ──▶ gate: freeze room (how far each series goes) ──▶ chunks up to there
//! start   ──▶ replay (series, chunks and samples of the files, into an empty head)
//! ```
//! Here: series lookup, append checks, the open chunk of each series, reading, removal. Elsewhere: bytes of
//! chunks (`ferula-chunk`), the log on disk (`wal`), which files a start reads (`recovery`), when blocks are
//! cut (`maintain`).
//!
//! Always true: a sample is in the log before any reader can see it; a label set has one ref in the log for
//! as long as it is in the head; locks are acquired in the order listed in `sync`; no code outside this
//! module accesses a field.

mod appender;
pub(crate) mod block_source;
mod blocks;
mod control;
mod copy;
mod delete;
mod exemplars;
mod flights;
mod full_chunk;
mod histogram_count;
mod id_table;
mod index;
mod isolation;
mod limits;
mod metrics;
mod out_of_order;
mod out_of_order_records;
mod pins;
mod reader;
mod replay;
mod row_chunks;
mod rules;
mod series;
mod slots;
mod stale;
mod times;
mod truncate;
mod watermarks;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ferula_model::{LabelSet, MetricMetadata, TimeRange, Timestamp};
use ferula_storage::AppendError;

pub use appender::HeadAppender;
pub(crate) use appender::zero_histogram;
pub(crate) use copy::SeriesCopy;
pub use delete::DeleteError;
use exemplars::Exemplars;
pub(crate) use exemplars::{ExemplarCounts, check_labels, is_same};
pub(crate) use flights::Flights;
pub(crate) use full_chunk::FullChunk;
pub use index::Cardinality;
pub(crate) use index::Index;
pub(crate) use isolation::Gate;
pub(crate) use limits::HeadFull;
pub(crate) use limits::Limits;
pub(crate) use metrics::Metrics;
pub(crate) use out_of_order::{OutOfOrderSample, OutOfOrderValue};
pub(crate) use pins::Pins;
pub(crate) use pins::{Moment, Pin};
pub(crate) use reader::{FrozenRow, HeadSelection};
pub(crate) use replay::{Replay, SavedSeriesError};
pub(crate) use rules::ChunkRules;
use rules::Rules;
use series::Series;
pub(crate) use series::{Bounds, Placement, Reopened, range_end, stale_histogram};
pub(crate) use slots::{SLOTS_MAX, Slots, handle, split};
pub(crate) use stale::RemovedSeriesEnds;
pub(crate) use stale::StaleSeries;
use times::Times;
pub(crate) use truncate::MovedOutOfOrder;
pub(crate) use truncate::RemovedSlots;
pub(crate) use watermarks::HeldNumber;
use watermarks::Watermarks;

use crate::head_chunks::Store;
use crate::ids::{LogRef, SlotId, TimeSpan};
use crate::series_metadata::SeriesMetadata;
// Also the types from which the gate and the pins are built: a model checker compiles those with its own
// locks, see `tests/interleavings.rs`.
use crate::sync::{self, Mutex, ReadGuard, RwLock, WriteGuard, rank};
use crate::wal::group::GroupLog;

/// A ref in the log in addition to those of living series: a second one for the same label set, or one of a
/// removed series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtraRef {
    /// The living ref of the label set; the ref itself if there is none.
    pub first: LogRef,
    /// The newest time at which this ref was used.
    pub newest: i64,
}

impl ExtraRef {
    /// Records that a ref which the log must still define was used at this time.
    pub fn note(all: &mut HashMap<LogRef, ExtraRef>, log_ref: LogRef, at: i64) {
        let extra = all.entry(log_ref).or_insert(ExtraRef { first: log_ref, newest: at });
        extra.newest = extra.newest.max(at);
    }
}

/// Deleted ranges of a series.
pub(crate) type Ranges = Vec<TimeSpan>;

/// The newest samples of a database.
///
/// Code outside this module uses its methods, which are in the files below, but not its fields.
pub struct Head {
    rules: Rules,
    limits: Limits,
    /// Whether new series are being refused.
    full: AtomicBool,
    out_of_order_samples_max: usize,
    /// How old out-of-order samples may be, in milliseconds.
    out_of_order_window: AtomicI64,
    log: Arc<GroupLog>,
    /// Whether start timestamps become samples with value zero.
    start_as_zero_sample: bool,
    /// The out-of-order log, which exists from the first time that such samples are enabled.
    out_of_order_log: RwLock<Option<Arc<GroupLog>>, rank::OutOfOrderLog>,
    chunks: Store,
    slots: Slots,
    gate: Gate,
    flights: Flights,
    pins: Arc<Pins>,
    /// Held by snapshots until they have determined their cut.
    selecting: Arc<Pins>,
    watermarks: Arc<Watermarks>,
    pub(crate) metrics: Metrics,
    times: Times,
    next_ref: AtomicU64,
    closed: AtomicBool,
    exemplars: Mutex<Exemplars, rank::Exemplars>,
    limbo: Mutex<RemovedSlots, rank::RemovedSlots>,
    extra_refs: Mutex<HashMap<LogRef, ExtraRef>, rank::ExtraRefs>,
    departed: Mutex<RemovedSeriesEnds, rank::Departed>,
    index: RwLock<Index, rank::Index>,
    deleted: RwLock<HashMap<SlotId, Ranges>, rank::Deleted>,
    metadata: Mutex<SeriesMetadata<SlotId>, rank::Metadata>,
}

/// The inputs for creating a head.
pub(crate) struct HeadParts {
    pub rules: ChunkRules,
    pub limits: Limits,
    /// In-order samples before this time are in blocks.
    pub floor: i64,
    pub out_of_order_samples_max: usize,
    pub out_of_order_window: i64,
    pub exemplars_max: usize,
    pub start_as_zero_sample: bool,
    pub log: Arc<GroupLog>,
    pub chunks: Store,
    pub metrics: Metrics,
}

impl Head {
    pub(crate) fn new(parts: HeadParts) -> Self {
        Head {
            rules: Rules::new(parts.rules),
            limits: parts.limits,
            full: AtomicBool::new(false),
            out_of_order_samples_max: parts.out_of_order_samples_max,
            out_of_order_window: AtomicI64::new(parts.out_of_order_window),
            log: parts.log,
            start_as_zero_sample: parts.start_as_zero_sample,
            out_of_order_log: RwLock::new(None),
            chunks: parts.chunks,
            slots: Slots::default(),
            gate: Gate::default(),
            flights: Flights::default(),
            pins: Arc::default(),
            selecting: Arc::default(),
            watermarks: Arc::default(),
            metrics: parts.metrics,
            times: Times::new(parts.floor),
            next_ref: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            exemplars: Mutex::new(Exemplars::new(parts.exemplars_max, parts.out_of_order_window)),
            limbo: Mutex::default(),
            extra_refs: Mutex::default(),
            departed: Mutex::default(),
            index: RwLock::default(),
            deleted: RwLock::default(),
            metadata: Mutex::default(),
        }
    }

    fn index(&self) -> ReadGuard<'_, Index, rank::Index> {
        self.index.read()
    }

    fn index_mut(&self) -> WriteGuard<'_, Index, rank::Index> {
        self.index.write()
    }

    pub(crate) fn out_of_order_log(&self) -> Option<Arc<GroupLog>> {
        self.out_of_order_log.read().clone()
    }

    /// Slot and generation of the series with these labels, which is created if necessary, and whether it has
    /// no data yet. Adds a pending use.
    fn get_or_create(&self, labels: &LabelSet) -> Result<(SlotId, u32, bool), HeadFull> {
        if let Some(found) = self.get(labels) {
            return Ok(found);
        }
        let slot = self.find_or_create(&mut self.index_mut(), labels)?;
        Ok(self.pin_slot(slot))
    }

    /// [`get_or_create`](Self::get_or_create) for each of several label sets, under one lock.
    fn get_or_create_all(
        &self,
        sets: &[LabelSet],
        mut take: impl FnMut(Result<(SlotId, u32, bool), AppendError>),
    ) {
        let mut index = self.index_mut();
        for labels in sets {
            if labels.is_empty() {
                take(Err(AppendError::EmptyLabelSet));
                continue;
            }
            let slot = self.find_or_create(&mut index, labels).map_err(AppendError::from);
            take(slot.map(|slot| self.pin_slot(slot)));
        }
    }

    fn find_or_create(&self, index: &mut Index, labels: &LabelSet) -> Result<SlotId, HeadFull> {
        if self.may_refuse(index) {
            return match index.find(labels) {
                Some(slot) => Ok(slot),
                None => self.create(index, labels),
            };
        }
        let found = index.find_or_insert(labels.iter(), || self.slots.take());
        let (slot, is_new) = found.map_err(|_| HeadFull::Series(index.series_count() as u64))?;
        if is_new {
            self.begin_series(labels, slot);
        }
        Ok(slot)
    }

    /// As `get_or_create`, but makes none.
    fn get(&self, labels: &LabelSet) -> Option<(SlotId, u32, bool)> {
        let index = self.index();
        // The index stays locked while the series is marked, so that it is not removed in between.
        index.find(labels).map(|slot| self.pin_slot(slot))
    }

    fn pin_slot(&self, slot: SlotId) -> (SlotId, u32, bool) {
        let mut series = self.slots.lock(slot);
        series.pending += 1;
        (slot, series.generation, series.unused)
    }

    /// Creates a series.
    fn create(&self, index: &mut Index, labels: &LabelSet) -> Result<SlotId, HeadFull> {
        self.check_limits(index, labels)?;
        let slot = self.slots.take().ok_or(HeadFull::Series(SLOTS_MAX as u64))?;
        if index.insert(labels, slot).is_err() {
            self.slots.give_back(&[slot]);
            return Err(HeadFull::Series(index.series_count() as u64));
        }
        self.begin_series(labels, slot);
        Ok(slot)
    }

    /// Begins the series of a slot that has just been added to the index, which is still locked. Its record enters the queue of
    /// the log before anything else can refer to it.
    fn begin_series(&self, labels: &LabelSet, slot: SlotId) {
        let log_ref = LogRef::new(self.next_ref.fetch_add(1, Ordering::SeqCst));
        let mut series = self.slots.lock(slot);
        series.log_ref = log_ref;
        series.alive = true;
        series.unused = true;
        if let Some(end) = self.departed.lock().end_of(labels.iter()) {
            series.goes_on_after(end);
        }
        drop(series);
        self.log.new_series(log_ref, labels.iter());
        self.metrics.series.inc();
        self.metrics.series_created.inc();
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.index().series_count()
    }

    /// Timestamps of the oldest and newest in-order sample, if there are any.
    pub fn time_range(&self) -> Option<TimeRange> {
        let span = self.times.in_order().some()?;
        Some(TimeRange::from_millis(span.start(), span.last()))
    }

    /// The oldest time at which in-order samples are accepted; `None` while there are no samples.
    pub fn min_valid_time(&self) -> Option<Timestamp> {
        let newest = self.times.in_order().some()?.last();
        let oldest = newest.saturating_sub(self.rules.range() / 2).max(self.times.floor());
        Some(Timestamp::from_millis(oldest))
    }

    /// Statistics of the largest labels.
    pub fn cardinality(&self, label: &str, limit: usize) -> Cardinality {
        self.index().cardinality(label, limit)
    }

    /// How many series each value of a label has.
    pub fn series_by_value(&self, label: &str) -> Vec<(String, u64)> {
        self.index().series_by_value(label)
    }

    /// Metadata of the series with these labels.
    pub fn metadata(&self, labels: &LabelSet) -> Option<MetricMetadata> {
        let slot = self.index().find(labels)?;
        self.metadata.lock().get(slot).cloned()
    }

    pub(crate) fn chunks_of(&self, labels: &LabelSet) -> Vec<(Timestamp, u16)> {
        let Some(slot) = self.index().find(labels) else { return Vec::new() };
        let series = self.slots.lock(slot);
        let full = series.full_chunks().map(|(_, chunk)| (chunk.min, chunk.samples));
        let all = full.chain(series.open_span().map(|open| (open.start(), series.open_samples())));
        all.map(|(at, samples)| (Timestamp::from_millis(at), samples)).collect()
    }

    fn has_metadata(&self, slot: SlotId, metadata: &MetricMetadata) -> bool {
        self.metadata.lock().get(slot) == Some(metadata)
    }

    fn set_metadata(&self, slot: SlotId, metadata: &MetricMetadata) {
        self.metadata.lock().set(slot, metadata);
    }
}

#[cfg(test)]
mod tests;
