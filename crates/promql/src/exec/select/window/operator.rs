//! Runs a function over the windows of all series of a selection or subquery.

use std::sync::Arc;

use ferula_model::FloatHistogram;
use ferula_model::labels::TYPE_LABEL;
use ferula_promql_syntax::ast::{RangeExtension, Span};
use ferula_storage::{SelectionId, SeriesSamples};

use super::axis::Axes;
use super::function::{RangeCall, RangeFunction};
use super::samples::Samples;
use super::walk::Windows;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::merge::{DuplicateLabels, MergeSameLabels};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scalars::{BoxScalar, Parameters, Scalars};
use crate::exec::scope::Scope;
use crate::exec::select::crew::Crew;
use crate::exec::select::scan::Scan;
use crate::exec::select::subquery::SubquerySource;
use crate::exec::select::worker::{OneSeries, Read, Worker};
use crate::exec::series::{SeriesTable, computed};
use crate::plan::node::{Lookup, RangeSelector, Subquery};
use crate::plan::ranges::reach;
use crate::{Annotation, QueryError};

/// A range vector: the source of its samples, and the length of its windows.
pub(crate) struct RangeSource<'q> {
    origin: Origin<'q>,
    lookup: Lookup,
    range_ms: i64,
    extension: Option<RangeExtension>,
}

enum Origin<'q> {
    Storage(Scan),
    Subquery(Box<SubquerySource<'q>>),
}

impl<'q> RangeSource<'q> {
    /// The range vector of a selector.
    pub(crate) fn selector(range: &RangeSelector, selection: SelectionId) -> Self {
        RangeSource {
            origin: Origin::Storage(Scan::new(selection, range.selector.counts_only)),
            lookup: range.selector.lookup,
            range_ms: range.range_ms,
            extension: range.selector.extension,
        }
    }

    /// The range vector of a subquery.
    pub(crate) fn subquery(subquery: &Subquery, source: SubquerySource<'q>) -> Self {
        let (lookup, range_ms) = (subquery.lookup, subquery.range_ms);
        RangeSource { origin: Origin::Subquery(Box::new(source)), lookup, range_ms, extension: None }
    }

    /// Whether it is a subquery, which has no place of its own in annotations.
    pub(crate) fn is_subquery(&self) -> bool {
        matches!(self.origin, Origin::Subquery(_))
    }

    /// Fails if the function does not know the extension of the selector.
    pub(crate) fn check_extension(&self, function: &dyn RangeFunction, name: &str) -> Result<(), QueryError> {
        let (word, allowed) = match self.extension {
            Some(extension) if function.allows(extension) => return Ok(()),
            None => return Ok(()),
            Some(RangeExtension::Anchored) => ("anchored", "changes, delta, increase, rate, resets"),
            Some(RangeExtension::Smoothed) => ("smoothed", "delta, increase, rate"),
        };
        Err(QueryError::Execution(format!(
            "{word} modifier can only be used with: {allowed} - not with {name}"
        )))
    }
}

/// Makes a [`RangeFunction`] for a thread.
pub(crate) type MakeFunction = fn() -> Box<dyn RangeFunction>;

/// Runs a [`RangeFunction`] over all series.
pub(crate) struct WindowOperator<'q> {
    make: MakeFunction,
    origin: Origin<'q>,
    pending: Parameters<'q>,
    call: Call,
    scope: Scope,
    /// Makes the rows of a selection.
    crew: Crew<WindowRows>,
    /// Makes those of a subquery.
    rows: WindowRows,
    series: SeriesTable,
    finished: bool,
}

/// What is the same for all series.
struct Call {
    lookup: Lookup,
    range_ms: i64,
    /// How far windows begin before their moments and end after them.
    reach: (i64, i64),
    read_elsewhere: bool,
    span: Span,
    extension: Option<RangeExtension>,
    scalars: Vec<Scalars>,
}

/// Makes rows, one series after the other.
struct WindowRows {
    function: Box<dyn RangeFunction>,
    axes: Axes,
    scratch: SeriesSamples,
}

impl<'q> WindowOperator<'q> {
    /// The operator of a call whose function works on range vectors.
    pub(crate) fn operator(
        make: MakeFunction,
        source: RangeSource<'q>,
        scalars: Vec<BoxScalar<'q>>,
        span: Span,
        scope: &Scope,
        query: &QueryContext<'q>,
    ) -> BoxOperator<'q> {
        let operator = Box::new(Self::unmerged(make, source, scalars, span, scope, query));
        if query.features.delayed_name_removal || operator.rows.function.keeps_name() {
            return operator;
        }
        Box::new(MergeSameLabels::new(operator, DuplicateLabels::Ever))
    }

    /// The same without the check for equal labels.
    pub(crate) fn unmerged(
        make: MakeFunction,
        source: RangeSource<'q>,
        scalars: Vec<BoxScalar<'q>>,
        span: Span,
        scope: &Scope,
        query: &QueryContext<'q>,
    ) -> Self {
        let RangeSource { origin, lookup, range_ms, extension } = source;
        let reach = reach(extension, range_ms, query.lookback_ms);
        let read_elsewhere = matches!(origin, Origin::Subquery(_));
        WindowOperator {
            make,
            origin,
            pending: Parameters::new(scalars),
            call: Call { lookup, range_ms, reach, read_elsewhere, span, extension, scalars: Vec::new() },
            scope: scope.clone(),
            crew: Crew::default(),
            rows: WindowRows::new(make),
            series: SeriesTable::new(),
            finished: false,
        }
    }

    fn next_from_storage(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<(), QueryError> {
        let Origin::Storage(scan) = &mut self.origin else { return Ok(()) };
        self.call.scalars.extend(self.pending.take_values(query)?);
        let windows = self.call.windows(&self.scope);
        let read = Read { range: windows.read_range(scan.reads_counts_only()), reach: windows.reach() };
        let make = || WindowRows::new(self.make);
        self.crew.next(scan, make, &self.call, &read, &self.scope, query, out)?;
        Ok(())
    }

    fn next_from_subquery(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<(), QueryError> {
        let WindowOperator { rows, origin, pending, call, scope, finished, .. } = self;
        let Origin::Subquery(subquery) = origin else { return Ok(()) };
        subquery.scalars_after(pending, query)?;
        call.scalars.extend(pending.take_values(query)?);
        while out.rows() < Batch::rows_wanted(scope.steps()) {
            query.work(1)?;
            let Some(row) = subquery.advance(query)? else {
                let inner = &subquery.inner_scope;
                query.work(inner.grid.steps())?;
                let (offset_ms, range_ms) = (call.lookup.offset_ms, call.range_ms);
                scope.stats.absorb_subquery(&scope.grid, &inner.stats, &inner.grid, offset_ms, range_ms);
                *finished = true;
                return Ok(());
            };
            let (labels, samples) = (subquery.series().labels(row), subquery.samples());
            let before = query.samples.current();
            let inner_samples = rows.make(call, &OneSeries { row, labels, samples, scope, query }, out)?;
            // The inner row is no longer held; what it came to is.
            let kept = query.samples.current() - before;
            query.samples.settle(before.saturating_sub(inner_samples), kept)?;
        }
        Ok(())
    }

    /// Takes over what the source's table has more than ours.
    fn extend_series(&mut self, delayed_name_removal: bool) {
        let source = match &self.origin {
            Origin::Storage(scan) => scan.series(),
            Origin::Subquery(subquery) => subquery.series(),
        };
        for entry in source.since(self.series.len()) {
            let entry = if self.rows.function.keeps_name() {
                entry.clone()
            } else {
                computed(entry, delayed_name_removal)
            };
            self.series.push(entry.labels, entry.drop_name);
        }
    }
}

impl Operator for WindowOperator<'_> {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        match self.origin {
            Origin::Storage(_) => self.next_from_storage(query, out)?,
            Origin::Subquery(_) if self.finished => {}
            Origin::Subquery(_) => self.next_from_subquery(query, out)?,
        }
        self.extend_series(query.features.delayed_name_removal);
        Ok(!out.is_empty())
    }
}

impl Call {
    fn windows(&self, scope: &Scope) -> Windows {
        Windows::new(scope.clone(), self.lookup, self.range_ms, self.reach, self.read_elsewhere)
    }
}

impl WindowRows {
    fn new(make: MakeFunction) -> Self {
        WindowRows { function: make(), axes: Axes::default(), scratch: SeriesSamples::default() }
    }

    /// Runs the function over one series and adds its row if it has any value. Returns what the samples of a subquery
    /// count as.
    fn make(&mut self, call: &Call, series: &OneSeries<'_>, out: &mut Batch) -> Result<u64, QueryError> {
        let WindowRows { function, axes, scratch } = self;
        let query = series.query;
        let with_starts =
            !call.read_elsewhere && query.features.use_start_timestamps && function.uses_start_timestamps();
        let samples = Samples::without_stale(series.samples, scratch, with_starts, query)?;
        if samples.is_empty() {
            return Ok(0);
        }
        let weight = |histograms: &[Arc<FloatHistogram>]| -> u64 {
            histograms.iter().map(|histogram| histogram.sample_weight() as u64).sum()
        };
        let weight =
            if call.read_elsewhere { samples.floats.len() as u64 + weight(samples.histograms) } else { 0 };
        let windows = call.windows(series.scope).with_axes(std::mem::take(axes));
        let one = RangeCall {
            labels: series.labels,
            span: call.span,
            scalars: &call.scalars,
            range_ms: call.range_ms,
            extension: call.extension,
            query,
        };
        function.row(samples, &windows, &one, &mut out.push(series.row))?;
        *axes = windows.into_axes();
        let row = out.row(out.rows() - 1);
        if row.is_empty() {
            out.pop();
            return Ok(weight);
        }
        let floats = bitmap::count(row.present) as u64;
        if floats > 0 && function.expects_counter() {
            annotate_non_counter(&one);
        }
        query.samples.hold(floats + row.histograms.map_or(0, |row| row.samples()))?;
        Ok(weight)
    }
}

impl Worker for WindowRows {
    type Params = Call;

    fn row(&mut self, call: &Call, series: &OneSeries<'_>, out: &mut Batch) -> Result<(), QueryError> {
        self.make(call, series, out).map(|_| ())
    }

    fn kept_bytes(&self) -> usize {
        self.axes.kept_bytes()
    }
}

/// An info for metrics that do not look like counters.
fn annotate_non_counter(call: &RangeCall<'_>) {
    let name = call.metric_name();
    if name.is_empty() {
        return;
    }
    if call.query.features.type_and_unit_labels {
        let kind = call.labels.value(TYPE_LABEL);
        if kind != "counter" && kind != "histogram" {
            call.query.annotate(Annotation::possible_non_counter_label(name, kind, call.span));
        }
    } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
        call.query.annotate(Annotation::possible_non_counter(name, call.span));
    }
}
