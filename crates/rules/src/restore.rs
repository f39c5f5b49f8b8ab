//! The `for` state after a restart: `ALERTS_FOR_STATE` records since when an alert has been active.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ferula_model::labels::METRIC_NAME;
use ferula_model::value::is_stale;
use ferula_model::{LabelSet, Matcher, TimeRange, UnixNanos};
use ferula_storage::{Hints, SeriesSamples, StorageError};
use ferula_telemetry::error;

use crate::alerting::{ALERTS_FOR_STATE, Alerting};
use crate::group::{Group, RestoreOptions};

/// The last sample of a series: timestamp in milliseconds, and the second since when the alert has been
/// active.
type LastSample = (i64, f64);

impl Group {
    /// Restores the time since when each active alert has been active. Called after the second evaluation,
    /// when there are alerts to restore.
    pub fn restore(&self, now: UnixNanos, options: &RestoreOptions) {
        let context = self.context();
        let began = context.clock.elapsed();
        for rule in &self.rules {
            let Some(alerting) = &rule.alerting else { continue };
            // Without a `for` there is nothing to restore.
            if !alerting.hold.is_zero() {
                match self.last_states(alerting, now, options) {
                    Ok(states) => alerting.restore(&states, now, options),
                    Err(error) => error!(
                        "Failed to restore 'for' state",
                        group = self.name,
                        alertname = rule.name,
                        err = error
                    ),
                }
            }
            // Even if this failed: there is no second attempt, and the alert must be able to fire.
            alerting.set_restored();
        }
        let took = context.clock.elapsed().saturating_sub(began);
        context.metrics.last_restore_duration.with(&[&self.key()]).set(took.as_secs_f64());
    }

    /// The last samples of the rule's state series, by the labels of the alert.
    fn last_states(
        &self,
        alerting: &Alerting,
        now: UnixNanos,
        options: &RestoreOptions,
    ) -> Result<HashMap<LabelSet, LastSample>, StorageError> {
        let range = TimeRange::new(now.minus(options.outage_tolerance).timestamp(), now.timestamp());
        let context = self.context();
        let mut snapshot = context.storage.snapshot(range)?;
        let matchers: Vec<Matcher> = alerting
            .series_labels(None, ALERTS_FOR_STATE)
            .iter()
            // The values of templates are not known here.
            .filter(|(_, value)| !value.contains("{{"))
            .map(|(name, value)| Matcher::equal(name, value))
            .collect();
        let selection = snapshot.select(&matchers, &Hints::default())?;
        snapshot.freeze()?;
        let count = snapshot.series_count(selection);
        let mut last = HashMap::with_capacity(count);
        let mut take = |row: usize, samples: &SeriesSamples| {
            let floats = &samples.floats;
            if let (Some(time), Some(value)) = (floats.timestamps.last(), floats.values.last()) {
                last.insert(snapshot.labels(selection, row).without(METRIC_NAME), (*time, *value));
            }
            ControlFlow::Continue(())
        };
        snapshot.read(selection, 0..count, range, &mut take)?;
        Ok(last)
    }
}

impl Alerting {
    fn restore(&self, states: &HashMap<LabelSet, LastSample>, now: UnixNanos, options: &RestoreOptions) {
        let nanos = |duration: std::time::Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        for (labels, alert) in self.active().iter_mut() {
            let Some((time_ms, value)) = states.get(labels) else { continue };
            if is_stale(*value) {
                continue; // It was not active when the server went down.
            }
            let down_at = UnixNanos::from_millis(time_ms.div_euclid(1000).saturating_mul(1000));
            let active_at = UnixNanos((*value as i64).saturating_mul(1_000_000_000));
            let remaining = nanos(self.hold).saturating_sub(down_at.since(active_at));
            alert.active_at = if remaining <= 0 {
                // It was firing, and will be again with the next evaluation.
                active_at
            } else if self.hold < options.grace_period {
                // A short `for` ends before the grace period would, so it starts over.
                continue;
            } else if remaining < nanos(options.grace_period) {
                // It fires exactly when the grace period ends.
                now.plus(options.grace_period).minus(self.hold)
            } else {
                // Downtime does not count.
                UnixNanos(active_at.0.saturating_add(now.since(down_at)))
            };
        }
    }
}
