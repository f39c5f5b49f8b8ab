//! `x smoothed`: at each step the value on the line between the samples around it.

use std::sync::Arc;

use ferula_model::value::is_stale;
use ferula_model::{CounterResetHint, FloatHistogram, LabelSet, TimeRange};
use ferula_promql_syntax::ast::{RangeExtension, Span};
use ferula_storage::SeriesSamples;

use crate::exec::batch::{Batch, RowMut, Value};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::function::interpolate::{interpolate, interpolate_histograms};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scope::Scope;
use crate::exec::select::counts_only::ReadWindow;
use crate::exec::select::crew::Crew;
use crate::exec::select::instant;
use crate::exec::select::scan::Scan;
use crate::exec::select::worker::{OneSeries, Read, Worker};
use crate::exec::series::SeriesTable;
use crate::memory::Reservation;
use crate::plan::node::{Lookup, Selector};
use crate::{Annotation, QueryError};

/// The operator of an instant selector with an extension. `anchored` means nothing on an instant selector.
pub(crate) fn operator<'q>(
    selector: &'q Selector,
    span: Span,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> BoxOperator<'q> {
    if selector.extension != Some(RangeExtension::Smoothed) {
        return instant::operator(selector, scope, query);
    }
    let scan = Scan::new(query.selections[selector.index], selector.counts_only);
    let smoothed = SmoothedSelector { lookup: selector.lookup, span };
    Box::new(SmoothedScan { scan, crew: Crew::default(), smoothed, scope: scope.clone() })
}

struct SmoothedScan {
    scan: Scan,
    crew: Crew<SmoothedRows>,
    smoothed: SmoothedSelector,
    scope: Scope,
}

struct SmoothedSelector {
    lookup: Lookup,
    span: Span,
}

impl Operator for SmoothedScan {
    fn series(&self) -> &SeriesTable {
        self.scan.series()
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let SmoothedScan { scan, crew, smoothed, scope } = self;
        let (grid, lookup, lookback) = (scope.grid, smoothed.lookup, query.lookback_ms);
        let first = lookup.time(grid.start_ms).saturating_sub(lookback).saturating_add(1);
        let last = lookup.time(grid.time(grid.steps() - 1)).saturating_add(lookback);
        let range = TimeRange::from_millis(first, last);
        let reach = ReadWindow { grid, lookup, before_ms: lookback - 1, after_ms: lookback };
        crew.next(scan, || SmoothedRows, smoothed, &Read { range, reach }, scope, query, out)
    }
}

/// Makes the rows.
struct SmoothedRows;

impl Worker for SmoothedRows {
    type Params = SmoothedSelector;

    fn row(
        &mut self,
        smoothed: &SmoothedSelector,
        series: &OneSeries<'_>,
        out: &mut Batch,
    ) -> Result<(), QueryError> {
        let OneSeries { row, labels, samples, scope, query } = *series;
        let smoothing = Smoothing { points: points(samples, query)?, labels, span: smoothed.span, query };
        smoothing.fill(&scope.grid, smoothed.lookup, &mut out.push(row))?;
        let filled = out.row(out.rows() - 1);
        let held = bitmap::count(filled.present) as u64 + filled.histograms.map_or(0, |row| row.samples());
        if filled.is_empty() {
            out.pop();
        }
        query.samples.hold(held)
    }
}

/// Samples of one kind with their times.
struct Points {
    _held: Reservation,
    floats: Vec<(i64, f64)>,
    histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

fn points(samples: &SeriesSamples, query: &QueryContext<'_>) -> Result<Points, QueryError> {
    let count = samples.floats.values.len() + samples.histograms.values.len();
    let held = query.account.reserve(count.saturating_mul(size_of::<(i64, f64)>()))?;
    query.work(count)?;
    let floats = samples.floats.timestamps.iter().copied().zip(samples.floats.values.iter().copied());
    let histograms =
        samples.histograms.timestamps.iter().copied().zip(samples.histograms.values.iter().cloned());
    Ok(Points {
        _held: held,
        floats: floats.filter(|(_, value)| !is_stale(*value)).collect(),
        histograms: histograms.filter(|(_, value)| !is_stale(value.sum)).collect(),
    })
}

struct Smoothing<'a> {
    points: Points,
    labels: &'a LabelSet,
    span: Span,
    query: &'a QueryContext<'a>,
}

impl Smoothing<'_> {
    fn fill(&self, grid: &crate::Grid, lookup: Lookup, out: &mut RowMut<'_>) -> Result<(), QueryError> {
        let lookback = self.query.lookback_ms;
        for step in 0..grid.steps() {
            self.query.work(8)?;
            let moment = lookup.time(grid.time(step));
            let (open, closed) = (moment.saturating_sub(lookback), moment.saturating_add(lookback));
            let floats = within(&self.points.floats, open, closed);
            let histograms = within(&self.points.histograms, open, closed);
            let value = match (floats.is_empty(), histograms.is_empty()) {
                (true, true) => None,
                (false, false) => {
                    let name = self.labels.metric_name();
                    self.query.annotate(Annotation::mixed_floats_histograms(name, self.span));
                    None
                }
                (false, true) => float_at(floats, moment).map(Value::Float),
                (true, false) => self.histogram_at(histograms, moment).map(Value::Histogram),
            };
            if let Some(value) = value {
                if let Value::Histogram(histogram) = &value {
                    self.query.work(histogram.sample_weight())?;
                }
                out.set(step, value);
            }
        }
        Ok(())
    }

    fn histogram_at(
        &self,
        points: &[(i64, Arc<FloatHistogram>)],
        moment: i64,
    ) -> Option<Arc<FloatHistogram>> {
        let at = points.partition_point(|(time, _)| *time < moment);
        if let Some((_, exact)) = points.get(at).filter(|(time, _)| *time == moment) {
            return Some(exact.clone());
        }
        let (before_time, before) = &points[at.checked_sub(1)?];
        let Some((after_time, after)) = points.get(at) else {
            // The hint is about two neighbouring samples, and this value repeats one.
            let mut held = FloatHistogram::clone(before);
            held.counter_reset_hint = CounterResetHint::Unknown;
            return Some(Arc::new(held));
        };
        let name = self.labels.metric_name();
        if before.uses_custom_buckets() != after.uses_custom_buckets() {
            self.query.annotate(Annotation::mixed_exponential_custom(name, self.span));
            return None;
        }
        let is_counter = before.counter_reset_hint != CounterResetHint::Gauge
            || after.counter_reset_hint != CounterResetHint::Gauge;
        let between = ((*before_time, &**before), (*after_time, &**after));
        interpolate_histograms(between, moment, is_counter, self.query, name, self.span).map(Arc::new)
    }
}

fn float_at(points: &[(i64, f64)], moment: i64) -> Option<f64> {
    let at = points.partition_point(|(time, _)| *time < moment);
    if let Some((_, exact)) = points.get(at).filter(|(time, _)| *time == moment) {
        return Some(*exact);
    }
    let before = points[at.checked_sub(1)?];
    Some(points.get(at).map_or(before.1, |&after| interpolate(before, after, moment, false)))
}

/// The points after `open` and not after `closed`.
fn within<T>(points: &[(i64, T)], open: i64, closed: i64) -> &[(i64, T)] {
    let from = points.partition_point(|(time, _)| *time <= open);
    let to = points.partition_point(|(time, _)| *time <= closed);
    &points[from..to]
}
