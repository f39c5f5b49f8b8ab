//! A handle for a series, and what is stored beside samples.

use std::num::NonZeroU64;

use crate::{LabelSet, Timestamp};

/// A handle of a series in a store, for as long as the store is open. What it means is the store's business; the ref of the log is
/// another number (docs/decisions/series-handles.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(NonZeroU64);

impl SeriesRef {
    /// The ref with this number; `None` for 0, which no series has.
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

/// A value with labels of its own (a trace id, mostly) that a sample points to.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels of the exemplar, not of its series.
    pub labels: LabelSet,
    /// The observed value.
    pub value: f64,
    /// When it was observed; the sample's own time when the page gave none.
    pub timestamp: Timestamp,
    /// Whether the page gave the timestamp.
    pub has_timestamp: bool,
}
