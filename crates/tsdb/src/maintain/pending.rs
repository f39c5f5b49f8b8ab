//! State that one call of maintenance leaves for the next.

use crate::head::{Moment, MovedOutOfOrder, StaleSeries};
use crate::head_chunks::ChunkPlace;
use crate::savepoint::SavedAt;

/// Steps that wait for readers, and times of past steps.
#[derive(Default)]
pub(crate) struct Pending {
    pub truncation: Option<Truncation>,
    pub out_of_order: Option<OutOfOrderTruncation>,
    pub stale: Option<StaleRemoval>,
    pub last_reload_ms: Option<i64>,
    pub last_call_ms: Option<i64>,
    /// Whether the head was cut since blocks were last created from out-of-order samples.
    pub out_of_order_due: bool,
    /// When a block was last cut from the head.
    pub last_cut_ms: Option<i64>,
    /// When ended series were last counted.
    pub stale_counted_ms: Option<i64>,
    /// Snapshots up to this moment may read chunks of removed series.
    pub chunk_files_read: Option<Moment>,
    /// The position of the last savepoint.
    pub saved: Option<SavedAt>,
}

/// A block was cut. Its samples are removed from the head once no snapshot reads them there.
pub(crate) struct Truncation {
    /// The end of the block.
    pub to: i64,
    /// Snapshots up to this moment read the previous head.
    pub moment: Moment,
}

/// The same for out-of-order samples.
pub(crate) struct OutOfOrderTruncation {
    pub moment: Moment,
    /// Chunks that are in blocks.
    pub chunks: Vec<MovedOutOfOrder>,
    /// All of those chunks stand before this place of `chunks_head`.
    pub end: ChunkPlace,
}

/// Series whose samples are in blocks, and which are to be removed.
pub(crate) struct StaleRemoval {
    /// Snapshots up to this moment do not include the blocks.
    pub moment: Moment,
    pub series: Vec<StaleSeries>,
}
