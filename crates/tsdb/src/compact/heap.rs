//! A binary heap that orders equal elements exactly as Go's `container/heap` does.
//!
//! This order decides which of two samples with the same timestamp survives a merge. Merged blocks should be
//! identical to Prometheus', so the order is part of the contract here; the standard library's heap leaves it
//! unspecified.

/// The heap; the smallest element is on top.
#[derive(Debug)]
pub(super) struct GoHeap<T, F> {
    items: Vec<T>,
    less: F,
}

impl<T, F: Fn(&T, &T) -> bool> GoHeap<T, F> {
    pub fn new(less: F) -> Self {
        GoHeap { items: Vec::new(), less }
    }

    /// The smallest element.
    pub fn peek(&self) -> Option<&T> {
        self.items.first()
    }

    pub fn push(&mut self, item: T) {
        self.items.push(item);
        let mut at = self.items.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !(self.less)(&self.items[at], &self.items[parent]) {
                break;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    /// Removes the smallest element.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.items.swap(0, last);
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= last {
                break;
            }
            let right = left + 1;
            let right_is_less = right < last && (self.less)(&self.items[right], &self.items[left]);
            let child = if right_is_less { right } else { left };
            if !(self.less)(&self.items[child], &self.items[at]) {
                break;
            }
            self.items.swap(at, child);
            at = child;
        }
        self.items.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn elements_come_out_in_order(items in prop::collection::vec(0u8..20, 0..40)) {
            let mut heap = GoHeap::new(|a: &u8, b: &u8| a < b);
            items.iter().for_each(|item| heap.push(*item));
            let mut sorted = items.clone();
            sorted.sort_unstable();
            prop_assert_eq!(heap.peek(), sorted.first());
            prop_assert_eq!(std::iter::from_fn(|| heap.pop()).collect::<Vec<_>>(), sorted);
        }
    }

    #[test]
    fn equal_elements_come_out_as_from_gos_heap() {
        let mut heap = GoHeap::new(|a: &(u8, char), b: &(u8, char)| a.0 < b.0);
        [(1, 'a'), (1, 'b'), (1, 'c')].into_iter().for_each(|item| heap.push(item));
        // Pop moves the last element to the top, where it stays because the others are not smaller.
        assert_eq!(std::iter::from_fn(|| heap.pop()).map(|item| item.1).collect::<String>(), "acb");
    }
}
