//! Runs a function over the windows of all series of a selection or subquery.

use ferula_model::labels::TYPE_LABEL;
use ferula_promql_syntax::ast::{RangeExtension, Span};
use ferula_storage::{SelectionId, SeriesSamples};

use super::function::{RangeCall, RangeFunction};
use super::samples::Samples;
use super::walk::Windows;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::merge::{DuplicateLabels, MergeSameLabels};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scalars::{BoxScalar, Parameters};
use crate::exec::scope::Scope;
use crate::exec::select::scan::Scan;
use crate::exec::select::subquery::SubquerySource;
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

/// Runs a [`RangeFunction`] over all series.
pub(crate) struct WindowOperator<'q> {
    function: Box<dyn RangeFunction>,
    origin: Origin<'q>,
    windows: Windows,
    scalars: Parameters<'q>,
    span: Span,
    extension: Option<RangeExtension>,
    series: SeriesTable,
    scratch: SeriesSamples,
    finished: bool,
}

impl<'q> WindowOperator<'q> {
    /// The operator of a call whose function works on range vectors.
    pub(crate) fn operator(
        function: Box<dyn RangeFunction>,
        source: RangeSource<'q>,
        scalars: Vec<BoxScalar<'q>>,
        span: Span,
        scope: &Scope,
        query: &QueryContext<'q>,
    ) -> BoxOperator<'q> {
        let keeps_name = function.keeps_name();
        let operator = Box::new(Self::unmerged(function, source, scalars, span, scope, query));
        if query.features.delayed_name_removal || keeps_name {
            return operator;
        }
        Box::new(MergeSameLabels::new(operator, DuplicateLabels::Ever))
    }

    /// The same without the check for equal labels.
    pub(crate) fn unmerged(
        function: Box<dyn RangeFunction>,
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
            function,
            origin,
            windows: Windows::new(scope.clone(), lookup, range_ms, reach, read_elsewhere),
            scalars: Parameters::new(scalars),
            span,
            extension,
            series: SeriesTable::new(),
            scratch: SeriesSamples::default(),
            finished: false,
        }
    }

    fn next_from_storage(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<(), QueryError> {
        let WindowOperator { function, origin, windows, scalars, span, extension, scratch, .. } = self;
        let Origin::Storage(scan) = origin else { return Ok(()) };
        let scalars = scalars.values(query)?;
        let with_starts = query.features.use_start_timestamps && function.uses_start_timestamps();
        let (range, reach) = (windows.read_range(scan.reads_counts_only()), windows.reach());
        scan.next(range, &reach, query, out, |row, labels, samples, out| {
            let (range_ms, extension) = (windows.range_ms, *extension);
            let call = RangeCall { labels, span: *span, scalars, range_ms, extension, query };
            let samples = Samples::without_stale(samples, scratch, with_starts, query)?;
            run_row(&mut **function, samples, windows, &call, row, out)
        })?;
        Ok(())
    }

    fn next_from_subquery(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<(), QueryError> {
        let WindowOperator { function, origin, windows, scalars, span, extension, scratch, finished, .. } =
            self;
        let Origin::Subquery(subquery) = origin else { return Ok(()) };
        let scalars = subquery.scalars_after(scalars, query)?;
        while out.rows() < Batch::rows_wanted(windows.grid.steps()) {
            query.work(1)?;
            let Some(row) = subquery.advance(query)? else {
                let inner = &subquery.inner_scope;
                query.work(inner.grid.steps())?;
                let (offset_ms, range_ms) = (windows.lookup.offset_ms, windows.range_ms);
                windows.scope.stats.absorb_subquery(
                    &windows.grid,
                    &inner.stats,
                    &inner.grid,
                    offset_ms,
                    range_ms,
                );
                *finished = true;
                return Ok(());
            };
            let samples = Samples::without_stale(subquery.samples(), scratch, false, query)?;
            let labels = subquery.series().labels(row);
            let (range_ms, extension) = (windows.range_ms, *extension);
            let call = RangeCall { labels, span: *span, scalars, range_ms, extension, query };
            let before = query.samples.current();
            let inner_samples = (samples.floats.len() as u64)
                + samples.histograms.iter().map(|h| h.sample_weight() as u64).sum::<u64>();
            run_row(&mut **function, samples, windows, &call, row, out)?;
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
            let entry = if self.function.keeps_name() {
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
    let floats = bitmap::count(row.present) as u64;
    if floats > 0 && function.expects_counter() {
        annotate_non_counter(call);
    }
    call.query.samples.hold(floats + row.histograms.map_or(0, |row| row.samples()))
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
