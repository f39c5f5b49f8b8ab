//! What all operators of one query share.

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Range};

use ferula_model::TimeRange;
use ferula_storage::{SelectionId, SeriesSamples, Snapshot};

use crate::Features;
use crate::exec::bitmap;
use crate::memory::QueryAccount;
use crate::stats::SampleBudget;
use crate::{Annotation, Annotations, MemoryContract, QueryControl, QueryError, Spread};

/// What all operators of one query share. One thread runs a query, hence the cells; threads that help it have contexts
/// of their own.
pub(crate) struct QueryContext<'q> {
    pub features: Features,
    pub lookback_ms: i64,
    pub control: &'q QueryControl,
    /// Frozen: all selections see the same samples.
    pub snapshot: &'q dyn Snapshot,
    /// Selections by the index that the plan gave each selector.
    pub selections: Vec<SelectionId>,
    pub account: QueryAccount,
    pub samples: SampleBudget,
    pub annotations: RefCell<Annotations>,
    /// Lends threads beside the one that runs the query.
    pub spread: Option<&'q dyn Spread>,
    /// Units of work since the last check.
    pub since_check: Cell<usize>,
    /// An error from code that could not return it; the next check returns it.
    pub failure: RefCell<Option<QueryError>>,
}

/// What the threads of one query share.
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    features: Features,
    lookback_ms: i64,
    control: &'a QueryControl,
    snapshot: &'a dyn Snapshot,
    selections: &'a [SelectionId],
    memory: &'a MemoryContract,
    samples_max: u64,
}

/// Units of work between two checks. A unit is a sample looked at, a few of them moved, or some bytes of text read:
/// nanoseconds, so that a query ends within milliseconds of being stopped.
pub(crate) const WORK_PER_CHECK: usize = 1 << 16;

/// Long loops work on slices of this length and report each of them.
pub(crate) const PIECE: usize = WORK_PER_CHECK / 4;

impl<'q> QueryContext<'q> {
    /// A context for a thread that works beside the one that runs the query.
    pub(crate) fn beside(common: Common<'q>) -> Self {
        QueryContext {
            features: common.features,
            lookback_ms: common.lookback_ms,
            control: common.control,
            snapshot: common.snapshot,
            selections: common.selections.to_vec(),
            account: QueryAccount::new(common.memory.clone()),
            samples: SampleBudget::new(common.samples_max),
            annotations: RefCell::default(),
            spread: None,
            since_check: Cell::default(),
            failure: RefCell::default(),
        }
    }
}

impl QueryContext<'_> {
    /// What other threads of the query need for contexts of their own.
    pub(crate) fn common(&self) -> Common<'_> {
        Common {
            features: self.features,
            lookback_ms: self.lookback_ms,
            control: self.control,
            snapshot: self.snapshot,
            selections: &self.selections,
            memory: self.account.contract(),
            samples_max: self.samples.max(),
        }
    }

    /// Fails when the query was stopped. A stopped query stays stopped, so code that cannot return an error may stop
    /// with any value once this fails: a later check fails as well.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.since_check.set(0);
        if let Some(error) = &*self.failure.borrow() {
            return Err(error.clone());
        }
        self.control.check("expression evaluation")
    }

    /// Announces `units` of work, and checks after every [`WORK_PER_CHECK`] of them. Every loop whose length depends on
    /// data or on the query's times calls this.
    #[inline]
    pub(crate) fn work(&self, units: usize) -> Result<(), QueryError> {
        let done = self.since_check.get().saturating_add(units);
        if done < WORK_PER_CHECK {
            self.since_check.set(done);
            return Ok(());
        }
        self.control.worked();
        self.check()
    }

    /// Calls `each` with pieces of a slice that may be long.
    #[inline]
    pub(crate) fn in_pieces<'t, T>(
        &self,
        items: &'t [T],
        mut each: impl FnMut(&'t [T]),
    ) -> Result<(), QueryError> {
        for piece in items.chunks(PIECE) {
            self.work(piece.len())?;
            each(piece);
        }
        Ok(())
    }

    /// Calls `each` with the samples of rows of a selection, in order, until it fails.
    pub(crate) fn read_rows(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        mut each: impl FnMut(usize, &SeriesSamples) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut outcome = Ok(());
        let mut sink = |row: usize, samples: &SeriesSamples| {
            outcome = each(row, samples);
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.snapshot.read(selection, rows, range, &mut sink)?;
        outcome
    }

    /// Calls `each` with the set bits of a bitmap that may be long.
    #[inline]
    pub(crate) fn each_one(&self, words: &[u64], mut each: impl FnMut(usize)) -> Result<(), QueryError> {
        for (index, &word) in words.iter().enumerate() {
            self.work(1 + word.count_ones() as usize)?;
            for bit in bitmap::ones(&[word]) {
                each(index * 64 + bit);
            }
        }
        Ok(())
    }

    /// `length` times the same value.
    pub(crate) fn filled<T: Clone>(&self, value: T, length: usize) -> Result<Vec<T>, QueryError> {
        let mut values = Vec::with_capacity(length);
        while values.len() < length {
            let next = (values.len() + PIECE).min(length);
            self.work((next - values.len()) / 4)?;
            values.resize(next, value.clone());
        }
        Ok(values)
    }

    pub(crate) fn annotate(&self, annotation: Annotation) {
        let bytes = size_of::<Annotation>() + 2 * annotation.text.len();
        if self.annotations.borrow_mut().add(annotation)
            && let Err(error) = self.account.charge(bytes)
        {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ferula_storage::Queryable;
    use ferula_testkit::MemStorage;

    use super::*;

    /// Runs `test` in a query without data whose control is `control`.
    pub(crate) fn with_control(control: &QueryControl, test: impl FnOnce(&QueryContext<'_>)) {
        let store = MemStorage::new();
        let mut snapshot = store.snapshot(TimeRange::from_millis(0, 0)).expect("memory does not fail");
        snapshot.freeze().expect("memory does not fail");
        test(&QueryContext {
            features: Features::default(),
            lookback_ms: 1,
            control,
            snapshot: &*snapshot,
            selections: Vec::new(),
            account: QueryAccount::new(MemoryContract::unlimited()),
            samples: SampleBudget::new(u64::MAX),
            annotations: RefCell::default(),
            spread: None,
            since_check: Cell::default(),
            failure: RefCell::default(),
        });
    }

    /// [`with_control`] with one that nobody stops.
    pub(crate) fn with_context(test: impl FnOnce(&QueryContext<'_>)) {
        with_control(&QueryControl::new(), test);
    }

    #[test]
    fn a_check_comes_after_so_much_work_however_it_is_cut() {
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = checks.clone();
        let control = QueryControl::with_source(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            None
        }));
        with_control(&control, |query| {
            for units in [1, 7, 1000, WORK_PER_CHECK] {
                checks.store(0, Ordering::Relaxed);
                for _ in 0..(5 * WORK_PER_CHECK).div_ceil(units) {
                    query.work(units).expect("nobody stops it");
                }
                let done = checks.load(Ordering::Relaxed);
                assert!(
                    (4..=5).contains(&done),
                    "{done} checks after five times the work, {units} at a time"
                );
            }
            query.work(usize::MAX).expect("nobody stops it");
        });
    }
}
