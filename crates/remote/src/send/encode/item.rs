//! What a message is made of: samples, histograms and exemplars of series.

use ferula_model::{Exemplar, HistogramValue, Timestamp};

/// An item of a series.
#[derive(Clone, Copy, Debug)]
pub enum Item<'i> {
    /// A float sample: its timestamp, start timestamp (0 for none) and value.
    Float(Timestamp, Timestamp, f64),
    /// A histogram sample: its timestamp, start timestamp and value.
    Histogram(Timestamp, Timestamp, &'i HistogramValue),
    Exemplar(&'i Exemplar),
}

impl Item<'_> {
    /// Which counters it belongs to.
    pub fn kind(&self) -> ItemKind {
        match self {
            Item::Float(..) => ItemKind::Float,
            Item::Histogram(..) => ItemKind::Histogram,
            Item::Exemplar(_) => ItemKind::Exemplar,
        }
    }

    /// Its timestamp.
    pub fn at(&self) -> Timestamp {
        match self {
            Item::Float(at, ..) | Item::Histogram(at, ..) => *at,
            Item::Exemplar(exemplar) => exemplar.timestamp,
        }
    }
}

/// The kind of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    Float,
    Histogram,
    Exemplar,
}
