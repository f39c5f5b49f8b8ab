//! What one call of maintenance leaves to the next.

use crate::head::{Moment, MovedOutOfOrder, StaleSeries};
use crate::savepoint::SavedAt;

/// Steps that wait for readers, and when things were done last.
#[derive(Default)]
pub(crate) struct Pending {
    pub truncation: Option<Truncation>,
    pub out_of_order: Option<OutOfOrderTruncation>,
    pub stale: Option<StaleRemoval>,
    pub last_reload_ms: Option<i64>,
    pub last_call_ms: Option<i64>,
    /// Whether the head was cut since blocks were made of out-of-order samples.
    pub out_of_order_due: bool,
    /// When a block was cut from the head last.
    pub last_cut_ms: Option<i64>,
    /// When series that have ended were counted last.
    pub stale_counted_ms: Option<i64>,
    /// Snapshots up to this moment may read chunks of series that are removed.
    pub chunk_files_read: Option<Moment>,
    /// Where the last savepoint was taken.
    pub saved: Option<SavedAt>,
}

/// A block was cut; the head forgets what it holds once nobody reads it there.
pub(crate) struct Truncation {
    /// The end of the block.
    pub to: i64,
    /// Snapshots up to this moment read the head as it was.
    pub moment: Moment,
}

/// The same for out-of-order samples.
pub(crate) struct OutOfOrderTruncation {
    pub moment: Moment,
    /// Chunks that are in blocks.
    pub chunks: Vec<MovedOutOfOrder>,
    /// Segments of the out-of-order log up to this one are not needed any more.
    pub segment: Option<u32>,
}

/// Series whose samples are in blocks, and which are to be removed.
pub(crate) struct StaleRemoval {
    /// Snapshots up to this moment do not know the blocks.
    pub moment: Moment,
    pub series: Vec<StaleSeries>,
}
