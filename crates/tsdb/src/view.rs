//! What a snapshot sees: the blocks, and the start of the head.

use std::sync::Arc;

use crate::block::Block;
use crate::querier::identity::IdentityCache;
use crate::sync::{RwLock, rank};

/// Blocks and head at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Blocks in order of their start.
    pub blocks: Arc<[Arc<Block>]>,
    /// In-order samples of the head before this time are in blocks.
    pub head_min: i64,
    /// Identifies the same series in different blocks.
    pub identities: Arc<IdentityCache>,
}

/// The view for new snapshots.
pub(crate) struct Views(RwLock<View, rank::View>);

impl Views {
    /// Creates the first view with these blocks.
    pub fn new(blocks: Vec<Arc<Block>>, head_min: i64) -> Self {
        Views(RwLock::new(View { blocks: sorted(blocks), head_min, identities: Arc::default() }))
    }

    /// The current view.
    pub fn get(&self) -> View {
        self.0.read().clone()
    }

    /// Replaces the blocks, and raises the start of the head.
    pub fn publish(&self, blocks: Vec<Arc<Block>>, head_min: i64) {
        let mut view = self.0.write();
        view.identities.retain(&blocks.iter().map(|block| block.meta().ulid).collect());
        view.blocks = sorted(blocks);
        view.head_min = view.head_min.max(head_min);
    }
}

fn sorted(mut blocks: Vec<Arc<Block>>) -> Arc<[Arc<Block>]> {
    blocks.sort_by_key(|block| {
        let meta = block.meta();
        (meta.min_time, meta.max_time, meta.ulid)
    });
    blocks.into()
}
