//! Incoming alerts: they are merged with known ones, stored, and added to the groups of their routes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferula_model::{LabelSet, UnixNanos};

use super::alerts::{Entry, Members};
use super::delivery::GroupId;
use super::record::Record;
use super::state::{Engine, Group, RouteSettings, Timer};
use crate::route::{GroupBy, Route};
use crate::stored_alert::{Report, StoredAlert, Times, show_labels};
use crate::time::Time;

/// How long after a start alerts that may be inhibited wait like new ones. Senders repeat firing alerts within a minute.
const INHIBITORS_AWAITED: Duration = Duration::from_secs(75);

impl Engine {
    /// Adds alerts. Their `updated_at` is the time of the report; labels must not be empty, and times must be
    /// set.
    pub fn put(&mut self, alerts: Vec<StoredAlert>, now: UnixNanos) {
        for alert in alerts {
            self.put_one(alert.fingerprint(), alert, now);
        }
    }

    /// Adds alerts as clients report them, under the same conditions.
    pub fn put_reports(&mut self, reports: &[Report<'_>], now: UnixNanos) {
        for report in reports {
            let (fingerprint, started) = (report.fingerprint(), Instant::now());
            match self.is_repeated(fingerprint, report, now) {
                true => self.metrics.queries.took_alert(started),
                false => self.put_one(fingerprint, report.to_alert(), now),
            }
        }
    }

    /// Takes a report of a known alert in which nothing but the times is new; returns whether it is one.
    fn is_repeated(&mut self, fingerprint: u64, report: &Report<'_>, now: UnixNanos) -> bool {
        // The limit looks at the ends of all alerts.
        if self.settings.alerts_per_name_max > 0 {
            return false;
        }
        let Some(entry) = self.alerts.stored_mut(fingerprint) else { return false };
        if !entry.is_in_all() || !report.has_texts_of(&entry.alert) {
            return false;
        }
        let known = entry.alert.times();
        let times = known.reported_again(report.times, Time::from_unix_nanos(now.0));
        if times.starts_at != known.starts_at {
            return false;
        }
        // In its place, unless an attempt has it as well.
        Arc::make_mut(&mut entry.alert).set_times(times);
        if entry.is_source {
            self.inhibitor.update(&entry.alert);
        }
        self.note_report(fingerprint, times);
        true
    }

    fn put_one(&mut self, fingerprint: u64, alert: StoredAlert, now: UnixNanos) {
        let old = self.alerts.stored(fingerprint).map(|entry| entry.alert.clone());
        let Some(alert) = self.merged(alert, old.as_deref(), now) else { return };
        match &old {
            Some(old) if alert.differs_only_in_time(old) => self.note_report(fingerprint, alert.times()),
            _ => self.records.push(Record::Alert(alert.clone())),
        }
        drop(old);
        let started = Instant::now();
        self.store(fingerprint, alert, now);
        self.metrics.queries.took_alert(started);
    }

    /// Records that a known alert was reported again; reports with the same times share a record.
    fn note_report(&mut self, fingerprint: u64, times: Times) {
        if let Some(Record::Reported { fingerprints, ends_at, updated_at, timeout }) = self.records.last_mut()
            && ends_at.is_written_as(times.ends_at)
            && updated_at.is_written_as(times.updated_at)
            && *timeout == times.timeout
        {
            fingerprints.push(fingerprint);
            return;
        }
        self.records.push(Record::Reported {
            fingerprints: vec![fingerprint],
            ends_at: times.ends_at,
            updated_at: times.updated_at,
            timeout: times.timeout,
        });
    }

    /// Merges the alert with the stored one; `None` if the limit for its name is reached.
    fn merged(
        &mut self,
        mut alert: StoredAlert,
        old: Option<&StoredAlert>,
        now: UnixNanos,
    ) -> Option<Arc<StoredAlert>> {
        if let Some(old) = old {
            alert.set_times(old.times().reported_again(alert.times(), Time::from_unix_nanos(now.0)));
            // Equal texts share memory.
            alert.labels = old.labels.clone();
            if alert.annotations == old.annotations {
                alert.annotations = old.annotations.clone();
            }
            if alert.generator_url == old.generator_url {
                alert.generator_url = old.generator_url.clone();
            }
        }
        if old.is_none_or(|old| !Arc::ptr_eq(&alert.generator_url, &old.generator_url)) {
            alert.generator_url = self.shared_url(&alert.generator_url);
        }
        if !self.has_room_for(&alert, now) {
            self.metrics.alert_limited(alert.name());
            return None;
        }
        Some(Arc::new(alert))
    }

    /// An equal link that other alerts may have, too.
    pub(super) fn shared_url(&mut self, url: &Arc<str>) -> Arc<str> {
        match self.urls.get(url) {
            Some(known) => known.clone(),
            None => {
                self.urls.insert(url.clone());
                url.clone()
            }
        }
    }

    fn has_room_for(&mut self, alert: &StoredAlert, now: UnixNanos) -> bool {
        let limit = self.settings.alerts_per_name_max;
        if limit == 0 {
            return true;
        }
        let ends = self.ends_by_name.entry(alert.name().to_owned()).or_default();
        let fingerprint = alert.fingerprint();
        if ends.len() >= limit && !ends.contains_key(&fingerprint) {
            // A resolved alert makes room.
            let now = Time::from_unix_nanos(now.0);
            let Some(over) = ends.iter().find(|(_, end)| **end <= now).map(|(known, _)| *known) else {
                return false;
            };
            ends.remove(&over);
        }
        ends.insert(fingerprint, alert.ends_at);
        true
    }

    pub(super) fn store(&mut self, fingerprint: u64, alert: Arc<StoredAlert>, now: UnixNanos) {
        let is_source = self.inhibitor.update(&alert);
        if let Some(entry) = self.alerts.get_mut(fingerprint)
            && entry.is_in_all()
        {
            (entry.alert, entry.is_forgotten, entry.is_source) = (alert, false, is_source);
            return;
        }
        let known = self.alerts.get(fingerprint);
        let known_groups: Vec<GroupId> = known.into_iter().flat_map(Entry::all_groups).collect();
        let member_of: Vec<GroupId> = known.into_iter().flat_map(Entry::groups).collect();
        // Equal labels mean the same groups, as long as those exist.
        let groups =
            match !known_groups.is_empty() && known_groups.iter().all(|id| self.groups.contains_key(id)) {
                true => known_groups,
                false => self.groups_of(&alert, now),
            };
        for id in groups.iter().filter(|id| !member_of.contains(id)) {
            if let Some(group) = self.groups.get_mut(id) {
                group.members.add(fingerprint);
            }
        }
        self.alerts.insert(fingerprint, Entry::new(alert, &groups, is_source));
    }

    /// The groups of an alert; missing ones are created.
    pub(super) fn groups_of(&mut self, alert: &StoredAlert, now: UnixNanos) -> Vec<GroupId> {
        let matching: Vec<(Arc<RouteSettings>, LabelSet)> = self
            .setup
            .root
            .matching(&alert.labels)
            .into_iter()
            .filter_map(|route| Some((self.routes.get(&route.id)?.clone(), group_labels(route, alert))))
            .collect();
        matching.into_iter().map(|(route, labels)| self.group_for(route, labels, alert, now)).collect()
    }

    fn group_for(
        &mut self,
        route: Arc<RouteSettings>,
        labels: LabelSet,
        first: &StoredAlert,
        now: UnixNanos,
    ) -> GroupId {
        if let Some(id) = self.group_ids.get(&(route.id.clone(), labels.clone())) {
            return *id;
        }
        let id = self.new_id();
        // Alerts that have fired for a long time need not wait for others. After a start, those that may be inhibited wait until the
        // alerts that inhibit them are reported again.
        let is_early = now < self.listens_since.plus(INHIBITORS_AWAITED);
        let may_be_inhibited = is_early && self.inhibitor.is_target(&first.labels);
        let is_old = first.starts_at.plus(route.group_wait).unix_nanos() < now.0 && !may_be_inhibited;
        let due = if is_old { now } else { now.plus(route.group_wait) }.max(self.settings.start_at);
        let key = format!("{}:{}", route.key, show_labels(&labels)).into();
        self.group_ids.insert((route.id.clone(), labels.clone()), id);
        let group = Group {
            id,
            route,
            labels,
            key,
            members: Members::default(),
            next_flush: due,
            flush: None,
            missed_tick: None,
            muted_by: Vec::new(),
        };
        self.groups.insert(id, group);
        self.timers.insert((due, Timer::Flush(id)));
        id
    }

    /// Removes resolved alerts from the store. Groups keep theirs until the resolution has been sent.
    pub fn collect_alerts(&mut self, now: UnixNanos) {
        let time = Time::from_unix_nanos(now.0);
        let mut over: Vec<u64> = self
            .alerts
            .iter()
            .filter(|(_, entry)| entry.alert.is_resolved_at(time))
            .map(|(fingerprint, _)| fingerprint)
            .collect();
        over.sort_unstable();
        for fingerprint in over {
            if let Some(alert) = self.alerts.forget(fingerprint) {
                self.note_past(&alert);
            }
            self.records.push(Record::Forgotten { fingerprint });
        }
        self.ends_by_name.retain(|_, ends| {
            ends.retain(|_, end| *end > time);
            !ends.is_empty()
        });
        self.urls.retain(|url| Arc::strong_count(url) > 1);
        self.inhibitor.collect_garbage(time);
        self.history.collect_garbage(now);
    }
}

/// The labels by which a route groups the alert.
fn group_labels(route: &Route, alert: &StoredAlert) -> LabelSet {
    match &route.group_by {
        GroupBy::All => alert.labels.clone(),
        GroupBy::Labels(names) => alert.labels.retain(|name| names.contains(name)),
    }
}
