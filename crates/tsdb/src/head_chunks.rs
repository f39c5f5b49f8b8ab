//! Full chunks of the head, moved out of memory into files with Prometheus' layout (`chunks_head/`).
//!
//! Here: the files, and chunks by their position in them. Elsewhere: to which series a chunk belongs
//! (`head`). These files are a cache of the log: a damaged one is dropped, and the log is read instead.

pub mod format;
mod reader;
mod store;

pub use format::ChunkPlace;
pub use reader::{LoadedChunk, load, set_all_aside};
pub use store::Store;
