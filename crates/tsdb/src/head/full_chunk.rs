//! A chunk that is no longer in memory.

use ferula_chunk::Encoding;

use crate::head_chunks::ChunkPlace;
use crate::ids::TimeSpan;

/// A chunk that was moved to `chunks_head`.
#[derive(Clone, Copy, Debug)]
pub struct FullChunk {
    /// Timestamp of its first sample in milliseconds.
    pub min: i64,
    pub place: ChunkPlace,
    /// Milliseconds from its first to its last sample.
    span: u32,
    pub samples: u16,
    pub encoding: Encoding,
}

impl FullChunk {
    /// A chunk at `place`.
    pub fn new(place: ChunkPlace, min: i64, max: i64, samples: u16, encoding: Encoding) -> Self {
        // Chunks end with their range, which is shorter than 49 days.
        let span = u32::try_from(max.saturating_sub(min)).unwrap_or(u32::MAX);
        FullChunk { min, place, span, samples, encoding }
    }

    /// Timestamp of its last sample in milliseconds.
    pub fn max(&self) -> i64 {
        self.min.saturating_add(i64::from(self.span))
    }

    /// The time from its first to its last sample.
    pub fn time_span(&self) -> TimeSpan {
        TimeSpan::closed(self.min, self.max())
    }
}
