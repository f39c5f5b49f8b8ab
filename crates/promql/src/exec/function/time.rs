//! Parts of dates (`hour`, `month`, …), `timestamp`, `start_timestamp`, and the scalars `time` and `pi`.

use ferula_go::calendar::Civil;

use super::call::Arguments;
use super::math::{map_present, map_rows};
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Nothing, Operator};
use crate::exec::scalars::{BoxScalar, ScalarSeries, Scalars};
use crate::exec::scope::Scope;
use crate::exec::select::counts_only::ReadWindow;
use crate::exec::select::crew::Crew;
use crate::exec::select::instant::{Cursor, read_range};
use crate::exec::select::scan::Scan;
use crate::exec::select::worker::{OneSeries, Read, Worker};
use crate::exec::series::SeriesTable;
use crate::plan::node::{Lookup, NodeKind, Selector};

/// `time`.
pub(super) fn time<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxScalar<'q>, QueryError> {
    let grid = call.scope.grid;
    Ok(Box::new(move |query: &QueryContext<'_>| {
        Scalars::per_step(grid.steps(), query, |step| grid.time(step) as f64 / 1000.0)
    }))
}

/// A part of the date that each float stands for; without an argument, of the date of the step.
pub(super) fn date_part<'q>(
    call: &mut Arguments<'_, 'q>,
    part: fn(&Civil) -> f64,
) -> Result<BoxOperator<'q>, QueryError> {
    if call.len() == 0 {
        let grid = call.scope.grid;
        return Ok(Box::new(ScalarSeries::new(Box::new(move |query: &QueryContext<'_>| {
            Scalars::per_step(grid.steps(), query, |step| part(&Civil::from_unix(grid.time(step) / 1000)))
        }))));
    }
    Ok(map_rows(call.vector(0)?, Vec::new(), call.query, move |row, _, query| {
        row.take_histograms();
        map_present(row, query, |value| part(&Civil::from_unix(go_int(value))))
    }))
}

/// Go's conversion to a 64-bit integer on x86-64: what does not fit becomes the lowest one.
fn go_int(value: f64) -> i64 {
    const BOUND: f64 = (1u64 << 63) as f64;
    if (-BOUND..BOUND).contains(&value) { value as i64 } else { i64::MIN }
}

/// The time of the sample when the argument is a selector, else the time of the step.
pub(super) fn timestamp<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    if let NodeKind::Selector(selector) = &call.node(0).kind {
        return Ok(sample_times(call, selector, false));
    }
    let grid = call.scope.grid;
    Ok(map_rows(call.vector(0)?, Vec::new(), call.query, move |row, _, query| {
        if let Some(histograms) = row.take_histograms() {
            for &step in &histograms.steps {
                bitmap::set(row.present, step as usize);
            }
        }
        for (step, value) in row.values.iter_mut().enumerate() {
            query.work(1)?;
            *value = grid.time(step) as f64 / 1000.0;
        }
        Ok(())
    }))
}

/// The start timestamp of the sample. Only selectors have any, and only with the feature; any other argument is
/// still evaluated, because it may fail or be annotated.
pub(super) fn start_timestamp<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    match &call.node(0).kind {
        NodeKind::Selector(selector) if call.query.features.use_start_timestamps => {
            Ok(sample_times(call, selector, true))
        }
        NodeKind::Selector(_) => Ok(Box::<Nothing>::default()),
        _ => Ok(Box::new(Discarded { inner: call.vector(0)?, nothing: Nothing::default() })),
    }
}

/// Computes its argument and yields no series.
struct Discarded<'q> {
    inner: BoxOperator<'q>,
    nothing: Nothing,
}

impl Operator for Discarded<'_> {
    fn series(&self) -> &SeriesTable {
        self.nothing.series()
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        while self.inner.next(query, out)? {
            query.work(1)?;
        }
        self.nothing.next(query, out)
    }
}

/// Like an instant selector, with the time (or start) of each sample, in seconds, in place of its value.
fn sample_times<'q>(call: &Arguments<'_, 'q>, selector: &Selector, starts: bool) -> BoxOperator<'q> {
    let scan = Scan::new(call.query.selections[selector.index], false);
    let sought = SoughtTimes { lookup: selector.lookup, starts };
    let times = SampleTimes { scan, crew: Crew::default(), sought, scope: call.scope.clone() };
    map_rows(Box::new(times), Vec::new(), call.query, |_, _, _| Ok(()))
}

struct SampleTimes {
    scan: Scan,
    crew: Crew<TimeRows>,
    sought: SoughtTimes,
    scope: Scope,
}

/// Which times are returned.
struct SoughtTimes {
    lookup: Lookup,
    /// Start timestamps instead of the samples' own.
    starts: bool,
}

impl Operator for SampleTimes {
    fn series(&self) -> &SeriesTable {
        self.scan.series()
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let SampleTimes { scan, crew, sought, scope } = self;
        let (grid, lookup) = (scope.grid, sought.lookup);
        let range = read_range(&grid, lookup, query.lookback_ms);
        let reach = ReadWindow { grid, lookup, before_ms: query.lookback_ms - 1, after_ms: 0 };
        crew.next(scan, || TimeRows, sought, &Read { range, reach }, scope, query, out)
    }
}

/// Makes the rows.
struct TimeRows;

impl Worker for TimeRows {
    type Params = SoughtTimes;

    fn row(
        &mut self,
        sought: &SoughtTimes,
        series: &OneSeries<'_>,
        out: &mut Batch,
    ) -> Result<(), QueryError> {
        let OneSeries { row, samples, scope, query, .. } = *series;
        let (grid, lookup) = (scope.grid, sought.lookup);
        let mut cursor = Cursor::new(samples, query.lookback_ms);
        let mut times = out.push(row);
        let (mut seen, mut held) = (0, 0);
        for step in 0..grid.steps() {
            query.work(1 + cursor.passed() - seen)?;
            seen = cursor.passed();
            // With `@`, the offset moves what is read, and not the moment itself.
            let moment = lookup.at_ms.unwrap_or_else(|| lookup.time(grid.time(step)));
            let Some(found) = cursor.find(moment) else { continue };
            let time = if sought.starts { found.start_timestamp() } else { found.timestamp() };
            times.set_float(step, time as f64 / 1000.0);
            scope.stats.add(step, 1, 1);
            held += 1;
        }
        if held == 0 {
            out.pop();
        }
        query.samples.hold(held)
    }
}
