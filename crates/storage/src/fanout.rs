//! The store and sources of series beside it, read as one.
//!
//! The store must answer. A source may fail: if it does before its first series, nothing of it counts, and the answer carries a
//! warning; if it breaks off later, the read fails, because a part of its series would be taken for all of them. That is
//! what Prometheus does with remote read.
//!
//! ```text
//! select ──▶ store.select
//!        └─▶ Source::begin, for each source: all requests are on their way at once
//! freeze ──▶ store.freeze, then PendingRead::wait in turn ──▶ rows of all, by their labels
//! ```

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, RwLock};

use ferula_go::sync::{MutexExt, RwLockExt};
use ferula_model::{Exemplar, LabelSet, Matcher, TimeRange};

use crate::merge::merge;
use crate::{Hints, Queryable, RowSink, SelectionId, SeriesSamples, Snapshot, StorageError};

/// A source of series beside the store.
pub trait Source: Send + Sync {
    /// What of a range the source is read for; `None` if the store has all of it.
    fn part_of(&self, range: TimeRange) -> Option<TimeRange>;

    /// Begins to read the series that satisfy all matchers, and returns at once; `None` if it has none of them.
    fn begin(&self, range: TimeRange, matchers: &[Matcher], hints: &Hints) -> Option<Box<dyn PendingRead>>;
}

/// A read of a source that is on its way. Dropping it ends it.
pub trait PendingRead: Send + Sync {
    /// Waits for its end. Blocks.
    fn wait(self: Box<Self>) -> SourceRows;
}

/// What a source answered to one selection.
#[derive(Debug, Default)]
pub struct SourceRows {
    /// The series, in any order; several may have the same labels.
    pub rows: Vec<SourceRow>,
    /// Why there are no more.
    pub error: Option<StorageError>,
}

/// One series of a source.
#[derive(Debug, Default)]
pub struct SourceRow {
    pub labels: LabelSet,
    pub samples: SeriesSamples,
    /// Samples of it cannot be read: the series is there, and reading it fails.
    pub broken: Option<StorageError>,
}

/// The store and its sources.
pub struct Fanout {
    store: Arc<dyn Queryable>,
    sources: RwLock<Arc<[Arc<dyn Source>]>>,
}

impl Fanout {
    /// The store alone.
    pub fn new(store: Arc<dyn Queryable>) -> Self {
        Fanout { store, sources: RwLock::new(Arc::new([])) }
    }

    /// Replaces the sources for snapshots that are taken from now on.
    pub fn set_sources(&self, sources: Vec<Arc<dyn Source>>) {
        *self.sources.write_locked() = sources.into();
    }
}

impl Queryable for Fanout {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        let store = self.store.snapshot(range)?;
        let sources = self.sources.read_locked().clone();
        let asked: Vec<AskedSource> = sources
            .iter()
            .filter_map(|source| {
                let range = source.part_of(range)?;
                Some(AskedSource { source: source.clone(), range, pending: Vec::new() })
            })
            .collect();
        if asked.is_empty() {
            return Ok(store);
        }
        let snapshot = FanoutSnapshot {
            store,
            asked,
            selections: Vec::new(),
            frozen: false,
            warnings: Mutex::default(),
        };
        Ok(Box::new(snapshot))
    }

    fn exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<Vec<(LabelSet, Vec<Exemplar>)>, StorageError> {
        self.store.exemplars(range, matcher_sets)
    }
}

/// A source that has something to answer, with its reads of all selections.
struct AskedSource {
    source: Arc<dyn Source>,
    range: TimeRange,
    pending: Vec<Option<Box<dyn PendingRead>>>,
}

struct FanoutSnapshot<'a> {
    store: Box<dyn Snapshot + 'a>,
    asked: Vec<AskedSource>,
    selections: Vec<Selection>,
    frozen: bool,
    warnings: Mutex<Vec<String>>,
}

struct Selection {
    in_store: SelectionId,
    hints: Hints,
    /// By labels, once they are known.
    rows: Vec<Row>,
}

/// A series that the store has, or sources, or both.
struct Row {
    labels: LabelSet,
    in_store: Option<usize>,
    /// From all sources.
    elsewhere: SeriesSamples,
    broken: Option<StorageError>,
}

impl FanoutSnapshot<'_> {
    fn warn(&self, text: String) {
        let mut warnings = self.warnings.locked();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Waits for the answers to the selections from `first` on, and brings them together with the rows of the store.
    fn resolve(&mut self, first: usize) -> Result<(), StorageError> {
        let mut rows: Vec<Vec<Row>> =
            self.selections[first..].iter().map(|selection| self.rows_of_store(selection)).collect();
        for at in 0..self.asked.len() {
            let pending = std::mem::take(&mut self.asked[at].pending);
            let mut answers = Vec::with_capacity(pending.len());
            for read in pending {
                let answer = read.map(PendingRead::wait).unwrap_or_default();
                match answer.error {
                    Some(StorageError::Remote(text)) if answer.rows.is_empty() => {
                        self.warn(text);
                        // All of a source, or nothing.
                        answers.clear();
                        break;
                    }
                    Some(error) => return Err(error),
                    None => answers.push(answer.rows),
                }
            }
            for (rows, answer) in rows.iter_mut().zip(answers) {
                rows.extend(answer.into_iter().map(|row| Row {
                    labels: row.labels,
                    in_store: None,
                    elsewhere: row.samples,
                    broken: row.broken,
                }));
            }
        }
        for (selection, rows) in self.selections[first..].iter_mut().zip(rows) {
            selection.hints.charge(rows.len().saturating_mul(size_of::<Row>()))?;
            selection.rows = joined(rows);
        }
        Ok(())
    }

    fn rows_of_store(&self, selection: &Selection) -> Vec<Row> {
        let count = self.store.series_count(selection.in_store);
        let row = |row| Row {
            labels: self.store.labels(selection.in_store, row),
            in_store: Some(row),
            elsewhere: SeriesSamples::default(),
            broken: None,
        };
        (0..count).map(row).collect()
    }
}

/// The rows by their labels, each series once. Of rows with the same labels the first wins where both have a sample.
fn joined(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    rows.dedup_by(|later, first| {
        let same = later.labels == first.labels;
        if same {
            merge(&mut first.elsewhere, &later.elsewhere);
            first.broken = first.broken.take().or(later.broken.take());
        }
        same
    });
    rows
}

impl Snapshot for FanoutSnapshot<'_> {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        let in_store = self.store.select(matchers, hints)?;
        for asked in &mut self.asked {
            asked.pending.push(asked.source.begin(asked.range, matchers, hints));
        }
        self.selections.push(Selection { in_store, hints: hints.clone(), rows: Vec::new() });
        if self.frozen {
            self.resolve(self.selections.len() - 1)?;
        }
        Ok(SelectionId(self.selections.len() - 1))
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        self.store.freeze()?;
        if !self.frozen {
            self.frozen = true;
            self.resolve(0)?;
        }
        Ok(())
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        self.selections[selection.0].rows.len()
    }

    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet {
        self.selections[selection.0].rows[row].labels.clone()
    }

    fn read(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError> {
        let selection = &self.selections[selection.0];
        let (mut samples, mut elsewhere) = (SeriesSamples::default(), SeriesSamples::default());
        for row in rows {
            let Row { in_store, elsewhere: all, broken, .. } = &selection.rows[row];
            if let Some(error) = broken {
                return Err(error.clone());
            }
            samples.clear();
            if let Some(row) = in_store {
                let mut take = |_: usize, of_store: &SeriesSamples| {
                    samples.clone_from(of_store);
                    ControlFlow::Continue(())
                };
                self.store.read(selection.in_store, *row..row + 1, range, &mut take)?;
            }
            elsewhere.clear();
            elsewhere.extend_within(all, range);
            merge(&mut samples, &elsewhere);
            if sink.row(row, &samples).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The store's alone: remote read knows no such question, and the warning is what Prometheus adds then.
    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        self.warn("not implemented".to_owned());
        self.store.label_names(matchers, limit, hints)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        self.warn("not implemented".to_owned());
        self.store.label_values(name, matchers, limit, hints)
    }

    fn is_in_memory(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.locked().clone()
    }
}
