//! Queries as a service, below HTTP and rules.
//!
//! ```text
//! QueryRequest ─▶ wait for a place ─▶ queries.active ─▶ engine, on a thread that may block ─▶ log, metrics
//!                   └ timeout, client gone, stopped by id, shutdown ─▶ QueryControl
//! ```
//!
//! Here: how many queries run at once and for how long, what is recorded about each, and the list of those that run.
//! Elsewhere: the language and its evaluation (`ferula-promql`), parameters and answers (`ferula-api`), when rules are
//! evaluated (`ferula-rules`).
//!
//! Always true: clients' queries and those of rules share the places, the metrics, the log and the file; time is read
//! from the [`Clock`](ferula_runtime::Clock) only.

mod active_file;
mod completed;
mod log;
mod lookup;
mod metrics;
mod recent;
mod request;
mod running;
mod service;

pub use active_file::ActiveFile;
pub use completed::CompletedQuery;
pub use lookup::{Lookup, LookupGuard};
pub use recent::{RecentQueries, TopQueries, TopQuery};
pub use request::{EvaluationTime, Origin, QueryRequest};
pub use running::RunningQuery;
pub use service::{AdmissionError, AdmittedQuery, QueryGuard, QueryService, ServiceOptions};
