//! One entry of the history, and its bytes.

use std::sync::Arc;
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};

use crate::receiver::{Reason, TemplateFault};
use crate::wire::{Message, WireError, fields};

/// One decision about a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: UnixNanos,
    pub group_key: Arc<str>,
    pub receiver: Arc<str>,
    /// `slack[0]`; `None` if the decision applies to all integrations of the receiver.
    pub integration: Option<String>,
    /// Number of alerts.
    pub alerts: usize,
    pub outcome: Outcome,
    /// The latest ones, oldest first.
    pub attempts: Vec<AttemptNote>,
    /// Template fields that failed and were replaced.
    pub faults: Vec<TemplateFault>,
}

/// One attempt and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptNote {
    pub at: UnixNanos,
    pub took: Duration,
    /// Status and beginning of the answer, or the error.
    pub result: String,
}

/// The outcome of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Sent {
        reason: Reason,
        attempts: u32,
    },
    /// There are only resolved alerts, which the integration does not send.
    NothingToSend {
        reason: Reason,
    },
    Failed {
        reason: Reason,
        attempts: u32,
        error: String,
    },
    /// All alerts were inhibited.
    Inhibited,
    /// All remaining alerts were silenced.
    Silenced,
    /// Time intervals mute the route.
    Muted {
        by: Vec<String>,
    },
    /// Another member of the pair sent it.
    SentByPeer {
        reason: Reason,
    },
}

impl Outcome {
    /// `sent`, `failed` and so on.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Sent { .. } => "sent",
            Outcome::NothingToSend { .. } => "nothing to send",
            Outcome::Failed { .. } => "failed",
            Outcome::Inhibited => "inhibited",
            Outcome::Silenced => "silenced",
            Outcome::Muted { .. } => "muted",
            Outcome::SentByPeer { .. } => "sent by peer",
        }
    }

    /// Why it was sent.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Outcome::Sent { reason, .. }
            | Outcome::NothingToSend { reason }
            | Outcome::Failed { reason, .. }
            | Outcome::SentByPeer { reason } => Some(*reason),
            Outcome::Inhibited | Outcome::Silenced | Outcome::Muted { .. } => None,
        }
    }
}

/// A change of a silence.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceChange {
    pub at: UnixNanos,
    pub id: String,
    /// `created`, `updated`, `expired`, `replaced`, `ended with its alerts`
    pub action: String,
    /// Who requested it, if known.
    pub by: String,
    /// The silence before and after, in short.
    pub before: String,
    pub after: String,
}

/// A resolved alert.
#[derive(Clone, Debug, PartialEq)]
pub struct PastAlert {
    pub labels: LabelSet,
    pub starts_at: UnixNanos,
    pub ends_at: UnixNanos,
}

/// An entry of the history.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryEntry {
    Decision(Event),
    Silence(SilenceChange),
    Alert(PastAlert),
}

impl HistoryEntry {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Message::default();
        match self {
            HistoryEntry::Decision(event) => out.message(1, |message| write_event(message, event)),
            HistoryEntry::Silence(change) => out.message(2, |message| {
                message.uint(1, change.at.0 as u64);
                for (field, text) in [
                    (2, &change.id),
                    (3, &change.action),
                    (4, &change.by),
                    (5, &change.before),
                    (6, &change.after),
                ] {
                    message.bytes(field, text.as_bytes());
                }
            }),
            HistoryEntry::Alert(alert) => out.message(3, |message| {
                message.uint(1, alert.starts_at.0 as u64);
                message.uint(2, alert.ends_at.0 as u64);
                for (name, value) in alert.labels.iter() {
                    message.message(3, |pair| {
                        pair.bytes(1, name.as_bytes());
                        pair.bytes(2, value.as_bytes());
                    });
                }
            }),
        }
        out.into_bytes()
    }

    /// Reads an entry; `None` if its kind is unknown, because a later version wrote it.
    ///
    /// # Errors
    /// The bytes are not an entry.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let field = fields(bytes).next().ok_or(WireError::Incomplete)??;
        let content = field.bytes()?;
        Ok(match field.number {
            1 => Some(HistoryEntry::Decision(read_event(content)?)),
            2 => {
                let mut change = SilenceChange {
                    at: UnixNanos(0),
                    id: String::new(),
                    action: String::new(),
                    by: String::new(),
                    before: String::new(),
                    after: String::new(),
                };
                for field in fields(content) {
                    let field = field?;
                    match field.number {
                        1 => change.at = UnixNanos(field.uint()? as i64),
                        2 => change.id = field.text()?,
                        3 => change.action = field.text()?,
                        4 => change.by = field.text()?,
                        5 => change.before = field.text()?,
                        6 => change.after = field.text()?,
                        _ => {}
                    }
                }
                Some(HistoryEntry::Silence(change))
            }
            3 => {
                let (mut starts_at, mut ends_at, mut labels) = (UnixNanos(0), UnixNanos(0), Vec::new());
                for field in fields(content) {
                    let field = field?;
                    match field.number {
                        1 => starts_at = UnixNanos(field.uint()? as i64),
                        2 => ends_at = UnixNanos(field.uint()? as i64),
                        3 => labels.push(read_pair(field.bytes()?)?),
                        _ => {}
                    }
                }
                let labels = LabelSet::from_pairs(labels);
                Some(HistoryEntry::Alert(PastAlert { labels, starts_at, ends_at }))
            }
            _ => None,
        })
    }
}

fn read_pair(bytes: &[u8]) -> Result<(String, String), WireError> {
    let (mut first, mut second) = (String::new(), String::new());
    for field in fields(bytes) {
        let field = field?;
        match field.number {
            1 => first = field.text()?,
            2 => second = field.text()?,
            _ => {}
        }
    }
    Ok((first, second))
}

fn write_event(message: &mut Message, event: &Event) {
    message.uint(1, event.at.0 as u64);
    message.bytes(2, event.group_key.as_bytes());
    message.bytes(3, event.receiver.as_bytes());
    message.bytes(4, event.integration.as_deref().unwrap_or_default().as_bytes());
    message.uint(5, event.alerts as u64);
    message.bytes(6, event.outcome.as_str().as_bytes());
    if let Some(reason) = event.outcome.reason() {
        message.bytes(7, reason.as_str().as_bytes());
    }
    match &event.outcome {
        Outcome::Sent { attempts, .. } => message.uint(8, u64::from(*attempts)),
        Outcome::Failed { attempts, error, .. } => {
            message.uint(8, u64::from(*attempts));
            message.bytes(9, error.as_bytes());
        }
        Outcome::Muted { by } => by.iter().for_each(|name| message.bytes(10, name.as_bytes())),
        _ => {}
    }
    for attempt in &event.attempts {
        message.message(11, |one| {
            one.uint(1, attempt.at.0 as u64);
            one.uint(2, u64::try_from(attempt.took.as_nanos()).unwrap_or(u64::MAX));
            one.bytes(3, attempt.result.as_bytes());
        });
    }
    for fault in &event.faults {
        message.message(12, |one| {
            one.bytes(1, fault.field.as_bytes());
            one.bytes(2, fault.error.as_bytes());
        });
    }
}

fn read_event(content: &[u8]) -> Result<Event, WireError> {
    let (mut at, mut group_key, mut receiver, mut integration) = (0, String::new(), String::new(), None);
    let (mut alerts, mut outcome, mut reason, mut attempts) = (0, String::new(), Reason::Unknown, 0);
    let (mut error, mut by, mut notes, mut faults) = (String::new(), Vec::new(), Vec::new(), Vec::new());
    for field in fields(content) {
        let field = field?;
        match field.number {
            1 => at = field.uint()? as i64,
            2 => group_key = field.text()?,
            3 => receiver = field.text()?,
            4 => integration = Some(field.text()?),
            5 => alerts = usize::try_from(field.uint()?).unwrap_or(usize::MAX),
            6 => outcome = field.text()?,
            7 => reason = Reason::parse(&field.text()?),
            8 => attempts = u32::try_from(field.uint()?).unwrap_or(u32::MAX),
            9 => error = field.text()?,
            10 => by.push(field.text()?),
            11 => {
                let mut note = AttemptNote { at: UnixNanos(0), took: Duration::ZERO, result: String::new() };
                for part in fields(field.bytes()?) {
                    let part = part?;
                    match part.number {
                        1 => note.at = UnixNanos(part.uint()? as i64),
                        2 => note.took = Duration::from_nanos(part.uint()?),
                        3 => note.result = part.text()?,
                        _ => {}
                    }
                }
                notes.push(note);
            }
            12 => {
                let (field, error) = read_pair(field.bytes()?)?;
                faults.push(TemplateFault { field, error });
            }
            _ => {}
        }
    }
    let outcome = match outcome.as_str() {
        "sent" => Outcome::Sent { reason, attempts },
        "nothing to send" => Outcome::NothingToSend { reason },
        "failed" => Outcome::Failed { reason, attempts, error },
        "inhibited" => Outcome::Inhibited,
        "silenced" => Outcome::Silenced,
        "muted" => Outcome::Muted { by },
        "sent by peer" => Outcome::SentByPeer { reason },
        _ => return Err(WireError::Incomplete),
    };
    Ok(Event {
        at: UnixNanos(at),
        group_key: group_key.into(),
        receiver: receiver.into(),
        integration,
        alerts,
        outcome,
        attempts: notes,
        faults,
    })
}

/// The lists of the history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Decisions,
    Alerts,
}

/// The list of an encoded entry and its time, without decoding the rest; `None` for an entry of a later version.
pub(super) fn list_and_time(bytes: &[u8]) -> Result<Option<(List, UnixNanos)>, WireError> {
    let field = fields(bytes).next().ok_or(WireError::Incomplete)??;
    let (list, number_of_time) = match field.number {
        1 | 2 => (List::Decisions, 1),
        3 => (List::Alerts, 2),
        _ => return Ok(None),
    };
    for field in fields(field.bytes()?) {
        let field = field?;
        if field.number == number_of_time {
            return Ok(Some((list, UnixNanos(field.uint()? as i64))));
        }
    }
    Ok(Some((list, UnixNanos(0))))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::engine::history) fn event(at: i64, outcome: Outcome) -> Event {
        Event {
            at: UnixNanos(at),
            group_key: "{}:{a=\"b\"}".into(),
            receiver: "team".into(),
            integration: Some("slack[0]".into()),
            alerts: 3,
            outcome,
            attempts: vec![AttemptNote {
                at: UnixNanos(at),
                took: Duration::from_millis(5),
                result: "200 OK".into(),
            }],
            faults: vec![TemplateFault { field: "title".into(), error: "no".into() }],
        }
    }

    #[test]
    fn entries_are_read_back() {
        let reason = Reason::NewAlertsInGroup;
        let mut entries: Vec<HistoryEntry> = [
            Outcome::Sent { reason, attempts: 2 },
            Outcome::NothingToSend { reason },
            Outcome::Failed { reason, attempts: 2, error: "e".into() },
            Outcome::Inhibited,
            Outcome::Silenced,
            Outcome::Muted { by: vec!["night".into(), "day".into()] },
            Outcome::SentByPeer { reason },
        ]
        .map(|outcome| HistoryEntry::Decision(event(5, outcome)))
        .into();
        entries.push(HistoryEntry::Silence(SilenceChange {
            at: UnixNanos(7),
            id: "i".into(),
            action: "created".into(),
            by: "me".into(),
            before: String::new(),
            after: "x".into(),
        }));
        entries.push(HistoryEntry::Alert(PastAlert {
            labels: LabelSet::from_pairs([("a", "b")]),
            starts_at: UnixNanos(1),
            ends_at: UnixNanos(2),
        }));
        for entry in entries {
            let bytes = entry.encode();
            assert_eq!(HistoryEntry::decode(&bytes), Ok(Some(entry)));
            for cut in 0..bytes.len() {
                assert!(HistoryEntry::decode(&bytes[..cut]).is_err(), "{cut}");
            }
        }
    }
}
