//! What a database does to itself, when its owner says what time it is: blocks out of the head, larger blocks out of
//! small ones, old blocks away, blocks of others taken in.
//!
//! `due` decides: the state and the time in, a list of steps out. One file a step acts: `cut_head`, `truncate`,
//! `out_of_order`, `stale_series`, `merge_blocks`, `reload_blocks`; `write` has what they share, `pending` what one call
//! leaves to the next, `doubts` what a person should look at. `savepoint` is taken when the owner asks for it.
//!
//! Nothing waits for readers: with a long query under way, what it still reads is removed at a later call. Each step may
//! be the last before a crash; what it leaves is found at the next start.

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

use crate::block::{BlockMeta, Ulid};
use crate::db::Db;
use crate::head::{Moment, StaleSeries};
use crate::retention::Reason;
use crate::wal::checkpoint::CheckpointStats;
pub use doubts::Doubt;
use due::{Removal, Stale, State, Step};
use pending::Pending;

/// What one call of [`Db::maintain`] did.
#[derive(Debug, Default)]
pub struct Maintained {
    /// Blocks that were written.
    pub written: Vec<BlockMeta>,
    /// Blocks that appeared in the directory and were opened.
    pub opened: usize,
    /// Blocks that were removed, with the reason when it was retention.
    pub removed: Vec<(Ulid, Option<Reason>)>,
    /// Series that left the head.
    pub removed_series: usize,
    /// The head was truncated to this time.
    pub truncated_to: Option<i64>,
    /// The log was checkpointed up to this segment.
    pub checkpoint: Option<(u32, CheckpointStats)>,
    /// Blocks whose directories are gone, though nobody here removed them.
    pub vanished: Vec<Ulid>,
    /// The clock moved by this many milliseconds since the last call, backwards when negative, and not at its own pace.
    pub clock_jump_ms: Option<i64>,
    /// What looks wrong and stays as it is. The same at every call, for as long as it lasts.
    pub doubts: Vec<Doubt>,
    /// What failed; all else was done, and it is tried again next time.
    pub errors: Vec<String>,
}

/// Calls that are further apart than this, though they come every minute, tell of a clock that was set, or of a machine
/// that slept.
const CLOCK_AHEAD_MS: i64 = 3_600_000;
/// A clock is not set back by more than this without a word.
const CLOCK_BACK_MS: i64 = 60_000;

/// What one call knows beside what is pending.
#[derive(Default)]
struct Call {
    cut_failed: bool,
    reload_due: bool,
    /// Series that have ended, when they were counted in this call.
    stale: Option<Vec<StaleSeries>>,
}

impl Db {
    /// Does what is due at `now_ms`. Call it every minute or so; calls while one is under way return at once.
    pub fn maintain(&self, now_ms: i64) -> Maintained {
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

    /// Whether the head spans more than one and a half blocks, so that [`maintain`](Self::maintain) would cut one.
    /// Cheap enough to be asked after every write.
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
            out_of_order_removal: removal(pending.out_of_order.as_ref().map(|truncation| truncation.moment)),
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
            // With less than a moment between two reloads there would always be one due.
            reload_interval_ms: self.options.reload_interval_ms.max(1),
        }
    }

    /// Takes one step.
    fn take(&self, step: Step, now_ms: i64, pending: &mut Pending, call: &mut Call, done: &mut Maintained) {
        match step {
            Step::TruncateHead => {
                if let Some(truncation) = pending.truncation.take() {
                    self.truncate_head(&truncation, pending, done);
                }
            }
            Step::ForgetOutOfOrder => {
                if let Some(truncation) = pending.out_of_order.take() {
                    self.forget_out_of_order(&truncation, done);
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
