//! Alerting rules: which alerts are pending, firing or resolved, and when each is sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::labels::METRIC_NAME;
use ferula_model::{Alert, LabelSet, LabelSetBuilder, UnixNanos};
use ferula_promql::{InstantSample, SampleValue};
use ferula_template::Value;

use crate::RuleError;
use crate::expand::{Expander, Text};
use crate::snapshot::{AlertSnapshot, AlertState};

/// The label that holds an alert's name.
pub(crate) const ALERT_NAME: &str = "alertname";
/// Series of every active alert, with value 1.
pub(crate) const ALERTS: &str = "ALERTS";
/// The series that records for every active alert, in seconds since 1970, since when it has been active. It
/// lets `for` survive a restart.
pub(crate) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
const ALERT_STATE: &str = "alertstate";

/// A resolved alert is kept, and sent repeatedly, for this long: the first message may have been lost.
const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

/// The alerting half of a rule: its thresholds, labels, annotations and active alerts.
#[derive(Debug)]
pub(crate) struct Alerting {
    name: String,
    /// The rule's labels as they are written, templates not filled in.
    labels: LabelSet,
    pub hold: Duration,
    pub keep_firing_for: Duration,
    pub annotations: BTreeMap<String, String>,
    label_texts: Vec<(String, Text)>,
    annotation_texts: Vec<(String, Text)>,
    /// While the `for` state has not been restored, nothing is written to `ALERTS` and `ALERTS_FOR_STATE`: it
    /// would overwrite what is about to be restored.
    restored: AtomicBool,
    active: Mutex<BTreeMap<LabelSet, Active>>,
}

/// One alert of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub state: AlertState,
    pub annotations: Arc<[(String, String)]>,
    pub value: f64,
    pub active_at: UnixNanos,
    fired_at: Option<UnixNanos>,
    resolved_at: Option<UnixNanos>,
    last_sent_at: Option<UnixNanos>,
    keep_firing_since: Option<UnixNanos>,
}

/// When and how alerts are sent.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub resend_delay: Duration,
    pub interval: Duration,
    pub generator_url: Arc<str>,
}

impl Alerting {
    pub fn new(
        name: &str,
        hold: Duration,
        keep_firing_for: Duration,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        restored: bool,
    ) -> Self {
        let texts = |map: &BTreeMap<String, String>| {
            map.iter().map(|(key, text)| (key.clone(), Text::new(name, text))).collect()
        };
        Alerting {
            name: name.to_owned(),
            labels: LabelSet::from_pairs(labels),
            hold,
            keep_firing_for,
            annotations: annotations.clone(),
            label_texts: texts(labels),
            annotation_texts: texts(annotations),
            restored: AtomicBool::new(restored),
            active: Mutex::default(),
        }
    }

    pub fn active(&self) -> MutexGuard<'_, BTreeMap<LabelSet, Active>> {
        self.active.locked()
    }

    pub fn set_restored(&self) {
        self.restored.store(true, Ordering::Relaxed);
    }

    /// Advances every alert of the rule to the moment `at`, and returns the samples to store.
    ///
    /// # Errors
    /// Two elements become the same alert, or there are too many. In the first case nothing changes; in the
    /// second all alerts are dropped.
    pub fn update(
        &self,
        vector: &[InstantSample],
        expander: &Expander<'_>,
        at: UnixNanos,
        query_offset: Duration,
        limit: usize,
    ) -> Result<Vec<InstantSample>, RuleError> {
        let mut found = self.expand(vector, expander, at)?;
        let mut active = self.active();
        let current: std::collections::BTreeSet<LabelSet> = found.keys().cloned().collect();
        for (labels, new) in std::mem::take(&mut found) {
            match active.get_mut(&labels) {
                Some(old) if old.state != AlertState::Inactive => {
                    (old.value, old.annotations) = (new.value, new.annotations);
                }
                _ => {
                    active.insert(labels, new);
                }
            }
        }
        let mut samples = Vec::new();
        let mut count = 0;
        let restored = self.restored.load(Ordering::Relaxed);
        active.retain(|labels, alert| {
            let (kept, counted) = self.step(alert, current.contains(labels), at);
            if counted {
                count += 1;
                if restored {
                    samples.push(self.state_sample(labels, alert, at.minus(query_offset)));
                    samples.push(self.for_state_sample(labels, alert, at.minus(query_offset)));
                }
            }
            kept
        });
        if limit > 0 && count > limit {
            active.clear();
            return Err(RuleError::Limit { limit, count, what: "alerts" });
        }
        Ok(samples)
    }

    /// The alerts that follow from the query's result, all pending.
    fn expand(
        &self,
        vector: &[InstantSample],
        expander: &Expander<'_>,
        at: UnixNanos,
    ) -> Result<BTreeMap<LabelSet, Active>, RuleError> {
        let mut found = BTreeMap::new();
        for sample in vector {
            let data = expander.data(sample);
            let labels = self.alert_labels(sample, &data, expander);
            let value = sample.value.as_float().unwrap_or(0.0);
            let alert = Active::pending(at, value, self.alert_annotations(&data, expander));
            if found.insert(labels, alert).is_some() {
                return Err(RuleError::SameAlertLabels);
            }
        }
        Ok(found)
    }

    /// The labels of the alert that follows from an element of the query's result.
    pub fn alert_labels(&self, sample: &InstantSample, data: &Value, expander: &Expander<'_>) -> LabelSet {
        let mut labels = sample.labels.to_builder();
        labels.remove(METRIC_NAME);
        for (name, text) in &self.label_texts {
            labels.set(name, &expander.expand(text, data));
        }
        labels.set(ALERT_NAME, expander.alert);
        labels.finish()
    }

    /// The annotations of that alert.
    pub fn alert_annotations(&self, data: &Value, expander: &Expander<'_>) -> Arc<[(String, String)]> {
        let texts = self.annotation_texts.iter();
        texts.map(|(name, text)| (name.clone(), expander.expand(text, data))).collect()
    }

    /// Advances one alert. Returns whether it is kept, and whether it counts as active.
    pub fn step(&self, alert: &mut Active, holds: bool, at: UnixNanos) -> (bool, bool) {
        let hold = nanos(self.hold);
        if holds {
            alert.keep_firing_since = None;
        } else {
            let keeps_firing = alert.state == AlertState::Firing && !self.keep_firing_for.is_zero() && {
                let since = *alert.keep_firing_since.get_or_insert(at);
                at.since(since) < nanos(self.keep_firing_for)
            };
            let old =
                alert.resolved_at.is_some_and(|resolved| at.since(resolved) > nanos(RESOLVED_RETENTION));
            let kept = alert.state != AlertState::Pending && !old;
            if alert.state != AlertState::Inactive && !keeps_firing {
                alert.state = AlertState::Inactive;
                alert.resolved_at = Some(at);
            }
            if !keeps_firing {
                return (kept, false);
            }
        }
        if alert.state == AlertState::Pending && at.since(alert.active_at) >= hold {
            alert.state = AlertState::Firing;
            alert.fired_at = Some(at);
        }
        // A reload may have raised `for`: back to pending, as if it had never been sent.
        if alert.state == AlertState::Firing && at.since(alert.active_at) < hold {
            alert.state = AlertState::Pending;
            (alert.fired_at, alert.last_sent_at, alert.keep_firing_since) = (None, None, None);
        }
        (true, true)
    }

    /// The alerts that are due to be sent at this moment, and marks them as sent. Alerts that keep firing are
    /// due again after `repeat_after`.
    pub fn due(&self, at: UnixNanos, repeat_after: Duration, sending: &Sending) -> Vec<Alert> {
        let valid_until = at.plus(4 * sending.interval.max(sending.resend_delay));
        let mut due = Vec::new();
        for (labels, alert) in self.active().iter_mut() {
            if alert.needs_sending(at, repeat_after) {
                alert.last_sent_at = Some(at);
                due.push(Alert {
                    labels: labels.clone(),
                    annotations: alert.annotations.clone(),
                    starts_at: alert.fired_at,
                    ends_at: Some(alert.resolved_at.unwrap_or(valid_until)),
                    resolved: alert.resolved_at.is_some(),
                    generator_url: sending.generator_url.clone(),
                });
            }
        }
        due
    }

    /// Ends all alerts: firing ones are resolved at this moment, the others are dropped.
    pub fn resolve(&self, at: UnixNanos) {
        self.active().retain(|_, alert| {
            if alert.state == AlertState::Firing {
                alert.state = AlertState::Inactive;
                // Due at once, even if it was also sent at this very moment.
                (alert.resolved_at, alert.last_sent_at) = (Some(at), None);
            }
            alert.resolved_at.is_some()
        });
    }

    fn state_sample(&self, labels: &LabelSet, alert: &Active, at: UnixNanos) -> InstantSample {
        let mut builder = self.series_labels(Some(labels), ALERTS);
        builder.set(ALERT_STATE, alert.state.as_str());
        sample(builder.finish(), at, 1.0)
    }

    fn for_state_sample(&self, labels: &LabelSet, alert: &Active, at: UnixNanos) -> InstantSample {
        let labels = self.series_labels(Some(labels), ALERTS_FOR_STATE).finish();
        sample(labels, at, alert.active_at.whole_seconds() as f64)
    }

    /// Labels of an alert's series: the rule's labels as written, overridden by those of the alert.
    pub fn series_labels(&self, alert: Option<&LabelSet>, metric: &str) -> LabelSetBuilder {
        let mut builder = self.labels.to_builder();
        for (name, value) in alert.iter().flat_map(|labels| labels.iter()) {
            builder.set(name, value);
        }
        builder.set(METRIC_NAME, metric);
        builder.set(ALERT_NAME, &self.name);
        builder
    }

    /// The most severe state of all alerts.
    pub fn state(&self) -> AlertState {
        self.active().values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// The alerts that are pending or firing.
    pub fn snapshot(&self) -> Vec<AlertSnapshot> {
        let shown = |(labels, alert): (&LabelSet, &Active)| {
            alert.resolved_at.is_none().then(|| AlertSnapshot {
                labels: labels.clone(),
                annotations: alert.annotations.to_vec(),
                state: alert.state,
                active_at: alert.active_at,
                keep_firing_since: alert.keep_firing_since,
                value: alert.value,
            })
        };
        self.active().iter().filter_map(shown).collect()
    }
}

impl Active {
    /// An alert that begins at this moment.
    pub fn pending(at: UnixNanos, value: f64, annotations: Arc<[(String, String)]>) -> Self {
        Active {
            state: AlertState::Pending,
            annotations,
            value,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            last_sent_at: None,
            keep_firing_since: None,
        }
    }

    fn needs_sending(&self, at: UnixNanos, resend_delay: Duration) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        // `None` comes before every moment.
        if self.resolved_at > self.last_sent_at {
            return true;
        }
        self.last_sent_at.is_none_or(|sent| sent.plus(resend_delay) < at)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn sample(labels: LabelSet, at: UnixNanos, value: f64) -> InstantSample {
    InstantSample { labels, timestamp_ms: at.timestamp().millis(), value: SampleValue::Float(value) }
}
