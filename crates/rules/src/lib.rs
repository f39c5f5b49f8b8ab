//! Rule groups: recording and alerting rules, their schedule and state.
//!
//! ```text
//! rule files ─config─▶ Manager ─ one task per group: slot ─▶ Group::evaluate(slot)
//!                                      recording: query ─▶ samples under the rule's name ─▶ store
//!                                      alerting:  query ─▶ pending, firing, resolved ─▶ ALERTS… ─▶ store
//!                                                                     └─▶ AlertSink
//! ```
//!
//! Here: when groups run, what a rule makes of its query's result, the state of alerts and its restoration after a
//! restart, snapshots for the API, the unit tests of rule files, and
//! backtests over stored history. Elsewhere: the files (`ferula-config`), queries
//! (`ferula-promql`), template language (`ferula-template`), delivery (whatever the `AlertSink` is).
//!
//! [`Group::evaluate`] is a plain step: given a moment it queries, appends and returns. Tests drive weeks with it; only
//! [`Manager`] knows clocks and tasks.

mod alerting;
mod append;
pub mod backtest;
mod context;
mod dependency;
mod error;
mod expand;
mod group;
mod manager;
mod metrics;
mod query;
mod recording;
mod restore;
mod rule;
mod series_values;
mod snapshot;
pub mod unit_test;

pub use context::{GroupContext, RuleStore};
pub use error::{LoadError, RuleError};
pub use expand::{check_template, external_path};
pub use group::{Group, RestoreOptions, slot_before};
pub use manager::{Manager, ManagerOptions, RuleSet};
pub use metrics::Metrics;
pub use query::{EngineQuery, RuleOrigin, RuleQuery, ServiceQuery};
pub use snapshot::{
    AlertSnapshot, AlertState, AlertingSnapshot, GroupSnapshot, Health, RecordingSnapshot, RuleSnapshot,
};
