//! Ferula's own metrics and logs.
//!
//! ```text
//! Counter, Gauge, Histogram, Summary ──▶ Registry::gather ──▶ Vec<MetricFamily> ──▶ (exposition writes the page)
//! info!("text", key = value) ──▶ logging ──▶ one line on standard error
//! ```
//!
//! Here: the instruments, the registry that reads them, the process' own figures, the log lines. Elsewhere: the
//! page's bytes (`ferula-exposition`), who serves them (`ferula-api`). Nothing here starts a task or keeps a
//! lock while user code runs, but for the callbacks of [`Registry::collector`].

mod counter;
mod family;
mod histogram;
pub mod logging;
mod process;
mod registry;
mod summary;

pub use counter::{Counter, Gauge};
pub use family::{CounterVec, Family, GaugeVec, HistogramVec, Instrument, SummaryVec};
pub use histogram::Histogram;
pub use process::register_process_metrics;
pub use registry::Registry;
pub use summary::Summary;
