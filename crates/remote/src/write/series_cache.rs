//! Maps the label bytes of a request to series, so that a known series costs one hash and no allocation.
//!
//! Keys are 128-bit hashes with a seed drawn at the start, so that no sender can provoke a collision with
//! another's series. Entries are in the order of their first arrival. Senders keep that order, so the next series of a request
//! is expected directly behind the last one that was found; only surprises are looked up in the index.
//!
//! When the table is full, entries that nobody has used since the last time but one are dropped, and the table grows with what is
//! left, up to a limit. A sender of more series than that does not push its own entries out: those that are in the table stay while
//! they are used, and the others are looked up in the store.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{RwLock, RwLockReadGuard};

use ferula_go::sync::RwLockExt;
use ferula_model::SeriesRef;
use twox_hash::XxHash3_128;

/// Until there are so many entries, none are dropped; about 3 MB.
const ENTRIES_MIN: usize = 64 * 1024;
/// Maximum number of entries; about 170 MB with the index.
const ENTRIES_MAX: usize = 4 * 1024 * 1024;
/// A free place in the index.
const FREE: u32 = u32::MAX;

/// Hashes of label bytes with their series.
pub struct SeriesCache {
    seed: u64,
    entries_max: usize,
    table: RwLock<Table>,
}

struct Entry {
    key: u128,
    series: SeriesRef,
    /// The last period in which it was used.
    used: AtomicU32,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    /// Positions in `entries` by key; open addressing, at most half full. The length is a power of two or 0.
    index: Vec<u32>,
    /// Rises when unused entries are dropped.
    period: u32,
    /// At this number of entries, unused ones are dropped.
    room: usize,
    /// How many new entries found no room in this period.
    left_out: usize,
}

/// Looks up the series of one request; the cache does not change meanwhile.
pub(crate) struct Lookups<'c> {
    table: RwLockReadGuard<'c, Table>,
    /// The entry that is expected next.
    expected: usize,
}

impl SeriesCache {
    pub(crate) fn new() -> Self {
        Self::with_entries_max(ENTRIES_MAX)
    }

    fn with_entries_max(entries_max: usize) -> Self {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u8(0);
        SeriesCache { seed: hasher.finish(), entries_max, table: RwLock::default() }
    }

    /// The key of these label bytes.
    #[inline]
    pub(crate) fn key(&self, label_bytes: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_seed(self.seed, label_bytes)
    }

    /// Begins looking up series, the first of which is expected to be that of entry `expected`. Must be dropped before
    /// the same thread inserts.
    pub(crate) fn lookups(&self, expected: usize) -> Lookups<'_> {
        Lookups { table: self.table.read_locked(), expected }
    }

    /// Adds series, or replaces those that the keys had.
    pub(crate) fn insert(&self, new: &[(u128, SeriesRef)]) {
        if new.is_empty() {
            return;
        }
        let mut table = self.table.write_locked();
        for (key, series) in new {
            table.insert(*key, *series, self.entries_max);
        }
    }
}

impl Lookups<'_> {
    /// The series of a key.
    #[inline]
    pub(crate) fn get(&mut self, key: u128) -> Option<SeriesRef> {
        let table = &*self.table;
        let at = match table.entries.get(self.expected) {
            Some(entry) if entry.key == key => self.expected,
            _ => table.find(key)?,
        };
        self.expected = at + 1;
        let entry = &table.entries[at];
        // Usually it has been used before, and the cache line stays clean.
        if entry.used.load(Ordering::Relaxed) != table.period {
            entry.used.store(table.period, Ordering::Relaxed);
        }
        Some(entry.series)
    }

    /// The entry that is expected next.
    pub(crate) fn expected(&self) -> usize {
        self.expected
    }
}

impl Table {
    fn find(&self, key: u128) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        let mask = self.index.len() - 1;
        let mut place = key as usize & mask;
        loop {
            match self.index[place] {
                FREE => return None,
                at if self.entries[at as usize].key == key => return Some(at as usize),
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn insert(&mut self, key: u128, series: SeriesRef, entries_max: usize) {
        if let Some(at) = self.find(key) {
            let entry = &mut self.entries[at];
            entry.series = series;
            *entry.used.get_mut() = self.period;
            return;
        }
        if !self.has_room(entries_max) {
            self.left_out += 1;
            return;
        }
        self.entries.push(Entry { key, series, used: AtomicU32::new(self.period) });
        if self.entries.len() * 2 > self.index.len() {
            self.rebuild_index();
        } else {
            self.place(self.entries.len() - 1);
        }
    }

    /// Whether there is room for one more entry, after unused ones were dropped if necessary.
    fn has_room(&mut self, entries_max: usize) -> bool {
        if self.entries.len() < self.room {
            return true;
        }
        // Senders must have had the time to use their entries once more.
        if self.room >= entries_max && self.left_out < self.entries.len() * 2 {
            return false;
        }
        let period = self.period;
        let before = self.entries.len();
        // Nor has a sender used its entries again while its first round lasts, so those of the period before stay too.
        self.entries.retain_mut(|entry| period.wrapping_sub(*entry.used.get_mut()) <= 1);
        self.period = period.wrapping_add(1);
        self.left_out = 0;
        self.room = (self.entries.len() * 2).max(ENTRIES_MIN).min(entries_max);
        if self.entries.len() < before {
            self.entries.shrink_to(self.room);
            self.rebuild_index();
        }
        self.entries.len() < self.room
    }

    fn rebuild_index(&mut self) {
        let places = (self.entries.len() * 2 + 1).next_power_of_two().max(1024);
        self.index.clear();
        self.index.resize(places, FREE);
        self.index.shrink_to(places);
        (0..self.entries.len()).for_each(|at| self.place(at));
    }

    fn place(&mut self, at: usize) {
        let mask = self.index.len() - 1;
        let mut place = self.entries[at].key as usize & mask;
        while self.index[place] != FREE {
            place = (place + 1) & mask;
        }
        self.index[place] = at as u32;
    }
}

const _: () = assert!(ENTRIES_MAX < FREE as usize);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn series(number: u128) -> SeriesRef {
        SeriesRef::new(number as u64 + 1).expect("not 0")
    }

    /// Spread like the hashes that keys are.
    fn spread(key: u128) -> u128 {
        key.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    fn get(cache: &SeriesCache, key: u128) -> Option<SeriesRef> {
        cache.lookups(0).get(spread(key))
    }

    fn insert(cache: &SeriesCache, keys: std::ops::Range<u128>) {
        for key in keys {
            cache.insert(&[(spread(key), series(key))]);
        }
    }

    /// Uses the keys in this order, and inserts those that are missing. Returns how many were there.
    fn round(cache: &SeriesCache, keys: std::ops::Range<u128>) -> usize {
        let mut missing = Vec::new();
        let mut lookups = cache.lookups(0);
        let found = keys.filter(|key| match lookups.get(spread(*key)) {
            Some(found) => found == series(*key),
            None => {
                missing.push((spread(*key), series(*key)));
                false
            }
        });
        let found = found.count();
        drop(lookups);
        cache.insert(&missing);
        found
    }

    #[test]
    fn entries_that_are_used_stay_and_the_others_are_dropped_when_the_table_is_full() {
        let cache = SeriesCache::new();
        let full = ENTRIES_MIN as u128;
        // The table fills three times; in between, only the first half of the first entries is used.
        insert(&cache, 0..full + 1);
        assert_eq!(round(&cache, 0..full / 2), full as usize / 2);
        insert(&cache, full + 1..2 * full + 1);
        assert_eq!(round(&cache, 0..full / 2), full as usize / 2);
        insert(&cache, 2 * full + 1..4 * full + 1);
        assert_eq!(get(&cache, 0), Some(series(0)));
        assert_eq!(get(&cache, full / 2 - 1), Some(series(full / 2 - 1)));
        assert_eq!(get(&cache, full / 2 + 7), None, "unused since the table was full before");
        assert_eq!(get(&cache, 2 * full), Some(series(2 * full)));
    }

    #[test]
    fn a_sender_of_many_series_finds_all_of_them_from_the_third_round_on() {
        for count in [131_073, 140_000, 300_000, 1_000_000] {
            let cache = SeriesCache::new();
            round(&cache, 0..count);
            round(&cache, 0..count);
            assert_eq!(round(&cache, 0..count), count as usize);
        }
    }

    #[test]
    fn more_series_than_fit_do_not_push_each_other_out() {
        let max = ENTRIES_MIN * 2;
        let cache = SeriesCache::with_entries_max(max);
        let keys = 0..max as u128 * 3 / 2;
        assert_eq!(round(&cache, keys.clone()), 0);
        for _ in 0..4 {
            assert_eq!(round(&cache, keys.clone()), max, "as many as fit are found in every round");
        }
        // When their sender has gone, their places are free for others.
        let others = 10_000_000..10_000_000 + max as u128;
        for _ in 0..8 {
            round(&cache, others.clone());
        }
        assert_eq!(round(&cache, others), max);
        assert!(cache.table.read_locked().entries.len() <= max);
    }

    proptest! {
        /// Whatever the order of requests, a key has the series that it was given last, or none.
        #[test]
        fn a_key_has_the_series_it_was_given_last(
            steps in proptest::collection::vec((any::<bool>(), 0u128..300, 1u64..1000), 1..600),
        ) {
            let cache = SeriesCache::with_entries_max(200);
            let mut model: HashMap<u128, SeriesRef> = HashMap::new();
            for (gives, key, number) in steps {
                if gives {
                    let given = SeriesRef::new(number).expect("not 0");
                    cache.insert(&[(spread(key), given)]);
                    model.insert(key, given);
                }
                let mut lookups = cache.lookups(number as usize % 250);
                for key in key..key + 5 {
                    let found = lookups.get(spread(key));
                    prop_assert!(found.is_none() || found == model.get(&key).copied());
                }
                drop(lookups);
                if model.len() < 200 {
                    let all = model.iter().all(|(key, given)| get(&cache, *key) == Some(*given));
                    prop_assert!(all, "nothing is dropped while there is room");
                }
            }
        }
    }
}
