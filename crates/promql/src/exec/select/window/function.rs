//! What a function over range vectors is, and the plain way to apply it to the windows of a series.

use ferula_model::LabelSet;
use ferula_promql_syntax::ast::{RangeExtension, Span};

use super::samples::Samples;
use super::walk::{Indices, Window, Windows};
use crate::QueryError;
use crate::exec::batch::{RowMut, Value};
use crate::exec::context::QueryContext;
use crate::exec::scalars::Scalars;

/// A function over range vectors. Every thread that applies it has one of its own.
pub(crate) trait RangeFunction: Send {
    /// The value of one window, which has at least one sample.
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError>;

    /// All windows of one series. Functions that have a faster way than window by window override this.
    fn row(
        &mut self,
        samples: Samples<'_>,
        windows: &Windows,
        call: &RangeCall<'_>,
        out: &mut RowMut<'_>,
    ) -> Result<(), QueryError> {
        windows_one_by_one(self, samples, windows, call, out)
    }

    /// Whether the result is a sample of the series rather than something computed from it.
    fn keeps_name(&self) -> bool {
        false
    }

    /// Whether start timestamps matter, when the feature is on.
    fn uses_start_timestamps(&self) -> bool {
        false
    }

    /// Whether `anchored` and `smoothed` mean something.
    fn allows(&self, _extension: RangeExtension) -> bool {
        false
    }

    /// Whether a metric that does not look like a counter is worth an info.
    fn expects_counter(&self) -> bool {
        false
    }
}

/// [`RangeFunction::row`], window by window.
pub(crate) fn windows_one_by_one<F: RangeFunction + ?Sized>(
    function: &mut F,
    samples: Samples<'_>,
    windows: &Windows,
    call: &RangeCall<'_>,
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    if samples.histogram_times.is_empty() {
        return windows_of_floats(function, samples, windows, call, out);
    }
    let mut indices = Indices::default();
    for step in 0..windows.grid.steps() {
        let before = indices;
        let window = windows.cut(samples, step, &mut indices);
        call.query.work(1 + indices.moved_since(&before))?;
        if window.is_empty() {
            continue;
        }
        windows.count(&window, call.query)?;
        if let Some(value) = function.window(&window, call)? {
            out.set(step, value);
        }
    }
    Ok(())
}

/// The same for a series of floats.
fn windows_of_floats<F: RangeFunction + ?Sized>(
    function: &mut F,
    samples: Samples<'_>,
    windows: &Windows,
    call: &RangeCall<'_>,
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let axis = windows.axis(samples.float_times, call.query)?;
    for (step, &(from, to)) in axis.bounds.iter().enumerate() {
        call.query.work(1)?;
        if from == to {
            continue;
        }
        let (range_start, range_end) = windows.range(step);
        let samples = samples.slice((from as usize, to as usize), (0, 0));
        let at = windows.grid.time(step);
        let window = Window { samples, range_start, range_end, at, step, new: (0, 0) };
        if let Some(value) = function.window(&window, call)? {
            out.set(step, value);
        }
    }
    windows.count_axis(&axis, call.query)
}

/// What stays the same over all windows of one series.
pub(crate) struct RangeCall<'a> {
    /// Labels of the series before its name is dropped.
    pub labels: &'a LabelSet,
    /// Place of the first argument.
    pub span: Span,
    /// The arguments other than the range vector, in order.
    pub scalars: &'a [Scalars],
    pub range_ms: i64,
    pub extension: Option<RangeExtension>,
    pub query: &'a QueryContext<'a>,
}

impl RangeCall<'_> {
    pub(crate) fn metric_name(&self) -> &str {
        self.labels.metric_name()
    }

    pub(crate) fn range_seconds(&self) -> f64 {
        self.range_ms as f64 / 1000.0
    }
}
