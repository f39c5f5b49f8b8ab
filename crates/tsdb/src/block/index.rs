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

/// A chunk as listed in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Timestamp of its first sample in milliseconds.
    pub min_time: i64,
    /// Timestamp of its last sample in milliseconds.
    pub max_time: i64,
    /// Its position: the segment, counted from 0, in the upper 32 bits, and the offset in the lower ones.
    pub reference: u64,
}

impl ChunkMeta {
    /// The time from its first to its last sample.
    pub fn span(&self) -> TimeSpan {
        TimeSpan::closed(self.min_time, self.max_time)
    }
}
