//! What a member of a pair knows about the other one, and their messages.

use std::collections::HashMap;
use std::time::Duration;

use ferula_model::UnixNanos;

use super::record::Record;
use crate::notification_log::LogReceiver;

/// How long a member counts as present after its last message.
const LEASE: Duration = Duration::from_secs(3);

/// A message to the other member.
#[derive(Clone, Debug, PartialEq)]
pub enum PairMessage {
    /// A silence, or an entry of the notification log.
    Record(Record),
    /// An attempt is being made or repeated until this time.
    Trying { group_key: String, receiver: LogReceiver, until: UnixNanos },
    /// A notification was given up: the other member may succeed.
    GaveUp { group_key: String, receiver: LogReceiver },
}

/// What a member knows about the other one.
#[derive(Debug)]
pub(super) struct Pair {
    /// Of this member. The member whose name sorts first notifies first.
    pub name: String,
    /// How long an attempt waits for the other member at most.
    pub patience: Duration,
    pub other: Option<OtherMember>,
    pub trying: HashMap<(String, LogReceiver), UnixNanos>,
    pub outbox: Vec<PairMessage>,
}

#[derive(Debug)]
pub(super) struct OtherMember {
    pub name: String,
    pub heard_at: UnixNanos,
}

impl Pair {
    pub fn is_present(&self, now: UnixNanos) -> bool {
        self.other.as_ref().is_some_and(|other| now < other.heard_at.plus(LEASE) && other.heard_at <= now)
    }

    pub fn is_second(&self) -> bool {
        self.other.as_ref().is_some_and(|other| other.name < self.name)
    }
}

/// What is known of the other member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairView {
    pub name: String,
    pub other: Option<String>,
    pub is_present: bool,
    pub is_second: bool,
}
