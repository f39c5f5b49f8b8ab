//! Plans and runs PromQL queries over any storage.
//!
//! ```text
//! text ─parser─▶ Expr ─plan::lower─▶ Node ─plan::rewrite─▶ Node ─build─▶ tree of operators ─build::run─▶ QueryOutcome
//!                                                             └─ every selector selected, one freeze ─┘
//! ```
//!
//! Three floors: `plan` knows no operator; the operators (`exec`) know plan nodes but not how they are built; `build` knows
//! both. Options and grid lie below them, `engine.rs` above.
//!
//! Here: limits, the plan, operators over batches `[series][step]`, annotations, results as values. Elsewhere:
//! the grammar (`ferula-promql-syntax`), where samples are kept (`ferula-storage` and the stores behind it), JSON and HTTP.
//!
//! Always true: a missing sample is a cleared bit and never a NaN; the staleness marker does not leave the
//! scan; windows are open on the left; floats are added in Prometheus' order, and no multiplication is fused with an
//! addition. The engine reads no clock and starts no task: the caller stops
//! a query through [`QueryControl`], and lends it threads by a [`Spread`].

mod annotations;
mod build;
mod control;
mod engine;
mod error;
mod exec;
mod grid;
mod memory;
mod numeric;
mod options;
mod plan;
mod result;
mod spread;
mod stats;

pub use annotations::{Annotation, Annotations, Level};
pub use control::{QueryControl, StopReason};
pub use engine::Engine;
pub use error::QueryError;
pub use ferula_storage::MemoryContract;
pub use grid::Grid;
pub use memory::HeldMemory;
pub use options::{EngineOptions, Features, QueryOptions};
pub use result::{InstantSample, QueryOutcome, QueryValue, RangeSeries, SampleValue};
pub use spread::Spread;
pub use stats::{QueryStats, QueryTimings, StepCount};
