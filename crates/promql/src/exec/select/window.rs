//! Functions over range vectors: one value per series and window.
//!
//! Windows are open on the left. For each series all samples of all windows are read at once, staleness markers
//! are taken out (`samples.rs`), two indices per kind of sample move forward with the steps (`walk.rs`; for series of
//! floats with the same times once, `axis.rs`), and the function (`function.rs`) makes a row of them (`operator.rs`).

mod axis;
mod function;
mod index;
mod operator;
mod samples;
mod walk;

pub(crate) use axis::Axis;
pub(crate) use function::{RangeCall, RangeFunction, windows_one_by_one};
pub(crate) use index::Index;
pub(crate) use operator::{MakeFunction, RangeSource, WindowOperator};
pub(crate) use samples::Samples;
#[cfg(test)]
pub(crate) use walk::Indices;
pub(crate) use walk::{Window, Windows};
