//! Series handles and exemplars.

use std::num::NonZeroU64;

use crate::{LabelSet, Timestamp};

/// A handle of a series, valid while its store is open. Its meaning is up to the store; the ref in the log is
/// another number (docs/decisions/series-handles.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(NonZeroU64);

impl SeriesRef {
    /// The ref with this number; `None` for 0, which is never used.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(SeriesRef(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// A value with its own labels (usually a trace ID) attached to a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels of the exemplar, not of its series.
    pub labels: LabelSet,
    /// The observed value.
    pub value: f64,
    /// When it was observed; the sample's own time if the page gave none.
    pub timestamp: Timestamp,
    /// Whether the page gave the timestamp.
    pub has_timestamp: bool,
}
