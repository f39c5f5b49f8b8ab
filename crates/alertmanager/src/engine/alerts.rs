//! The alerts of the engine, and which groups they are in.
//!
//! Every alert is held once, by its fingerprint, and groups have only the fingerprints: a report that changes nothing but the
//! times of an alert changes one entry in its place, however many groups the alert is in.
//!
//! Always true: a group has a fingerprint if, and only if, the alert's entry says that the alert is in the group.

use std::collections::HashMap;
use std::sync::Arc;

use super::delivery::GroupId;
use crate::stored_alert::StoredAlert;

/// An alert.
#[derive(Debug)]
pub(super) struct Entry {
    pub alert: Arc<StoredAlert>,
    memberships: Memberships,
    /// Whether the store has dropped it, so that only groups have it, until its end is notified.
    pub is_forgotten: bool,
    /// Whether it is a source of an inhibition rule.
    pub is_source: bool,
}

/// The groups of an alert's routes. Most alerts have one.
#[derive(Debug)]
enum Memberships {
    One(Membership),
    Any(Box<[Membership]>),
}

/// A group of an alert, and whether the alert has left it because its end was notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Membership(u64);

impl Membership {
    /// Groups are numbered in turn, so their numbers are below this bit.
    const HAS_LEFT: u64 = 1 << 63;

    fn group(self) -> GroupId {
        self.0 & !Self::HAS_LEFT
    }

    fn has_left(self) -> bool {
        self.0 & Self::HAS_LEFT != 0
    }
}

impl Memberships {
    fn of(groups: &[GroupId]) -> Self {
        match groups {
            [one] => Memberships::One(Membership(*one)),
            all => Memberships::Any(all.iter().map(|group| Membership(*group)).collect()),
        }
    }

    fn as_slice(&self) -> &[Membership] {
        match self {
            Memberships::One(one) => std::slice::from_ref(one),
            Memberships::Any(all) => all,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Membership] {
        match self {
            Memberships::One(one) => std::slice::from_mut(one),
            Memberships::Any(all) => all,
        }
    }
}

impl Entry {
    /// An alert of the store that is in these groups.
    pub fn new(alert: Arc<StoredAlert>, groups: &[GroupId], is_source: bool) -> Self {
        Entry { alert, memberships: Memberships::of(groups), is_forgotten: false, is_source }
    }

    /// Puts it into these groups, and only these.
    pub fn set_groups(&mut self, groups: &[GroupId]) {
        self.memberships = Memberships::of(groups);
    }

    /// The groups of its routes, including those that it has left.
    pub fn all_groups(&self) -> impl Iterator<Item = GroupId> {
        self.memberships.as_slice().iter().map(|one| one.group())
    }

    /// The groups that it is in.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.memberships.as_slice().iter().filter(|one| !one.has_left()).map(|one| one.group())
    }

    /// The groups that it has left.
    pub fn left_groups(&self) -> impl Iterator<Item = GroupId> {
        self.memberships.as_slice().iter().filter(|one| one.has_left()).map(|one| one.group())
    }

    /// Whether it is in this group.
    pub fn is_in(&self, group: GroupId) -> bool {
        self.groups().any(|known| known == group)
    }

    /// Whether it is in a group.
    pub fn is_in_any(&self) -> bool {
        self.groups().next().is_some()
    }

    /// Whether it is in the groups of all its routes.
    pub fn is_in_all(&self) -> bool {
        let all = self.memberships.as_slice();
        !all.is_empty() && all.iter().all(|one| !one.has_left())
    }

    fn leave(&mut self, group: GroupId) {
        let all = self.memberships.as_mut_slice().iter_mut();
        all.filter(|one| one.group() == group).for_each(|one| one.0 |= Membership::HAS_LEFT);
    }
}

/// All alerts by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Alerts(HashMap<u64, Entry>);

impl Alerts {
    /// An alert of the store.
    pub fn stored(&self, fingerprint: u64) -> Option<&Entry> {
        self.0.get(&fingerprint).filter(|entry| !entry.is_forgotten)
    }

    /// An alert of the store, to be changed.
    pub fn stored_mut(&mut self, fingerprint: u64) -> Option<&mut Entry> {
        self.0.get_mut(&fingerprint).filter(|entry| !entry.is_forgotten)
    }

    /// An alert of the store or of a group.
    pub fn get(&self, fingerprint: u64) -> Option<&Entry> {
        self.0.get(&fingerprint)
    }

    /// An alert of the store or of a group, to be changed.
    pub fn get_mut(&mut self, fingerprint: u64) -> Option<&mut Entry> {
        self.0.get_mut(&fingerprint)
    }

    pub fn insert(&mut self, fingerprint: u64, entry: Entry) {
        self.0.insert(fingerprint, entry);
    }

    /// Drops an alert from the store. It remains while a group has it. Returns it if it was there.
    pub fn forget(&mut self, fingerprint: u64) -> Option<Arc<StoredAlert>> {
        let entry = self.stored_mut(fingerprint)?;
        entry.is_forgotten = true;
        let alert = entry.alert.clone();
        if !entry.is_in_any() {
            self.0.remove(&fingerprint);
        }
        Some(alert)
    }

    /// Takes alerts out of a group, which must drop their fingerprints as well.
    pub fn leave(&mut self, group: GroupId, fingerprints: &[u64]) {
        for fingerprint in fingerprints {
            let Some(entry) = self.0.get_mut(fingerprint) else { continue };
            entry.leave(group);
            if entry.is_forgotten && !entry.is_in_any() {
                self.0.remove(fingerprint);
            }
        }
    }

    /// The alerts of the store.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.0
            .iter()
            .filter(|(_, entry)| !entry.is_forgotten)
            .map(|(fingerprint, entry)| (*fingerprint, entry))
    }

    /// The alerts of the store, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.values_mut().filter(|entry| !entry.is_forgotten)
    }

    /// The alerts of the store and of groups.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.0.iter().map(|(fingerprint, entry)| (*fingerprint, entry))
    }

    /// The alerts with these fingerprints, in the same order.
    pub fn of<'a>(&'a self, members: &'a Members) -> impl Iterator<Item = (u64, &'a Arc<StoredAlert>)> {
        let alerts = members.fingerprints.iter();
        alerts.filter_map(|fingerprint| Some((*fingerprint, &self.0.get(fingerprint)?.alert)))
    }
}

/// The alerts of a group. Resolved ones stay until their end was notified.
#[derive(Debug, Default)]
pub(super) struct Members {
    fingerprints: Vec<u64>,
    /// Whether they are in the order in which notifications have them.
    is_sorted: bool,
}

impl Members {
    pub fn len(&self) -> usize {
        self.fingerprints.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }

    pub fn is_sorted(&self) -> bool {
        self.is_sorted
    }

    /// Adds an alert that is not in the group yet.
    pub fn add(&mut self, fingerprint: u64) {
        self.fingerprints.push(fingerprint);
        self.is_sorted = false;
    }

    /// Removes alerts.
    pub fn remove(&mut self, fingerprints: &[u64]) {
        match fingerprints {
            [] => {}
            [one] => self.fingerprints.retain(|known| known != one),
            many => {
                let mut sorted = many.to_vec();
                sorted.sort_unstable();
                self.fingerprints.retain(|known| sorted.binary_search(known).is_err());
            }
        }
    }

    /// Puts them into the order in which notifications have them. They stay in it until one is added, since labels do not change.
    pub fn sort(&mut self, alerts: &Alerts) {
        if self.is_sorted {
            return;
        }
        let mut sorted: Vec<(u64, &Arc<StoredAlert>)> = alerts.of(self).collect();
        sorted.sort_by(|(_, a), (_, b)| a.notification_order(b));
        self.fingerprints = sorted.into_iter().map(|(fingerprint, _)| fingerprint).collect();
        self.is_sorted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Alert;
    use crate::route::Labels;
    use crate::time::Time;

    fn alert(n: u64) -> Arc<StoredAlert> {
        let labels = Labels::from([("n".to_owned(), n.to_string())]);
        let time = Time::from_unix_nanos(1);
        Arc::new(Alert::new(&labels, &Labels::new(), time, time, "").stored().clone())
    }

    #[test]
    fn an_alert_stays_until_the_store_and_every_group_have_dropped_it() {
        for groups in [&[1][..], &[1, 2], &[1, 2, 3]] {
            let mut alerts = Alerts::default();
            alerts.insert(7, Entry::new(alert(7), groups, false));
            assert!(
                alerts
                    .stored(7)
                    .is_some_and(|entry| entry.is_in_all() && entry.all_groups().eq(groups.iter().copied()))
            );
            assert!(alerts.forget(7).is_some() && alerts.forget(7).is_none());
            assert!(alerts.stored(7).is_none() && alerts.iter().next().is_none());
            for (at, group) in groups.iter().enumerate() {
                let entry = alerts.get(7).expect("a group has it");
                assert!(entry.is_in(*group) && entry.groups().count() == groups.len() - at);
                assert!(entry.left_groups().eq(groups[..at].iter().copied()));
                alerts.leave(*group, &[7, 8]);
            }
            assert!(alerts.get(7).is_none());
        }
        let mut alerts = Alerts::default();
        alerts.insert(7, Entry::new(alert(7), &[1], false));
        alerts.leave(1, &[7]);
        assert!(alerts.stored(7).is_some_and(|entry| !entry.is_in_any() && !entry.is_in_all()));
        assert!(alerts.forget(7).is_some() && alerts.all().next().is_none());
    }

    #[test]
    fn members_are_sorted_once() {
        let (mut alerts, mut members) = (Alerts::default(), Members::default());
        for n in [3, 1, 2] {
            alerts.insert(n, Entry::new(alert(n), &[1], false));
            members.add(n);
        }
        members.sort(&alerts);
        assert!(members.is_sorted() && alerts.of(&members).map(|(n, _)| n).eq([1, 2, 3]));
        members.remove(&[]);
        members.remove(&[2, 9]);
        assert!(members.is_sorted() && alerts.of(&members).map(|(n, _)| n).eq([1, 3]));
        members.remove(&[1]);
        members.add(2);
        assert!(!members.is_sorted() && members.len() == 2 && !members.is_empty());
        members.sort(&alerts);
        assert!(alerts.of(&members).map(|(n, _)| n).eq([2, 3]));
    }
}
