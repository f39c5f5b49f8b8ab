//! How the head writes samples: when a chunk is full, and in which encodings.
//!
//! Everything is fixed when the database is opened, but for the encoding of floats, which a reload of the configuration may
//! change; a commit goes by one value of it from its beginning to its end.

use std::sync::atomic::{AtomicBool, Ordering};

use ferula_chunk::FloatEncoding;

/// What decides how a sample goes into a chunk; see [`super::Series`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkRules {
    /// Chunks end where a range of this length ends, in milliseconds.
    pub range: i64,
    /// Samples that a chunk of floats should have.
    pub samples: u16,
    /// The encoding of new chunks of floats.
    pub floats: FloatEncoding,
    /// Start timestamps are kept: a chunk of floats that has none must not continue when the encoding changes.
    pub start_timestamps: bool,
    /// New chunks of histograms are of the encodings that have start timestamps.
    pub histogram_starts: bool,
}

/// The rules of a head, and the part of them that may change.
#[derive(Debug)]
pub(crate) struct Rules {
    first: ChunkRules,
    xor2: AtomicBool,
}

impl Rules {
    /// Rules that are `first` until something is changed.
    pub fn new(first: ChunkRules) -> Self {
        Rules { first, xor2: AtomicBool::new(first.floats == FloatEncoding::Xor2) }
    }

    /// The rules of this moment.
    pub fn now(&self) -> ChunkRules {
        ChunkRules { floats: self.floats(), ..self.first }
    }

    /// Length of the chunk range in milliseconds.
    pub fn range(&self) -> i64 {
        self.first.range
    }

    /// Whether start timestamps are logged.
    pub fn start_timestamps(&self) -> bool {
        self.first.start_timestamps
    }

    /// The encoding of new chunks of floats.
    pub fn floats(&self) -> FloatEncoding {
        if self.xor2.load(Ordering::Relaxed) { FloatEncoding::Xor2 } else { FloatEncoding::Xor }
    }

    /// Changes the encoding of new chunks of floats.
    pub fn set_floats(&self, encoding: FloatEncoding) {
        self.xor2.store(encoding == FloatEncoding::Xor2, Ordering::Relaxed);
    }
}
