//! What a store logged, in the order in which it was logged, for those who send it elsewhere.
//!
//! A reader remembers a [`LogPosition`] and continues there after a restart. It tells the store with [`LogFeed::hold`] what it
//! still needs, and the store keeps that as long as its own bounds allow.

use ferula_model::{Exemplar, HistogramValue, LabelSet, MetricMetadata};

use crate::DiskError;

/// A place between two records of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// Number of the segment.
    pub segment: u32,
    /// Bytes before the place in it.
    pub offset: u64,
}

/// A store whose log can be read.
pub trait LogFeed: Send + Sync {
    /// After the newest record.
    fn end(&self) -> LogPosition;

    /// Time of the newest sample in milliseconds, if there is any.
    fn newest_ms(&self) -> Option<i64>;

    /// Reads from `from` on. The series that were logged before it come first.
    ///
    /// # Errors
    /// When the disk refuses.
    fn open(&self, from: LogPosition) -> Result<Box<dyn LogCursor>, DiskError>;

    /// Keeps the log from this position on, as far as the store's bounds allow; `None` for nothing.
    fn hold(&self, held: Option<Hold>);

    /// Whether a series, by its number in the log, can still get samples.
    fn living_series(&self) -> Box<dyn Fn(u64) -> bool + Send>;
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

/// What one record holds. Series are numbers that a record of series has named before.
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
    pub series: Vec<(u64, LabelSet)>,
    /// Float samples.
    pub samples: Vec<LogSample>,
    /// Histogram samples.
    pub histograms: Vec<LogHistogram>,
    /// Exemplars.
    pub exemplars: Vec<(u64, Exemplar)>,
    /// Metadata of series.
    pub metadata: Vec<(u64, MetricMetadata)>,
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
    /// Number of its series.
    pub series: u64,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Start timestamp in milliseconds, 0 for none.
    pub start: i64,
    /// The value; its bits are kept.
    pub value: f64,
}

/// A histogram sample of the log.
#[derive(Clone, Debug)]
pub struct LogHistogram {
    /// Number of its series.
    pub series: u64,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Start timestamp in milliseconds, 0 for none.
    pub start: i64,
    /// The histogram.
    pub value: HistogramValue,
}
