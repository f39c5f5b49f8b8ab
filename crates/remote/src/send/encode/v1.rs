//! `prometheus.WriteRequest`, the message of remote write 1.0.

use ferula_model::{Exemplar, MetricMetadata};

use super::super::series::SentSeries;
use super::super::symbols::Symbols;
use super::item::Item;
use crate::histogram::put_histogram;
use crate::label::{put_label, put_labels};
use crate::protobuf::{put_bytes, put_double, put_varint};

/// A message under construction.
#[derive(Debug, Default)]
pub struct Builder {
    message: Vec<u8>,
    series: Vec<u8>,
    item: Vec<u8>,
}

impl Builder {
    /// Adds an item of a series.
    pub fn add(&mut self, symbols: &Symbols, series: &SentSeries, item: Item<'_>) {
        self.series.clear();
        for pair in series.labels.chunks_exact(2) {
            put_label(&mut self.series, symbols.text(pair[0]), symbols.text(pair[1]));
        }
        self.item.clear();
        let field = match item {
            Item::Float(at, _, value) => {
                put_double(&mut self.item, 1, value);
                put_varint(&mut self.item, 2, at.millis() as u64);
                2
            }
            Item::Histogram(at, _, value) => {
                put_histogram(&mut self.item, at.millis(), 0, value);
                4
            }
            Item::Exemplar(exemplar) => {
                put_exemplar(&mut self.item, exemplar);
                3
            }
        };
        put_bytes(&mut self.series, field, &self.item);
        put_bytes(&mut self.message, 1, &self.series);
    }

    /// Returns the message and empties the builder.
    pub fn finish(&mut self) -> Vec<u8> {
        let capacity = self.message.len();
        std::mem::replace(&mut self.message, Vec::with_capacity(capacity))
    }
}

fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    put_labels(out, &exemplar.labels);
    put_double(out, 2, exemplar.value);
    put_varint(out, 3, exemplar.timestamp.millis() as u64);
}

/// Appends the metadata of a metric family to a message.
pub fn put_metadata(out: &mut Vec<u8>, family: &str, metadata: &MetricMetadata) {
    let mut message = Vec::with_capacity(family.len() + metadata.help.len() + metadata.unit.len() + 16);
    put_varint(&mut message, 1, u64::from(metadata.kind.number()));
    put_bytes(&mut message, 2, family.as_bytes());
    put_bytes(&mut message, 4, metadata.help.as_bytes());
    put_bytes(&mut message, 5, metadata.unit.as_bytes());
    put_bytes(out, 3, &message);
}
