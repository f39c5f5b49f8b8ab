//! Writing the results of rules, and ending series that rules no longer return.

use std::collections::HashSet;

use ferula_model::value::STALE_NAN;
use ferula_model::{LabelSet, UnixNanos};
use ferula_promql::{InstantSample, SampleValue};
use ferula_storage::{AppendError, Appender, Durability};
use ferula_telemetry::{debug, warn};

use super::{Group, Results};
use crate::RuleError;
use crate::append::append;
use crate::context::GroupContext;
use crate::rule::Rule;

impl Group {
    /// Stores a rule's result, and ends the series that only the previous result had, in one commit.
    pub(super) fn store(
        &self,
        context: &GroupContext,
        rule: &Rule,
        results: Results,
        at: UnixNanos,
    ) -> Result<(), RuleError> {
        let mut appender = context.storage.appender();
        let mut refused = None;
        let mut told = false;
        let mut refuse = |labels: &LabelSet, error: AppendError| {
            // At a series limit, all new series are refused for the same reason: one log line is enough.
            if !(is_order_error(&error) || told && error.is_limit()) {
                told = true;
                let (file, group, name) = (&self.file, &self.name, &rule.name);
                let text = "Rule evaluation result discarded";
                warn!(text, file = file, group = group, name = name, err = error, sample = labels);
            }
            refused = Some(RuleError::Append(error));
        };
        // Written before a reload, when the rule was of the other kind.
        let before: HashSet<LabelSet> = rule.written().clone();
        let (mut written, mut accepted) = (HashSet::new(), Vec::new());
        let gone: Vec<LabelSet> = match results {
            Results::Alerts(samples) => {
                append(&mut *appender, &samples, |sample, outcome| match outcome {
                    Ok(()) => drop(written.insert(sample.labels.clone())),
                    Err(error) => refuse(&sample.labels, error),
                });
                before.difference(&written).cloned().collect()
            }
            Results::Recorded(results) => {
                let mut cache = rule.recorded();
                accepted = cache.append(&mut *appender, results, refuse);
                before.into_iter().chain(cache.gone(&accepted)).collect()
            }
        };
        if let Some(error) = &refused {
            debug!("Some results were discarded", group = self.name, name = rule.name, err = error);
        }
        self.append_stale(&mut *appender, &gone, at);
        if let Err(error) = appender.commit(Durability::Written) {
            let error = RuleError::Commit(error);
            context.metrics.evaluation_failures.with(&[&self.key()]).inc();
            self.warn("Rule sample appending failed", rule, &error);
            return Err(error);
        }
        *rule.written() = written;
        rule.recorded().stored(&accepted);
        refused.map_or(Ok(()), Err)
    }

    fn append_stale(&self, appender: &mut dyn Appender, series: &[LabelSet], at: UnixNanos) {
        let timestamp_ms = at.minus(self.effective_query_offset()).timestamp().millis();
        let marker = |labels: &LabelSet| InstantSample {
            labels: labels.clone(),
            timestamp_ms,
            value: SampleValue::Float(STALE_NAN),
        };
        let markers: Vec<InstantSample> = series.iter().map(marker).collect();
        append(appender, &markers, |sample, outcome| {
            // Another rule may write the same series by now; then it does not end.
            if let Err(error) = outcome
                && !is_order_error(&error)
            {
                warn!("Adding stale sample failed", group = self.name, sample = sample.labels, err = error);
            }
        });
    }

    /// Ends the series of removed rules.
    pub(crate) fn end_stale_series(&self, at: UnixNanos) {
        let series = self.state().stale.clone();
        if series.is_empty() {
            return;
        }
        let context = self.context();
        let mut appender = context.storage.appender();
        self.append_stale(&mut *appender, &series, at);
        match appender.commit(Durability::Written) {
            Ok(()) => self.state().stale.clear(),
            Err(error) => {
                warn!(
                    "Stale sample appending for previous configuration failed",
                    group = self.name,
                    err = error
                );
            }
        }
    }
}

/// Errors that are to be expected when two rules write the same series.
fn is_order_error(error: &AppendError) -> bool {
    matches!(error, AppendError::OutOfOrder | AppendError::TooOld | AppendError::DuplicateForTimestamp)
}
