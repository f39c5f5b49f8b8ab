//! Restores an empty head from the content of the files.
//!
//! Here: the effect of a record, a chunk or a savepoint's series on the head. Elsewhere: which files are
//! read, in which order, and how damage is handled (`recovery`); reading them (`wal`, `head_chunks`,
//! `savepoint`).
//!
//! Records come in the order of the log, and may be repeated: a sample that is not newer than the last one of
//! its series is skipped.

mod ref_table;
mod saved;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ferula_model::histogram::{EXPONENTIAL_SCHEMA_MIN, HistogramError, is_exponential_schema_reserved};
use ferula_model::value::is_stale;
use ferula_model::{Exemplar, FloatHistogram, Histogram, HistogramValue, LabelSet};

use super::histogram_count::HistogramCount;
use super::index::Full;
use super::{
    ChunkRules, ExtraRef, FullChunk, Head, OutOfOrderSample, OutOfOrderValue, Slots, stale_histogram,
};
use crate::head_chunks::{ChunkPlace, LoadedChunk};
use crate::ids::{LogRef, SlotId, TimeSpan};
use crate::wal::record::{LoggedHistogram, LoggedMarker, LoggedSample, LoggedSeries, RecordKind, Records};
use ref_table::{REF_MAX, RefTable, RefTarget};
pub(crate) use saved::SavedSeriesError;

/// A replay into an empty head, created by the head.
pub(crate) struct Replay<'a> {
    head: &'a mut Head,
    /// In-order samples before this time are in blocks.
    floor: i64,
    rules: ChunkRules,
    slots: RefTable,
    /// Chunks of `chunks_head` whose series has not been read yet.
    chunks: HashMap<LogRef, Vec<LoadedChunk>>,
    /// Out-of-order chunks that the out-of-order log has not mentioned yet, by position.
    unmarked: HashMap<u64, (SlotId, FullChunk)>,
    /// Out-of-order chunks before this place are in blocks.
    in_blocks: ChunkPlace,
    /// Series whose last marker names a chunk that was not found.
    without_marked: HashSet<SlotId>,
    /// Additional refs of label sets, and the newest time at which each was used.
    extra_refs: HashMap<LogRef, ExtraRef>,
    /// From a savepoint: additional refs of label sets that have not been restored yet, by their first ref.
    waiting_refs: HashMap<LogRef, Vec<LogRef>>,
    done: Replayed,
    /// Samples of the log that stand before all chunks of their series, and after all blocks.
    uncovered: u64,
    in_order: TimeSpan,
    out_of_order: TimeSpan,
    /// The first file of `chunks_head` that this replay writes.
    first_written: u32,
    /// The newest file of `chunks_head` that a marker names.
    newest_marker: u32,
    /// The largest ref in any file. A new series must not get a ref that old samples or chunks use, even if
    /// their own series is gone.
    newest_ref: u64,
}

/// What a replay did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replayed {
    /// Samples added to the head.
    pub samples: u64,
    /// Records that refer to a series that is not (or no longer) in the log.
    pub unknown_series: u64,
    /// Series restored from a savepoint.
    pub saved_series: u64,
    /// Out-of-order chunks that were taken though no marker names them, because the log that would is not whole. It must name
    /// them from now on: at the next start it is whole again. Chunk 0 stands for none: the samples that the series has in
    /// memory must be logged again, because a marker before which they stand names a chunk that is gone. Prometheus takes the
    /// marker's word once there are newer chunks.
    pub to_mark: Vec<LoggedMarker>,
}

impl Head {
    /// Begins a replay into this empty head. `chunks` are those in `chunks_head`.
    pub(crate) fn replay(&mut self, chunks: Vec<LoadedChunk>) -> Replay<'_> {
        for chunk in chunks.iter().filter(|chunk| chunk.out_of_order) {
            self.chunks.note_out_of_order(chunk.place, chunk.min);
        }
        let refs = chunks.iter().map(|chunk| chunk.series.get()).filter(|log_ref| *log_ref < REF_MAX);
        let newest_ref = refs.max().unwrap_or(0);
        Replay {
            floor: self.times.floor(),
            rules: self.rules.now(),
            first_written: self.chunks.current_file(),
            head: self,
            slots: RefTable::default(),
            chunks: by_series(chunks),
            unmarked: HashMap::new(),
            in_blocks: ChunkPlace::new(0, 0),
            without_marked: HashSet::new(),
            extra_refs: HashMap::new(),
            waiting_refs: HashMap::new(),
            done: Replayed::default(),
            uncovered: 0,
            in_order: TimeSpan::EMPTY,
            out_of_order: TimeSpan::EMPTY,
            newest_marker: 0,
            newest_ref,
        }
    }

    /// The slot of the series with these labels, which is created under `log_ref` if necessary, and whether
    /// it was created. What is already in the log is accepted again, whatever the limits are.
    ///
    /// # Errors
    /// There are more series than a head can hold.
    fn bring_back<'l>(
        &mut self,
        labels: impl ExactSizeIterator<Item = (&'l str, &'l str)> + Clone,
        log_ref: LogRef,
    ) -> Result<(SlotId, bool), Full> {
        let (slot, made) = self.index.get_mut().find_or_insert(labels.clone(), || self.slots.take())?;
        if made {
            let series = self.slots.get_mut(slot);
            series.log_ref = log_ref;
            series.alive = true;
            if let Some(end) = self.departed.get_mut().end_of(labels) {
                series.goes_on_after(end);
            }
            self.metrics.series.inc();
            self.metrics.series_created.inc();
        }
        Ok((slot, made))
    }

    /// Removes all restored series.
    fn clear(&mut self) {
        self.slots = Slots::default();
        *self.index.get_mut() = Default::default();
        *self.deleted.get_mut() = Default::default();
        *self.metadata.get_mut() = Default::default();
        *self.departed.get_mut() = Default::default();
        self.metrics.series.set(0.0);
        self.metrics.chunks.set(0.0);
    }
}

impl Replay<'_> {
    /// The rules for chunks, which must be the same as when a savepoint was taken.
    pub fn rules(&self) -> &ChunkRules {
        &self.rules
    }

    /// Number of series restored from a savepoint so far.
    pub fn saved_series_count(&self) -> u64 {
        self.done.saved_series
    }

    /// Records so far that name a series that nothing has.
    pub fn unknown_series(&self) -> u64 {
        self.done.unknown_series
    }

    /// How many samples stand before all chunks of their series: more than none, and chunks are missing.
    pub fn uncovered(&self) -> u64 {
        self.uncovered
    }

    /// Drops the chunks that this replay has written: it starts over.
    pub fn discard_written_chunks(&self) {
        self.head.chunks.discard_from(self.first_written);
    }

    /// Drops all chunks, whose files were set aside.
    pub fn discard_all_chunks(&self) {
        self.head.chunks.discard_from(0);
    }

    /// Says that out-of-order chunks before this place are in blocks.
    pub fn are_in_blocks(&mut self, before: ChunkPlace) {
        self.in_blocks = before;
    }

    /// Whether the head keeps exemplars.
    pub fn keeps_exemplars(&self) -> bool {
        self.head.exemplars.lock().capacity() > 0
    }

    /// Adds exemplars in the order of their arrival. Out-of-order ones were refused before, and are refused
    /// again.
    pub fn exemplars(&mut self, exemplars: impl IntoIterator<Item = (LabelSet, Exemplar)>) {
        let stored = self.head.exemplars.get_mut();
        for (labels, exemplar) in exemplars {
            let _ = stored.add(&labels, exemplar);
        }
    }

    /// Records that this ref is used somewhere.
    pub fn note_ref(&mut self, log_ref: LogRef) {
        if log_ref.get() < REF_MAX {
            self.newest_ref = self.newest_ref.max(log_ref.get());
        }
    }

    /// Sets the head's times and returns statistics.
    ///
    /// # Errors
    /// The disk failed.
    pub fn finish(mut self) -> io::Result<Replayed> {
        for slot in std::mem::take(&mut self.without_marked) {
            let series = self.head.slots.get_mut(slot);
            if series.out_of_order.as_ref().is_some_and(|out_of_order| !out_of_order.samples().is_empty()) {
                self.done.to_mark.push(LoggedMarker { series: series.log_ref, chunk: 0 });
            }
        }
        // A lost file's number must not be reused: a marker would confuse a new chunk with an old one.
        self.head.chunks.reserve(self.newest_marker)?;
        self.head.next_ref.fetch_max(self.newest_ref + 1, Ordering::SeqCst);
        self.head.times.cover_in_order(self.in_order);
        self.head.times.cover_out_of_order(self.out_of_order);
        *self.head.extra_refs.get_mut() = self.extra_refs;
        let mut counted = HistogramCount::default();
        self.head.slots.all().for_each(|slot| counted.has(self.head.slots.get_mut(slot)));
        counted.publish(&self.head.metrics);
        Ok(self.done)
    }

    /// Processes a record of the log.
    pub fn record(&mut self, kind: RecordKind, records: &Records) {
        match kind {
            RecordKind::Series => records.series.iter().for_each(|series| self.series(series)),
            RecordKind::Samples | RecordKind::SamplesV2 => self.samples(&records.samples),
            RecordKind::Histograms
            | RecordKind::FloatHistograms
            | RecordKind::CustomHistograms
            | RecordKind::CustomFloatHistograms
            | RecordKind::HistogramsV2
            | RecordKind::FloatHistogramsV2 => records.histograms.iter().for_each(|h| self.histogram(h)),
            RecordKind::Tombstones => {
                for tombstone in &records.tombstones {
                    self.note_ref(tombstone.series);
                    match self.slots.get(tombstone.series) {
                        Some(RefTarget { slot, .. }) => {
                            self.head.add_deleted(slot, TimeSpan::closed(tombstone.min, tombstone.max))
                        }
                        None => self.done.unknown_series += 1,
                    }
                }
            }
            RecordKind::Exemplars => {
                let index = self.head.index.get_mut();
                let exemplars = self.head.exemplars.get_mut();
                for logged in &records.exemplars {
                    if let Some(RefTarget { slot, .. }) = self.slots.get(logged.series) {
                        // An out-of-order sample was refused before, although it is in the log; skip it
                        // again.
                        let _ = exemplars.add(&index.label_set(slot), logged.exemplar.clone());
                    }
                }
            }
            RecordKind::Metadata => {
                for logged in &records.metadata {
                    if let Some(RefTarget { slot, .. }) = self.slots.get(logged.series) {
                        self.head.set_metadata(slot, &logged.metadata);
                    }
                }
            }
            RecordKind::MmapMarkers => {}
        }
    }

    fn series(&mut self, logged: &LoggedSeries) {
        self.note_ref(logged.series);
        if logged.labels.is_empty() || self.slots.get(logged.series).is_some() {
            return;
        }
        // More than a head can hold: further records of the series count as unknown.
        let Ok((slot, made)) = self.head.bring_back(logged.labels.iter(), logged.series) else { return };
        if !made {
            let first = self.head.slots.get_mut(slot).log_ref;
            self.extra_refs.insert(logged.series, ExtraRef { first, newest: i64::MIN });
        }
        let chunks_from = self.adopt_chunks(logged.series, slot).unwrap_or(i64::MIN);
        let done_to = self.head.slots.get_mut(slot).last().unwrap_or(i64::MIN);
        self.slots.insert(logged.series, RefTarget { done_to, chunks_from, slot, extra: !made });
    }

    /// Takes the chunks that `chunks_head` has of a ref; returns where the first of its in-order ones begins.
    fn adopt_chunks(&mut self, log_ref: LogRef, slot: SlotId) -> Option<i64> {
        let chunks = self.chunks.remove(&log_ref)?;
        let mut from = None;
        let series = self.head.slots.get_mut(slot);
        for chunk in chunks {
            let full = FullChunk::new(chunk.place, chunk.min, chunk.max, chunk.samples, chunk.encoding);
            if chunk.out_of_order {
                self.unmarked.insert(chunk.place.number(), (slot, full));
            } else if chunk.max >= self.floor && series.adopt(full) {
                from.get_or_insert(chunk.min);
                self.in_order = self.in_order.cover(TimeSpan::closed(chunk.min, chunk.max));
                self.done.samples += u64::from(chunk.samples);
                self.head.metrics.chunks.inc();
            }
        }
        from
    }

    /// Whether the sample at this time is in a chunk, or newer than all of them. Notes one that stands before all chunks.
    #[inline]
    fn is_done(&mut self, log_ref: LogRef, place: RefTarget, at: i64) -> bool {
        if at > place.done_to {
            return false;
        }
        if place.chunks_from != i64::MIN {
            if at < place.chunks_from {
                self.uncovered += 1;
            } else {
                self.slots.reached_chunks(log_ref);
            }
        }
        true
    }

    fn adopt_out_of_order(&mut self, slot: SlotId, full: FullChunk) {
        self.head.slots.get_mut(slot).out_of_order.get_or_insert_default().adopt(full);
        self.out_of_order = self.out_of_order.cover(full.time_span());
        self.head.metrics.chunks.inc();
    }

    /// Adopts the chunks of a series that were written before a marked one and that the log does not mention,
    /// as far as the log still has their samples: a backup or a failed cut moves samples to chunks without a
    /// marker. With the marker, chunks replace all samples that were read so far, so these chunks must be
    /// included. A chunk whose samples are in blocks has none left in the log.
    fn adopt_unmarked_before(&mut self, log_ref: LogRef, marked: u64) {
        let Some(RefTarget { slot, .. }) = self.slots.get(log_ref) else { return };
        let Some(out_of_order) = &self.head.slots.get_mut(slot).out_of_order else { return };
        let samples = out_of_order.samples();
        if samples.is_empty() || self.unmarked.is_empty() {
            return;
        }
        let is_logged = |full: &FullChunk| {
            let span = full.time_span();
            let from = samples.partition_point(|sample| sample.at < span.start());
            samples.get(from).is_some_and(|sample| span.contains(sample.at))
        };
        let mut places: Vec<u64> = self
            .unmarked
            .iter()
            .filter(|(place, (of, full))| **place < marked && *of == slot && is_logged(full))
            .map(|(place, _)| *place)
            .collect();
        places.sort_unstable();
        for place in places {
            if let Some((slot, full)) = self.unmarked.remove(&place) {
                self.adopt_out_of_order(slot, full);
            }
        }
    }

    /// Ends the out-of-order log. If it was read completely (`whole`), out-of-order chunks that it does not
    /// mention are dropped: their samples are in blocks, or still in the log itself. Otherwise, the missing
    /// part may have mentioned those that are not known to be in blocks.
    pub fn out_of_order_log_ends(&mut self, whole: bool) {
        let mut unmarked: Vec<(u64, (SlotId, FullChunk))> = self.unmarked.drain().collect();
        if whole {
            return;
        }
        unmarked.retain(|(place, _)| ChunkPlace::from_number(*place) >= self.in_blocks);
        unmarked.sort_unstable_by_key(|(place, _)| *place);
        for (chunk, (slot, full)) in unmarked {
            let series = self.head.slots.get_mut(slot).log_ref;
            self.adopt_out_of_order(slot, full);
            self.done.to_mark.push(LoggedMarker { series, chunk });
        }
    }

    /// The slot for samples of a ref, if it has one. Records that the ref was used.
    fn place_of(&mut self, log_ref: LogRef, at: i64) -> Option<RefTarget> {
        let Some(place) = self.slots.get(log_ref) else {
            self.done.unknown_series += 1;
            return None;
        };
        if place.extra
            && let Some(extra) = self.extra_refs.get_mut(&log_ref)
        {
            extra.newest = extra.newest.max(at);
        }
        Some(place)
    }

    fn samples(&mut self, samples: &[LoggedSample]) {
        for sample in samples {
            self.note_ref(sample.series);
            let at = sample.at;
            if at < self.floor {
                continue;
            }
            let Some(place) = self.place_of(sample.series, at) else { continue };
            if self.is_done(sample.series, place, at) {
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
        if at < self.floor {
            return;
        }
        let Some(place) = self.place_of(sample.series, at) else { return };
        // The log may be anybody's: a histogram that contradicts itself is not worth a start.
        if self.is_done(sample.series, place, at) || !is_sound(&sample.value) {
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
        self.done.samples += 1;
        self.in_order = self.in_order.cover(TimeSpan::closed(at, at));
        if began_chunk {
            self.head.metrics.chunks.inc();
        }
    }

    /// Processes a record of the out-of-order log.
    pub fn out_of_order_record(&mut self, kind: RecordKind, records: &Records) {
        if kind == RecordKind::MmapMarkers {
            self.markers(&records.markers);
            return;
        }
        for sample in &records.samples {
            let value = OutOfOrderValue::Float(sample.value);
            self.out_of_order_sample(
                sample.series,
                OutOfOrderSample { at: sample.at, start: sample.start, value },
            );
        }
        for sample in &records.histograms {
            if is_sound(&sample.value) {
                let value = OutOfOrderValue::Histogram(sample.value.clone());
                self.out_of_order_sample(
                    sample.series,
                    OutOfOrderSample { at: sample.at, start: sample.start, value },
                );
            }
        }
    }

    /// Processes markers that were logged together.
    fn markers(&mut self, markers: &[LoggedMarker]) {
        for marker in markers {
            self.newest_marker = self.newest_marker.max(ChunkPlace::from_number(marker.chunk).file());
            self.note_ref(marker.series);
            self.adopt_unmarked_before(marker.series, marker.chunk);
            if let Some((slot, full)) = self.unmarked.remove(&marker.chunk) {
                self.adopt_out_of_order(slot, full);
            }
        }
        // The samples of a series may be in several chunks; they are forgotten only if all of those were found. Chunk 0 stands
        // for none.
        let mut all_found: HashMap<SlotId, bool> = HashMap::new();
        for marker in markers.iter().filter(|marker| marker.chunk != 0) {
            let Some(RefTarget { slot, .. }) = self.slots.get(marker.series) else { continue };
            let Some(out_of_order) = &self.head.slots.get_mut(slot).out_of_order else { continue };
            let found = out_of_order.full_chunks().iter().any(|full| full.place.number() == marker.chunk);
            *all_found.entry(slot).or_insert(true) &= found;
        }
        for (slot, all_found) in all_found {
            let Some(out_of_order) = &mut self.head.slots.get_mut(slot).out_of_order else { continue };
            if all_found {
                out_of_order.forget_samples();
                self.without_marked.remove(&slot);
            } else if !out_of_order.samples().is_empty() {
                self.without_marked.insert(slot);
            }
        }
    }

    fn out_of_order_sample(&mut self, log_ref: LogRef, sample: OutOfOrderSample) {
        let at = sample.at;
        self.note_ref(log_ref);
        let Some(RefTarget { slot, .. }) = self.place_of(log_ref, at) else { return };
        let taken = self.head.slots.get_mut(slot).out_of_order.get_or_insert_default().insert(sample);
        if taken {
            self.done.samples += 1;
            self.out_of_order = self.out_of_order.cover(TimeSpan::closed(at, at));
        }
    }
}

fn by_series(chunks: Vec<LoadedChunk>) -> HashMap<LogRef, Vec<LoadedChunk>> {
    let mut by_series: HashMap<LogRef, Vec<LoadedChunk>> = HashMap::new();
    for chunk in chunks {
        by_series.entry(chunk.series).or_default().push(chunk);
    }
    by_series
}

/// Whether spans and buckets are consistent. A schema that is reserved for coarser resolutions is accepted,
/// as in Prometheus, although currently nothing writes it.
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
