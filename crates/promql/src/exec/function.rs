//! The functions of the language, one family per file; `table.rs` maps each function to its code.

pub(crate) mod absent;
pub(crate) mod call;
pub(crate) mod change;
pub(crate) mod changes;
pub(crate) mod ends_over_time;
pub(crate) mod extended_rate;
pub(crate) mod histogram;
pub(crate) mod info;
pub(crate) mod instant_rate;
pub(crate) mod interpolate;
pub(crate) mod label;
pub(crate) mod math;
pub(crate) mod over_time;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod scalar;
pub(crate) mod sort;
pub(crate) mod sorted_window;
pub(crate) mod start_time;
pub(crate) mod stretch;
pub(crate) mod table;
pub(crate) mod time;

#[cfg(test)]
mod tests;
