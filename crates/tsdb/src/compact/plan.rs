//! Decides which blocks are merged, only from the content of their `meta.json`.

use std::collections::BTreeSet;

use crate::block::{Ancestry, BlockMeta, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES, HINT_STALE_SERIES, Ulid};

/// A block is rewritten if its deleted ranges exceed this share of its series.
const TOMBSTONES_SHARE_MAX: f64 = 0.05;
/// The factor between one range and the next.
const RANGE_FACTOR: i64 = 3;
/// Maximum number of ranges, however long the largest is.
const RANGES_MAX: usize = 10;

/// Inputs of a plan besides the blocks.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Lengths of blocks in milliseconds, ascending: from the head's to the longest.
    pub ranges: Vec<i64>,
    /// Whether overlapping blocks are merged.
    pub overlapping: bool,
}

/// The lengths of blocks from `min` to `max` milliseconds, each three times the previous one. Contains at
/// least `min`.
pub fn block_ranges(min: i64, max: i64) -> Vec<i64> {
    let ranges = std::iter::successors(Some(min), |range| range.checked_mul(RANGE_FACTOR));
    let count = ranges.clone().take(RANGES_MAX).take_while(|range| *range <= max).count();
    ranges.take(count.max(1)).collect()
}

/// Names of the blocks to merge next, oldest first. A single block is to be rewritten without its deleted
/// samples. Empty if there is nothing to do.
///
/// Blocks made from a part of the head's series are merged only with each other: otherwise they would hide
/// that the other series of their time are still only in the log.
pub fn plan(blocks: &[BlockMeta], options: &PlanOptions) -> Vec<Ulid> {
    let class = |meta: &BlockMeta| {
        if meta.compaction.has_hint(HINT_STALE_SERIES) {
            1
        } else if meta.compaction.has_hint(HINT_SELECTED_SERIES) {
            2
        } else {
            0
        }
    };
    (0..3)
        .map(|wanted| plan_class(blocks.iter().filter(|meta| class(meta) == wanted).collect(), options))
        .find(|planned| !planned.is_empty())
        .unwrap_or_default()
}

fn plan_class(mut blocks: Vec<&BlockMeta>, options: &PlanOptions) -> Vec<Ulid> {
    blocks.sort_by_key(|meta| meta.min_time);
    if options.overlapping {
        let overlapping = overlapping(&blocks);
        if !overlapping.is_empty() {
            return names(&overlapping);
        }
    }
    // The newest block is left alone, so that for the length of a block, backups can copy it without overlap.
    if blocks.pop().is_none() {
        return Vec::new();
    }
    if let Some(group) = same_range(&blocks, &options.ranges) {
        return names(group);
    }
    mostly_deleted(&blocks, &options.ranges).map(|meta| vec![meta.ulid]).unwrap_or_default()
}

fn names(blocks: &[&BlockMeta]) -> Vec<Ulid> {
    blocks.iter().map(|meta| meta.ulid).collect()
}

/// The first sequence of blocks in which each overlaps an earlier one.
fn overlapping<'a>(blocks: &[&'a BlockMeta]) -> Vec<&'a BlockMeta> {
    let mut run: Vec<&BlockMeta> = Vec::new();
    let Some(first) = blocks.first() else { return run };
    let mut end = first.max_time;
    for pair in blocks.windows(2) {
        if pair[1].min_time < end {
            if run.is_empty() {
                run.push(pair[0]);
            }
            run.push(pair[1]);
        } else if !run.is_empty() {
            break;
        }
        end = end.max(pair[1].max_time);
    }
    run
}

/// The first group of several blocks that are in one range and either fill it or are older than the newest
/// block.
fn same_range<'a, 'b>(blocks: &'b [&'a BlockMeta], ranges: &[i64]) -> Option<&'b [&'a BlockMeta]> {
    let newest_start = blocks.last()?.min_time;
    for range in ranges.iter().skip(1) {
        for group in split_by_range(blocks, *range) {
            if group.len() < 2 || group.iter().any(|meta| meta.compaction.failed) {
                continue;
            }
            let (start, end) = (group[0].min_time, group[group.len() - 1].max_time);
            if end.saturating_sub(start) == *range || end <= newest_start {
                return Some(group);
            }
        }
    }
    None
}

/// Groups of adjacent blocks in the same `[k·range, (k+1)·range]`. Blocks that cross a boundary are in no
/// group.
fn split_by_range<'a, 'b>(blocks: &'b [&'a BlockMeta], range: i64) -> Vec<&'b [&'a BlockMeta]> {
    let mut groups = Vec::new();
    let mut at = 0;
    while at < blocks.len() {
        let end = blocks[at].min_time.div_euclid(range).saturating_mul(range).saturating_add(range);
        let inside = blocks[at..].iter().take_while(|meta| meta.max_time <= end).count();
        if inside > 0 {
            groups.push(&blocks[at..at + inside]);
        }
        at += inside.max(1);
    }
    groups
}

/// The newest block with so many deletions that rewriting is worthwhile. Short blocks are merged soon anyway,
/// unless nothing is left of them.
fn mostly_deleted<'a>(blocks: &[&'a BlockMeta], ranges: &[i64]) -> Option<&'a BlockMeta> {
    let long = ranges.get(ranges.len() / 2).copied().unwrap_or(0);
    for meta in blocks.iter().rev() {
        let (deleted, series) = (meta.stats.num_tombstones, meta.stats.num_series);
        if meta.max_time.saturating_sub(meta.min_time) < long {
            return (deleted > 0 && deleted >= series).then_some(*meta);
        }
        if deleted as f64 / (series as f64 + 1.0) > TOMBSTONES_SHARE_MAX {
            return Some(meta);
        }
    }
    None
}

/// The meta of the block into which `blocks` (at least one) are merged. Statistics are not filled in.
pub fn merged_meta(ulid: Ulid, blocks: &[&BlockMeta]) -> BlockMeta {
    let sources: BTreeSet<Ulid> =
        blocks.iter().flat_map(|meta| meta.compaction.sources.iter().copied()).collect();
    let mut compaction = Ancestry {
        level: blocks.iter().map(|meta| meta.compaction.level).max().unwrap_or(0).saturating_add(1),
        sources: sources.into_iter().collect(),
        parents: blocks.iter().map(|meta| meta.desc()).collect(),
        ..Ancestry::default()
    };
    for hint in [HINT_STALE_SERIES, HINT_SELECTED_SERIES] {
        if blocks.iter().any(|meta| meta.compaction.has_hint(hint)) {
            compaction.set_hint(hint);
        }
    }
    // If it includes in-order samples, the block counts as one whose samples the log need not keep.
    if blocks.iter().all(|meta| meta.compaction.has_hint(HINT_OUT_OF_ORDER)) {
        compaction.set_hint(HINT_OUT_OF_ORDER);
    }
    BlockMeta {
        compaction,
        ..BlockMeta::level_1(
            ulid,
            blocks.iter().map(|meta| meta.min_time).min().unwrap_or(0),
            blocks.iter().map(|meta| meta.max_time).max().unwrap_or(0),
        )
    }
}

#[cfg(test)]
mod tests;
