//! The content of one request, while it is assembled and when it is complete.

use std::time::Duration;

use bytes::Bytes;
use ferula_model::Timestamp;

use super::encode::{Builder, Counts, Item};
use super::position::ItemPosition;
use super::series::SentSeries;
use super::symbols::Symbols;
use crate::snappy;
use crate::write::headers::Message;

/// A request that is ready to be sent.
#[derive(Debug)]
pub struct Batch {
    /// The lane that sends it.
    pub lane: usize,
    /// The compressed message.
    pub body: Bytes,
    /// Number of items in it.
    pub counts: Counts,
    /// Timestamp of its oldest item.
    pub oldest: Timestamp,
    /// Timestamp of its newest item.
    pub newest: Timestamp,
    /// The log position after its last item.
    pub until: ItemPosition,
}

/// The open batch of one lane, to which items are added.
#[derive(Debug)]
pub struct OpenBatch {
    builder: Builder,
    counts: Counts,
    oldest: Timestamp,
    newest: Timestamp,
    /// The log position before its first item.
    from: ItemPosition,
    until: ItemPosition,
    /// When its first item was added, on the caller's clock.
    since: Duration,
}

impl OpenBatch {
    /// An empty batch.
    pub fn new(message: Message) -> Self {
        OpenBatch {
            builder: Builder::new(message),
            counts: Counts::default(),
            oldest: Timestamp::MAX,
            newest: Timestamp::MIN,
            from: ItemPosition::default(),
            until: ItemPosition::default(),
            since: Duration::ZERO,
        }
    }

    /// Adds an item whose position in the log is `place`.
    pub fn add(
        &mut self,
        (symbols, series): (&Symbols, &SentSeries),
        item: Item<'_>,
        place: ItemPosition,
        now: Duration,
    ) {
        if self.counts.total() == 0 {
            (self.from, self.since) = (place, now);
        }
        self.counts.add(item.kind());
        self.oldest = self.oldest.min(item.at());
        self.newest = self.newest.max(item.at());
        self.builder.add(symbols, series, item);
        self.until = ItemPosition { item: place.item + 1, ..place };
    }

    /// Number of items.
    pub fn len(&self) -> u64 {
        self.counts.total()
    }

    /// The log position before its first item; `None` if it is empty.
    pub fn from(&self) -> Option<ItemPosition> {
        (self.len() > 0).then_some(self.from)
    }

    /// When its first item was added; `None` if it is empty.
    pub fn since(&self) -> Option<Duration> {
        (self.len() > 0).then_some(self.since)
    }

    /// Returns the request and empties the batch. `None` if there were no items.
    pub fn finish(&mut self, lane: usize) -> Option<Batch> {
        if self.len() == 0 {
            return None;
        }
        let batch = Batch {
            lane,
            body: snappy::encode(&self.builder.finish()).into(),
            counts: std::mem::take(&mut self.counts),
            oldest: std::mem::replace(&mut self.oldest, Timestamp::MAX),
            newest: std::mem::replace(&mut self.newest, Timestamp::MIN),
            until: self.until,
        };
        Some(batch)
    }
}
