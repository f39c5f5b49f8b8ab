//! What goes to one integration: the content, an attempt to send it, and how far the attempts have come.

use std::sync::Arc;
use std::time::Duration;

use ferula_model::UnixNanos;

use crate::alert::{Alert, Time};
use crate::notification_log::{FlushHashes, LogReceiver};
use crate::receiver::{Integration, Kept, NotifyError, Reason};
use crate::route::Labels;

/// A number that names a group as long as it lives.
pub(super) type GroupId = u64;

/// Before the second attempt; grows by half with every attempt, and is spread by half of itself both ways.
const BACKOFF: Duration = Duration::from_millis(500);

/// What is told.
#[derive(Debug)]
pub struct Content {
    pub receiver: Arc<str>,
    pub group_key: Arc<str>,
    pub group_labels: Arc<Labels>,
    pub alerts: Vec<Arc<Alert>>,
    /// Of the flush.
    pub now: Time,
    pub repeat_interval: Duration,
    pub reason: Reason,
    pub kept: Kept,
}

/// An attempt to make.
#[derive(Debug)]
pub struct Attempt {
    /// For [`super::Engine::finished`].
    pub id: u64,
    pub integration: Integration,
    pub content: Arc<Content>,
    /// After this the attempt is given up.
    pub deadline: UnixNanos,
}

/// A notification on its way to one integration.
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
        }
    }

    /// `team/slack[0]`
    pub fn name(&self) -> String {
        format!("{}/{}", self.content.receiver, self.integration)
    }
}
