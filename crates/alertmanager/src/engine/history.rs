//! Recent decisions: what was sent, what was not, and why.

use std::collections::VecDeque;
use std::sync::Arc;

use ferula_model::UnixNanos;

use crate::receiver::Reason;

/// Maximum number of events.
const EVENTS_MAX: usize = 10_000;

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
        }
    }
}

/// Recent events, oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Event>);

impl History {
    pub fn note(
        &mut self,
        at: UnixNanos,
        group_key: &Arc<str>,
        receiver: &Arc<str>,
        integration: Option<String>,
        alerts: usize,
        outcome: Outcome,
    ) {
        if self.0.len() == EVENTS_MAX {
            self.0.pop_front();
        }
        let (group_key, receiver) = (group_key.clone(), receiver.clone());
        self.0.push_back(Event { at, group_key, receiver, integration, alerts, outcome });
    }

    /// The events, latest first.
    pub fn latest(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().rev()
    }
}
