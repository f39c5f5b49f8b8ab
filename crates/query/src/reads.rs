//! Which metrics were read, and when last.
//!
//! [`RecordingStore`] stands in front of a store and notes every selector. A selector that names its metric is kept as
//! that name; any other is kept as its text, for the reader of the record to apply to the series that are stored. Both
//! are bounded: what was read longest ago is forgotten first, and the record states from which moment it is complete.

mod file;
mod tables;

use std::path::Path;
use std::sync::Mutex;

use ferula_go::sync::MutexExt;
use ferula_model::labels::METRIC_NAME;
use ferula_model::matcher::MatchOp;
use ferula_model::{Exemplar, LabelSet, Matcher, TimeRange};
use ferula_runtime::SharedClock;
use ferula_storage::{Hints, Queryable, SelectionId, Snapshot, StorageError};

pub use self::file::ReadFileError;
pub use self::tables::{LastRead, ReadTables, ReaderKind};

/// Longer selectors and names are remembered as something that selects more.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// The record of all reads.
pub struct ReadRecord {
    state: Mutex<ReadTables>,
    clock: SharedClock,
}

impl ReadRecord {
    /// An empty record, complete from now on.
    pub fn new(clock: SharedClock) -> Self {
        let tables = ReadTables { complete_from_ms: clock.now().millis(), ..ReadTables::default() };
        ReadRecord { state: Mutex::new(tables), clock }
    }

    /// Continues the record that was saved in a data directory. Without one, an empty record is continued.
    ///
    /// # Errors
    /// There is a file, but it cannot be read; the record stays as it is.
    pub fn load(&self, data_dir: &Path) -> Result<(), ReadFileError> {
        if let Some(tables) = file::read(data_dir)? {
            *self.state.locked() = tables.bounded();
        }
        Ok(())
    }

    /// Saves the record in a data directory, if it has changed. One writer at a time.
    ///
    /// # Errors
    /// The disk failed; the next call tries again.
    pub fn save(&self, data_dir: &Path) -> Result<(), ReadFileError> {
        let tables = {
            let mut state = self.state.locked();
            if !std::mem::take(&mut state.is_changed) {
                return Ok(());
            }
            state.clone()
        };
        file::write(data_dir, &tables).inspect_err(|_| self.state.locked().is_changed = true)
    }

    /// A copy of what is known.
    pub fn tables(&self) -> ReadTables {
        self.state.locked().clone()
    }

    /// Notes that a selector was read now.
    pub fn note(&self, matchers: &[Matcher], reader: ReaderKind) {
        let now_ms = self.clock.now().millis();
        match name_of(matchers) {
            Some(name) if name.len() <= TEXT_BYTES_MAX => {
                let mut state = self.state.locked();
                state.is_changed = true;
                if let Some(last) = state.metrics.get_mut(name) {
                    last.note(reader, now_ms);
                } else {
                    state.insert_metric(name, reader, now_ms);
                }
            }
            // A longer name is remembered as a selector, which then selects more.
            _ => {
                let text = selector_text(matchers);
                let mut state = self.state.locked();
                state.is_changed = true;
                if let Some(last) = state.selectors.get_mut(&text) {
                    last.note(reader, now_ms);
                } else {
                    state.insert_selector(text, reader, now_ms);
                }
            }
        }
    }
}

/// The metric that matchers name.
pub fn name_of(matchers: &[Matcher]) -> Option<&str> {
    let of_name = |matcher: &&Matcher| &*matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
    matchers.iter().find(of_name).map(|matcher| &*matcher.value).filter(|name| !name.is_empty())
}

/// The text of a selector, the same for the same matchers in another order. What is too long is replaced by a selector
/// of more series: its conditions on the name, or all series.
pub fn selector_text(matchers: &[Matcher]) -> String {
    let text_of = |matchers: &mut dyn Iterator<Item = &Matcher>| {
        let mut texts: Vec<String> = matchers.map(ToString::to_string).collect();
        texts.sort_unstable();
        texts.dedup();
        format!("{{{}}}", texts.join(","))
    };
    let fits = |text: &String| text.len() <= TEXT_BYTES_MAX;
    Some(text_of(&mut matchers.iter()))
        .filter(fits)
        .or_else(|| {
            Some(text_of(&mut matchers.iter().filter(|matcher| &*matcher.name == METRIC_NAME))).filter(fits)
        })
        .unwrap_or_else(|| format!("{{{METRIC_NAME}=~\".+\"}}"))
}

/// A store whose selections are noted.
pub struct RecordingStore<'a> {
    store: &'a dyn Queryable,
    record: &'a ReadRecord,
    reader: ReaderKind,
}

impl<'a> RecordingStore<'a> {
    /// Reads of `store` by `reader` are noted in `record`.
    pub fn new(store: &'a dyn Queryable, record: &'a ReadRecord, reader: ReaderKind) -> Self {
        RecordingStore { store, record, reader }
    }
}

impl Queryable for RecordingStore<'_> {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        let snapshot = self.store.snapshot(range)?;
        Ok(Box::new(RecordingSnapshot { snapshot, record: self.record, reader: self.reader }))
    }

    fn exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<Vec<(LabelSet, Vec<Exemplar>)>, StorageError> {
        matcher_sets.iter().for_each(|matchers| self.record.note(matchers, self.reader));
        self.store.exemplars(range, matcher_sets)
    }
}

struct RecordingSnapshot<'a> {
    snapshot: Box<dyn Snapshot + 'a>,
    record: &'a ReadRecord,
    reader: ReaderKind,
}

impl Snapshot for RecordingSnapshot<'_> {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        self.record.note(matchers, self.reader);
        self.snapshot.select(matchers, hints)
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        self.snapshot.freeze()
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        self.snapshot.series_count(selection)
    }

    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet {
        self.snapshot.labels(selection, row)
    }

    fn read(
        &self,
        selection: SelectionId,
        rows: std::ops::Range<usize>,
        range: TimeRange,
        sink: &mut dyn ferula_storage::RowSink,
    ) -> Result<(), StorageError> {
        self.snapshot.read(selection, rows, range, sink)
    }

    fn read_chunks(
        &self,
        selection: SelectionId,
        row: usize,
        range: TimeRange,
        trimmed: bool,
    ) -> Result<Option<Vec<ferula_storage::StoredChunk>>, StorageError> {
        self.snapshot.read_chunks(selection, row, range, trimmed)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        self.snapshot.label_names(matchers, limit, hints)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        self.snapshot.label_values(name, matchers, limit, hints)
    }

    fn is_in_memory(&self) -> bool {
        self.snapshot.is_in_memory()
    }

    fn warnings(&self) -> Vec<String> {
        self.snapshot.warnings()
    }
}

#[cfg(test)]
mod tests;
