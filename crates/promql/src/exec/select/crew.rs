//! Rows of a selection, made by several threads side by side if that is worth it.
//!
//! 1. The first batch is made on the query's own thread. It shows how much work the other rows probably are.
//! 2. If the caller lends threads for so much work, the next batches are cut into one run for each. Every thread has a
//!    worker and a context of its own.
//! 3. Finished batches are handed out one by one, in the order of rows. Only then takes effect what a batch counted:
//!    samples, annotations, an error. So sums meet their rows in the same order, and errors come in the same order, as
//!    on one thread.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use ferula_go::sync::MutexExt;

use super::scan::{Rows, Scan};
use super::worker::{Read, Task, Worker};
use crate::exec::batch::Batch;
use crate::exec::context::{Common, QueryContext};
use crate::exec::scope::Scope;
use crate::memory::Reservation;
use crate::stats::Counts;
use crate::{Annotations, Grid, QueryError};

/// Batches that a thread makes before the others are waited for.
const BATCHES_PER_RUN: usize = 4;

/// The workers of one selector, and the batches that they have finished.
pub(crate) struct Crew<W> {
    workers: Vec<W>,
    /// What their `kept_bytes` were charged as.
    kept_bytes: usize,
    ready: VecDeque<Finished>,
    /// For the batches in `ready`.
    held: Option<Reservation>,
    /// Rows that were made on the query's own thread, and how much work they were.
    measured_rows: u64,
    measured_work: u64,
    /// Bytes of those that were kept. Histograms are not known before they are made.
    measured_bytes: usize,
}

impl<W> Default for Crew<W> {
    fn default() -> Self {
        Crew {
            workers: Vec::new(),
            kept_bytes: 0,
            ready: VecDeque::new(),
            held: None,
            measured_rows: 0,
            measured_work: 0,
            measured_bytes: 0,
        }
    }
}

/// A batch with everything that takes effect when it is handed out.
struct Finished {
    rows: Batch,
    samples: u64,
    counts: Counts,
    annotations: Annotations,
    failure: Option<Failure>,
}

enum Failure {
    Error(QueryError),
    Panic(Box<dyn Any + Send>),
}

impl<W: Worker> Crew<W> {
    /// The next rows of a scan, as `Operator::next`. `make` makes a worker.
    pub(crate) fn next(
        &mut self,
        scan: &mut Scan,
        make: impl Fn() -> W,
        params: &W::Params,
        read: &Read,
        scope: &Scope,
        query: &QueryContext<'_>,
        out: &mut Batch,
    ) -> Result<bool, QueryError> {
        out.clear();
        scan.start(query)?;
        while out.is_empty() {
            query.work(1)?;
            if let Some(finished) = self.ready.pop_front() {
                finished.hand_out(scope, query, out)?;
                continue;
            }
            self.held = None;
            if scan.left() == 0 {
                return Ok(false);
            }
            if self.workers.is_empty() {
                self.workers.push(make());
            }
            let width = self.width(scan, query);
            if width > 1 && self.run(scan, width, &make, Task { params, read }, scope, query)? {
                continue;
            }
            let rows = scan.take(Batch::rows_wanted(out.steps()));
            self.measured_rows += rows.len() as u64;
            self.measured_work +=
                scan.rows().fill(rows, &mut self.workers[0], Task { params, read }, scope, query, out)?;
            self.measured_bytes = self.measured_bytes.saturating_add(out.bytes());
        }
        Ok(true)
    }

    /// How many threads are to make the rows that are left.
    fn width(&self, scan: &Scan, query: &QueryContext<'_>) -> usize {
        let Some(spread) = query.spread.filter(|_| self.measured_rows > 0) else { return 1 };
        if scan.left() < 2 {
            return 1;
        }
        let work = u128::from(self.measured_work) * scan.left() as u128 / u128::from(self.measured_rows);
        spread.width(u64::try_from(work).unwrap_or(u64::MAX))
    }

    /// Makes the next batches on `width` threads. Returns `false`, with nothing done, if there is no memory for them.
    fn run(
        &mut self,
        scan: &mut Scan,
        width: usize,
        make: &impl Fn() -> W,
        task: Task<'_, W>,
        scope: &Scope,
        query: &QueryContext<'_>,
    ) -> Result<bool, QueryError> {
        let Some(spread) = query.spread else { return Ok(false) };
        let steps = scope.steps();
        let rows_each = Batch::rows_wanted(steps).min(scan.left().div_ceil(width));
        let batches = scan.left().div_ceil(rows_each).min(width * BATCHES_PER_RUN);
        let probable = self.measured_bytes / usize::try_from(self.measured_rows).unwrap_or(usize::MAX).max(1);
        let row_bytes = probable.max(Batch::bytes_for(1, steps));
        let bytes = row_bytes.saturating_mul(rows_each).saturating_mul(batches);
        let Ok(held) = query.account.reserve(bytes) else { return Ok(false) };
        self.held = Some(held);
        let all: Vec<Range<usize>> = (0..batches).map(|_| scan.take(rows_each)).collect();
        let each = batches.div_ceil(width);
        if self.kept_bytes == 0 {
            // They were charged as they grew.
            self.kept_bytes = self.workers.iter().map(Worker::kept_bytes).sum();
        }
        let mut workers = self.workers.drain(..);
        let runs: Vec<Mutex<Run<'_, W>>> = all
            .chunks(each)
            .map(|batches| {
                let worker = workers.next().unwrap_or_else(make);
                Mutex::new(Run {
                    worker,
                    batches,
                    finished: Vec::with_capacity(batches.len()),
                    peak_bytes: 0,
                })
            })
            .collect();
        let idle: Vec<W> = workers.collect();
        let (common, rows) = (query.common(), scan.rows());
        let (grid, by_step) = (scope.grid, scope.stats.by_step());
        spread.run(runs.len(), &|number| runs[number].locked().make(&rows, task, (grid, by_step), common));
        let mut peak_bytes = 0;
        for run in runs {
            let run = run.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            peak_bytes += run.peak_bytes;
            self.workers.push(run.worker);
            self.ready.extend(run.finished);
        }
        self.workers.extend(idle);
        // What they really are: the threads' own accounts have ended.
        self.held = None;
        self.held =
            Some(query.account.reserve(self.ready.iter().map(|finished| finished.rows.bytes()).sum())?);
        query.account.saw_beside(peak_bytes);
        let kept: usize = self.workers.iter().map(Worker::kept_bytes).sum();
        query.account.charge(kept.saturating_sub(self.kept_bytes))?;
        self.kept_bytes = self.kept_bytes.max(kept);
        Ok(true)
    }
}

/// Batches for one thread.
struct Run<'a, W> {
    worker: W,
    batches: &'a [Range<usize>],
    finished: Vec<Finished>,
    peak_bytes: u64,
}

impl<W: Worker> Run<'_, W> {
    /// Makes the batches, up to the first that fails.
    fn make(
        &mut self,
        rows: &Rows<'_>,
        task: Task<'_, W>,
        (grid, by_step): (Grid, bool),
        common: Common<'_>,
    ) {
        let query = QueryContext::beside(common);
        for batch in self.batches {
            let before = query.samples.current();
            let mut out = Batch::new(grid.steps());
            let scope = match Scope::new(grid, by_step, &query) {
                Ok(scope) => scope,
                Err(error) => {
                    let (counts, annotations) = (Counts::default(), Annotations::new());
                    let failure = Some(Failure::Error(error));
                    self.finished.push(Finished { rows: out, samples: 0, counts, annotations, failure });
                    break;
                }
            };
            let made = catch_unwind(AssertUnwindSafe(|| {
                rows.fill(batch.clone(), &mut self.worker, task, &scope, &query, &mut out)?;
                // Code that cannot return an error leaves it for the next check.
                query.check()
            }));
            let failure = match made {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Failure::Error(error)),
                Err(panic) => Some(Failure::Panic(panic)),
            };
            let failed = failure.is_some();
            let samples = query.samples.current() - before;
            let (counts, annotations) = (scope.stats.take(), query.annotations.take());
            self.finished.push(Finished { rows: out, samples, counts, annotations, failure });
            if failed {
                break;
            }
        }
        self.peak_bytes = query.account.peak();
    }
}

impl Finished {
    fn hand_out(self, scope: &Scope, query: &QueryContext<'_>, out: &mut Batch) -> Result<(), QueryError> {
        scope.stats.add_counts(&self.counts);
        for annotation in self.annotations.iter() {
            query.annotate(annotation.clone());
        }
        query.samples.hold(self.samples)?;
        match self.failure {
            None => {
                *out = self.rows;
                Ok(())
            }
            Some(Failure::Error(error)) => Err(error),
            // It is an error of this query alone, which the engine makes of it.
            Some(Failure::Panic(panic)) => resume_unwind(panic),
        }
    }
}
