//! Series that have ended leave the head early, as blocks of their own: `stale_series_compaction_threshold`.
//!
//! 1. When enough of the head's series have ended with a staleness marker, their samples are written to blocks, one
//!    for each chunk range, with a hint that says so: such a block does not stand for all series of its time.
//! 2. When no snapshot is left that does not know those blocks, the series are removed, those excepted that went on
//!    meanwhile. The log keeps their records for as long as it has their samples.
//!
//! After a restart they are in the head again, because the log has them; blocks of equal samples are merged later.

use std::sync::atomic::Ordering;

use crate::block::{BlockError, HINT_OUT_OF_ORDER, HINT_STALE_SERIES};
use crate::db::Db;
use crate::head::block_source::HeadSource;
use crate::head::{Moment, StaleSeries};
use crate::ids::TimeSpan;
use crate::maintain::{Maintained, Pending};

/// Series whose samples are in blocks, and which are to be removed.
pub(crate) struct StaleRemoval {
    /// Snapshots up to this moment do not know the blocks.
    moment: Moment,
    series: Vec<StaleSeries>,
}

/// Before 3.10, Prometheus knows only the first: without it, it would take all of the log's samples of that time for being in
/// blocks, and pass over them.
const HINTS: [&str; 2] = [HINT_OUT_OF_ORDER, HINT_STALE_SERIES];
/// All series are looked at, which is not for every second.
const LOOK_EVERY_MS: i64 = 50_000;
/// When the next block is cut within this time, everything goes by itself.
const SOON_MS: i64 = 600_000;

impl Db {
    /// Changes at which share of ended series, from 0 to 1, they leave the head early; 0 for not at all.
    pub fn set_stale_series_threshold(&self, share: f64) {
        self.stale_threshold.store(share.to_bits(), Ordering::Relaxed);
    }

    /// Takes the steps that are due.
    pub(crate) fn compact_stale_series(&self, now_ms: i64, pending: &mut Pending, done: &mut Maintained) {
        self.remove_stale_if_possible(pending, done);
        if pending.stale_looked.is_some_and(|last| (0..LOOK_EVERY_MS).contains(&(now_ms - last))) {
            return;
        }
        pending.stale_looked = Some(now_ms);
        let stale = self.head.stale_series();
        self.maintenance.stale_series.set(stale.len() as f64);
        let threshold = f64::from_bits(self.stale_threshold.load(Ordering::Relaxed));
        let reached = threshold > 0.0 && stale.len() as f64 >= threshold * self.head.series_count() as f64;
        let range = self.options.min_block_duration_ms;
        let cut_soon = pending.last_cut.is_some_and(|last| now_ms + SOON_MS > last.saturating_add(range));
        let busy = pending.stale.is_some() || pending.truncation.is_some();
        if stale.is_empty() || !reached || cut_soon || busy || !self.goes_on() {
            return;
        }
        self.maintenance.stale_compactions.inc();
        let (written, took) = self.options.stopwatch.time(|| self.write_stale_blocks(now_ms, &stale, done));
        match written {
            Ok(()) => {
                self.maintenance.stale_compaction_duration.observe_duration(took);
                let moment = self.head.end_moment();
                pending.stale = Some(StaleRemoval { moment, series: stale });
                // Most often nobody reads, and the second step can follow at once.
                self.remove_stale_if_possible(pending, done);
            }
            Err(error) => {
                self.maintenance.stale_compactions_failed.inc();
                done.errors.push(format!("compacting stale series: {error}"));
            }
        }
    }

    fn remove_stale_if_possible(&self, pending: &mut Pending, done: &mut Maintained) {
        if let Some(removal) = pending.stale.take_if(|removal| self.head.is_past(removal.moment)) {
            done.removed_series += self.head.remove_stale(&removal.series);
            // Who found chunks of such a series a moment ago may still be about to read them.
            pending.chunk_files_read = Some(self.head.end_moment());
        }
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
