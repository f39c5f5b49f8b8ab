//! Maintenance of a database at a time that its owner states: creates blocks from the head, merges small
//! blocks into larger ones, removes old blocks, and opens blocks from elsewhere.
//!
//! `due` decides: it turns the state and the time into a list of steps. Each step has its own file:
//! `cut_head`, `truncate`, `out_of_order`, `stale_series`, `merge_blocks`, `reload_blocks`. `write` has their
//! common part, `pending` the state between two calls, and `doubts` observations for people to check. A
//! savepoint (`savepoint`) is taken when the owner requests it.
//!
//! Nothing waits for readers: what a long query still reads is removed by a later call. Each step may be the
//! last one before a crash; the next start handles what it leaves.

mod cut_head;
mod doubts;
mod due;
mod merge_blocks;
mod out_of_order;
pub(crate) mod pending;
mod reload_blocks;
mod savepoint;
mod stale_series;
mod truncate;
mod write;

use std::sync::Arc;

use ferula_model::Timestamp;

use crate::block::{BlockMeta, Ulid};
use crate::damage::Damage;
use crate::db::Db;
use crate::head::{Moment, StaleSeries};
use crate::retention::Reason;
use crate::wal::checkpoint::CheckpointStats;
pub use doubts::Doubt;
use due::{Removal, Stale, State, Step};
use pending::Pending;

/// What a call of [`Db::maintain`] did.
#[derive(Debug, Default)]
pub struct Maintained {
    /// New blocks.
    pub written: Vec<BlockMeta>,
    /// Blocks that appeared in the directory and were opened.
    pub opened: usize,
    /// Removed blocks, with the reason if it was retention.
    pub removed: Vec<(Ulid, Option<Reason>)>,
    pub removed_series: usize,
    /// The time to which the head was truncated.
    pub truncated_to: Option<Timestamp>,
    /// The last segment in the checkpoint of the log.
    pub checkpoint: Option<(u32, CheckpointStats)>,
    /// Blocks whose directories have disappeared, although this process did not remove them.
    pub vanished: Vec<Ulid>,
    /// By how many milliseconds the clock deviated since the last call; negative if it went backwards.
    pub clock_jump_ms: Option<i64>,
    /// Suspicious observations, on which nothing is done. They are repeated at every call while they last.
    pub doubts: Vec<Doubt>,
    /// Damage that was not known before.
    pub damages: Vec<Damage>,
    /// What failed; all else was done, and it is tried again next time.
    pub errors: Vec<String>,
}

/// Although calls come every minute, two of them can be further apart than this: then the clock was set, or
/// the machine was suspended.
const CLOCK_AHEAD_MS: i64 = 3_600_000;
/// Smaller backward jumps of the clock are not reported.
const CLOCK_BACK_MS: i64 = 60_000;

/// The state of one call, in addition to what is pending.
#[derive(Default)]
struct Call {
    cut_failed: bool,
    /// Out-of-order samples that are in blocks could not be removed.
    forget_failed: bool,
    reload_due: bool,
    /// Series that have ended, if they were counted in this call.
    stale: Option<Vec<StaleSeries>>,
}

impl Db {
    /// Does what is due at `now`. Call it about every minute; concurrent calls return immediately.
    pub fn maintain(&self, now: Timestamp) -> Maintained {
        let now_ms = now.millis();
        let mut done = Maintained::default();
        let Some(mut pending) = self.pending.try_lock() else { return done };
        self.maintenance.compactions_triggered.inc();
        let since = pending.last_call_ms.replace(now_ms).map(|last| now_ms.saturating_sub(last));
        done.clock_jump_ms = since.filter(|since| !(-CLOCK_BACK_MS..CLOCK_AHEAD_MS).contains(since));
        let mut call = Call::default();
        loop {
            let steps = due::steps(&self.state(now_ms, &pending, &call));
            if steps.is_empty() {
                break;
            }
            for step in steps {
                self.take(step, now_ms, &mut pending, &mut call, &mut done);
            }
        }
        done.doubts = self.doubts(now_ms);
        self.head.release_slots();
        if let Err(error) = self.head.flush_chunks() {
            done.errors.push(format!("writing head chunks: {error}"));
        }
        done
    }

    /// Whether the head spans more than one and a half blocks, so that [`maintain`](Self::maintain) would cut
    /// one. Cheap enough to be called after every write.
    pub fn head_is_full(&self) -> bool {
        due::head_is_full(self.head.in_order_span(), self.options.min_block_duration_ms)
    }

    fn state(&self, now_ms: i64, pending: &Pending, call: &Call) -> State {
        let removal = |moment: Option<Moment>| match moment {
            None => Removal::None,
            Some(moment) if self.head.is_past(moment) => Removal::Possible,
            Some(_) => Removal::WaitsForReaders,
        };
        State {
            now_ms,
            open: self.head.is_open(),
            in_order: self.head.in_order_span(),
            block_ms: self.options.min_block_duration_ms,
            truncation: removal(pending.truncation.as_ref().map(|truncation| truncation.moment)),
            out_of_order_removal: match removal(
                pending.out_of_order.as_ref().map(|truncation| truncation.moment),
            ) {
                Removal::Possible if call.forget_failed => Removal::WaitsForReaders,
                removal => removal,
            },
            stale_removal: removal(pending.stale.as_ref().map(|removal| removal.moment)),
            out_of_order_due: pending.out_of_order_due,
            cut_failed: call.cut_failed,
            last_cut_ms: pending.last_cut_ms,
            stale: Stale {
                counted_ms: pending.stale_counted_ms,
                counted: call.stale.as_ref().map(|stale| (stale.len(), self.head.series_count())),
                threshold: self.stale_threshold(),
            },
            reload_due: call.reload_due,
            last_reload_ms: pending.last_reload_ms,
            // If the clock did not advance between two reloads, one would always be due.
            reload_interval_ms: self.options.reload_interval_ms.max(1),
        }
    }

    /// Executes one step.
    fn take(&self, step: Step, now_ms: i64, pending: &mut Pending, call: &mut Call, done: &mut Maintained) {
        match step {
            Step::TruncateHead => {
                if let Some(truncation) = pending.truncation.take() {
                    self.truncate_head(&truncation, pending, done);
                }
            }
            Step::ForgetOutOfOrder => {
                if let Some(truncation) = pending.out_of_order.take()
                    && let Err(error) = self.forget_out_of_order(&truncation)
                {
                    done.errors.push(format!("truncating the out-of-order log: {error}"));
                    // The next call tries again.
                    call.forget_failed = true;
                    pending.out_of_order = Some(truncation);
                }
            }
            Step::CutHead => match self.cut_head(now_ms, pending, done) {
                Ok(()) => call.reload_due = true,
                Err(error) => {
                    call.cut_failed = true;
                    self.maintenance.compactions_failed.inc();
                    done.errors.push(format!("compacting the head: {error}"));
                }
            },
            Step::CutOutOfOrder => {
                pending.out_of_order_due = false;
                if let Err(error) = self.cut_out_of_order(now_ms, pending, done) {
                    done.errors.push(format!("compacting out-of-order samples: {error}"));
                }
            }
            Step::RemoveStale => {
                if let Some(removal) = pending.stale.take() {
                    self.remove_stale(&removal, pending, done);
                }
            }
            Step::CountStale => {
                pending.stale_counted_ms = Some(now_ms);
                call.stale = Some(self.count_stale());
            }
            Step::CutStale => {
                if let Some(stale) = call.stale.take() {
                    self.cut_stale(now_ms, stale, pending, done);
                }
            }
            Step::MergeBlocks => self.merge_blocks(now_ms, done),
            Step::ReloadBlocks => {
                pending.last_reload_ms = Some(now_ms);
                call.reload_due = false;
                self.reload_blocks(now_ms, done);
            }
        }
    }

    fn doubts(&self, now_ms: i64) -> Vec<Doubt> {
        let metas: Vec<Arc<BlockMeta>> = self.views.get().blocks.iter().map(|block| block.meta()).collect();
        let metas: Vec<&BlockMeta> = metas.iter().map(|meta| &**meta).collect();
        let block_ms = self.options.min_block_duration_ms;
        doubts::doubts(now_ms, self.head.in_order_span(), &metas, block_ms, &self.retention.lock())
    }
}
