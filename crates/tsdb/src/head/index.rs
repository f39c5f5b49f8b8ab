//! The index of the head: interned label pairs, the label list of each series, and postings.
//!
//! A label pair is stored once and identified by a number; a series is a list of such numbers (4 bytes per
//! label). Names and values become strings only at the interface. Always true: no two living series have the
//! same list, and a pair exists as long as a list contains it.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};

use ferula_model::{LabelSet, Matcher};

use super::id_table::IdTable;
use crate::ids::SlotId;
use crate::postings::memory::{Postings, union};
use crate::postings::{self, Compare, PostingsSource};

type PairId = u32;
type NameId = u32;

/// Labels of all series of a head, and the series of each label.
#[derive(Default)]
pub struct Index {
    hasher: RandomState,
    names: Vec<Name>,
    name_table: IdTable,
    pairs: Vec<Pair>,
    pair_table: IdTable,
    free_pairs: Vec<PairId>,
    /// Values of all pairs, concatenated.
    text: String,
    dead_text_bytes: usize,
    /// Label lists, concatenated: the number of labels, then their pairs sorted by name.
    lists: Vec<PairId>,
    dead_list_cells: usize,
    /// Position of each slot's list in `lists`.
    list_of: Vec<u32>,
    identity: IdTable,
    all: Postings,
    /// Label list of the last added series. The next one is usually from the same target and shares most of
    /// it.
    recent: Vec<PairId>,
    /// Series in the order of creation; the first has the number `created_start`.
    created: Vec<SlotId>,
    created_start: u64,
}

struct Name {
    text: Box<str>,
    /// Every pair with this name that a living series has, and possibly some that none has any more.
    pairs: Vec<PairId>,
}

struct Pair {
    name: NameId,
    start: u32,
    length: u32,
    /// Number of lists that contain it.
    uses: u32,
    series: Postings,
}

/// The index is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Limit on the total length of label values and on the number of cells in label lists.
const CELLS_MAX: usize = u32::MAX as usize - (1 << 20);
/// The list of new series is truncated at this length.
const CREATED_MAX: usize = 1 << 20;

impl Index {
    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.all.len()
    }

    fn pair_text(&self, pair: PairId) -> &str {
        let pair = &self.pairs[pair as usize];
        &self.text[pair.start as usize..(pair.start + pair.length) as usize]
    }

    fn pair_hash(&self, name: NameId, value: &str) -> u64 {
        self.hasher.hash_one((name, value))
    }

    fn find_name(&self, name: &str) -> Option<NameId> {
        self.name_table.find(self.hasher.hash_one(name), |id| *self.names[id as usize].text == *name)
    }

    fn find_pair(&self, name: NameId, value: &str) -> Option<PairId> {
        self.pair_table.find(self.pair_hash(name, value), |id| {
            self.pairs[id as usize].name == name && self.pair_text(id) == value
        })
    }

    fn list(&self, slot: SlotId) -> &[PairId] {
        let start = self.list_of[slot.index()] as usize;
        let length = self.lists[start] as usize;
        &self.lists[start + 1..start + 1 + length]
    }

    /// The living series with exactly these labels.
    pub fn find(&self, labels: &LabelSet) -> Option<SlotId> {
        let mut list = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter() {
            list.push(self.find_pair(self.find_name(name)?, value)?);
        }
        let found =
            self.identity.find(self.hasher.hash_one(&list[..]), |id| self.list(SlotId::new(id)) == list);
        found.map(SlotId::new)
    }

    /// Adds a series that does not exist yet.
    ///
    /// # Errors
    /// Label texts or lists would exceed their offsets.
    pub fn insert(&mut self, labels: &LabelSet, slot: SlotId) -> Result<(), Full> {
        self.check_room(labels.iter())?;
        let (list, _) = self.intern_all(labels.iter());
        self.insert_list(list, slot);
        Ok(())
    }

    /// The living series with exactly these labels. If there is none, adds one in the slot that `take`
    /// returns. Also returns whether it was added. Like [`find`](Self::find) and [`insert`](Self::insert),
    /// but looks up every label only once.
    ///
    /// # Errors
    /// There is no space or no free slot.
    pub fn find_or_insert<'l>(
        &mut self,
        labels: impl ExactSizeIterator<Item = (&'l str, &'l str)> + Clone,
        take: impl FnOnce() -> Option<SlotId>,
    ) -> Result<(SlotId, bool), Full> {
        self.check_room(labels.clone())?;
        let (list, new_pairs) = self.intern_all(labels);
        if !new_pairs {
            let hash = self.hasher.hash_one(&list[..]);
            if let Some(slot) = self.identity.find(hash, |id| self.list(SlotId::new(id)) == list) {
                return Ok((SlotId::new(slot), false));
            }
        }
        let Some(slot) = take() else {
            self.drop_unused(&list);
            return Err(Full);
        };
        self.insert_list(list, slot);
        Ok((slot, true))
    }

    /// Drops those of these pairs that no series has.
    fn drop_unused(&mut self, list: &[PairId]) {
        for id in list.iter().copied() {
            let (name, uses) = (self.pairs[id as usize].name, self.pairs[id as usize].uses);
            if uses == 0 {
                self.drop_pair(id);
                self.names[name as usize].pairs.retain(|other| *other != id);
            }
        }
    }

    fn check_room<'l>(&self, labels: impl ExactSizeIterator<Item = (&'l str, &'l str)>) -> Result<(), Full> {
        let count = labels.len();
        let text_bytes: usize = labels.map(|(_, value)| value.len()).sum();
        if self.text.len() + text_bytes > CELLS_MAX || self.lists.len() + count + 1 > CELLS_MAX {
            return Err(Full);
        }
        Ok(())
    }

    /// The pairs of these labels, and whether any of them is new.
    fn intern_all<'l>(&mut self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> (Vec<PairId>, bool) {
        let pairs_before = (self.pairs.len(), self.free_pairs.len());
        let list = labels.enumerate().map(|(place, (name, value))| {
            let recent = self.recent.get(place).copied();
            match recent.filter(|id| self.is_pair(*id, name, value)) {
                Some(id) => id,
                None => self.intern(name, value),
            }
        });
        let list: Vec<PairId> = list.collect();
        (list, pairs_before != (self.pairs.len(), self.free_pairs.len()))
    }

    fn is_pair(&self, id: PairId, name: &str, value: &str) -> bool {
        self.pair_text(id) == value && *self.names[self.pairs[id as usize].name as usize].text == *name
    }

    fn insert_list(&mut self, list: Vec<PairId>, slot: SlotId) {
        let start = self.lists.len() as u32;
        self.lists.push(list.len() as u32);
        self.lists.extend_from_slice(&list);
        if self.list_of.len() <= slot.index() {
            self.list_of.resize(slot.index() + 1, 0);
        }
        self.list_of[slot.index()] = start;
        for pair in &list {
            let pair = &mut self.pairs[*pair as usize];
            pair.uses += 1;
            pair.series.insert(slot.get());
        }
        let hash = self.hasher.hash_one(&list[..]);
        let (lists, list_of, hasher) = (&self.lists, &self.list_of, &self.hasher);
        self.identity.insert(hash, slot.get(), |other| {
            let start = list_of[other as usize] as usize;
            hasher.hash_one(&lists[start + 1..start + 1 + lists[start] as usize])
        });
        self.all.insert(slot.get());
        self.created.push(slot);
        if self.created.len() > CREATED_MAX {
            self.created.drain(..CREATED_MAX / 2);
            self.created_start += CREATED_MAX as u64 / 2;
        }
        self.recent = list;
    }

    fn intern(&mut self, name: &str, value: &str) -> PairId {
        let name = self.find_name(name).unwrap_or_else(|| {
            let id = self.names.len() as NameId;
            self.names.push(Name { text: name.into(), pairs: Vec::new() });
            let (names, hasher) = (&self.names, &self.hasher);
            self.name_table
                .insert(hasher.hash_one(name), id, |other| hasher.hash_one(&*names[other as usize].text));
            id
        });
        if let Some(pair) = self.find_pair(name, value) {
            return pair;
        }
        let start = self.text.len() as u32;
        self.text.push_str(value);
        let pair = Pair { name, start, length: value.len() as u32, uses: 0, series: Postings::Empty };
        let id = match self.free_pairs.pop() {
            Some(id) => {
                self.pairs[id as usize] = pair;
                id
            }
            None => {
                self.pairs.push(pair);
                self.pairs.len() as PairId - 1
            }
        };
        self.names[name as usize].pairs.push(id);
        let hash = self.pair_hash(name, value);
        let (pairs, text, hasher) = (&self.pairs, &self.text, &self.hasher);
        self.pair_table.insert(hash, id, |other| {
            let pair = &pairs[other as usize];
            hasher.hash_one((pair.name, &text[pair.start as usize..(pair.start + pair.length) as usize]))
        });
        id
    }

    /// How many series have the value that `labels` have of a label, and how many values of it there are; `None` when
    /// `labels` have none. Values that no series has any more may be counted for a while.
    pub fn series_with_value_of(&self, labels: &LabelSet, name: &str) -> Option<(u64, u64)> {
        let value = Some(labels.value(name)).filter(|value| !value.is_empty())?;
        let Some(id) = self.find_name(name) else { return Some((0, 0)) };
        let series = self.find_pair(id, value).map_or(0, |pair| self.pairs[pair as usize].uses);
        Some((u64::from(series), self.names[id as usize].pairs.len() as u64))
    }

    /// Takes series out of all postings: nobody finds them any more, but their labels can still be read
    /// until [`release`](Self::release). `dead` rises.
    pub fn unlink(&mut self, dead: &[SlotId]) {
        let mut touched: Vec<PairId> = Vec::new();
        for slot in dead {
            let hash = self.hasher.hash_one(self.list(*slot));
            self.identity.remove(hash, slot.get());
            let start = self.list_of[slot.index()] as usize;
            let length = self.lists[start] as usize;
            touched.extend_from_slice(&self.lists[start + 1..start + 1 + length]);
        }
        touched.sort_unstable();
        touched.dedup();
        let dead: Vec<u32> = dead.iter().map(|slot| slot.get()).collect();
        for pair in touched {
            self.pairs[pair as usize].series.remove_ids(&dead);
        }
        self.all.remove_ids(&dead);
    }

    /// Drops the labels of series that were unlinked.
    pub fn release(&mut self, slots: &[SlotId]) {
        // This may drop its pairs.
        self.recent.clear();
        let mut names: Vec<NameId> = Vec::new();
        for slot in slots {
            let start = self.list_of[slot.index()] as usize;
            let length = self.lists[start] as usize;
            self.dead_list_cells += length + 1;
            for cell in start + 1..start + 1 + length {
                let id = self.lists[cell];
                self.pairs[id as usize].uses -= 1;
                if self.pairs[id as usize].uses == 0 {
                    names.push(self.pairs[id as usize].name);
                    self.drop_pair(id);
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            let mut pairs = std::mem::take(&mut self.names[name as usize].pairs);
            pairs.retain(|id| self.pairs[*id as usize].uses > 0);
            self.names[name as usize].pairs = pairs;
        }
        self.compact_text();
    }

    fn drop_pair(&mut self, id: PairId) {
        let (name, length) = (self.pairs[id as usize].name, self.pairs[id as usize].length);
        let hash = self.pair_hash(name, self.pair_text(id));
        self.pair_table.remove(hash, id);
        self.dead_text_bytes += length as usize;
        self.pairs[id as usize].series = Postings::Empty;
        self.free_pairs.push(id);
    }

    fn compact_text(&mut self) {
        if self.dead_text_bytes * 2 < self.text.len() {
            return;
        }
        let mut text = String::with_capacity(self.text.len() - self.dead_text_bytes);
        for pair in &mut self.pairs {
            if pair.uses > 0 {
                let start = text.len() as u32;
                text.push_str(&self.text[pair.start as usize..(pair.start + pair.length) as usize]);
                pair.start = start;
            }
        }
        (self.text, self.dead_text_bytes) = (text, 0);
    }

    /// Whether half of the space of the label lists belongs to released ones.
    pub fn lists_are_sparse(&self) -> bool {
        self.dead_list_cells * 2 >= self.lists.len()
    }

    /// Compacts the lists of `living`, which are all that may still be read.
    pub fn compact_lists(&mut self, living: &[SlotId]) {
        let mut lists = Vec::with_capacity(self.lists.len() - self.dead_list_cells);
        for slot in living {
            let start = lists.len() as u32;
            let list = self.list(*slot);
            lists.push(list.len() as u32);
            lists.extend_from_slice(list);
            self.list_of[slot.index()] = start;
        }
        (self.lists, self.dead_list_cells) = (lists, 0);
    }

    /// Labels of a series, as pairs sorted by name.
    pub fn labels(&self, slot: SlotId) -> Labels<'_> {
        Labels { index: self, pairs: self.list(slot).iter() }
    }

    /// Labels of a series.
    pub fn label_set(&self, slot: SlotId) -> LabelSet {
        LabelSet::from_sorted(self.labels(slot))
    }

    fn value_of(&self, slot: SlotId, name: NameId) -> &str {
        let pair = self.list(slot).iter().find(|pair| self.pairs[**pair as usize].name == name);
        pair.map_or("", |pair| self.pair_text(*pair))
    }

    /// The series that match all matchers, in ascending order. Without matchers, all series match.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<SlotId> {
        self.select_by(matchers, &Matcher::matches)
    }

    /// [`select`](Self::select) with a different comparison of values with matchers.
    pub fn select_by(&self, matchers: &[Matcher], matches: &Compare<'_>) -> Vec<SlotId> {
        let Ok(ids) = postings::select(self, matchers, matches);
        ids.into_iter().map(SlotId::new).collect()
    }

    fn postings(&self, name: &str, value: &str) -> &Postings {
        const NONE: &Postings = &Postings::Empty;
        let pair = self.find_name(name).and_then(|name| self.find_pair(name, value));
        pair.map_or(NONE, |pair| &self.pairs[pair as usize].series)
    }

    /// The symbols of these series, sorted, and the series in label order with the numbers of their names and
    /// values among the symbols.
    pub fn in_label_order(&self, mut slots: Vec<SlotId>) -> (Vec<String>, Vec<(SlotId, Vec<(u32, u32)>)>) {
        let mut used = vec![false; self.pairs.len()];
        for slot in &slots {
            self.list(*slot).iter().for_each(|pair| used[*pair as usize] = true);
        }
        let mut pairs: Vec<PairId> =
            (0..self.pairs.len() as PairId).filter(|id| used[*id as usize]).collect();
        let name_of = |pair: PairId| &*self.names[self.pairs[pair as usize].name as usize].text;
        pairs.sort_unstable_by(|a, b| {
            (name_of(*a), self.pair_text(*a)).cmp(&(name_of(*b), self.pair_text(*b)))
        });
        // The ranks of pairs sort like names and values.
        let mut rank = vec![0u32; self.pairs.len()];
        (0..).zip(&pairs).for_each(|(place, pair)| rank[*pair as usize] = place);
        slots.sort_unstable_by(|a, b| {
            let ranks = |slot: SlotId| self.list(slot).iter().map(|pair| rank[*pair as usize]);
            ranks(*a).cmp(ranks(*b))
        });
        let mut symbols: Vec<&str> =
            pairs.iter().flat_map(|pair| [name_of(*pair), self.pair_text(*pair)]).collect();
        symbols.sort_unstable();
        symbols.dedup();
        let number = |text: &str| symbols.binary_search(&text).map_or(0, |place| place as u32);
        let mut numbers = vec![(0u32, 0u32); self.pairs.len()];
        for pair in &pairs {
            numbers[*pair as usize] = (number(name_of(*pair)), number(self.pair_text(*pair)));
        }
        let series = slots
            .into_iter()
            .map(|slot| (slot, self.list(slot).iter().map(|pair| numbers[*pair as usize]).collect()))
            .collect();
        (symbols.into_iter().map(str::to_owned).collect(), series)
    }

    /// The number that the next new series gets in [`created_since`](Self::created_since).
    pub fn created_end(&self) -> u64 {
        self.created_start + self.created.len() as u64
    }

    /// Series created since `created_end` returned `since`; `None` if that is too long ago.
    pub fn created_since(&self, since: u64) -> Option<&[SlotId]> {
        self.created.get(usize::try_from(since.checked_sub(self.created_start)?).ok()?..)
    }

    /// Whether a series matches all matchers.
    pub fn matches(&self, slot: SlotId, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| {
            let value = self.find_name(&matcher.name).map_or("", |name| self.value_of(slot, name));
            matcher.matches(value)
        })
    }

    /// Label names of all series, sorted.
    pub fn label_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .names
            .iter()
            .filter(|name| name.pairs.iter().any(|pair| !self.pairs[*pair as usize].series.is_empty()))
            .map(|name| name.text.to_string())
            .collect();
        names.sort_unstable();
        names
    }

    /// Label names of these series, sorted.
    pub fn label_names_of(&self, slots: &[SlotId]) -> Vec<String> {
        let mut seen = vec![false; self.names.len()];
        for slot in slots {
            for pair in self.list(*slot) {
                seen[self.pairs[*pair as usize].name as usize] = true;
            }
        }
        let mut names: Vec<String> = self
            .names
            .iter()
            .zip(seen)
            .filter(|(_, seen)| *seen)
            .map(|(name, _)| name.text.to_string())
            .collect();
        names.sort_unstable();
        names
    }

    /// Values of a label, sorted.
    pub fn label_values(&self, name: &str) -> Vec<String> {
        let Some(name) = self.find_name(name) else { return Vec::new() };
        let pairs = &self.names[name as usize].pairs;
        let mut values: Vec<String> = pairs
            .iter()
            .filter(|pair| !self.pairs[**pair as usize].series.is_empty())
            .map(|pair| self.pair_text(*pair).to_owned())
            .collect();
        values.sort_unstable();
        values
    }

    /// Values of a label in these series, sorted.
    pub fn label_values_of(&self, name: &str, slots: &[SlotId]) -> Vec<String> {
        let Some(name) = self.find_name(name) else { return Vec::new() };
        let mut pairs: Vec<PairId> = Vec::new();
        for slot in slots {
            pairs.extend(self.list(*slot).iter().find(|pair| self.pairs[**pair as usize].name == name));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut values: Vec<String> = pairs.iter().map(|pair| self.pair_text(*pair).to_owned()).collect();
        values.sort_unstable();
        values
    }

    /// Data for `/api/v1/status/tsdb`: the `limit` largest of each kind, largest first.
    pub fn cardinality(&self, label: &str, limit: usize) -> Cardinality {
        let (mut by_name, mut values, mut bytes, mut by_pair) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut label_pairs = 0;
        for name in &self.names {
            let (mut count, mut memory) = (0, 0);
            for id in &name.pairs {
                let series = self.pairs[*id as usize].series.len() as u64;
                if series == 0 {
                    continue;
                }
                let text = self.pair_text(*id);
                count += 1;
                memory += text.len() as u64 * series;
                by_pair.push((format!("{}={text}", name.text), series));
                if *name.text == *label {
                    by_name.push((text.to_owned(), series));
                }
            }
            if count > 0 {
                values.push((name.text.to_string(), count));
                bytes.push((name.text.to_string(), memory));
                label_pairs += count;
            }
        }
        Cardinality {
            series_by_value: top(by_name, limit),
            values_by_name: top(values, limit),
            bytes_by_name: top(bytes, limit),
            series_by_pair: top(by_pair, limit),
            label_pairs,
        }
    }

    /// How many series each value of a label has.
    pub fn series_by_value(&self, label: &str) -> Vec<(String, u64)> {
        let Some(name) = self.find_name(label) else { return Vec::new() };
        let pairs = self.names[name as usize].pairs.iter();
        let counted = pairs.map(|id| (self.pair_text(*id), self.pairs[*id as usize].series.len() as u64));
        counted.filter(|(_, series)| *series > 0).map(|(value, series)| (value.to_owned(), series)).collect()
    }

    /// Memory used by labels and their postings, computed in constant time: postings are assumed to take 4
    /// bytes per label.
    pub fn label_bytes(&self) -> u64 {
        let cells = 2 * self.lists.len() + self.list_of.len() + self.pairs.len();
        let pairs = self.pairs.len() * size_of::<Pair>();
        let tables = self.identity.heap_bytes() + self.pair_table.heap_bytes();
        (cells * size_of::<u32>() + pairs + tables + self.text.len()) as u64
    }
}

impl PostingsSource for Index {
    type Error = Infallible;

    fn all(&self) -> Result<Vec<u32>, Infallible> {
        Ok(self.all.to_vec())
    }

    fn equal(&self, name: &str, value: &str) -> Result<Vec<u32>, Infallible> {
        Ok(self.postings(name, value).to_vec())
    }

    fn count(&self, name: &str, value: &str) -> Option<usize> {
        Some(self.postings(name, value).len())
    }

    fn filter(&self, ids: &mut Vec<u32>, name: &str, value: &str, keep: bool) -> Result<(), Infallible> {
        self.postings(name, value).filter(ids, keep);
        Ok(())
    }

    fn having(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>, Infallible> {
        let pairs = self.find_name(name).map_or(&[][..], |name| &self.names[name as usize].pairs);
        let mut wanted = |pair: &Pair, text: &str| !pair.series.is_empty() && wanted(text);
        let lists = pairs.iter().filter_map(|id| {
            let pair = &self.pairs[*id as usize];
            wanted(pair, self.pair_text(*id)).then_some(&pair.series)
        });
        Ok(union(lists))
    }

    fn filter_each(&self, ids: &mut Vec<u32>, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> bool {
        let name = self.find_name(name);
        let cheaper = name.is_some_and(|name| ids.len() < self.names[name as usize].pairs.len());
        if let (true, Some(name)) = (cheaper, name) {
            ids.retain(|id| wanted(self.value_of(SlotId::new(*id), name)));
        }
        cheaper
    }
}

/// Labels of a series, name and value, sorted by name.
#[derive(Clone)]
pub struct Labels<'a> {
    index: &'a Index,
    pairs: std::slice::Iter<'a, PairId>,
}

impl<'a> Iterator for Labels<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let pair = *self.pairs.next()?;
        let name = self.index.pairs[pair as usize].name;
        Some((&*self.index.names[name as usize].text, self.index.pair_text(pair)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pairs.size_hint()
    }
}

impl ExactSizeIterator for Labels<'_> {}

/// The largest labels of a head.
#[derive(Clone, Debug, Default)]
pub struct Cardinality {
    /// Number of series by value of the requested label (usually the metric name).
    pub series_by_value: Vec<(String, u64)>,
    /// Number of values of each label.
    pub values_by_name: Vec<(String, u64)>,
    /// Size of the values of each label in bytes, summed over all series.
    pub bytes_by_name: Vec<(String, u64)>,
    /// Number of series by `name=value`.
    pub series_by_pair: Vec<(String, u64)>,
    /// Number of distinct label pairs.
    pub label_pairs: u64,
}

fn top(mut entries: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    entries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    entries.truncate(limit);
    entries
}

#[cfg(test)]
mod tests;
