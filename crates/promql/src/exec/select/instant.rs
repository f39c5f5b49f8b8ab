//! Instant selectors: at each step the newest sample within the lookback delta.
//!
//! The interval is open on the left. A staleness marker that is the newest sample means "nothing", also when
//! an older sample lies within the delta.

use ferula_model::value::is_stale;
use ferula_model::{FloatHistogram, TimeRange};
use ferula_storage::SeriesSamples;
use std::sync::Arc;

use crate::Grid;
use crate::QueryError;
use crate::exec::batch::{Batch, RowMut};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scope::Scope;
use crate::exec::select::counts_only::ReadWindow;
use crate::exec::select::crew::Crew;
use crate::exec::select::scan::Scan;
use crate::exec::select::window::Index;
use crate::exec::select::worker::{OneSeries, Read, Worker};
use crate::exec::series::SeriesTable;
use crate::plan::node::{Lookup, Selector};

/// The newest sample before a moment.
#[derive(Clone, Debug)]
pub(crate) enum NewestSample {
    Float { timestamp: i64, start: i64, value: f64 },
    Histogram { timestamp: i64, start: i64, value: Arc<FloatHistogram> },
}

impl NewestSample {
    pub(crate) fn timestamp(&self) -> i64 {
        match self {
            NewestSample::Float { timestamp, .. } | NewestSample::Histogram { timestamp, .. } => *timestamp,
        }
    }

    pub(crate) fn start_timestamp(&self) -> i64 {
        match self {
            NewestSample::Float { start, .. } | NewestSample::Histogram { start, .. } => *start,
        }
    }
}

/// Walks one series forward through moments in order of time.
pub(crate) struct Cursor<'a> {
    samples: &'a SeriesSamples,
    lookback_ms: i64,
    /// The number of samples of each kind up to the last moment.
    floats: usize,
    histograms: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(samples: &'a SeriesSamples, lookback_ms: i64) -> Self {
        Cursor { samples, lookback_ms, floats: 0, histograms: 0 }
    }

    /// How many samples the moments so far have passed.
    pub(crate) fn passed(&self) -> usize {
        self.floats + self.histograms
    }

    /// The newest sample at `moment`, if it is young enough and no staleness marker.
    pub(crate) fn find(&mut self, moment: i64) -> Option<NewestSample> {
        let (floats, histograms) = (&self.samples.floats, &self.samples.histograms);
        while floats.timestamps.get(self.floats).is_some_and(|&time| time <= moment) {
            self.floats += 1;
        }
        while histograms.timestamps.get(self.histograms).is_some_and(|&time| time <= moment) {
            self.histograms += 1;
        }
        let float = self.floats.checked_sub(1).map(|at| (floats.timestamps[at], at));
        let histogram = self.histograms.checked_sub(1).map(|at| (histograms.timestamps[at], at));
        let oldest = moment.saturating_sub(self.lookback_ms);
        if let Some((timestamp, at)) = histogram.filter(|(time, _)| float.is_none_or(|(f, _)| f < *time)) {
            let value = &histograms.values[at];
            let start = histograms.start_timestamps.get(at).copied().unwrap_or(0);
            return (timestamp > oldest && !is_stale(value.sum)).then(|| NewestSample::Histogram {
                timestamp,
                start,
                value: value.clone(),
            });
        }
        let (timestamp, at) = float?;
        let value = floats.values[at];
        let start = floats.start_timestamps.get(at).copied().unwrap_or(0);
        (timestamp > oldest && !is_stale(value)).then_some(NewestSample::Float { timestamp, start, value })
    }
}

/// The operator of an instant selector.
pub(crate) fn operator<'q>(
    selector: &'q Selector,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> BoxOperator<'q> {
    let scan = Scan::new(query.selections[selector.index], selector.counts_only);
    let crew = Crew::default();
    Box::new(InstantScan { scan, crew, lookup: selector.lookup, scope: scope.clone() })
}

struct InstantScan {
    scan: Scan,
    crew: Crew<InstantRows>,
    lookup: Lookup,
    scope: Scope,
}

/// The times that an instant selector reads for a grid.
pub(crate) fn read_range(grid: &Grid, lookup: Lookup, lookback_ms: i64) -> TimeRange {
    let first = lookup.time(grid.start_ms).saturating_sub(lookback_ms).saturating_add(1);
    TimeRange::from_millis(first, lookup.time(grid.time(grid.steps() - 1)))
}

impl Operator for InstantScan {
    fn series(&self) -> &SeriesTable {
        self.scan.series()
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let InstantScan { scan, crew, lookup, scope } = self;
        let (grid, lookup) = (scope.grid, *lookup);
        let range = read_range(&grid, lookup, query.lookback_ms);
        let reach = ReadWindow { grid, lookup, before_ms: query.lookback_ms - 1, after_ms: 0 };
        crew.next(scan, || InstantRows, &lookup, &Read { range, reach }, scope, query, out)
    }
}

/// Makes the rows.
struct InstantRows;

impl Worker for InstantRows {
    type Params = Lookup;

    fn row(&mut self, lookup: &Lookup, series: &OneSeries<'_>, out: &mut Batch) -> Result<(), QueryError> {
        let OneSeries { row, samples, scope, query, .. } = *series;
        let rows = Rows { grid: &scope.grid, lookup: *lookup, scope, query };
        let held = rows.fill(samples, &mut out.push(row))?;
        if held == 0 {
            out.pop();
        }
        query.samples.hold(held)
    }
}

/// How rows are filled.
struct Rows<'a, 'q> {
    grid: &'a Grid,
    lookup: Lookup,
    scope: &'a Scope,
    query: &'a QueryContext<'q>,
}

impl Rows<'_, '_> {
    /// Fills one row; what it counts as against the limit of samples.
    fn fill(&self, samples: &SeriesSamples, out: &mut RowMut<'_>) -> Result<u64, QueryError> {
        let Rows { grid, scope, query, .. } = *self;
        if samples.histograms.timestamps.is_empty() {
            let found = self.floats(samples, out)?;
            if scope.stats.by_step() {
                query.each_one(out.present, |step| scope.stats.add(step, 1, 1))?;
            } else {
                scope.stats.add(0, found, found);
            }
            return Ok(found);
        }
        query.account.charge(samples.histograms.timestamps.len().saturating_mul(12))?;
        let (mut held, mut seen) = (0, 0);
        let mut cursor = Cursor::new(samples, query.lookback_ms);
        for step in 0..grid.steps() {
            let found = cursor.find(self.lookup.time(grid.time(step)));
            query.work(1 + cursor.passed() - seen)?;
            seen = cursor.passed();
            let weight = match found {
                None => continue,
                Some(NewestSample::Float { value, .. }) => {
                    out.set_float(step, value);
                    1
                }
                Some(NewestSample::Histogram { value, .. }) => {
                    let weight = value.sample_weight() as u64;
                    out.set_histogram(step, value);
                    weight
                }
            };
            held += weight;
            scope.stats.add(step, weight, weight);
        }
        Ok(held)
    }

    /// [`Rows::fill`] of a series without histograms: one word of presence at a time.
    fn floats(&self, samples: &SeriesSamples, out: &mut RowMut<'_>) -> Result<u64, QueryError> {
        let Rows { grid, lookup, query, .. } = *self;
        let lookback_ms = query.lookback_ms;
        let (times, values) = (&samples.floats.timestamps[..], &samples.floats.values[..]);
        let steps = grid.steps();
        let (mut before, mut found) = (Index::default(), 0);
        let step_ms = if lookup.at_ms.is_some() { 0 } else { grid.step_ms };
        let mut next_moment = lookup.time(grid.start_ms);
        let mut seen = 0;
        for (word, present) in out.present.iter_mut().enumerate() {
            query.work(64 + before.at - seen)?;
            seen = before.at;
            let mut bits = 0u64;
            for bit in 0..64.min(steps - word * 64) {
                let step = word * 64 + bit;
                let moment = next_moment;
                next_moment = moment.saturating_add(step_ms);
                before.advance(times, moment);
                let Some(at) = before.at.checked_sub(1) else { continue };
                let value = values[at];
                out.values[step] = value;
                let there = times[at] > moment.saturating_sub(lookback_ms) && !is_stale(value);
                bits |= u64::from(there) << bit;
            }
            *present = bits;
            found += u64::from(bits.count_ones());
        }
        Ok(found)
    }
}
