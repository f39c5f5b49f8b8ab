//! The alerts of one rule over the results of its expression.
//!
//! If an alert's labels follow from those of its element, each alert is walked through a slice on its own,
//! and templates are expanded only for the moments that are reported. If they do not (a template uses the
//! value or runs a query), or if alerts depend on each other (the group has a limit), [`Alerting::update`]
//! itself is called for each moment and its changes are recorded. Both ways go through [`Alerting::step`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};
use ferula_promql::{InstantSample, RangeSeries, SampleValue};

use super::evaluate::Samples;
use super::moments::Moments;
use super::report::{Change, Episode, Event, Failures, RuleReport};
use crate::RuleError;
use crate::alerting::{Active, Alerting};
use crate::context::GroupContext;
use crate::expand::{Expander, of_labels_alone};
use crate::group::Group;
use crate::query::RuleOrigin;
use crate::rule::Rule;
use crate::snapshot::AlertState;

type Annotations = Arc<[(String, String)]>;

/// The alerts of a rule, and their history.
pub(super) struct Replay<'a> {
    rule: &'a Rule,
    alerting: &'a Alerting,
    context: &'a GroupContext,
    moments: Moments,
    limit: usize,
    /// Whether each alert can be walked on its own.
    separate: bool,
    open: BTreeMap<LabelSet, Open>,
    episodes_max: usize,
    report: RuleReport,
}

/// An alert that is pending or firing.
struct Open {
    active: Active,
    /// The last recorded state; `None` before the first.
    noted: Option<AlertState>,
    fired_at: Option<UnixNanos>,
    /// The last element for which the expression held.
    held: InstantSample,
    held_at: UnixNanos,
    /// `None` when too many episodes have been kept already.
    episode: Option<Episode>,
}

impl<'a> Replay<'a> {
    pub fn new(
        group: &Group,
        rule: &'a Rule,
        context: &'a GroupContext,
        moments: Moments,
        episodes_max: usize,
    ) -> Self {
        let alerting = rule.alerting.as_ref().expect("only alerting rules are replayed");
        alerting.active().clear();
        Replay {
            rule,
            alerting,
            context,
            moments,
            limit: group.limit,
            separate: group.limit == 0 && rule.labels.values().all(|text| of_labels_alone(text)),
            open: BTreeMap::new(),
            episodes_max,
            report: RuleReport {
                name: rule.name.clone(),
                query: rule.query.clone(),
                hold: alerting.hold,
                keep_firing_for: alerting.keep_firing_for,
                evaluations: moments.count as u64,
                by_instants: None,
                failures: None,
                episodes_count: 0,
                fired_count: 0,
                firing: Duration::ZERO,
                episodes: Vec::new(),
            },
        }
    }

    /// Processes the result of the next steps.
    pub fn slice(&mut self, steps: Range<usize>, rows: Result<Vec<RangeSeries>, RuleError>) {
        match rows {
            Ok(rows) if self.separate => self.separately(steps, &rows),
            Ok(rows) => self.by_update(steps, &rows),
            Err(error) => steps.for_each(|step| self.fail(step, &error)),
        }
    }

    /// Returns the report. Alerts that are still active have no end.
    pub fn finish(mut self, by_instants: Option<&'static str>) -> RuleReport {
        let end = self.moments.at(self.moments.count.saturating_sub(1));
        for open in std::mem::take(&mut self.open).into_values() {
            self.add_firing(&open, end);
            self.report.episodes.extend(open.episode);
        }
        self.report.by_instants = by_instants;
        let begin = |episode: &Episode| episode.events.first().map(|event| event.at);
        self.report.episodes.sort_by(|a, b| (begin(a), &a.labels).cmp(&(begin(b), &b.labels)));
        self.report
    }

    fn fail(&mut self, step: usize, error: &RuleError) {
        let first_at = self.moments.at(step);
        let failures = self.report.failures.get_or_insert_with(|| Failures {
            count: 0,
            first_at,
            first_error: error.to_string(),
        });
        failures.count += 1;
    }

    fn expander(&self, at: UnixNanos) -> Expander<'a> {
        Expander::new(&self.rule.name, at, self.context, RuleOrigin::default())
    }

    /// Walks each alert through the steps on its own, unless two elements become the same alert.
    fn separately(&mut self, steps: Range<usize>, rows: &[RangeSeries]) {
        let expander = self.expander(self.moments.at(steps.start));
        let mut by_alert = BTreeMap::new();
        let mut clash = false;
        for row in rows {
            // Only the labels matter here.
            let sample = element(row, SampleValue::Float(0.0));
            let labels = self.alerting.alert_labels(&sample, &expander.data(&sample), &expander);
            clash |= by_alert.insert(labels, row).is_some();
        }
        if clash {
            return self.with_clashes(steps, rows, &expander);
        }
        let absent: Vec<LabelSet> =
            self.open.keys().filter(|labels| !by_alert.contains_key(*labels)).cloned().collect();
        for labels in absent {
            self.walk(&labels, None, steps.clone());
        }
        for (labels, row) in by_alert {
            self.walk(&labels, Some((row, &mut Samples::of(row))), steps.clone());
        }
    }

    /// Proceeds step by step. A step at which two elements become the same alert fails.
    fn with_clashes(&mut self, steps: Range<usize>, rows: &[RangeSeries], expander: &Expander<'_>) {
        let mut cursors: Vec<(LabelSet, &RangeSeries, Samples<'_>)> = Vec::new();
        for row in rows {
            let sample = element(row, SampleValue::Float(0.0));
            let labels = self.alerting.alert_labels(&sample, &expander.data(&sample), expander);
            cursors.push((labels, row, Samples::of(row)));
        }
        for step in steps {
            let query_ms = self.moments.query_ms(step);
            let mut found = BTreeMap::new();
            let mut clash = false;
            for (labels, row, samples) in &mut cursors {
                if samples.next_ms() == Some(query_ms) {
                    clash |= found.insert(labels.clone(), (*row, samples)).is_some();
                }
            }
            if clash {
                for (_, _, samples) in &mut cursors {
                    if samples.next_ms() == Some(query_ms) {
                        samples.next();
                    }
                }
                self.fail(step, &RuleError::SameAlertLabels);
                continue;
            }
            let all: BTreeSet<LabelSet> = self.open.keys().chain(found.keys()).cloned().collect();
            for labels in all {
                let samples = found.remove(&labels);
                self.walk(&labels, samples, step..step + 1);
            }
        }
    }

    /// Walks one alert through the steps. `samples` are the moments at which the expression holds.
    fn walk(
        &mut self,
        labels: &LabelSet,
        mut samples: Option<(&RangeSeries, &mut Samples<'_>)>,
        steps: Range<usize>,
    ) {
        let mut open = self.open.remove(labels);
        let mut step = steps.start;
        let mut due = samples.as_mut().and_then(|(_, samples)| samples.next_ms());
        while step < steps.end {
            if open.is_none() {
                // Before the expression first holds, nothing can happen.
                let Some(due) = due else { break };
                step = self.moments.index_of(due);
                if step >= steps.end {
                    break;
                }
            }
            let at = self.moments.at(step);
            let holds = due == Some(self.moments.query_ms(step));
            if holds && let Some((row, samples)) = &mut samples {
                if let Some((_, value)) = samples.next() {
                    self.hold(&mut open, row, value, at);
                }
                due = samples.next_ms();
            }
            if let Some(mut now) = open.take() {
                self.alerting.step(&mut now.active, holds, at);
                open = self.note(labels, now, at);
            }
            step += 1;
        }
        if let Some(open) = open {
            self.open.insert(labels.clone(), open);
        }
    }

    /// The expression holds: an existing alert continues, or a new one begins.
    fn hold(&mut self, open: &mut Option<Open>, row: &RangeSeries, value: SampleValue, at: UnixNanos) {
        let number = value.as_float().unwrap_or(0.0);
        match open {
            Some(open) => {
                open.active.value = number;
                (open.held.value, open.held_at) = (value, at);
            }
            None => {
                let active = Active::pending(at, number, Arc::default());
                *open = Some(self.begin(active, element(row, value), at));
            }
        }
    }

    fn begin(&mut self, active: Active, held: InstantSample, held_at: UnixNanos) -> Open {
        let kept = self.report.episodes_count < self.episodes_max as u64;
        self.report.episodes_count += 1;
        let episode = kept.then(|| Episode { labels: LabelSet::empty(), events: Vec::new() });
        Open { active, noted: None, fired_at: None, held, held_at, episode }
    }

    /// Records a change of the alert's state. Returns `None` when the alert is over.
    fn note(&mut self, labels: &LabelSet, mut open: Open, at: UnixNanos) -> Option<Open> {
        let state = open.active.state;
        if open.noted == Some(state) {
            return Some(open);
        }
        let change = match state {
            AlertState::Pending => Change::Pending,
            AlertState::Firing => Change::Firing,
            _ if open.noted == Some(AlertState::Firing) => Change::Resolved,
            _ => Change::Inactive,
        };
        let annotations = match &open.episode {
            Some(_) => self.annotations(&open),
            None => Arc::default(),
        };
        open.noted = Some(state);
        self.record(labels, &mut open, change, at, annotations);
        if change.is_end() {
            self.end(open, at);
            return None;
        }
        Some(open)
    }

    /// The annotations of the last evaluation for which the expression held.
    fn annotations(&self, open: &Open) -> Annotations {
        let expander = self.expander(open.held_at);
        self.alerting.alert_annotations(&expander.data(&open.held), &expander)
    }

    fn record(
        &mut self,
        labels: &LabelSet,
        open: &mut Open,
        change: Change,
        at: UnixNanos,
        annotations: Annotations,
    ) {
        if change == Change::Firing {
            open.fired_at = Some(at);
            self.report.fired_count += 1;
        }
        if let Some(episode) = &mut open.episode {
            episode.labels = labels.clone();
            episode.events.push(Event { at, change, value: open.active.value, annotations });
        }
    }

    fn end(&mut self, open: Open, at: UnixNanos) {
        self.add_firing(&open, at);
        self.report.episodes.extend(open.episode);
    }

    fn add_firing(&mut self, open: &Open, until: UnixNanos) {
        if let Some(fired_at) = open.fired_at {
            let nanos = u64::try_from(until.since(fired_at)).unwrap_or(0);
            self.report.firing += Duration::from_nanos(nanos);
        }
    }

    /// Calls the rule's own update for every step at which something can change.
    fn by_update(&mut self, steps: Range<usize>, rows: &[RangeSeries]) {
        let mut cursors: Vec<(&RangeSeries, Samples<'_>)> =
            rows.iter().map(|row| (row, Samples::of(row))).collect();
        for step in steps {
            let query_ms = self.moments.query_ms(step);
            let mut vector = Vec::new();
            for (row, samples) in &mut cursors {
                if samples.next_ms() == Some(query_ms) {
                    vector.extend(samples.next().map(|(_, value)| element(row, value)));
                }
            }
            if vector.is_empty() && self.open.is_empty() {
                continue;
            }
            let (at, offset) = (self.moments.at(step), self.moments.query_offset);
            let expander = self.expander(at);
            let updated = self.alerting.update(&vector, &expander, at, offset, self.limit);
            match &updated {
                Ok(_) | Err(RuleError::Limit { .. }) => self.note_all(at, updated.is_err()),
                Err(_) => {}
            }
            if let Err(error) = &updated {
                self.fail(step, error);
            }
        }
    }

    /// Records what an update changed.
    fn note_all(&mut self, at: UnixNanos, dropped: bool) {
        let now = self.alerting.active().clone();
        for (labels, active) in &now {
            if active.state == AlertState::Inactive {
                continue;
            }
            let mut open = match self.open.remove(labels) {
                Some(open) => open,
                None => self.begin(active.clone(), nothing(), at),
            };
            open.active = active.clone();
            if open.noted != Some(active.state) {
                let fires = active.state == AlertState::Firing;
                let change = if fires { Change::Firing } else { Change::Pending };
                open.noted = Some(active.state);
                self.record(labels, &mut open, change, at, active.annotations.clone());
            }
            self.open.insert(labels.clone(), open);
        }
        let is_over =
            |labels: &LabelSet| now.get(labels).is_none_or(|active| active.state == AlertState::Inactive);
        let over: Vec<LabelSet> = self.open.keys().filter(|labels| is_over(labels)).cloned().collect();
        for labels in over {
            let Some(mut open) = self.open.remove(&labels) else { continue };
            let change = match open.noted {
                _ if dropped => Change::Dropped,
                Some(AlertState::Firing) => Change::Resolved,
                _ => Change::Inactive,
            };
            let annotations = open.active.annotations.clone();
            self.record(&labels, &mut open, change, at, annotations);
            self.end(open, at);
        }
    }
}

fn element(row: &RangeSeries, value: SampleValue) -> InstantSample {
    InstantSample { labels: row.labels.clone(), timestamp_ms: 0, value }
}

/// A placeholder for an element that is never read.
fn nothing() -> InstantSample {
    InstantSample { labels: LabelSet::empty(), timestamp_ms: 0, value: SampleValue::Float(0.0) }
}
