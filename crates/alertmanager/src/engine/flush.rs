//! Flushes groups that are due: determines what is sent to which integrations.

use std::sync::Arc;
use std::time::Duration;

use ferula_model::UnixNanos;

use super::delivery::{ANNOUNCED, Attempt, Content, Delivery, GroupId};
use super::history::{Event, Outcome};
use super::record::Record;
use super::state::{ALIVE_INTERVAL, Engine, Flush, RouteSettings, Timer};
use crate::alert::Alert;
use crate::notification_log::{FlushHashes, LogEntry, LogReceiver, reason_to_notify};
use crate::receiver::{Integration, KeptValue, KeptValues, Reason};
use crate::route::Labels;
use crate::stored_alert::StoredAlert;
use crate::time::Time;

/// After this number of alerts, [`Engine::poll`] ends, so that others have the engine in between.
const POLLED_ALERTS_MAX: usize = 1000;

/// Minimum time for a flush.
pub(super) const FLUSH_MIN: Duration = Duration::from_secs(10);

/// An alert of a flush, and whether it is resolved.
type Flushed = (Arc<StoredAlert>, bool);

/// The part of a flush that is notified.
#[derive(Default)]
struct AlertsToNotify {
    alerts: Vec<Flushed>,
    /// Silenced alerts that are resolved; notified where they were notified as firing before they were silenced.
    silenced_ends: Vec<Flushed>,
    /// Hashes of silenced alerts that are firing.
    silenced_firing: Vec<u64>,
}

impl Engine {
    /// Does what is due, and returns the attempts that have to be made now. The caller reports the result of each to
    /// [`Engine::finished`]. If much is due, some of it remains: [`Engine::next_due`] says so.
    pub fn poll(&mut self, now: UnixNanos) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        let mut alerts = 0;
        if self.alive_at.is_none_or(|at| at.plus(ALIVE_INTERVAL) <= now) {
            self.alive_at = Some(now);
            self.records.push(Record::Alive { at: now });
            self.look_at_silences(now);
        }
        loop {
            // They do not wait for other groups.
            for id in std::mem::take(&mut self.begun) {
                attempts.extend(self.attempt(id, now));
            }
            let Some(&(due, timer)) = self.timers.first() else { break };
            if due > now || alerts > POLLED_ALERTS_MAX {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Flush(id) => alerts += self.tick(id, due, now),
                Timer::Attempt(id) => attempts.extend(self.attempt(id, now)),
            }
        }
        attempts
    }

    /// Flushes a group, unless it still is. Returns how many alerts were looked at.
    fn tick(&mut self, id: GroupId, due: UnixNanos, now: UnixNanos) -> usize {
        let Some(group) = self.groups.get_mut(&id).filter(|group| group.next_flush == due) else { return 0 };
        let alerts = group.members.len();
        match &group.flush {
            Some(_) => group.missed_tick = Some(due),
            None => self.flush(id, now, now),
        }
        alerts
    }

    /// Flushes a group. `tick` is the scheduled time of the flush, which is earlier than `now` if the
    /// previous flush took longer than the interval.
    fn flush(&mut self, id: GroupId, tick: UnixNanos, now: UnixNanos) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let route = group.route.clone();
        group.next_flush = now.plus(route.group_interval);
        self.timers.insert((group.next_flush, Timer::Flush(id)));
        let time = Time::from_unix_nanos(now.0);
        group.members.sort(&self.alerts);
        let alerts: Vec<Flushed> = self
            .alerts
            .of(&group.members)
            .map(|(_, alert)| (alert.clone(), alert.is_resolved_at(time)))
            .collect();
        let over = alerts.iter().filter(|(_, over)| *over);
        group.flush = Some(Flush {
            open_deliveries: 0,
            failed: false,
            resolved: over.map(|(alert, _)| (alert.fingerprint(), alert.updated_at)).collect(),
        });
        let telling = self.unmuted(id, alerts, tick, now);
        if !telling.alerts.is_empty() || !telling.silenced_ends.is_empty() {
            self.deliver(id, &telling, tick, now);
        }
        self.end_flush_if_done(id, now);
    }

    /// The alerts that are not muted, in their original order.
    fn unmuted(
        &mut self,
        id: GroupId,
        mut alerts: Vec<Flushed>,
        tick: UnixNanos,
        now: UnixNanos,
    ) -> AlertsToNotify {
        let time = Time::from_unix_nanos(now.0);
        let before = alerts.len();
        alerts.retain(|(alert, _)| self.inhibitor.inhibiting(&alert.labels, time).is_none());
        self.metrics.suppressed("inhibition", before - alerts.len());
        if alerts.is_empty() {
            self.note_muted(id, now, Outcome::Inhibited, before);
            return AlertsToNotify::default();
        }
        if let Some((reason, outcome)) = self.mute_by_time(id, tick) {
            self.metrics.suppressed(reason, alerts.len());
            self.note_muted(id, now, outcome, alerts.len());
            return AlertsToNotify::default();
        }
        let is_silenced = |(alert, _): &Flushed| !self.silencing(&alert.labels, now).is_empty();
        let (silenced, alerts): (Vec<Flushed>, Vec<Flushed>) = alerts.into_iter().partition(is_silenced);
        self.metrics.suppressed("silence", silenced.len());
        if alerts.is_empty() {
            self.note_muted(id, now, Outcome::Silenced, silenced.len());
        }
        if !self.settings.own.tells_end_of_silenced {
            return AlertsToNotify { alerts, ..AlertsToNotify::default() };
        }
        let (silenced_ends, firing): (Vec<Flushed>, Vec<Flushed>) =
            silenced.into_iter().partition(|(_, is_over)| *is_over);
        let silenced_firing = firing.iter().map(|(alert, _)| alert.log_hash()).collect();
        AlertsToNotify { alerts, silenced_ends, silenced_firing }
    }

    /// Whether time intervals mute the group; their names are kept for the API.
    fn mute_by_time(&mut self, id: GroupId, tick: UnixNanos) -> Option<(&'static str, Outcome)> {
        let group = self.groups.get_mut(&id)?;
        let (active, mute) = (&group.route.active_time_intervals, &group.route.mute_time_intervals);
        if !active.is_empty() && self.setup.intervals.containing(active, tick).is_empty() {
            group.muted_by = active.clone();
            return Some(("active_time_interval", Outcome::Muted { by: active.clone() }));
        }
        group.muted_by = self.setup.intervals.containing(mute, tick).into_iter().cloned().collect();
        let by = group.muted_by.clone();
        (!by.is_empty()).then_some(("mute_time_interval", Outcome::Muted { by }))
    }

    fn note_muted(&mut self, id: GroupId, now: UnixNanos, outcome: Outcome, alerts: usize) {
        let Some(group) = self.groups.get(&id) else { return };
        let (group_key, receiver) = (group.key.clone(), group.route.receiver.clone());
        let (attempts, faults) = (Vec::new(), Vec::new());
        self.note_event(Event {
            at: now,
            group_key,
            receiver,
            integration: None,
            alerts,
            outcome,
            attempts,
            faults,
        });
    }

    /// Decides for each integration whether a notification is needed.
    fn deliver(&mut self, id: GroupId, telling: &AlertsToNotify, tick: UnixNanos, now: UnixNanos) {
        let Some(group) = self.groups.get(&id) else { return };
        let (key, route, labels) = (group.key.clone(), group.route.clone(), group.labels.clone());
        let integrations = self.setup.receivers.get(&*route.receiver).cloned().unwrap_or_default();
        let common_hashes = Arc::new(hashes_of(&telling.alerts));
        let deadline = now.plus(route.group_interval.max(FLUSH_MIN));
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let group_labels: Arc<Labels> = Arc::new(labels.iter().map(own).collect());
        for integration in integrations {
            let receiver = log_receiver(&route.receiver, &integration);
            let last = self.metrics.queries.of_log(|| self.log.last(&key, &receiver));
            let tells_silenced = !telling.silenced_ends.is_empty() || !telling.silenced_firing.is_empty();
            let announced = announced(last.filter(|_| tells_silenced));
            let ends = ends_to_tell(telling, &announced);
            let own_hashes = (!ends.is_empty()).then(|| Arc::new(with_ends(&common_hashes, &ends)));
            let hashes = own_hashes.unwrap_or_else(|| common_hashes.clone());
            let Some(reason) = reason_for(last, &hashes, &announced, &ends, &integration, &route, tick)
            else {
                continue;
            };
            let kept = match reason {
                Reason::FirstNotification => KeptValues::new(),
                _ => last.map(|last| last.kept.clone()).unwrap_or_default(),
            };
            self.metrics.notification(integration.name, &route.receiver);
            let sends_resolved = integration.send_resolved;
            let sent = telling.alerts.iter().filter(|(_, is_over)| sends_resolved || !is_over);
            let ends = ends.iter().filter(|_| sends_resolved);
            let told = sent.map(|(alert, is_over)| Alert::of(alert.clone(), *is_over));
            let told = told.chain(ends.map(|alert| Alert::of(alert.clone(), true))).collect();
            let content = Content {
                receiver: route.receiver.clone(),
                group_key: key.clone(),
                group_labels: group_labels.clone(),
                alerts: told,
                now: Time::from_unix_nanos(tick.0),
                repeat_interval: route.repeat_interval,
                reason,
                kept,
            };
            let still_announced = telling.silenced_firing.iter().filter(|hash| announced.contains(hash));
            let delivery = Delivery {
                announced: still_announced.copied().collect(),
                ..Delivery::new(id, receiver, integration, content, hashes, deadline)
            };
            self.begin(delivery, now);
        }
    }

    fn begin(&mut self, delivery: Delivery, now: UnixNanos) {
        // Nothing is sent, but the log must drop the firing alerts.
        if delivery.content.alerts.is_empty() {
            let kept = delivery.content.kept.clone();
            self.note_told(&delivery, kept, now);
            return;
        }
        if let Some(flush) = self.groups.get_mut(&delivery.group).and_then(|group| group.flush.as_mut()) {
            flush.open_deliveries += 1;
        }
        let id = self.new_id();
        let due = self.hold(&delivery, now);
        let delivery = Delivery { held_until: due.map(|(until, _)| until), ..delivery };
        self.deliveries.insert(id, delivery);
        match due {
            Some((_, look_at)) => drop(self.timers.insert((look_at, Timer::Attempt(id)))),
            None => self.begun.push(id),
        }
    }

    /// Records that one delivery of the group has ended.
    pub(super) fn delivery_ended(&mut self, id: GroupId, failed: bool, now: UnixNanos) {
        if let Some(flush) = self.groups.get_mut(&id).and_then(|group| group.flush.as_mut()) {
            flush.open_deliveries = flush.open_deliveries.saturating_sub(1);
            flush.failed |= failed;
        }
        self.end_flush_if_done(id, now);
    }

    fn end_flush_if_done(&mut self, id: GroupId, now: UnixNanos) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(flush) = group.flush.take_if(|flush| flush.open_deliveries == 0) else { return };
        let mut told = Vec::new();
        if !flush.failed {
            for (fingerprint, updated_at) in flush.resolved {
                // An alert that was reported again during the flush may fire again.
                let is_same = self
                    .alerts
                    .get(fingerprint)
                    .is_some_and(|entry| entry.is_in(id) && entry.alert.updated_at == updated_at);
                if is_same {
                    told.push((fingerprint, updated_at));
                }
            }
        }
        let left: Vec<u64> = told.iter().map(|(fingerprint, _)| *fingerprint).collect();
        group.members.remove(&left);
        self.alerts.leave(id, &left);
        let (route, labels, next_flush) = (group.route.id.clone(), group.labels.clone(), group.next_flush);
        self.records.push(Record::Flushed { route, labels, next_flush, told });
        if group.members.is_empty() {
            self.remove_group(id);
            return;
        }
        if let Some(tick) = group.missed_tick.take() {
            self.flush(id, tick, now);
        }
    }

    /// Removes a group without alerts.
    pub(super) fn remove_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.remove(&id) else { return };
        self.timers.remove(&(group.next_flush, Timer::Flush(id)));
        self.group_ids.remove(&(group.route.id.clone(), group.labels));
    }
}

/// The name of an integration in the notification log.
pub(super) fn log_receiver(receiver: &str, integration: &Integration) -> LogReceiver {
    LogReceiver {
        group_name: receiver.to_owned(),
        integration: integration.name.to_owned(),
        index: u32::try_from(integration.index).unwrap_or(u32::MAX),
    }
}

fn hashes_of(alerts: &[Flushed]) -> FlushHashes {
    let hashes = |over: bool| {
        alerts.iter().filter(|(_, is_over)| *is_over == over).map(|(alert, _)| alert.log_hash()).collect()
    };
    FlushHashes { firing: hashes(false), resolved: hashes(true) }
}

/// Hashes of the alerts that were notified as firing, now or before they were silenced.
fn announced(last: Option<&LogEntry>) -> Vec<u64> {
    let Some(last) = last else { return Vec::new() };
    let mut hashes = last.firing.clone();
    if let Some(KeptValue::Text(text)) = last.kept.get(ANNOUNCED) {
        hashes.extend(text.split(',').filter_map(|hash| u64::from_str_radix(hash, 16).ok()));
    }
    hashes
}

/// Silenced alerts whose end the integration must be notified of.
fn ends_to_tell(telling: &AlertsToNotify, announced: &[u64]) -> Vec<Arc<StoredAlert>> {
    let ends = telling.silenced_ends.iter().map(|(alert, _)| alert);
    ends.filter(|alert| announced.contains(&alert.log_hash())).cloned().collect()
}

fn with_ends(hashes: &FlushHashes, ends: &[Arc<StoredAlert>]) -> FlushHashes {
    let mut hashes = hashes.clone();
    hashes.resolved.extend(ends.iter().map(|alert| alert.log_hash()));
    hashes
}

/// Why an integration must be notified, if so.
fn reason_for(
    last: Option<&LogEntry>,
    hashes: &FlushHashes,
    announced: &[u64],
    ends: &[Arc<StoredAlert>],
    integration: &Integration,
    route: &RouteSettings,
    tick: UnixNanos,
) -> Option<Reason> {
    let sends_resolved = integration.send_resolved;
    if ends.is_empty() {
        if hashes.firing.is_empty() && hashes.resolved.is_empty() {
            return None;
        }
        return reason_to_notify(last, hashes, sends_resolved, route.repeat_interval, tick);
    }
    // The log may have dropped alerts while they were silenced.
    let last = last.map(|last| LogEntry { firing: announced.to_vec(), ..last.clone() });
    reason_to_notify(last.as_ref(), hashes, sends_resolved, route.repeat_interval, tick)
}
