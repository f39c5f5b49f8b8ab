//! Running a plan: operators over batches `[series][step]`.
//!
//! Every operator publishes the labels of its series in a table (`series.rs`) and then yields rows that point
//! into it (`batch.rs`). `build.rs` turns plan nodes into operators; `run.rs` drives the root and collects
//! the answer.

pub(crate) mod aggregate;
pub(crate) mod batch;
pub(crate) mod binary;
pub(crate) mod bitmap;
pub(crate) mod build;
pub(crate) mod context;
pub(crate) mod function;
pub(crate) mod merge;
pub(crate) mod operator;
mod run;
pub(crate) mod scalars;
pub(crate) mod select;
pub(crate) mod series;
pub(crate) mod sorting;

pub(crate) use run::run;
