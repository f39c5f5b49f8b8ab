//! Readers and writers of the files, for programs that inspect data directories and for fuzzing.
//!
//! Users of a database do not need this module. It may change along with the formats.

/// Segments of the log and of the out-of-order log, and their records.
pub mod wal {
    pub use crate::ids::LogRef;
    pub use crate::wal::format::{checkpoint_path, list_checkpoints, list_segments, segment_path};
    pub use crate::wal::reader::repair;
    pub use crate::wal::record::{LoggedSample, RecordKind, Records, begin_series, put_samples, put_series};
    pub use crate::wal::{Compression, SegmentReader, Writer, WriterOptions};
}

/// The head's chunk files.
pub mod head_chunks {
    pub use crate::head_chunks::format::{file_path, read_chunk};
    pub use crate::head_chunks::{ChunkPlace, LoadedChunk, load};
}

/// The files of a block.
pub mod block {
    pub use crate::block::chunks::{ChunkReader, ChunkScanner};
    pub use crate::block::index::{ChunkMeta, IndexReader, IndexWriter, SeriesEntry, SymbolTable};
    pub use crate::block::{Interval, Tombstones};
    pub use crate::postings::select;
}

/// The frames of a savepoint.
pub mod savepoint {
    pub use crate::savepoint::format::{FrameKind, end_body, frames, put_frame, put_header};
}
