//! Decides which blocks are no longer kept: too old, too large in total, empty, or replaced.
//!
//! A pure decision from the properties of blocks; [`crate::block::remove_block`] carries it out.

use std::collections::BTreeSet;

use crate::block::{BlockMeta, Ulid};

/// The retention limits. 0 disables a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    /// A block is removed when its newest sample is this many milliseconds older than that of the newest
    /// block.
    pub duration_ms: i64,
    /// The oldest blocks are removed until log, head and blocks together do not exceed this size.
    pub bytes_max: u64,
    /// The same as a percentage of the file system, 0 to 100. Replaces `bytes_max` if the size of the file
    /// system is known.
    pub percentage: f64,
}

/// The relevant properties of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockUse<'a> {
    /// The content of `meta.json`.
    pub meta: &'a BlockMeta,
    /// Total size of its files, in bytes.
    pub bytes: u64,
}

/// Why a block is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A compaction left nothing of it.
    Deletable,
    /// It is older than [`Retention::duration_ms`].
    Time,
    /// The total size exceeds the limit.
    Size,
}

impl Retention {
    /// The limit in bytes; 0 for none.
    pub fn bytes_max(&self, filesystem_bytes: Option<u64>) -> u64 {
        match filesystem_bytes {
            Some(bytes) if self.percentage > 0.0 && bytes > 0 => {
                (bytes as f64 * self.percentage / 100.0) as u64
            }
            _ => self.bytes_max,
        }
    }

    /// The blocks to remove at `now_ms`, each with its first reason. `other_bytes` is the size of log and
    /// head.
    pub fn doomed(
        &self,
        now_ms: i64,
        blocks: &[BlockUse<'_>],
        other_bytes: u64,
        filesystem_bytes: Option<u64>,
    ) -> Vec<(Ulid, Reason)> {
        let mut newest_first: Vec<&BlockUse<'_>> = blocks.iter().collect();
        newest_first.sort_by_key(|block| std::cmp::Reverse(block.meta.max_time));
        let newest = settled_end(now_ms, newest_first.iter().map(|block| block.meta));
        let bytes_max = self.bytes_max(filesystem_bytes);
        let mut bytes = other_bytes;
        let mut doomed = Vec::new();
        for (index, block) in newest_first.into_iter().enumerate() {
            bytes = bytes.saturating_add(block.bytes);
            let age = newest.map_or(0, |newest| newest.saturating_sub(block.meta.max_time));
            let reason = if block.meta.compaction.deletable {
                Reason::Deletable
            } else if self.duration_ms > 0 && index > 0 && age >= self.duration_ms {
                Reason::Time
            } else if bytes_max > 0 && bytes > bytes_max {
                Reason::Size
            } else {
                continue;
            };
            doomed.push((block.meta.ulid, reason));
        }
        doomed
    }

    /// How many blocks would be too old if the time of the newest block could be trusted; see
    /// [`settled_end`].
    pub fn held_back(&self, now_ms: i64, metas: &[&BlockMeta]) -> usize {
        let Some(newest) = metas.iter().map(|meta| meta.max_time).max() else { return 0 };
        let settled = settled_end(now_ms, metas.iter().copied());
        let is_old = |end: i64, meta: &BlockMeta| end.saturating_sub(meta.max_time) >= self.duration_ms;
        let held = metas
            .iter()
            .filter(|meta| is_old(newest, meta) && !settled.is_some_and(|settled| is_old(settled, meta)));
        if self.duration_ms > 0 { held.count() } else { 0 }
    }
}

const DAY_MS: i64 = 24 * 3_600_000;

/// The end of the newest blocks whose time can be trusted, from which age is counted. If the clock was wrong
/// for a while, or a block was added by somebody, nothing must be deleted that would be missed when the error
/// is found. So blocks that begin after `now_ms` do not count. Nor do the newest ones if they span less than
/// a day and are more than a day after all others.
pub fn settled_end<'a>(now_ms: i64, metas: impl IntoIterator<Item = &'a BlockMeta>) -> Option<i64> {
    let times = metas.into_iter().map(|meta| (meta.max_time, meta.min_time));
    let mut newest_first: Vec<(i64, i64)> = times.filter(|(_, min)| *min <= now_ms).collect();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let (mut end, mut begin) = *newest_first.first()?;
    for (max, min) in newest_first {
        if begin.saturating_sub(max) > DAY_MS {
            if end.saturating_sub(begin) >= DAY_MS {
                break;
            }
            (end, begin) = (max, min);
        }
        begin = begin.min(min);
    }
    Some(end)
}

/// The parents of other blocks. They still exist if a process was stopped before it removed them.
pub fn replaced<'a>(blocks: impl IntoIterator<Item = &'a BlockMeta>) -> BTreeSet<Ulid> {
    blocks.into_iter().flat_map(|meta| meta.compaction.parents.iter().map(|parent| parent.ulid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(max_times: &[i64]) -> Vec<BlockMeta> {
        let block =
            |(index, max): (usize, &i64)| BlockMeta::level_1(Ulid::new(0, index as u128), max - 10, *max);
        max_times.iter().enumerate().map(block).collect()
    }

    fn doomed(retention: Retention, metas: &[BlockMeta], filesystem: Option<u64>) -> Vec<(i64, Reason)> {
        let uses: Vec<_> = metas.iter().map(|meta| BlockUse { meta, bytes: 100 }).collect();
        let name = |ulid| metas.iter().find(|meta| meta.ulid == ulid).expect("one of them").max_time;
        retention
            .doomed(1000, &uses, 50, filesystem)
            .into_iter()
            .map(|(ulid, reason)| (name(ulid), reason))
            .collect()
    }

    #[test]
    fn age_counts_from_the_newest_block_and_its_bound_is_included() {
        let time = |duration_ms| Retention { duration_ms, ..Retention::default() };
        let metas = blocks(&[10, 20, 30, 40]);
        assert_eq!(doomed(time(20), &metas, None), [(20, Reason::Time), (10, Reason::Time)]);
        assert_eq!(doomed(time(21), &metas, None), [(10, Reason::Time)]);
        assert_eq!(doomed(time(0), &metas, None), []);
        assert_eq!(doomed(time(1), &blocks(&[10]), None), [], "the newest block stays");
    }

    #[test]
    fn untrustworthy_times_delete_nothing() {
        const HOUR: i64 = 3_600_000;
        let block = |n: u128, min: i64, max: i64| BlockMeta::level_1(Ulid::new(0, n), min * HOUR, max * HOUR);
        let week: Vec<BlockMeta> = (0..14).map(|n| block(n, 12 * n as i64, 12 * n as i64 + 12)).collect();
        let retention = Retention { duration_ms: 48 * HOUR, ..Retention::default() };
        let doomed = |now: i64, more: &[BlockMeta]| {
            let metas: Vec<&BlockMeta> = week.iter().chain(more).collect();
            let uses: Vec<_> = metas.iter().map(|meta| BlockUse { meta, bytes: 1 }).collect();
            (retention.doomed(now * HOUR, &uses, 0, None).len(), retention.held_back(now * HOUR, &metas))
        };
        assert_eq!(doomed(170, &[]), (10, 0));
        // A block in the future, for as long as it is in the future.
        assert_eq!(doomed(170, &[block(90, 9000, 9002)]), (10, 4));
        assert_eq!(doomed(170, &[block(90, 9000, 9200)]), (10, 4));
        // A clock that is a month ahead, for less than a day and then for a day.
        assert_eq!(doomed(900, &[block(90, 890, 892), block(91, 892, 894)]), (10, 4));
        assert_eq!(doomed(920, &[block(90, 890, 902), block(91, 902, 914)]), (14, 0));
        // A clock that shows 1970.
        assert_eq!(doomed(-1, &[]), (0, 10));
    }

    #[test]
    fn size_includes_log_and_head_and_removes_the_oldest() {
        let size = Retention { bytes_max: 260, ..Retention::default() };
        let metas = blocks(&[10, 20, 30]);
        assert_eq!(doomed(size, &metas, None), [(10, Reason::Size)]);
        assert_eq!(doomed(Retention { bytes_max: 40, ..size }, &metas, None).len(), 3);
        let share = Retention { percentage: 10.0, ..size };
        assert_eq!(doomed(share, &metas, Some(1600)), [(20, Reason::Size), (10, Reason::Size)]);
        assert_eq!(doomed(share, &metas, None), [(10, Reason::Size)], "unknown size: the fixed bound counts");
    }

    #[test]
    fn empty_and_replaced_blocks_are_removed() {
        let mut metas = blocks(&[10, 20]);
        metas[1].compaction.deletable = true;
        metas[1].compaction.parents = vec![metas[0].desc()];
        assert_eq!(doomed(Retention::default(), &metas, None), [(20, Reason::Deletable)]);
        assert_eq!(replaced(&metas), BTreeSet::from([metas[0].ulid]));
    }
}
