//! Receivers: send notifications to the services that a configuration names.
//!
//! ```text
//! Notification ─▶ template data ─▶ rendered fields ─▶ one or several requests ─▶ Sent, or NotifyError
//! ```
//!
//! Here: the interface for the dispatcher. Below: one file for each service. Elsewhere: when to send,
//! deduplication, retry pauses, the notification log, and which alerts an integration receives.
//!
//! Always true: one call is one attempt; it never waits longer than its own time limit, but callers limit it
//! as well and may drop it at any time. No error or record shows a secret.

mod address;
mod build;
pub mod check;
mod discord;
mod email;
mod environment;
mod exchange;
mod fields;
mod group_key;
mod incidentio;
mod jira;
mod json;
mod listing;
mod mattermost;
mod msteams;
mod opsgenie;
mod pagerduty;
mod pushover;
mod record;
mod rendering;
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
use self::rendering::Catalog;
pub use self::rendering::{Rendering, TemplateFault};
pub use self::trial::{TEST_ALERT, Trial, trial};
use crate::alert::Alert;
use crate::route::Labels;
use crate::time::Time;

/// A notification for an integration.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// The receiver's name.
    pub receiver: &'a str,
    /// `{}/{team="x"}:{alertname="A"}`
    pub group_key: &'a str,
    pub group_labels: &'a Labels,
    /// Firing and resolved alerts in display order. Resolved ones are left out if the integration does not send them.
    pub alerts: &'a [Alert],
    /// Time of the flush.
    pub now: Time,
    pub repeat_interval: Duration,
    pub reason: Reason,
    /// What the integration stored with the group's last notification.
    pub kept: &'a KeptValues,
    /// Where requests and answers are recorded, and whether any are sent at all.
    pub record: &'a Record,
    /// What replaces fields that fail; without it, such a field ends the attempt, as in Alertmanager.
    pub rendering: Option<&'a Rendering>,
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    FirstNotification,
    NewAlertsInGroup,
    NewResolvedAlerts,
    AllAlertsResolved,
    RepeatIntervalElapsed,
    /// A silence that covers firing alerts is about to end; Alertmanager has no such reason.
    SilenceEnds,
    Unknown,
}

impl Reason {
    /// The text in templates, webhooks and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::FirstNotification => "first notification",
            Reason::NewAlertsInGroup => "new alerts added",
            Reason::NewResolvedAlerts => "some alerts resolved",
            Reason::AllAlertsResolved => "all alerts resolved",
            Reason::RepeatIntervalElapsed => "repeat interval elapsed",
            Reason::SilenceEnds => "silence ends soon",
            Reason::Unknown => "unknown",
        }
    }
}

impl Reason {
    /// Every reason except the unknown one.
    pub const ALL: [Reason; 6] = [
        Reason::FirstNotification,
        Reason::NewAlertsInGroup,
        Reason::NewResolvedAlerts,
        Reason::AllAlertsResolved,
        Reason::RepeatIntervalElapsed,
        Reason::SilenceEnds,
    ];

    /// The reason with this text.
    pub fn parse(text: &str) -> Self {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Reason::Unknown)
    }
}

/// Data that an integration keeps in the notification log, such as the identifier of a message that it may
/// update later.
pub type KeptValues = BTreeMap<String, KeptValue>;

/// A value of [`KeptValues`].
#[derive(Clone, Debug, PartialEq)]
pub enum KeptValue {
    Text(String),
    Int(i64),
    Float(f64),
}

/// The result of a successful attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// Replaces the stored data.
    pub kept: KeptValues,
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

/// The label `reason` of `alertmanager_notifications_failed_total`.
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

/// A service that can be notified.
pub trait Notifier: Send + Sync {
    /// Makes one attempt.
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a>;
}

/// A service, configured by one item of a receiver.
#[derive(Clone)]
pub struct Integration {
    /// `slack`, as in metrics and in the notification log.
    pub name: &'static str,
    /// Index among the receiver's integrations of that name.
    pub index: usize,
    pub send_resolved: bool,
    pub notifier: Arc<dyn Notifier>,
    /// Its texts.
    pub(crate) catalog: Arc<Catalog>,
}

/// The result of an attempt.
#[derive(Debug)]
pub struct Notified {
    pub result: Result<Sent, NotifyError>,
    /// Fields that failed and were replaced.
    pub faults: Vec<TemplateFault>,
}

/// How often a notification is composed at most; each time after the first because another field failed.
const COMPOSITIONS_MAX: usize = 6;

impl Integration {
    /// An integration without known defaults: fields that fail are replaced by a plain list.
    pub fn new(name: &'static str, index: usize, send_resolved: bool, notifier: Arc<dyn Notifier>) -> Self {
        Integration { name, index, send_resolved, notifier, catalog: Arc::default() }
    }

    /// Makes one attempt. Templates that fail do not end it: they are replaced.
    pub async fn notify(&self, notification: &Notification<'_>) -> Notified {
        let rendering = Rendering::new(self.catalog.clone(), notification.record.reads_no_files());
        let notification = Notification { rendering: Some(&rendering), ..*notification };
        let mut result = self.notifier.notify(&notification).await;
        for composition in 2..=COMPOSITIONS_MAX {
            if !rendering.begin_another(composition == COMPOSITIONS_MAX) {
                break;
            }
            result = self.notifier.notify(&notification).await;
        }
        Notified { result, faults: rendering.faults() }
    }
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
