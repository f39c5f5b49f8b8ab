//! A group: rules that are evaluated together on a schedule.
//!
//! Here: when and in which order rules run, their alerts, and what the API shows. Elsewhere: writing their results
//! (`store`), taking over from the group before a reload (`reload`).

mod reload;
mod store;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use ferula_config::rules::RuleGroup;
use ferula_go::sync::{MutexExt, RwLockExt};
use ferula_go::url::query_escape;
use ferula_model::labels::prometheus_hash;
use ferula_model::{LabelSet, UnixNanos};
use ferula_promql::InstantSample;
use ferula_promql_syntax::{ParseErrors, parse};
use ferula_telemetry::warn;

use crate::alerting::Sending;
use crate::context::GroupContext;
use crate::expand::Expander;
use crate::query::RuleOrigin;
use crate::recording::Recorded;
use crate::rule::Rule;
use crate::snapshot::{GroupSnapshot, Health};
use crate::{RuleError, dependency};

/// How the `for` state is restored after a start.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// `--rules.alert.for-outage-tolerance`
    pub outage_tolerance: Duration,
    /// `--rules.alert.for-grace-period`
    pub grace_period: Duration,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        RestoreOptions { outage_tolerance: Duration::from_secs(3600), grace_period: Duration::from_secs(600) }
    }
}

/// A group of rules.
pub struct Group {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) interval: Duration,
    query_offset: Option<Duration>,
    pub(crate) limit: usize,
    pub(crate) rules: Vec<Rule>,
    batches: Vec<Vec<usize>>,
    context: RwLock<Arc<GroupContext>>,
    state: Mutex<State>,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    evaluation_time: Duration,
    last_evaluation: Option<UnixNanos>,
    /// Series of removed rules, which end with the next evaluation.
    stale: Vec<LabelSet>,
}

/// The last moment at or before `now` at which a group of this file and name is due. As in Prometheus, groups
/// are spread over their interval by a hash of file and name, so that timestamps continue the pattern that
/// another server began.
pub fn slot_before(file: &str, name: &str, interval: Duration, now: UnixNanos) -> UnixNanos {
    let interval = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
    let hash = prometheus_hash([("file", file), ("name", name)]);
    let offset = i64::try_from(hash % interval.unsigned_abs()).expect("below the interval");
    let adjusted = now.0 - offset;
    UnixNanos(adjusted - adjusted.rem_euclid(interval) + offset)
}

impl Group {
    /// Creates a group from a rule file. `restored` means that there is no `for` state to wait for.
    ///
    /// # Errors
    /// An expression does not parse. Loading the file has refused those already.
    pub fn from_file(
        group: &RuleGroup,
        file: &str,
        default_interval: Duration,
        restored: bool,
        context: Arc<GroupContext>,
    ) -> Result<Self, ParseErrors> {
        let mut rules = Vec::with_capacity(group.rules.len());
        for rule in &group.rules {
            let expr = parse(&rule.expr, &context.parser)?;
            rules.push(Rule::new(rule, &group.labels, expr, restored));
        }
        let batches = match &context.concurrency {
            Some(_) => dependency::batches(&rules),
            None => Vec::new(),
        };
        Ok(Group {
            name: group.name.to_string(),
            file: file.to_owned(),
            interval: if group.interval.is_zero() { default_interval } else { group.interval },
            query_offset: group.query_offset,
            limit: usize::try_from(group.limit).unwrap_or(0),
            rules,
            batches,
            context: RwLock::new(context),
            state: Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Exports the group's own metrics, with value 0, before its first evaluation.
    pub(crate) fn show_metrics(&self) {
        self.context().metrics.add_group(&self.key(), self.rules.len(), self.interval.as_secs_f64());
    }

    /// File and name. Names are not unique across files.
    pub fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    /// How often the group runs.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn context(&self) -> Arc<GroupContext> {
        self.context.read_locked().clone()
    }

    pub(crate) fn set_context(&self, context: Arc<GroupContext>) {
        *self.context.write_locked() = context;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// Makes the running evaluation end before its next rule.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn effective_query_offset(&self) -> Duration {
        self.query_offset.unwrap_or_else(|| self.context().query_offset)
    }

    /// The last moment at or before `now` at which this group is due; see [`slot_before`].
    pub fn slot_before(&self, now: UnixNanos) -> UnixNanos {
        slot_before(&self.file, &self.name, self.interval, now)
    }

    /// Evaluates all rules for the moment `at`, and records how long it took.
    pub fn iterate(&self, at: UnixNanos) {
        let context = self.context();
        let (metrics, key) = (&context.metrics, self.key());
        metrics.iterations.with(&[&key]).inc();
        let (began, clock_began) = (UnixNanos(context.clock.unix_nanos()), context.clock.elapsed());
        self.evaluate(at);
        let took = context.clock.elapsed().saturating_sub(clock_began);
        metrics.iteration_duration.observe_duration(took);
        metrics.iteration_histogram.observe_duration(took);
        metrics.last_duration.with(&[&key]).set(took.as_secs_f64());
        metrics.last_evaluation.with(&[&key]).set(began.0 as f64 / 1e9);
        let sum: Duration = self.rules.iter().map(|rule| rule.status().duration).sum();
        metrics.last_rule_duration_sum.with(&[&key]).set(sum.as_secs_f64());
        let mut state = self.state();
        state.evaluation_time = took;
        state.last_evaluation = Some(began);
    }

    /// Counts slots that were skipped.
    pub(crate) fn note_missed(&self, count: u64) {
        let (context, key) = (self.context(), self.key());
        context.metrics.iterations_missed.with(&[&key]).add(count);
        context.metrics.iterations.with(&[&key]).add(count);
    }

    /// Evaluates all rules for the moment `at`: in order, so that each sees the results of those before it,
    /// or by dependency where concurrent evaluation is enabled.
    pub fn evaluate(&self, at: UnixNanos) {
        let context = self.context();
        let samples = AtomicUsize::new(0);
        let evaluate = |index: usize| {
            samples.fetch_add(self.evaluate_rule(&context, &self.rules[index], at), Ordering::Relaxed);
        };
        match &context.concurrency {
            Some(free) if !self.batches.is_empty() => self.evaluate_batches(free, &evaluate),
            _ => {
                for index in 0..self.rules.len() {
                    if self.is_stopping() {
                        return;
                    }
                    evaluate(index);
                }
            }
        }
        context.metrics.samples.with(&[&self.key()]).set(samples.into_inner() as f64);
        self.end_stale_series(at);
    }

    fn evaluate_batches(&self, free: &AtomicUsize, evaluate: &(dyn Fn(usize) + Sync)) {
        for batch in &self.batches {
            std::thread::scope(|scope| {
                for index in batch {
                    if self.is_stopping() {
                        return;
                    }
                    let take = |free: usize| free.checked_sub(1);
                    let taken = free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok();
                    let place = ConcurrentPlace { free, taken };
                    if batch.len() > 1 && taken {
                        scope.spawn(|| {
                            let _place = place;
                            evaluate(*index);
                        });
                    } else {
                        evaluate(*index);
                    }
                }
            });
        }
    }

    /// Evaluates one rule and returns the number of samples in its result.
    fn evaluate_rule(&self, context: &GroupContext, rule: &Rule, at: UnixNanos) -> usize {
        let (began, clock_began) = (UnixNanos(context.clock.unix_nanos()), context.clock.elapsed());
        context.metrics.evaluations.with(&[&self.key()]).inc();
        let count = match self.query(context, rule, at) {
            Ok(results) => {
                self.set_health(rule, None);
                self.send_alerts(context, rule, at, context.resend_delay);
                let count = results.len();
                if let Err(error) = self.store(context, rule, results, at) {
                    self.set_health(rule, Some(&error));
                }
                count
            }
            Err(error) => {
                self.set_health(rule, Some(&error));
                context.metrics.evaluation_failures.with(&[&self.key()]).inc();
                if !error.is_canceled() {
                    self.warn("Evaluating rule failed", rule, &error);
                }
                0
            }
        };
        let took = context.clock.elapsed().saturating_sub(clock_began);
        context.metrics.evaluation_duration.observe_duration(took);
        context.metrics.evaluation_histogram.observe_duration(took);
        let mut status = rule.status();
        status.duration = took;
        status.began_at = Some(began);
        count
    }

    fn warn(&self, text: &str, rule: &Rule, error: &RuleError) {
        warn!(text, file = self.file, group = self.name, name = rule.name, err = error);
    }

    fn set_health(&self, rule: &Rule, error: Option<&RuleError>) {
        let mut status = rule.status();
        status.health = if error.is_some() { Health::Bad } else { Health::Good };
        status.last_error = error.map(ToString::to_string).unwrap_or_default();
    }

    fn query(&self, context: &GroupContext, rule: &Rule, at: UnixNanos) -> Result<Results, RuleError> {
        let offset = self.effective_query_offset();
        let origin = RuleOrigin { file: &self.file, group: &self.name, query: &rule.query };
        let vector = context.query.vector(&rule.expr, at.minus(offset).timestamp(), &origin)?;
        let Some(alerting) = &rule.alerting else {
            return rule.recorded().record(rule.naming(), vector, self.limit).map(Results::Recorded);
        };
        let expander = Expander::new(&rule.name, at, context, origin);
        alerting.update(&vector, &expander, at, offset, self.limit).map(Results::Alerts)
    }

    /// Resolves the alerts of a rule that is no longer in the configuration and sends them now. Otherwise
    /// they would fire until Alertmanager's timeout.
    pub(crate) fn resolve_alerts(&self, index: usize, at: UnixNanos) {
        let Some(alerting) = &self.rules[index].alerting else { return };
        alerting.resolve(at);
        let context = self.context();
        self.send_alerts(&context, &self.rules[index], at, context.resend_delay);
    }

    /// Sends every firing alert once more, so that Alertmanager keeps them for the whole duration of a
    /// restart.
    pub(crate) fn repeat_alerts(&self, at: UnixNanos) {
        let context = self.context();
        for rule in &self.rules {
            self.send_alerts(&context, rule, at, Duration::ZERO);
        }
    }

    /// Sends the alerts of a rule that are due. Alerts that keep firing are due again after `repeat_after`.
    fn send_alerts(&self, context: &GroupContext, rule: &Rule, at: UnixNanos, repeat_after: Duration) {
        let Some(alerting) = &rule.alerting else { return };
        let link = format!("{}{}", context.external_url, table_link(&rule.query));
        let sending = Sending {
            resend_delay: context.resend_delay,
            interval: self.interval,
            generator_url: link.into(),
        };
        let due = alerting.due(at, repeat_after, &sending);
        if !due.is_empty() {
            context.alerts.send(due);
        }
    }

    pub(crate) fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The state that the API shows.
    pub fn snapshot(&self) -> GroupSnapshot {
        let (evaluation_time, last_evaluation) = {
            let state = self.state();
            (state.evaluation_time, state.last_evaluation)
        };
        GroupSnapshot {
            name: self.name.clone(),
            file: self.file.clone(),
            interval: self.interval,
            limit: self.limit,
            evaluation_time,
            last_evaluation,
            rules: self.rules.iter().map(Rule::snapshot).collect(),
        }
    }
}

/// A permit for a rule that runs concurrently. Dropping it, also during a panic, returns the permit.
struct ConcurrentPlace<'a> {
    free: &'a AtomicUsize,
    taken: bool,
}

impl Drop for ConcurrentPlace<'_> {
    fn drop(&mut self) {
        self.free.fetch_add(usize::from(self.taken), Ordering::AcqRel);
    }
}

/// What has to be stored after a rule's evaluation.
enum Results {
    /// Samples of `ALERTS` and `ALERTS_FOR_STATE`.
    Alerts(Vec<InstantSample>),
    /// Samples of the rule's series.
    Recorded(Vec<Recorded>),
}

impl Results {
    fn len(&self) -> usize {
        match self {
            Results::Alerts(samples) => samples.len(),
            Results::Recorded(results) => results.len(),
        }
    }
}

/// The path, below the external URL, of the table view of an expression.
pub(crate) fn table_link(expr: &str) -> String {
    format!("/graph?g0.expr={}&g0.tab=1", query_escape(expr))
}
