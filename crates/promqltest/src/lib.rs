//! Reads and runs PromQL test scripts on any storage.
//!
//! ```text
//! text ─script─▶ commands ─run─▶ load ──▶ store          the caller's, made new for every file and `clear`
//!        │                        eval ──▶ ferula-promql ──▶ compare with what the script expects
//!        └ expand: `1+2x3 _ stale {{schema:0}}` to points
//! ```
//!
//! The language is that of `promql/promqltest` in Prometheus, old `eval_fail` forms included. An instant query is run
//! again the ways upstream does: with `@` added to every selector at several other times, and each of them as the
//! middle step of a range query. Values may differ by a millionth of their sum, as in Prometheus.
//!
//! Unlike upstream, a failure does not end the script: everything is run and every failure is told. A load that failed
//! fails the evaluations after it, up to the next `clear`.

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

/// Why a store cannot be had: whatever error its own crate has.
pub type StoreFault = Box<dyn std::error::Error + Send + Sync>;

/// Makes stores for scripts.
pub trait StoreFactory {
    /// An empty store. The one before is dropped first.
    fn open(&mut self) -> Result<Box<dyn Store>, StoreFault>;

    /// Called after every load, for stores that want to be closed and opened again before they are queried.
    fn loaded(&mut self, store: Box<dyn Store>) -> Result<Box<dyn Store>, StoreFault> {
        Ok(store)
    }

    /// Whether samples come back with what they said about counter resets. A store that has the samples of a series
    /// in several places cannot know what came before the first one of a place, and neither can Prometheus: what
    /// was "not reset" comes back as "unknown". Only that is let pass then.
    fn keeps_hints(&self) -> bool {
        true
    }
}

impl<F: FnMut() -> Result<Box<dyn Store>, StoreFault>> StoreFactory for F {
    fn open(&mut self) -> Result<Box<dyn Store>, StoreFault> {
        self()
    }
}

/// What became of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptReport {
    /// Name of the script, as given.
    pub name: String,
    /// Evaluations that came out as expected.
    pub passed: usize,
    /// Evaluations that did not, and commands that could not be read or carried out, in order of their lines.
    pub failed: Vec<Failure>,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line of the script, from 1.
    pub line: usize,
    /// What was expected, and what came.
    pub text: String,
}
