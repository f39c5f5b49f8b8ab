//! The results of a backtest: changes of alerts, episodes, and the report of each rule.

use std::sync::Arc;
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};

/// What happened to an alert at a moment.
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
    /// It was forgotten because its rule had more alerts than the group's limit; nobody is told that it ended.
    Dropped,
}

impl Change {
    /// The word in reports.
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
    /// When.
    pub at: UnixNanos,
    /// What.
    pub change: Change,
    /// The expression's value when it last held; 0 for a histogram, as in Prometheus.
    pub value: f64,
    /// The annotations of that moment, filled in.
    pub annotations: Arc<[(String, String)]>,
}

/// An alert from its beginning to its end, or to the end of the period.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The alert's labels.
    pub labels: LabelSet,
    /// What happened, in order of time; never empty.
    pub events: Vec<Event>,
}

impl Episode {
    /// When the change happened, if it did.
    pub fn moment_of(&self, change: Change) -> Option<UnixNanos> {
        self.events.iter().find(|event| event.change == change).map(|event| event.at)
    }
}

/// Evaluations that failed. They change no alert, except that too many alerts forget all.
#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// When the first did.
    pub first_at: UnixNanos,
    /// Why the first did.
    pub first_error: String,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    /// Its name.
    pub name: String,
    /// The expression, as the printer writes it.
    pub query: String,
    /// `for`
    pub hold: Duration,
    /// `keep_firing_for`
    pub keep_firing_for: Duration,
    /// How often it was evaluated.
    pub evaluations: u64,
    /// Why it was asked moment by moment, if it was.
    pub by_instants: Option<&'static str>,
    /// Evaluations that failed.
    pub failures: Option<Failures>,
    /// How often an alert began.
    pub episodes_count: u64,
    /// How often one began to fire.
    pub fired_count: u64,
    /// How long its alerts fired, together.
    pub firing: Duration,
    /// The first episodes, in order of their beginning, then of labels.
    pub episodes: Vec<Episode>,
}

/// What became of the alerting rules of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    /// Its name.
    pub name: String,
    /// The file it came from.
    pub file: String,
    /// How often it runs.
    pub interval: Duration,
    /// The rules that were replayed, in their order.
    pub rules: Vec<RuleReport>,
}
