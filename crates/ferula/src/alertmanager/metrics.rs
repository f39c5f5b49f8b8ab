//! Metrics of the program and of its state.

use std::sync::{Arc, Weak};

use ferula_alertmanager::Alertmanager;
use ferula_alertmanager::silence::SilenceState;
use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};
use ferula_telemetry::{Gauge, Registry};
use md5::{Digest, Md5};

use crate::version;

/// Whether, when and which configuration was loaded.
pub struct ConfigMetrics {
    hash: Gauge,
    successful: Gauge,
    success_time: Gauge,
}

impl ConfigMetrics {
    pub fn new(registry: &Registry) -> Self {
        ConfigMetrics {
            hash: registry.gauge(
                "alertmanager_config_hash",
                "A hash of the configuration. All members of a cluster should have the same.",
            ),
            successful: registry.gauge(
                "alertmanager_config_last_reload_successful",
                "1 if the last attempt to load the configuration succeeded, otherwise 0. Alert on 0.",
            ),
            success_time: registry.gauge(
                "alertmanager_config_last_reload_success_timestamp_seconds",
                "When the current configuration was loaded, in seconds since 1970.",
            ),
        }
    }

    /// Records an attempt to load this text.
    pub fn note(&self, text: &[u8], successful: bool, now_seconds: f64) {
        self.successful.set(f64::from(u8::from(successful)));
        if successful {
            self.success_time.set(now_seconds);
            self.hash.set(hash_of(text));
        }
    }
}

/// The first six bytes of the MD5 sum, as Alertmanager counts them.
fn hash_of(text: &[u8]) -> f64 {
    let sum = Md5::digest(text);
    sum.iter().take(6).rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) as f64
}

/// Registers the metrics of the build and of the Alertmanager's state.
pub fn register(registry: &Registry, alertmanager: &Arc<Alertmanager>, alerts_per_name_max: usize) {
    let build = version::build_info();
    let build_labels = ["branch", "goarch", "goos", "goversion", "revision", "tags", "version"];
    registry
        .gauge_vec("alertmanager_build_info", "Always 1. The labels describe the build.", &build_labels)
        .with(&[
            &build.branch,
            version::architecture(),
            std::env::consts::OS,
            &build.go_version,
            &build.revision,
            &format!("ferula {}", version::FERULA_VERSION),
            version::ALERTMANAGER_VERSION,
        ])
        .set(1.0);
    registry
        .gauge("alertmanager_cluster_enabled", "1 if clustering is enabled; this server has no clustering.")
        .set(0.0);
    registry
        .gauge(
            "alertmanager_alerts_per_alert_limit",
            "The maximum number of alerts with the same name; 0 for no limit.",
        )
        .set(alerts_per_name_max as f64);
    let alertmanager = Arc::downgrade(alertmanager);
    registry.collector(move |families| collect(&alertmanager, families));
}

fn collect(alertmanager: &Weak<Alertmanager>, families: &mut Vec<MetricFamily>) {
    let Some(alertmanager) = alertmanager.upgrade() else { return };
    alertmanager.read(|engine, now| {
        let (active, suppressed) = engine.alert_counts(now);
        families.push(by_state(
            "alertmanager_alerts",
            "Firing alerts.",
            &[("active", active), ("suppressed", suppressed), ("unprocessed", 0)],
        ));
        let silences = engine.silences();
        let count = |state: SilenceState| (state.as_str(), silences.count(state, now));
        families.push(by_state(
            "alertmanager_silences",
            "Silences.",
            &[count(SilenceState::Active), count(SilenceState::Expired), count(SilenceState::Pending)],
        ));
        families.push(family(
            "alertmanager_silences_state_size",
            "Stored silences, including expired ones.",
            vec![metric(LabelSet::empty(), silences.len())],
        ));
        families.push(family(
            "alertmanager_silences_matcher_index_size",
            "Silences whose matchers are in the index.",
            vec![metric(LabelSet::empty(), silences.indexed_len())],
        ));
        families.push(family(
            "alertmanager_silences_version_index_size",
            "Silences in the order of their creation.",
            vec![metric(LabelSet::empty(), silences.len())],
        ));
        if let Some(pair) = engine.pair_view(now) {
            families.push(family(
                "ferula_alertmanager_pair_present",
                "1 while the other server of the pair is heard from, otherwise 0: then both notify. Alert on 0.",
                vec![metric(LabelSet::empty(), usize::from(pair.is_present))],
            ));
        }
        families.push(family(
            "ferula_alertmanager_configuration_warnings",
            "Template fields of the configuration that fail for sample alerts (/api/v2/warnings). Alert on more than 0.",
            vec![metric(LabelSet::empty(), engine.setup().warnings.len())],
        ));
        families.push(family(
            "alertmanager_dispatcher_aggregation_groups",
            "Groups of alerts.",
            vec![metric(LabelSet::empty(), engine.group_count())],
        ));
    });
}

fn by_state(name: &str, help: &str, states: &[(&str, usize)]) -> MetricFamily {
    let metrics = states
        .iter()
        .map(|(state, count)| metric(LabelSet::from_pairs([("state", *state)]), *count))
        .collect();
    family(name, help, metrics)
}

fn family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: name.into(), help: help.into(), kind: MetricType::Gauge, metrics }
}

fn metric(labels: LabelSet, value: usize) -> Metric {
    Metric { labels, value: MetricValue::Single(value as f64), timestamp: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_alertmanagers() {
        // `alertmanager_config_hash` of Alertmanager 0.33.1 for this file.
        let text = "route: {receiver: a, group_by: [alertname], group_wait: 1s, group_interval: 2s}\nreceivers: [{name: a, webhook_configs: [{url: 'http://127.0.0.1:1/x'}]}, {name: b}]\n";
        assert_eq!(hash_of(text.as_bytes()), 78_595_039_697_476.0);
    }
}
