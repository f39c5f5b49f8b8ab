//! Start timestamps: when a counter began to count, as its source says.

use crate::Annotation;
use crate::exec::select::window::RangeCall;

/// Start timestamps beside the times of the samples; no start timestamps mean that they do not matter.
pub(super) struct Starts<'a> {
    starts: &'a [i64],
    times: &'a [i64],
}

impl<'a> Starts<'a> {
    pub(super) fn new(starts: &'a [i64], times: &'a [i64]) -> Self {
        Starts { starts, times }
    }

    /// Whether the sample at this index began to count after the one before it.
    pub(super) fn is_reset(&self, at: usize) -> bool {
        let Some(&start) = self.starts.get(at) else { return false };
        at > 0 && is_reset((self.starts[at - 1], self.times[at - 1]), (start, self.times[at]))
    }

    /// The start of the first sample, if it lies within the range and before the sample.
    pub(super) fn first_inside(&self, range_start: i64) -> Option<i64> {
        let start = *self.starts.first()?;
        (start != 0 && start > range_start && start < self.times[0]).then_some(start)
    }

    /// Warns once when a sample's start lies before the previous sample although it is another start.
    pub(super) fn annotate_overlap(&self, call: &RangeCall<'_>) {
        let overlaps = (1..self.starts.len()).any(|at| {
            let start = self.starts[at];
            start != 0 && start < self.times[at - 1] && start != self.starts[at - 1]
        });
        if overlaps {
            call.query.annotate(Annotation::start_time_overlap(call.metric_name(), call.span));
        }
    }
}

/// Whether the counter of the second sample restarted. Both are (start, time); a start of 0, or not before its own time,
/// is not known.
pub(super) fn is_reset(before: (i64, i64), now: (i64, i64)) -> bool {
    if now.0 == 0 || now.0 >= now.1 || now.0 < before.1 {
        return false;
    }
    if now.0 > before.1 {
        return true;
    }
    // It starts at the sample before: a series of deltas, unless that one's start was not known either.
    before.0 <= before.1 && before.0 != 0 && before.0 != before.1
}
