//! Queries about the engine's state: alerts with their status, groups, and why notifications are sent or not.

use std::collections::HashMap;
use std::sync::Arc;

use ferula_model::{LabelSet, UnixNanos};

use super::history::History;
use super::state::{Engine, Group, Setup};
use crate::in_parallel::in_parallel;
use crate::stored_alert::{StoredAlert, label_order};
use crate::time::Time;

/// What suppresses an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertStatus {
    /// Identifiers of silences.
    pub silenced_by: Vec<String>,
    /// Fingerprints of inhibiting alerts; one is enough.
    pub inhibited_by: Vec<String>,
}

impl AlertStatus {
    /// Whether notifications about it are sent.
    pub fn is_active(&self) -> bool {
        self.silenced_by.is_empty() && self.inhibited_by.is_empty()
    }
}

/// An alert as the API shows it.
#[derive(Clone, Debug)]
pub struct AlertView {
    pub alert: Arc<StoredAlert>,
    pub fingerprint: u64,
    /// Names of receivers.
    pub receivers: Arc<[Arc<str>]>,
    pub status: AlertStatus,
}

/// A group as the API shows it.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub labels: LabelSet,
    pub receiver: Arc<str>,
    pub alerts: Vec<AlertView>,
    /// Names of muting time intervals.
    pub muted_by: Vec<String>,
    pub key: Arc<str>,
    pub route_key: String,
    pub next_flush: UnixNanos,
    /// Whether attempts are in progress.
    pub is_flushing: bool,
    pub id: u64,
}

/// Gives alerts that are in several groups the receivers of all of them.
fn join_receivers(groups: &mut [GroupView]) {
    let mut seen: Vec<u64> =
        groups.iter().flat_map(|group| &group.alerts).map(|view| view.fingerprint).collect();
    seen.sort_unstable();
    // Most alerts are in one group.
    let mut receivers: HashMap<u64, Vec<Arc<str>>> =
        seen.windows(2).filter(|two| two[0] == two[1]).map(|two| (two[0], Vec::new())).collect();
    if receivers.is_empty() {
        return;
    }
    for view in groups.iter().flat_map(|group| &group.alerts) {
        if let Some(names) = receivers.get_mut(&view.fingerprint) {
            names.extend(view.receivers.iter().cloned());
        }
    }
    receivers.values_mut().for_each(|names| names.sort_unstable());
    for view in groups.iter_mut().flat_map(|group| &mut group.alerts) {
        if let Some(names) = receivers.get(&view.fingerprint) {
            view.receivers = names.as_slice().into();
        }
    }
}

impl Engine {
    /// The configuration in force.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What suppresses an alert with these labels.
    pub fn status_of(&self, labels: &LabelSet, now: UnixNanos) -> AlertStatus {
        let inhibiting = self.inhibitor.inhibiting(labels, Time::from_unix_nanos(now.0));
        AlertStatus {
            silenced_by: self.silencing(labels, now).into_iter().map(str::to_owned).collect(),
            inhibited_by: inhibiting.map(|fingerprint| format!("{fingerprint:016x}")).into_iter().collect(),
        }
    }

    /// The firing alerts that `keep` accepts, by fingerprint.
    pub fn alerts(&self, keep: impl Fn(&StoredAlert) -> bool + Sync, now: UnixNanos) -> Vec<AlertView> {
        let time = Time::from_unix_nanos(now.0);
        let all: Vec<&Arc<StoredAlert>> = self.alerts.iter().map(|(_, entry)| &entry.alert).collect();
        let parts = in_parallel(&all, all.len(), |alerts| {
            let shown = alerts.iter().filter(|alert| alert.ends_at >= time && keep(alert));
            let views = shown.map(|alert| self.view(alert, self.receivers_of(alert), now));
            views.collect::<Vec<_>>()
        });
        let mut views: Vec<AlertView> = parts.into_iter().flatten().collect();
        views.sort_unstable_by_key(|view| view.fingerprint);
        views
    }

    pub(super) fn view(
        &self,
        alert: &Arc<StoredAlert>,
        receivers: Arc<[Arc<str>]>,
        now: UnixNanos,
    ) -> AlertView {
        let status = self.status_of(&alert.labels, now);
        AlertView { alert: alert.clone(), fingerprint: alert.fingerprint(), receivers, status }
    }

    pub(super) fn receivers_of(&self, alert: &StoredAlert) -> Arc<[Arc<str>]> {
        let routes = self.setup.root.matching(&alert.labels);
        routes.iter().filter_map(|route| Some(self.routes.get(&route.id)?.receiver.clone())).collect()
    }

    /// The groups of receivers that `keep_receiver` accepts, with the firing alerts that `keep` accepts and whose status
    /// `keep_status` accepts; the status is found only for the former. Groups without such alerts are left out.
    pub fn groups(
        &self,
        keep_receiver: impl Fn(&str) -> bool,
        keep: impl Fn(&StoredAlert) -> bool + Sync,
        keep_status: impl Fn(&AlertStatus) -> bool + Sync,
        now: UnixNanos,
    ) -> Vec<GroupView> {
        let time = Time::from_unix_nanos(now.0);
        let view = |group: &&Group| {
            let receivers: Arc<[Arc<str>]> = Arc::new([group.route.receiver.clone()]);
            let members = self.alerts.of(&group.members);
            let shown = members.filter(|(_, alert)| alert.ends_at >= time && keep(alert));
            let views = shown.map(|(fingerprint, alert)| AlertView {
                status: self.status_of(&alert.labels, now),
                alert: alert.clone(),
                fingerprint,
                receivers: receivers.clone(),
            });
            let mut alerts: Vec<AlertView> = views.filter(|view| keep_status(&view.status)).collect();
            if alerts.is_empty() {
                return None;
            }
            if !group.members.is_sorted() {
                alerts.sort_by(|a, b| a.alert.notification_order(&b.alert));
            }
            Some(GroupView {
                labels: group.labels.clone(),
                receiver: group.route.receiver.clone(),
                alerts,
                muted_by: group.muted_by.clone(),
                key: group.key.clone(),
                route_key: group.route.key.clone(),
                next_flush: group.next_flush,
                is_flushing: group.flush.is_some(),
                id: group.id,
            })
        };
        let shown: Vec<&Group> =
            self.groups.values().filter(|group| keep_receiver(&group.route.receiver)).collect();
        let alerts: usize = shown.iter().map(|group| group.members.len()).sum();
        let parts = in_parallel(&shown, alerts, |groups| groups.iter().filter_map(view).collect::<Vec<_>>());
        let mut groups: Vec<GroupView> = parts.into_iter().flatten().collect();
        join_receivers(&mut groups);
        groups.sort_by(|a, b| label_order(&a.labels, &b.labels).then_with(|| a.receiver.cmp(&b.receiver)));
        groups
    }

    /// Number of groups.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Numbers of active and of suppressed alerts.
    pub fn alert_counts(&self, now: UnixNanos) -> (usize, usize) {
        let time = Time::from_unix_nanos(now.0);
        let all: Vec<&Arc<StoredAlert>> = self.alerts.iter().map(|(_, entry)| &entry.alert).collect();
        let is_active = |labels: &LabelSet| {
            self.inhibitor.inhibiting(labels, time).is_none() && self.silencing(labels, now).is_empty()
        };
        let parts = in_parallel(&all, all.len(), |alerts| {
            let firing = alerts.iter().filter(|alert| !alert.is_resolved_at(time));
            firing.fold((0, 0), |(active, suppressed), alert| match is_active(&alert.labels) {
                true => (active + 1, suppressed),
                false => (active, suppressed + 1),
            })
        });
        parts.into_iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }

    /// The history.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The history, to read a file into.
    pub fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// The bytes of new entries of the history, for a file.
    pub fn take_history(&mut self) -> Vec<Vec<u8>> {
        self.history.take_fresh()
    }
}
