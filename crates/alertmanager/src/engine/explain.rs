//! Why an alert is notified or not, now or at another time: its path through the tree, its groups, what mutes it, and the last
//! and next notifications.

use std::sync::Arc;

use ferula_model::{LabelSet, UnixNanos};

use super::alerts::Entry;
use super::flush::log_receiver;
use super::forecast::NextNotification;
use super::history::{Event, HistoryView};
use super::state::{Engine, Group};
use super::view::AlertView;
use crate::notification_log::LogEntry;
use crate::receiver::Reason;
use crate::route::{LabelValues, Route};

/// Decisions that an explanation shows.
const EVENTS_SHOWN: usize = 100;

/// Why an alert is notified or not.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// With its status at the requested time.
    pub alert: AlertView,
    pub at: UnixNanos,
    pub silences: Vec<SilenceView>,
    pub tree: RouteVerdict,
    pub routes: Vec<RouteView>,
    /// Decisions about everything.
    history: HistoryView,
    /// The latest moment of decisions that it shows.
    until: UnixNanos,
}

impl Explanation {
    /// Decisions about its groups up to then, latest first.
    pub fn events(&self) -> Vec<Event> {
        let keys: Vec<&Arc<str>> =
            self.routes.iter().filter_map(|view| Some(&view.group.as_ref()?.key)).collect();
        let is_meant = |event: &Event| event.at <= self.until && keys.contains(&&event.group_key);
        self.history.events().filter(is_meant).take(EVENTS_SHOWN).collect()
    }
}

/// A silence that covers the alert.
#[derive(Clone, Debug)]
pub struct SilenceView {
    pub id: String,
    pub comment: String,
    pub created_by: String,
    pub ends_at: UnixNanos,
}

/// Whether an alert matches a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Matched,
    /// A matcher does not match this value.
    Failed {
        matcher: String,
        value: String,
    },
    /// An earlier sibling matched and does not continue.
    NotReached,
}

/// A node of the tree, and whether it matches an alert.
#[derive(Clone, Debug)]
pub struct RouteVerdict {
    pub route_key: String,
    pub receiver: String,
    pub verdict: Verdict,
    /// Empty for a node that does not match.
    pub children: Vec<RouteVerdict>,
}

/// One route that an alert ends at.
#[derive(Clone, Debug)]
pub struct RouteView {
    pub route_key: String,
    pub receiver: String,
    /// None if the alert is in no group of the route, because its end was notified.
    pub group: Option<RouteGroupView>,
    /// Names of time intervals that mute the route.
    pub muted_by: Vec<String>,
    /// When this ends; `None` if that is far away.
    pub muted_until: Option<UnixNanos>,
    pub integrations: Vec<IntegrationView>,
}

/// The group of an alert at one route.
#[derive(Clone, Debug)]
pub struct RouteGroupView {
    pub key: Arc<str>,
    pub alerts: usize,
    pub next_flush: UnixNanos,
    /// Whether attempts are being made.
    pub is_flushing: bool,
}

/// Past and next notifications of an integration.
#[derive(Clone, Debug)]
pub struct IntegrationView {
    pub name: String,
    pub last: Option<LogEntry>,
    /// Why it would be notified at the next flush, if nothing changes until then.
    pub next_reason: Option<Reason>,
    /// Its next notification at or after the requested time, if nothing changes.
    pub next: Option<NextNotification>,
}

impl RouteVerdict {
    /// How the tree routes an alert with these labels.
    pub fn of<'l>(route: &Route, labels: &'l impl LabelValues<'l>) -> Self {
        let verdict = match failed_matcher(route, labels) {
            None => Verdict::Matched,
            Some((matcher, value)) => Verdict::Failed { matcher, value },
        };
        let mut children = Vec::new();
        if verdict == Verdict::Matched {
            let mut is_taken = false;
            for child in &route.children {
                let view = match is_taken {
                    true => RouteVerdict::not_reached(child),
                    false => RouteVerdict::of(child, labels),
                };
                is_taken |= view.verdict == Verdict::Matched && !child.continues;
                children.push(view);
            }
        }
        RouteVerdict { route_key: route.key.clone(), receiver: route.receiver.clone(), verdict, children }
    }

    fn not_reached(route: &Route) -> Self {
        RouteVerdict {
            route_key: route.key.clone(),
            receiver: route.receiver.clone(),
            verdict: Verdict::NotReached,
            children: Vec::new(),
        }
    }
}

/// The first matcher that does not match, and the value.
fn failed_matcher<'l>(route: &Route, labels: &'l impl LabelValues<'l>) -> Option<(String, String)> {
    let failed = route.matchers.iter().find(|matcher| !matcher.matches(labels.value_of(matcher.name())))?;
    Some((failed.to_string(), labels.value_of(failed.name()).to_owned()))
}

impl Engine {
    /// Why the alert with this fingerprint is notified or not at a given time. What fires now is assumed to fire then, too.
    pub fn explain(&self, fingerprint: u64, at: UnixNanos, now: UnixNanos) -> Option<Explanation> {
        let entry = self.alerts.stored(fingerprint)?;
        let alert = &entry.alert;
        let tree = RouteVerdict::of(&self.setup.root, &alert.labels);
        let routes: Vec<RouteView> = self
            .setup
            .root
            .matching(&alert.labels)
            .into_iter()
            .map(|route| self.explain_route(route, entry, at, now))
            .collect();
        let (history, until) = (self.history.decisions(), at.max(now));
        let alert = self.view(alert, self.receivers_of(alert), at);
        let silences = self.silence_views(&alert.alert.labels, at);
        Some(Explanation { alert, at, silences, tree, routes, history, until })
    }

    fn silence_views(&self, labels: &LabelSet, at: UnixNanos) -> Vec<SilenceView> {
        let silences = self.silencing(labels, at).into_iter().filter_map(|id| self.silences.get(id));
        silences
            .map(|silence| SilenceView {
                id: silence.id.clone(),
                comment: silence.comment.clone(),
                created_by: silence.created_by.clone(),
                ends_at: silence.ends_at,
            })
            .collect()
    }

    fn explain_route(&self, route: &Route, entry: &Entry, at: UnixNanos, now: UnixNanos) -> RouteView {
        let group =
            entry.groups().filter_map(|id| self.groups.get(&id)).find(|group| group.route.id == route.id);
        let (active, mute) = (&route.active_time_intervals, &route.mute_time_intervals);
        let muted_by = self.setup.intervals.muting(active, mute, at);
        let is_muted = !muted_by.is_empty();
        RouteView {
            route_key: route.key.clone(),
            receiver: route.receiver.clone(),
            group: group.map(|group| RouteGroupView {
                key: group.key.clone(),
                alerts: group.members.len(),
                next_flush: group.next_flush,
                is_flushing: group.flush.is_some(),
            }),
            muted_until: is_muted.then(|| self.setup.intervals.muted_until(active, mute, at)).flatten(),
            muted_by,
            integrations: group.map(|group| self.explain_integrations(group, at, now)).unwrap_or_default(),
        }
    }

    fn explain_integrations(&self, group: &Group, at: UnixNanos, now: UnixNanos) -> Vec<IntegrationView> {
        let integrations = self.setup.receivers.get(&*group.route.receiver).map_or(&[][..], Vec::as_slice);
        let nexts = self.forecast(group, at, now);
        integrations
            .iter()
            .zip(nexts)
            .map(|(integration, next)| {
                let receiver = log_receiver(&group.route.receiver, integration);
                let is_next_flush = |next: &&NextNotification| next.at <= group.next_flush;
                IntegrationView {
                    name: integration.to_string(),
                    last: self.log.last(&group.key, &receiver).cloned(),
                    next_reason: next.as_ref().filter(is_next_flush).map(|next| next.content.reason),
                    next,
                }
            })
            .collect()
    }

    /// The next notifications of a group's integrations, if nothing changes.
    pub fn next_notifications(&self, group: u64, now: UnixNanos) -> Vec<(String, Option<NextNotification>)> {
        let Some(group) = self.groups.get(&group) else { return Vec::new() };
        let integrations = self.setup.receivers.get(&*group.route.receiver).map_or(&[][..], Vec::as_slice);
        let names = integrations.iter().map(ToString::to_string);
        names.zip(self.forecast(group, now, now)).collect()
    }
}
