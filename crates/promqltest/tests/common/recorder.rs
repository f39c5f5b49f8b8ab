//! A store that notes what is appended, and after every load is queried from a database with another layout of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ferula_model::{LabelSet, SeriesRef, TimeRange};
use ferula_promqltest::{Store, StoreFactory, StoreFault};
use ferula_storage::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, Queryable, SampleBatch,
    Snapshot, StorageError,
};
use ferula_tsdb::Db;

use super::layouts::{Data, Layout, Stored, StoredValue};

/// Makes stores whose data has a layout.
pub struct LaidOut {
    layout: Layout,
    data: Arc<Mutex<Data>>,
}

impl LaidOut {
    /// Stores with this layout.
    pub fn new(layout: Layout) -> LaidOut {
        LaidOut { layout, data: Arc::default() }
    }
}

impl StoreFactory for LaidOut {
    fn open(&mut self) -> Result<Box<dyn Store>, StoreFault> {
        self.data = Arc::default();
        let db = Db::in_memory(ferula_tsdb::Options::default()).map_err(|error| error.to_string())?;
        Ok(Box::new(Recorder { data: self.data.clone(), db }))
    }

    fn loaded(&mut self, store: Box<dyn Store>) -> Result<Box<dyn Store>, StoreFault> {
        drop(store);
        let data = self.data.lock().expect("not poisoned");
        Ok(Box::new(Recorder { data: self.data.clone(), db: self.layout.build(&data)? }))
    }

    fn keeps_hints(&self) -> bool {
        false
    }
}

/// What is appended is noted; what is asked is asked of the database.
struct Recorder {
    data: Arc<Mutex<Data>>,
    db: Db,
}

impl Queryable for Recorder {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        self.db.snapshot(range)
    }
}

impl Appendable for Recorder {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(RecordingAppender { recorder: self, refs: HashMap::new(), noted: Vec::new() })
    }
}

struct RecordingAppender<'a> {
    recorder: &'a Recorder,
    refs: HashMap<SeriesRef, LabelSet>,
    noted: Vec<(LabelSet, i64, Stored)>,
}

impl Appender for RecordingAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
        let series = SeriesRef::new(self.refs.len() as u64 + 1).ok_or(AppendError::UnknownSeries)?;
        self.refs.insert(series, labels.clone());
        Ok(series)
    }

    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
        for (index, series) in batch.refs.iter().enumerate() {
            let start = batch.start_timestamps.get(index).copied().unwrap_or(0);
            let stored = Stored { start, value: StoredValue::Float(batch.values[index]) };
            self.noted.push((self.refs[series].clone(), batch.timestamps[index], stored));
        }
        for sample in &batch.histograms {
            let value = StoredValue::Histogram(sample.value.clone());
            let stored = Stored { start: sample.start_timestamp.millis(), value };
            self.noted.push((self.refs[&sample.series].clone(), sample.timestamp.millis(), stored));
        }
        batch.clear();
        AppendOutcome::default()
    }

    fn commit(self: Box<Self>, _durability: Durability) -> Result<(), CommitError> {
        let mut data = self.recorder.data.lock().expect("not poisoned");
        for (labels, at, stored) in self.noted {
            // Of samples with the same time the first stays, as everywhere.
            data.entry(labels).or_default().entry(at).or_insert(stored);
        }
        Ok(())
    }
}
