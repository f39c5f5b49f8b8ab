//! Silences in the engine: what is silenced now, changes with their history, and what silences do by themselves.
//!
//! Some end with the alerts that they cover, and send reminders before their end. Both are checked every
//! few seconds ([`super::state::ALIVE_INTERVAL`]).

use std::sync::Arc;

use ferula_config::alertmanager::Matcher;
use ferula_go::quote::go_quote;
use ferula_model::{LabelSet, UnixNanos};
use ferula_telemetry::info;

use super::delivery::{Content, Delivery};
use super::flush::{FLUSH_MIN, log_receiver};
use super::history::{HistoryEntry, HistoryView, PastAlert, SilenceChange};
use super::record::Record;
use super::state::{Engine, Timer};
use super::view::AlertView;
use crate::alert::Alert;
use crate::matcher_index::matches;
use crate::notification_log::FlushHashes;
use crate::receiver::{KeptValues, Reason};
use crate::route::Labels;
use crate::silence::{REMINDED_AT, Silence, SilenceError, SilenceOptions, SilenceState, Silences};
use crate::stored_alert::StoredAlert;
use crate::time::Time;

/// What a silence would cover.
#[derive(Clone, Debug)]
pub struct SilencePreview {
    /// Alerts that are firing now.
    pub now: Vec<AlertView>,
    /// Resolved alerts, latest first.
    pub past: Vec<PastAlert>,
}

impl SilencePreview {
    /// Adds those that the store has dropped and the silence would have covered.
    pub fn add_past(&mut self, history: &HistoryView, matchers: &[Matcher], since: UnixNanos) {
        let is_past = |alert: &PastAlert| alert.ends_at >= since && matches(matchers, &alert.labels);
        let left = PREVIEWED_MAX.saturating_sub(self.past.len());
        self.past.extend(history.alerts().filter(is_past).take(left));
    }
}

/// Past alerts of a preview.
const PREVIEWED_MAX: usize = 1000;

impl Engine {
    /// The identifiers of the silences that cover an alert with these labels now, in the order of their creation.
    pub(super) fn silencing(&self, labels: &LabelSet, now: UnixNanos) -> Vec<&str> {
        let mut ids = self.metrics.queries.of_silences(|| self.silences.silencing_counted(labels, now));
        ids.retain(|id| self.is_in_its_interval(self.silences.options(id), now));
        ids
    }

    /// Whether a repeating silence applies now. If its interval does not exist any more, it silences nothing.
    fn is_in_its_interval(&self, options: Option<&SilenceOptions>, now: UnixNanos) -> bool {
        let Some(name) = options.and_then(|options| options.repeats_in.as_ref()) else { return true };
        !self.setup.intervals.containing(std::slice::from_ref(name), now).is_empty()
    }

    /// The state of a silence now. A repeating one is pending outside its time interval.
    pub fn silence_state(&self, silence: &Silence, now: UnixNanos) -> SilenceState {
        match silence.state_at(now) {
            SilenceState::Active if !self.is_in_its_interval(self.silences.options(&silence.id), now) => {
                SilenceState::Pending
            }
            state => state,
        }
    }

    /// Creates or changes a silence; returns its new identifier. `new_id` creates one for a new silence; `by` is who
    /// requests it.
    ///
    /// # Errors
    /// The silence is invalid, or does not exist.
    pub fn set_silence(
        &mut self,
        mut silence: Silence,
        new_id: impl FnOnce() -> String,
        by: &str,
        now: UnixNanos,
    ) -> Result<String, SilenceError> {
        let options = SilenceOptions::parse(&silence.annotations)
            .map_err(|error| SilenceError::Invalid(error.to_string()))?;
        if let Some(name) = &options.repeats_in
            && !self.setup.intervals.is_known(name)
        {
            let text = format!("undefined time interval {} to repeat in", go_quote(name));
            return Err(SilenceError::Invalid(text));
        }
        let before = self.silences.get(&silence.id).cloned();
        // With a new end, another reminder is due.
        if before.as_ref().is_none_or(|before| before.ends_at != silence.ends_at) {
            silence.annotations.remove(REMINDED_AT);
        }
        let given_id = silence.id.clone();
        let changed = self.silences.set(silence, new_id, now)?;
        let id = changed.last().map(|silence| silence.id.clone()).unwrap_or_default();
        for silence in changed {
            let (what, action) = match (silence.id == id, silence.id == given_id) {
                (false, _) => ("expire silence", "replaced"),
                (true, true) => ("update silence", "updated"),
                (true, false) => ("create silence", "created"),
            };
            let before = before.as_ref().filter(|before| before.id == silence.id).cloned();
            self.silence_changed(silence, before.as_ref(), what, action, by, now);
        }
        Ok(id)
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// It does not exist.
    pub fn expire_silence(&mut self, id: &str, by: &str, now: UnixNanos) -> Result<(), SilenceError> {
        self.end_silence(id, "expired", by, now)
    }

    fn end_silence(&mut self, id: &str, action: &str, by: &str, now: UnixNanos) -> Result<(), SilenceError> {
        let before = self.silences.get(id).cloned();
        if let Some(silence) = self.silences.expire(id, now)? {
            self.silence_changed(silence, before.as_ref(), "expire silence", action, by, now);
        }
        Ok(())
    }

    fn silence_changed(
        &mut self,
        silence: Silence,
        before: Option<&Silence>,
        what: &str,
        action: &str,
        by: &str,
        now: UnixNanos,
    ) {
        if self.settings.log_silences {
            let matchers = silence.matcher_sets.iter().flatten();
            let matchers: Vec<String> = matchers
                .map(|matcher| format!("{}{}{}", matcher.name(), matcher.op().as_str(), matcher.value()))
                .collect();
            info!(
                what,
                component = "silences",
                Id = silence.id,
                CreatedBy = silence.created_by,
                Comment = silence.comment,
                StartsAt = silence.starts_at.rfc3339_nanos(),
                EndsAt = silence.ends_at.rfc3339_nanos(),
                Matchers = matchers.join(",")
            );
        }
        let change = SilenceChange {
            at: now,
            id: silence.id.clone(),
            action: action.to_owned(),
            by: by.to_owned(),
            before: before.map(in_short).unwrap_or_default(),
            after: in_short(&silence),
        };
        self.history.add(&HistoryEntry::Silence(change));
        let changed = Record::Silence(Box::new(silence));
        self.tell_peer(changed.clone());
        self.records.push(changed);
    }

    /// All silences.
    pub fn silences(&self) -> &Silences {
        &self.silences
    }

    /// All silences, to read a file into.
    pub fn silences_mut(&mut self) -> &mut Silences {
        &mut self.silences
    }

    /// What a silence with these matchers would cover now, and would have covered since a moment according to the store. The
    /// history of resolved alerts has the rest: [`SilencePreview::add_past`].
    pub fn preview_silence(&self, matchers: &[Matcher], since: UnixNanos, now: UnixNanos) -> SilencePreview {
        let time = Time::from_unix_nanos(now.0);
        let is_past = |alert: &PastAlert| alert.ends_at >= since && matches(matchers, &alert.labels);
        // Resolved alerts that are still in the store are not in the history yet.
        let mut past: Vec<PastAlert> = self
            .alerts
            .iter()
            .filter(|(_, entry)| entry.alert.is_resolved_at(time))
            .map(|(_, entry)| past_alert(&entry.alert))
            .filter(is_past)
            .collect();
        past.sort_by_key(|alert| std::cmp::Reverse(alert.ends_at));
        past.truncate(PREVIEWED_MAX);
        SilencePreview { now: self.alerts(|alert| matches(matchers, &alert.labels), now), past }
    }

    /// Ends silences whose alerts are resolved, and sends reminders of those that end soon.
    pub(super) fn look_at_silences(&mut self, now: UnixNanos) {
        let reminder = self.settings.own.silence_reminder;
        let looked_at: Vec<Silence> = self
            .silences
            .all()
            .into_iter()
            .filter(|silence| silence.state_at(now) == SilenceState::Active)
            .filter(|silence| {
                reminder.is_some()
                    || self.silences.options(&silence.id).is_some_and(|options| !options.is_plain())
            })
            .cloned()
            .collect();
        for silence in looked_at {
            let options = self.silences.options(&silence.id).cloned().unwrap_or_default();
            if options.ends_when_resolved && self.are_its_alerts_over(&silence, now) {
                let _ = self.end_silence(&silence.id, "ended with its alerts", "ferula", now);
                continue;
            }
            let before = options.remind_before.or(reminder).filter(|before| !before.is_zero());
            let is_soon = before.is_some_and(|before| silence.ends_at <= now.plus(before));
            if is_soon && !options.is_reminded && self.is_in_its_interval(Some(&options), now) {
                self.remind(silence, now);
            }
        }
    }

    /// Whether alerts that the silence covered are known, and none of them fires.
    fn are_its_alerts_over(&self, silence: &Silence, now: UnixNanos) -> bool {
        let time = Time::from_unix_nanos(now.0);
        let mut has_covered = false;
        for (_, entry) in self.alerts.iter() {
            let alert = &entry.alert;
            if alert.ends_at.unix_nanos() < silence.starts_at.0 || !covers(silence, alert) {
                continue;
            }
            if !alert.is_resolved_at(time) {
                return false;
            }
            has_covered = true;
        }
        has_covered
    }

    /// Notifies the receivers of the alerts that a silence covers that it ends soon.
    fn remind(&mut self, mut silence: Silence, now: UnixNanos) {
        let time = Time::from_unix_nanos(now.0);
        let mut deliveries = Vec::new();
        for group in self.groups.values().filter(|group| group.muted_by.is_empty()) {
            let silenced: Vec<&Arc<StoredAlert>> = self
                .alerts
                .of(&group.members)
                .map(|(_, alert)| alert)
                .filter(|alert| !alert.is_resolved_at(time) && covers(&silence, alert))
                .filter(|alert| self.inhibitor.inhibiting(&alert.labels, time).is_none())
                .collect();
            if silenced.is_empty() {
                continue;
            }
            let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let group_labels: Arc<Labels> = Arc::new(group.labels.iter().map(own).collect());
            let alerts: Vec<_> = silenced.into_iter().map(|alert| Alert::of(alert.clone(), false)).collect();
            for integration in self.setup.receivers.get(&*group.route.receiver).into_iter().flatten() {
                let content = Content {
                    receiver: group.route.receiver.clone(),
                    group_key: group.key.clone(),
                    group_labels: group_labels.clone(),
                    alerts: alerts.clone(),
                    now: time,
                    repeat_interval: group.route.repeat_interval,
                    reason: Reason::SilenceEnds,
                    kept: KeptValues::new(),
                };
                let receiver = log_receiver(&group.route.receiver, integration);
                let deadline = now.plus(group.route.group_interval.max(FLUSH_MIN));
                // No group has the number 0, so no flush waits for a reminder.
                deliveries.push(Delivery {
                    is_reminder: true,
                    ..Delivery::new(
                        0,
                        receiver,
                        integration.clone(),
                        content,
                        Arc::new(FlushHashes::default()),
                        deadline,
                    )
                });
            }
        }
        if deliveries.is_empty() {
            return;
        }
        for delivery in deliveries {
            self.metrics.notification(delivery.integration.name, &delivery.content.receiver);
            let id = self.new_id();
            self.deliveries.insert(id, delivery);
            self.timers.insert((now, Timer::Attempt(id)));
        }
        let before = silence.clone();
        silence.annotations.insert(REMINDED_AT.to_owned(), now.rfc3339_nanos());
        silence.updated_at = now.max(UnixNanos(before.updated_at.0.saturating_add(1)));
        self.silences.merge(silence.clone(), now);
        self.silence_changed(silence, Some(&before), "update silence", "reminded", "ferula", now);
    }

    /// Records in the history that an alert is resolved.
    pub(super) fn note_past(&mut self, alert: &StoredAlert) {
        self.history.add(&HistoryEntry::Alert(past_alert(alert)));
    }
}

fn past_alert(alert: &StoredAlert) -> PastAlert {
    PastAlert {
        labels: alert.labels.clone(),
        starts_at: UnixNanos(alert.starts_at.unix_nanos()),
        ends_at: UnixNanos(alert.ends_at.unix_nanos()),
    }
}

fn covers(silence: &Silence, alert: &StoredAlert) -> bool {
    silence.matcher_sets.iter().any(|set| matches(set, &alert.labels))
}

/// `{a="b"} 2026-01-02T03:04:05Z to 2026-01-02T04:04:05Z: comment`
fn in_short(silence: &Silence) -> String {
    let sets: Vec<String> = silence
        .matcher_sets
        .iter()
        .map(|set| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        .collect();
    let time = |time: UnixNanos| Time::from_unix_nanos(time.0).rfc3339_millis();
    format!(
        "{{{}}} {} to {}: {}",
        sets.join("} or {"),
        time(silence.starts_at),
        time(silence.ends_at),
        silence.comment
    )
}
