//! Blocks out of the samples that came out of order, and forgetting those.

use std::io;

use super::Maintained;
use super::pending::{OutOfOrderTruncation, Pending};
use crate::block::{BlockError, HINT_OUT_OF_ORDER};
use crate::db::Db;
use crate::head::block_source::{HeadSource, Samples};
use crate::head::range_end;
use crate::ids::TimeSpan;
use crate::options::WBL_DIR;
use crate::wal::format::{list_segments, segment_path};

impl Db {
    /// Blocks out of the samples that came out of order, one for each chunk range.
    pub(super) fn cut_out_of_order(
        &self,
        now_ms: i64,
        pending: &mut Pending,
        done: &mut Maintained,
    ) -> Result<(), BlockError> {
        let Some(out_of_order) = self.head.out_of_order_span().some() else { return Ok(()) };
        let segment = self.head.cut_out_of_order_log();
        let next = segment.map_err(|error| BlockError::io(&self.dir.join(WBL_DIR), error))?;
        let segment = next.and_then(|next| next.checked_sub(1));
        let chunks = self.head.move_out_of_order_samples();
        let range = self.options.min_block_duration_ms;
        let mut start = range_end(out_of_order.start(), range).saturating_sub(range);
        while start <= out_of_order.last() {
            let end = start.saturating_add(range);
            let span = TimeSpan::new(start, end);
            let source = HeadSource::new(&self.head, Samples::OutOfOrder, span);
            let written = self.write_head_block(now_ms, source, span, &[HINT_OUT_OF_ORDER])?;
            self.publish(written, i64::MIN, done)?;
            start = end;
        }
        pending.out_of_order = Some(OutOfOrderTruncation { moment: self.head.end_moment(), chunks, segment });
        Ok(())
    }

    pub(super) fn forget_out_of_order(&self, truncation: &OutOfOrderTruncation, done: &mut Maintained) {
        let ((), took) =
            self.options.stopwatch.time(|| self.head.forget_out_of_order_chunks(&truncation.chunks));
        self.maintenance.head_gc_duration.observe_duration(took);
        let wbl = self.dir.join(WBL_DIR);
        let removed = truncation.segment.map_or(Ok(()), |last| {
            for segment in list_segments(&*self.disk, &wbl)?.iter().filter(|segment| segment.number <= last) {
                self.disk.remove_file(&segment_path(&wbl, segment.number))?;
            }
            Ok(())
        });
        if let Err(error) = removed {
            let error: io::Error = error;
            done.errors.push(format!("truncating the out-of-order log: {error}"));
        }
    }
}
