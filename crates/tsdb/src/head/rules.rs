//! How the head encodes samples: when a chunk is full, and in which encodings.
//!
//! Everything is fixed when the database is opened, except for the encoding of floats, which a configuration
//! reload may change. A commit uses one value of it throughout.

use std::sync::atomic::{AtomicBool, Ordering};

use ferula_chunk::FloatEncoding;

/// Determines how a sample is added to a chunk; see [`super::Series`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkRules {
    /// Chunks end at multiples of this range, in milliseconds.
    pub range: i64,
    /// Target number of samples in a chunk of floats.
    pub samples: u16,
    /// The encoding of new chunks of floats.
    pub floats: FloatEncoding,
    /// Whether start timestamps are kept: a chunk of floats without them must not continue when the encoding
    /// changes.
    pub start_timestamps: bool,
    /// Whether new chunks of histograms use the encodings with start timestamps.
    pub histogram_starts: bool,
}

/// The rules of a head, including the part that may change.
#[derive(Debug)]
pub(crate) struct Rules {
    first: ChunkRules,
    xor2: AtomicBool,
}

impl Rules {
    /// Creates rules that initially equal `first`.
    pub fn new(first: ChunkRules) -> Self {
        Rules { first, xor2: AtomicBool::new(first.floats == FloatEncoding::Xor2) }
    }

    /// The current rules.
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

    /// Sets the encoding of new chunks of floats.
    pub fn set_floats(&self, encoding: FloatEncoding) {
        self.xor2.store(encoding == FloatEncoding::Xor2, Ordering::Relaxed);
    }
}
