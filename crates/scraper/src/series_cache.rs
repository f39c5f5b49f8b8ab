//! The series that a target exposed before: maps the text of a series to its ref without touching labels.
//!
//! Pages keep their order from scrape to scrape, so the next line is expected to be the one that followed last time;
//! only surprises are looked up. Of each text only its length and a 128-bit keyed hash are kept. The key is secret,
//! so collisions cannot be forced. With the length, a parser recognizes the expected text without searching for its end.
//!
//! Staleness works by rounds; a round is one scrape. A series that was tracked in the previous round but not in this
//! one has ended. Several texts may map to one series after relabelling; it ends when none of them is left. What a round has
//! of the texts is one bit each, so that the end of a page on which nothing ended looks at 64 texts at once.

use std::collections::HashSet;

use ferula_exposition::Format;
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
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub struct SeriesCache {
    seed: u64,
    entries: Vec<Entry>,
    /// Positions in `entries` by hash; open addressing, at most half full.
    index: Vec<u32>,
    /// The length of each entry's text; 0 if it is unknown or longer than `u16::MAX`.
    text_bytes: Vec<u16>,
    /// The format of the pages that `text_bytes` is about.
    format: Option<Format>,
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
            text_bytes: Vec::new(),
            format: None,
            cursor: 0,
            dropped: Bits::default(),
            seen: Bits::default(),
            tracked: Bits::default(),
            tracked_before: Bits::default(),
            good_count: 0,
        }
    }

    /// Begins a page of this format.
    pub fn begin_page(&mut self, format: Format) {
        if self.format.replace(format) != Some(format) {
            // What is a series in one format may be none in another.
            self.text_bytes.fill(0);
        }
    }

    /// Looks up a text and marks it as seen on the page.
    #[inline]
    pub fn lookup(&mut self, key: &[u8]) -> Lookup {
        let hash = self.hash(key);
        if self.entries.get(self.cursor).is_none_or(|entry| entry.hash != halves(hash)) {
            match self.find(halves(hash)) {
                Some(at) => self.cursor = at,
                None => return Lookup::Unknown(hash),
            }
        }
        self.text_bytes[self.cursor] = u16::try_from(key.len()).unwrap_or(0);
        self.take_expected()
    }

    /// The length of the text expected next, if there is one and its length is known.
    #[inline]
    pub fn expected_bytes(&self) -> Option<usize> {
        self.text_bytes.get(self.cursor).map(|bytes| usize::from(*bytes)).filter(|bytes| *bytes > 0)
    }

    /// Whether this text is the one expected next.
    #[inline]
    pub fn is_expected(&self, key: &[u8]) -> bool {
        self.entries.get(self.cursor).is_some_and(|entry| entry.hash == halves(self.hash(key)))
    }

    /// The same as [`lookup`](Self::lookup) of the text expected next.
    ///
    /// # Panics
    /// No text is expected.
    #[inline]
    pub fn take_expected(&mut self) -> Lookup {
        let at = self.cursor;
        let Entry { hash, series } = self.entries[at];
        self.cursor += 1;
        match series {
            Some(series) => Lookup::Known { entry: at as u32, series, repeated: self.seen.replace(at) },
            None if self.dropped.get(at) => {
                self.seen.set(at);
                Lookup::Dropped
            }
            None => Lookup::Unknown(u128::from(hash[1]) << 64 | u128::from(hash[0])),
        }
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_seed(self.seed, key)
    }

    /// The entry of a text, if it is known.
    pub fn position(&self, key: &[u8]) -> Option<u32> {
        self.find(halves(self.hash(key))).map(|at| at as u32)
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
                self.text_bytes.push(0);
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
                self.text_bytes[kept] = self.text_bytes[at];
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
        self.text_bytes.truncate(kept);
        (self.tracked, self.dropped) = (tracked, dropped);
        let places = (self.entries.len() * 2 + 1).next_power_of_two().max(64);
        self.rebuild_index(places);
        self.entries.shrink_to(self.entries.len() * 2);
        self.text_bytes.shrink_to(self.text_bytes.len() * 2);
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
mod tests;
