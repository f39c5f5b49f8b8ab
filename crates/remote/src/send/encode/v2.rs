//! `io.prometheus.write.v2.Request`, the message of remote write 2.0: every text occurs once per message, in
//! a table.

use std::collections::HashMap;

use ferula_model::{Exemplar, Timestamp};
use ferula_storage::LogRef;

use super::super::series::{NumberMap, SentSeries};
use super::super::symbols::Symbols;
use super::item::Item;
use crate::histogram::put_histogram;
use crate::protobuf::{push_varint, put_bytes, put_double, put_varint};

/// A message under construction.
#[derive(Debug, Default)]
pub struct Builder {
    /// The table as fields of the message. Its first, empty text is added at the end.
    table: Vec<u8>,
    texts: u32,
    /// Indices in the message's table, by symbol of the series table.
    places: NumberMap<u32, u32>,
    /// Indices of the labels of exemplars, which have no symbols.
    other_places: HashMap<String, u32>,
    /// Series messages one after the other, without framing.
    series: Vec<u8>,
    /// Where each one ends, and to which series it belongs.
    ends: Vec<(usize, LogRef)>,
    /// Exemplars as fields of a series message. They are sent with a sample, because receivers refuse series
    /// without one.
    exemplars: NumberMap<LogRef, Vec<u8>>,
    item: Vec<u8>,
    packed: Vec<u8>,
}

impl Builder {
    fn place(&mut self, symbols: &Symbols, symbol: u32) -> u32 {
        if let Some(place) = self.places.get(&symbol) {
            return *place;
        }
        let text = symbols.text(symbol);
        let place = if text.is_empty() { 0 } else { self.append(text) };
        self.places.insert(symbol, place);
        place
    }

    fn other_place(&mut self, text: &str) -> u32 {
        if let Some(place) = self.other_places.get(text) {
            return *place;
        }
        let place = self.append(text);
        self.other_places.insert(text.to_owned(), place);
        place
    }

    fn append(&mut self, text: &str) -> u32 {
        put_bytes(&mut self.table, 4, text.as_bytes());
        self.texts += 1;
        self.texts
    }

    /// Adds an item of a series.
    pub fn add(&mut self, symbols: &Symbols, series: &SentSeries, item: Item<'_>) {
        let owner = series.number;
        if let Item::Exemplar(exemplar) = item {
            self.add_exemplar(owner, exemplar);
            if self.ends.iter().rev().any(|(_, other)| *other == owner) {
                return;
            }
        }
        self.packed.clear();
        for symbol in &series.labels {
            let place = self.place(symbols, *symbol);
            push_varint(&mut self.packed, u64::from(place));
        }
        put_bytes(&mut self.series, 1, &self.packed);
        self.item.clear();
        match item {
            Item::Float(at, start, value) => {
                put_double(&mut self.item, 1, value);
                put_varint(&mut self.item, 2, at.millis() as u64);
                if start != Timestamp::EPOCH {
                    put_varint(&mut self.item, 3, start.millis() as u64);
                }
                put_bytes(&mut self.series, 2, &self.item);
            }
            Item::Histogram(at, start, value) => {
                put_histogram(&mut self.item, at.millis(), start.millis(), value);
                put_bytes(&mut self.series, 3, &self.item);
            }
            Item::Exemplar(_) => {}
        }
        if let Some((kind, help, unit)) = series.metadata {
            let (help, unit) = (self.place(symbols, help), self.place(symbols, unit));
            self.item.clear();
            put_varint(&mut self.item, 1, u64::from(kind.number()));
            put_varint(&mut self.item, 3, u64::from(help));
            put_varint(&mut self.item, 4, u64::from(unit));
            put_bytes(&mut self.series, 5, &self.item);
        }
        self.ends.push((self.series.len(), owner));
    }

    fn add_exemplar(&mut self, owner: LogRef, exemplar: &Exemplar) {
        self.packed.clear();
        for (name, value) in exemplar.labels.iter() {
            let places = [self.other_place(name), self.other_place(value)];
            places.into_iter().for_each(|place| push_varint(&mut self.packed, u64::from(place)));
        }
        self.item.clear();
        put_bytes(&mut self.item, 1, &self.packed);
        put_double(&mut self.item, 2, exemplar.value);
        put_varint(&mut self.item, 3, exemplar.timestamp.millis() as u64);
        put_bytes(self.exemplars.entry(owner).or_default(), 4, &self.item);
    }

    /// Returns the message and empties the builder.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(2 + self.table.len() + self.series.len() + 4 * self.ends.len());
        put_bytes(&mut whole, 4, b"");
        whole.extend_from_slice(&self.table);
        let mut start = 0;
        for (end, owner) in self.ends.drain(..) {
            let message = &self.series[start..end];
            start = end;
            match self.exemplars.remove(&owner) {
                None => put_bytes(&mut whole, 5, message),
                Some(exemplars) => put_bytes(&mut whole, 5, &[message, &exemplars].concat()),
            }
        }
        self.table.clear();
        self.series.clear();
        self.places.clear();
        self.other_places.clear();
        self.exemplars.clear();
        self.texts = 0;
        whole
    }
}
