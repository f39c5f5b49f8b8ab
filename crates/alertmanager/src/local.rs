//! Receives alerts from rules of the same process, in memory.

use ferula_model::{Alert, AlertSink, UnixNanos};

use crate::annotations::Annotations;
use crate::run::Alertmanager;
use crate::stored_alert::StoredAlert;
use crate::time::Time;

impl AlertSink for Alertmanager {
    fn send(&self, alerts: Vec<Alert>) {
        self.change(|engine, now| {
            let timeout = engine.setup().config.global().resolve_timeout;
            let stored = |alert: Alert| {
                let time = |nanos: UnixNanos| Time::from_unix_nanos(nanos.0);
                let updated_at = time(now);
                let (starts_at, ends_at) = (alert.starts_at.map(time), alert.ends_at.map(time));
                StoredAlert {
                    labels: alert.labels,
                    annotations: Annotations::new(
                        alert.annotations.iter().map(|(name, value)| (name, value)),
                    ),
                    starts_at: starts_at.or(ends_at).unwrap_or(updated_at),
                    ends_at: ends_at.unwrap_or_else(|| updated_at.plus(timeout)),
                    updated_at,
                    generator_url: alert.generator_url,
                    timeout: ends_at.is_none(),
                }
            };
            let good = |alert: &StoredAlert| !alert.labels.is_empty() && alert.starts_at <= alert.ends_at;
            engine.put(alerts.into_iter().map(stored).filter(good).collect(), now);
        });
    }
}
