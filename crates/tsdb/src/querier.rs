//! Reads samples, and merges those of one series from several sources.

pub mod blocks;
pub mod chunks;
pub mod columns;
pub mod identity;
pub mod merge;
pub mod snapshot;
