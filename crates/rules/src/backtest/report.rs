//! The results of a backtest: changes of alerts, episodes, and the report of each rule.

use std::sync::Arc;
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};

/// A change of an alert's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Its expression began to hold, for less than `for`.
    Pending,
    /// It began to fire.
    Firing,
    /// It ended without having fired.
    Inactive,
    /// It stopped firing.
    Resolved,
    /// It was dropped because its rule exceeded the group's limit. No resolved notification is sent.
    Dropped,
}

impl Change {
    /// The word used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Change::Pending => "pending",
            Change::Firing => "firing",
            Change::Inactive => "inactive",
            Change::Resolved => "resolved",
            Change::Dropped => "dropped",
        }
    }

    /// Whether the alert is over.
    pub const fn is_end(self) -> bool {
        matches!(self, Change::Inactive | Change::Resolved | Change::Dropped)
    }
}

/// One change of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: UnixNanos,
    pub change: Change,
    /// The expression's value when it last held; 0 for a histogram, as in Prometheus.
    pub value: f64,
    /// The expanded annotations of that moment.
    pub annotations: Arc<[(String, String)]>,
}

/// An alert from its beginning to its end, or to the end of the period.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The alert's labels.
    pub labels: LabelSet,
    /// The changes in time order; never empty.
    pub events: Vec<Event>,
}

impl Episode {
    /// The moment of a change, if it happened.
    pub fn moment_of(&self, change: Change) -> Option<UnixNanos> {
        self.events.iter().find(|event| event.change == change).map(|event| event.at)
    }
}

/// Failed evaluations. They do not change alerts, except that exceeding the limit drops all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    pub count: u64,
    /// When the first one failed.
    pub first_at: UnixNanos,
    /// Why the first one failed.
    pub first_error: String,
}

/// The result for one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    pub name: String,
    /// The expression, as the printer writes it.
    pub query: String,
    /// `for`
    pub hold: Duration,
    /// `keep_firing_for`
    pub keep_firing_for: Duration,
    /// How often it was evaluated.
    pub evaluations: u64,
    /// Why it was evaluated one timestamp at a time, if it was.
    pub by_instants: Option<&'static str>,
    /// Evaluations that failed.
    pub failures: Option<Failures>,
    /// How many alerts became active.
    pub episodes_count: u64,
    /// How many alerts fired.
    pub fired_count: u64,
    /// Total firing time of all its alerts.
    pub firing: Duration,
    /// The first episodes, by start time, then by labels.
    pub episodes: Vec<Episode>,
}

/// The results for the alerting rules of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    pub name: String,
    /// The file it came from.
    pub file: String,
    /// How often it runs.
    pub interval: Duration,
    /// The replayed rules, in the order of the file.
    pub rules: Vec<RuleReport>,
}
