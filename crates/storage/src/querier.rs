//! The way out: one consistent view of a store, from which series are selected and read.
//!
//! A reader goes through four steps, in this order:
//! 1. [`Queryable::snapshot`] pins what the range of time needs;
//! 2. [`Snapshot::select`] for every selector of the query, which only resolves series;
//! 3. [`Snapshot::freeze`] once: the cut in time after which no commit is seen, the same for all selections;
//! 4. [`Snapshot::labels`] and [`Snapshot::read`], as often as needed, from several threads if wanted.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use ferula_model::{Exemplar, LabelSet, Matcher, TimeRange};

use crate::{DiskError, Lease, OutOfMemory, SeriesSamples};

/// A store that can be queried.
pub trait Queryable: Send + Sync {
    /// A view of the samples in `range`. Cheap; holds resources until dropped.
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError>;

    /// Exemplars in `range` of series that satisfy all matchers of any of the sets, ordered by series.
    fn exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<Vec<(LabelSet, Vec<Exemplar>)>, StorageError> {
        let _ = (range, matcher_sets);
        Ok(Vec::new())
    }
}

/// Which selection of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SelectionId(pub usize);

/// What the reader will do with a selection, so that a store may do less. Never changes which samples exist.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Checked now and then during the search for series.
    pub stop: Stop,
    /// Asked before memory is set aside for series that were found; `None` takes what it needs.
    pub memory: Option<Arc<Lease>>,
    /// The range that will be read; `None` for the snapshot's own.
    pub range: Option<TimeRange>,
    /// Rows must come in label order even when the store has a cheaper one.
    pub sorted: bool,
    /// Only labels are wanted, no samples (`/series`).
    pub labels_only: bool,
    /// What a query does with the series, for sources that are asked over the network.
    pub purpose: Option<Arc<Purpose>>,
}

/// What a query does with the series of a selection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// Distance of the moments at which they are evaluated, in milliseconds; 0 for a single one.
    pub step_ms: i64,
    /// The innermost function or aggregation around the selector, or "".
    pub function: String,
    /// Labels of an aggregation that stands directly around the selector.
    pub grouping: Vec<String>,
    /// Whether these are the labels that stay, rather than those that go.
    pub by: bool,
    /// The window of a range selector in milliseconds, 0 without one.
    pub range_ms: i64,
}

impl Hints {
    /// Makes sure that the reader may hold `bytes` more.
    ///
    /// # Errors
    /// [`StorageError::OutOfMemory`]
    pub fn charge(&self, bytes: usize) -> Result<(), StorageError> {
        self.memory.as_ref().map_or(Ok(()), |lease| Ok(lease.grow(bytes)?))
    }
}

/// Tells a store to stop working for a reader that has gone.
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    /// Stops when `source` returns true; it is called often, from the reader's thread.
    pub fn when(source: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Stop(Some(source))
    }

    /// Whether to give up.
    pub fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|source| source())
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Stop(asked)" } else { "Stop(never)" })
    }
}

/// One consistent view of a store.
pub trait Snapshot: Send + Sync {
    /// Resolves the series that satisfy all matchers. No matcher means every series. [`StorageError::Stopped`] when the
    /// hints' stop was set meanwhile.
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError>;

    /// Takes the one consistent cut for all selections made so far. Call once, after the last `select`.
    fn freeze(&mut self) -> Result<(), StorageError>;

    /// How many series the selection has. Some may turn out to have no sample in the range.
    fn series_count(&self, selection: SelectionId) -> usize;

    /// Labels of one series of the selection.
    ///
    /// Rows of one source come in its own order (the head: creation order), rows of several in label order; that is
    /// the order in which Prometheus adds floats up.
    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet;

    /// Reads the samples in `range` of the rows, and hands each requested row to the sink, in order, even
    /// if it has no sample.
    fn read(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError>;

    /// The chunks of a row that have samples in `range`, as stored; those that overlap are encoded again, and with
    /// `trimmed` also those that reach beyond the range. `None` if the store keeps none.
    fn read_chunks(
        &self,
        selection: SelectionId,
        row: usize,
        range: TimeRange,
        trimmed: bool,
    ) -> Result<Option<Vec<StoredChunk>>, StorageError> {
        let _ = (selection, row, range, trimmed);
        Ok(None)
    }

    /// Names of labels of series that satisfy the matchers, sorted. Cut to `limit` if that is not 0; one more
    /// than `limit` may be returned to show that there are more. Of the hints, `stop` and `memory` count.
    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError>;

    /// Values of the label `name` of series that satisfy the matchers, sorted. `limit` as for `label_names`.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError>;

    /// Whether everything is answered from memory: nobody waits for a disk or another machine.
    fn is_in_memory(&self) -> bool;

    /// What readers should be told about the answers so far: sources beside the store that failed.
    fn warnings(&self) -> Vec<String>;
}

/// A compressed run of a series' samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// Milliseconds since the epoch of its first sample.
    pub min_ms: i64,
    /// Milliseconds since the epoch of its last sample.
    pub max_ms: i64,
    /// The number of its encoding in Prometheus' files.
    pub encoding: u8,
    pub data: Vec<u8>,
}

/// Takes rows from [`Snapshot::read`].
pub trait RowSink {
    /// One row; the buffers are the store's and are overwritten after the call. `Break` ends the read.
    fn row(&mut self, row: usize, samples: &SeriesSamples) -> ControlFlow<()>;
}

impl<F: FnMut(usize, &SeriesSamples) -> ControlFlow<()>> RowSink for F {
    fn row(&mut self, row: usize, samples: &SeriesSamples) -> ControlFlow<()> {
        self(row, samples)
    }
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StorageError {
    /// Bytes on disk are damaged; names the file and place.
    #[error("{0}")]
    Corrupt(String),
    /// The disk refused.
    #[error("{0}")]
    Io(DiskError),
    /// The store is not ready or is being closed.
    #[error("TSDB not ready")]
    NotReady,
    /// The store keeps a log only; samples cannot be read.
    #[error("unsupported operation with WAL-only storage")]
    LogOnly,
    /// The reader's [`Stop`] was set.
    #[error("stopped by its reader")]
    Stopped,
    /// The reader may not hold as much as its selections need.
    #[error("reading would use too much memory: {0}")]
    OutOfMemory(#[from] OutOfMemory),
    /// A source beside the store failed. The text is for readers.
    #[error("{0}")]
    Remote(String),
}
