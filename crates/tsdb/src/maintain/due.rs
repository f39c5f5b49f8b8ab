//! Decides what is due: turns the state of a database and the time into a list of steps. Nothing is done here
//! and no file is accessed, so every case can be tested as a row of a table.
//!
//! The list contains the steps that can be taken one after the other without checking again. Afterwards, the
//! caller repeats this with the new state, until nothing is due:
//!
//! 1. What earlier steps left until it is no longer read: truncation of the head, removal of out-of-order
//!    chunks.
//! 2. Blocks from a full head, one at a time, because the head must be truncated before the next.
//! 3. Blocks from the out-of-order samples, once after the head was cut.
//! 4. Series that have ended: removing them, counting them, and writing their blocks.
//! 5. Merging and reloading blocks.

use crate::ids::TimeSpan;

/// A step of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Removes what is in a block from the head, and truncates the log.
    TruncateHead,
    /// Removes out-of-order chunks that are in blocks.
    ForgetOutOfOrder,
    /// Creates a block from the oldest chunk range of the head.
    CutHead,
    /// Creates blocks from the out-of-order samples.
    CutOutOfOrder,
    /// Removes series that have ended and are in blocks.
    RemoveStale,
    /// Counts the series that have ended.
    CountStale,
    /// Creates blocks from them.
    CutStale,
    /// Merges blocks.
    MergeBlocks,
    /// Opens blocks that have appeared, and removes those that exceed the retention.
    ReloadBlocks,
}

/// A removal that has to wait for snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Removal {
    #[default]
    None,
    /// Earlier snapshots still read it, or the disk has just refused it.
    WaitsForReaders,
    Possible,
}

/// The inputs of the decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub now_ms: i64,
    /// Whether the database accepts commits. A closing one begins no work.
    pub open: bool,
    /// From the first to the last in-order sample of the head.
    pub in_order: TimeSpan,
    /// Length of a block that is cut from the head.
    pub block_ms: i64,
    pub truncation: Removal,
    pub out_of_order_removal: Removal,
    pub stale_removal: Removal,
    /// Whether the head was cut since blocks were last created from out-of-order samples.
    pub out_of_order_due: bool,
    /// Whether cutting a block has failed in this call; the next call tries again.
    pub cut_failed: bool,
    /// When a block was last cut from the head.
    pub last_cut_ms: Option<i64>,
    pub stale: Stale,
    /// Whether a block was cut in this call, so that blocks may be merged.
    pub reload_due: bool,
    pub last_reload_ms: Option<i64>,
    pub reload_interval_ms: i64,
}

/// The state of series that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stale {
    /// When they were last counted.
    pub counted_ms: Option<i64>,
    /// Their number, and the number of all series, if they were counted in this call.
    pub counted: Option<(usize, usize)>,
    /// The share at which they leave the head, from 0 to 1; 0 disables this.
    pub threshold: f64,
}

/// Counting visits all series, which is too expensive to do every second.
const COUNT_STALE_EVERY_MS: i64 = 50_000;
/// If the next block is cut within this time, ended series leave with it.
const CUT_IS_SOON_MS: i64 = 600_000;

/// Whether a head with these samples spans more than one and a half blocks, so that one is cut.
pub(super) fn head_is_full(in_order: TimeSpan, block_ms: i64) -> bool {
    !in_order.is_empty() && in_order.last().saturating_sub(in_order.start()) > block_ms / 2 * 3
}

/// The steps to take now, in this order. Empty if nothing is due.
pub(super) fn steps(state: &State) -> Vec<Step> {
    let mut steps = Vec::new();
    if state.truncation == Removal::Possible {
        steps.push(Step::TruncateHead);
    }
    if state.out_of_order_removal == Removal::Possible {
        steps.push(Step::ForgetOutOfOrder);
    }
    let truncated = state.truncation == Removal::None;
    if steps.is_empty() && truncated && !state.cut_failed && head_is_full(state.in_order, state.block_ms) {
        steps.push(Step::CutHead);
    }
    let forgotten = state.out_of_order_removal == Removal::None;
    if steps.is_empty() && state.out_of_order_due && truncated && forgotten {
        steps.push(Step::CutOutOfOrder);
    }
    if steps.is_empty() {
        steps.extend(stale_steps(state));
    }
    let passed = |last: i64, interval: i64| !(0..interval).contains(&state.now_ms.saturating_sub(last));
    let reload = state.last_reload_ms.is_none_or(|last| passed(last, state.reload_interval_ms));
    if steps.is_empty() && (state.reload_due || reload) {
        steps.extend([Step::MergeBlocks, Step::ReloadBlocks]);
    }
    steps
}

fn stale_steps(state: &State) -> Vec<Step> {
    let mut steps = Vec::new();
    if state.stale_removal == Removal::Possible {
        steps.push(Step::RemoveStale);
    }
    // A clock that went backwards does not prevent counting.
    let counted = state.stale.counted_ms.map(|last| state.now_ms.saturating_sub(last));
    if !counted.is_some_and(|since| (0..COUNT_STALE_EVERY_MS).contains(&since)) {
        steps.push(Step::CountStale);
    }
    if steps.is_empty() && stale_is_due(state) {
        steps.push(Step::CutStale);
    }
    steps
}

fn stale_is_due(state: &State) -> bool {
    let Some((ended, all)) = state.stale.counted else { return false };
    let reached = state.stale.threshold > 0.0 && ended as f64 >= state.stale.threshold * all as f64;
    let next_cut = state.last_cut_ms.map(|last| last.saturating_add(state.block_ms));
    let cut_is_soon = next_cut.is_some_and(|next| state.now_ms.saturating_add(CUT_IS_SOON_MS) > next);
    let busy = state.stale_removal != Removal::None || state.truncation != Removal::None;
    ended > 0 && reached && !cut_is_soon && !busy && state.open
}

#[cfg(test)]
mod tests {
    use super::Removal::{Possible, WaitsForReaders};
    use super::Step::*;
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// A database with nothing due.
    fn at_rest() -> State {
        State {
            now_ms: 100 * HOUR,
            open: true,
            in_order: TimeSpan::closed(99 * HOUR, 100 * HOUR),
            block_ms: 2 * HOUR,
            truncation: Removal::None,
            out_of_order_removal: Removal::None,
            stale_removal: Removal::None,
            out_of_order_due: false,
            cut_failed: false,
            last_cut_ms: None,
            stale: Stale { counted_ms: Some(100 * HOUR), counted: None, threshold: 0.0 },
            reload_due: false,
            last_reload_ms: Some(100 * HOUR),
            reload_interval_ms: 60_000,
        }
    }

    #[test]
    fn each_state_has_its_steps() {
        let full = TimeSpan::closed(97 * HOUR, 100 * HOUR + 1);
        let half_ended = Stale { counted: Some((5, 10)), threshold: 0.5, ..at_rest().stale };
        let last_cut_ms = Some(100 * HOUR - 2 * HOUR + CUT_IS_SOON_MS);
        let rest = at_rest();
        let cases: &[(&str, State, &[Step])] = &[
            ("nothing is due", rest, &[]),
            ("an empty head", State { in_order: TimeSpan::EMPTY, ..rest }, &[]),
            (
                "one and a half blocks are not too many",
                State { in_order: TimeSpan::closed(97 * HOUR, 100 * HOUR), ..rest },
                &[],
            ),
            ("more are", State { in_order: full, ..rest }, &[CutHead]),
            ("all of time", State { in_order: TimeSpan::closed(i64::MIN, i64::MAX), ..rest }, &[CutHead]),
            (
                "a cut that failed waits for the next call",
                State { in_order: full, cut_failed: true, ..rest },
                &[],
            ),
            (
                "no cut while readers hold the last one",
                State { in_order: full, truncation: WaitsForReaders, ..rest },
                &[],
            ),
            (
                "truncation comes before the next cut",
                State { in_order: full, truncation: Possible, ..rest },
                &[TruncateHead],
            ),
            (
                "both removals",
                State { truncation: Possible, out_of_order_removal: Possible, ..rest },
                &[TruncateHead, ForgetOutOfOrder],
            ),
            (
                "one waits, the other does not",
                State { truncation: WaitsForReaders, out_of_order_removal: Possible, ..rest },
                &[ForgetOutOfOrder],
            ),
            (
                "out-of-order samples after the head",
                State { out_of_order_due: true, ..rest },
                &[CutOutOfOrder],
            ),
            (
                "but not before its truncation",
                State { out_of_order_due: true, truncation: WaitsForReaders, ..rest },
                &[],
            ),
            (
                "nor while their last chunks are read",
                State { out_of_order_due: true, out_of_order_removal: WaitsForReaders, ..rest },
                &[],
            ),
            ("the head comes first", State { out_of_order_due: true, in_order: full, ..rest }, &[CutHead]),
            (
                "ended series are removed and counted",
                State { stale_removal: Possible, stale: Stale::default(), ..rest },
                &[RemoveStale, CountStale],
            ),
            (
                "counted again after a while",
                State { now_ms: 100 * HOUR + COUNT_STALE_EVERY_MS, ..rest },
                &[CountStale],
            ),
            ("and when the clock went back", State { now_ms: 100 * HOUR - 1, ..rest }, &[CountStale]),
            ("enough have ended", State { stale: half_ended, ..rest }, &[CutStale]),
            ("not enough", State { stale: Stale { threshold: 0.51, ..half_ended }, ..rest }, &[]),
            ("off", State { stale: Stale { threshold: 0.0, ..half_ended }, ..rest }, &[]),
            ("none", State { stale: Stale { counted: Some((0, 0)), ..half_ended }, ..rest }, &[]),
            (
                "the last ones are still read",
                State { stale: half_ended, stale_removal: WaitsForReaders, ..rest },
                &[],
            ),
            (
                "the head is about to be truncated",
                State { stale: half_ended, truncation: WaitsForReaders, ..rest },
                &[],
            ),
            ("the next cut is far", State { stale: half_ended, last_cut_ms, ..rest }, &[CutStale]),
            (
                "the next cut is soon",
                State { stale: half_ended, last_cut_ms: last_cut_ms.map(|at| at - 1), ..rest },
                &[],
            ),
            ("being closed", State { stale: half_ended, open: false, ..rest }, &[]),
            ("blocks after a cut", State { reload_due: true, ..rest }, &[MergeBlocks, ReloadBlocks]),
            (
                "blocks for the first time",
                State { last_reload_ms: None, ..rest },
                &[MergeBlocks, ReloadBlocks],
            ),
            (
                "blocks now and then",
                State { last_reload_ms: Some(100 * HOUR - 60_000), ..rest },
                &[MergeBlocks, ReloadBlocks],
            ),
            (
                "blocks when the clock went back",
                State { last_reload_ms: Some(100 * HOUR + 1), ..rest },
                &[MergeBlocks, ReloadBlocks],
            ),
            ("blocks come last", State { last_reload_ms: None, stale: half_ended, ..rest }, &[CutStale]),
        ];
        for (case, state, expected) in cases {
            assert_eq!(steps(state), *expected, "{case}");
        }
    }

    /// The effect of a step if it succeeds and nothing is being read.
    fn after(step: Step, state: &mut State) {
        match step {
            TruncateHead => state.truncation = Removal::None,
            ForgetOutOfOrder => state.out_of_order_removal = Removal::None,
            CutHead => {
                state.in_order = state.in_order.since(state.in_order.start() + state.block_ms);
                (state.truncation, state.out_of_order_due, state.reload_due) = (Possible, true, true);
                state.last_cut_ms = Some(state.now_ms);
            }
            CutOutOfOrder => (state.out_of_order_due, state.out_of_order_removal) = (false, Possible),
            RemoveStale => state.stale_removal = Removal::None,
            CountStale => {
                (state.stale.counted_ms, state.stale.counted) = (Some(state.now_ms), Some((9, 10)));
            }
            CutStale => (state.stale_removal, state.stale.counted) = (Possible, None),
            MergeBlocks => {}
            ReloadBlocks => (state.reload_due, state.last_reload_ms) = (false, Some(state.now_ms)),
        }
    }

    #[test]
    fn a_call_terminates_and_takes_its_steps_in_order() {
        let all_of = |mut state: State| {
            let mut taken = Vec::new();
            loop {
                let due = steps(&state);
                if due.is_empty() {
                    return taken;
                }
                due.iter().for_each(|step| after(*step, &mut state));
                taken.extend(due);
                assert!(taken.len() < 100, "a call must end: {taken:?}");
            }
        };
        let rest = at_rest();
        let overdue = State { in_order: TimeSpan::closed(93 * HOUR, 100 * HOUR), ..rest };
        let cut = [
            CutHead,
            TruncateHead,
            CutHead,
            TruncateHead,
            CutOutOfOrder,
            ForgetOutOfOrder,
            MergeBlocks,
            ReloadBlocks,
        ];
        assert_eq!(all_of(overdue), cut);
        let ending =
            State { stale: Stale { threshold: 0.5, ..Stale::default() }, last_reload_ms: None, ..rest };
        assert_eq!(all_of(ending), [CountStale, CutStale, RemoveStale, MergeBlocks, ReloadBlocks]);
    }
}
