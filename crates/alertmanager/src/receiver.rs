//! Receivers: how the services that a configuration names are told.
//!
//! ```text
//! Notification ─▶ template data ─▶ rendered fields ─▶ one or several requests ─▶ Sent, or NotifyError
//! ```
//!
//! Here: what the dispatcher calls. Below: one file for each service. Elsewhere: when to send, deduplication, backoff and
//! the log of notifications; which alerts an integration is given.
//!
//! Always true: one call is one attempt; it never waits longer than its own time limit, but callers bound it as well and
//! may drop it at any time. No error or record shows a secret.

mod address;
mod build;
mod discord;
mod email;
mod environment;
mod exchange;
mod fields;
mod group_key;
mod incidentio;
mod jira;
mod json;
mod mattermost;
mod msteams;
mod opsgenie;
mod pagerduty;
mod pushover;
mod record;
mod rocketchat;
mod slack;
mod sns;
mod telegram;
mod trial;
mod truncate;
mod victorops;
mod webex;
mod webhook;
mod wechat;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use self::build::{build, integrations};
pub use self::environment::{BuildError, Environment};
pub use self::record::{Exchange, Record};
pub use self::trial::{TEST_ALERT, Trial, trial};
use crate::alert::{Alert, Time};
use crate::route::Labels;

/// What an integration is asked to send.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// The receiver's name.
    pub receiver: &'a str,
    /// `{}/{team="x"}:{alertname="A"}`
    pub group_key: &'a str,
    pub group_labels: &'a Labels,
    /// Firing and resolved ones in the order in which they are shown. `ends_at` is [`Time::ZERO`] for firing ones.
    /// Without resolved ones when the integration does not send them.
    pub alerts: &'a [Arc<Alert>],
    /// Of the flush.
    pub now: Time,
    pub repeat_interval: Duration,
    pub reason: Reason,
    /// What the integration kept at the last notification of the group.
    pub kept: &'a Kept,
    /// Where requests and answers are noted, and whether any are sent at all.
    pub record: &'a Record,
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    FirstNotification,
    NewAlertsInGroup,
    NewResolvedAlerts,
    AllAlertsResolved,
    RepeatIntervalElapsed,
    Unknown,
}

impl Reason {
    /// As templates, webhooks and logs show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::FirstNotification => "first notification",
            Reason::NewAlertsInGroup => "new alerts added",
            Reason::NewResolvedAlerts => "some alerts resolved",
            Reason::AllAlertsResolved => "all alerts resolved",
            Reason::RepeatIntervalElapsed => "repeat interval elapsed",
            Reason::Unknown => "unknown",
        }
    }
}

/// Data of an integration in the log of notifications, such as the message that it may change later.
pub type Kept = BTreeMap<String, KeptValue>;

/// A value of [`Kept`].
#[derive(Clone, Debug, PartialEq)]
pub enum KeptValue {
    Text(String),
    Int(i64),
    Float(f64),
}

/// A notification that arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// Replaces what was kept.
    pub kept: Kept,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NotifyError {
    /// Whether another attempt may help.
    pub retry: bool,
    pub reason: FailureReason,
    pub text: String,
}

/// Label `reason` of `alertmanager_notifications_failed_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    #[default]
    Other,
    ClientError,
    ServerError,
    ContextCanceled,
    ContextDeadlineExceeded,
}

impl FailureReason {
    /// Every reason; the metric has a series for each.
    pub const ALL: [FailureReason; 5] = [
        FailureReason::Other,
        FailureReason::ClientError,
        FailureReason::ServerError,
        FailureReason::ContextCanceled,
        FailureReason::ContextDeadlineExceeded,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::Other => "other",
            FailureReason::ClientError => "clientError",
            FailureReason::ServerError => "serverError",
            FailureReason::ContextCanceled => "contextCanceled",
            FailureReason::ContextDeadlineExceeded => "contextDeadlineExceeded",
        }
    }
}

/// An attempt in progress.
pub type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Sent, NotifyError>> + Send + 'a>>;

/// A service that can be told.
pub trait Notifier: Send + Sync {
    /// Makes one attempt.
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a>;
}

/// A service as one item of a receiver's configuration has it.
#[derive(Clone)]
pub struct Integration {
    /// `slack`, as metrics and the log of notifications name it.
    pub name: &'static str,
    /// Position among the receiver's integrations of that name.
    pub index: usize,
    pub send_resolved: bool,
    pub notifier: Arc<dyn Notifier>,
}

impl std::fmt::Debug for Integration {
    /// `slack[0]`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Integration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.name, self.index)
    }
}
