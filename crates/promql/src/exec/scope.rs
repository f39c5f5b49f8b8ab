//! Where an operator runs.

use std::rc::Rc;

use crate::exec::context::QueryContext;
use crate::stats::ScopeStats;
use crate::{Grid, QueryError};

/// A grid of more steps is refused, unless more samples than this are allowed. Prometheus has no such bound, but would
/// not finish such a grid within its default timeout.
const STEPS_MAX: usize = 50_000_000;

/// Where a node runs: its grid, and the statistics that count its samples.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub grid: Grid,
    pub stats: Rc<ScopeStats>,
}

impl Scope {
    /// The scope of a grid of its own. `by_step`: samples are counted step by step.
    pub(crate) fn new(grid: Grid, by_step: bool, query: &QueryContext<'_>) -> Result<Self, QueryError> {
        let by_step = by_step && grid.steps() <= STEPS_MAX;
        if by_step {
            query.account.charge(grid.steps().saturating_mul(16))?;
        }
        Ok(Scope { grid, stats: Rc::new(ScopeStats::new(&grid, by_step)) })
    }

    /// The same, counting all steps together.
    pub(crate) fn without_steps(grid: Grid) -> Self {
        Scope { grid, stats: Rc::new(ScopeStats::new(&grid, false)) }
    }

    pub(crate) fn steps(&self) -> usize {
        self.grid.steps()
    }

    /// Only the first step, for parts that are the same at every step.
    pub(crate) fn first_step(&self) -> Scope {
        let grid = Grid { end_ms: self.grid.start_ms, ..self.grid };
        Scope { grid, stats: Rc::new(ScopeStats::new(&grid, false)) }
    }

    /// Refuses a grid that is too long: a row has one slot per step whether or not it is used.
    pub(crate) fn check_steps(&self, query: &QueryContext<'_>) -> Result<(), QueryError> {
        let allowed = usize::try_from(query.samples.max()).unwrap_or(usize::MAX);
        if self.steps() > STEPS_MAX.max(allowed) { Err(QueryError::TooManySamples) } else { Ok(()) }
    }
}
