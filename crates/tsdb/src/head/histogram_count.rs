//! Counts the series whose newest sample is a histogram, from the changes of series.

use super::Metrics;
use super::series::Series;

/// Changes to the two gauges, collected over many series.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistogramCount {
    series: i64,
    buckets: i64,
}

impl HistogramCount {
    /// Applies a change to a series and counts its effect.
    pub fn around<T>(&mut self, series: &mut Series, change: impl FnOnce(&mut Series) -> T) -> T {
        let before = series.last_buckets();
        let done = change(series);
        self.took(before);
        self.has(series);
        done
    }

    /// Counts a series in its current state.
    pub fn has(&mut self, series: &Series) {
        if let Some(buckets) = series.last_buckets() {
            self.series += 1;
            self.buckets += i64::try_from(buckets).unwrap_or(i64::MAX);
        }
    }

    fn took(&mut self, before: Option<usize>) {
        if let Some(buckets) = before {
            self.series -= 1;
            self.buckets -= i64::try_from(buckets).unwrap_or(i64::MAX);
        }
    }

    /// Updates the gauges.
    pub fn publish(self, metrics: &Metrics) {
        if self.series != 0 {
            metrics.histogram_series.add(self.series as f64);
        }
        if self.buckets != 0 {
            metrics.histogram_buckets.add(self.buckets as f64);
        }
    }
}
