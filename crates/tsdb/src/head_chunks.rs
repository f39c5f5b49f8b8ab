//! Full chunks of the head, moved out of memory into files of Prometheus' layout (`chunks_head/`).
//!
//! Here: the files, and chunks by their place in them. Elsewhere: which series a chunk belongs to (`head`).
//! These files are a cache of the log: when one is damaged, it is dropped and the log is read instead.

pub mod format;
mod reader;
mod store;

pub use format::ChunkPlace;
pub use reader::{LoadedChunk, load};
pub use store::Store;
