//! The columns into which float chunks are decoded.

/// Float samples as columns. Decoders append to them, so that several chunks can be read into one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// Values; NaN payloads are kept.
    pub values: Vec<f64>,
    /// Start timestamps in milliseconds, 0 for none. Empty as long as no sample has one.
    pub start_timestamps: Vec<i64>,
}

impl Columns {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Empties the columns and keeps their buffers.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the first `len` samples.
    pub fn truncate(&mut self, len: usize) {
        self.timestamps.truncate(len);
        self.values.truncate(len);
        self.start_timestamps.truncate(len);
    }

    /// Adds a sample; `start` is 0 for none.
    pub fn push(&mut self, start: i64, timestamp: i64, value: f64) {
        if start != 0 && self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        if start != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.push(start);
        }
        self.timestamps.push(timestamp);
        self.values.push(value);
    }
}
