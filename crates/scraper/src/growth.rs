//! The defence against too many series: what is new is counted, and refused beyond limits that were set.
//!
//! ```text
//! scrape, remote write ──▶ GrowthGuard ──find: known──────────────▶ store
//!                                      └─admit: new, within limits─▶ store
//! ```
//!
//! Here: a store in front of the store. Below: the limits of one minute and who may use them (`budget`), what grows (`tally`).
//! Job, target and metric are the labels `job`, `instance` and `__name__` of the series, whatever its sender.
//!
//! Always true: a series that the store knows passes, and so do `up` and the other series about a scrape; no job takes
//! more than half of what all share, beyond its own part of the other half.

mod budget;
mod tally;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, SeriesRef};
use ferula_runtime::SharedClock;
use ferula_storage::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, SampleBatch,
};
use ferula_telemetry::{CounterVec, Registry};

pub use budget::{Bound, SeriesByValue, SeriesLimits};
use budget::{Minute, Refused};
use tally::Tally;
pub use tally::{Growth, GrowthOf, LabelGrowth};

use crate::report::is_report;

const MINUTE_MS: i64 = 60_000;
/// So many jobs have counters of their own.
const NAMED_JOBS_MAX: usize = 1000;

/// A store that takes new series within limits.
pub struct GrowthGuard {
    store: Arc<dyn Appendable>,
    counts: SeriesByValue,
    limits: SeriesLimits,
    clock: SharedClock,
    state: Mutex<State>,
    new: CounterVec,
    refused: CounterVec,
}

struct State {
    /// Number of the minute since the epoch.
    number: i64,
    minute: Minute,
    tally: Tally,
    /// What the minute before was like.
    last: Growth,
    /// Jobs that have counters of their own.
    named: HashSet<Box<str>>,
}

impl State {
    /// The job in counters: senders of remote write may make up any number of jobs.
    fn counted_as<'j>(&mut self, job: &'j str) -> &'j str {
        if self.named.contains(job) {
            return job;
        }
        if self.named.len() >= NAMED_JOBS_MAX {
            return "other jobs";
        }
        self.named.insert(job.into());
        job
    }
}

impl Default for State {
    fn default() -> Self {
        // No minute has begun.
        State {
            number: i64::MIN,
            minute: Minute::default(),
            tally: Tally::default(),
            last: Growth::default(),
            named: HashSet::new(),
        }
    }
}

impl GrowthGuard {
    /// A guard in front of `store`. `counts` is called once a minute in which something is new.
    pub fn new(
        store: Arc<dyn Appendable>,
        counts: SeriesByValue,
        limits: SeriesLimits,
        clock: SharedClock,
        registry: &Registry,
    ) -> Self {
        GrowthGuard {
            store,
            counts,
            limits,
            clock,
            state: Mutex::default(),
            new: registry.counter_vec(
                "ferula_new_series_total",
                "New series that were taken, by job, while limits on series are set. The job whose rate is highest grows fastest.",
                &["job"],
            ),
            refused: registry.counter_vec(
                "ferula_refused_series_total",
                "New series that were refused, by job and by the limit that they met (head, job, target or metric). A series that \
                 is scraped again counts again.",
                &["job", "limit"],
            ),
        }
    }

    /// What grows: the running minute, and the one before.
    pub fn growth(&self) -> [Growth; 2] {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_minute(&mut state);
        [state.tally.summary(state.number * MINUTE_MS, &state.minute), state.last.clone()]
    }

    /// The limits that are set.
    pub fn limits(&self) -> &SeriesLimits {
        &self.limits
    }

    fn begin_minute(&self, state: &mut State) {
        let number = self.clock.now().millis().div_euclid(MINUTE_MS);
        if number == state.number {
            return;
        }
        let last = state.tally.summary(state.number.saturating_mul(MINUTE_MS), &state.minute);
        state.last = if number == state.number.saturating_add(1) { last } else { Growth::default() };
        state.number = number;
        state.tally = Tally::default();
        state.minute = Minute::new(&self.limits, &self.counts);
    }

    fn admit(&self, labels: &LabelSet) -> Result<(), AppendError> {
        if is_report(labels.value(METRIC_NAME)) {
            return Ok(());
        }
        let job = labels.value("job");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_minute(&mut state);
        let admitted =
            state.minute.admit(&self.limits, job, labels.value("instance"), labels.value(METRIC_NAME));
        state.tally.note(job, labels, admitted.is_ok());
        let job = state.counted_as(job);
        drop(state);
        match admitted {
            Ok(()) => {
                self.new.with(&[job]).inc();
                Ok(())
            }
            Err(Refused { limit, text }) => {
                self.refused.with(&[job, limit]).inc();
                Err(AppendError::GrowthLimit(text))
            }
        }
    }
}

impl Appendable for GrowthGuard {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(GuardedAppender { guard: self, inner: self.store.appender() })
    }
}

struct GuardedAppender<'a> {
    guard: &'a GrowthGuard,
    inner: Box<dyn Appender + 'a>,
}

impl Appender for GuardedAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
        if let Some(known) = self.inner.find(labels) {
            return Ok(known);
        }
        self.guard.admit(labels)?;
        self.inner.resolve(labels)
    }

    fn find(&mut self, labels: &LabelSet) -> Option<SeriesRef> {
        self.inner.find(labels)
    }

    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
        self.inner.append(batch)
    }

    fn commit(self: Box<Self>, durability: Durability) -> Result<(), CommitError> {
        self.inner.commit(durability)
    }
}

#[cfg(test)]
mod tests;
