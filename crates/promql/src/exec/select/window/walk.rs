//! The place of windows, and how they move over the samples with the steps.

use std::cell::{Ref, RefCell};
use std::sync::Arc;

use ferula_model::{FloatHistogram, TimeRange};

use super::axis::{Axes, Axis};
use super::index::{FloatWindows, first_after};
use super::samples::Samples;
use crate::exec::context::QueryContext;
use crate::exec::scope::Scope;
use crate::exec::select::counts_only::ReadWindow;
use crate::plan::node::Lookup;
use crate::{Grid, QueryError};

/// One window of one series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub samples: Samples<'a>,
    /// Samples at or before this moment are not in the range; with `anchored` or `smoothed` some are in the window.
    pub range_start: i64,
    /// Last moment of the range.
    pub range_end: i64,
    /// Time of the step, which `offset` and `@` do not move.
    pub at: i64,
    pub step: usize,
    /// How many samples at the end of the window were not in the previous window.
    pub(super) new: (usize, usize),
}

impl Window<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

/// Where the windows of a call lie.
pub(crate) struct Windows {
    pub grid: Grid,
    pub lookup: Lookup,
    pub range_ms: i64,
    /// How far a window begins before its moment.
    pub before_ms: i64,
    /// How far it ends after it.
    pub after_ms: i64,
    pub(super) scope: Scope,
    /// The samples are not read from storage but from a subquery that counted them already.
    pub(super) read_elsewhere: bool,
    /// For series of floats.
    axes: RefCell<Axes>,
}

/// Begin and end of the current window in each column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indices {
    pub floats: (usize, usize),
    pub histograms: (usize, usize),
}

impl Indices {
    /// The total number of samples by which they moved.
    pub(super) fn moved_since(&self, before: &Indices) -> usize {
        let sum = |indices: &Indices| {
            indices.floats.0 + indices.floats.1 + indices.histograms.0 + indices.histograms.1
        };
        sum(self) - sum(before)
    }
}

/// Moves the begin and end of a window forward.
#[inline]
fn advance(times: &[i64], window: &mut (usize, usize), open: i64, closed: i64) {
    window.1 = first_after(times, window.1, closed);
    window.0 = first_after(&times[..window.1], window.0, open);
}

impl Windows {
    /// Windows at the steps of `scope`. See the fields for the other arguments.
    pub(crate) fn new(
        scope: Scope,
        lookup: Lookup,
        range_ms: i64,
        (before_ms, after_ms): (i64, i64),
        read_elsewhere: bool,
    ) -> Self {
        let (grid, axes) = (scope.grid, RefCell::default());
        Windows { grid, lookup, range_ms, before_ms, after_ms, scope, read_elsewhere, axes }
    }

    /// The same with axes of series before.
    pub(super) fn with_axes(self, axes: Axes) -> Self {
        Windows { axes: RefCell::new(axes), ..self }
    }

    /// The axes so far, for the next series.
    pub(super) fn into_axes(self) -> Axes {
        self.axes.into_inner()
    }

    /// Begin and end of the range of a step, the begin not included.
    pub(crate) fn range(&self, step: usize) -> (i64, i64) {
        let moment = self.lookup.time(self.grid.time(step));
        (moment.saturating_sub(self.range_ms), moment)
    }

    /// The window of a step, which must not be earlier than that of the call before with the same indices.
    #[inline]
    pub(crate) fn cut<'a>(&self, samples: Samples<'a>, step: usize, indices: &mut Indices) -> Window<'a> {
        let at = self.grid.time(step);
        let moment = self.lookup.time(at);
        let (open, closed) = (moment.saturating_sub(self.before_ms), moment.saturating_add(self.after_ms));
        let before = *indices;
        advance(samples.float_times, &mut indices.floats, open, closed);
        advance(samples.histogram_times, &mut indices.histograms, open, closed);
        let new = (
            indices.floats.1 - before.floats.1.max(indices.floats.0),
            indices.histograms.1 - before.histograms.1.max(indices.histograms.0),
        );
        Window {
            samples: samples.slice(indices.floats, indices.histograms),
            range_start: moment.saturating_sub(self.range_ms),
            range_end: moment,
            at,
            step,
            new,
        }
    }

    /// The windows of a series that has floats only, at these times.
    pub(crate) fn axis(&self, times: &[i64], query: &QueryContext<'_>) -> Result<Ref<'_, Axis>, QueryError> {
        let moment = self.lookup.time(self.grid.start_ms);
        let step_ms = if self.lookup.at_ms.is_some() { 0 } else { self.grid.step_ms };
        let walk = FloatWindows::new(times, (moment, step_ms), (self.before_ms, self.after_ms));
        let which = self.axes.borrow_mut().find(times, walk, self.grid.steps(), query)?;
        Ok(Ref::map(self.axes.borrow(), |axes| axes.get(which)))
    }

    /// Counts the samples of a window.
    pub(crate) fn count(&self, window: &Window<'_>, query: &QueryContext<'_>) -> Result<(), QueryError> {
        let weigh = |histograms: &[Arc<FloatHistogram>]| {
            histograms.iter().map(|histogram| histogram.sample_weight() as u64).sum::<u64>()
        };
        let histograms = window.samples.histograms;
        query.work(histograms.len() * 4)?;
        let total = window.samples.floats.len() as u64 + weigh(histograms);
        let read = if self.read_elsewhere {
            0
        } else {
            window.new.0 as u64 + weigh(&histograms[histograms.len() - window.new.1..])
        };
        self.scope.stats.add(window.step, total, read);
        Ok(())
    }

    /// Counts the samples of all windows of a series of floats: at once, or step by step where somebody needs that (a
    /// subquery does, for the query around it).
    pub(crate) fn count_axis(&self, axis: &Axis, query: &QueryContext<'_>) -> Result<(), QueryError> {
        let read = |read: u64| if self.read_elsewhere { 0 } else { read };
        if self.scope.stats.by_step() {
            query.work(axis.bounds.len())?;
            self.scope.stats.add_steps(axis.counts().map(|(total, new)| (total, read(new))));
        } else {
            self.scope.stats.add(0, axis.total, read(axis.read));
        }
        Ok(())
    }

    /// The samples that a reader of all windows passes, those at the open ends included.
    pub(super) fn reach(&self) -> ReadWindow {
        let Windows { grid, lookup, before_ms, after_ms, .. } = *self;
        ReadWindow { grid, lookup, before_ms, after_ms }
    }

    /// The times that all windows together cover, with or without their open ends.
    pub(super) fn read_range(&self, with_open_ends: bool) -> TimeRange {
        let first = self.lookup.time(self.grid.start_ms).saturating_sub(self.before_ms);
        let first = if with_open_ends { first } else { first.saturating_add(1) };
        let last = self.lookup.time(self.grid.time(self.grid.steps() - 1));
        TimeRange::from_millis(first, last.saturating_add(self.after_ms))
    }
}
