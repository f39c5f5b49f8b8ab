//! Series that have ended leave the head early, as blocks of their own: `stale_series_compaction_threshold`.
//!
//! 1. When enough of the head's series have ended with a staleness marker, their samples are written to
//!    blocks, one for each chunk range, with a hint: such a block does not contain all series of its time.
//! 2. When every remaining snapshot includes those blocks, the series are removed, except for those that have
//!    continued. The log keeps their records for as long as it has their samples.
//!
//! After a restart they are in the head again, because the log has them; blocks with equal samples are merged
//! later.

use std::sync::atomic::Ordering;

use super::Maintained;
use super::pending::{Pending, StaleRemoval};
use crate::block::{BlockError, HINT_OUT_OF_ORDER, HINT_STALE_SERIES};
use crate::db::Db;
use crate::head::StaleSeries;
use crate::head::block_source::HeadSource;
use crate::ids::TimeSpan;

/// Before 3.10, Prometheus knows only the first hint: without it, it would assume that all samples in the log
/// from that time are in blocks, and skip them.
const HINTS: [&str; 2] = [HINT_OUT_OF_ORDER, HINT_STALE_SERIES];

impl Db {
    /// Sets the share of ended series, from 0 to 1, at which they leave the head early; 0 disables this.
    pub fn set_stale_series_threshold(&self, share: f64) {
        self.stale_threshold.store(share.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn stale_threshold(&self) -> f64 {
        f64::from_bits(self.stale_threshold.load(Ordering::Relaxed))
    }

    /// Finds the series that have ended.
    pub(super) fn count_stale(&self) -> Vec<StaleSeries> {
        let stale = self.head.stale_series();
        self.maintenance.stale_series.set(stale.len() as f64);
        stale
    }

    /// Creates blocks from series that have ended.
    pub(super) fn cut_stale(
        &self,
        now_ms: i64,
        stale: Vec<StaleSeries>,
        pending: &mut Pending,
        done: &mut Maintained,
    ) {
        self.maintenance.stale_compactions.inc();
        let (written, took) = self.options.stopwatch.time(|| self.write_stale_blocks(now_ms, &stale, done));
        match written {
            Ok(()) => {
                self.maintenance.stale_compaction_duration.observe_duration(took);
                pending.stale = Some(StaleRemoval { moment: self.head.end_moment(), series: stale });
            }
            Err(error) => {
                self.maintenance.stale_compactions_failed.inc();
                done.errors.push(format!("compacting stale series: {error}"));
            }
        }
    }

    pub(super) fn remove_stale(&self, removal: &StaleRemoval, pending: &mut Pending, done: &mut Maintained) {
        done.removed_series += self.head.remove_stale(&removal.series);
        // A reader that has just found chunks of such a series may still be about to read them.
        pending.chunk_files_read = Some(self.head.end_moment());
    }

    fn write_stale_blocks(
        &self,
        now_ms: i64,
        stale: &[StaleSeries],
        done: &mut Maintained,
    ) -> Result<(), BlockError> {
        let Some(in_head) = self.head.in_order_span().some() else { return Ok(()) };
        let range = self.options.min_block_duration_ms;
        let mut start = in_head.start().div_euclid(range) * range;
        while start <= in_head.last() {
            let end = start.saturating_add(range);
            let span = TimeSpan::new(start, end);
            let source = HeadSource::of_stale(&self.head, stale, span);
            let written = self.write_head_block(now_ms, source, span, &HINTS)?;
            let head_min = self.views.get().head_min;
            self.publish(written, head_min, done)?;
            start = end;
        }
        Ok(())
    }
}
