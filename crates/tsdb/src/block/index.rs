//! The index of a block: symbols, series, postings; see docs/format/index.md.
//!
//! `format` has the table of contents and the symbol table, `writer` and `reader` the file as a whole.

pub mod format;
mod reader;
mod writer;

pub use format::SymbolTable;
pub use reader::{IndexReader, SeriesEntry};
pub use writer::IndexWriter;

use crate::ids::TimeSpan;

/// A chunk as the index names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Milliseconds since the epoch of its first sample.
    pub min_time: i64,
    /// Milliseconds since the epoch of its last sample.
    pub max_time: i64,
    /// Where it is: segment in the upper 32 bits, from 0, offset in the lower ones.
    pub reference: u64,
}

impl ChunkMeta {
    /// From its first to its last sample.
    pub fn span(&self) -> TimeSpan {
        TimeSpan::closed(self.min_time, self.max_time)
    }
}
