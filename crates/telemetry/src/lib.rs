//! Ferula's own metrics and logs.
//!
//! ```text
//! Counter, Gauge, Histogram, Summary ──▶ Registry::gather ──▶ Vec<MetricFamily> ──▶ (exposition writes the page)
//! info!("text", key = value) ──▶ logging ──▶ one line on standard error
//! ```
//!
//! Here: the instruments, the registry that reads them, the metrics of the process, the log lines. Elsewhere: the bytes
//! of the page (`ferula-exposition`) and the endpoint that serves it (`ferula-api`). Nothing here starts a task. No
//! lock is held while a caller's code runs. Time is passed in: see [`Registry::with_uptime`].

mod counter;
mod family;
mod histogram;
pub mod logging;
mod machine;
mod native;
mod process;
mod registry;
mod summary;

pub use counter::{Counter, Gauge};
pub use family::{Family, Instrument};
pub use histogram::Histogram;
pub use machine::register_machine_metrics;
pub use process::register_process_metrics;
pub use registry::{CounterVec, GaugeVec, HistogramVec, Registry, SummaryVec};
pub use summary::Summary;
