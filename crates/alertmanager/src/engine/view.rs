//! Queries about the engine's state: alerts with their status, groups, and why notifications are sent or not.

use std::collections::HashMap;
use std::sync::Arc;

use ferula_model::{LabelSet, UnixNanos};

use super::flush::log_receiver;
use super::history::Event;
use super::state::{Engine, Group, Setup};
use crate::alert::Time;
use crate::notification_log::{FlushHashes, LogEntry, reason_to_notify};
use crate::receiver::Reason;
use crate::route::Route;
use crate::stored_alert::{StoredAlert, label_order};

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
    pub receivers: Vec<String>,
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
}

/// Why notifications about an alert are sent or not.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub alert: AlertView,
    pub routes: Vec<RouteView>,
    /// Decisions about its groups, latest first.
    pub events: Vec<Event>,
}

/// One route in which an alert ends up.
#[derive(Clone, Debug)]
pub struct RouteView {
    pub route_key: String,
    pub receiver: String,
    /// `None` if the alert is in no group of the route, because its resolution has been sent.
    pub group: Option<RouteGroupView>,
    /// Names of the time intervals that mute the route now.
    pub muted_by: Vec<String>,
    pub integrations: Vec<IntegrationView>,
}

/// The alert's group in one route.
#[derive(Clone, Debug)]
pub struct RouteGroupView {
    pub key: Arc<str>,
    pub alerts: usize,
    pub next_flush: UnixNanos,
    /// Whether attempts are in progress.
    pub is_flushing: bool,
}

/// The last and the next notification of an integration.
#[derive(Clone, Debug)]
pub struct IntegrationView {
    pub name: String,
    pub last: Option<LogEntry>,
    /// The reason for a notification at the next flush, if nothing changes until then.
    pub next_reason: Option<Reason>,
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
            silenced_by: self.silences.silencing(labels, now).into_iter().map(str::to_owned).collect(),
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

    fn view(&self, alert: &Arc<StoredAlert>, receivers: Vec<String>, now: UnixNanos) -> AlertView {
        let status = self.status_of(&alert.labels, now);
        AlertView { alert: alert.clone(), fingerprint: alert.fingerprint(), receivers, status }
    }

    fn receivers_of(&self, alert: &StoredAlert) -> Vec<String> {
        self.setup.root.matching(&alert.labels).iter().map(|route| route.receiver.clone()).collect()
    }

    /// The groups of receivers that `keep_receiver` accepts, with the firing alerts that `keep` accepts.
    /// Groups without such alerts are left out.
    pub fn groups(
        &self,
        keep_receiver: impl Fn(&str) -> bool,
        keep: impl Fn(&StoredAlert, &AlertStatus) -> bool,
        now: UnixNanos,
    ) -> Vec<GroupView> {
        let time = Time::from_unix_nanos(now.0);
        let mut receivers: HashMap<u64, Vec<String>> = HashMap::new();
        let mut groups = Vec::new();
        for group in self.groups.values().filter(|group| keep_receiver(&group.route.receiver)) {
            let mut alerts = Vec::new();
            for alert in group.alerts.values().filter(|alert| alert.ends_at >= time) {
                let view = self.view(alert, Vec::new(), now);
                if keep(alert, &view.status) {
                    receivers.entry(view.fingerprint).or_default().push(group.route.receiver.to_string());
                    alerts.push(view);
                }
            }
            if alerts.is_empty() {
                continue;
            }
            alerts.sort_by(|a, b| a.alert.notification_order(&b.alert));
            groups.push(GroupView {
                labels: group.labels.clone(),
                receiver: group.route.receiver.clone(),
                alerts,
                muted_by: group.muted_by.clone(),
            });
        }
        receivers.values_mut().for_each(|names| names.sort_unstable());
        for view in groups.iter_mut().flat_map(|group| &mut group.alerts) {
            view.receivers = receivers.get(&view.fingerprint).cloned().unwrap_or_default();
        }
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
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.history.latest()
    }

    /// Why notifications about the alert with this fingerprint are sent or not.
    pub fn explain(&self, fingerprint: u64, now: UnixNanos) -> Option<Explanation> {
        let alert = &self.alerts.get(&fingerprint)?.alert;
        let routes: Vec<RouteView> = self
            .setup
            .root
            .matching(&alert.labels)
            .into_iter()
            .map(|route| self.explain_route(route, fingerprint, now))
            .collect();
        let keys: Vec<&Arc<str>> = routes.iter().filter_map(|view| Some(&view.group.as_ref()?.key)).collect();
        let events =
            self.events().filter(|event| keys.contains(&&event.group_key)).take(100).cloned().collect();
        Some(Explanation { alert: self.view(alert, self.receivers_of(alert), now), routes, events })
    }

    fn explain_route(&self, route: &Route, fingerprint: u64, now: UnixNanos) -> RouteView {
        let group = self
            .groups
            .values()
            .find(|group| group.route.id == route.id && group.alerts.contains_key(&fingerprint));
        let active = &route.active_time_intervals;
        let muted_by = match !active.is_empty() && self.setup.intervals.containing(active, now).is_empty() {
            true => active.clone(),
            false => self
                .setup
                .intervals
                .containing(&route.mute_time_intervals, now)
                .into_iter()
                .cloned()
                .collect(),
        };
        let integrations = group.map(|group| self.explain_integrations(group)).unwrap_or_default();
        RouteView {
            route_key: route.key.clone(),
            receiver: route.receiver.clone(),
            group: group.map(|group| RouteGroupView {
                key: group.key.clone(),
                alerts: group.alerts.len(),
                next_flush: group.next_flush,
                is_flushing: group.flush.is_some(),
            }),
            muted_by,
            integrations,
        }
    }

    fn explain_integrations(&self, group: &Group) -> Vec<IntegrationView> {
        let at = Time::from_unix_nanos(group.next_flush.0);
        let mut hashes = FlushHashes::default();
        for alert in group.alerts.values() {
            if !self.status_of(&alert.labels, group.next_flush).is_active() {
                continue;
            }
            let list = if alert.is_resolved_at(at) { &mut hashes.resolved } else { &mut hashes.firing };
            list.push(alert.log_hash());
        }
        let integrations = self.setup.receivers.get(&*group.route.receiver).map_or(&[][..], Vec::as_slice);
        integrations
            .iter()
            .map(|integration| {
                let last = self.log.last(&group.key, &log_receiver(&group.route.receiver, integration));
                let next_reason = reason_to_notify(
                    last,
                    &hashes,
                    integration.send_resolved,
                    group.route.repeat_interval,
                    group.next_flush,
                );
                IntegrationView { name: integration.to_string(), last: last.cloned(), next_reason }
            })
            .collect()
    }
}
