//! A binary heap that sifts exactly as Go's `container/heap`, because the order of what stays in it is visible.

use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::exec::sorting;

/// A sample in a heap: its value and the row it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub value: f64,
    pub row: usize,
}

/// Whether the first value comes before the second. NaN comes before everything.
pub(super) type Less = fn(f64, f64) -> bool;

/// Smallest first.
pub(super) fn rising(a: f64, b: f64) -> bool {
    a.is_nan() || a < b
}

/// Largest first.
pub(super) fn falling(a: f64, b: f64) -> bool {
    a.is_nan() || a > b
}

/// Adds an entry.
pub(super) fn push(heap: &mut Vec<Entry>, entry: Entry, less: Less) {
    heap.push(entry);
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !less(heap[at].value, heap[parent].value) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

/// Replaces the first entry.
pub(super) fn replace_first(heap: &mut [Entry], entry: Entry, less: Less) {
    heap[0] = entry;
    let mut at = 0;
    loop {
        let left = 2 * at + 1;
        if left >= heap.len() {
            break;
        }
        let right = left + 1;
        let child =
            if right < heap.len() && less(heap[right].value, heap[left].value) { right } else { left };
        if !less(heap[child].value, heap[at].value) {
            break;
        }
        heap.swap(at, child);
        at = child;
    }
}

/// Sorts against the order of the heap: the best entry first.
pub(super) fn sort_reversed(
    heap: &mut [Entry],
    less: Less,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    if heap.len() > sorting::INSERTION_MAX {
        return sorting::sort_by(heap, query, |a, b| order_of_entries(a, b, less));
    }
    sorting::insert_sort(heap, |later, earlier| less(earlier.value, later.value));
    Ok(())
}

/// Greater values first, as `less` has them.
fn order_of_entries(a: &Entry, b: &Entry, less: Less) -> std::cmp::Ordering {
    less(a.value, b.value).cmp(&less(b.value, a.value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_orders_of_entries_are_total() {
        let values = [f64::NAN, -f64::NAN, 0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY];
        let entries = values.map(|value| Entry { value, row: 0 });
        for less in [rising as Less, falling] {
            ferula_testkit::assert_total_order(&entries, |a, b| order_of_entries(a, b, less));
        }
    }
    use crate::exec::context::tests::with_context;

    proptest! {
        #[test]
        fn the_first_entry_is_the_smallest(values in proptest::collection::vec(-50i32..50, 1..40)) {
            let mut heap = Vec::new();
            for (row, &value) in values.iter().enumerate() {
                push(&mut heap, Entry { value: f64::from(value), row }, rising);
                let smallest = values[..=row].iter().min().copied();
                prop_assert_eq!(Some(heap[0].value), smallest.map(f64::from));
            }
            replace_first(&mut heap, Entry { value: 100.0, row: 99 }, rising);
            with_context(|query| sort_reversed(&mut heap, rising, query).expect("nobody stops it"));
            prop_assert!(heap.windows(2).all(|pair| pair[0].value >= pair[1].value));
        }
    }
}
