//! The options of a backtest, and its progress reports.

use ferula_model::UnixNanos;
use ferula_promql::EngineOptions;
use ferula_storage::Queryable;

/// What is replayed, and how.
pub struct Options<'a> {
    /// The history.
    pub storage: &'a dyn Queryable,
    /// The engine's options, as the server would have them.
    pub engine: EngineOptions,
    /// First moment that may be a slot of a group.
    pub from: UnixNanos,
    /// Last such moment.
    pub to: UnixNanos,
    /// How many rules run at the same time.
    pub threads: usize,
    /// How many episodes of one rule are kept; all are counted.
    pub episodes_max: usize,
    /// Which alerts are replayed, by name.
    pub runs: &'a (dyn Fn(&str) -> bool + Sync),
    /// Hears how far it is, from any of the threads.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// How far a backtest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Evaluations that were made.
    pub done: u64,
    /// Evaluations that there are: rules times slots.
    pub all: u64,
    /// Rules that are finished.
    pub rules_done: usize,
    /// Rules that there are.
    pub rules: usize,
}
