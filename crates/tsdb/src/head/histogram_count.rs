//! Counting the series whose newest sample is a histogram, by what each change of a series adds or takes away.

use super::Metrics;
use super::series::Series;

/// Changes to the two gauges, gathered over many series.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistogramCount {
    series: i64,
    buckets: i64,
}

impl HistogramCount {
    /// Carries out a change of a series, and counts what it does.
    pub fn around<T>(&mut self, series: &mut Series, change: impl FnOnce(&mut Series) -> T) -> T {
        let before = series.last_buckets();
        let done = change(series);
        self.took(before);
        self.has(series);
        done
    }

    /// Counts a series as it is.
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

    /// Shows the changes.
    pub fn publish(self, metrics: &Metrics) {
        if self.series != 0 {
            metrics.histogram_series.add(self.series as f64);
        }
        if self.buckets != 0 {
            metrics.histogram_buckets.add(self.buckets as f64);
        }
    }
}
