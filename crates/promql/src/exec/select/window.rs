//! Functions over range vectors: one value per series and window.
//!
//! Windows are open on the left. For each series all samples of all windows are read at once, staleness markers
//! are taken out (`samples.rs`), two indices per kind of sample move forward with the steps (`walk.rs`), and the
//! function makes a row of them (`operator.rs`).

mod operator;
mod samples;
mod walk;

use ferula_model::LabelSet;
use ferula_promql_syntax::ast::{RangeExtension, Span};

use crate::QueryError;
use crate::exec::batch::{RowMut, Value};
use crate::exec::context::QueryContext;
use crate::exec::scalars::Scalars;
pub(crate) use operator::{RangeSource, WindowOperator};
pub(crate) use samples::Samples;
use walk::Indices;
pub(crate) use walk::{FloatWindow, Index, Window, Windows};

/// A function over range vectors.
pub(crate) trait RangeFunction {
    /// The value of one window, which has at least one sample.
    fn window(&mut self, window: &Window<'_>, call: &RangeCall<'_>) -> Result<Option<Value>, QueryError>;

    /// All windows of one series. Functions with a faster way than window by window have their own.
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

/// What stays the same over all windows of one series.
pub(crate) struct RangeCall<'a> {
    /// Labels of the series before its name is dropped.
    pub labels: &'a LabelSet,
    /// Place of the first argument.
    pub span: Span,
    /// The arguments that are no range vector, in order.
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
