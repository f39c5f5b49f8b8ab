//! Bringing the head back at start: chunks of `chunks_head`, then the checkpoint and the log, then the
//! out-of-order log.
//!
//! Damage never stops the start. What can be read is read, before and after the bad place; what was lost is
//! counted and reported; the damaged segment is repaired, so that Prometheus would read it too.

mod from_savepoint;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ferula_model::histogram::{EXPONENTIAL_SCHEMA_MIN, HistogramError, is_exponential_schema_reserved};
use ferula_model::value::is_stale;
use ferula_model::{FloatHistogram, Histogram, HistogramValue};

use crate::chunk_snapshot;
use crate::disk::Disk;
use crate::head::{ChunkRules, Extra, FullChunk, Head, LateSample, LateValue, SlotId, stale_histogram};
use crate::head_chunks::{ChunkPlace, LoadedChunk};
use crate::savepoint::Start;
use crate::wal::ahead::{Found, Helper, read_ahead};
use crate::wal::format::{checkpoint_path, list_checkpoints, list_segments};
use crate::wal::reader::{Damage, Repair, SegmentReader, repair};
use crate::wal::record::{Kind, LoggedHistogram, LoggedSample, LoggedSeries, Records};
pub(crate) use from_savepoint::Surroundings;

/// What is being done at start, for a line in the log.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Blocks and head chunks are open; the logs come next, which may take a while.
    Replaying,
    /// A savepoint took the place of what was logged before it.
    Savepoint {
        /// How many series it has.
        series: u64,
        /// The segment from which on the log is read.
        segment: u32,
    },
    /// There is a savepoint, but it cannot be used, and this is why. The whole log is read.
    SavepointIgnored(String),
    /// A checkpoint is being read.
    Checkpoint {
        /// Its number.
        number: u32,
    },
    /// Segment `segment` of `last` was read.
    Segment {
        /// Its number.
        segment: u32,
        /// The last there is.
        last: u32,
    },
    /// A segment of the out-of-order log was read.
    LateSegment {
        /// Its number.
        segment: u32,
        /// The last there is.
        last: u32,
    },
    /// There was a lock file: the last process did not close the database.
    LockReplaced(PathBuf),
    /// Something was damaged; the start goes on.
    Damaged(String),
}

/// What the start found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Places of the logs that could not be read.
    pub corruptions: u64,
    /// Records that named a series the log does not have (any more).
    pub unknown_series: u64,
    /// Histograms of schemas that this version does not know; left out.
    pub unknown_schemas: u64,
    /// Samples that were put into the head.
    pub samples: u64,
    /// Records of the logs that were read.
    pub records: u64,
    /// Series that came from a savepoint.
    pub savepoint_series: u64,
}

/// Gathers what replay needs to know about refs.
pub(crate) struct Replay<'a> {
    head: &'a mut Head,
    /// In-order samples before this are in blocks.
    min_valid: i64,
    rules: ChunkRules,
    helper: Helper,
    slots: RefTable,
    chunks: HashMap<u64, Vec<LoadedChunk>>,
    /// Refs of a label set beside the first one, and the newest time at which one was used.
    extra_refs: HashMap<u64, Extra>,
    /// Of a savepoint: refs beside the first one of a label set that was not brought back yet, by that first one.
    waiting_refs: HashMap<u64, Vec<u64>>,
    recovered: Recovered,
    range: (i64, i64),
    late_range: (i64, i64),
    /// The newest file of `chunks_head` that a marker names.
    newest_marker: u32,
    /// The largest ref that anything names. A new series must not get one that old samples or chunks name, though
    /// their own series may be gone.
    newest_ref: u64,
}

/// Slots by ref. Refs are given out one after the other, so most are found without hashing.
#[derive(Default)]
struct RefTable {
    dense: Vec<Place>,
    sparse: HashMap<u64, Place>,
}

/// What a ref stands for.
#[derive(Clone, Copy)]
struct Place {
    /// Time of the newest sample that the series had when the ref became known. Samples up to here are passed over without a look at their series.
    done_to: i64,
    slot: SlotId,
    /// Not the first ref of its label set.
    extra: bool,
}

const NOWHERE: Place = Place { done_to: i64::MIN, slot: SlotId::MAX, extra: false };

const DENSE_REFS_MAX: usize = 1 << 24;
/// A ref above this is damage, not one that was given out.
const REF_MAX: u64 = 1 << 48;

impl RefTable {
    #[inline]
    fn get(&self, log_ref: u64) -> Option<Place> {
        let dense = usize::try_from(log_ref).ok().and_then(|at| self.dense.get(at));
        let place = match dense {
            Some(place) => *place,
            None => *self.sparse.get(&log_ref)?,
        };
        (place.slot != NOWHERE.slot).then_some(place)
    }

    fn insert(&mut self, log_ref: u64, new: Place) {
        match usize::try_from(log_ref) {
            // Only as long as the table stays about as full as it is.
            Ok(at) if at < DENSE_REFS_MAX && at < 2 * self.dense.len() + 1024 => {
                if at >= self.dense.len() {
                    let before = self.dense.len();
                    self.dense.resize(at + 1, NOWHERE);
                    if !self.sparse.is_empty() {
                        for at in before..=at {
                            if let Some(place) = self.sparse.remove(&(at as u64)) {
                                self.dense[at] = place;
                            }
                        }
                    }
                }
                self.dense[at] = new;
            }
            _ => {
                self.sparse.insert(log_ref, new);
            }
        }
    }
}

impl<'a> Replay<'a> {
    /// A replay into an empty head. `chunks` are those that `chunks_head` has.
    pub(crate) fn new(head: &'a mut Head, chunks: Vec<LoadedChunk>, helper: Helper) -> Self {
        let refs = chunks.iter().map(|chunk| chunk.series).filter(|log_ref| *log_ref < REF_MAX);
        let newest_ref = refs.max().unwrap_or(0);
        Replay {
            min_valid: head.times.min_valid.load(Ordering::SeqCst),
            rules: head.rules.now(),
            head,
            helper,
            slots: RefTable::default(),
            chunks: by_series(chunks),
            extra_refs: HashMap::new(),
            waiting_refs: HashMap::new(),
            recovered: Recovered::default(),
            range: (i64::MAX, i64::MIN),
            late_range: (i64::MAX, i64::MIN),
            newest_marker: 0,
            newest_ref,
        }
    }

    /// Takes what only a `chunk_snapshot` folder in `data_dir` has. Comes before the log, which has newer exemplars.
    pub(crate) fn chunk_snapshot(
        &mut self,
        disk: &dyn Disk,
        data_dir: &Path,
        wal: &Path,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        if self.head.exemplars.lock().capacity() == 0 {
            return Ok(());
        }
        let last = list_segments(disk, wal)?.last().map_or(0, |segment| segment.number);
        let Some(snapshot) = chunk_snapshot::load(disk, data_dir, last)? else { return Ok(()) };
        snapshot.damages.into_iter().for_each(|damage| report(Progress::Damaged(damage)));
        self.note_ref(snapshot.newest_ref);
        let mut exemplars = self.head.exemplars.lock();
        for (labels, exemplar) in snapshot.exemplars {
            // One that is out of order was so before; leave it out.
            let _ = exemplars.add(&labels, exemplar);
        }
        Ok(())
    }

    /// Reads checkpoint and segments of the log in `dir`, or what follows `start`.
    pub(crate) fn log(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        start: Option<Start>,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        report(Progress::Replaying);
        let mut first = 0;
        if let Some(start) = start {
            first = start.segment;
        } else if let Some(number) = list_checkpoints(disk, dir)?.last() {
            report(Progress::Checkpoint { number: *number });
            let checkpoint = checkpoint_path(dir, *number);
            for segment in list_segments(disk, &checkpoint)? {
                self.segment(disk, &checkpoint, segment.number, 0, false, report)?;
            }
            first = number + 1;
        }
        let segments = list_segments(disk, dir)?;
        let last = segments.last().map_or(0, |segment| segment.number);
        for segment in segments.iter().filter(|segment| segment.number >= first) {
            let offset =
                start.filter(|start| start.segment == segment.number).map_or(0, |start| start.offset);
            self.segment(disk, dir, segment.number, offset, false, report)?;
            report(Progress::Segment { segment: segment.number, last });
        }
        Ok(())
    }

    /// Reads the out-of-order log in `dir`.
    pub(crate) fn late_log(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        let segments = list_segments(disk, dir)?;
        let last = segments.last().map_or(0, |segment| segment.number);
        for segment in segments {
            self.segment(disk, dir, segment.number, 0, true, report)?;
            report(Progress::LateSegment { segment: segment.number, last });
        }
        Ok(())
    }

    /// Sets the head's times, and says what was found.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn finish(self) -> io::Result<Recovered> {
        // A file that was lost must not come back under its number: a marker would take a new chunk for an old one.
        self.head.chunks.reserve(self.newest_marker)?;
        self.head.next_ref.fetch_max(self.newest_ref + 1, Ordering::SeqCst);
        let times = &self.head.times;
        if self.range.0 <= self.range.1 {
            times.widen(self.range.0, self.range.1);
        }
        if self.late_range.0 <= self.late_range.1 {
            times.widen_late(self.late_range.0, self.late_range.1);
        }
        *self.head.extra_refs.lock() = self.extra_refs;
        Ok(self.recovered)
    }

    /// Reads a segment from `offset` on.
    fn segment(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        segment: u32,
        offset: u64,
        late: bool,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        let mut reader = SegmentReader::open(disk, dir, segment)?;
        reader.seek(offset);
        let mut damages: Vec<Damage> = Vec::new();
        let helper = self.helper.clone();
        read_ahead(reader, &helper, &mut |found| match found {
            Found::Record(kind, records) => {
                self.recovered.records += 1;
                self.recovered.unknown_schemas += records.unknown_schemas as u64;
                if late { self.late_record(kind, records) } else { self.record(kind, records) }
            }
            Found::Damage(damage) => damages.push(damage),
        })?;
        if damages.is_empty() {
            return Ok(());
        }
        self.recovered.corruptions += damages.len() as u64;
        for damage in &damages {
            report(Progress::Damaged(format!("{}: {damage}", dir.display())));
        }
        match repair(disk, dir, segment)? {
            Repair::Truncated { bytes } => {
                report(Progress::Damaged(format!("segment {segment}: cut off {bytes} bytes of a torn end")));
            }
            Repair::Rewritten { kept } => report(Progress::Damaged(format!(
                "segment {segment}: kept its readable records, the damaged file is {}",
                kept.display()
            ))),
        }
        Ok(())
    }

    fn record(&mut self, kind: Kind, records: &Records) {
        match kind {
            Kind::Series => records.series.iter().for_each(|series| self.series(series)),
            Kind::Samples | Kind::SamplesV2 => self.samples(&records.samples),
            Kind::Histograms
            | Kind::FloatHistograms
            | Kind::CustomHistograms
            | Kind::CustomFloatHistograms
            | Kind::HistogramsV2
            | Kind::FloatHistogramsV2 => records.histograms.iter().for_each(|h| self.histogram(h)),
            Kind::Tombstones => {
                for tombstone in &records.tombstones {
                    self.note_ref(tombstone.series);
                    match self.slots.get(tombstone.series) {
                        Some(Place { slot, .. }) => {
                            self.head.add_deleted(slot, (tombstone.min, tombstone.max))
                        }
                        None => self.recovered.unknown_series += 1,
                    }
                }
            }
            Kind::Exemplars => {
                let index = self.head.index();
                let mut exemplars = self.head.exemplars.lock();
                for logged in &records.exemplars {
                    if let Some(Place { slot, .. }) = self.slots.get(logged.series) {
                        // One that is out of order was refused before it was logged twice; leave it out again.
                        let _ = exemplars.add(&index.label_set(slot), logged.exemplar.clone());
                    }
                }
            }
            Kind::Metadata => {
                for logged in &records.metadata {
                    if let Some(Place { slot, .. }) = self.slots.get(logged.series) {
                        self.head.set_metadata(slot, &logged.metadata);
                    }
                }
            }
            Kind::MmapMarkers => {}
        }
    }

    fn series(&mut self, logged: &LoggedSeries) {
        self.note_ref(logged.series);
        if logged.labels.is_empty() || self.slots.get(logged.series).is_some() {
            return;
        }
        // More than any head can hold: what follows of the series counts as unknown.
        let Ok((slot, made)) = self.head.bring_back(logged.labels.iter(), logged.series) else { return };
        if !made {
            let first = self.head.slots.get_mut(slot).log_ref;
            self.extra_refs.insert(logged.series, Extra { first, newest: i64::MIN });
        }
        self.adopt_chunks(logged.series, slot);
        let done_to = self.head.slots.get_mut(slot).last().unwrap_or(i64::MIN);
        self.slots.insert(logged.series, Place { done_to, slot, extra: !made });
    }

    fn adopt_chunks(&mut self, log_ref: u64, slot: SlotId) {
        let Some(chunks) = self.chunks.remove(&log_ref) else { return };
        let series = self.head.slots.get_mut(slot);
        for chunk in chunks {
            let full = FullChunk::new(chunk.place, chunk.min, chunk.max, chunk.samples, chunk.encoding);
            if chunk.out_of_order {
                series.out_of_order.get_or_insert_default().adopt(full);
                widen(&mut self.late_range, chunk.min, chunk.max);
                self.head.metrics.chunks.inc();
            } else if chunk.max >= self.min_valid && series.adopt(full) {
                widen(&mut self.range, chunk.min, chunk.max);
                self.recovered.samples += u64::from(chunk.samples);
                self.head.metrics.chunks.inc();
            }
        }
    }

    /// The slot for samples of a ref, if it has one. Notes that the ref was used.
    fn place_of(&mut self, log_ref: u64, at: i64) -> Option<Place> {
        let Some(place) = self.slots.get(log_ref) else {
            self.recovered.unknown_series += 1;
            return None;
        };
        if place.extra
            && let Some(extra) = self.extra_refs.get_mut(&log_ref)
        {
            extra.newest = extra.newest.max(at);
        }
        Some(place)
    }

    fn note_ref(&mut self, log_ref: u64) {
        if log_ref < REF_MAX {
            self.newest_ref = self.newest_ref.max(log_ref);
        }
    }

    fn samples(&mut self, samples: &[LoggedSample]) {
        for sample in samples {
            self.note_ref(sample.series);
            let at = sample.at;
            if at < self.min_valid {
                continue;
            }
            let Some(place) = self.place_of(sample.series, at) else { continue };
            if at <= place.done_to {
                continue;
            }
            let (rules, Head { slots, chunks, .. }) = (&self.rules, &mut *self.head);
            let series = slots.get_mut(place.slot);
            if series.last().is_some_and(|last| at <= last) {
                continue;
            }
            // Prometheus logs the end of a histogram series as a float.
            let stale =
                if is_stale(sample.value) { series.last_kind().and_then(stale_histogram) } else { None };
            let began = match stale {
                Some(stale) => series.append_histogram(at, sample.start, &stale, rules, chunks),
                None => series.append_float(at, sample.start, sample.value, rules, chunks),
            };
            self.appended(at, began);
        }
    }

    fn histogram(&mut self, sample: &LoggedHistogram) {
        self.note_ref(sample.series);
        let at = sample.at;
        if at < self.min_valid {
            return;
        }
        let Some(place) = self.place_of(sample.series, at) else { return };
        // The log may be anybody's: a histogram that contradicts itself is not worth a start.
        if at <= place.done_to || !is_sound(&sample.value) {
            return;
        }
        let (rules, Head { slots, chunks, .. }) = (&self.rules, &mut *self.head);
        let series = slots.get_mut(place.slot);
        if series.last().is_some_and(|last| at <= last) {
            return;
        }
        let began = series.append_histogram(at, sample.start, &sample.value, rules, chunks);
        self.appended(at, began);
    }

    fn appended(&mut self, at: i64, began_chunk: bool) {
        self.recovered.samples += 1;
        widen(&mut self.range, at, at);
        if began_chunk {
            self.head.metrics.chunks.inc();
        }
    }

    fn late_record(&mut self, kind: Kind, records: &Records) {
        if kind == Kind::MmapMarkers {
            for marker in &records.markers {
                let place = ChunkPlace::from_number(marker.chunk);
                self.newest_marker = self.newest_marker.max(place.file());
                self.note_ref(marker.series);
                if let Some(Place { slot, .. }) = self.slots.get(marker.series)
                    && let Some(late) = &mut self.head.slots.get_mut(slot).out_of_order
                {
                    forget_moved(late, marker.chunk);
                }
            }
            return;
        }
        for sample in &records.samples {
            let value = LateValue::Float(sample.value);
            self.late_sample(sample.series, LateSample { at: sample.at, start: sample.start, value });
        }
        for sample in &records.histograms {
            if is_sound(&sample.value) {
                let value = LateValue::Histogram(sample.value.clone());
                self.late_sample(sample.series, LateSample { at: sample.at, start: sample.start, value });
            }
        }
    }

    fn late_sample(&mut self, log_ref: u64, sample: LateSample) {
        let at = sample.at;
        self.note_ref(log_ref);
        let Some(Place { slot, .. }) = self.place_of(log_ref, at) else { return };
        let taken = self.head.slots.get_mut(slot).out_of_order.get_or_insert_default().insert(sample);
        if taken {
            self.recovered.samples += 1;
            widen(&mut self.late_range, at, at);
        }
    }
}

/// The samples before a marker are in a chunk, if that chunk was found; otherwise they stay.
fn forget_moved(late: &mut crate::head::OutOfOrder, chunk: u64) {
    if chunk != 0 && late.full_chunks().iter().any(|full| full.place.number() == chunk) {
        late.forget_samples();
    }
}

fn by_series(chunks: Vec<LoadedChunk>) -> HashMap<u64, Vec<LoadedChunk>> {
    let mut by_series: HashMap<u64, Vec<LoadedChunk>> = HashMap::new();
    for chunk in chunks {
        by_series.entry(chunk.series).or_default().push(chunk);
    }
    by_series
}

/// Whether spans and buckets agree. A schema that is set apart for coarser resolutions is taken, as Prometheus does,
/// though nothing of today appends it.
fn is_sound(value: &HistogramValue) -> bool {
    match (value.validate(), value) {
        (Ok(()), _) => true,
        (Err(HistogramError::InvalidSchema(schema)), value) if is_exponential_schema_reserved(schema) => {
            let schema = EXPONENTIAL_SCHEMA_MIN;
            let as_known = match value {
                HistogramValue::Integer(h) => {
                    HistogramValue::Integer(Arc::new(Histogram { schema, ..Histogram::clone(h) }))
                }
                HistogramValue::Float(h) => {
                    HistogramValue::Float(Arc::new(FloatHistogram { schema, ..FloatHistogram::clone(h) }))
                }
            };
            as_known.validate().is_ok()
        }
        _ => false,
    }
}

fn widen(range: &mut (i64, i64), min: i64, max: i64) {
    *range = (range.0.min(min), range.1.max(max));
}
