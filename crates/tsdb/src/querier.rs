//! Reading: what several sources have of one series, as one.

pub mod blocks;
pub mod columns;
pub mod identity;
pub mod merge;
pub mod snapshot;
