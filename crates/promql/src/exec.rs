//! The operators of a running query, over batches `[series][step]`.
//!
//! Every operator publishes the labels of its series in a table (`series.rs`) and yields rows that point into it
//! (`batch.rs`); an operator that needs all rows of its operands first is an `Evaluate` (`collected.rs`). Operators are
//! given their operands; `crate::build` builds and drives them.

pub(crate) mod aggregate;
pub(crate) mod batch;
pub(crate) mod binary;
pub(crate) mod bitmap;
pub(crate) mod collected;
pub(crate) mod context;
pub(crate) mod function;
pub(crate) mod merge;
pub(crate) mod operator;
pub(crate) mod scalars;
pub(crate) mod scope;
pub(crate) mod select;
pub(crate) mod series;
pub(crate) mod sorting;
