//! What goes out in one request.

use std::time::Duration;

use bytes::Bytes;

use super::encode::{Builder, Counts, Item};
use super::position::Place;
use super::series::SentSeries;
use super::symbols::Symbols;
use crate::snappy;
use crate::write::headers::Message;

/// A request that is ready to be sent.
#[derive(Debug)]
pub struct Batch {
    /// The lane that sends it.
    pub lane: usize,
    /// The message, packed.
    pub body: Bytes,
    /// What is in it.
    pub counts: Counts,
    /// Time of its oldest item in milliseconds.
    pub oldest_ms: i64,
    /// Time of its newest item in milliseconds.
    pub newest_ms: i64,
    /// Behind its last item in the log.
    pub until: Place,
}

/// The batch of one lane while items are added.
#[derive(Debug)]
pub struct OpenBatch {
    builder: Builder,
    counts: Counts,
    oldest_ms: i64,
    newest_ms: i64,
    /// Before its first item.
    from: Place,
    until: Place,
    /// When its first item was added, in the time of the caller.
    since: Duration,
}

impl OpenBatch {
    /// An empty batch.
    pub fn new(message: Message) -> Self {
        OpenBatch {
            builder: Builder::new(message),
            counts: Counts::default(),
            oldest_ms: i64::MAX,
            newest_ms: i64::MIN,
            from: Place::default(),
            until: Place::default(),
            since: Duration::ZERO,
        }
    }

    /// Adds an item that stands at `place`.
    pub fn add(
        &mut self,
        (symbols, series): (&Symbols, &SentSeries),
        item: Item<'_>,
        place: Place,
        now: Duration,
    ) {
        if self.counts.total() == 0 {
            (self.from, self.since) = (place, now);
        }
        self.counts.add(item.kind());
        self.oldest_ms = self.oldest_ms.min(item.at());
        self.newest_ms = self.newest_ms.max(item.at());
        self.builder.add(symbols, series, item);
        self.until = Place { item: place.item + 1, ..place };
    }

    /// How many items it has.
    pub fn len(&self) -> u64 {
        self.counts.total()
    }

    /// Before its first item; `None` when it is empty.
    pub fn from(&self) -> Option<Place> {
        (self.len() > 0).then_some(self.from)
    }

    /// When its first item was added; `None` when it is empty.
    pub fn since(&self) -> Option<Duration> {
        (self.len() > 0).then_some(self.since)
    }

    /// The request; the batch is empty afterwards. `None` when it was before.
    pub fn finish(&mut self, lane: usize) -> Option<Batch> {
        if self.len() == 0 {
            return None;
        }
        let batch = Batch {
            lane,
            body: snappy::encode(&self.builder.finish()).into(),
            counts: std::mem::take(&mut self.counts),
            oldest_ms: std::mem::replace(&mut self.oldest_ms, i64::MAX),
            newest_ms: std::mem::replace(&mut self.newest_ms, i64::MIN),
            until: self.until,
        };
        Some(batch)
    }
}
