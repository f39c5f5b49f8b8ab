//! One commit into the head: check, log, publish.
//!
//! 1. `append` checks each sample against its series, and records those that pass. Nothing changes yet.
//! 2. `commit` writes the recorded samples to the log, together with other waiting commits (`wal::group`).
//! 3. In the commit room of the gate, it checks again, because another commit may have been faster, and adds
//!    the samples to their series: as if the two commits had been made one after the other.
//!
//! As in Prometheus, samples of one commit are checked against each other only in step 3: of two samples of
//! one series with the same timestamp, the first is kept, and that is not an error.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ferula_model::value::is_stale;
use ferula_model::{
    CounterResetHint, Exemplar, FloatHistogram, Histogram, HistogramValue, LabelSet, MetricMetadata,
    SeriesRef, Timestamp,
};
use ferula_storage::{
    AppendError, AppendOutcome, Appender, CommitError, DiskError, Durability, HistogramSample, Refusal,
    SampleBatch, SampleKind,
};

use super::histogram_count::HistogramCount;
use super::metrics::{FLOAT, HISTOGRAM};
use super::out_of_order_records::OutOfOrderRecords;
use super::{
    Bounds, ChunkRules, Head, HeldNumber, OutOfOrderSample, OutOfOrderValue, Placement, Series, handle,
    stale_histogram,
};
use crate::ids::{LogRef, SlotId, TimeSpan};
use crate::wal::group::Entry;
use crate::wal::record::{
    LoggedExemplar, LoggedHistogram, LoggedSample, put_exemplars, put_histograms, put_metadata,
};

/// So many label sets are looked up under one lock of the index, for which readers may have to wait.
const RESOLVED_TOGETHER: usize = 128;

/// Appends to the head; see the module.
pub struct HeadAppender<'a> {
    head: &'a Head,
    bounds: Option<Bounds>,
    parts: Vec<SampleGroup>,
    /// Series with histograms in the last part.
    histogram_slots: HashSet<SlotId>,
    exemplars: Vec<(SlotId, LoggedExemplar)>,
    metadata: Vec<(SlotId, LogRef, MetricMetadata)>,
    /// Slots with a pending use by this appender, one for each, in addition to those of samples and new
    /// series.
    pinned: Vec<SlotId>,
    /// Slots of series without samples so far, one entry for each time that their labels were resolved: a
    /// pending use.
    fresh: Vec<SlotId>,
    /// Series and timestamps of this commit's samples that are in the out-of-order log.
    out_of_order_logged: HashSet<(LogRef, i64)>,
    /// Used only for metrics.
    _number: HeldNumber,
}

/// Samples, grouped by series, with all floats before the histograms.
#[derive(Default)]
struct SampleGroup {
    samples: Vec<LoggedSample>,
    slots: Vec<SlotId>,
    histograms: Vec<LoggedHistogram>,
    histogram_slots: Vec<SlotId>,
}

impl<'a> HeadAppender<'a> {
    pub(crate) fn new(head: &'a Head) -> Self {
        head.metrics.active_appenders.inc();
        head.metrics.appenders_created.inc();
        HeadAppender {
            head,
            bounds: None,
            parts: vec![SampleGroup::default()],
            histogram_slots: HashSet::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
            pinned: Vec::new(),
            fresh: Vec::new(),
            out_of_order_logged: HashSet::new(),
            _number: head.watermarks.begin_commit(),
        }
    }

    /// The bounds are the same for all samples of the commit. The very first sample sets the head's time.
    fn bounds(&mut self, first_at: i64) -> Bounds {
        *self.bounds.get_or_insert_with(|| {
            let times = &self.head.times;
            if times.in_order().is_empty() {
                times.cover_in_order(TimeSpan::closed(first_at, first_at));
            }
            Bounds {
                min_valid: self.head.min_valid_time().map_or(i64::MIN, Timestamp::millis),
                head_max: times.in_order().last(),
                out_of_order_window: self.head.out_of_order_window.load(Ordering::SeqCst),
                in_order_only: false,
            }
        })
    }

    fn append_floats(&mut self, batch: &SampleBatch, outcome: &mut AppendOutcome) {
        let Some(first) = batch.timestamps.first() else { return };
        let bounds = Bounds { in_order_only: batch.in_order_only, ..self.bounds(*first) };
        if let Some(part) = self.parts.last_mut() {
            part.samples.reserve(batch.refs.len());
            part.slots.reserve(batch.refs.len());
        }
        for (index, (series, (at, value))) in
            batch.refs.iter().zip(batch.timestamps.iter().zip(&batch.values)).enumerate()
        {
            let start = batch.start_timestamps.get(index).copied().unwrap_or(0);
            let appended = self.append_float(*series, *at, start, *value, &bounds);
            self.note_delta(&appended, *at, &bounds);
            match appended {
                Ok(_) => outcome.accepted += 1,
                Err(error) => {
                    self.count_refusal(&error, FLOAT);
                    outcome.refused.push(Refusal { kind: SampleKind::Float, index, error });
                }
            }
        }
    }

    fn append_float(
        &mut self,
        series: SeriesRef,
        at: i64,
        start: i64,
        value: f64,
        bounds: &Bounds,
    ) -> Result<Placement, AppendError> {
        let (slot, mut found) = self.head.slots.resolve(series).ok_or(AppendError::UnknownSeries)?;
        if self.takes_zero(at, start, &found, bounds) {
            drop(found);
            // A refused one is not an error: the same start timestamp comes with every sample.
            let _ = self.append_float(series, start, 0, 0.0, &bounds.in_order());
            found = self.head.slots.resolve(series).ok_or(AppendError::UnknownSeries)?.1;
        }
        if is_stale(value)
            && let Some(stale) = self.stale_as_histogram(slot, &found)
        {
            drop(found);
            return self.append_histogram(series, at, start, stale, bounds);
        }
        let placement = found.check_float(at, value, bounds)?;
        found.pending += 1;
        let log_ref = found.log_ref;
        drop(found);
        if self.histogram_slots.contains(&slot) {
            self.parts.push(SampleGroup::default());
            self.histogram_slots.clear();
        }
        if let Some(part) = self.parts.last_mut() {
            part.samples.push(LoggedSample { series: log_ref, at, start, value });
            part.slots.push(slot);
        }
        Ok(placement)
    }

    /// Records how old an out-of-order sample was, whether it is stored or not.
    fn note_delta(&self, appended: &Result<Placement, AppendError>, at: i64, bounds: &Bounds) {
        let is_out_of_order = matches!(
            appended,
            Ok(Placement::OutOfOrder) | Err(AppendError::OutOfOrder | AppendError::TooOld)
        );
        let delta_ms = bounds.head_max.saturating_sub(at);
        if is_out_of_order && delta_ms > 0 {
            self.head.metrics.out_of_order_delta.observe(delta_ms as f64 / 1000.0);
        }
    }

    /// Whether the start timestamp of a sample becomes a sample with value zero, as with
    /// `created-timestamp-zero-ingestion`: if it is new, before this sample, and after all others.
    fn takes_zero(&self, at: i64, start: i64, series: &Series, bounds: &Bounds) -> bool {
        if !self.head.start_as_zero_sample || start == 0 || !(bounds.min_valid..at).contains(&start) {
            return false;
        }
        // Senders send consecutive samples of a series, each with the same start timestamp.
        let of_commit = self.parts.last().and_then(|part| {
            let float = part.samples.last().map(|sample| (sample.series, sample.at));
            let histogram = part.histograms.last().map(|sample| (sample.series, sample.at));
            [float, histogram].into_iter().flatten().find(|(log_ref, _)| *log_ref == series.log_ref)
        });
        series.last().max(of_commit.map(|(_, at)| at)).is_none_or(|last| last < start)
    }

    /// A series of histograms ends with a histogram, not with a float.
    fn stale_as_histogram(&self, slot: SlotId, series: &Series) -> Option<HistogramValue> {
        if self.histogram_slots.contains(&slot) {
            let part = self.parts.last()?;
            let place = part.histogram_slots.iter().rposition(|other| *other == slot)?;
            return stale_histogram(match part.histograms[place].value {
                HistogramValue::Integer(_) => ferula_chunk::ValueKind::Histogram,
                HistogramValue::Float(_) => ferula_chunk::ValueKind::FloatHistogram,
            });
        }
        stale_histogram(series.last_kind()?)
    }

    fn append_histograms(&mut self, samples: &mut Vec<HistogramSample>, outcome: &mut AppendOutcome) {
        let Some(first) = samples.first() else { return };
        let bounds = self.bounds(first.timestamp.millis());
        for (index, sample) in samples.drain(..).enumerate() {
            let HistogramSample { series, timestamp, start_timestamp, value } = sample;
            let (timestamp, start_timestamp) = (timestamp.millis(), start_timestamp.millis());
            let checked = value.validate().map_err(|error| AppendError::InvalidHistogram(error.to_string()));
            let appended = checked
                .and_then(|()| self.append_histogram(series, timestamp, start_timestamp, value, &bounds));
            self.note_delta(&appended, timestamp, &bounds);
            match appended {
                Ok(_) => outcome.accepted += 1,
                Err(error) => {
                    self.count_refusal(&error, HISTOGRAM);
                    outcome.refused.push(Refusal { kind: SampleKind::Histogram, index, error });
                }
            }
        }
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        at: i64,
        start: i64,
        value: HistogramValue,
        bounds: &Bounds,
    ) -> Result<Placement, AppendError> {
        let (slot, mut found) = self.head.slots.resolve(series).ok_or(AppendError::UnknownSeries)?;
        if self.takes_zero(at, start, &found, bounds) {
            drop(found);
            let _ = self.append_histogram(series, start, 0, zero_histogram(&value), &bounds.in_order());
            found = self.head.slots.resolve(series).ok_or(AppendError::UnknownSeries)?.1;
        }
        let placement = found.check_histogram(at, &value, bounds)?;
        found.pending += 1;
        let log_ref = found.log_ref;
        drop(found);
        self.histogram_slots.insert(slot);
        if let Some(part) = self.parts.last_mut() {
            part.histograms.push(LoggedHistogram { series: log_ref, at, start, value });
            part.histogram_slots.push(slot);
        }
        Ok(placement)
    }

    fn append_exemplars(&mut self, exemplars: &mut Vec<(SeriesRef, Exemplar)>, outcome: &mut AppendOutcome) {
        if self.head.exemplars.lock().capacity() == 0 {
            exemplars.clear();
            return;
        }
        self.fresh.sort_unstable();
        for (index, (series, exemplar)) in exemplars.drain(..).enumerate() {
            match self.append_exemplar(series, exemplar) {
                // As in Prometheus, a duplicate exemplar is silently ignored.
                Ok(()) | Err(AppendError::DuplicateExemplar) => {}
                Err(error) => {
                    if error == AppendError::OutOfOrderExemplar {
                        self.head.metrics.exemplars_out_of_order.inc();
                    }
                    outcome.refused.push(Refusal { kind: SampleKind::Exemplar, index, error });
                }
            }
        }
    }

    /// `fresh` is sorted.
    fn append_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) -> Result<(), AppendError> {
        let (slot, log_ref) = self.pin_with_samples(series)?;
        let labels = self.head.index().label_set(slot);
        self.head.exemplars.lock().check(&labels, &exemplar)?;
        self.exemplars.push((slot, LoggedExemplar { series: log_ref, exemplar }));
        Ok(())
    }

    fn append_metadata(&mut self, metadata: &mut Vec<(SeriesRef, MetricMetadata)>) {
        self.fresh.sort_unstable();
        for (series, metadata) in metadata.drain(..) {
            // Metadata of a series that does not exist is not needed.
            if let Ok((slot, log_ref)) = self.pin_with_samples(series)
                && !self.head.has_metadata(slot, &metadata)
            {
                self.metadata.push((slot, log_ref, metadata));
            }
        }
    }

    /// Notes the pending use of a series that was looked up by its labels, and returns its handle.
    fn take_pinned(&mut self, (slot, generation, unused): (SlotId, u32, bool)) -> SeriesRef {
        if unused {
            self.fresh.push(slot)
        } else {
            self.pinned.push(slot)
        }
        handle(slot, generation)
    }

    /// Holds a series for an exemplar or metadata. A series whose samples were all refused counts as unknown, as in
    /// Prometheus: what describes samples keeps no series without them. `fresh` is sorted.
    fn pin_with_samples(&mut self, series: SeriesRef) -> Result<(SlotId, LogRef), AppendError> {
        let (slot, mut found) = self.head.slots.resolve(series).ok_or(AppendError::UnknownSeries)?;
        if found.unused && found.is_empty() {
            let from = self.fresh.partition_point(|fresh| *fresh < slot);
            let resolved = self.fresh[from..].iter().take_while(|fresh| **fresh == slot).count();
            if found.pending as usize <= resolved {
                return Err(AppendError::UnknownSeries);
            }
        }
        found.pending += 1;
        self.pinned.push(slot);
        Ok((slot, found.log_ref))
    }

    fn count_refusal(&self, error: &AppendError, kind: usize) {
        let metrics = &self.head.metrics;
        match error {
            AppendError::OutOfOrder => metrics.out_of_order[kind].inc(),
            AppendError::OutOfBounds => metrics.out_of_bounds[kind].inc(),
            AppendError::TooOld => metrics.too_old[kind].inc(),
            _ => {}
        }
    }

    /// Removes the series that were created for samples that were all refused, before the log contains them:
    /// a sender with a wrong clock would fill log and head with names.
    fn take_back_unused(&mut self) {
        self.fresh.sort_unstable();
        let mut unused = Vec::new();
        for uses in self.fresh.chunk_by(|a, b| a == b) {
            let mut series = self.head.slots.lock(uses[0]);
            // Samples, exemplars and metadata hold the series too, and so do other appenders: the last one
            // removes it.
            if series.unused && series.is_empty() && series.pending as usize == uses.len() {
                series.pending = 0;
                unused.push(uses[0]);
            }
        }
        if !unused.is_empty() {
            self.fresh.retain(|slot| unused.binary_search(slot).is_err());
            self.head.unmake(&unused);
        }
    }

    /// What is written to the log; `None` if there is nothing.
    fn entry(&self) -> Option<Entry<'_>> {
        let mut entry = Entry::default();
        let start_timestamps = self.head.rules.start_timestamps();
        for part in &self.parts {
            entry.samples(&part.samples);
            put_histograms(&part.histograms, start_timestamps, |write| {
                let mut record = Vec::new();
                write(&mut record);
                entry.record(record);
            });
        }
        if !self.exemplars.is_empty() {
            let logged: Vec<LoggedExemplar> = self.exemplars.iter().map(|(_, e)| e.clone()).collect();
            let mut record = Vec::new();
            put_exemplars(&mut record, &logged);
            entry.record(record);
        }
        if !self.metadata.is_empty() {
            let mut record = Vec::new();
            put_metadata(
                &mut record,
                self.metadata.iter().map(|(_, log_ref, metadata)| (*log_ref, metadata)),
            );
            entry.record(record);
        }
        (!entry.is_empty()).then_some(entry)
    }

    /// Logs which samples are stored out of order, before any of them becomes visible. The main log does not
    /// contain this: on replay, samples that are out of order there are skipped.
    fn log_out_of_order(&mut self) -> Result<(), DiskError> {
        let (Some(bounds), Some(log)) = (self.bounds, self.head.out_of_order_log()) else { return Ok(()) };
        let mut out_of_order = OutOfOrderRecords::new(self.head);
        for part in &self.parts {
            for (sample, slot) in part.samples.iter().zip(&part.slots) {
                let mut series = self.head.slots.lock(*slot);
                if series.check_float(sample.at, sample.value, &bounds) == Ok(Placement::OutOfOrder) {
                    out_of_order.make_room(*slot, &mut series);
                    out_of_order.samples.push(*sample);
                }
            }
            for (sample, slot) in part.histograms.iter().zip(&part.histogram_slots) {
                let mut series = self.head.slots.lock(*slot);
                if series.check_histogram(sample.at, &sample.value, &bounds) == Ok(Placement::OutOfOrder) {
                    out_of_order.make_room(*slot, &mut series);
                    out_of_order.histograms.push(sample.clone());
                }
            }
        }
        self.out_of_order_logged = out_of_order.keys().collect();
        out_of_order.entry().map_or(Ok(()), |entry| self.head.log_out_of_order(&log, entry))
    }

    /// Adds the samples to their series.
    fn apply(&mut self) {
        let Some(mut bounds) = self.bounds else { return };
        let room = self.head.gate.commit();
        // A block may have been cut since the samples were checked.
        bounds.min_valid = bounds.min_valid.max(self.head.times.floor());
        let mut applied = Applied::new(self.head, bounds);
        for part in &self.parts {
            for (sample, slot) in part.samples.iter().zip(&part.slots) {
                applied.float(*slot, sample);
            }
            for (sample, slot) in part.histograms.iter().zip(&part.histogram_slots) {
                applied.histogram(*slot, sample);
            }
        }
        applied.publish();
        drop(room);
        // Each sample's pending use ended when it was applied.
        self.parts.clear();
        if applied.out_of_order.keys().any(|key| !self.out_of_order_logged.contains(&key))
            && let (Some(entry), Some(log)) = (applied.out_of_order.entry(), self.head.out_of_order_log())
        {
            // Samples of one commit that are out of order relative to each other, or to another commit to the
            // same series, are only known now. As in Prometheus, if this cannot be written, they may be
            // missing after a restart.
            if let Err(error) = self.head.log_out_of_order(&log, entry) {
                ferula_telemetry::error!("Failed to log out of order samples into the WBL", err = error);
            }
        }
    }

    fn store_extras(&mut self) {
        let with_extras =
            self.exemplars.iter().map(|(slot, _)| slot).chain(self.metadata.iter().map(|(slot, ..)| slot));
        with_extras.for_each(|slot| self.head.slots.lock(*slot).unused = false);
        if !self.exemplars.is_empty() {
            let index = self.head.index();
            let mut exemplars = self.head.exemplars.lock();
            for (slot, logged) in self.exemplars.drain(..) {
                match exemplars.add(&index.label_set(slot), logged.exemplar) {
                    Ok(()) => self.head.metrics.exemplars_appended.inc(),
                    Err(AppendError::OutOfOrderExemplar) => self.head.metrics.exemplars_out_of_order.inc(),
                    Err(_) => {}
                }
            }
        }
        for (slot, _, metadata) in self.metadata.drain(..) {
            self.head.set_metadata(slot, &metadata);
        }
    }
}

/// The histogram without observations that a start timestamp stands for. It has the same layout as the sample, so that
/// no new chunk has to be started.
pub(crate) fn zero_histogram(like: &HistogramValue) -> HistogramValue {
    match like {
        HistogramValue::Integer(like) => HistogramValue::Integer(Arc::new(Histogram {
            counter_reset_hint: CounterResetHint::Reset,
            schema: like.schema,
            zero_threshold: like.zero_threshold,
            custom_values: like.custom_values.clone(),
            ..Histogram::default()
        })),
        HistogramValue::Float(like) => HistogramValue::Float(Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::Reset,
            schema: like.schema,
            zero_threshold: like.zero_threshold,
            custom_values: like.custom_values.clone(),
            ..FloatHistogram::default()
        })),
    }
}

/// Changes that a commit made to the head, collected while it is applied.
struct Applied<'a> {
    head: &'a Head,
    rules: ChunkRules,
    bounds: Bounds,
    appended: [u64; 2],
    out_of_order_appended: [u64; 2],
    refused: [Refused; 2],
    chunks: u64,
    histograms: HistogramCount,
    range: (i64, i64),
    out_of_order_span: (i64, i64),
    out_of_order: OutOfOrderRecords<'a>,
}

#[derive(Clone, Copy, Default)]
struct Refused {
    out_of_order: u64,
    out_of_bounds: u64,
    too_old: u64,
}

impl<'a> Applied<'a> {
    fn new(head: &'a Head, bounds: Bounds) -> Self {
        Applied {
            head,
            rules: head.rules.now(),
            bounds,
            appended: [0; 2],
            out_of_order_appended: [0; 2],
            refused: [Refused::default(); 2],
            chunks: 0,
            histograms: HistogramCount::default(),
            range: (i64::MAX, i64::MIN),
            out_of_order_span: (i64::MAX, i64::MIN),
            out_of_order: OutOfOrderRecords::new(head),
        }
    }

    fn float(&mut self, slot: SlotId, sample: &LoggedSample) {
        let mut series = self.head.slots.lock(slot);
        series.pending -= 1;
        match series.check_float(sample.at, sample.value, &self.bounds) {
            Ok(Placement::InOrder) => {
                let (at, start) = (sample.at, sample.start);
                series.unused = false;
                let (rules, chunks) = (&self.rules, &self.head.chunks);
                let began = self.histograms.around(&mut series, |series| {
                    series.append_float(at, start, sample.value, rules, chunks)
                });
                self.in_order(FLOAT, at, began);
            }
            Ok(Placement::OutOfOrder) => {
                let value = OutOfOrderValue::Float(sample.value);
                let out_of_order = OutOfOrderSample { at: sample.at, start: sample.start, value };
                if self.out_of_order(FLOAT, &mut series, out_of_order) {
                    self.out_of_order.samples.push(*sample);
                }
            }
            Ok(Placement::Repeated) => {}
            Err(error) => self.count(FLOAT, &error),
        }
    }

    fn histogram(&mut self, slot: SlotId, sample: &LoggedHistogram) {
        let mut series = self.head.slots.lock(slot);
        series.pending -= 1;
        match series.check_histogram(sample.at, &sample.value, &self.bounds) {
            Ok(Placement::InOrder) => {
                let (at, start) = (sample.at, sample.start);
                series.unused = false;
                let (rules, chunks) = (&self.rules, &self.head.chunks);
                let began = self.histograms.around(&mut series, |series| {
                    series.append_histogram(at, start, &sample.value, rules, chunks)
                });
                self.in_order(HISTOGRAM, at, began);
            }
            Ok(Placement::OutOfOrder) => {
                let value = OutOfOrderValue::Histogram(sample.value.clone());
                let out_of_order = OutOfOrderSample { at: sample.at, start: sample.start, value };
                if self.out_of_order(HISTOGRAM, &mut series, out_of_order) {
                    self.out_of_order.histograms.push(sample.clone());
                }
            }
            Ok(Placement::Repeated) => {}
            Err(error) => self.count(HISTOGRAM, &error),
        }
    }

    fn in_order(&mut self, kind: usize, at: i64, began_chunk: bool) {
        self.appended[kind] += 1;
        self.chunks += u64::from(began_chunk);
        self.range = (self.range.0.min(at), self.range.1.max(at));
    }

    fn out_of_order(&mut self, kind: usize, series: &mut Series, sample: OutOfOrderSample) -> bool {
        let at = sample.at;
        series.unused = false;
        let taken = series.out_of_order.get_or_insert_default().insert(sample);
        if taken {
            self.appended[kind] += 1;
            self.out_of_order_appended[kind] += 1;
            self.out_of_order_span = (self.out_of_order_span.0.min(at), self.out_of_order_span.1.max(at));
        }
        taken
    }

    fn count(&mut self, kind: usize, error: &AppendError) {
        match error {
            AppendError::OutOfOrder => self.refused[kind].out_of_order += 1,
            AppendError::OutOfBounds => self.refused[kind].out_of_bounds += 1,
            AppendError::TooOld => self.refused[kind].too_old += 1,
            _ => {}
        }
    }

    fn publish(&mut self) {
        let (times, metrics) = (&self.head.times, &self.head.metrics);
        times.cover_in_order(TimeSpan::closed(self.range.0, self.range.1));
        times.cover_out_of_order(TimeSpan::closed(self.out_of_order_span.0, self.out_of_order_span.1));
        for kind in [FLOAT, HISTOGRAM] {
            metrics.samples_appended[kind].add(self.appended[kind]);
            metrics.out_of_order_samples_appended[kind].add(self.out_of_order_appended[kind]);
            metrics.out_of_order[kind].add(self.refused[kind].out_of_order);
            metrics.out_of_bounds[kind].add(self.refused[kind].out_of_bounds);
            metrics.too_old[kind].add(self.refused[kind].too_old);
        }
        metrics.chunks.add(self.chunks as f64);
        metrics.chunks_created.add(self.chunks);
        self.histograms.publish(metrics);
    }
}

impl Appender for HeadAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::EmptyLabelSet);
        }
        let found = self.head.get_or_create(labels)?;
        Ok(self.take_pinned(found))
    }

    fn resolve_all(&mut self, sets: &[LabelSet]) -> Vec<Result<SeriesRef, AppendError>> {
        let mut resolved = Vec::with_capacity(sets.len());
        for some in sets.chunks(RESOLVED_TOGETHER) {
            let head = self.head;
            head.get_or_create_all(some, |found| {
                resolved.push(match found {
                    Ok(found) => Ok(self.take_pinned(found)),
                    Err(error) => Err(error),
                });
            });
        }
        resolved
    }

    fn find(&mut self, labels: &LabelSet) -> Option<SeriesRef> {
        let found = self.head.get(labels)?;
        Some(self.take_pinned(found))
    }

    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
        let mut outcome = AppendOutcome::default();
        self.append_floats(batch, &mut outcome);
        self.append_histograms(&mut batch.histograms, &mut outcome);
        self.append_exemplars(&mut batch.exemplars, &mut outcome);
        self.append_metadata(&mut batch.metadata);
        batch.clear();
        outcome
    }

    fn commit(mut self: Box<Self>, durability: Durability) -> Result<(), CommitError> {
        let _flight = self.head.flights.begin();
        if self.head.closed.load(Ordering::SeqCst) {
            return Err(CommitError::Closed);
        }
        self.take_back_unused();
        let Some(entry) = self.entry() else { return Ok(()) };
        self.head.log.commit(entry).map_err(CommitError::Log)?;
        if durability == Durability::Synced {
            self.head.log.sync().map_err(|error| CommitError::Log(error.into()))?;
        }
        self.log_out_of_order().map_err(CommitError::Log)?;
        self.apply();
        self.store_extras();
        Ok(())
    }
}

impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        let of_samples = self.parts.iter().flat_map(|part| part.slots.iter().chain(&part.histogram_slots));
        for slot in self.pinned.iter().chain(of_samples) {
            self.head.slots.lock(*slot).pending -= 1;
        }
        // Removes a series that this appender (or another one that has ended) created, if nothing was
        // committed to it.
        let mut unused = Vec::new();
        for slot in &self.fresh {
            let mut series = self.head.slots.lock(*slot);
            series.pending -= 1;
            if series.unused && series.is_empty() && series.pending == 0 {
                unused.push(*slot);
            }
        }
        if !unused.is_empty() {
            unused.sort_unstable();
            self.head.unmake(&unused);
        }
        self.head.metrics.active_appenders.dec();
    }
}

#[cfg(test)]
mod tests;
