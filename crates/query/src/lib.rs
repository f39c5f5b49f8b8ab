//! Queries as a service, below HTTP and rules.
//!
//! ```text
//! QueryRequest ─▶ wait for a place ─▶ queries.active ─▶ engine, on a thread that may block ─▶ log, metrics
//!                   └ timeout, client gone, stopped by id, shutdown ─▶ QueryControl
//! ```
//!
//! Here: how many queries run at once and for how long, the threads that a large one may borrow (`cores.rs`), the records kept of each, and the list of running queries.
//! Elsewhere: the language and its evaluation (`ferula-promql`), parameters and answers (`ferula-api`), the schedule of
//! rules (`ferula-rules`).
//!
//! Always true: queries of clients and of rules share the places, the metrics, the log and the file; time is read
//! only from the [`Clock`](ferula_runtime::Clock).

mod active_file;
mod completed;
mod cores;
mod log;
mod lookup;
mod metrics;
pub mod reads;
mod recent;
mod request;
mod running;
mod service;

pub use active_file::ActiveFile;
pub use completed::CompletedQuery;
pub use cores::Cores;
pub use lookup::Lookup;
pub use recent::{RecentQueries, TopQueries, TopQuery};
pub use request::{EvaluationTime, Origin, QueryRequest};
pub use running::RunningQuery;
pub use service::{AdmissionError, AdmittedQuery, Overdue, QueryGuard, QueryService, ServiceOptions};
