//! The chunk segments of a block; see docs/format/chunks.md.

pub mod format;
mod reader;
mod writer;

pub use reader::{ChunkReader, ChunkScanner};
pub use writer::ChunkWriter;
