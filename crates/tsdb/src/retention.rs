//! Which blocks have had their time: too old, too much, empty, or replaced.
//!
//! A pure decision over what is known of the blocks; [`crate::block::remove_block`] acts on it.

use std::collections::BTreeSet;

use crate::block::{BlockMeta, Ulid};

/// How much is kept. 0 switches a bound off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    /// A block goes when its newest sample is so many milliseconds older than the newest block's.
    pub duration_ms: i64,
    /// The oldest blocks go until log, head and blocks take no more bytes.
    pub bytes_max: u64,
    /// The same as a share of the file system, 0 to 100. Counts instead of `bytes_max` when the size of the file
    /// system is known.
    pub percentage: f64,
}

/// What is known of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockUse<'a> {
    /// What `meta.json` says.
    pub meta: &'a BlockMeta,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// Why a block goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A compaction left nothing of it.
    Deletable,
    /// It is older than [`Retention::duration_ms`].
    Time,
    /// There is no room for it.
    Size,
}

impl Retention {
    /// The bound in bytes; 0 for none.
    pub fn bytes_max(&self, filesystem_bytes: Option<u64>) -> u64 {
        match filesystem_bytes {
            Some(bytes) if self.percentage > 0.0 && bytes > 0 => {
                (bytes as f64 * self.percentage / 100.0) as u64
            }
            _ => self.bytes_max,
        }
    }

    /// The blocks that go, with the first reason that holds. `other_bytes` are those of log and head.
    pub fn doomed(
        &self,
        blocks: &[BlockUse<'_>],
        other_bytes: u64,
        filesystem_bytes: Option<u64>,
    ) -> Vec<(Ulid, Reason)> {
        let mut newest_first: Vec<&BlockUse<'_>> = blocks.iter().collect();
        newest_first.sort_by_key(|block| std::cmp::Reverse(block.meta.max_time));
        let Some(newest) = newest_first.first().map(|block| block.meta.max_time) else { return Vec::new() };
        let bytes_max = self.bytes_max(filesystem_bytes);
        let mut bytes = other_bytes;
        let mut doomed = Vec::new();
        for (index, block) in newest_first.into_iter().enumerate() {
            bytes = bytes.saturating_add(block.bytes);
            let age = newest.saturating_sub(block.meta.max_time);
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
}

/// Blocks that others were made of. They are still there when a compaction was stopped before they were removed.
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
            .doomed(&uses, 50, filesystem)
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
    fn size_counts_log_and_head_and_takes_the_oldest() {
        let size = Retention { bytes_max: 260, ..Retention::default() };
        let metas = blocks(&[10, 20, 30]);
        assert_eq!(doomed(size, &metas, None), [(10, Reason::Size)]);
        assert_eq!(doomed(Retention { bytes_max: 40, ..size }, &metas, None).len(), 3);
        let share = Retention { percentage: 10.0, ..size };
        assert_eq!(doomed(share, &metas, Some(1600)), [(20, Reason::Size), (10, Reason::Size)]);
        assert_eq!(doomed(share, &metas, None), [(10, Reason::Size)], "unknown size: the fixed bound counts");
    }

    #[test]
    fn empty_and_replaced_blocks_go() {
        let mut metas = blocks(&[10, 20]);
        metas[1].compaction.deletable = true;
        metas[1].compaction.parents = vec![metas[0].desc()];
        assert_eq!(doomed(Retention::default(), &metas, None), [(20, Reason::Deletable)]);
        assert_eq!(replaced(&metas), BTreeSet::from([metas[0].ulid]));
    }
}
