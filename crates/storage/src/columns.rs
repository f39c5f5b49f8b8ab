//! Samples of one series as columns: what readers get.

use std::sync::Arc;

use ferula_model::{FloatHistogram, TimeRange};

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

    /// Adds the samples of `from` in the range, which must be newer than those that are there. Start timestamps are left out.
    pub fn extend_within(&mut self, from: &SeriesSamples, range: TimeRange) {
        let (start, end) = (range.start.millis(), range.end.millis());
        let within = |times: &[i64]| {
            let first = times.partition_point(|at| *at < start);
            first..times.partition_point(|at| *at <= end).max(first)
        };
        let floats = within(&from.floats.timestamps);
        self.floats.timestamps.extend_from_slice(&from.floats.timestamps[floats.clone()]);
        self.floats.values.extend_from_slice(&from.floats.values[floats]);
        let histograms = within(&from.histograms.timestamps);
        self.histograms.timestamps.extend_from_slice(&from.histograms.timestamps[histograms.clone()]);
        self.histograms.values.extend_from_slice(&from.histograms.values[histograms]);
    }

    /// Brings samples of a stranger into order: of several at one time the first stays, and a float before a histogram.
    /// Start timestamps are dropped if anything moves.
    pub fn sort(&mut self) {
        sort_column(&mut self.floats.timestamps, &mut self.floats.values, &mut self.floats.start_timestamps);
        let histograms = &mut self.histograms;
        sort_column(&mut histograms.timestamps, &mut histograms.values, &mut histograms.start_timestamps);
        let floats = &self.floats.timestamps;
        if !histograms.timestamps.iter().any(|at| floats.binary_search(at).is_ok()) {
            return;
        }
        let taken = std::mem::take(histograms);
        for (at, value) in taken.timestamps.into_iter().zip(taken.values) {
            if floats.binary_search(&at).is_err() {
                histograms.timestamps.push(at);
                histograms.values.push(value);
            }
        }
    }
}

fn sort_column<T>(times: &mut Vec<i64>, values: &mut Vec<T>, starts: &mut Vec<i64>) {
    if times.is_sorted_by(|a, b| a < b) {
        return;
    }
    starts.clear();
    let mut samples: Vec<(i64, T)> = std::mem::take(times).into_iter().zip(std::mem::take(values)).collect();
    samples.sort_by_key(|(at, _)| *at);
    samples.dedup_by_key(|(at, _)| *at);
    (*times, *values) = samples.into_iter().unzip();
}
