//! The series that a target exposed before: maps the text of a series to its ref without touching labels.
//!
//! Pages keep their order from scrape to scrape, so the next line is expected to be the one that followed last time;
//! only surprises are looked up. Of each text only a 128-bit keyed hash is kept. Its key is secret,
//! so collisions cannot be forced.
//!
//! Staleness works by rounds; a round is one scrape. A series that was tracked in the previous round but not in this
//! one has ended. Several texts may map to one series after relabelling; it ends when none of them is left.

use std::collections::HashSet;

use ferula_model::SeriesRef;
use twox_hash::XxHash3_128;

/// `tracked` for a text that relabelling drops.
const DROPPED: u32 = u32::MAX;
/// A free slot of the index.
const FREE: u32 = u32::MAX;
/// How many texts failing scrapes may leave behind before they are cleared, beyond twice the usual number.
const SURPLUS_MAX: usize = 1000;

/// One text of a target.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u128,
    /// `None` for a dropped text, and for one whose sample the store refused, which is treated as unknown.
    series: Option<SeriesRef>,
    /// The last round in which the page had it.
    seen: u32,
    /// Twice the last round in which its sample counted for staleness, plus one if it also did in the round before;
    /// [`DROPPED`] for a dropped text.
    tracked: u32,
}

impl Entry {
    fn is_tracked_in(&self, round: u32) -> bool {
        self.tracked >> 1 == round
    }

    fn track(&mut self, round: u32) {
        if !self.is_tracked_in(round) {
            self.tracked = round << 1 | u32::from(self.is_tracked_in(round - 1));
        }
    }

    /// Undoes `track`.
    fn untrack(&mut self, round: u32) {
        if self.is_tracked_in(round) {
            self.tracked = if self.tracked & 1 == 1 { (round - 1) << 1 } else { 0 };
        }
    }
}

/// What is known about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    Known {
        /// The position in the cache.
        entry: u32,
        series: SeriesRef,
        /// Whether the page has already had it.
        repeated: bool,
        /// Whether the last good page had it.
        recent: bool,
    },
    /// Relabelling drops it.
    Dropped,
    /// Not known; carries its hash, for [`SeriesCache::insert`].
    Unknown(u128),
}

/// The texts of one target.
#[derive(Debug)]
pub struct SeriesCache {
    seed: u64,
    entries: Vec<Entry>,
    /// Positions in `entries` by hash; open addressing, at most half full.
    index: Vec<u32>,
    /// The entry expected next.
    cursor: usize,
    round: u32,
    /// The last successful round.
    good_round: u32,
    /// The number of texts at that time.
    good_count: usize,
}

impl SeriesCache {
    /// An empty cache. `seed` must not be known to targets.
    pub fn new(seed: u64) -> Self {
        SeriesCache {
            seed,
            entries: Vec::new(),
            index: Vec::new(),
            cursor: 0,
            round: 2,
            good_round: 0,
            good_count: 0,
        }
    }

    /// Looks up a text and marks it as seen on the page.
    #[inline]
    pub fn lookup(&mut self, key: &[u8]) -> Lookup {
        let hash = XxHash3_128::oneshot_with_seed(self.seed, key);
        let expected = self.entries.get(self.cursor).is_some_and(|entry| entry.hash == hash);
        if !expected {
            match self.find(hash) {
                Some(at) => self.cursor = at,
                None => return Lookup::Unknown(hash),
            }
        }
        let (round, good_round) = (self.round, self.good_round);
        let entry = &mut self.entries[self.cursor];
        let (repeated, recent) = (entry.seen == round, entry.seen >= good_round);
        let at = self.cursor;
        self.cursor += 1;
        match entry.series {
            Some(series) => {
                entry.seen = round;
                Lookup::Known { entry: at as u32, series, repeated, recent }
            }
            None if entry.tracked == DROPPED => {
                entry.seen = round;
                Lookup::Dropped
            }
            None => Lookup::Unknown(hash),
        }
    }

    /// The entry of a text, if it is known.
    pub fn position(&self, key: &[u8]) -> Option<u32> {
        self.find(XxHash3_128::oneshot_with_seed(self.seed, key)).map(|at| at as u32)
    }

    /// Stores an unknown text with its series, or with `None` if relabelling drops it. Returns its entry.
    pub fn insert(&mut self, hash: u128, series: Option<SeriesRef>) -> u32 {
        let tracked = if series.is_none() { DROPPED } else { 0 };
        let entry = Entry { hash, series, seen: self.round, tracked };
        // A refused text keeps its entry and is reused there.
        if let Some(at) = self.find(hash) {
            self.entries[at] = entry;
            self.cursor = at + 1;
            return at as u32;
        }
        if (self.entries.len() + 1) * 2 > self.index.len() {
            self.rebuild_index((self.index.len() * 2).max(64));
        }
        let at = self.entries.len();
        self.entries.push(entry);
        self.place(at);
        self.cursor = at + 1;
        at as u32
    }

    /// Marks the entry's sample as tracked for staleness in this round.
    #[inline]
    pub fn track(&mut self, entry: u32) {
        self.entries[entry as usize].track(self.round);
    }

    /// Records that the store refused the entry's sample. `forget` is set for a new text, which becomes unknown again.
    pub fn refused(&mut self, entry: u32, forget: bool) {
        let round = self.round;
        let entry = &mut self.entries[entry as usize];
        entry.untrack(round);
        if forget {
            entry.series = None;
        }
    }

    /// Forgets the refs of these entries because the store no longer has them.
    pub fn forget(&mut self, entries: impl IntoIterator<Item = u32>) {
        for entry in entries {
            let entry = &mut self.entries[entry as usize];
            entry.series = None;
            entry.tracked = 0;
            entry.seen = 0;
        }
    }

    /// Restarts the round, because the page is read a second time.
    pub fn restart_round(&mut self) {
        self.abandon_round();
        for entry in &mut self.entries {
            if entry.seen == self.round {
                entry.seen = self.good_round;
            }
        }
        self.cursor = 0;
    }

    /// Series that were tracked in the previous round but not in this one.
    pub fn ended_series(&self) -> Vec<SeriesRef> {
        let previous = self.round - 1;
        let was = self.entries.iter().filter(|entry| entry.is_tracked_in(previous));
        let mut ended: Vec<SeriesRef> = was.filter_map(|entry| entry.series).collect();
        if ended.is_empty() {
            return ended;
        }
        let now = self.entries.iter().filter(|entry| entry.is_tracked_in(self.round));
        let alive: HashSet<SeriesRef> = now.filter_map(|entry| entry.series).collect();
        let mut told = HashSet::new();
        ended.retain(|series| !alive.contains(series) && told.insert(*series));
        ended
    }

    /// Discards the round, because the page was invalid.
    pub fn abandon_round(&mut self) {
        self.cursor = 0;
        for entry in &mut self.entries {
            entry.untrack(self.round);
        }
    }

    /// Ends a round. After a good page, texts that it lacked are removed. Returns whether texts of failed
    /// scrapes had to be cleared because there were too many.
    pub fn end_round(&mut self, good: bool) -> bool {
        let overfull = !good && self.entries.len() > self.good_count * 2 + SURPLUS_MAX;
        if good {
            self.good_round = self.round;
        }
        if good || overfull {
            self.drop_unseen();
        }
        if good {
            self.good_count = self.entries.len();
        }
        self.round += 1;
        self.cursor = 0;
        overfull
    }

    fn drop_unseen(&mut self) {
        let round = self.round;
        let before = self.entries.len();
        self.entries.retain(|entry| entry.seen == round);
        if self.entries.len() != before {
            let places = (self.entries.len() * 2 + 1).next_power_of_two().max(64);
            self.rebuild_index(places);
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    fn find(&self, hash: u128) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        let mask = self.index.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            match self.index[place] {
                FREE => return None,
                at if self.entries[at as usize].hash == hash => return Some(at as usize),
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn place(&mut self, at: usize) {
        let mask = self.index.len() - 1;
        let mut place = self.entries[at].hash as usize & mask;
        while self.index[place] != FREE {
            place = (place + 1) & mask;
        }
        self.index[place] = at as u32;
    }

    /// `places` is a power of two and more than twice the number of entries.
    fn rebuild_index(&mut self, places: usize) {
        self.index.clear();
        self.index.resize(places, FREE);
        self.index.shrink_to(places);
        for at in 0..self.entries.len() {
            self.place(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn series(number: u64) -> SeriesRef {
        SeriesRef::new(number).expect("not zero")
    }

    /// One good page: every text is its own series, tracked.
    fn page(cache: &mut SeriesCache, texts: &[u64]) -> Vec<u64> {
        for text in texts {
            let key = format!("m{{n=\"{text}\"}}");
            let entry = match cache.lookup(key.as_bytes()) {
                Lookup::Known { entry, .. } => entry,
                Lookup::Unknown(hash) => cache.insert(hash, Some(series(*text))),
                Lookup::Dropped => panic!("nothing is dropped here"),
            };
            cache.track(entry);
        }
        let ended = cache.ended_series().iter().map(|s| s.get()).collect();
        cache.end_round(true);
        ended
    }

    #[test]
    fn texts_are_recognized_and_their_end_is_detected() {
        let mut cache = SeriesCache::new(7);
        assert_eq!(page(&mut cache, &[1, 2, 3]), [0u64; 0]);
        assert_eq!(page(&mut cache, &[1, 2, 3]), [0u64; 0]);
        assert_eq!(page(&mut cache, &[3, 1]), [2]);
        assert_eq!(page(&mut cache, &[]), [1, 3]);
        assert_eq!(page(&mut cache, &[]), [0u64; 0]);
    }

    #[test]
    fn repeated_and_dropped_texts_are_recognized() {
        let mut cache = SeriesCache::new(7);
        let Lookup::Unknown(hash) = cache.lookup(b"a") else { panic!("new") };
        cache.insert(hash, Some(series(1)));
        assert!(matches!(cache.lookup(b"a"), Lookup::Known { repeated: true, .. }));
        let Lookup::Unknown(hash) = cache.lookup(b"b") else { panic!("new") };
        cache.insert(hash, None);
        assert_eq!(cache.lookup(b"b"), Lookup::Dropped);
        cache.end_round(true);
        assert!(matches!(cache.lookup(b"a"), Lookup::Known { repeated: false, recent: true, .. }));
        assert_eq!(cache.lookup(b"b"), Lookup::Dropped);
    }

    #[test]
    fn a_series_with_two_texts_ends_with_the_last_of_them() {
        let mut cache = SeriesCache::new(7);
        for texts in [&["a", "b"][..], &["b"], &[]] {
            for text in texts {
                let entry = match cache.lookup(text.as_bytes()) {
                    Lookup::Known { entry, .. } => entry,
                    Lookup::Unknown(hash) => cache.insert(hash, Some(series(1))),
                    Lookup::Dropped => panic!("nothing is dropped here"),
                };
                cache.track(entry);
            }
            assert_eq!(cache.ended_series().len(), usize::from(texts.is_empty()));
            cache.end_round(true);
        }
    }

    #[test]
    fn a_failed_page_ends_everything_and_its_texts_do_not_accumulate() {
        let mut cache = SeriesCache::new(7);
        page(&mut cache, &[1, 2]);
        let Lookup::Known { entry, .. } = cache.lookup(b"m{n=\"1\"}") else { panic!("known") };
        cache.track(entry);
        cache.abandon_round();
        assert_eq!(cache.ended_series(), [series(1), series(2)]);
        assert!(!cache.end_round(false));
        assert!(cache.ended_series().is_empty());
        let mut cleared = 0;
        for round in 0..5u32 {
            for text in 0..600u32 {
                let Lookup::Unknown(hash) = cache.lookup(format!("{round}/{text}").as_bytes()) else {
                    panic!("new")
                };
                cache.insert(hash, Some(series(9)));
            }
            cache.abandon_round();
            cleared += usize::from(cache.end_round(false));
            assert!(cache.entries.len() <= 2 * 2 + SURPLUS_MAX, "round {round}");
        }
        assert!(cleared > 0);
    }

    #[test]
    fn a_refused_new_text_is_unknown_again() {
        let mut cache = SeriesCache::new(7);
        let Lookup::Unknown(hash) = cache.lookup(b"a") else { panic!("new") };
        let entry = cache.insert(hash, Some(series(1)));
        cache.track(entry);
        cache.refused(entry, true);
        assert!(matches!(cache.lookup(b"a"), Lookup::Unknown(_)));
        assert_eq!(cache.insert(hash, Some(series(1))), entry);
    }

    proptest! {
        /// Any sequence of good pages yields the same ends as plain sets.
        #[test]
        fn ends_equal_those_of_plain_sets(pages in proptest::collection::vec(proptest::collection::vec(1u64..200, 0..80), 1..12)) {
            let mut cache = SeriesCache::new(1);
            let mut previous = BTreeSet::new();
            for texts in pages {
                let now: BTreeSet<u64> = texts.iter().copied().collect();
                let ended: BTreeSet<u64> = page(&mut cache, &texts).into_iter().collect();
                let expected: BTreeSet<u64> = previous.difference(&now).copied().collect();
                prop_assert_eq!(ended, expected);
                previous = now;
            }
        }

        /// Refs are those that were inserted, whatever the order of texts.
        #[test]
        fn refs_are_those_that_were_inserted(texts in proptest::collection::vec(0u64..3000, 1..2000)) {
            let mut cache = SeriesCache::new(1);
            let mut known = BTreeMap::new();
            for (number, text) in texts.iter().enumerate() {
                match cache.lookup(&text.to_le_bytes()) {
                    Lookup::Known { series, .. } => prop_assert_eq!(Some(&series.get()), known.get(text)),
                    Lookup::Unknown(hash) => {
                        let number = number as u64 + 1;
                        prop_assert!(known.insert(*text, number).is_none());
                        cache.insert(hash, SeriesRef::new(number));
                    }
                    Lookup::Dropped => prop_assert!(false),
                }
            }
        }
    }
}
