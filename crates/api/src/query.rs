//! Running queries: how many at a time, for how long, and what is written down about each.
//!
//! ```text
//! Asked ─▶ wait for a place ─▶ queries.active ─▶ engine on a blocking thread ─▶ outcome ─▶ query log, metrics
//!            └ timeout, client gone, shutdown ──────────▶ the engine's stop word
//! ```

pub mod active;
pub mod log;
mod runner;

pub use runner::{Admitted, Asked, Origin, QueryRunner, Ran, RunnerOptions, Watch, When};
