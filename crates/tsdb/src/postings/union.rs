//! The union of several lists.

/// Numbers in any of the lists.
pub fn union(mut lists: Vec<Vec<u32>>) -> Vec<u32> {
    lists.retain(|list| !list.is_empty());
    match lists.len() {
        0 => return Vec::new(),
        1 => return lists.swap_remove(0),
        _ => {}
    }
    let total = lists.iter().map(Vec::len).sum();
    let highest = lists.iter().filter_map(|list| list.last()).max().copied().unwrap_or(0);
    // A bit per possible number is faster than sorting, unless the numbers are few and sparse.
    if (highest as usize) / 64 <= total {
        union_by_bits(&lists, highest)
    } else {
        union_by_sorting(&lists, total)
    }
}

fn union_by_bits(lists: &[Vec<u32>], highest: u32) -> Vec<u32> {
    let mut words = vec![0u64; highest as usize / 64 + 1];
    for number in lists.iter().flatten() {
        words[*number as usize / 64] |= 1 << (number % 64);
    }
    let count: u32 = words.iter().map(|word| word.count_ones()).sum();
    let mut all = Vec::with_capacity(count as usize);
    for (index, mut word) in words.into_iter().enumerate() {
        while word != 0 {
            all.push((index * 64) as u32 + word.trailing_zeros());
            word &= word - 1;
        }
    }
    all
}

fn union_by_sorting(lists: &[Vec<u32>], total: usize) -> Vec<u32> {
    let mut all = Vec::with_capacity(total);
    lists.iter().for_each(|list| all.extend_from_slice(list));
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_the_union_of_sets(
            lists in prop::collection::vec(prop::collection::btree_set(prop_oneof![0u32..200, any::<u32>()], 0..30), 0..6),
        ) {
            let expected: BTreeSet<u32> = lists.iter().flatten().copied().collect();
            let lists = lists.into_iter().map(|set| set.into_iter().collect()).collect();
            prop_assert_eq!(union(lists), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn dense_numbers_use_the_bit_set(lists in prop::collection::vec(prop::collection::btree_set(0u32..200, 0..80), 2..6)) {
            let expected: BTreeSet<u32> = lists.iter().flatten().copied().collect();
            let lists = lists.into_iter().map(|set| set.into_iter().collect()).collect();
            prop_assert_eq!(union(lists), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
