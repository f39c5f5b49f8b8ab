//! A store in memory that is slow and obvious: what tests put between producers and readers.
//!
//! Keeps every sample of every series in a vector, checks order and duplicates as Prometheus does, and shows a
//! commit whole or not at all. No time ranges are dropped, nothing is logged, nothing is limited.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferula_model::{
    Exemplar, FloatHistogram, HistogramValue, LabelSet, Matcher, MetricMetadata, SeriesRef, TimeRange,
    Timestamp,
};
use ferula_storage::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, Hints, Queryable, Refusal,
    RowSink, SampleBatch, SampleKind, SelectionId, SeriesSamples, Snapshot, StorageError,
};

/// How an integer histogram becomes a float one: given by the test, so that the kit needs no histogram code.
type ToFloat = fn(&ferula_model::Histogram) -> FloatHistogram;

/// The store. Cloning gives another handle to the same samples.
#[derive(Clone, Default)]
pub struct MemStorage(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    /// In order of creation; a series' ref is its place + 1.
    series: Vec<Series>,
    by_labels: BTreeMap<LabelSet, usize>,
    to_float: Option<ToFloat>,
}

#[derive(Clone, Default)]
struct Series {
    labels: LabelSet,
    samples: SeriesSamples,
    exemplars: Vec<Exemplar>,
    metadata: Option<MetricMetadata>,
}

impl MemStorage {
    /// A store without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that takes integer histograms too.
    pub fn with_integer_histograms(to_float: ToFloat) -> Self {
        let store = Self::default();
        store.lock().to_float = Some(to_float);
        store
    }

    /// Puts float samples (milliseconds, value) of one series in.
    ///
    /// # Panics
    /// If the store refuses one.
    pub fn put(&self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let mut appender = self.appender();
        let series =
            appender.resolve(&LabelSet::from_pairs(labels.iter().copied())).expect("labels are given");
        let mut batch = SampleBatch::default();
        for (timestamp, value) in samples {
            batch.push_float(series, *timestamp, *value);
        }
        let refused = appender.append(&mut batch).refused;
        assert!(refused.is_empty(), "{refused:?}");
        appender.commit(Durability::Written).expect("a store in memory commits");
    }

    /// Float samples of the series with exactly these labels.
    pub fn floats(&self, labels: &[(&str, &str)]) -> Vec<(i64, f64)> {
        let state = self.lock();
        let Some(at) = state.by_labels.get(&LabelSet::from_pairs(labels.iter().copied())) else {
            return Vec::new();
        };
        let floats = &state.series[*at].samples.floats;
        floats.timestamps.iter().copied().zip(floats.values.iter().copied()).collect()
    }

    /// Labels of all series, in order of creation.
    pub fn series(&self) -> Vec<LabelSet> {
        self.lock().series.iter().map(|series| series.labels.clone()).collect()
    }

    /// Metadata that was last written for the series.
    pub fn metadata(&self, labels: &LabelSet) -> Option<MetricMetadata> {
        let state = self.lock();
        state.by_labels.get(labels).and_then(|at| state.series[*at].metadata.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appendable for MemStorage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(MemAppender { store: self, pending: SampleBatch::default() })
    }
}

struct MemAppender<'s> {
    store: &'s MemStorage,
    pending: SampleBatch,
}

impl Appender for MemAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::EmptyLabelSet);
        }
        let mut state = self.store.lock();
        let next = state.series.len();
        let at = *state.by_labels.entry(labels.clone()).or_insert(next);
        if at == next {
            state.series.push(Series { labels: labels.clone(), ..Series::default() });
        }
        Ok(SeriesRef::new(at as u64 + 1).expect("at least 1"))
    }

    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
        let state = self.store.lock();
        let mut outcome = AppendOutcome::default();
        for index in 0..batch.refs.len() {
            let (series, timestamp) = (batch.refs[index], batch.timestamps[index]);
            let value = batch.values[index];
            match self.check(&state, series, timestamp, Some(value)) {
                Ok(()) => {
                    let start = batch.start_timestamps.get(index).copied().unwrap_or(0);
                    self.pending.push_float_with_start(series, timestamp, value, start);
                    outcome.accepted += 1;
                }
                Err(error) => outcome.refused.push(Refusal { kind: SampleKind::Float, index, error }),
            }
        }
        for (index, sample) in batch.histograms.drain(..).enumerate() {
            match self.check(&state, sample.series, sample.timestamp, None) {
                Ok(()) => {
                    self.pending.histograms.push(sample);
                    outcome.accepted += 1;
                }
                Err(error) => outcome.refused.push(Refusal { kind: SampleKind::Histogram, index, error }),
            }
        }
        self.pending.exemplars.append(&mut batch.exemplars);
        self.pending.metadata.append(&mut batch.metadata);
        batch.clear();
        outcome
    }

    fn commit(mut self: Box<Self>, _: Durability) -> Result<(), CommitError> {
        let mut state = self.store.lock();
        let to_float = state.to_float;
        for index in 0..self.pending.refs.len() {
            let start = self.pending.start_timestamps.get(index).copied();
            let (timestamp, value) = (self.pending.timestamps[index], self.pending.values[index]);
            state.push_float(self.pending.refs[index], timestamp, value, start);
        }
        for sample in self.pending.histograms.drain(..) {
            let value = match (sample.value, to_float) {
                (HistogramValue::Float(value), _) => value,
                (HistogramValue::Integer(value), Some(to_float)) => Arc::new(to_float(&value)),
                (HistogramValue::Integer(_), None) => panic!("made without integer histograms"),
            };
            let column = &mut state.at(sample.series).samples.histograms;
            column.timestamps.push(sample.timestamp);
            column.values.push(value);
        }
        for (series, exemplar) in self.pending.exemplars.drain(..) {
            state.at(series).exemplars.push(exemplar);
        }
        for (series, metadata) in self.pending.metadata.drain(..) {
            state.at(series).metadata = Some(metadata);
        }
        Ok(())
    }
}

impl MemAppender<'_> {
    /// Order and duplicates, against what is stored and what this appender already holds.
    fn check(
        &self,
        state: &State,
        series: SeriesRef,
        timestamp: i64,
        value: Option<f64>,
    ) -> Result<(), AppendError> {
        let stored = state.series.get(series.get() as usize - 1).ok_or(AppendError::UnknownSeries)?;
        let stored = &stored.samples;
        let pending_float = (0..self.pending.refs.len())
            .rev()
            .find(|index| self.pending.refs[*index] == series)
            .map(|index| (self.pending.timestamps[index], Some(self.pending.values[index])));
        let pending_histogram = self.pending.histograms.iter().rev().find(|h| h.series == series);
        let newest = [
            stored.floats.timestamps.last().map(|t| (*t, stored.floats.values.last().copied())),
            stored.histograms.timestamps.last().map(|t| (*t, None)),
            pending_float,
            pending_histogram.map(|h| (h.timestamp, None)),
        ];
        let newest = newest.into_iter().flatten().max_by_key(|(t, _)| *t);
        match newest {
            Some((newest, _)) if timestamp < newest => Err(AppendError::OutOfOrder),
            Some((newest, old)) if timestamp == newest => match (old, value) {
                (Some(old), Some(new)) if old.to_bits() == new.to_bits() => Ok(()),
                _ => Err(AppendError::DuplicateForTimestamp),
            },
            _ => Ok(()),
        }
    }
}

impl State {
    fn at(&mut self, series: SeriesRef) -> &mut Series {
        &mut self.series[series.get() as usize - 1]
    }

    fn push_float(&mut self, series: SeriesRef, timestamp: i64, value: f64, start: Option<i64>) {
        let floats = &mut self.at(series).samples.floats;
        if floats.timestamps.last() == Some(&timestamp) {
            return; // The same sample again.
        }
        if start.is_some_and(|start| start != 0) && floats.start_timestamps.is_empty() {
            floats.start_timestamps.resize(floats.timestamps.len(), 0);
        }
        if start.is_some_and(|start| start != 0) || !floats.start_timestamps.is_empty() {
            floats.start_timestamps.push(start.unwrap_or(0));
        }
        floats.timestamps.push(timestamp);
        floats.values.push(value);
    }
}

impl Queryable for MemStorage {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        Ok(Box::new(MemSnapshot { live: self.clone(), frozen: None, selections: Vec::new(), range }))
    }

    fn exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<Vec<(LabelSet, Vec<Exemplar>)>, StorageError> {
        let state = self.lock();
        let mut found = Vec::new();
        for (labels, at) in &state.by_labels {
            if matcher_sets.iter().any(|matchers| matches(labels, matchers)) {
                let exemplars: Vec<Exemplar> = state.series[*at]
                    .exemplars
                    .iter()
                    .filter(|e| range.contains(e.timestamp))
                    .cloned()
                    .collect();
                if !exemplars.is_empty() {
                    found.push((labels.clone(), exemplars));
                }
            }
        }
        Ok(found)
    }
}

struct MemSnapshot {
    live: MemStorage,
    frozen: Option<State>,
    /// Places in `State::series`.
    selections: Vec<Vec<usize>>,
    range: TimeRange,
}

fn matches(labels: &LabelSet, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.value(&matcher.name)))
}

impl MemSnapshot {
    fn with_state<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        match &self.frozen {
            Some(state) => read(state),
            None => read(&self.live.lock()),
        }
    }

    /// Labels of series that match and have a sample in the snapshot's range.
    fn matching(&self, matchers: &[Matcher]) -> Vec<LabelSet> {
        self.with_state(|state| {
            let in_range = |series: &&Series| {
                let samples = &series.samples;
                let mut times = samples.floats.timestamps.iter().chain(&samples.histograms.timestamps);
                times.any(|t| self.range.contains(Timestamp::from_millis(*t)))
            };
            let series = state.series.iter().filter(in_range);
            series.filter(|s| matches(&s.labels, matchers)).map(|s| s.labels.clone()).collect()
        })
    }
}

impl Snapshot for MemSnapshot {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        let rows = self.with_state(|state| {
            let mut rows: Vec<usize> =
                (0..state.series.len()).filter(|at| matches(&state.series[*at].labels, matchers)).collect();
            if hints.sorted {
                rows.sort_by(|a, b| state.series[*a].labels.cmp(&state.series[*b].labels));
            }
            rows
        });
        self.selections.push(rows);
        Ok(SelectionId(self.selections.len() - 1))
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        self.frozen = Some(self.live.lock().clone());
        Ok(())
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        self.selections[selection.0].len()
    }

    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet {
        self.with_state(|state| state.series[self.selections[selection.0][row]].labels.clone())
    }

    fn read(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError> {
        let mut out = SeriesSamples::default();
        for row in rows {
            self.with_state(|state| {
                let samples = &state.series[self.selections[selection.0][row]].samples;
                copy_range(samples, range, &mut out);
            });
            if sink.row(row, &out) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        let sets = self.matching(matchers);
        Ok(sorted(sets.iter().flat_map(|set| set.iter().map(|(name, _)| name.to_owned())), limit))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let sets = self.matching(matchers);
        Ok(sorted(sets.iter().filter_map(|set| set.get(name).map(str::to_owned)), limit))
    }
}

fn sorted(texts: impl Iterator<Item = String>, limit: usize) -> Vec<String> {
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts.dedup();
    if limit > 0 {
        texts.truncate(limit);
    }
    texts
}

fn copy_range(from: &SeriesSamples, range: TimeRange, out: &mut SeriesSamples) {
    out.clear();
    for (index, timestamp) in from.floats.timestamps.iter().enumerate() {
        if range.contains(Timestamp::from_millis(*timestamp)) {
            out.floats.timestamps.push(*timestamp);
            out.floats.values.push(from.floats.values[index]);
            if let Some(start) = from.floats.start_timestamps.get(index) {
                out.floats.start_timestamps.push(*start);
            }
        }
    }
    for (index, timestamp) in from.histograms.timestamps.iter().enumerate() {
        if range.contains(Timestamp::from_millis(*timestamp)) {
            out.histograms.timestamps.push(*timestamp);
            out.histograms.values.push(from.histograms.values[index].clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_seen_whole_by_snapshots_frozen_after_them() {
        let store = MemStorage::new();
        let up = [("__name__", "up"), ("job", "a")];
        store.put(&up, &[(1, 1.0), (2, 0.0)]);
        let mut snapshot = store.snapshot(TimeRange::ALL).expect("opens");
        let all = snapshot.select(&[Matcher::equal("job", "a")], &Hints::default()).expect("selects");
        snapshot.freeze().expect("freezes");
        store.put(&up, &[(3, 1.0)]);
        let mut rows = Vec::new();
        let mut sink = |row: usize, samples: &SeriesSamples| {
            rows.push((row, samples.floats.timestamps.clone()));
            ControlFlow::Continue(())
        };
        snapshot.read(all, 0..1, TimeRange::from_millis(2, 9), &mut sink).expect("reads");
        assert_eq!(rows, [(0, vec![2])]);
        assert_eq!(store.floats(&up), [(1, 1.0), (2, 0.0), (3, 1.0)]);
    }

    #[test]
    fn order_and_duplicates_are_checked() {
        let store = MemStorage::new();
        store.put(&[("__name__", "x")], &[(5, 1.0), (5, 1.0)]);
        let mut appender = store.appender();
        let series = appender.resolve(&LabelSet::from_pairs([("__name__", "x")])).expect("there");
        let mut batch = SampleBatch::default();
        batch.push_float(series, 4, 1.0);
        batch.push_float(series, 5, 2.0);
        batch.push_float(series, 6, 2.0);
        batch.push_float(series, 6, 3.0);
        let outcome = appender.append(&mut batch);
        let errors: Vec<(usize, AppendError)> =
            outcome.refused.into_iter().map(|r| (r.index, r.error)).collect();
        assert_eq!(
            errors,
            [
                (0, AppendError::OutOfOrder),
                (1, AppendError::DuplicateForTimestamp),
                (3, AppendError::DuplicateForTimestamp)
            ]
        );
    }
}
