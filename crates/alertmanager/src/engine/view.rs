//! Queries about the engine's state: alerts with their status, groups, and why notifications are sent or not.

use std::collections::HashMap;
use std::sync::Arc;

use ferula_model::{LabelSet, UnixNanos};

use super::history::{Event, History};
use super::state::{Engine, Setup};
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
    pub fn alerts(&self, keep: impl Fn(&StoredAlert) -> bool, now: UnixNanos) -> Vec<AlertView> {
        let time = Time::from_unix_nanos(now.0);
        let firing = self.alerts.values().filter(|entry| entry.alert.ends_at >= time);
        let mut views: Vec<AlertView> = firing
            .filter(|entry| keep(&entry.alert))
            .map(|entry| self.view(&entry.alert, self.receivers_of(&entry.alert), now))
            .collect();
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
        keep: impl Fn(&StoredAlert) -> bool,
        keep_status: impl Fn(&AlertStatus) -> bool,
        now: UnixNanos,
    ) -> Vec<GroupView> {
        let time = Time::from_unix_nanos(now.0);
        let mut groups = Vec::new();
        for group in self.groups.values().filter(|group| keep_receiver(&group.route.receiver)) {
            let receivers: Arc<[Arc<str>]> = Arc::new([group.route.receiver.clone()]);
            let shown = group.alerts.iter().filter(|(_, alert)| alert.ends_at >= time && keep(alert));
            let views = shown.map(|(fingerprint, alert)| AlertView {
                status: self.status_of(&alert.labels, now),
                alert: alert.clone(),
                fingerprint: *fingerprint,
                receivers: receivers.clone(),
            });
            let mut alerts: Vec<AlertView> = views.filter(|view| keep_status(&view.status)).collect();
            if alerts.is_empty() {
                continue;
            }
            alerts.sort_by(|a, b| a.alert.notification_order(&b.alert));
            groups.push(GroupView {
                labels: group.labels.clone(),
                receiver: group.route.receiver.clone(),
                alerts,
                muted_by: group.muted_by.clone(),
                key: group.key.clone(),
                route_key: group.route.key.clone(),
                next_flush: group.next_flush,
                is_flushing: group.flush.is_some(),
                id: group.id,
            });
        }
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
        let firing = self.alerts.values().filter(|entry| !entry.alert.is_resolved_at(time));
        let (active, suppressed): (Vec<bool>, Vec<bool>) = firing
            .map(|entry| self.status_of(&entry.alert.labels, now).is_active())
            .partition(|active| *active);
        (active.len(), suppressed.len())
    }

    /// Decisions, latest first.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.history.decisions()
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
