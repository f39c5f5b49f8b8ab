//! Creates a block from the oldest chunk range of the head.
//!
//! 1. The floor is raised: in-order samples before the block's end are no longer accepted; commits in
//!    progress are waited for.
//! 2. The block is written under a temporary name and renamed.
//! 3. The new view is published: new snapshots read the block, and the head only from its end on.

use super::Maintained;
use super::pending::{Pending, Truncation};
use crate::block::BlockError;
use crate::db::Db;
use crate::head::block_source::{HeadSource, Samples};
use crate::head::range_end;
use crate::ids::TimeSpan;

impl Db {
    /// Steps 1 to 3 for the oldest chunk range of the head.
    pub(super) fn cut_head(
        &self,
        now_ms: i64,
        pending: &mut Pending,
        done: &mut Maintained,
    ) -> Result<(), BlockError> {
        let Some(in_head) = self.head.in_order_span().some() else { return Ok(()) };
        let end = range_end(in_head.start(), self.options.min_block_duration_ms);
        let span = TimeSpan::new(in_head.start(), end);
        self.head.raise_floor(end);
        let source = HeadSource::new(&self.head, Samples::InOrder, span);
        let written = self.write_head_block(now_ms, source, span, &[])?;
        self.publish(written, end, done)?;
        pending.out_of_order_due = true;
        pending.last_cut_ms = Some(now_ms);
        pending.truncation = Some(Truncation { to: end, moment: self.head.end_moment() });
        Ok(())
    }
}
