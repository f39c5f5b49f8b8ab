//! Rule groups: recording and alerting rules, their schedule and state.
//!
//! ```text
//! rule files ─config─▶ Manager ─ one task per group: slot ─▶ Group::evaluate(slot)
//!                                      recording: query ─▶ samples under the rule's name ─▶ store
//!                                      alerting:  query ─▶ pending, firing, resolved ─▶ ALERTS… ─▶ store
//!                                                                     └─▶ AlertSink
//! ```
//!
//! Here: when groups run, how a rule turns its query's result into samples and alerts, how alert state is
//! restored after a restart, snapshots for the API, unit tests of rule files, and backtests over stored
//! history. Elsewhere: the files (`ferula-config`), queries (`ferula-promql`), the template language
//! (`ferula-template`), delivery (behind `AlertSink`).
//!
//! [`Group::evaluate`] is a plain function: given a moment, it queries, appends and returns, so tests can
//! simulate weeks. Only [`Manager`] uses clocks and tasks.

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
