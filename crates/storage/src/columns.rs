//! Samples of one series as columns: what readers get.

use std::sync::Arc;

use ferula_model::FloatHistogram;

/// Float samples of one series, timestamps strictly rising.
#[derive(Clone, Debug, Default)]
pub struct FloatColumn {
    /// Milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// Values; the staleness marker is among them (compare by bits).
    pub values: Vec<f64>,
    /// Start timestamps in milliseconds, 0 for none; empty when no sample has one.
    pub start_timestamps: Vec<i64>,
}

/// Histogram samples of one series, timestamps strictly rising.
///
/// Counter-reset hints are right for neighbours within the column only.
#[derive(Clone, Debug, Default)]
pub struct HistogramColumn {
    /// Milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// The histograms, integer ones converted; a stale sample has the marker as its sum.
    pub values: Vec<Arc<FloatHistogram>>,
    /// Start timestamps in milliseconds, 0 for none; empty when no sample has one.
    pub start_timestamps: Vec<i64>,
}

/// All samples of one series in a range of time. No timestamp is in both columns.
#[derive(Clone, Debug, Default)]
pub struct SeriesSamples {
    /// Float samples.
    pub floats: FloatColumn,
    /// Histogram samples.
    pub histograms: HistogramColumn,
}

impl SeriesSamples {
    /// Empties the columns and keeps their buffers.
    pub fn clear(&mut self) {
        self.floats.timestamps.clear();
        self.floats.values.clear();
        self.floats.start_timestamps.clear();
        self.histograms.timestamps.clear();
        self.histograms.values.clear();
        self.histograms.start_timestamps.clear();
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.floats.timestamps.len() + self.histograms.timestamps.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
