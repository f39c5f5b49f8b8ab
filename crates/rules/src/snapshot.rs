//! Snapshots of rules and alerts for the API.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};

/// How far an alert has come. Ordered from harmless to serious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// Not evaluated yet.
    Unknown,
    /// Nothing wrong, or not any more.
    Inactive,
    /// Wrong, but not for long enough.
    Pending,
    /// Wrong.
    Firing,
}

impl AlertState {
    /// The word in the API and in the label `alertstate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// How a rule's last evaluation went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// There was none.
    #[default]
    Unknown,
    /// Well.
    Good,
    /// It failed.
    Bad,
}

impl Health {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Good => "ok",
            Health::Bad => "err",
        }
    }
}

/// A group with its rules.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSnapshot {
    /// Its name, unique in its file.
    pub name: String,
    /// The file it came from.
    pub file: String,
    /// How often it runs.
    pub interval: Duration,
    /// How many results a rule may have; 0 for any number.
    pub limit: usize,
    /// How long the last evaluation took.
    pub evaluation_time: Duration,
    /// When it began, by the clock on the wall; `None` before the first.
    pub last_evaluation: Option<UnixNanos>,
    /// The rules, in their order.
    pub rules: Vec<RuleSnapshot>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleSnapshot {
    /// A rule that raises alerts.
    Alerting(AlertingSnapshot),
    /// A rule that records series.
    Recording(RecordingSnapshot),
}

/// An alerting rule.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingSnapshot {
    /// Its name.
    pub name: String,
    /// The expression, as the printer writes it.
    pub query: String,
    /// `for`
    pub hold: Duration,
    /// `keep_firing_for`
    pub keep_firing_for: Duration,
    /// Labels, not filled in.
    pub labels: BTreeMap<String, String>,
    /// Annotations, not filled in.
    pub annotations: BTreeMap<String, String>,
    /// The most serious state of its alerts.
    pub state: AlertState,
    /// Alerts that are pending or firing.
    pub alerts: Vec<AlertSnapshot>,
    /// How the last evaluation went.
    pub health: Health,
    /// Why it failed, or "".
    pub last_error: String,
    /// How long it took.
    pub evaluation_time: Duration,
    /// When it began; `None` before the first.
    pub last_evaluation: Option<UnixNanos>,
}

/// A recording rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingSnapshot {
    /// The name of the series.
    pub name: String,
    /// The expression, as the printer writes it.
    pub query: String,
    /// Labels that are set on the series.
    pub labels: BTreeMap<String, String>,
    /// How the last evaluation went.
    pub health: Health,
    /// Why it failed, or "".
    pub last_error: String,
    /// How long it took.
    pub evaluation_time: Duration,
    /// When it began; `None` before the first.
    pub last_evaluation: Option<UnixNanos>,
}

/// One alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSnapshot {
    /// What identifies it.
    pub labels: LabelSet,
    /// Filled in, by name.
    pub annotations: Vec<(String, String)>,
    /// `Pending` or `Firing`.
    pub state: AlertState,
    /// Since when its expression holds.
    pub active_at: UnixNanos,
    /// Since when it only fires because of `keep_firing_for`.
    pub keep_firing_since: Option<UnixNanos>,
    /// The value of its expression.
    pub value: f64,
}
