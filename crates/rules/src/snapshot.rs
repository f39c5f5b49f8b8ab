//! Snapshots of rules and alerts for the API.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};

/// State of an alert, ordered by severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// Not evaluated yet.
    Unknown,
    /// The expression does not hold.
    Inactive,
    /// The expression holds, but for less than `for`.
    Pending,
    /// The expression has held for at least `for`, or `keep_firing_for` still applies.
    Firing,
}

impl AlertState {
    /// The word used in the API and in the label `alertstate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// Outcome of a rule's last evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Unknown,
    Good,
    Bad,
}

impl Health {
    /// The word used in the API.
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
    /// Unique within its file.
    pub name: String,
    /// The file it came from.
    pub file: String,
    /// How often it runs.
    pub interval: Duration,
    /// Maximum number of results of a rule; 0 means no limit.
    pub limit: usize,
    /// How long the last evaluation took.
    pub evaluation_time: Duration,
    /// Wall-clock time at which it began; `None` before the first.
    pub last_evaluation: Option<UnixNanos>,
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
    pub name: String,
    /// The expression, as the printer writes it.
    pub query: String,
    /// `for`
    pub hold: Duration,
    /// `keep_firing_for`
    pub keep_firing_for: Duration,
    /// Labels as written, with templates.
    pub labels: BTreeMap<String, String>,
    /// Annotations as written, with templates.
    pub annotations: BTreeMap<String, String>,
    /// The most severe state of its alerts.
    pub state: AlertState,
    pub alerts: Vec<AlertSnapshot>,
    pub health: Health,
    /// Error of the last evaluation, or "".
    pub last_error: String,
    pub evaluation_time: Duration,
    /// `None` before the first evaluation.
    pub last_evaluation: Option<UnixNanos>,
}

/// A recording rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingSnapshot {
    /// Name of the recorded series.
    pub name: String,
    /// The expression, as the printer writes it.
    pub query: String,
    /// Labels that are set on the series.
    pub labels: BTreeMap<String, String>,
    pub health: Health,
    /// Error of the last evaluation, or "".
    pub last_error: String,
    pub evaluation_time: Duration,
    /// `None` before the first evaluation.
    pub last_evaluation: Option<UnixNanos>,
}

/// One alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSnapshot {
    pub labels: LabelSet,
    /// Expanded, by name.
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
