//! One rule with the state of its last evaluation.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ferula_config::rules as file;
use ferula_go::sync::MutexExt;
use ferula_model::{LabelSet, UnixNanos};
use ferula_promql_syntax::Expr;

use crate::alerting::Alerting;
use crate::recording::{Naming, SeriesCache};
use crate::snapshot::{AlertState, AlertingSnapshot, Health, RecordingSnapshot, RuleSnapshot};

/// A rule. All mutable state is behind locks that are held only briefly, so that the API can read a rule
/// while it runs.
#[derive(Debug)]
pub(crate) struct Rule {
    pub name: String,
    pub expr: Expr,
    /// The expression as the printer writes it.
    pub query: String,
    /// The group's labels under the rule's own.
    pub labels: BTreeMap<String, String>,
    /// The alerting half, if it is an alerting rule.
    pub alerting: Option<Alerting>,
    status: Mutex<Status>,
    /// Series that the last evaluation of an alerting rule wrote.
    written: Mutex<HashSet<LabelSet>>,
    /// Series of a recording rule.
    recorded: Mutex<SeriesCache>,
}

/// Outcome of the last evaluation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub health: Health,
    pub last_error: String,
    pub duration: Duration,
    pub began_at: Option<UnixNanos>,
}

impl Rule {
    /// Creates a rule from a file. `restored` means that there is no `for` state to wait for.
    pub fn new(
        rule: &file::Rule,
        group_labels: &BTreeMap<String, String>,
        expr: Expr,
        restored: bool,
    ) -> Self {
        let mut labels = group_labels.clone();
        labels.extend(rule.labels.clone());
        let alerting = rule.is_alert().then(|| {
            Alerting::new(rule.name(), rule.hold, rule.keep_firing_for, &labels, &rule.annotations, restored)
        });
        Rule {
            name: rule.name().to_owned(),
            query: expr.to_string(),
            expr,
            labels,
            alerting,
            status: Mutex::default(),
            written: Mutex::default(),
            recorded: Mutex::default(),
        }
    }

    /// How it changes the labels of an element, if it is a recording rule.
    pub fn naming(&self) -> Naming<'_> {
        Naming { metric: &self.name, labels: &self.labels }
    }

    pub fn status(&self) -> MutexGuard<'_, Status> {
        self.status.locked()
    }

    pub fn written(&self) -> MutexGuard<'_, HashSet<LabelSet>> {
        self.written.locked()
    }

    pub fn recorded(&self) -> MutexGuard<'_, SeriesCache> {
        self.recorded.locked()
    }

    /// Clears the list of written series and returns it.
    pub fn take_written(&self) -> Vec<LabelSet> {
        let mut all: Vec<LabelSet> = self.written().drain().collect();
        all.extend(self.recorded().take_stored());
        all
    }

    /// Whether the other rule has the same content, regardless of its position.
    pub fn equals(&self, other: &Rule) -> bool {
        let alerting =
            |rule: &Rule| rule.alerting.as_ref().map(|a| (a.hold, a.keep_firing_for, a.annotations.clone()));
        self.name == other.name
            && self.query == other.query
            && self.labels == other.labels
            && alerting(self) == alerting(other)
    }

    /// Whether this rule can take over the state of the other one.
    pub fn is_successor_of(&self, other: &Rule) -> bool {
        self.name == other.name && self.labels == other.labels
    }

    pub fn snapshot(&self) -> RuleSnapshot {
        let status = self.status().clone();
        match &self.alerting {
            Some(alerting) => RuleSnapshot::Alerting(AlertingSnapshot {
                name: self.name.clone(),
                query: self.query.clone(),
                hold: alerting.hold,
                keep_firing_for: alerting.keep_firing_for,
                labels: self.labels.clone(),
                annotations: alerting.annotations.clone(),
                state: match status.began_at {
                    None => AlertState::Unknown,
                    Some(_) => alerting.state(),
                },
                alerts: alerting.snapshot(),
                health: status.health,
                last_error: status.last_error,
                evaluation_time: status.duration,
                last_evaluation: status.began_at,
            }),
            None => RuleSnapshot::Recording(RecordingSnapshot {
                name: self.name.clone(),
                query: self.query.clone(),
                labels: self.labels.clone(),
                health: status.health,
                last_error: status.last_error,
                evaluation_time: status.duration,
                last_evaluation: status.began_at,
            }),
        }
    }
}
