//! One notification to one integration: it is attempted until it succeeds, is refused, or its time is over.

use std::time::Duration;

use ferula_model::UnixNanos;
use ferula_telemetry::{debug, error, info, warn};

use super::delivery::{ANNOUNCED, Attempt, Attempted, Delivery};
use super::history::{AttemptNote, Event, Outcome, RESULT_BYTES_MAX};
use super::record::Record;
use super::state::{Engine, Timer};
use crate::notification_log::LogEntry;
use crate::receiver::{FailureReason, KeptValue, KeptValues, NotifyError};

const BACKOFF_MAX: Duration = Duration::from_secs(60);
const BACKOFF_GROWTH: f64 = 1.5;

impl Engine {
    /// The next attempt of a delivery, unless its time is over.
    pub(super) fn attempt(&mut self, id: u64, now: UnixNanos) -> Option<Attempt> {
        let delivery = self.deliveries.get(&id)?;
        if now >= delivery.deadline {
            self.give_up(id, None, now);
            return None;
        }
        if delivery.held_until.is_some() && self.stays_held(id, now) {
            return None;
        }
        self.tell_peer_of_attempt(id);
        let delivery = self.deliveries.get_mut(&id)?;
        delivery.attempt_started = now;
        Some(Attempt {
            id,
            integration: delivery.integration.clone(),
            content: delivery.content.clone(),
            deadline: delivery.deadline,
        })
    }

    /// Processes the result of an attempt. An attempt that was cancelled at its deadline ends with a
    /// [`NotifyError`] with [`FailureReason::ContextDeadlineExceeded`].
    pub fn finished(&mut self, id: u64, attempted: Attempted, now: UnixNanos) {
        let Attempted { result, took, faults, answer } = attempted;
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        delivery.attempts += 1;
        let result_text = match &result {
            Ok(_) => answer.unwrap_or_else(|| "accepted".to_owned()),
            Err(error) => answer.unwrap_or_else(|| error.text.clone()),
        };
        let end = result_text.floor_char_boundary(RESULT_BYTES_MAX.min(result_text.len()));
        let at = delivery.attempt_started;
        delivery.notes.push(AttemptNote { at, took, result: result_text[..end].to_owned() });
        let new_faults = faults.iter().filter(|fault| !delivery.faults.contains(fault)).count();
        for fault in &faults {
            self.metrics.template_failed(delivery.integration.name, &delivery.content.receiver, &fault.field);
        }
        if new_faults > 0 {
            warn!(
                "A template failed; something else was sent in its place",
                component = "dispatcher",
                receiver = delivery.content.receiver,
                integration = delivery.integration,
                aggrGroup = delivery.content.group_key,
                field = faults[0].field,
                err = faults[0].error,
                failed = faults.len()
            );
        }
        delivery.faults = faults;
        let (integration, receiver) = (delivery.integration.name, delivery.content.receiver.clone());
        self.metrics.request(integration, &receiver, took, result.is_ok());
        match result {
            Ok(sent) => {
                let Some(delivery) = self.deliveries.remove(&id) else { return };
                self.note_success(&delivery, took);
                self.note_told(&delivery, sent.kept, now);
                self.delivery_ended(delivery.group, false, now);
            }
            Err(refused) if !refused.retry => self.give_up(id, Some(refused), now),
            Err(failure) => self.retry(id, failure, now),
        }
    }

    fn retry(&mut self, id: u64, failure: NotifyError, now: UnixNanos) {
        let spread = 0.5 + self.next_random();
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        if now >= delivery.deadline {
            self.give_up(id, Some(failure), now);
            return;
        }
        let is_new = delivery.last_error.as_ref().is_none_or(|last| last.text != failure.text);
        if is_new {
            warn!(
                "Notify attempt failed, will retry later",
                component = "dispatcher",
                receiver = delivery.content.receiver,
                integration = delivery.integration,
                aggrGroup = delivery.content.group_key,
                attempts = delivery.attempts,
                err = failure
            );
        }
        delivery.last_error = Some(failure);
        // The pause counts from the start of the attempt.
        let pause = delivery.backoff.mul_f64(spread);
        delivery.backoff = delivery.backoff.mul_f64(BACKOFF_GROWTH).min(BACKOFF_MAX);
        let next = delivery.attempt_started.plus(pause).max(now).min(delivery.deadline);
        self.timers.insert((next, Timer::Attempt(id)));
    }

    /// Ends a delivery as failed. The reported error is the last one other than the timeout itself.
    fn give_up(&mut self, id: u64, failure: Option<NotifyError>, now: UnixNanos) {
        let Some(delivery) = self.deliveries.remove(&id) else { return };
        let is_final = failure.as_ref().is_some_and(|failure| !failure.retry);
        let failure = match failure {
            Some(failure) if is_final => failure,
            other => delivery.last_error.clone().or(other).unwrap_or_else(|| NotifyError {
                retry: true,
                reason: FailureReason::ContextDeadlineExceeded,
                text: "context deadline exceeded".into(),
            }),
        };
        let why = if is_final { "canceled due to unrecoverable error" } else { "canceled" };
        let text = format!(
            "{}: notify retry {why} after {} attempts: {failure}",
            delivery.name(),
            delivery.attempts
        );
        error!(
            "Notify for alerts failed",
            component = "dispatcher",
            aggrGroup = delivery.content.group_key,
            num_alerts = delivery.content.alerts.len(),
            err = text
        );
        self.metrics.failed(delivery.integration.name, &delivery.content.receiver, failure.reason);
        let outcome =
            Outcome::Failed { reason: delivery.content.reason, attempts: delivery.attempts, error: text };
        self.note_outcome(&delivery, outcome, now);
        self.tell_peer_of_failure(&delivery);
        self.delivery_ended(delivery.group, true, now);
    }

    fn note_success(&self, delivery: &Delivery, took: Duration) {
        let (receiver, integration) = (&delivery.content.receiver, &delivery.integration);
        let (group, attempts) = (&delivery.content.group_key, delivery.attempts);
        let took = ferula_go::duration::format(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX));
        let alerts = delivery.content.alerts.len();
        if attempts <= 1 {
            debug!(
                "Notify success",
                component = "dispatcher",
                receiver = receiver,
                integration = integration,
                aggrGroup = group,
                attempts = attempts,
                duration = took,
                numAlerts = alerts
            );
        } else {
            info!(
                "Notify success",
                component = "dispatcher",
                receiver = receiver,
                integration = integration,
                aggrGroup = group,
                attempts = attempts,
                duration = took,
                numAlerts = alerts
            );
        }
    }

    /// Records in the notification log that the integration has been notified by this flush.
    pub(super) fn note_told(&mut self, delivery: &Delivery, mut kept: KeptValues, now: UnixNanos) {
        let reason = delivery.content.reason;
        let outcome = match delivery.attempts {
            0 => Outcome::NothingToSend { reason },
            attempts => Outcome::Sent { reason, attempts },
        };
        self.note_outcome(delivery, outcome, now);
        if delivery.is_reminder {
            return;
        }
        kept.remove(ANNOUNCED);
        if !delivery.announced.is_empty() {
            let hashes: Vec<String> = delivery.announced.iter().map(|hash| format!("{hash:x}")).collect();
            kept.insert(ANNOUNCED.to_owned(), KeptValue::Text(hashes.join(",")));
        }
        let entry = LogEntry {
            group_key: delivery.content.group_key.to_string(),
            receiver: delivery.receiver.clone(),
            firing: delivery.hashes.firing.clone(),
            resolved: delivery.hashes.resolved.clone(),
            kept,
            ..LogEntry::default()
        };
        let noted = self.log.note(entry, delivery.content.repeat_interval.saturating_mul(2), now);
        let noted = Record::Notified(Box::new(noted));
        self.tell_peer(noted.clone());
        self.records.push(noted);
    }

    pub(super) fn note_outcome(&mut self, delivery: &Delivery, outcome: Outcome, now: UnixNanos) {
        let content = &delivery.content;
        self.note_event(Event {
            at: now,
            group_key: content.group_key.clone(),
            receiver: content.receiver.clone(),
            integration: Some(delivery.integration.to_string()),
            alerts: content.alerts.len(),
            outcome,
            attempts: delivery.notes.clone(),
            faults: delivery.faults.clone(),
        });
    }

    /// Adds a decision to the history, and to the log if that is enabled.
    pub(super) fn note_event(&mut self, event: Event) {
        if self.settings.own.log_notifications {
            let error = match &event.outcome {
                Outcome::Failed { error, .. } => error.as_str(),
                _ => "",
            };
            info!(
                "Notification",
                component = "dispatcher",
                outcome = event.outcome.as_str(),
                receiver = event.receiver,
                integration = event.integration.as_deref().unwrap_or_default(),
                aggrGroup = event.group_key,
                alerts = event.alerts,
                reason = event.outcome.reason().map_or("", |reason| reason.as_str()),
                attempts = event.attempts.len(),
                templateErrors = event.faults.len(),
                err = error
            );
        }
        self.history.note(event);
    }
}
