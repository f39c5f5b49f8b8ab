//! Metrics of look-ups and of accepted alerts, under Alertmanager's names. Their durations are the engine's only use of a
//! clock, and no decision depends on them.

use std::time::Instant;

use ferula_telemetry::{Counter, Histogram, Registry, Summary};

/// The default buckets of Prometheus' client library.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Look-ups of silences and of the notification log, and alerts on their way into groups.
#[derive(Clone)]
pub(super) struct QueryMetrics {
    silence_queries: Counter,
    silence_seconds: Histogram,
    silences_scanned: Counter,
    log_queries: Counter,
    log_seconds: Histogram,
    to_dispatcher: Counter,
    to_inhibitor: Counter,
    alert_seconds: Summary,
}

impl QueryMetrics {
    pub fn new(registry: &Registry) -> Self {
        // Counters of failures that cannot occur here exist for the sake of rules and dashboards.
        for (name, help) in [
            ("alertmanager_silences_query_errors_total", "Failed queries of silences. Always 0."),
            ("alertmanager_nflog_query_errors_total", "Failed queries of the notification log. Always 0."),
            ("alertmanager_silences_gc_errors_total", "Failed removals of old silences. Always 0."),
            (
                "alertmanager_silences_query_silences_skipped_total",
                "Silences that queries skipped because of a cache. Always 0: there is an index instead.",
            ),
            (
                "alertmanager_silences_gossip_messages_propagated_total",
                "Silences that were passed on to further members. Always 0: a pair has none.",
            ),
            (
                "alertmanager_nflog_gossip_messages_propagated_total",
                "Entries of the notification log that were passed on to further members. Always 0: a pair has none.",
            ),
            (
                "alertmanager_dispatcher_aggregation_group_creation_retries_total",
                "Groups that were created again after a conflict. Always 0: there are no conflicts.",
            ),
            (
                "alertmanager_dispatcher_aggregation_group_creation_given_up_total",
                "Alerts that were dropped because their group could not be created. Always 0.",
            ),
            (
                "alertmanager_dispatcher_aggregation_group_limit_reached_total",
                "Groups that were not created because of a limit. Always 0: there is no limit.",
            ),
        ] {
            registry.counter(name, help);
        }
        let compile_errors = registry.counter_vec(
            "alertmanager_silences_matcher_compile_errors_total",
            "Matchers of silences that do not compile.",
            &["stage"],
        );
        ["index", "load_snapshot"].iter().for_each(|stage| drop(compile_errors.with(&[stage])));
        let alerts_handed_on = registry.counter_vec(
            "alertmanager_alerts_subscriber_channel_writes_total",
            "Alerts that were passed to the parts that process them.",
            &["subscriber"],
        );
        QueryMetrics {
            silence_queries: registry.counter("alertmanager_silences_queries_total", "Queries of silences."),
            silence_seconds: registry.histogram(
                "alertmanager_silences_query_duration_seconds",
                "Seconds to query silences.",
                &SECONDS,
            ),
            silences_scanned: registry.counter(
                "alertmanager_silences_query_silences_scanned_total",
                "Silences that were checked to answer queries.",
            ),
            log_queries: registry
                .counter("alertmanager_nflog_queries_total", "Queries of the notification log."),
            log_seconds: registry.histogram(
                "alertmanager_nflog_query_duration_seconds",
                "Seconds to query the notification log.",
                &SECONDS,
            ),
            to_dispatcher: alerts_handed_on.with(&["dispatcher"]),
            to_inhibitor: alerts_handed_on.with(&["inhibitor"]),
            alert_seconds: registry.summary(
                "alertmanager_dispatcher_alert_processing_duration_seconds",
                "Seconds to add an alert to its groups.",
                &[],
            ),
        }
    }

    /// Runs a query of silences, which also returns how many it checked.
    pub fn of_silences<T>(&self, query: impl FnOnce() -> (T, usize)) -> T {
        let started = Instant::now();
        let (answer, scanned) = query();
        self.silence_queries.inc();
        self.silences_scanned.add(scanned as u64);
        self.silence_seconds.observe_duration(started.elapsed());
        answer
    }

    /// Runs a query of the notification log.
    pub fn of_log<T>(&self, query: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let answer = query();
        self.log_queries.inc();
        self.log_seconds.observe_duration(started.elapsed());
        answer
    }

    /// Counts an alert that was added to its groups.
    pub fn took_alert(&self, started: Instant) {
        self.alert_seconds.observe_duration(started.elapsed());
        self.to_dispatcher.inc();
        self.to_inhibitor.inc();
    }
}
