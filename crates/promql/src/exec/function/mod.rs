//! The functions of the language, one family per file; `table.rs` says which code is behind which name.

pub(crate) mod histogram;
pub(crate) mod info;
pub(crate) mod interpolate;
pub(crate) mod math;
pub(crate) mod rate;
pub(crate) mod table;
