//! Samples of a series as fields of an answer.

use std::sync::Arc;

use ferula_chunk::{Encoding, SampleIter, SampleValue};
use ferula_model::{HistogramValue, TimeRange, Timestamp};
use ferula_storage::{SeriesSamples, StorageError, StoredChunk};

use crate::histogram::put_histogram;
use crate::protobuf::{put_bytes, put_double, put_varint};

/// Floats and histograms, packed: all floats come first.
#[derive(Default)]
pub struct SampleFields {
    pub floats: Vec<u8>,
    pub histograms: Vec<u8>,
    pub count: u64,
    part: Vec<u8>,
}

impl SampleFields {
    /// Adds the samples of a chunk in the range.
    pub fn put_chunk(&mut self, chunk: &StoredChunk, range: TimeRange) -> Result<(), StorageError> {
        let corrupt = |error: &dyn std::fmt::Display| StorageError::Corrupt(error.to_string());
        let encoding =
            Encoding::from_number(chunk.encoding).ok_or_else(|| corrupt(&"a chunk of no encoding"))?;
        for sample in SampleIter::new(encoding, &chunk.data).map_err(|error| corrupt(&error))? {
            let sample = sample.map_err(|error| corrupt(&error))?;
            let at = sample.timestamp;
            if !range.contains(Timestamp::from_millis(at)) {
                continue;
            }
            match sample.value {
                SampleValue::Float(value) => self.put_float(at, value),
                SampleValue::Histogram(value) => {
                    self.put_histogram(at, &HistogramValue::Integer(Arc::new(*value)))
                }
                SampleValue::FloatHistogram(value) => {
                    self.put_histogram(at, &HistogramValue::Float(Arc::new(*value)));
                }
            }
        }
        Ok(())
    }

    /// Adds all samples of a store that keeps no chunks.
    pub fn put_columns(&mut self, samples: &SeriesSamples) {
        for (at, value) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
            self.put_float(*at, *value);
        }
        for (at, value) in samples.histograms.timestamps.iter().zip(&samples.histograms.values) {
            self.put_histogram(*at, &HistogramValue::Float(Arc::clone(value)));
        }
    }

    fn put_float(&mut self, at: i64, value: f64) {
        self.count += 1;
        self.part.clear();
        // A negative zero is not left out.
        if value.to_bits() != 0 {
            put_double(&mut self.part, 1, value);
        }
        if at != 0 {
            put_varint(&mut self.part, 2, at as u64);
        }
        put_bytes(&mut self.floats, 2, &self.part);
    }

    fn put_histogram(&mut self, at: i64, value: &HistogramValue) {
        self.count += 1;
        self.part.clear();
        put_histogram(&mut self.part, at, 0, value);
        put_bytes(&mut self.histograms, 4, &self.part);
    }
}
