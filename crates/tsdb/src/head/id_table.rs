//! A hash table of ids whose keys are stored elsewhere: 8 bytes per entry, without a copy of the key.

/// Maps hashes to ids; the caller compares keys.
#[derive(Debug, Default)]
pub struct IdTable {
    /// `(high half of the hash, id)`; the length is a power of two or 0.
    cells: Box<[(u32, u32)]>,
    used: usize,
    removed: usize,
}

const EMPTY: u32 = u32::MAX;
const REMOVED: u32 = u32::MAX - 1;
/// Ids must stay below this.
pub const ID_END: u32 = REMOVED;

impl IdTable {
    /// The id with this hash for which `is_it` returns true.
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.cells.is_empty() {
            return None;
        }
        let (mask, tag) = (self.cells.len() - 1, (hash >> 32) as u32);
        let mut at = hash as usize & mask;
        loop {
            let (other, id) = self.cells[at];
            if id == EMPTY {
                return None;
            }
            if other == tag && id != REMOVED && is_it(id) {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds an id that is not in the table. `hash_of` returns the hash of an id that is.
    pub fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        debug_assert!(id < ID_END);
        if (self.used + self.removed + 1) * 8 > self.cells.len() * 7 {
            self.grow(hash_of);
        }
        self.place(hash, id);
        self.used += 1;
    }

    fn place(&mut self, hash: u64, id: u32) {
        let mask = self.cells.len() - 1;
        let mut at = hash as usize & mask;
        while self.cells[at].1 < ID_END {
            at = (at + 1) & mask;
        }
        if self.cells[at].1 == REMOVED {
            self.removed -= 1;
        }
        self.cells[at] = ((hash >> 32) as u32, id);
    }

    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let cells = ((self.used + 1) * 4 / 3).next_power_of_two().max(16);
        let old = std::mem::replace(&mut self.cells, vec![(0, EMPTY); cells].into_boxed_slice());
        self.removed = 0;
        for (_, id) in old {
            if id < ID_END {
                self.place(hash_of(id), id);
            }
        }
    }

    /// Removes an id.
    pub fn remove(&mut self, hash: u64, id: u32) {
        if self.cells.is_empty() {
            return;
        }
        let mask = self.cells.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.cells[at].1 {
                EMPTY => return,
                found if found == id => {
                    self.cells[at].1 = REMOVED;
                    self.used -= 1;
                    self.removed += 1;
                    return;
                }
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.cells.len() * size_of::<(u32, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Deliberately a poor hash: long chains, equal tags.
    fn hash(id: u32) -> u64 {
        u64::from(id % 17)
    }

    proptest! {
        #[test]
        fn the_table_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..200), 0..600)) {
            let mut table = IdTable::default();
            let mut model = BTreeSet::new();
            for (add, id) in steps {
                if add && model.insert(id) {
                    table.insert(hash(id), id, hash);
                } else if !add && model.remove(&id) {
                    table.remove(hash(id), id);
                }
                for id in 0..200 {
                    prop_assert_eq!(table.find(hash(id), |found| found == id).is_some(), model.contains(&id));
                }
            }
        }
    }
}
