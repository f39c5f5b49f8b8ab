//! Averages as Prometheus computes them: the compensated sum divided by the count while the sum is finite, and
//! from there on an incremental mean, which cannot overflow.

use std::sync::Arc;

use ferula_model::FloatHistogram;
use ferula_model::histogram::{Combined, HistogramError};

use super::kahan;

/// The mean of floats.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    /// The sum, or the mean itself once it is incremental.
    value: f64,
    compensation: f64,
    count: f64,
    incremental: bool,
}

impl Mean {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.value = value;
            return;
        }
        if !self.incremental {
            let (sum, compensation) = kahan::add(value, self.value, self.compensation);
            if !sum.is_infinite() {
                (self.value, self.compensation) = (sum, compensation);
                return;
            }
            self.incremental = true;
            self.value /= self.count - 1.0;
            self.compensation /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        (self.value, self.compensation) =
            kahan::add(value / self.count, share * self.value, share * self.compensation);
    }

    pub(crate) fn value(&self) -> f64 {
        if self.incremental {
            self.value + self.compensation
        } else {
            self.value / self.count + self.compensation / self.count
        }
    }
}

/// The mean of histograms.
#[derive(Clone, Debug)]
pub(crate) struct HistogramMean {
    /// The sum, or the mean itself once it is incremental. Shared with the sample while there is only one.
    value: Arc<FloatHistogram>,
    compensation: Option<FloatHistogram>,
    count: f64,
    incremental: bool,
}

impl HistogramMean {
    /// The mean of one histogram.
    pub(crate) fn new(first: Arc<FloatHistogram>) -> Self {
        HistogramMean { value: first, compensation: None, count: 1.0, incremental: false }
    }

    /// Adds a histogram. After an error the mean is no longer usable.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram) -> Result<Combined, HistogramError> {
        self.count += 1.0;
        if !self.incremental {
            let mut sum = FloatHistogram::clone(&self.value);
            let mut compensation = self.compensation.clone();
            let combined = sum.kahan_add(histogram, &mut compensation)?;
            if !sum.has_overflow() {
                (self.value, self.compensation) = (Arc::new(sum), compensation);
                return Ok(combined);
            }
            self.incremental = true;
            Arc::make_mut(&mut self.value).div(self.count - 1.0);
            if let Some(compensation) = &mut self.compensation {
                compensation.div(self.count - 1.0);
            }
        }
        let share = (self.count - 1.0) / self.count;
        if let Some(compensation) = &mut self.compensation {
            compensation.mul(share);
        }
        let mut part = histogram.clone();
        part.div(self.count);
        let mean = Arc::make_mut(&mut self.value);
        mean.mul(share);
        mean.kahan_add(&part, &mut self.compensation)
    }

    /// The mean.
    pub(crate) fn value(self) -> FloatHistogram {
        let mut mean = Arc::unwrap_or_clone(self.value);
        let mut compensation = self.compensation;
        if !self.incremental {
            mean.div(self.count);
            if let Some(compensation) = &mut compensation {
                compensation.div(self.count);
            }
        }
        if let Some(compensation) = compensation {
            // Both have one layout, so this cannot fail.
            let _ = mean.add(&compensation);
        }
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_overflows_still_has_a_mean() {
        let mut mean = Mean::default();
        [f64::MAX, f64::MAX].into_iter().for_each(|value| mean.add(value));
        assert_eq!(mean.value(), f64::MAX);
    }

    #[test]
    fn infinities_of_both_signs_have_none() {
        let mut mean = Mean::default();
        [f64::INFINITY, f64::NEG_INFINITY].into_iter().for_each(|value| mean.add(value));
        assert!(mean.value().is_nan());
    }
}
