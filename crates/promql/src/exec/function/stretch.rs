//! How far `rate`, `increase` and `delta` stretch the change of a window, and what of it follows from the times alone:
//! that is worked out once for all series with the same times, so that a window costs a subtraction, a comparison and a
//! product.

use super::change::Rate;
use crate::QueryError;
use crate::exec::bitmap;
use crate::exec::select::window::{Axis, RangeCall, Windows};

/// How far the change of a window is stretched, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub to_start: f64,
    to_end: f64,
    pub sampled: f64,
}

impl Stretch {
    /// Between the first and the last of samples with so many distances, without regard to their values.
    #[inline]
    pub(super) fn between(
        (first_ms, last_ms): (i64, i64),
        distances: usize,
        (start, end): (i64, i64),
    ) -> Self {
        let mut to_start = first_ms.wrapping_sub(start) as f64 / 1000.0;
        let mut to_end = end.wrapping_sub(last_ms) as f64 / 1000.0;
        let sampled = last_ms.wrapping_sub(first_ms) as f64 / 1000.0;
        let distance = if distances > 0 { sampled / distances as f64 } else { 0.0 };
        let threshold = distance * 1.1;
        if to_start >= threshold {
            to_start = distance / 2.0;
        }
        if to_end >= threshold {
            to_end = distance / 2.0;
        }
        Stretch { to_start, to_end, sampled }
    }

    /// The same of a counter, which is not stretched to where it would be below zero.
    #[inline]
    pub(super) fn not_below_zero(mut self, first_value: f64, change: f64) -> Self {
        if change > 0.0 && first_value >= 0.0 {
            let to_zero = self.sampled * (first_value / change);
            if to_zero < self.to_start {
                self.to_start = to_zero;
            }
        }
        self
    }

    /// What the change is multiplied with.
    #[inline]
    pub(super) fn factor(self, rate: Rate, range_seconds: f64) -> f64 {
        let mut factor = 1.0;
        if self.sampled != 0.0 {
            factor = (self.sampled + self.to_start + self.to_end) / self.sampled;
        }
        if rate.per_second {
            factor /= range_seconds;
        }
        factor
    }
}

/// What follows from the times of samples alone, for the windows of all steps.
#[derive(Default)]
pub(super) struct Stretches {
    /// Indices of the first and last sample; of any where the window has fewer than two.
    pub ends: Vec<(u32, u32)>,
    /// Windows with two samples.
    pub present: Vec<u64>,
    /// What the change is multiplied with, unless a counter would be below zero at the start.
    pub factors: Vec<f64>,
    /// A counter whose first value is more than its change times this would not be.
    pub near_zero: Vec<f64>,
}

impl Stretches {
    pub(super) fn work_out(
        &mut self,
        rate: Rate,
        axis: &Axis,
        times: &[i64],
        windows: &Windows,
        call: &RangeCall<'_>,
    ) -> Result<(), QueryError> {
        let steps = axis.bounds.len();
        if steps > self.factors.capacity() {
            // Two indices and two factors for each.
            call.query.account.charge((steps - self.factors.capacity()).saturating_mul(25))?;
        }
        self.present.clear();
        self.present.resize(bitmap::words_for(steps), 0);
        self.ends.clear();
        self.ends.resize(steps, (0, 0));
        self.factors.clear();
        self.factors.resize(steps, f64::NAN);
        self.near_zero.clear();
        self.near_zero.resize(steps, f64::NAN);
        for step in 0..steps {
            call.query.work(4)?;
            let window = axis.window(step);
            if window.len() < 2 {
                continue;
            }
            let (first, last) = (window.start, window.end - 1);
            let ends = (times[first], times[last]);
            let stretch = Stretch::between(ends, last - first, windows.range(step));
            bitmap::set(&mut self.present, step);
            self.ends[step] = (first as u32, last as u32);
            self.factors[step] = stretch.factor(rate, call.range_seconds());
            self.near_zero[step] = stretch.to_start / stretch.sampled * NEARLY;
        }
        Ok(())
    }
}

/// More than three roundings may take or add.
const NEARLY: f64 = 1.0 + 1e-9;

/// Smaller numbers may have lost digits.
const EXACT_MIN: f64 = 1e-290;

/// Whether a counter may have to be cut off at zero: whether `sampled * (first / change) < to_start`, or so nearly not
/// that only the division can tell. Windows without two samples have NaN for `near_zero`, and may be anything.
#[inline]
pub(super) fn below_zero(first: f64, change: f64, near_zero: f64) -> bool {
    (change > 0.0) & !((first > change * near_zero) & (first > EXACT_MIN))
}
