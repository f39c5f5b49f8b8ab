//! A notification to one integration: its content, an attempt to send it, and the progress of the attempts.

use std::sync::Arc;
use std::time::Duration;

use ferula_model::UnixNanos;

use super::history::AttemptNote;
use crate::alert::Alert;
use crate::notification_log::{FlushHashes, LogReceiver};
use crate::receiver::{
    Integration, KeptValues, Notification, NotifyError, Reason, Record, Sent, TemplateFault,
};
use crate::route::Labels;
use crate::time::Time;

/// Identifies a group for as long as it exists.
pub(super) type GroupId = u64;

/// Pause before the second attempt. Each further pause is 1.5 times as long, with a random deviation of up to
/// half of it.
const BACKOFF: Duration = Duration::from_millis(500);

/// The name under which the log keeps hashes of alerts that were notified as firing and are silenced now.
pub(super) const ANNOUNCED: &str = "ferula_announced";

/// The content of a notification.
#[derive(Debug)]
pub struct Content {
    pub receiver: Arc<str>,
    pub group_key: Arc<str>,
    pub group_labels: Arc<Labels>,
    pub alerts: Vec<Alert>,
    /// Time of the flush.
    pub now: Time,
    pub repeat_interval: Duration,
    pub reason: Reason,
    pub kept: KeptValues,
}

impl Content {
    /// The notification as integrations take it, with requests and answers put on `record`.
    pub(crate) fn notification<'a>(&'a self, record: &'a Record) -> Notification<'a> {
        Notification {
            receiver: &self.receiver,
            group_key: &self.group_key,
            group_labels: &self.group_labels,
            alerts: &self.alerts,
            now: self.now,
            repeat_interval: self.repeat_interval,
            reason: self.reason,
            kept: &self.kept,
            record,
            rendering: None,
        }
    }
}

/// An attempt that the caller has to make.
#[derive(Debug)]
pub struct Attempt {
    /// Passed to [`super::Engine::finished`].
    pub id: u64,
    pub integration: Integration,
    pub content: Arc<Content>,
    /// When the attempt is cancelled.
    pub deadline: UnixNanos,
}

/// The result of an attempt.
#[derive(Debug)]
pub struct Attempted {
    pub result: Result<Sent, NotifyError>,
    pub took: Duration,
    /// Template fields that failed and were replaced.
    pub faults: Vec<TemplateFault>,
    /// The service's answer, if known.
    pub answer: Option<String>,
}

impl Attempted {
    /// An attempt of which only the result is known.
    pub fn plain(result: Result<Sent, NotifyError>) -> Self {
        Attempted { result, took: Duration::ZERO, faults: Vec::new(), answer: None }
    }
}

/// A notification that is being sent to one integration.
#[derive(Debug)]
pub(super) struct Delivery {
    pub group: GroupId,
    pub receiver: LogReceiver,
    pub integration: Integration,
    pub content: Arc<Content>,
    pub hashes: Arc<FlushHashes>,
    pub deadline: UnixNanos,
    pub attempts: u32,
    pub attempt_started: UnixNanos,
    pub backoff: Duration,
    pub last_error: Option<NotifyError>,
    /// It notifies about silenced alerts, so it must not be recorded in the log.
    pub is_reminder: bool,
    /// Hashes of alerts that were notified as firing before, and are silenced now.
    pub announced: Vec<u64>,
    /// Results of attempts, oldest first.
    pub notes: Vec<AttemptNote>,
    pub faults: Vec<TemplateFault>,
    /// Until then, the other member of the pair may go first.
    pub held_until: Option<UnixNanos>,
}

impl Delivery {
    pub fn new(
        group: GroupId,
        receiver: LogReceiver,
        integration: Integration,
        content: Content,
        hashes: Arc<FlushHashes>,
        deadline: UnixNanos,
    ) -> Self {
        Delivery {
            group,
            receiver,
            integration,
            content: Arc::new(content),
            hashes,
            deadline,
            attempts: 0,
            attempt_started: UnixNanos(0),
            backoff: BACKOFF,
            last_error: None,
            is_reminder: false,
            announced: Vec::new(),
            notes: Vec::new(),
            faults: Vec::new(),
            held_until: None,
        }
    }

    /// `team/slack[0]`
    pub fn name(&self) -> String {
        format!("{}/{}", self.content.receiver, self.integration)
    }
}
