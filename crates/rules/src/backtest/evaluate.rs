//! The result of an expression at every evaluation time, slice by slice.

use std::ops::Range;
use std::sync::Arc;

use ferula_model::Timestamp;
use ferula_promql::{
    Engine, EngineOptions, Grid, InstantSample, QueryControl, QueryError, QueryOptions, QueryValue,
    RangeSeries, SampleValue,
};
use ferula_promql_syntax::{Expr, ValueType};
use ferula_storage::Queryable;

use super::exact::needs_instants;
use super::moments::Moments;
use super::options::Options;
use crate::RuleError;
use crate::context::GroupContext;
use crate::query::{RuleOrigin, RuleQuery};

/// Steps of the first slice. The size of later slices follows from the number of samples that the previous
/// one held.
const STEPS_FIRST: usize = 256;
/// Upper bound on the steps of a slice.
const STEPS_MAX: usize = 1 << 16;
/// Samples that a slice should hold in memory at a time.
const SAMPLES_AIM: u64 = 1 << 20;
/// Samples that a slice may hold at a time; a slice with more is halved.
const SAMPLES_MAX: u64 = 8 << 20;

/// Receives the result of some steps: the rows of a matrix, or, for a single step, the reason why there are
/// none.
pub(super) type Sink<'s> = dyn FnMut(Range<usize>, Result<Vec<RangeSeries>, RuleError>) + 's;

/// Evaluates one expression.
pub(super) struct Evaluator<'a> {
    expr: &'a Expr,
    moments: Moments,
    storage: &'a dyn Queryable,
    engine: Engine,
    query: Arc<dyn RuleQuery>,
    /// Why it is evaluated one timestamp at a time, if it is.
    pub by_instants: Option<&'static str>,
    slice_steps: usize,
}

impl<'a> Evaluator<'a> {
    pub fn new(expr: &'a Expr, moments: Moments, context: &GroupContext, options: &Options<'a>) -> Self {
        let max_samples = options.engine.max_samples.min(SAMPLES_MAX);
        let by_instants = match moments.step_ms() {
            Some(_) => needs_instants(expr),
            None => Some("the interval is not a whole number of milliseconds"),
        };
        Evaluator {
            expr,
            moments,
            storage: options.storage,
            engine: Engine::new(EngineOptions { max_samples, ..options.engine.clone() }),
            query: context.query.clone(),
            by_instants,
            slice_steps: STEPS_FIRST,
        }
    }

    /// Hands all results to the sink, in order of time.
    pub fn run(&mut self, sink: &mut Sink<'_>) {
        let all = 0..self.moments.count;
        if matches!(self.expr.value_type(), ValueType::String | ValueType::Matrix) {
            // All moments would give the same error.
            all.for_each(|step| sink(step..step + 1, Err(RuleError::NotAVector)));
        } else if self.by_instants.is_some() {
            all.for_each(|step| sink(step..step + 1, self.instant(step)));
        } else {
            let mut start = all.start;
            while start < all.end {
                let end = start.saturating_add(self.slice_steps).min(all.end);
                self.slice(start..end, sink);
                start = end;
            }
        }
    }

    /// Evaluates a slice. When that fails, halves it until only the failing moments remain: an instant query
    /// can succeed where a range query fails, and one failure must not hide what happened at other moments.
    fn slice(&mut self, steps: Range<usize>, sink: &mut Sink<'_>) {
        if steps.len() <= 1 {
            return steps.for_each(|step| sink(step..step + 1, self.instant(step)));
        }
        match self.range(&steps) {
            Ok(rows) => sink(steps, Ok(rows)),
            Err(error) => {
                let middle = steps.start + steps.len() / 2;
                if matches!(error, QueryError::TooManySamples) {
                    self.slice_steps = (steps.len() / 2).max(1);
                }
                self.slice(steps.start..middle, sink);
                self.slice(middle..steps.end, sink);
            }
        }
    }

    fn range(&mut self, steps: &Range<usize>) -> Result<Vec<RangeSeries>, QueryError> {
        let grid = Grid {
            start_ms: self.moments.query_ms(steps.start),
            end_ms: self.moments.query_ms(steps.end - 1),
            step_ms: self.moments.step_ms().unwrap_or(1),
        };
        let (options, control) = (QueryOptions::default(), QueryControl::new());
        let outcome = self.engine.range_expr(self.storage, self.expr, grid, &options, &control);
        let rows = match outcome.result? {
            QueryValue::Matrix(rows) => rows,
            _ => return Err(QueryError::Execution("a range query did not return a matrix".to_owned())),
        };
        let held = rows.iter().map(|row| row.floats.len() + row.histograms.len()).sum::<usize>() as u64;
        let held = held.max(outcome.stats.samples_peak).max(1);
        let wanted = u128::from(SAMPLES_AIM) * steps.len() as u128 / u128::from(held);
        let wanted = usize::try_from(wanted).unwrap_or(STEPS_MAX);
        self.slice_steps = wanted.clamp(1, steps.len().saturating_mul(4).min(STEPS_MAX));
        Ok(rows)
    }

    fn instant(&self, step: usize) -> Result<Vec<RangeSeries>, RuleError> {
        let at = Timestamp::from_millis(self.moments.query_ms(step));
        let row = |sample: InstantSample| match sample.value {
            SampleValue::Float(value) => RangeSeries {
                labels: sample.labels,
                floats: vec![(at.millis(), value)],
                histograms: Vec::new(),
            },
            SampleValue::Histogram(value) => RangeSeries {
                labels: sample.labels,
                floats: Vec::new(),
                histograms: vec![(at.millis(), value)],
            },
        };
        Ok(self.query.vector(self.expr, at, &RuleOrigin::default())?.into_iter().map(row).collect())
    }
}

/// The samples of a row in order of time; the two lists have no moment in common.
pub(super) struct Samples<'r> {
    floats: std::iter::Peekable<std::slice::Iter<'r, (i64, f64)>>,
    histograms: std::iter::Peekable<std::slice::Iter<'r, (i64, Arc<ferula_model::FloatHistogram>)>>,
}

impl<'r> Samples<'r> {
    pub fn of(row: &'r RangeSeries) -> Self {
        Samples { floats: row.floats.iter().peekable(), histograms: row.histograms.iter().peekable() }
    }

    /// The time of the next sample.
    pub fn next_ms(&mut self) -> Option<i64> {
        let (float, histogram) = (self.floats.peek(), self.histograms.peek());
        match (float, histogram) {
            (Some((a, _)), Some((b, _))) => Some(*a.min(b)),
            (Some((a, _)), None) => Some(*a),
            (None, Some((b, _))) => Some(*b),
            (None, None) => None,
        }
    }
}

impl Iterator for Samples<'_> {
    type Item = (i64, SampleValue);

    fn next(&mut self) -> Option<(i64, SampleValue)> {
        let at = self.next_ms()?;
        if let Some((_, value)) = self.floats.next_if(|(time, _)| *time == at) {
            return Some((at, SampleValue::Float(*value)));
        }
        self.histograms.next().map(|(_, value)| (at, SampleValue::Histogram(value.clone())))
    }
}
