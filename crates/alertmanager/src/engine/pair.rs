//! Two engines that share receivers: the first notifies, the second steps in.
//!
//! ```text
//! first:   flush ─▶ attempt ──────────────▶ told ─────▶ log entry ─┐
//!                    └ "trying until T" ─┐                         │ over the link (`crate::pair`)
//! second:  flush ─▶ held ◀───────────────┘  dropped ◀──────────────┘
//!                    └ nothing heard, the first is gone, or it gave up: attempt
//! ```
//!
//! Always: an attempt is held only while messages of the other member arrive. Without the link, both members notify everything:
//! duplicates, never a loss.

use std::collections::HashMap;
use std::time::Duration;

use ferula_model::UnixNanos;

use super::delivery::Delivery;
use super::history::Outcome;
use super::pair_state::{OtherMember, Pair, PairMessage, PairView};
use super::record::Record;
use super::state::{Engine, Timer};
use crate::notification_log::{LogReceiver, reason_to_notify};

/// How often to check whether a held attempt still has to wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

impl Engine {
    /// Makes this engine a member of a pair. `patience` is how long it waits at most for the other member to notify.
    pub fn join_pair(&mut self, name: String, patience: Duration) {
        self.pair = Some(Pair { name, patience, other: None, trying: HashMap::new(), outbox: Vec::new() });
    }

    /// The pair as this member sees it.
    pub fn pair_view(&self, now: UnixNanos) -> Option<PairView> {
        let pair = self.pair.as_ref()?;
        Some(PairView {
            name: pair.name.clone(),
            other: pair.other.as_ref().map(|other| other.name.clone()),
            is_present: pair.is_present(now),
            is_second: pair.is_second(),
        })
    }

    /// Messages for the other member, in order.
    pub fn take_pair_messages(&mut self) -> Vec<PairMessage> {
        self.pair.as_mut().map(|pair| std::mem::take(&mut pair.outbox)).unwrap_or_default()
    }

    /// Everything that the other member should know: silences, the notification log, attempts.
    pub fn pair_state(&self) -> Vec<PairMessage> {
        let silences = self.silences.all().into_iter().map(|one| Record::Silence(Box::new(one.clone())));
        let entries = self.log.entries().map(|entry| Record::Notified(Box::new(entry.clone())));
        let trying = self.deliveries.values().filter(|delivery| delivery.held_until.is_none());
        let trying = trying.filter(|delivery| !delivery.is_reminder).map(trying_of);
        silences.chain(entries).map(PairMessage::Record).chain(trying).collect()
    }

    /// Applies messages of the other member; that any arrive shows that it is alive.
    pub fn take_from_peer(&mut self, name: &str, messages: Vec<PairMessage>, now: UnixNanos) {
        let Some(pair) = &mut self.pair else { return };
        pair.other = Some(OtherMember { name: name.to_owned(), heard_at: now });
        for message in messages {
            match message {
                PairMessage::Record(Record::Silence(silence)) => {
                    if self.silences.merge((*silence).clone(), now) {
                        self.records.push(Record::Silence(silence));
                    }
                }
                PairMessage::Record(Record::Notified(entry)) => {
                    let key = (entry.group_key.clone(), entry.receiver.clone());
                    if let Some(pair) = &mut self.pair {
                        pair.trying.remove(&key);
                    }
                    if self.log.merge((*entry).clone(), now) {
                        self.records.push(Record::Notified(entry));
                        self.drop_what_was_told(&key, now);
                    }
                }
                PairMessage::Record(_) => {}
                PairMessage::Trying { group_key, receiver, until } => {
                    if let Some(pair) = &mut self.pair {
                        pair.trying.insert((group_key, receiver), until);
                    }
                }
                PairMessage::GaveUp { group_key, receiver } => {
                    let key = (group_key, receiver);
                    if let Some(pair) = &mut self.pair {
                        pair.trying.remove(&key);
                    }
                    self.release(&key, now);
                }
            }
        }
        if let Some(pair) = &mut self.pair {
            pair.trying.retain(|_, until| *until > now);
        }
    }

    /// Until when an attempt waits for the other member, and when to check for the first time; `None` if it need not wait.
    pub(super) fn hold(&self, delivery: &Delivery, now: UnixNanos) -> Option<(UnixNanos, UnixNanos)> {
        let pair = self.pair.as_ref()?;
        if !pair.is_present(now) || !pair.is_second() {
            return None;
        }
        let until = now.plus(pair.patience).min(delivery.deadline);
        Some((until, now.plus(LOOK_INTERVAL).min(until)))
    }

    /// Whether a held attempt must still wait; if so, it is checked again.
    pub(super) fn stays_held(&mut self, id: u64, now: UnixNanos) -> bool {
        let (Some(pair), Some(delivery)) = (&self.pair, self.deliveries.get_mut(&id)) else { return false };
        let key = (delivery.content.group_key.to_string(), delivery.receiver.clone());
        let is_tried = pair.trying.get(&key).is_some_and(|until| *until > now);
        let is_over = delivery.held_until.is_none_or(|until| until <= now);
        if !pair.is_present(now) || is_over && !is_tried {
            delivery.held_until = None;
            return false;
        }
        let again = now.plus(LOOK_INTERVAL).min(delivery.deadline);
        self.timers.insert((again, Timer::Attempt(id)));
        true
    }

    /// Drops held attempts of a group that was notified according to the log.
    fn drop_what_was_told(&mut self, key: &(String, LogReceiver), now: UnixNanos) {
        for id in self.held(key) {
            let Some(delivery) = self.deliveries.get(&id) else { continue };
            let content = &delivery.content;
            let reason = reason_to_notify(
                self.log.last(&key.0, &key.1),
                &delivery.hashes,
                delivery.integration.send_resolved,
                content.repeat_interval,
                UnixNanos(content.now.unix_nanos()),
            );
            if reason.is_some() {
                continue;
            }
            let Some(delivery) = self.deliveries.remove(&id) else { continue };
            let outcome = Outcome::SentByPeer { reason: delivery.content.reason };
            self.note_outcome(&delivery, outcome, now);
            self.delivery_ended(delivery.group, false, now);
        }
    }

    /// Lets held attempts of a group begin.
    fn release(&mut self, key: &(String, LogReceiver), now: UnixNanos) {
        for id in self.held(key) {
            if let Some(delivery) = self.deliveries.get_mut(&id) {
                delivery.held_until = None;
                self.timers.insert((now, Timer::Attempt(id)));
            }
        }
    }

    fn held(&self, key: &(String, LogReceiver)) -> Vec<u64> {
        let is_held = |delivery: &Delivery| {
            delivery.held_until.is_some()
                && *delivery.content.group_key == *key.0
                && delivery.receiver == key.1
        };
        let held = self.deliveries.iter().filter(|(_, delivery)| is_held(delivery));
        let mut ids: Vec<u64> = held.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn tell_peer(&mut self, record: Record) {
        if let Some(pair) = &mut self.pair {
            pair.outbox.push(PairMessage::Record(record));
        }
    }

    pub(super) fn tell_peer_of_attempt(&mut self, id: u64) {
        let (Some(pair), Some(delivery)) = (&mut self.pair, self.deliveries.get(&id)) else { return };
        // Once is enough: the message has the end.
        if delivery.attempts == 0 && !delivery.is_reminder {
            pair.outbox.push(trying_of(delivery));
        }
    }

    pub(super) fn tell_peer_of_failure(&mut self, delivery: &Delivery) {
        if delivery.is_reminder {
            return;
        }
        if let Some(pair) = &mut self.pair {
            let (group_key, receiver) = (delivery.content.group_key.to_string(), delivery.receiver.clone());
            pair.outbox.push(PairMessage::GaveUp { group_key, receiver });
        }
    }
}

fn trying_of(delivery: &Delivery) -> PairMessage {
    PairMessage::Trying {
        group_key: delivery.content.group_key.to_string(),
        receiver: delivery.receiver.clone(),
        until: delivery.deadline,
    }
}
