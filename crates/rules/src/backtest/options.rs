//! The options of a backtest, and its progress reports.

use ferula_model::UnixNanos;
use ferula_promql::EngineOptions;
use ferula_storage::Queryable;

/// What is replayed, and how.
pub struct Options<'a> {
    /// The history.
    pub storage: &'a dyn Queryable,
    /// The engine options that the server would use.
    pub engine: EngineOptions,
    /// No slot before this moment is replayed.
    pub from: UnixNanos,
    /// No slot after this moment is replayed.
    pub to: UnixNanos,
    /// How many rules run at the same time.
    pub threads: usize,
    /// How many episodes of one rule are kept; all are counted.
    pub episodes_max: usize,
    /// Selects the alerts to replay, by name.
    pub runs: &'a (dyn Fn(&str) -> bool + Sync),
    /// Called with the progress so far, from any of the threads.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// The progress of a backtest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Evaluations done so far.
    pub done: u64,
    /// Evaluations in total: rules times slots.
    pub all: u64,
    /// Finished rules.
    pub rules_done: usize,
    /// Rules in total.
    pub rules: usize,
}
