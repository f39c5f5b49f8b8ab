//! Sorting that can be stopped: short runs first, then merges, with checks in between.

use std::cmp::Ordering;

use crate::QueryError;
use crate::exec::context::{PIECE, QueryContext};

/// Up to this length Go sorts slices by insertion, and Prometheus with it.
pub(crate) const INSERTION_MAX: usize = 12;

/// Sorts by insertion: an item moves forward past every neighbour that it goes before. Where `goes_before` is not an order
/// (equal numbers, NaN), the outcome depends on this very way, and Prometheus' answers show it.
pub(crate) fn insert_sort<T>(items: &mut [T], mut goes_before: impl FnMut(&T, &T) -> bool) {
    for from in 1..items.len() {
        let mut at = from;
        while at > 0 && goes_before(&items[at], &items[at - 1]) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Items that are sorted at one go.
const RUN: usize = 1 << 12;

/// Sorts stably. `compare` must be a total order.
pub(crate) fn sort_by<T: Copy>(
    items: &mut [T],
    query: &QueryContext<'_>,
    mut compare: impl FnMut(&T, &T) -> Ordering,
) -> Result<(), QueryError> {
    for run in items.chunks_mut(RUN) {
        query.work(run.len() * 8)?;
        run.sort_by(&mut compare);
    }
    if items.len() <= RUN {
        return Ok(());
    }
    let bytes = std::mem::size_of_val(items);
    let _copy = query.account.reserve(bytes)?;
    let mut other = items.to_vec();
    let (mut from, mut to) = (&mut *items, &mut other[..]);
    let (mut width, mut swapped) = (RUN, false);
    while width < from.len() {
        for (from, to) in from.chunks(2 * width).zip(to.chunks_mut(2 * width)) {
            let (left, right) = from.split_at(width.min(from.len()));
            merge(left, right, to, query, &mut compare)?;
        }
        std::mem::swap(&mut from, &mut to);
        (width, swapped) = (width.saturating_mul(2), !swapped);
    }
    if swapped {
        items.copy_from_slice(&other);
    }
    Ok(())
}

/// Merges two sorted slices; of equal items those on the left come first.
fn merge<T: Copy>(
    left: &[T],
    right: &[T],
    out: &mut [T],
    query: &QueryContext<'_>,
    compare: &mut impl FnMut(&T, &T) -> Ordering,
) -> Result<(), QueryError> {
    let (mut at_left, mut at_right) = (0, 0);
    for piece in out.chunks_mut(PIECE) {
        query.work(piece.len())?;
        for slot in piece {
            let take_left = match (left.get(at_left), right.get(at_right)) {
                (Some(a), Some(b)) => compare(a, b).is_le(),
                (next, _) => next.is_some(),
            };
            if take_left {
                *slot = left[at_left];
                at_left += 1;
            } else {
                *slot = right[at_right];
                at_right += 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::context::tests::with_context;

    #[test]
    fn long_lists_are_sorted_as_the_library_does() {
        with_context(|query| {
            for length in [0, 1, RUN - 1, RUN, RUN + 1, 2 * RUN, 5 * RUN + 17] {
                let mut items: Vec<(u32, usize)> =
                    (0..length).map(|at| ((at as u32).wrapping_mul(2_654_435_761) >> 22, at)).collect();
                let mut expected = items.clone();
                expected.sort_by_key(|(key, _)| *key);
                sort_by(&mut items, query, |a, b| a.0.cmp(&b.0)).expect("nobody stops it");
                assert_eq!(items, expected, "{length} items, equal ones in the order in which they came");
            }
        });
    }
}
