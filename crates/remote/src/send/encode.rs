//! Messages of remote write, built sample by sample.
//!
//! Each item becomes a series of its own, in the order of the log, as Prometheus sends them.

mod item;
mod v1;
mod v2;

use ferula_model::Timestamp;

use super::series::SentSeries;
use super::symbols::Symbols;
use crate::protobuf::{Reader, put_bytes};
use crate::write::headers::Message;
pub use item::{Item, ItemKind};
pub use v1::put_metadata;

/// A message under construction.
#[derive(Debug)]
pub enum Builder {
    /// `prometheus.WriteRequest`
    V1(v1::Builder),
    /// `io.prometheus.write.v2.Request`
    V2(v2::Builder),
}

impl Builder {
    /// An empty message.
    pub fn new(message: Message) -> Self {
        match message {
            Message::V1 => Builder::V1(v1::Builder::default()),
            Message::V2 => Builder::V2(v2::Builder::default()),
        }
    }

    /// Adds an item of a series.
    pub fn add(&mut self, symbols: &Symbols, series: &SentSeries, item: Item<'_>) {
        match self {
            Builder::V1(builder) => builder.add(symbols, series, item),
            Builder::V2(builder) => builder.add(symbols, series, item),
        }
    }

    /// Returns the message and empties the builder.
    pub fn finish(&mut self) -> Vec<u8> {
        match self {
            Builder::V1(builder) => builder.finish(),
            Builder::V2(builder) => builder.finish(),
        }
    }
}

/// The message without the series whose sample is older than `oldest`, and the number of removed items;
/// `None` if it cannot be parsed.
pub fn without_older(message: Message, bytes: &[u8], oldest: Timestamp) -> Option<(Vec<u8>, Counts)> {
    let series_field = match message {
        Message::V1 => 1,
        Message::V2 => 5,
    };
    let (mut kept, mut dropped) = (Vec::with_capacity(bytes.len()), Counts::default());
    let mut reader = Reader::new(bytes);
    while let Some((field, value)) = reader.field().ok()? {
        let part = value.bytes("message").ok()?;
        if field == series_field {
            let (counts, at) = items_and_time(message, part)?;
            if at < oldest {
                dropped.add_all(counts);
                continue;
            }
        }
        put_bytes(&mut kept, field, part);
    }
    Some((kept, dropped))
}

/// Numbers of items by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Counts {
    /// The sum of all kinds.
    pub fn total(&self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }

    /// Subtracts other counts, which must not be larger.
    #[must_use]
    pub fn without(&self, others: Counts) -> Counts {
        Counts {
            samples: self.samples.saturating_sub(others.samples),
            histograms: self.histograms.saturating_sub(others.histograms),
            exemplars: self.exemplars.saturating_sub(others.exemplars),
        }
    }

    /// Adds other counts.
    pub fn add_all(&mut self, others: Counts) {
        self.samples += others.samples;
        self.histograms += others.histograms;
        self.exemplars += others.exemplars;
    }

    /// Adds one item.
    pub fn add(&mut self, kind: ItemKind) {
        match kind {
            ItemKind::Float => self.samples += 1,
            ItemKind::Histogram => self.histograms += 1,
            ItemKind::Exemplar => self.exemplars += 1,
        }
    }
}

/// The items of an encoded series, and the timestamp of its newest sample, or else of its exemplar.
fn items_and_time(message: Message, series: &[u8]) -> Option<(Counts, Timestamp)> {
    let mut reader = Reader::new(series);
    let (mut counts, mut newest) = (Counts::default(), (false, i64::MIN));
    while let Some((field, value)) = reader.field().ok()? {
        let (kind, time_field) = match (message, field) {
            (_, 2) => (ItemKind::Float, 2),
            (Message::V1, 4) | (Message::V2, 3) => (ItemKind::Histogram, 15),
            (Message::V1, 3) | (Message::V2, 4) => (ItemKind::Exemplar, 3),
            _ => continue,
        };
        counts.add(kind);
        let mut inner = Reader::new(value.bytes("item").ok()?);
        let mut at = 0;
        while let Some((field, value)) = inner.field().ok()? {
            if field == time_field {
                at = value.int("timestamp").ok()?;
            }
        }
        newest = newest.max((kind != ItemKind::Exemplar, at));
    }
    Some((counts, Timestamp::from_millis(newest.1)))
}

#[cfg(test)]
mod tests;
