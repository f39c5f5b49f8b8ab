//! The series that a target exposed before: maps the text of a series to its ref without touching labels.
//!
//! Pages keep their order from scrape to scrape, so the next line is expected to be the one that followed last time;
//! only surprises are looked up. Of each text only a 128-bit keyed hash is kept. Its key is secret,
//! so collisions cannot be forced.
//!
//! Staleness works by rounds; a round is one scrape. A series that was tracked in the previous round but not in this
//! one has ended. Several texts may map to one series after relabelling; it ends when none of them is left. What a round has
//! of the texts is one bit each, so that the end of a page on which nothing ended looks at 64 texts at once.

use std::collections::HashSet;

use ferula_model::SeriesRef;
use twox_hash::XxHash3_128;

/// A free slot of the index.
const FREE: u32 = u32::MAX;
/// How many texts failing scrapes may leave behind before they are cleared, beyond twice the usual number.
const SURPLUS_MAX: usize = 1000;

/// One text of a target.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Low and high half of its hash.
    hash: [u64; 2],
    /// `None` for a text that relabelling drops, and for one whose sample the store refused, which is treated as unknown.
    series: Option<SeriesRef>,
}

fn halves(hash: u128) -> [u64; 2] {
    [hash as u64, (hash >> 64) as u64]
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
    },
    /// Relabelling drops it.
    Dropped,
    /// Not known; carries its hash, for [`SeriesCache::insert`].
    Unknown(u128),
}

/// One bit for each entry.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn get(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    #[inline]
    fn set(&mut self, at: usize) {
        self.replace(at);
    }

    /// Sets a bit; returns whether it was set before.
    #[inline]
    fn replace(&mut self, at: usize) -> bool {
        if at / 64 >= self.0.len() {
            self.0.resize(at / 64 + 1, 0);
        }
        let (word, bit) = (&mut self.0[at / 64], 1 << (at % 64));
        let before = *word & bit != 0;
        *word |= bit;
        before
    }

    fn clear(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    fn clear_all(&mut self) {
        self.0.clear();
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Positions of the bits that are set here and not in `other`.
    fn without(&self, other: &Bits) -> impl Iterator<Item = usize> {
        let words = self
            .0
            .iter()
            .enumerate()
            .map(|(place, word)| (place, word & !other.0.get(place).copied().unwrap_or(0)));
        words.filter(|(_, word)| *word != 0).flat_map(|(place, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place * 64 + bit)
        })
    }
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
    /// The entries that relabelling drops.
    dropped: Bits,
    /// The entries that this round's page had.
    seen: Bits,
    /// The entries whose samples count for staleness in this round,
    tracked: Bits,
    /// and in the previous one.
    tracked_before: Bits,
    /// The number of texts of the last successful round.
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
            dropped: Bits::default(),
            seen: Bits::default(),
            tracked: Bits::default(),
            tracked_before: Bits::default(),
            good_count: 0,
        }
    }

    /// Looks up a text and marks it as seen on the page.
    #[inline]
    pub fn lookup(&mut self, key: &[u8]) -> Lookup {
        let hash = XxHash3_128::oneshot_with_seed(self.seed, key);
        let expected = self.entries.get(self.cursor).filter(|entry| entry.hash == halves(hash));
        let series = match expected {
            Some(entry) => entry.series,
            None => match self.find(halves(hash)) {
                Some(at) => {
                    self.cursor = at;
                    self.entries[at].series
                }
                None => return Lookup::Unknown(hash),
            },
        };
        let at = self.cursor;
        self.cursor += 1;
        match series {
            Some(series) => Lookup::Known { entry: at as u32, series, repeated: self.seen.replace(at) },
            None if self.dropped.get(at) => {
                self.seen.set(at);
                Lookup::Dropped
            }
            None => Lookup::Unknown(hash),
        }
    }

    /// The entry of a text, if it is known.
    pub fn position(&self, key: &[u8]) -> Option<u32> {
        self.find(halves(XxHash3_128::oneshot_with_seed(self.seed, key))).map(|at| at as u32)
    }

    /// Stores an unknown text with its series, or with `None` if relabelling drops it. Returns its entry.
    pub fn insert(&mut self, hash: u128, series: Option<SeriesRef>) -> u32 {
        let hash = halves(hash);
        let entry = Entry { hash, series };
        // A refused text keeps its entry and is reused there.
        let at = match self.find(hash) {
            Some(at) => {
                self.entries[at] = entry;
                self.tracked.clear(at);
                self.tracked_before.clear(at);
                at
            }
            None => {
                if (self.entries.len() + 1) * 2 > self.index.len() {
                    self.rebuild_index((self.index.len() * 2).max(64));
                }
                self.entries.push(entry);
                self.place(self.entries.len() - 1);
                self.entries.len() - 1
            }
        };
        if series.is_none() {
            self.dropped.set(at)
        } else {
            self.dropped.clear(at)
        }
        self.seen.set(at);
        self.cursor = at + 1;
        at as u32
    }

    /// Marks the entry's sample as tracked for staleness in this round.
    #[inline]
    pub fn track(&mut self, entry: u32) {
        self.tracked.set(entry as usize);
    }

    /// Records that the store refused the entry's sample. `forget` is set for a new text, which becomes unknown again.
    pub fn refused(&mut self, entry: u32, forget: bool) {
        self.tracked.clear(entry as usize);
        if forget {
            self.entries[entry as usize].series = None;
        }
    }

    /// Forgets the refs of these entries because the store no longer has them.
    pub fn forget(&mut self, entries: impl IntoIterator<Item = u32>) {
        for entry in entries {
            let at = entry as usize;
            self.entries[at].series = None;
            self.tracked.clear(at);
            self.tracked_before.clear(at);
            self.seen.clear(at);
        }
    }

    /// Restarts the round, because the page is read a second time.
    pub fn restart_round(&mut self) {
        self.abandon_round();
        self.seen.clear_all();
    }

    /// Series that were tracked in the previous round but not in this one.
    pub fn ended_series(&self) -> Vec<SeriesRef> {
        let of = |at: usize| self.entries[at].series;
        let mut ended: Vec<SeriesRef> = self.tracked_before.without(&self.tracked).filter_map(of).collect();
        if ended.is_empty() {
            return ended;
        }
        let alive: HashSet<SeriesRef> = self.tracked.without(&Bits::default()).filter_map(of).collect();
        let mut told = HashSet::new();
        ended.retain(|series| !alive.contains(series) && told.insert(*series));
        ended
    }

    /// Discards the round, because the page was invalid.
    pub fn abandon_round(&mut self) {
        self.cursor = 0;
        self.tracked.clear_all();
    }

    /// Ends a round. After a good page, texts that it lacked are removed. Returns whether texts of failed
    /// scrapes had to be cleared because there were too many.
    pub fn end_round(&mut self, good: bool) -> bool {
        let overfull = !good && self.entries.len() > self.good_count * 2 + SURPLUS_MAX;
        if good || overfull {
            self.drop_unseen();
        }
        if good {
            self.good_count = self.entries.len();
        }
        self.tracked_before.clear_all();
        std::mem::swap(&mut self.tracked, &mut self.tracked_before);
        self.seen.clear_all();
        self.cursor = 0;
        overfull
    }

    fn drop_unseen(&mut self) {
        if self.seen.count() == self.entries.len() {
            return;
        }
        let (mut tracked, mut dropped) = (Bits::default(), Bits::default());
        let mut kept = 0;
        for at in 0..self.entries.len() {
            if self.seen.get(at) {
                self.entries[kept] = self.entries[at];
                if self.tracked.get(at) {
                    tracked.set(kept);
                }
                if self.dropped.get(at) {
                    dropped.set(kept);
                }
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        (self.tracked, self.dropped) = (tracked, dropped);
        let places = (self.entries.len() * 2 + 1).next_power_of_two().max(64);
        self.rebuild_index(places);
        self.entries.shrink_to(self.entries.len() * 2);
    }

    fn find(&self, hash: [u64; 2]) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        let mask = self.index.len() - 1;
        let mut place = hash[0] as usize & mask;
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
        let mut place = self.entries[at].hash[0] as usize & mask;
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
        assert!(matches!(cache.lookup(b"a"), Lookup::Known { repeated: false, .. }));
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

        /// Whatever happens to pages and samples, repeated texts, lost refs and ended series are those of plain sets.
        #[test]
        fn rounds_equal_those_of_plain_sets(
            rounds in proptest::collection::vec(
                (proptest::collection::vec((0u64..100, any::<u8>()), 0..80), any::<bool>()), 1..10),
        ) {
            let mut cache = SeriesCache::new(1);
            let mut known: BTreeSet<u64> = BTreeSet::new();
            let mut tracked_before: BTreeSet<u64> = BTreeSet::new();
            for (texts, good) in rounds {
                let (mut seen, mut tracked) = (BTreeSet::new(), BTreeSet::new());
                for (text, choice) in texts {
                    let entry = match cache.lookup(&text.to_le_bytes()) {
                        Lookup::Known { entry, series, repeated } => {
                            prop_assert!(known.contains(&text) && series.get() == text + 1);
                            prop_assert_eq!(repeated, seen.contains(&text));
                            entry
                        }
                        Lookup::Unknown(hash) => {
                            prop_assert!(!known.contains(&text));
                            known.insert(text);
                            tracked_before.remove(&text);
                            cache.insert(hash, SeriesRef::new(text + 1))
                        }
                        Lookup::Dropped => return Err(TestCaseError::fail("nothing is dropped here")),
                    };
                    seen.insert(text);
                    match choice % 8 {
                        0 => {}
                        1 => {
                            cache.refused(entry, true);
                            known.remove(&text);
                            tracked.remove(&text);
                            tracked_before.remove(&text);
                        }
                        2 => {
                            cache.refused(entry, false);
                            tracked.remove(&text);
                        }
                        3 => {
                            cache.forget([entry]);
                            known.remove(&text);
                            tracked.remove(&text);
                            tracked_before.remove(&text);
                            seen.remove(&text);
                        }
                        _ => {
                            cache.track(entry);
                            tracked.insert(text);
                        }
                    }
                }
                if !good {
                    cache.abandon_round();
                    tracked.clear();
                }
                let ended: BTreeSet<u64> = cache.ended_series().iter().map(|series| series.get() - 1).collect();
                let expected: BTreeSet<u64> = tracked_before.difference(&tracked).copied().collect();
                prop_assert_eq!(ended, expected);
                if good {
                    known.retain(|text| seen.contains(text));
                }
                cache.end_round(good);
                tracked_before = tracked;
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
