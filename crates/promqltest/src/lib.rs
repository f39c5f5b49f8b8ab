//! Runs PromQL test scripts on any storage.
//!
//! ```text
//! text ─script─▶ commands ─run─▶ load ──▶ store          provided by the caller, new for every file and `clear`
//!        │                        eval ──▶ ferula-promql ──▶ compare with what the script expects
//!        └ expand: `1+2x3 _ stale {{schema:0}}` to points
//! ```
//!
//! The language is that of Prometheus' `promql/promqltest`, including the old `eval_fail` forms. Every instant query is
//! also run in the other ways that Prometheus does: with `@` added to every selector at several other times, and as the
//! middle step of a range query each time. Values may differ by a millionth of their sum, as in Prometheus.
//!
//! Unlike in Prometheus, a failure does not end the script: everything is run and every failure is reported. A failed
//! load fails the evaluations after it, up to the next `clear`.

mod at_modifier;
mod compare;
mod expand;
mod expect;
mod load;
mod run;
mod script;

use ferula_storage::{Appendable, Queryable};

pub use run::{Runner, check_script, run_script};

/// A store that scripts can run on.
pub trait Store: Appendable + Queryable {}

impl<T: Appendable + Queryable> Store for T {}

/// Why a store cannot be created: an error of the store's own crate.
pub type StoreFault = Box<dyn std::error::Error + Send + Sync>;

/// Creates stores for scripts.
pub trait StoreFactory {
    /// Creates an empty store. The previous one is dropped first.
    fn open(&mut self) -> Result<Box<dyn Store>, StoreFault>;

    /// Called after every load, for stores that should be closed and reopened before they are queried.
    fn loaded(&mut self, store: Box<dyn Store>) -> Result<Box<dyn Store>, StoreFault> {
        Ok(store)
    }

    /// Whether samples keep their counter reset hints. A store that keeps the samples of a series
    /// in several places cannot know what precedes the first sample of each, and neither can Prometheus: "not reset"
    /// becomes "unknown". Only that is accepted then.
    fn keeps_hints(&self) -> bool {
        true
    }
}

impl<F: FnMut() -> Result<Box<dyn Store>, StoreFault>> StoreFactory for F {
    fn open(&mut self) -> Result<Box<dyn Store>, StoreFault> {
        self()
    }
}

/// The result of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptReport {
    /// Name of the script, as given.
    pub name: String,
    /// Evaluations with the expected result.
    pub passed: usize,
    /// Evaluations with another result, and commands that could not be parsed or executed, by line.
    pub failed: Vec<Failure>,
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line of the script, from 1.
    pub line: usize,
    /// What was expected, and what was returned.
    pub text: String,
}
