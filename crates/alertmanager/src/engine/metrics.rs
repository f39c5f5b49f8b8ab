//! The engine's metrics, under Alertmanager's names.

use std::time::Duration;

use ferula_telemetry::{CounterVec, Gauge, HistogramVec, Registry};

use super::query_metrics::QueryMetrics;
use crate::receiver::FailureReason;

/// All integrations, whose series exist from the start.
const INTEGRATIONS: [&str; 18] = [
    "email",
    "pagerduty",
    "wechat",
    "pushover",
    "slack",
    "opsgenie",
    "webhook",
    "victorops",
    "sns",
    "telegram",
    "discord",
    "webex",
    "msteams",
    "msteamsv2",
    "incidentio",
    "jira",
    "rocketchat",
    "mattermost",
];

/// Reasons for which alerts are suppressed.
const SUPPRESSED: [&str; 4] = ["silence", "inhibition", "mute_time_interval", "active_time_interval"];

/// Counters of notifications and limits.
#[derive(Clone)]
pub struct Metrics {
    /// Whether the receiver's name is a label.
    with_receiver: bool,
    /// Whether the counter of limited alerts has the alert's name as a label.
    with_alert_name: bool,
    notifications: CounterVec,
    failed: CounterVec,
    requests: CounterVec,
    requests_failed: CounterVec,
    suppressed: CounterVec,
    latency: HistogramVec,
    limited: CounterVec,
    templates_failed: CounterVec,
    pub(super) queries: QueryMetrics,
    receivers: Gauge,
    integrations: Gauge,
    inhibition_rules: Gauge,
}

impl Metrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry, with_receiver: bool, with_alert_name: bool) -> Self {
        let labels: &[&str] =
            if with_receiver { &["integration", "receiver_name"] } else { &["integration"] };
        let failure_labels = [labels, &["reason"]].concat();
        let counter = |name: &str, help: &str| registry.counter_vec(name, help, labels);
        let metrics = Metrics {
            with_receiver,
            with_alert_name,
            notifications: counter(
                "alertmanager_notifications_total",
                "Notifications, however many attempts each of them needed.",
            ),
            failed: registry.counter_vec(
                "alertmanager_notifications_failed_total",
                "Notifications that failed for good. Alert when this rises.",
                &failure_labels,
            ),
            requests: counter(
                "alertmanager_notification_requests_total",
                "Attempts to send notifications, including retries.",
            ),
            requests_failed: counter(
                "alertmanager_notification_requests_failed_total",
                "Failed attempts to send notifications; most of them are retried.",
            ),
            suppressed: registry.counter_vec(
                "alertmanager_notifications_suppressed_total",
                "Alerts that were left out of notifications because they were silenced, inhibited or muted.",
                &["reason"],
            ),
            latency: registry.histogram_vec(
                "alertmanager_notification_latency_seconds",
                "Duration of attempts to send notifications, in seconds.",
                &[1.0, 5.0, 10.0, 15.0, 20.0],
                labels,
            ),
            limited: registry.counter_vec(
                "alertmanager_alerts_limited_total",
                "Alerts that were dropped because too many have the same name (--alerts.per-alertname-limit).",
                if with_alert_name { &["alertname"] } else { &[] },
            ),
            queries: QueryMetrics::new(registry),
            templates_failed: registry.counter_vec(
                "ferula_alertmanager_template_failures_total",
                "Template fields that failed; a default or a plain listing was sent in their place. Alert when this rises.",
                &["integration", "receiver", "field"],
            ),
            receivers: registry.gauge("alertmanager_receivers", "Receivers that routes use."),
            integrations: registry.gauge("alertmanager_integrations", "Integrations of the receivers that routes use."),
            inhibition_rules: registry.gauge("alertmanager_inhibition_rules", "Inhibition rules."),
        };
        for reason in SUPPRESSED {
            metrics.suppressed.with(&[reason]);
        }
        if !with_receiver {
            INTEGRATIONS.iter().for_each(|integration| metrics.prepare(&[integration]));
        }
        metrics
    }

    fn prepare(&self, labels: &[&str]) {
        self.notifications.with(labels);
        self.requests.with(labels);
        self.requests_failed.with(labels);
        self.latency.with(labels);
        for reason in FailureReason::ALL {
            self.failed.with(&[labels, &[reason.as_str()]].concat());
        }
    }

    fn labels<'l>(&self, integration: &'l str, receiver: &'l str) -> Vec<&'l str> {
        if self.with_receiver { vec![integration, receiver] } else { vec![integration] }
    }

    pub(super) fn note_configuration(&self, receivers: usize, integrations: usize, inhibition_rules: usize) {
        self.receivers.set(receivers as f64);
        self.integrations.set(integrations as f64);
        self.inhibition_rules.set(inhibition_rules as f64);
    }

    pub(super) fn notification(&self, integration: &str, receiver: &str) {
        self.notifications.with(&self.labels(integration, receiver)).inc();
    }

    pub(super) fn request(&self, integration: &str, receiver: &str, took: Duration, arrived: bool) {
        let labels = self.labels(integration, receiver);
        self.requests.with(&labels).inc();
        self.latency.with(&labels).observe_duration(took);
        if !arrived {
            self.requests_failed.with(&labels).inc();
        }
    }

    pub(super) fn failed(&self, integration: &str, receiver: &str, reason: FailureReason) {
        let labels = self.labels(integration, receiver);
        self.failed.with(&[labels.as_slice(), &[reason.as_str()]].concat()).inc();
    }

    pub(super) fn template_failed(&self, integration: &str, receiver: &str, field: &str) {
        self.templates_failed.with(&[integration, receiver, field]).inc();
    }

    pub(super) fn suppressed(&self, reason: &str, alerts: usize) {
        if alerts > 0 {
            self.suppressed.with(&[reason]).add(alerts as u64);
        }
    }

    pub(super) fn alert_limited(&self, name: &str) {
        let labels: &[&str] = if self.with_alert_name { &[name] } else { &[] };
        self.limited.with(labels).inc();
    }
}
