//! Restores the state after a start from records, and writes the state as records.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_model::UnixNanos;

use super::alerts::Entry;
use super::delivery::GroupId;
use super::record::Record;
use super::state::{Engine, Timer};
use crate::notification_log::NotificationLog;
use crate::stored_alert::Times;
use crate::time::Time;

impl Engine {
    /// Applies a record of an earlier run.
    pub fn apply(&mut self, record: Record, now: UnixNanos) {
        match record {
            // A group that is created by an alert waits from the time of its report.
            Record::Alert(mut alert) => {
                let url = self.shared_url(&alert.generator_url);
                if let Some(alert) = Arc::get_mut(&mut alert) {
                    alert.generator_url = url;
                }
                let reported = UnixNanos(alert.updated_at.unix_nanos());
                self.store(alert.fingerprint(), alert, reported);
            }
            Record::Reported { fingerprints, ends_at, updated_at, timeout } => {
                let reported = UnixNanos(updated_at.unix_nanos());
                for fingerprint in fingerprints {
                    let Some(entry) = self.alerts.stored_mut(fingerprint) else { continue };
                    let alert = Arc::make_mut(&mut entry.alert);
                    alert.set_times(Times { starts_at: alert.starts_at, ends_at, updated_at, timeout });
                    if entry.is_source || !entry.is_in_all() {
                        let alert = entry.alert.clone();
                        self.store(fingerprint, alert, reported);
                    }
                }
            }
            Record::Forgotten { fingerprint } => drop(self.alerts.forget(fingerprint)),
            Record::Flushed { route, labels, next_flush, told } => {
                let Some(id) = self.group_ids.get(&(route, labels)).copied() else { return };
                self.set_next_flush(id, next_flush);
                let Some(group) = self.groups.get_mut(&id) else { return };
                let is_told = |(fingerprint, updated_at): &(u64, Time)| {
                    self.alerts
                        .get(*fingerprint)
                        .is_some_and(|entry| entry.is_in(id) && entry.alert.updated_at == *updated_at)
                };
                let left: Vec<u64> =
                    told.iter().filter(|one| is_told(one)).map(|(fingerprint, _)| *fingerprint).collect();
                group.members.remove(&left);
                self.alerts.leave(id, &left);
                // As after a flush: a later alert creates a new group with its own wait.
                if group.members.is_empty() {
                    self.remove_group(id);
                }
            }
            Record::Silence(silence) => drop(self.silences.merge(*silence, now)),
            Record::Notified(entry) => drop(self.log.merge(*entry, now)),
            Record::Alive { at } => self.alive_at = self.alive_at.max(Some(at)),
            Record::Prolonged { at, latest } => {
                self.prolong(at, latest);
                self.alive_at = Some(at);
            }
            Record::Snapshot { .. } => {}
        }
    }

    /// Extends alerts that were firing when the earlier run ended by the downtime, so that their senders can
    /// report them again before they count as resolved. The extension ends at most `resolve_timeout` from
    /// now, because some ends are intentional.
    pub(super) fn prolong_alerts(&mut self, now: UnixNanos) {
        if self.alive_at.is_some() {
            let latest = Time::from_unix_nanos(now.plus(self.setup.config.global().resolve_timeout).0);
            self.prolong(now, latest);
            self.records.push(Record::Prolonged { at: now, latest });
        }
    }

    fn prolong(&mut self, now: UnixNanos, latest: Time) {
        let Some(alive_at) = self.alive_at else { return };
        let alive = Time::from_unix_nanos(alive_at.0);
        let down = Duration::from_nanos(u64::try_from(now.since(alive_at)).unwrap_or(0));
        // Those that were reported as resolved, or whose end was told, stay ended.
        let is_awaited = |entry: &Entry| {
            entry.alert.ends_at > alive
                && entry.alert.ends_at < latest
                && entry.alert.ends_at > entry.alert.updated_at
                && entry.is_in_any()
        };
        for entry in self.alerts.iter_mut().filter(|entry| is_awaited(entry)) {
            let ends_at = entry.alert.ends_at.plus(down).min(latest);
            if ends_at > entry.alert.ends_at {
                Arc::make_mut(&mut entry.alert).ends_at = ends_at;
            }
            if entry.is_source {
                self.inhibitor.update(&entry.alert);
            }
        }
    }

    fn set_next_flush(&mut self, id: GroupId, next_flush: UnixNanos) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        self.timers.remove(&(group.next_flush, Timer::Flush(id)));
        group.next_flush = next_flush;
        self.timers.insert((next_flush, Timer::Flush(id)));
    }

    /// Ends the restoration: firing alerts are still firing, and no group is flushed before its time.
    pub fn restored(&mut self, now: UnixNanos) {
        self.records.clear();
        self.prolong_alerts(now);
        self.listens_since = now;
        let early: Vec<GroupId> = self
            .groups
            .values()
            .filter(|group| group.next_flush < self.settings.start_at)
            .map(|group| group.id)
            .collect();
        for id in early {
            self.set_next_flush(id, self.settings.start_at);
        }
        for (_, entry) in self.alerts.iter() {
            if self.settings.alerts_per_name_max > 0 {
                let ends = self.ends_by_name.entry(entry.alert.name().to_owned()).or_default();
                ends.insert(entry.alert.fingerprint(), entry.alert.ends_at);
            }
        }
    }

    /// The whole state of alerts and groups as records; silences and the notification log have separate
    /// files.
    pub fn state_records(&self, now: UnixNanos) -> Vec<Record> {
        let time = Time::from_unix_nanos(now.0);
        let mut records = vec![Record::Alive { at: now }];
        // Alerts that are no longer in the store but still in a group come first, and are then removed from
        // the store again.
        let mut all: Vec<(u64, &Entry)> = self.alerts.all().collect();
        all.sort_unstable_by_key(|(fingerprint, entry)| {
            let group = entry.groups().next().filter(|_| entry.is_forgotten);
            (!entry.is_forgotten, group, *fingerprint)
        });
        // A record adds an alert to all of its groups; further records remove it from those that it has left.
        let mut told: HashMap<GroupId, Vec<(u64, Time)>> = HashMap::new();
        for (fingerprint, entry) in all {
            if entry.alert.is_resolved_at(time) && !entry.is_in_any() {
                continue;
            }
            records.push(Record::Alert(entry.alert.clone()));
            if entry.is_forgotten {
                records.push(Record::Forgotten { fingerprint });
            }
            for id in entry.left_groups() {
                told.entry(id).or_default().push((fingerprint, entry.alert.updated_at));
            }
        }
        let silences = self.silences.all().into_iter();
        records.extend(silences.map(|silence| Record::Silence(Box::new(silence.clone()))));
        records.extend(self.log.entries().map(|entry| Record::Notified(Box::new(entry.clone()))));
        records.extend(self.groups.values().map(|group| Record::Flushed {
            route: group.route.id.clone(),
            labels: group.labels.clone(),
            next_flush: group.next_flush,
            told: told.remove(&group.id).unwrap_or_default(),
        }));
        records
    }

    /// The notification log.
    pub fn log(&self) -> &NotificationLog {
        &self.log
    }

    /// The notification log, for loading a file.
    pub fn log_mut(&mut self) -> &mut NotificationLog {
        &mut self.log
    }
}
