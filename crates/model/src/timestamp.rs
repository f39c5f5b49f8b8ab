//! Points and ranges in time, in milliseconds since the Unix epoch.

use std::fmt;

/// Milliseconds since the Unix epoch, UTC. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time; also "no lower bound".
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest time; also "no upper bound".
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// The epoch itself. As a start timestamp, here as in Prometheus' formats: none.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// From milliseconds since the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Timestamp(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, as PromQL's `time()` returns them.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// `self + ms`, saturating.
    pub const fn saturating_add_millis(self, ms: i64) -> Self {
        Timestamp(self.0.saturating_add(ms))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first timestamp in the range.
    pub start: Timestamp,
    /// The last timestamp in the range; before `start` if the range is empty.
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { start: Timestamp::MIN, end: Timestamp::MAX };

    /// The range from `start` to `end`, both included.
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        TimeRange { start, end }
    }

    /// The same from milliseconds.
    pub const fn from_millis(start_ms: i64, end_ms: i64) -> Self {
        TimeRange { start: Timestamp::from_millis(start_ms), end: Timestamp::from_millis(end_ms) }
    }

    /// Whether `t` lies in the range.
    pub fn contains(&self, t: Timestamp) -> bool {
        self.start <= t && t <= self.end
    }

    /// Whether the two ranges have a timestamp in common.
    pub fn overlaps(&self, other: TimeRange) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}
