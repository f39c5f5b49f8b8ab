//! One commit of an agent: check against the newest time of each series, log.

use std::sync::atomic::Ordering;

use ferula_model::{Exemplar, HistogramValue, LabelSet, SeriesRef};
use ferula_storage::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, HistogramSample, Refusal,
    SampleBatch, SampleKind,
};

use super::AgentDb;
use super::metrics::{FLOAT, HISTOGRAM};
use super::series::{AllSeries, Series};
use crate::head::{check_labels, is_same, zero_histogram};
use crate::ids::SlotId;
use crate::wal::group::Entry;
use crate::wal::record::{LoggedExemplar, LoggedHistogram, LoggedSample, put_exemplars, put_histograms};

/// An appender of an agent.
///
/// As in Prometheus, samples of one commit are not checked against each other: all of them are logged.
struct AgentAppender<'a> {
    db: &'a AgentDb,
    samples: Vec<LoggedSample>,
    sample_slots: Vec<SlotId>,
    histograms: Vec<LoggedHistogram>,
    histogram_slots: Vec<SlotId>,
    exemplars: Vec<LoggedExemplar>,
    /// A pending use each, beside those of samples and histograms.
    resolved: Vec<SlotId>,
}

impl<'a> AgentAppender<'a> {
    fn new(db: &'a AgentDb) -> Self {
        AgentAppender {
            db,
            samples: Vec::new(),
            sample_slots: Vec::new(),
            histograms: Vec::new(),
            histogram_slots: Vec::new(),
            exemplars: Vec::new(),
            resolved: Vec::new(),
        }
    }

    /// Marks a series as used until the appender is dropped. Must be called with the lock that found it.
    fn pin(&mut self, (slot, series): (SlotId, &Series)) {
        series.pending.fetch_add(1, Ordering::Relaxed);
        self.resolved.push(slot);
    }

    /// Whether the start of a sample becomes a sample of value zero: it fits before the sample and behind all others.
    fn takes_zero(&self, series: &Series, at: i64, start: i64) -> bool {
        if !self.db.options.start_as_zero_sample || start == 0 || start >= at {
            return false;
        }
        // Senders send the samples of a series one after the other, each with the same start.
        let float = self.samples.last().map(|sample| (sample.series, sample.at));
        let histogram = self.histograms.last().map(|sample| (sample.series, sample.at));
        let of_commit =
            [float, histogram].into_iter().flatten().filter(|(log_ref, _)| *log_ref == series.log_ref);
        let newest = of_commit.map(|(_, at)| at).max().unwrap_or(i64::MIN);
        start > newest.max(series.newest_ms.load(Ordering::Relaxed))
    }

    fn check_time(&self, series: &Series, at: i64) -> Result<(), AppendError> {
        let newest = series.newest_ms.load(Ordering::Relaxed);
        if newest != i64::MIN && at <= newest.saturating_sub(self.db.options.out_of_order_window_ms) {
            self.db.metrics.out_of_order.inc();
            return Err(AppendError::OutOfOrder);
        }
        Ok(())
    }

    fn append_float(
        &mut self,
        all: &AllSeries,
        series: SeriesRef,
        (at, start): (i64, i64),
        value: f64,
    ) -> Result<(), AppendError> {
        let (slot, series) = all.resolve(series).ok_or(AppendError::UnknownSeries)?;
        if self.takes_zero(series, at, start) {
            self.push_float(slot, series, (start, 0), 0.0);
        }
        self.check_time(series, at)?;
        self.push_float(slot, series, (at, start), value);
        Ok(())
    }

    fn push_float(&mut self, slot: SlotId, series: &Series, (at, start): (i64, i64), value: f64) {
        series.pending.fetch_add(1, Ordering::Relaxed);
        self.samples.push(LoggedSample { series: series.log_ref, at, start, value });
        self.sample_slots.push(slot);
        self.db.metrics.samples[FLOAT].inc();
    }

    fn append_histogram(&mut self, all: &AllSeries, sample: HistogramSample) -> Result<(), AppendError> {
        let HistogramSample { series, timestamp, start_timestamp, value } = sample;
        let (at, start) = (timestamp.millis(), start_timestamp.millis());
        value.validate().map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        let (slot, series) = all.resolve(series).ok_or(AppendError::UnknownSeries)?;
        if self.takes_zero(series, at, start) {
            self.push_histogram(slot, series, start, 0, zero_histogram(&value));
        }
        self.check_time(series, at)?;
        self.push_histogram(slot, series, at, start, value);
        Ok(())
    }

    fn push_histogram(&mut self, slot: SlotId, series: &Series, at: i64, start: i64, value: HistogramValue) {
        series.pending.fetch_add(1, Ordering::Relaxed);
        self.histograms.push(LoggedHistogram { series: series.log_ref, at, start, value });
        self.histogram_slots.push(slot);
        self.db.metrics.samples[HISTOGRAM].inc();
    }

    fn append_exemplar(
        &mut self,
        all: &AllSeries,
        series: SeriesRef,
        exemplar: Exemplar,
    ) -> Result<(), AppendError> {
        let (slot, series) = all.resolve(series).ok_or(AppendError::UnknownSeries)?;
        check_labels(&exemplar)?;
        let mut newest = self.db.exemplars.lock();
        if newest.get(&series.log_ref).is_some_and(|newest| is_same(newest, &exemplar)) {
            // As in Prometheus, one that is there already is silently left out.
            return Ok(());
        }
        newest.insert(series.log_ref, exemplar.clone());
        drop(newest);
        self.pin((slot, series));
        self.exemplars.push(LoggedExemplar { series: series.log_ref, exemplar });
        self.db.metrics.exemplars.inc();
        Ok(())
    }

    fn entry(&self) -> Entry<'_> {
        let mut entry = Entry::default();
        entry.samples(&self.samples);
        put_histograms(&self.histograms, self.db.options.start_timestamps, |write| {
            let mut record = Vec::new();
            write(&mut record);
            entry.record(record);
        });
        if !self.exemplars.is_empty() {
            let mut record = Vec::new();
            put_exemplars(&mut record, &self.exemplars);
            entry.record(record);
        }
        entry
    }

    /// Raises the newest times. A sample that is older than its series' newest one was logged all the same, and is counted.
    fn note_times(&self) {
        let all = self.db.series.read();
        let floats = self.sample_slots.iter().zip(self.samples.iter().map(|sample| sample.at));
        let histograms = self.histogram_slots.iter().zip(self.histograms.iter().map(|sample| sample.at));
        let mut newest = i64::MIN;
        for (slot, at) in floats.chain(histograms) {
            newest = newest.max(at);
            if all.in_slot(*slot).newest_ms.fetch_max(at, Ordering::Relaxed) > at {
                self.db.metrics.out_of_order.inc();
            }
        }
        self.db.newest_ms.fetch_max(newest, Ordering::Relaxed);
    }
}

impl Appendable for AgentDb {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(AgentAppender::new(self))
    }
}

impl Appender for AgentAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::EmptyLabelSet);
        }
        let db = self.db;
        let all = db.series.read();
        if let Some(found) = all.find(labels) {
            self.pin(found);
            return Ok(all.handle(found.0));
        }
        drop(all);
        let mut all = db.series.write();
        if let Some(found) = all.find(labels) {
            self.pin(found);
            return Ok(all.handle(found.0));
        }
        let log_ref = all.take_ref();
        let slot = all.add(labels, log_ref)?;
        self.pin((slot, all.in_slot(slot)));
        // Under the lock, so that its record enters the queue before anybody else can name it.
        db.log.new_series(log_ref, labels.iter());
        db.metrics.active_series.set(all.count() as f64);
        Ok(all.handle(slot))
    }

    fn find(&mut self, labels: &LabelSet) -> Option<SeriesRef> {
        let all = self.db.series.read();
        let found = all.find(labels)?;
        self.pin(found);
        Some(all.handle(found.0))
    }

    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
        let db = self.db;
        let all = db.series.read();
        let mut outcome = AppendOutcome::default();
        let mut note = |kind, index, appended: Result<(), AppendError>| match appended {
            Ok(()) if kind == SampleKind::Exemplar => {}
            Ok(()) => outcome.accepted += 1,
            Err(error) => outcome.refused.push(Refusal { kind, index, error }),
        };
        for (index, series) in batch.refs.iter().enumerate() {
            let start = batch.start_timestamps.get(index).copied().unwrap_or(0);
            let at = (batch.timestamps[index], start);
            note(SampleKind::Float, index, self.append_float(&all, *series, at, batch.values[index]));
        }
        for (index, sample) in batch.histograms.drain(..).enumerate() {
            note(SampleKind::Histogram, index, self.append_histogram(&all, sample));
        }
        for (index, (series, exemplar)) in batch.exemplars.drain(..).enumerate() {
            note(SampleKind::Exemplar, index, self.append_exemplar(&all, series, exemplar));
        }
        // Prometheus' agent refuses a log with metadata: remote write gets it from the targets.
        batch.clear();
        outcome
    }

    fn commit(self: Box<Self>, durability: Durability) -> Result<(), CommitError> {
        if self.db.closed.load(Ordering::SeqCst) {
            return Err(CommitError::Closed);
        }
        let entry = self.entry();
        if entry.is_empty() {
            return Ok(());
        }
        self.db.log.commit(entry).map_err(CommitError::Log)?;
        if durability == Durability::Synced {
            self.db.log.sync().map_err(|error| CommitError::Log(error.into()))?;
        }
        self.note_times();
        Ok(())
    }
}

impl Drop for AgentAppender<'_> {
    fn drop(&mut self) {
        let all = self.db.series.read();
        for slot in self.sample_slots.iter().chain(&self.histogram_slots).chain(&self.resolved) {
            all.in_slot(*slot).pending.fetch_sub(1, Ordering::Release);
        }
    }
}
