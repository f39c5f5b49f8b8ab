//! Incoming alerts: they are merged with known ones, stored, and added to the groups of their routes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};

use super::delivery::GroupId;
use super::record::Record;
use super::state::{Engine, Entry, Group, RouteSettings, Timer};
use crate::route::{GroupBy, Route};
use crate::stored_alert::{StoredAlert, show_labels};
use crate::time::Time;

/// How long after a start alerts that may be inhibited wait like new ones. Senders repeat firing alerts within a minute.
const INHIBITORS_AWAITED: Duration = Duration::from_secs(75);

impl Engine {
    /// Adds alerts. Their `updated_at` is the time of the report; labels must not be empty, and times must be
    /// set.
    pub fn put(&mut self, alerts: Vec<StoredAlert>, now: UnixNanos) {
        for alert in alerts {
            let fingerprint = alert.fingerprint();
            let old = self.alerts.get(&fingerprint).map(|entry| entry.alert.clone());
            let Some(alert) = self.merged(alert, old.as_deref(), now) else { continue };
            match &old {
                Some(old) if alert.differs_only_in_time(old) => self.note_report(fingerprint, &alert),
                _ => self.records.push(Record::Alert(alert.clone())),
            }
            let started = std::time::Instant::now();
            self.store(fingerprint, alert, now);
            self.metrics.queries.took_alert(started);
        }
    }

    /// Records that a known alert was reported again; reports with the same times share a record.
    fn note_report(&mut self, fingerprint: u64, alert: &StoredAlert) {
        if let Some(Record::Reported { fingerprints, ends_at, updated_at, timeout }) = self.records.last_mut()
            && ends_at.is_written_as(alert.ends_at)
            && updated_at.is_written_as(alert.updated_at)
            && *timeout == alert.timeout
        {
            fingerprints.push(fingerprint);
            return;
        }
        self.records.push(Record::Reported {
            fingerprints: vec![fingerprint],
            ends_at: alert.ends_at,
            updated_at: alert.updated_at,
            timeout: alert.timeout,
        });
    }

    /// Merges the alert with the stored one; `None` if the limit for its name is reached.
    fn merged(
        &mut self,
        alert: StoredAlert,
        old: Option<&StoredAlert>,
        now: UnixNanos,
    ) -> Option<Arc<StoredAlert>> {
        let alert = match old {
            // What arrives now is newer than what is known, even if the clock was set back.
            Some(old) if alert.updated_at <= old.updated_at => StoredAlert {
                updated_at: Time::from_unix_nanos(old.updated_at.unix_nanos().saturating_add(1)),
                ..alert
            },
            _ => alert,
        };
        let mut alert = match old {
            Some(old) if old.overlaps(&alert) => old.merge(&alert, Time::from_unix_nanos(now.0)),
            _ => alert,
        };
        if let Some(old) = old {
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
        self.inhibitor.update(&alert);
        let known = self.alerts.get(&fingerprint).map(|entry| entry.groups.clone()).unwrap_or_default();
        // Equal labels mean the same groups, as long as those exist.
        let groups = match !known.is_empty() && known.iter().all(|id| self.groups.contains_key(id)) {
            true => known,
            false => self.groups_of(&alert, now),
        };
        for id in &groups {
            if let Some(group) = self.groups.get_mut(id) {
                group.alerts.insert(fingerprint, alert.clone());
            }
        }
        self.alerts.insert(fingerprint, Entry { alert, groups });
    }

    /// The groups of an alert; missing ones are created.
    pub(super) fn groups_of(&mut self, alert: &StoredAlert, now: UnixNanos) -> Box<[GroupId]> {
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
            alerts: BTreeMap::new(),
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
            .map(|(id, _)| *id)
            .collect();
        over.sort_unstable();
        for fingerprint in over {
            if let Some(entry) = self.alerts.remove(&fingerprint) {
                self.note_past(&entry.alert);
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
