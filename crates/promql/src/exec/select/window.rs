//! Functions over range vectors: one value per series and window.
//!
//! Windows are open on the left. For each series all samples of all windows are read at once, staleness markers
//! are taken out, and two indices per kind of sample move forward with the steps.

use std::ops::ControlFlow;
use std::sync::Arc;

use ferula_model::value::is_stale;
use ferula_model::{FloatHistogram, LabelSet, TimeRange};
use ferula_promql_syntax::ast::{RangeExtension, Span};
use ferula_storage::{SelectionId, SeriesSamples};

use crate::QueryError;
use crate::engine::Grid;
use crate::exec::batch::{Batch, RowMut, Value};
use crate::exec::build::Scope;
use crate::exec::context::QueryContext;
use crate::exec::function::call::CallArguments;
use crate::exec::merge::{MergeSameLabels, Sameness};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scalars::Scalars;
use crate::exec::select::counts_only::{Reach, counts_only};
use crate::exec::select::subquery::SubquerySource;
use crate::exec::select::table;
use crate::exec::series::{SeriesTable, computed};
use crate::plan::node::{Lookup, NodeKind};
use crate::plan::ranges::reach;

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

/// Samples of one series without staleness markers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples<'a> {
    pub float_times: &'a [i64],
    pub floats: &'a [f64],
    /// Empty when start timestamps do not matter or no sample has one.
    pub float_starts: &'a [i64],
    pub histogram_times: &'a [i64],
    pub histograms: &'a [Arc<FloatHistogram>],
    pub histogram_starts: &'a [i64],
}

impl<'a> Samples<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.float_times.is_empty() && self.histogram_times.is_empty()
    }

    /// A view of columns that may hold staleness markers; they are copied without them if so.
    fn without_stale(
        samples: &'a SeriesSamples,
        scratch: &'a mut SeriesSamples,
        with_starts: bool,
        query: &QueryContext<'_>,
    ) -> Result<Samples<'a>, QueryError> {
        let mut stale = samples.histograms.values.iter().any(|histogram| is_stale(histogram.sum));
        query.in_pieces(&samples.floats.values, |piece| {
            stale = stale || piece.iter().any(|&value| is_stale(value));
        })?;
        let samples = if stale {
            copy_without_stale(samples, scratch, query)?;
            &*scratch
        } else {
            samples
        };
        let starts = |starts: &'a [i64]| if with_starts { starts } else { &[] };
        Ok(Samples {
            float_times: &samples.floats.timestamps,
            floats: &samples.floats.values,
            float_starts: starts(&samples.floats.start_timestamps),
            histogram_times: &samples.histograms.timestamps,
            histograms: &samples.histograms.values,
            histogram_starts: starts(&samples.histograms.start_timestamps),
        })
    }

    fn slice(&self, floats: (usize, usize), histograms: (usize, usize)) -> Samples<'a> {
        let starts = |starts: &'a [i64], (from, to): (usize, usize)| starts.get(from..to).unwrap_or(&[]);
        Samples {
            float_times: &self.float_times[floats.0..floats.1],
            floats: &self.floats[floats.0..floats.1],
            float_starts: starts(self.float_starts, floats),
            histogram_times: &self.histogram_times[histograms.0..histograms.1],
            histograms: &self.histograms[histograms.0..histograms.1],
            histogram_starts: starts(self.histogram_starts, histograms),
        }
    }
}

fn copy_without_stale(
    from: &SeriesSamples,
    to: &mut SeriesSamples,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    to.clear();
    let count = from.floats.values.len() + from.histograms.values.len();
    let had = to.floats.values.capacity() + to.histograms.values.capacity();
    // Time, value and start; twice, because a column that grows is copied.
    query.account.reserve(count.saturating_sub(had).saturating_mul(48))?;
    for (index, &value) in from.floats.values.iter().enumerate() {
        query.work(1)?;
        if !is_stale(value) {
            to.floats.timestamps.push(from.floats.timestamps[index]);
            to.floats.values.push(value);
            to.floats.start_timestamps.extend(from.floats.start_timestamps.get(index));
        }
    }
    for (index, value) in from.histograms.values.iter().enumerate() {
        query.work(4)?;
        if !is_stale(value.sum) {
            to.histograms.timestamps.push(from.histograms.timestamps[index]);
            to.histograms.values.push(value.clone());
            to.histograms.start_timestamps.extend(from.histograms.start_timestamps.get(index));
        }
    }
    Ok(())
}

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
    /// How many samples at the end of the window were not in the window of the step before.
    new: (usize, usize),
}

impl Window<'_> {
    fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

/// An index that moves forward with the steps. Samples come regularly, mostly, so the way that it went last time is
/// tried first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Index {
    pub at: usize,
    stride: usize,
}

impl Index {
    /// Moves to the first time that is later than `bound`.
    #[inline]
    pub(crate) fn advance(&mut self, times: &[i64], bound: i64) {
        let before = self.at;
        let guess = self.at + self.stride;
        let reached = guess == 0 || times.get(guess - 1).is_some_and(|&time| time <= bound);
        if reached && times.get(guess).is_none_or(|&time| time > bound) {
            self.at = guess;
            return;
        }
        if reached {
            self.at = guess;
        }
        while times.get(self.at).is_some_and(|&time| time <= bound) {
            self.at += 1;
        }
        self.stride = self.at - before;
    }
}

/// Walks through the windows of a series of floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FloatWindows<'a> {
    times: &'a [i64],
    moment: i64,
    step_ms: i64,
    before_ms: i64,
    after_ms: i64,
    range_ms: i64,
    from: Index,
    to: Index,
    /// Samples of all windows so far, and how many of them were new.
    pub total: u64,
    pub read: u64,
}

/// One window of floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FloatWindow {
    pub from: usize,
    pub to: usize,
    pub range_start: i64,
    pub range_end: i64,
}

impl FloatWindows<'_> {
    /// The window of the next step.
    #[inline]
    pub(crate) fn next(&mut self) -> FloatWindow {
        let moment = self.moment;
        self.moment = moment.saturating_add(self.step_ms);
        let before = self.to.at;
        self.to.advance(self.times, moment.saturating_add(self.after_ms));
        self.from.advance(self.times, moment.saturating_sub(self.before_ms));
        let (from, to) = (self.from.at, self.to.at);
        self.total += (to - from) as u64;
        self.read += (to - before.max(from)) as u64;
        FloatWindow { from, to, range_start: moment.saturating_sub(self.range_ms), range_end: moment }
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
    scope: Scope,
    /// The samples are not read from storage but from a subquery that counted them already.
    read_elsewhere: bool,
}

/// Begin and end of the current window in each column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indices {
    pub floats: (usize, usize),
    pub histograms: (usize, usize),
}

impl Indices {
    /// By how many samples all of them moved together.
    fn moved_since(&self, before: &Indices) -> usize {
        let sum = |indices: &Indices| {
            indices.floats.0 + indices.floats.1 + indices.histograms.0 + indices.histograms.1
        };
        sum(self) - sum(before)
    }
}

/// Moves the begin and end of a window forward.
#[inline]
fn advance(times: &[i64], window: &mut (usize, usize), open: i64, closed: i64) {
    while window.1 < times.len() && times[window.1] <= closed {
        window.1 += 1;
    }
    while window.0 < window.1 && times[window.0] <= open {
        window.0 += 1;
    }
}

impl Windows {
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

    /// The windows of a series that has floats only, one after the other.
    pub(crate) fn floats<'a>(&self, times: &'a [i64]) -> FloatWindows<'a> {
        let first = self.lookup.time(self.grid.start_ms);
        FloatWindows {
            times,
            moment: first,
            step_ms: if self.lookup.at_ms.is_some() { 0 } else { self.grid.step_ms },
            before_ms: self.before_ms,
            after_ms: self.after_ms,
            range_ms: self.range_ms,
            from: Index::default(),
            to: Index::default(),
            total: 0,
            read: 0,
        }
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

    /// Counts the samples of many float windows at once, when nobody asked for single steps.
    pub(crate) fn count_floats(&self, walked: &FloatWindows<'_>) {
        let read = if self.read_elsewhere { 0 } else { walked.read };
        self.scope.stats.add(0, walked.total, read);
    }

    /// Whether samples must be counted window by window.
    pub(crate) fn counts_by_step(&self) -> bool {
        self.scope.stats.by_step()
    }

    /// Which samples a reader of all windows comes by, those at the open ends included.
    fn reach(&self) -> Reach {
        let Windows { grid, lookup, before_ms, after_ms, .. } = *self;
        Reach { grid, lookup, before_ms, after_ms }
    }

    /// The times that all windows together cover, with or without their open ends.
    fn read_range(&self, with_open_ends: bool) -> TimeRange {
        let first = self.lookup.time(self.grid.start_ms).saturating_sub(self.before_ms);
        let first = if with_open_ends { first } else { first.saturating_add(1) };
        let last = self.lookup.time(self.grid.time(self.grid.steps() - 1));
        TimeRange::from_millis(first, last.saturating_add(self.after_ms))
    }
}

/// Where the samples come from.
enum Source<'q> {
    Storage { selection: SelectionId, series: SeriesTable, next_row: usize, counts_only: bool },
    Subquery(Box<SubquerySource<'q>>),
}

/// Runs a [`RangeFunction`] over all series.
pub(crate) struct WindowOperator<'q> {
    function: Box<dyn RangeFunction>,
    source: Source<'q>,
    windows: Windows,
    scalars: Vec<Scalars>,
    span: Span,
    extension: Option<RangeExtension>,
    series: SeriesTable,
    scratch: SeriesSamples,
    finished: bool,
}

impl<'q> WindowOperator<'q> {
    /// The operator of a call whose function works on range vectors.
    pub(crate) fn build(
        function: Box<dyn RangeFunction>,
        arguments: &CallArguments<'_, 'q>,
    ) -> Result<BoxOperator<'q>, QueryError> {
        let query = arguments.query;
        let operator = Self::unmerged(function, arguments)?;
        if query.features.delayed_name_removal || operator.function.keeps_name() {
            return Ok(Box::new(operator));
        }
        Ok(Box::new(MergeSameLabels::new(Box::new(operator), Sameness::Ever)))
    }

    /// The same without the check for equal labels.
    pub(crate) fn unmerged(
        function: Box<dyn RangeFunction>,
        arguments: &CallArguments<'_, 'q>,
    ) -> Result<Self, QueryError> {
        let CallArguments { call, scope, query, .. } = *arguments;
        let is_range =
            |index: &usize| matches!(call.args[*index].kind, NodeKind::Range(_) | NodeKind::Subquery(_));
        let range_index = (0..call.args.len())
            .find(is_range)
            .ok_or_else(|| QueryError::execution("expected a range vector argument"))?;
        let (source, lookup, range_ms, extension) = match &call.args[range_index].kind {
            NodeKind::Range(range) => {
                check_extension(&*function, range.selector.extension, call.function.name)?;
                let selection = query.selections[range.selector.index];
                let series = table::of_selection(selection, query)?;
                let counts_only = range.selector.counts_only;
                let source = Source::Storage { selection, series, next_row: 0, counts_only };
                (source, range.selector.lookup, range.range_ms, range.selector.extension)
            }
            NodeKind::Subquery(subquery) => {
                let source = Source::Subquery(Box::new(SubquerySource::new(subquery, scope, query)?));
                (source, subquery.lookup, subquery.range_ms, None)
            }
            _ => return Err(QueryError::execution("expected a range vector argument")),
        };
        let scalars = (0..call.args.len())
            .filter(|&index| index != range_index)
            .map(|index| arguments.scalar(index))
            .collect::<Result<Vec<_>, _>>()?;
        // A subquery has no place of its own in annotations; Prometheus shows the start of the query.
        let span = match (&source, range_index) {
            (Source::Subquery(_), 0) => Span::default(),
            _ => arguments.span(0),
        };
        let (before_ms, after_ms) = reach(extension, range_ms, query.lookback_ms);
        let read_elsewhere = matches!(source, Source::Subquery(_));
        let windows = Windows {
            grid: scope.grid,
            lookup,
            range_ms,
            before_ms,
            after_ms,
            scope: scope.clone(),
            read_elsewhere,
        };
        let mut operator = WindowOperator {
            function,
            source,
            windows,
            scalars,
            span,
            extension,
            series: SeriesTable::new(),
            scratch: SeriesSamples::default(),
            finished: false,
        };
        operator.extend_series(query.features.delayed_name_removal);
        Ok(operator)
    }

    /// Takes over what the source's table has more than ours.
    fn extend_series(&mut self, delayed_name_removal: bool) {
        let source = match &self.source {
            Source::Storage { series, .. } => series,
            Source::Subquery(subquery) => subquery.series(),
        };
        for entry in source.since(self.series.len()) {
            let entry = if self.function.keeps_name() {
                entry.clone()
            } else {
                computed(entry, delayed_name_removal)
            };
            self.series.push(entry.labels, entry.drop_name);
        }
    }

    fn next_from_storage(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<(), QueryError> {
        let WindowOperator { function, source, windows, scalars, span, extension, scratch, .. } = self;
        let Source::Storage { selection, series, next_row, counts_only: only } = source else {
            return Ok(());
        };
        let with_starts = query.features.use_start_timestamps && function.uses_start_timestamps();
        let (range, reach) = (windows.read_range(*only), windows.reach());
        let mut reduced = SeriesSamples::default();
        while out.is_empty() && *next_row < series.len() {
            query.work(1)?;
            let end = series.len().min(*next_row + Batch::rows_wanted(windows.grid.steps()));
            let mut failure = None;
            let mut sink = |row: usize, samples: &SeriesSamples| {
                let samples = if *only && !samples.histograms.values.is_empty() {
                    if let Err(error) = counts_only(samples, &reach, &mut reduced, query) {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                    &reduced
                } else {
                    samples
                };
                let call = RangeCall {
                    labels: series.labels(row),
                    span: *span,
                    scalars,
                    range_ms: windows.range_ms,
                    extension: *extension,
                    query,
                };
                let result = Samples::without_stale(samples, scratch, with_starts, query)
                    .and_then(|samples| run_row(&mut **function, samples, windows, &call, row, out));
                match result {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            };
            query.snapshot.read(*selection, *next_row..end, range, &mut sink)?;
            if let Some(error) = failure {
                return Err(error);
            }
            *next_row = end;
        }
        Ok(())
    }

    fn next_from_subquery(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<(), QueryError> {
        while out.rows() < Batch::rows_wanted(self.windows.grid.steps()) {
            query.work(1)?;
            let Source::Subquery(subquery) = &mut self.source else { return Ok(()) };
            let Some(row) = subquery.advance(query)? else {
                let (grid, inner) = (self.windows.grid, &subquery.inner_scope);
                let (offset_ms, range_ms) = (self.windows.lookup.offset_ms, self.windows.range_ms);
                let stats = &self.windows.scope.stats;
                query.work(inner.grid.steps())?;
                stats.absorb_subquery(&grid, &inner.stats, &inner.grid, offset_ms, range_ms);
                self.finished = true;
                return Ok(());
            };
            let samples = Samples::without_stale(subquery.samples(), &mut self.scratch, false, query)?;
            let call = RangeCall {
                labels: subquery.series().labels(row),
                span: self.span,
                scalars: &self.scalars,
                range_ms: self.windows.range_ms,
                extension: self.extension,
                query,
            };
            let before = query.samples.current();
            let inner_samples = (samples.floats.len() as u64)
                + samples.histograms.iter().map(|h| h.sample_weight() as u64).sum::<u64>();
            run_row(&mut *self.function, samples, &self.windows, &call, row, out)?;
            // The inner row is no longer held; what it came to is.
            let kept = query.samples.current() - before;
            query.samples.settle(before.saturating_sub(inner_samples), kept)?;
        }
        Ok(())
    }
}

impl Operator for WindowOperator<'_> {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        match self.source {
            Source::Storage { .. } => self.next_from_storage(query, out)?,
            Source::Subquery(_) if self.finished => {}
            Source::Subquery(_) => self.next_from_subquery(query, out)?,
        }
        self.extend_series(query.features.delayed_name_removal);
        Ok(!out.is_empty())
    }
}

/// Runs the function over one series and adds its row if it has any value.
fn run_row(
    function: &mut dyn RangeFunction,
    samples: Samples<'_>,
    windows: &Windows,
    call: &RangeCall<'_>,
    series: usize,
    out: &mut Batch,
) -> Result<(), QueryError> {
    if samples.is_empty() {
        return Ok(());
    }
    function.row(samples, windows, call, &mut out.push(series))?;
    let row = out.row(out.rows() - 1);
    if row.is_empty() {
        out.pop();
        return Ok(());
    }
    let floats = crate::exec::bitmap::count(row.present) as u64;
    if floats > 0 && function.expects_counter() {
        crate::exec::function::rate::annotate_non_counter(call);
    }
    call.query.samples.hold(floats + row.histograms.map_or(0, |row| row.samples()))
}

fn check_extension(
    function: &dyn RangeFunction,
    extension: Option<RangeExtension>,
    name: &str,
) -> Result<(), QueryError> {
    let (word, allowed) = match extension {
        Some(extension) if function.allows(extension) => return Ok(()),
        None => return Ok(()),
        Some(RangeExtension::Anchored) => ("anchored", "changes, delta, increase, rate, resets"),
        Some(RangeExtension::Smoothed) => ("smoothed", "delta, increase, rate"),
    };
    Err(QueryError::Execution(format!("{word} modifier can only be used with: {allowed} - not with {name}")))
}
