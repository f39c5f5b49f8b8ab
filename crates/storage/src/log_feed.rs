//! What a store logged, in the order in which it was logged, for those who send it elsewhere.
//!
//! A reader remembers a [`LogPosition`] and continues there after a restart. It tells the store with [`LogFeed::hold`] what it
//! still needs, and the store keeps that as long as its own bounds allow.

use std::fmt;

use ferula_model::{Exemplar, HistogramValue, LabelSet, MetricMetadata, Timestamp};

use crate::DiskError;

/// A series as the log names it: not given out again while the log, or a file that belongs to it, names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogRef(u64);

impl LogRef {
    /// The ref with this number.
    pub const fn new(number: u64) -> Self {
        LogRef(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LogRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place between two records of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub segment: u32,
    /// Bytes before the place in it.
    pub offset: u64,
}

/// A store whose log can be read.
pub trait LogFeed: Send + Sync {
    /// After the newest record.
    fn end(&self) -> LogPosition;

    /// Time of the newest sample, if there is any.
    fn newest(&self) -> Option<Timestamp>;

    /// What was stored since the start.
    fn stored(&self) -> StoredCounts {
        StoredCounts::default()
    }

    /// Reads from `from` on. The series that were logged before it come first.
    ///
    /// # Errors
    /// When the disk refuses.
    fn open(&self, from: LogPosition) -> Result<Box<dyn LogCursor>, DiskError>;

    /// Keeps the log from this position on, as far as the store's bounds allow; `None` for nothing.
    fn hold(&self, held: Option<Hold>);

    /// Whether a series can still get samples.
    fn living_series(&self) -> Box<dyn Fn(LogRef) -> bool + Send>;
}

/// How many items were stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredCounts {
    /// Floats.
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

/// What readers of the log still need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The oldest position that one of them would continue from.
    pub from: LogPosition,
    /// Whether one of them is behind, so that it may still need the labels of series that have ended.
    pub is_behind: bool,
}

/// A reader of the log.
pub trait LogCursor: Send {
    /// Reads the next record into `records`, whose old contents are replaced; `false` when there is none yet.
    ///
    /// # Errors
    /// When the disk refuses; the call may be repeated.
    fn next(&mut self, records: &mut LogRecords) -> Result<bool, DiskError>;

    /// Number of the oldest segment that is still there.
    ///
    /// # Errors
    /// When the disk refuses.
    fn first_segment(&self) -> Result<u32, DiskError>;
}

/// What one record holds. A record of series has named each ref before.
#[derive(Debug, Default)]
pub struct LogRecords {
    /// Where the record begins.
    pub start: LogPosition,
    /// Where the next one begins.
    pub end: LogPosition,
    /// Segments that no longer existed when they were due to be read.
    pub segments_lost: u32,
    /// Places of the log that could not be read.
    pub damaged: u32,
    /// New series.
    pub series: Vec<(LogRef, LabelSet)>,
    /// Float samples.
    pub samples: Vec<LogSample>,
    /// Histogram samples.
    pub histograms: Vec<LogHistogram>,
    pub exemplars: Vec<(LogRef, Exemplar)>,
    /// Metadata of series.
    pub metadata: Vec<(LogRef, MetricMetadata)>,
}

impl LogRecords {
    /// Empties the lists and keeps their buffers.
    pub fn clear(&mut self) {
        (self.segments_lost, self.damaged) = (0, 0);
        self.series.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
    }
}

/// A float sample of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogSample {
    pub series: LogRef,
    /// Its time.
    pub at: Timestamp,
    /// Since when it counts; the epoch for unknown.
    pub start: Timestamp,
    /// The value; its bits are kept.
    pub value: f64,
}

/// A histogram sample of the log.
#[derive(Clone, Debug)]
pub struct LogHistogram {
    pub series: LogRef,
    /// Its time.
    pub at: Timestamp,
    /// Since when it counts; the epoch for unknown.
    pub start: Timestamp,
    pub value: HistogramValue,
}
