//! Plans: which blocks are merged, and when none are.

use super::*;
use crate::block::BlockStats;

const RANGES: [i64; 4] = [20, 60, 180, 540];

fn block(number: u128, min_time: i64, max_time: i64) -> BlockMeta {
    BlockMeta::level_1(Ulid::new(0, number), min_time, max_time)
}

fn blocks(ranges: &[(i64, i64)]) -> Vec<BlockMeta> {
    ranges.iter().zip(0u128..).map(|((min, max), number)| block(number, *min, *max)).collect()
}

/// Indices of the planned blocks.
fn planned(blocks: &[BlockMeta]) -> Vec<usize> {
    let options = PlanOptions { ranges: RANGES.to_vec(), overlapping: true };
    let names = plan(blocks, &options);
    names.iter().map(|name| blocks.iter().position(|meta| meta.ulid == *name).expect("one of them")).collect()
}

#[test]
fn blocks_that_fill_a_range_or_precede_the_newest_are_merged() {
    for (ranges, expected) in [
        (&[][..], vec![]),
        (&[(0, 20)][..], vec![]),
        (&[(0, 20), (20, 40), (40, 60)][..], vec![]),
        // The range is full, and there is a newer block.
        (&[(0, 20), (20, 40), (40, 60), (60, 80)][..], vec![0, 1, 2]),
        // One is missing, but it cannot come any more because a block of the next range exists …
        (&[(0, 20), (40, 60), (60, 80), (80, 100)][..], vec![0, 1]),
        // … which must not be the newest.
        (&[(0, 20), (20, 40), (60, 80)][..], vec![]),
        (&[(0, 20), (60, 80), (80, 100), (120, 140), (140, 160)][..], vec![1, 2]),
        // Three ranges of the next size.
        (&[(0, 60), (60, 120), (120, 180), (180, 200)][..], vec![0, 1, 2]),
        // Blocks that cross a boundary are left alone.
        (&[(10, 70), (70, 80), (80, 100), (120, 140), (140, 160)][..], vec![1, 2]),
        (&[(-60, -40), (-40, -20), (-20, 0), (0, 20)][..], vec![0, 1, 2]),
        // Not in time order.
        (&[(60, 80), (20, 40), (0, 20), (40, 60)][..], vec![2, 1, 3]),
    ] {
        assert_eq!(planned(&blocks(ranges)), expected, "{ranges:?}");
    }
}

#[test]
fn overlapping_blocks_come_first_and_as_a_whole_sequence() {
    assert_eq!(planned(&blocks(&[(0, 20), (20, 40), (40, 60), (50, 70)])), [2, 3]);
    assert_eq!(planned(&blocks(&[(0, 40), (10, 20), (30, 50), (45, 60), (60, 80)])), [0, 1, 2, 3]);
    assert_eq!(planned(&blocks(&[(0, 20), (10, 30), (40, 60), (50, 70)])), [0, 1]);
    let options = PlanOptions { ranges: RANGES.to_vec(), overlapping: false };
    assert_eq!(plan(&blocks(&[(0, 20), (10, 30)]), &options), []);
}

#[test]
fn a_failed_block_is_left_alone_with_its_range() {
    let mut all = blocks(&[(0, 20), (20, 40), (40, 60), (60, 80), (80, 100), (100, 120), (120, 140)]);
    all[1].compaction.failed = true;
    assert_eq!(planned(&all), [3, 4, 5]);
}

#[test]
fn long_blocks_with_many_deletions_are_rewritten_newest_first() {
    let with = |number, min, max, num_tombstones, num_series| {
        let stats = BlockStats { num_tombstones, num_series, ..BlockStats::default() };
        BlockMeta { stats, ..block(number, min, max) }
    };
    // 180 is the range in the middle.
    let long = [with(0, 0, 540, 10, 100), with(1, 540, 1080, 10, 100), with(2, 1080, 1620, 100, 100)];
    assert_eq!(planned(&long), [1], "the newest block does not count");
    assert_eq!(
        planned(&[with(0, 0, 540, 5, 100), with(1, 540, 1080, 0, 100)]),
        [0usize; 0],
        "5 of 101 is too little"
    );
    assert_eq!(
        planned(&[with(0, 0, 20, 99, 100), with(1, 60, 80, 0, 1)]),
        [0usize; 0],
        "short blocks are merged anyway"
    );
    assert_eq!(
        planned(&[with(0, 0, 20, 100, 100), with(1, 60, 80, 0, 1)]),
        [0],
        "but not when nothing is left"
    );
}

#[test]
fn blocks_from_a_part_of_the_series_are_merged_only_with_each_other() {
    let mut all = blocks(&[(0, 20), (0, 20), (20, 40), (40, 60), (60, 80)]);
    all[1].compaction.set_hint(HINT_STALE_SERIES);
    assert_eq!(planned(&all), [0, 2, 3]);
    all[0].compaction.set_hint(HINT_STALE_SERIES);
    all[2].compaction.set_hint(HINT_SELECTED_SERIES);
    assert_eq!(planned(&all), [0, 1]);
}

#[test]
fn the_meta_of_a_merged_block_lists_its_ancestry() {
    let mut all = blocks(&[(0, 20), (10, 60)]);
    all[1].compaction.level = 2;
    all[1].compaction.sources = vec![Ulid::new(0, 7), Ulid::new(0, 5)];
    all.iter_mut().for_each(|meta| meta.compaction.set_hint(HINT_OUT_OF_ORDER));
    let name = Ulid::new(9, 9);
    let merged = merged_meta(name, &all.iter().collect::<Vec<_>>());
    assert_eq!((merged.ulid, merged.min_time, merged.max_time), (name, 0, 60));
    assert_eq!(merged.compaction.level, 3);
    assert_eq!(merged.compaction.sources, [Ulid::new(0, 0), Ulid::new(0, 5), Ulid::new(0, 7)]);
    assert_eq!(merged.compaction.parents, [all[0].desc(), all[1].desc()]);
    assert!(merged.compaction.has_hint(HINT_OUT_OF_ORDER));
    all[0].compaction.hints.clear();
    all[1].compaction.set_hint(HINT_STALE_SERIES);
    let merged = merged_meta(name, &all.iter().collect::<Vec<_>>());
    assert_eq!(merged.compaction.hints, [HINT_STALE_SERIES]);
}

#[test]
fn each_range_is_three_times_the_previous_one() {
    let hour = 3_600_000;
    assert_eq!(block_ranges(2 * hour, 36 * hour), [2 * hour, 6 * hour, 18 * hour]);
    assert_eq!(block_ranges(2 * hour, 2 * hour), [2 * hour]);
    assert_eq!(block_ranges(2 * hour, hour), [2 * hour]);
    assert_eq!(block_ranges(2 * hour, i64::MAX).len(), 10);
}
