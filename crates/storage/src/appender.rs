//! The way in: resolve label sets to series, check a batch, commit it.
//!
//! One appender is one commit: one scrape, one remote-write request, one rule's result. What it
//! appended is visible to readers whole after `commit`, or not at all when it is dropped.

use ferula_model::{Exemplar, HistogramValue, LabelSet, MetricMetadata, SeriesRef, Timestamp};

use crate::DiskError;

/// A store that samples can be appended to.
pub trait Appendable: Send + Sync {
    /// Begins a commit. Appenders of several threads may be open at the same time.
    fn appender(&self) -> Box<dyn Appender + '_>;
}

/// One commit in the making. Dropping it without `commit` rolls it back.
pub trait Appender {
    /// The series with exactly these labels, created if there is none.
    ///
    /// # Errors
    /// [`AppendError::EmptyLabelSet`], or a [limit](AppendError::is_limit) when the store takes no new series.
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError>;

    /// [`resolve`](Self::resolve) for several label sets, in their order. Stores may be faster at this than at one after the other.
    fn resolve_all(&mut self, sets: &[LabelSet]) -> Vec<Result<SeriesRef, AppendError>> {
        sets.iter().map(|labels| self.resolve(labels)).collect()
    }

    /// The series with exactly these labels, if there is one. The default knows none.
    fn find(&mut self, labels: &LabelSet) -> Option<SeriesRef> {
        let _ = labels;
        None
    }

    /// Checks every sample of the batch against the store and accepts those that pass. Returns for each
    /// refused sample the reason. Samples of one commit that clash with each other are found when they are
    /// applied, as in Prometheus: the first stays. The batch is emptied but keeps its buffers, so that it can be
    /// filled again.
    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome;

    /// Logs and publishes what was accepted. Returns when `durability` holds.
    fn commit(self: Box<Self>, durability: Durability) -> Result<(), CommitError>;
}

/// When a commit may return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After the write to the log: what is visible survives `kill -9`.
    #[default]
    Written,
    /// After the log was synced: it also survives a power loss.
    Synced,
}

/// Samples of one commit, as columns. Indices of [`Refusal`] point into these.
#[derive(Debug, Default)]
pub struct SampleBatch {
    /// Series of each float sample.
    pub refs: Vec<SeriesRef>,
    /// Milliseconds since the epoch of each float sample.
    pub timestamps: Vec<i64>,
    /// Value of each float sample; bits of NaNs are kept.
    pub values: Vec<f64>,
    /// Start timestamp of each float sample in milliseconds, 0 for "none"; empty when no sample has one.
    pub start_timestamps: Vec<i64>,
    /// Histogram samples.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars, each with the series it belongs to. A store without exemplar storage ignores them.
    pub exemplars: Vec<(SeriesRef, Exemplar)>,
    /// Metadata that is new or changed.
    pub metadata: Vec<(SeriesRef, MetricMetadata)>,
    /// Float samples that would go between others are refused as out of order even if the store accepts such samples: results
    /// of rules, and end markers that came too late because the series continues.
    pub in_order_only: bool,
}

/// One histogram sample of a batch.
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// Its series.
    pub series: SeriesRef,
    /// Its time.
    pub timestamp: Timestamp,
    /// Since when it counts; the epoch for unknown.
    pub start_timestamp: Timestamp,
    /// The histogram.
    pub value: HistogramValue,
}

impl SampleBatch {
    /// Adds a float sample without a start timestamp.
    pub fn push_float(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.push_float_with_start(series, timestamp, value, Timestamp::EPOCH);
    }

    /// Adds a float sample whose start timestamp may be the epoch for "none".
    pub fn push_float_with_start(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        value: f64,
        start_timestamp: Timestamp,
    ) {
        let start_timestamp = start_timestamp.millis();
        if start_timestamp != 0 && self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.refs.len(), 0);
        }
        if start_timestamp != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.push(start_timestamp);
        }
        self.refs.push(series);
        self.timestamps.push(timestamp.millis());
        self.values.push(value);
    }

    /// Whether nothing is in the batch.
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
            && self.histograms.is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_empty()
    }

    /// Empties the batch and keeps its buffers.
    pub fn clear(&mut self) {
        self.refs.clear();
        self.timestamps.clear();
        self.values.clear();
        self.start_timestamps.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.in_order_only = false;
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct AppendOutcome {
    /// Float and histogram samples that were accepted (repeated samples with an equal value included).
    pub accepted: usize,
    /// Samples and exemplars that were not, in order of their index within each kind.
    pub refused: Vec<Refusal>,
}

/// One sample that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which column `index` points into.
    pub kind: SampleKind,
    /// Position in that column of the batch.
    pub index: usize,
    /// Why.
    pub error: AppendError,
}

/// Columns of a [`SampleBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// `refs`, `timestamps`, `values`
    Float,
    /// `histograms`
    Histogram,
    /// `exemplars`
    Exemplar,
}

/// Why one sample was refused. The rest of its commit still goes in; the caller counts these.
/// The texts are Prometheus': dashboards and log searches rely on them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// Older than the newest sample of its series.
    #[error("out of order sample")]
    OutOfOrder,
    /// The series has another value at this time.
    #[error("duplicate sample for timestamp")]
    DuplicateForTimestamp,
    /// Older than what the head still accepts.
    #[error("out of bounds")]
    OutOfBounds,
    /// Older than the out-of-order window.
    #[error("too old sample")]
    TooOld,
    /// The histogram contradicts itself.
    #[error("{0}")]
    InvalidHistogram(String),
    /// A series needs at least one label.
    #[error("empty labelset: invalid sample")]
    EmptyLabelSet,
    /// The ref names no series of this store.
    #[error("unknown series reference")]
    UnknownSeries,
    /// Older than the newest exemplar of its series.
    #[error("out of order exemplar")]
    OutOfOrderExemplar,
    /// Same labels, value and time as the newest exemplar of its series.
    #[error("duplicate exemplar")]
    DuplicateExemplar,
    /// More than 128 UTF-8 characters of labels.
    #[error("label length for exemplar exceeds maximum of 128 UTF-8 characters")]
    ExemplarLabelsTooLong,
    /// The store is at its limit of series; known series are still accepted.
    #[error("series limit of {0} reached: new series are refused")]
    SeriesLimit(u64),
    /// A part of the store grows too fast, or is at its limit; its known series are still accepted.
    #[error("{0}: new series are refused")]
    GrowthLimit(String),
    /// The store is at its limit of memory; known series are still accepted.
    #[error("memory limit of {0} bytes for the head reached: new series are refused")]
    MemoryLimit(u64),
    /// The store is near its limits, and this target has more of it than others may; its known series are still
    /// accepted.
    #[error(
        "the head is almost full, and this target has {0} series in it, more than its share: new ones are refused"
    )]
    TargetShare(u64),
}

impl AppendError {
    /// Whether the store is at a limit. New series are refused then, through no fault of the sender.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            AppendError::SeriesLimit(_)
                | AppendError::MemoryLimit(_)
                | AppendError::GrowthLimit(_)
                | AppendError::TargetShare(_)
        )
    }
}

/// Why a commit did not happen. Nothing of it is visible then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommitError {
    /// The log could not be written; ingestion stops until it can.
    #[error("write-ahead log: {0}")]
    Log(DiskError),
    /// The store is being closed.
    #[error("storage is closed")]
    Closed,
}

impl CommitError {
    /// Whether the log could not be written because the disk is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, CommitError::Log(error) if error.is_full())
    }
}
