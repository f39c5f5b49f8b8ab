//! A store in memory, written in the simplest way: a list of series, each a map from time to sample.
//!
//! It is the oracle for the real store, and lets PromQL be tested without a disk. Rows come in order of
//! creation, as from the head. Appends are checked as Prometheus' head checks them without an out-of-order window.
//! Commits are visible as a whole: readers hold a copy of the state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use ferula_model::value::{STALE_NAN, is_stale};
use ferula_model::{
    CounterResetHint, Exemplar, FloatHistogram, HistogramValue, LabelSet, Matcher, MetricMetadata, SeriesRef,
    TimeRange, Timestamp,
};
use ferula_storage::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, Hints, Queryable, Refusal,
    RowSink, SampleBatch, SampleKind, SelectionId, SeriesSamples, Snapshot, StorageError,
};

/// The store. A clone is a second handle to the same data.
#[derive(Clone, Debug, Default)]
pub struct MemStorage {
    state: Arc<Mutex<Arc<State>>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    series: Vec<Series>,
    series_max: Option<u64>,
    by_labels: HashMap<LabelSet, SeriesRef>,
}

#[derive(Clone, Debug)]
struct Series {
    labels: LabelSet,
    samples: BTreeMap<i64, Sample>,
    exemplars: Vec<Exemplar>,
    metadata: Option<MetricMetadata>,
}

#[derive(Clone, Debug)]
struct Sample {
    value: Value,
    start: i64,
}

#[derive(Clone, Debug)]
enum Value {
    Float(f64),
    Histogram(HistogramValue),
}

impl Value {
    fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Histogram(a), Value::Histogram(b)) => a.equals(b),
            _ => false,
        }
    }
}

impl State {
    fn get(&self, series: SeriesRef) -> Option<&Series> {
        self.series.get(series.get() as usize - 1)
    }

    fn at(&mut self, series: SeriesRef) -> &mut Series {
        &mut self.series[series.get() as usize - 1]
    }

    fn with_labels(&self, labels: &LabelSet) -> Option<&Series> {
        self.by_labels.get(labels).and_then(|series| self.get(*series))
    }

    fn selected(&self, matchers: &[Matcher]) -> impl Iterator<Item = usize> {
        let satisfies = |series: &Series| matchers.iter().all(|m| m.matches(series.labels.value(&m.name)));
        (0..self.series.len()).filter(move |i| satisfies(&self.series[*i]))
    }
}

impl MemStorage {
    /// An empty store.
    pub fn new() -> MemStorage {
        MemStorage::default()
    }

    /// From now on, refuses new series once there are `max`.
    pub fn set_series_max(&self, max: u64) {
        Arc::make_mut(&mut self.state()).series_max = Some(max);
    }

    /// Adds float samples (milliseconds, value) of one series.
    ///
    /// # Panics
    /// If the store refuses one.
    pub fn put(&self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let mut appender = self.appender();
        let series =
            appender.resolve(&LabelSet::from_pairs(labels.iter().copied())).expect("labels are given");
        let mut batch = SampleBatch::default();
        for (timestamp, value) in samples {
            batch.push_float(series, Timestamp::from_millis(*timestamp), *value);
        }
        let refused = appender.append(&mut batch).refused;
        assert!(refused.is_empty(), "{refused:?}");
        appender.commit(Durability::Written).expect("a store in memory commits");
    }

    /// Float samples of the series with exactly these labels.
    pub fn floats(&self, labels: &[(&str, &str)]) -> Vec<(i64, f64)> {
        let state = self.state();
        let Some(series) = state.with_labels(&LabelSet::from_pairs(labels.iter().copied())) else {
            return Vec::new();
        };
        let floats = series.samples.iter().filter_map(|(t, sample)| match sample.value {
            Value::Float(v) => Some((*t, v)),
            Value::Histogram(_) => None,
        });
        floats.collect()
    }

    /// Histogram samples of the series with exactly these labels.
    pub fn histograms(&self, labels: &[(&str, &str)]) -> Vec<(i64, HistogramValue)> {
        let state = self.state();
        let series = state.with_labels(&LabelSet::from_pairs(labels.iter().copied()));
        let samples = series.into_iter().flat_map(|series| &series.samples);
        let histograms = samples.filter_map(|(t, sample)| match &sample.value {
            Value::Float(_) => None,
            Value::Histogram(value) => Some((*t, value.clone())),
        });
        histograms.collect()
    }

    /// Start timestamps of the samples of the series with exactly these labels, without those that have none.
    pub fn starts(&self, labels: &[(&str, &str)]) -> Vec<i64> {
        let state = self.state();
        let series = state.with_labels(&LabelSet::from_pairs(labels.iter().copied()));
        let starts = series.into_iter().flat_map(|series| series.samples.values().map(|sample| sample.start));
        starts.filter(|start| *start != 0).collect()
    }

    /// Labels of all series, in order of creation.
    pub fn series(&self) -> Vec<LabelSet> {
        self.state().series.iter().map(|series| series.labels.clone()).collect()
    }

    /// Metadata that was last written for the series.
    pub fn metadata(&self, labels: &LabelSet) -> Option<MetricMetadata> {
        self.state().with_labels(labels).and_then(|series| series.metadata.clone())
    }

    fn state(&self) -> MutexGuard<'_, Arc<State>> {
        self.state.lock().expect("no test panics while it holds the lock")
    }
}

impl Appendable for MemStorage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(MemAppender {
            storage: self,
            pending: SampleBatch::default(),
            samples: Vec::new(),
            newest: HashMap::new(),
        })
    }
}

/// Holds what was accepted until the commit. Series are created at once; without samples they are invisible.
struct MemAppender<'a> {
    storage: &'a MemStorage,
    /// Exemplars and metadata.
    pending: SampleBatch,
    /// In order of arrival.
    samples: Vec<(SeriesRef, i64, Sample)>,
    /// Place in `samples` of the newest one of each series.
    newest: HashMap<SeriesRef, usize>,
}

impl Appender for MemAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::EmptyLabelSet);
        }
        let mut shared = self.storage.state();
        if let Some(found) = shared.by_labels.get(labels) {
            return Ok(*found);
        }
        let state = Arc::make_mut(&mut shared);
        if let Some(max) = state.series_max.filter(|max| state.series.len() as u64 >= *max) {
            return Err(AppendError::SeriesLimit(max));
        }
        state.series.push(Series {
            labels: labels.clone(),
            samples: BTreeMap::new(),
            exemplars: Vec::new(),
            metadata: None,
        });
        let made = SeriesRef::new(state.series.len() as u64).expect("one series was just added");
        state.by_labels.insert(labels.clone(), made);
        Ok(made)
    }

    fn find(&mut self, labels: &LabelSet) -> Option<SeriesRef> {
        self.storage.state().by_labels.get(labels).copied()
    }

    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
        let state = self.storage.state().clone();
        let mut outcome = AppendOutcome::default();
        for index in 0..batch.refs.len() {
            let value = Value::Float(batch.values[index]);
            let start = batch.start_timestamps.get(index).copied().unwrap_or(0);
            let done = self.put(&state, batch.refs[index], batch.timestamps[index], Sample { value, start });
            note(&mut outcome, SampleKind::Float, index, done);
        }
        for (index, sample) in batch.histograms.iter().enumerate() {
            let done = valid(&sample.value).and_then(|()| {
                let value = Value::Histogram(sample.value.clone());
                let stored = Sample { value, start: sample.start_timestamp.millis() };
                self.put(&state, sample.series, sample.timestamp.millis(), stored)
            });
            note(&mut outcome, SampleKind::Histogram, index, done);
        }
        for (index, (series, exemplar)) in batch.exemplars.iter().enumerate() {
            match self.check_exemplar(&state, *series, exemplar) {
                Ok(()) => self.pending.exemplars.push((*series, exemplar.clone())),
                Err(error) => outcome.refused.push(Refusal { kind: SampleKind::Exemplar, index, error }),
            }
        }
        self.pending.metadata.append(&mut batch.metadata);
        batch.clear();
        outcome
    }

    fn commit(self: Box<Self>, _durability: Durability) -> Result<(), CommitError> {
        let mut shared = self.storage.state();
        let state = Arc::make_mut(&mut shared);
        for (series, at, sample) in self.samples {
            // Another appender may have been faster; the head also drops what is out of order.
            let samples = &mut state.at(series).samples;
            if samples.last_key_value().is_none_or(|(newest, _)| at > *newest) {
                samples.insert(at, sample);
            }
        }
        for (series, exemplar) in self.pending.exemplars {
            state.at(series).exemplars.push(exemplar);
        }
        for (series, metadata) in self.pending.metadata {
            state.at(series).metadata = Some(metadata);
        }
        Ok(())
    }
}

fn valid(value: &HistogramValue) -> Result<(), AppendError> {
    if value.is_stale() {
        return Ok(());
    }
    value.validate().map_err(|error| AppendError::InvalidHistogram(error.to_string()))
}

fn note(outcome: &mut AppendOutcome, kind: SampleKind, index: usize, done: Result<(), AppendError>) {
    match done {
        Ok(()) => outcome.accepted += 1,
        Err(error) => outcome.refused.push(Refusal { kind, index, error }),
    }
}

impl MemAppender<'_> {
    fn put(
        &mut self,
        state: &State,
        series: SeriesRef,
        at: i64,
        mut sample: Sample,
    ) -> Result<(), AppendError> {
        let stored = state.get(series).ok_or(AppendError::UnknownSeries)?;
        let newest = match self.newest.get(&series) {
            Some(place) => self.samples.get(*place).map(|(_, at, sample)| (*at, &sample.value)),
            None => stored.samples.last_key_value().map(|(at, sample)| (*at, &sample.value)),
        };
        if let Some((newest, last)) = newest {
            // The end of a histogram series arrives as a float, because the code that notices it does not know the type.
            if matches!(sample.value, Value::Float(v) if is_stale(v)) && matches!(last, Value::Histogram(_)) {
                let marker = FloatHistogram { sum: STALE_NAN, ..FloatHistogram::default() };
                sample.value = Value::Histogram(HistogramValue::Float(Arc::new(marker)));
            }
            if at < newest {
                return Err(AppendError::OutOfOrder);
            }
            if at == newest {
                let same = last.equals(&sample.value);
                return if same { Ok(()) } else { Err(AppendError::DuplicateForTimestamp) };
            }
        }
        self.newest.insert(series, self.samples.len());
        self.samples.push((series, at, sample));
        Ok(())
    }

    fn check_exemplar(
        &self,
        state: &State,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let stored = state.get(series).ok_or(AppendError::UnknownSeries)?;
        let pending = self.pending.exemplars.iter().rev().find(|(of, _)| *of == series).map(|(_, e)| e);
        let Some(last) = pending.or(stored.exemplars.last()) else { return Ok(()) };
        let same = last.labels == exemplar.labels && last.value.to_bits() == exemplar.value.to_bits();
        if last.timestamp > exemplar.timestamp {
            Err(AppendError::OutOfOrderExemplar)
        } else if same && last.timestamp == exemplar.timestamp {
            Err(AppendError::DuplicateExemplar)
        } else {
            Ok(())
        }
    }
}

impl Queryable for MemStorage {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        let state = self.state().clone();
        Ok(Box::new(MemSnapshot { storage: self, state, range, selections: Vec::new() }))
    }

    fn exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<Vec<(LabelSet, Vec<Exemplar>)>, StorageError> {
        let state = self.state().clone();
        let rows: BTreeSet<usize> =
            matcher_sets.iter().flat_map(|matchers| state.selected(matchers)).collect();
        let mut found: Vec<(LabelSet, Vec<Exemplar>)> = rows
            .into_iter()
            .map(|row| {
                let series = &state.series[row];
                let inside = series.exemplars.iter().filter(|e| range.contains(e.timestamp));
                (series.labels.clone(), inside.cloned().collect())
            })
            .filter(|(_, exemplars): &(LabelSet, Vec<Exemplar>)| !exemplars.is_empty())
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }
}

struct MemSnapshot<'a> {
    storage: &'a MemStorage,
    state: Arc<State>,
    range: TimeRange,
    /// Rows of each selection as positions in `State::series`, which only grows.
    selections: Vec<Vec<usize>>,
}

impl Snapshot for MemSnapshot<'_> {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        let mut rows: Vec<usize> = self.state.selected(matchers).collect();
        if hints.sorted {
            rows.sort_by(|a, b| self.state.series[*a].labels.cmp(&self.state.series[*b].labels));
        }
        self.selections.push(rows);
        Ok(SelectionId(self.selections.len() - 1))
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        self.state = self.storage.state().clone();
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        true
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        self.selections[selection.0].len()
    }

    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet {
        self.state.series[self.selections[selection.0][row]].labels.clone()
    }

    fn read(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError> {
        let mut samples = SeriesSamples::default();
        for row in rows {
            samples.clear();
            read_series(&self.state.series[self.selections[selection.0][row]], range, &mut samples);
            if sink.row(row, &samples).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
        _: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        let names = |series: &Series| -> Vec<String> {
            series.labels.iter().map(|(name, _)| name.to_owned()).collect()
        };
        Ok(self.collected(matchers, limit, names))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
        _: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        let value = |series: &Series| series.labels.get(name).map(str::to_owned).into_iter().collect();
        Ok(self.collected(matchers, limit, value))
    }
}

impl MemSnapshot<'_> {
    /// What `of` returns for every series that satisfies the matchers and has a sample in the snapshot's range.
    fn collected(
        &self,
        matchers: &[Matcher],
        limit: usize,
        of: impl Fn(&Series) -> Vec<String>,
    ) -> Vec<String> {
        let all: BTreeSet<String> = self
            .state
            .selected(matchers)
            .map(|row| &self.state.series[row])
            .filter(|series| series.samples.keys().any(|t| self.range.contains(Timestamp::from_millis(*t))))
            .flat_map(of)
            .collect();
        let count = if limit == 0 { all.len() } else { limit + 1 };
        all.into_iter().take(count).collect()
    }
}

fn read_series(series: &Series, range: TimeRange, out: &mut SeriesSamples) {
    let mut before: Option<&Sample> = None;
    for (at, sample) in &series.samples {
        if range.contains(Timestamp::from_millis(*at)) {
            match &sample.value {
                Value::Float(v) => {
                    out.floats.timestamps.push(*at);
                    out.floats.values.push(*v);
                    out.floats.start_timestamps.push(sample.start);
                }
                Value::Histogram(h) => {
                    let mut float = FloatHistogram::clone(&h.to_float());
                    if float.counter_reset_hint != CounterResetHint::Gauge {
                        float.counter_reset_hint = hint_after(before, h);
                    }
                    out.histograms.timestamps.push(*at);
                    out.histograms.values.push(Arc::new(float));
                    out.histograms.start_timestamps.push(sample.start);
                }
            }
        }
        before = Some(sample);
    }
    for starts in [&mut out.floats.start_timestamps, &mut out.histograms.start_timestamps] {
        if starts.iter().all(|start| *start == 0) {
            starts.clear();
        }
    }
}

/// A reader learns "no reset" from the chunk that a sample shares with the one before it, and nothing else. A chunk
/// ends where the kind, the layout or the counter changes.
fn hint_after(before: Option<&Sample>, now: &HistogramValue) -> CounterResetHint {
    let Some(Sample { value: Value::Histogram(before), .. }) = before else {
        return CounterResetHint::Unknown;
    };
    let same_kind = matches!(before, HistogramValue::Integer(_)) == matches!(now, HistogramValue::Integer(_));
    let (a, b) = (before.to_float(), now.to_float());
    let joined = same_kind
        && a.counter_reset_hint != CounterResetHint::Gauge
        && (now.is_stale()
            || (!before.is_stale()
                && a.schema == b.schema
                && a.zero_threshold == b.zero_threshold
                && a.custom_bounds() == b.custom_bounds()
                && !b.detect_reset(&a)));
    if joined { CounterResetHint::NotReset } else { CounterResetHint::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    fn append(storage: &MemStorage, name: &str, samples: &[(i64, f64)]) -> AppendOutcome {
        let mut appender = storage.appender();
        let series = appender.resolve(&LabelSet::from_pairs([("__name__", name)])).expect("labels");
        let mut batch = SampleBatch::default();
        for (t, v) in samples {
            batch.push_float(series, Timestamp::from_millis(*t), *v);
        }
        let outcome = appender.append(&mut batch);
        appender.commit(Durability::Written).expect("memory takes everything");
        outcome
    }

    fn rows(storage: &MemStorage, matchers: &[Matcher], sorted: bool) -> Vec<(String, Vec<f64>)> {
        let mut snapshot = storage.snapshot(TimeRange::ALL).expect("snapshot");
        let selection = snapshot.select(matchers, &Hints { sorted, ..Hints::default() }).expect("select");
        snapshot.freeze().expect("freeze");
        let mut out = Vec::new();
        snapshot
            .read(
                selection,
                0..snapshot.series_count(selection),
                TimeRange::from_millis(2, 10),
                &mut |row: usize, samples: &SeriesSamples| {
                    let name = snapshot.labels(selection, row).metric_name().to_owned();
                    out.push((name, samples.floats.values.clone()));
                    ControlFlow::Continue(())
                },
            )
            .expect("read");
        out
    }

    #[test]
    fn rows_come_in_order_of_creation_and_only_the_range_is_read() {
        let storage = MemStorage::new();
        append(&storage, "b", &[(1, 1.0), (2, 2.0), (10, 3.0), (11, 4.0)]);
        append(&storage, "a", &[(5, 7.0)]);
        let b = ("b".to_owned(), vec![2.0, 3.0]);
        let a = ("a".to_owned(), vec![7.0]);
        assert_eq!(rows(&storage, &[], false), [b.clone(), a.clone()]);
        assert_eq!(rows(&storage, &[], true), [a, b.clone()]);
        assert_eq!(rows(&storage, &[Matcher::equal("__name__", "b")], false), [b]);
    }

    #[test]
    fn checks_of_the_head() {
        let storage = MemStorage::new();
        append(&storage, "a", &[(5, f64::NAN)]);
        let outcome = append(&storage, "a", &[(5, f64::NAN), (5, 1.0), (4, 1.0), (6, 1.0)]);
        let errors: Vec<_> = outcome.refused.iter().map(|r| (r.index, r.error.clone())).collect();
        assert_eq!(outcome.accepted, 2);
        assert_eq!(errors, [(1, AppendError::DuplicateForTimestamp), (2, AppendError::OutOfOrder)]);
    }

    #[test]
    fn nothing_is_visible_before_the_commit() {
        let storage = MemStorage::new();
        let mut appender = storage.appender();
        let series = appender.resolve(&LabelSet::from_pairs([("__name__", "a")])).expect("labels");
        let mut batch = SampleBatch::default();
        batch.push_float(series, Timestamp::from_millis(3), 1.0);
        appender.append(&mut batch);
        drop(appender);
        assert_eq!(rows(&storage, &[], false), [("a".to_owned(), vec![])]);
    }
}
