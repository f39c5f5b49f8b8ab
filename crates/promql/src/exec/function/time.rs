//! Parts of dates (`hour`, `month`, …), `timestamp`, `start_timestamp`, and the scalars `time` and `pi`.

use std::ops::ControlFlow;

use ferula_storage::{SelectionId, SeriesSamples};

use super::call::CallArguments;
use super::math::{map_present, map_rows};
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::build::Scope;
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Nothing, Operator};
use crate::exec::scalars::{ScalarSeries, Scalars};
use crate::exec::select::instant::{Cursor, read_range};
use crate::exec::select::table;
use crate::exec::series::SeriesTable;
use crate::plan::node::{Lookup, NodeKind};
use ferula_go::calendar::Civil;

/// `time`.
pub(super) fn time(call: &CallArguments<'_, '_>) -> Result<Scalars, QueryError> {
    let grid = call.scope.grid;
    Scalars::per_step(grid.steps(), call.query, |step| grid.time(step) as f64 / 1000.0)
}

/// A part of the date that each float stands for; without an argument, of the date of the step.
pub(super) fn date_part<'q>(
    call: &CallArguments<'_, 'q>,
    part: fn(&Civil) -> f64,
) -> Result<BoxOperator<'q>, QueryError> {
    if call.len() == 0 {
        let grid = call.scope.grid;
        let part_at = |step| part(&Civil::from_unix(grid.time(step) / 1000));
        return Ok(Box::new(ScalarSeries::new(Scalars::per_step(grid.steps(), call.query, part_at)?)));
    }
    Ok(map_rows(call.vector(0)?, call.query, move |row, query| {
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
pub(super) fn timestamp<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    if let NodeKind::Selector(selector) = &call.node(0).kind {
        let scan = SampleTimes::new(call, selector.index, selector.lookup, false)?;
        return Ok(map_rows(Box::new(scan), call.query, |_, _| Ok(())));
    }
    let grid = call.scope.grid;
    Ok(map_rows(call.vector(0)?, call.query, move |row, query| {
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
/// computed all the same, as it may fail or be remarked on.
pub(super) fn start_timestamp<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    match &call.node(0).kind {
        NodeKind::Selector(selector) if call.query.features.use_start_timestamps => {
            let scan = SampleTimes::new(call, selector.index, selector.lookup, true)?;
            Ok(map_rows(Box::new(scan), call.query, |_, _| Ok(())))
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
struct SampleTimes {
    series: SeriesTable,
    selection: SelectionId,
    lookup: Lookup,
    starts: bool,
    scope: Scope,
    next_row: usize,
}

impl SampleTimes {
    fn new(
        call: &CallArguments<'_, '_>,
        selector: usize,
        lookup: Lookup,
        starts: bool,
    ) -> Result<Self, QueryError> {
        let selection = call.query.selections[selector];
        let series = table::of_selection(selection, call.query)?;
        Ok(SampleTimes { series, selection, lookup, starts, scope: call.scope.clone(), next_row: 0 })
    }
}

impl Operator for SampleTimes {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        let grid = self.scope.grid;
        let range = read_range(&grid, self.lookup, query.lookback_ms);
        while out.is_empty() && self.next_row < self.series.len() {
            query.work(1)?;
            let end = self.series.len().min(self.next_row + Batch::rows_wanted(grid.steps()));
            let (mut held, mut failure) = (0, None);
            let mut sink = |row: usize, samples: &SeriesSamples| {
                let mut cursor = Cursor::new(samples, query.lookback_ms);
                let mut times = out.push(row);
                let mut seen = 0;
                for step in 0..grid.steps() {
                    if let Err(error) = query.work(1 + cursor.passed() - seen) {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                    seen = cursor.passed();
                    // With `@`, the offset moves what is read, and not the moment itself.
                    let moment = self.lookup.at_ms.unwrap_or_else(|| self.lookup.time(grid.time(step)));
                    let Some(found) = cursor.find(moment) else { continue };
                    let time = if self.starts { found.start_timestamp() } else { found.timestamp() };
                    times.set_float(step, time as f64 / 1000.0);
                    self.scope.stats.add(step, 1, 1);
                    held += 1;
                }
                ControlFlow::Continue(())
            };
            query.snapshot.read(self.selection, self.next_row..end, range, &mut sink)?;
            failure.map_or(Ok(()), Err)?;
            query.samples.hold(held)?;
            out.drop_empty_rows();
            self.next_row = end;
        }
        Ok(!out.is_empty())
    }
}
