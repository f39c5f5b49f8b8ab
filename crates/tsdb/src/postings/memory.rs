//! Sorted sets of series in the head: one for each label pair, and operations on them for matchers.
//!
//! A set is stored as single ids or as runs, whichever is smaller: the series of one target are created
//! together and have adjacent ids, so most sets consist of a few runs (0.01 to 0.2 bytes per id instead of
//! 4).

/// A sorted set of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Postings {
    /// No id.
    #[default]
    Empty,
    /// One id.
    One(u32),
    /// Strictly ascending ids.
    Ids(Vec<u32>),
    /// Ascending runs that do not touch.
    Runs(Vec<Run>),
}

/// Ids from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    start: u32,
    end: u32,
}

/// Shorter lists are not converted to runs.
const RUNS_MIN_IDS: usize = 16;
/// Up to this many ids are removed one by one: moving the rest of a list costs less than a pass over it.
const REMOVED_SINGLY_MAX: usize = 64;

impl Postings {
    /// Adds an id. This is cheapest if it is larger than all others in the set.
    pub fn insert(&mut self, id: u32) {
        match self {
            Postings::Empty => *self = Postings::One(id),
            Postings::One(only) if *only == id => {}
            Postings::One(only) => *self = Postings::Ids(vec![id.min(*only), id.max(*only)]),
            Postings::Ids(ids) => {
                match ids.last() {
                    Some(last) if *last < id => ids.push(id),
                    _ => {
                        if let Err(at) = ids.binary_search(&id) {
                            ids.insert(at, id);
                        }
                    }
                }
                // Checked at sizes that double, so that the check costs nothing per insertion.
                if ids.len() >= RUNS_MIN_IDS && ids.len().is_power_of_two() {
                    self.compact();
                }
            }
            Postings::Runs(runs) => {
                insert_into_runs(runs, id);
                if runs.len() >= RUNS_MIN_IDS && runs.len().is_power_of_two() {
                    self.compact();
                }
            }
        }
    }

    /// Converts to the smaller of the two forms.
    fn compact(&mut self) {
        let ids = self.len();
        let runs = match self {
            Postings::Ids(ids) => 1 + ids.windows(2).filter(|two| two[0] + 1 != two[1]).count(),
            Postings::Runs(runs) => runs.len(),
            Postings::Empty | Postings::One(_) => return,
        };
        // A run takes as much space as two ids; the margin of half that keeps a set from changing forms all
        // the time.
        match self {
            Postings::Ids(_) if runs * 3 < ids => {
                let mut list: Vec<Run> = Vec::with_capacity(runs);
                self.for_each(|id| insert_into_runs(&mut list, id));
                *self = Postings::Runs(list);
            }
            Postings::Runs(_) if runs * 2 > ids => {
                *self = Postings::Ids(self.to_vec());
            }
            _ => {}
        }
    }

    /// Removes the ids for which `dead` returns true.
    pub fn remove(&mut self, mut dead: impl FnMut(u32) -> bool) {
        let mut kept = Postings::Empty;
        let mut removed = false;
        self.for_each(|id| {
            if dead(id) {
                removed = true;
            } else {
                kept.insert(id);
            }
        });
        if removed {
            kept.compact();
            if let Postings::Ids(ids) = &mut kept {
                ids.shrink_to_fit();
            }
            *self = kept;
        }
    }

    /// Removes ids in ascending order. A few are removed in place; only for many is the set rebuilt.
    pub fn remove_ids(&mut self, dead: &[u32]) {
        if dead.len() > REMOVED_SINGLY_MAX {
            return self.remove(|id| dead.binary_search(&id).is_ok());
        }
        for id in dead {
            match self {
                Postings::One(only) if only == id => *self = Postings::Empty,
                Postings::Empty | Postings::One(_) => {}
                Postings::Ids(ids) => {
                    if let Ok(at) = ids.binary_search(id) {
                        ids.remove(at);
                    }
                    if ids.is_empty() {
                        *self = Postings::Empty;
                    }
                }
                Postings::Runs(runs) => {
                    remove_from_runs(runs, *id);
                    if runs.is_empty() {
                        *self = Postings::Empty;
                    }
                }
            }
        }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        match self {
            Postings::Empty => 0,
            Postings::One(_) => 1,
            Postings::Ids(ids) => ids.len(),
            Postings::Runs(runs) => runs.iter().map(|run| (run.end - run.start) as usize).sum(),
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        matches!(self, Postings::Empty)
    }

    /// Visits the ids in ascending order.
    pub fn for_each(&self, mut each: impl FnMut(u32)) {
        match self {
            Postings::Empty => {}
            Postings::One(id) => each(*id),
            Postings::Ids(ids) => ids.iter().copied().for_each(each),
            Postings::Runs(runs) => runs.iter().for_each(|run| (run.start..run.end).for_each(&mut each)),
        }
    }

    /// The ids in ascending order.
    pub fn to_vec(&self) -> Vec<u32> {
        let mut ids = Vec::with_capacity(self.len());
        self.for_each(|id| ids.push(id));
        ids
    }

    /// Keeps those of `ids` (in ascending order) that are in the set, or those that are not.
    pub fn filter(&self, ids: &mut Vec<u32>, keep_members: bool) {
        let mut cursor = Cursor { postings: self, at: 0 };
        ids.retain(|id| cursor.contains(*id) == keep_members);
    }

    /// Memory of the set on the heap, in bytes.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        match self {
            Postings::Empty | Postings::One(_) => 0,
            Postings::Ids(ids) => ids.capacity() * size_of::<u32>(),
            Postings::Runs(runs) => runs.capacity() * size_of::<Run>(),
        }
    }
}

fn insert_into_runs(runs: &mut Vec<Run>, id: u32) {
    let at = runs.partition_point(|run| run.start <= id);
    let touches_before = at > 0 && runs[at - 1].end >= id;
    if touches_before && runs[at - 1].end > id {
        return;
    }
    let touches_after = at < runs.len() && runs[at].start == id + 1;
    match (touches_before, touches_after) {
        (true, true) => {
            runs[at - 1].end = runs[at].end;
            runs.remove(at);
        }
        (true, false) => runs[at - 1].end = id + 1,
        (false, true) => runs[at].start = id,
        (false, false) => runs.insert(at, Run { start: id, end: id + 1 }),
    }
}

fn remove_from_runs(runs: &mut Vec<Run>, id: u32) {
    let at = runs.partition_point(|run| run.end <= id);
    let Some(run) = runs.get_mut(at).filter(|run| run.start <= id) else { return };
    let after = Run { start: id + 1, end: run.end };
    run.end = id;
    let (is_empty, rest) = (run.start == run.end, after.start < after.end);
    match (is_empty, rest) {
        (true, true) => runs[at] = after,
        (true, false) => drop(runs.remove(at)),
        (false, true) => runs.insert(at + 1, after),
        (false, false) => {}
    }
}

/// Answers membership for ascending ids by galloping ahead.
struct Cursor<'a> {
    postings: &'a Postings,
    at: usize,
}

impl Cursor<'_> {
    fn contains(&mut self, id: u32) -> bool {
        match self.postings {
            Postings::Empty => false,
            Postings::One(only) => *only == id,
            Postings::Ids(ids) => {
                self.at += gallop(&ids[self.at..], |other| *other < id);
                ids.get(self.at) == Some(&id)
            }
            Postings::Runs(runs) => {
                self.at += gallop(&runs[self.at..], |run| run.end <= id);
                runs.get(self.at).is_some_and(|run| run.start <= id)
            }
        }
    }
}

/// How many items at the front fulfil `before`; fast if there are few.
fn gallop<T>(items: &[T], before: impl Fn(&T) -> bool) -> usize {
    let mut step = 1;
    while step < items.len() && before(&items[step - 1]) {
        step *= 2;
    }
    let (low, high) = (step / 2, step.min(items.len()));
    low + items[low..high].partition_point(before)
}

/// The union of sets, as ascending ids.
pub fn union<'a>(sets: impl IntoIterator<Item = &'a Postings>) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut sets_seen = 0;
    for set in sets {
        set.for_each(|id| ids.push(id));
        sets_seen += 1;
    }
    if sets_seen > 1 {
        ids.sort_unstable();
        ids.dedup();
    }
    ids
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn adjacent_ids_become_runs() {
        let mut postings = Postings::default();
        (0..100_000).for_each(|id| postings.insert(id));
        assert_eq!(postings.len(), 100_000);
        assert!(postings.heap_bytes() < 200, "{} bytes", postings.heap_bytes());
    }

    /// Clustered ids, so that both forms and both conversions occur.
    fn ids() -> impl Strategy<Value = Vec<u32>> {
        proptest::collection::vec((0u32..400, 1u32..40), 0..60)
            .prop_map(|clumps| clumps.into_iter().flat_map(|(start, length)| start..start + length).collect())
    }

    proptest! {
        #[test]
        fn a_set_is_what_a_btree_set_is(insert in ids(), remove in ids(), probe in ids()) {
            let mut model = BTreeSet::new();
            let mut postings = Postings::default();
            for id in &insert {
                model.insert(*id);
                postings.insert(*id);
            }
            prop_assert_eq!(postings.to_vec(), model.iter().copied().collect::<Vec<_>>());
            let mut singly = postings.clone();
            model.retain(|id| !remove.contains(id));
            postings.remove(|id| remove.contains(&id));
            let dead: Vec<u32> = remove.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            for some in dead.chunks(REMOVED_SINGLY_MAX / 2) {
                singly.remove_ids(some);
            }
            prop_assert_eq!(singly.to_vec(), postings.to_vec());
            prop_assert_eq!(singly.is_empty(), model.is_empty());
            insert.iter().for_each(|id| singly.insert(*id));
            let all: Vec<u32> = insert.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            prop_assert_eq!(singly.to_vec(), all);
            prop_assert_eq!(postings.to_vec(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(postings.len(), model.len());
            let mut probe: Vec<u32> = probe.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            let mut others = probe.clone();
            postings.filter(&mut others, false);
            postings.filter(&mut probe, true);
            prop_assert!(probe.iter().all(|id| model.contains(id)));
            prop_assert!(others.iter().all(|id| !model.contains(id)));
        }

        #[test]
        fn a_union_has_every_id_once(a in ids(), b in ids()) {
            let make = |ids: &[u32]| {
                let mut set = Postings::default();
                ids.iter().for_each(|id| set.insert(*id));
                set
            };
            let expected: BTreeSet<u32> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(union([&make(&a), &make(&b)]), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
