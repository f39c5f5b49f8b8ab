//! What a query cost, in samples and time, as the API's `stats` parameter shows it.

use std::cell::{Cell, RefCell};

use crate::{Grid, QueryError};

/// Samples and time that a query took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryStats {
    /// Samples that steps used; one that lies in several windows counts in each.
    pub samples_total: u64,
    /// Samples read from storage; one that lies in several windows of a selector counts once.
    pub samples_read: u64,
    /// Most samples held at one time, which is what `--query.max-samples` bounds.
    pub samples_peak: u64,
    /// Most bytes held at one time, taken in steps of 64 KiB.
    pub memory_peak_bytes: u64,
    /// `samples_total` by step, if requested and enabled.
    pub samples_total_per_step: Option<Vec<StepCount>>,
    /// `samples_read` by step, if requested and enabled.
    pub samples_read_per_step: Option<Vec<StepCount>>,
    /// Where the time went.
    pub timings: QueryTimings,
}

/// Samples of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepCount {
    /// Time of the step.
    pub timestamp_ms: i64,
    /// How many.
    pub samples: u64,
}

/// Seconds by phase; all 0 when the caller lent no clock. The queue is the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueryTimings {
    /// From the plan to the result.
    pub eval_total_seconds: f64,
    /// Sorting the result.
    pub result_sort_seconds: f64,
    /// Selecting series.
    pub query_preparation_seconds: f64,
    /// Running operators.
    pub inner_eval_seconds: f64,
}

/// Samples held now and at most, against `--query.max-samples`.
#[derive(Debug)]
pub(crate) struct SampleBudget {
    current: Cell<u64>,
    peak: Cell<u64>,
    max: u64,
}

impl SampleBudget {
    pub(crate) fn new(max: u64) -> Self {
        SampleBudget { current: Cell::new(0), peak: Cell::new(0), max }
    }

    pub(crate) fn current(&self) -> u64 {
        self.current.get()
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak.get()
    }

    /// Counts `samples` more as held.
    pub(crate) fn hold(&self, samples: u64) -> Result<(), QueryError> {
        let current = self.current.get() + samples;
        self.current.set(current);
        self.peak.set(self.peak.get().max(current));
        if current > self.max { Err(QueryError::TooManySamples) } else { Ok(()) }
    }

    /// Goes back to `before` samples, plus `kept` that the result of an operator holds.
    pub(crate) fn settle(&self, before: u64, kept: u64) -> Result<(), QueryError> {
        self.current.set(before);
        self.hold(kept)
    }
}

/// What a [`ScopeStats`] has counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    total: u64,
    read: u64,
    per_step: Option<PerStep>,
}

/// Samples that the operators of one grid used.
#[derive(Debug)]
pub(crate) struct ScopeStats {
    total: Cell<u64>,
    read: Cell<u64>,
    per_step: Option<RefCell<PerStep>>,
}

#[derive(Debug)]
struct PerStep {
    total: Vec<u64>,
    read: Vec<u64>,
}

impl ScopeStats {
    /// Counters for `grid`; by step as well when `per_step`.
    pub(crate) fn new(grid: &Grid, per_step: bool) -> Self {
        let steps = grid.steps();
        let per_step =
            per_step.then(|| RefCell::new(PerStep { total: vec![0; steps], read: vec![0; steps] }));
        ScopeStats { total: Cell::new(0), read: Cell::new(0), per_step }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.get()
    }

    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    /// Counts the samples that one step used, and those of them that were new.
    #[inline]
    pub(crate) fn add(&self, step: usize, total: u64, read: u64) {
        self.total.set(self.total.get() + total);
        self.read.set(self.read.get() + read);
        if let Some(per_step) = &self.per_step {
            let mut per_step = per_step.borrow_mut();
            if let Some(count) = per_step.total.get_mut(step) {
                *count += total;
            }
            if let Some(count) = per_step.read.get_mut(step) {
                *count += read;
            }
        }
    }

    /// [`ScopeStats::add`] for all steps, from the first on.
    pub(crate) fn add_steps(&self, counts: impl Iterator<Item = (u64, u64)>) {
        let mut per_step = self.per_step.as_ref().map(RefCell::borrow_mut);
        let (mut all_total, mut all_read) = (0, 0);
        for (step, (total, read)) in counts.enumerate() {
            all_total += total;
            all_read += read;
            if let Some(per_step) = &mut per_step {
                if let Some(count) = per_step.total.get_mut(step) {
                    *count += total;
                }
                if let Some(count) = per_step.read.get_mut(step) {
                    *count += read;
                }
            }
        }
        self.total.set(self.total.get() + all_total);
        self.read.set(self.read.get() + all_read);
    }

    /// All counts, which start again from 0. Without those by step afterwards.
    pub(crate) fn take(&self) -> Counts {
        let per_step = self.per_step.as_ref().map(|per_step| {
            std::mem::replace(&mut *per_step.borrow_mut(), PerStep { total: Vec::new(), read: Vec::new() })
        });
        Counts { total: self.total.take(), read: self.read.take(), per_step }
    }

    /// Adds what was counted for the same grid elsewhere.
    pub(crate) fn add_counts(&self, counts: &Counts) {
        match &counts.per_step {
            Some(steps) => self.add_steps(steps.total.iter().copied().zip(steps.read.iter().copied())),
            None => self.add(0, counts.total, counts.read),
        }
    }

    /// Whether [`ScopeStats::add`] must be told the steps one by one.
    pub(crate) fn by_step(&self) -> bool {
        self.per_step.is_some()
    }

    /// Counts per step: looked at, read.
    pub(crate) fn per_step(&self, grid: &Grid) -> Option<(Vec<StepCount>, Vec<StepCount>)> {
        let per_step = self.per_step.as_ref()?.borrow();
        let counts = |samples: &[u64]| {
            samples
                .iter()
                .enumerate()
                .map(|(step, &samples)| StepCount { timestamp_ms: grid.time(step), samples })
                .collect()
        };
        Some((counts(&per_step.total), counts(&per_step.read)))
    }

    /// Adds what a subquery on `child_grid` read, each inner step at the outer step that used it first.
    /// Inner steps that lie in no window of `range_ms` are left out; `range_ms` of 0 keeps all.
    pub(crate) fn absorb_subquery(
        &self,
        grid: &Grid,
        child: &ScopeStats,
        child_grid: &Grid,
        offset_ms: i64,
        range_ms: i64,
    ) {
        let steps = grid.steps();
        if steps <= 1 {
            self.add(0, 0, child.read());
            return;
        }
        let Some(per_step) = &child.per_step else { return };
        for (index, &read) in per_step.borrow().read.iter().enumerate() {
            if read == 0 {
                continue;
            }
            let time = child_grid.time(index).saturating_add(offset_ms);
            let step = if time > grid.start_ms {
                let distance = time.saturating_sub(grid.start_ms);
                usize::try_from(distance.div_ceil_by(grid.step_ms)).unwrap_or(usize::MAX)
            } else {
                0
            };
            let step = step.min(steps - 1);
            if range_ms > 0 && time <= grid.time(step).saturating_sub(range_ms) {
                continue;
            }
            self.add(step, 0, read);
        }
    }
}

/// Rounding up, which `i64` does not have yet on the stable toolchain.
trait DivCeil {
    fn div_ceil_by(self, step: i64) -> i64;
}

impl DivCeil for i64 {
    fn div_ceil_by(self, step: i64) -> i64 {
        self.saturating_add(step - 1) / step
    }
}
