//! When a group is notified next, why and of which alerts: a simulation of the flushes that `flush` will make.
//!
//! Assumptions: alerts that fire now, and those that inhibit them, keep firing, and every notification succeeds. Silences and time
//! intervals begin and end as they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_model::UnixNanos;

use super::delivery::Content;
use super::flush::log_receiver;
use super::state::{Engine, Group, RouteSettings};
use crate::alert::Alert;
use crate::notification_log::{FlushHashes, LogEntry, reason_to_notify};
use crate::receiver::{Integration, KeptValues, Reason};
use crate::route::Labels;
use crate::stored_alert::StoredAlert;
use crate::time::Time;

/// Limits of simulated flushes and of looks at alerts.
const TICKS_MAX: usize = 3000;
const WORK_MAX: usize = 300_000;

/// A notification that will be sent.
#[derive(Clone, Debug)]
pub struct NextNotification {
    pub at: UnixNanos,
    /// The content, with the reason.
    pub content: Arc<Content>,
    pub integration: Integration,
}

impl Engine {
    /// The first notification at or after `from` for each integration of a group; `None` if there is none for a long time.
    pub(super) fn forecast(
        &self,
        group: &Group,
        from: UnixNanos,
        now: UnixNanos,
    ) -> Vec<Option<NextNotification>> {
        let route = &group.route;
        let integrations = self.setup.receivers.get(&*route.receiver).map_or(&[][..], Vec::as_slice);
        let mut last: Vec<Option<LogEntry>> = integrations
            .iter()
            .map(|integration| {
                self.log.last(&group.key, &log_receiver(&route.receiver, integration)).cloned()
            })
            .collect();
        let mut next: Vec<Option<NextNotification>> = vec![None; integrations.len()];
        let time = Time::from_unix_nanos(now.0);
        let mut members: BTreeMap<u64, &Arc<StoredAlert>> = self.alerts.of(&group.members).collect();
        members.retain(|_, alert| self.inhibitor.inhibiting(&alert.labels, time).is_none());
        let mut tick = group.next_flush.max(now);
        let mut work = 0;
        let boundaries = self.silence_boundaries();
        for _ in 0..TICKS_MAX {
            work += members.len() + 1;
            if next.iter().all(Option::is_some) || members.is_empty() || work > WORK_MAX {
                break;
            }
            let told = self.told_at(tick, time, route, &members);
            let hashes = |over: bool| {
                let of_state = told.iter().filter(|(_, is_over)| *is_over == over);
                of_state.map(|(alert, _)| alert.log_hash()).collect()
            };
            let hashes = FlushHashes { firing: hashes(false), resolved: hashes(true) };
            for (at, integration) in integrations.iter().enumerate().filter(|_| !told.is_empty()) {
                let repeat = route.repeat_interval;
                let reason =
                    reason_to_notify(last[at].as_ref(), &hashes, integration.send_resolved, repeat, tick);
                let Some(reason) = reason else { continue };
                let content = content_of(group, integration, &told, reason, last[at].as_ref(), tick);
                // It is only recorded in the log.
                let is_sent = !content.alerts.is_empty();
                if is_sent && tick >= from && next[at].is_none() {
                    let content = Arc::new(content);
                    next[at] = Some(NextNotification { at: tick, content, integration: integration.clone() });
                }
                last[at] = Some(LogEntry {
                    firing: hashes.firing.clone(),
                    resolved: hashes.resolved.clone(),
                    timestamp: tick,
                    ..last[at].take().unwrap_or_default()
                });
            }
            // After a flush, ends are notified, or never will be.
            members.retain(|_, alert| !alert.is_resolved_at(time));
            let repeated = last.iter().flatten().map(|last| last.timestamp.plus(route.repeat_interval)).min();
            match self.next_change(group, tick, repeated, &boundaries) {
                Some(later) => tick = later,
                None => break,
            }
        }
        next
    }

    /// The alerts of a group that a flush would be about, in the order of a notification, and whether each is over.
    fn told_at<'m>(
        &self,
        tick: UnixNanos,
        time: Time,
        route: &RouteSettings,
        members: &BTreeMap<u64, &'m Arc<StoredAlert>>,
    ) -> Vec<(&'m Arc<StoredAlert>, bool)> {
        let (active, mute) = (&route.active_time_intervals, &route.mute_time_intervals);
        if !self.setup.intervals.muting(active, mute, tick).is_empty() {
            return Vec::new();
        }
        let mut told: Vec<(&Arc<StoredAlert>, bool)> = members
            .values()
            .filter(|alert| self.silencing(&alert.labels, tick).is_empty())
            .map(|alert| (*alert, alert.is_resolved_at(time)))
            .collect();
        told.sort_by(|(a, _), (b, _)| a.notification_order(b));
        told
    }

    /// When silences begin and end, in order; `None` if one of them depends on a time interval.
    fn silence_boundaries(&self) -> Option<Vec<UnixNanos>> {
        let mut boundaries = Vec::new();
        for silence in self.silences.all() {
            if self.silences.options(&silence.id).is_some_and(|options| options.repeats_in.is_some()) {
                return None;
            }
            boundaries.extend([silence.starts_at, silence.ends_at]);
        }
        boundaries.sort_unstable();
        Some(boundaries)
    }

    /// The next flush whose decisions may differ from this one's.
    fn next_change(
        &self,
        group: &Group,
        tick: UnixNanos,
        repeated: Option<UnixNanos>,
        boundaries: &Option<Vec<UnixNanos>>,
    ) -> Option<UnixNanos> {
        let route = &group.route;
        let interval = i64::try_from(route.group_interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        let is_steady = route.active_time_intervals.is_empty() && route.mute_time_intervals.is_empty();
        let (true, Some(boundaries)) = (is_steady, boundaries) else {
            return Some(tick.plus(route.group_interval));
        };
        let boundary = boundaries.get(boundaries.partition_point(|moment| *moment <= tick)).copied();
        // The change takes effect after this time, not at it.
        let change = [repeated, boundary].into_iter().flatten().min()?;
        let flushes = change.0.saturating_sub(tick.0).max(0) / interval + 1;
        Some(UnixNanos(tick.0.saturating_add(flushes.saturating_mul(interval))))
    }
}

fn content_of(
    group: &Group,
    integration: &Integration,
    told: &[(&Arc<StoredAlert>, bool)],
    reason: Reason,
    last: Option<&LogEntry>,
    tick: UnixNanos,
) -> Content {
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let group_labels: Labels = group.labels.iter().map(own).collect();
    let shown = told.iter().filter(|(_, is_over)| integration.send_resolved || !is_over);
    Content {
        receiver: group.route.receiver.clone(),
        group_key: group.key.clone(),
        group_labels: Arc::new(group_labels),
        alerts: shown.map(|(alert, is_over)| Alert::of(Arc::clone(alert), *is_over)).collect(),
        now: Time::from_unix_nanos(tick.0),
        repeat_interval: group.route.repeat_interval,
        reason,
        kept: match reason {
            Reason::FirstNotification => KeptValues::new(),
            _ => last.map(|last| last.kept.clone()).unwrap_or_default(),
        },
    }
}
