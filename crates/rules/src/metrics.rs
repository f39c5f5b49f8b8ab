//! The rule manager's own metrics, with Prometheus' names.

use ferula_telemetry::{Counter, CounterVec, GaugeVec, Histogram, Registry, Summary};

/// What is counted and measured about rules. Members of a group appear when it is loaded and go with it.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) evaluation_duration: Summary,
    pub(crate) evaluation_histogram: Histogram,
    pub(crate) iteration_duration: Summary,
    pub(crate) iteration_histogram: Histogram,
    pub(crate) iterations_missed: CounterVec,
    pub(crate) iterations: CounterVec,
    pub(crate) evaluations: CounterVec,
    pub(crate) evaluation_failures: CounterVec,
    pub(crate) interval: GaugeVec,
    pub(crate) last_evaluation: GaugeVec,
    pub(crate) last_duration: GaugeVec,
    pub(crate) last_rule_duration_sum: GaugeVec,
    pub(crate) last_restore_duration: GaugeVec,
    pub(crate) rules: GaugeVec,
    pub(crate) samples: GaugeVec,
    pub(crate) template_expansions: Counter,
    pub(crate) template_failures: Counter,
}

const BOUNDS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

impl Metrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter_vec(name, help, &["rule_group"]);
        let gauge = |name: &str, help: &str| registry.gauge_vec(name, help, &["rule_group"]);
        let rule_help = "Seconds that one rule took: query, and storing what came out.";
        let group_help = "Seconds that all rules of a group took together.";
        Metrics {
            evaluation_duration: registry.summary(
                "prometheus_rule_evaluation_duration_seconds",
                rule_help,
                &[0.5, 0.9, 0.99],
            ),
            evaluation_histogram: registry.histogram(
                "prometheus_rule_evaluation_duration_histogram_seconds",
                rule_help,
                &BOUNDS,
            ),
            iteration_duration: registry.summary(
                "prometheus_rule_group_duration_seconds",
                group_help,
                &[0.01, 0.05, 0.5, 0.9, 0.99],
            ),
            iteration_histogram: registry.histogram(
                "prometheus_rule_group_duration_histogram_seconds",
                group_help,
                &BOUNDS,
            ),
            iterations_missed: counter(
                "prometheus_rule_group_iterations_missed_total",
                "Slots of a group that passed unused because the evaluation before took too long. Rising: raise the interval, or split the group.",
            ),
            iterations: counter(
                "prometheus_rule_group_iterations_total",
                "Slots of a group that have come, used or not.",
            ),
            evaluations: counter(
                "prometheus_rule_evaluations_total",
                "Rules of a group that were evaluated, well or badly.",
            ),
            evaluation_failures: counter(
                "prometheus_rule_evaluation_failures_total",
                "Rules of a group whose query failed or whose result could not be stored; /rules shows why.",
            ),
            interval: gauge(
                "prometheus_rule_group_interval_seconds",
                "Seconds between two slots of a group.",
            ),
            last_evaluation: gauge(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "When the last evaluation of a group began, in seconds since 1970.",
            ),
            last_duration: gauge(
                "prometheus_rule_group_last_duration_seconds",
                "Seconds that the last evaluation of a group took. Close to its interval, slots will be missed.",
            ),
            last_rule_duration_sum: gauge(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "Seconds that the rules of a group took in its last evaluation, added up. Above the duration of the group when they run beside each other.",
            ),
            last_restore_duration: gauge(
                "prometheus_rule_group_last_restore_duration_seconds",
                "Seconds that it took after the start to read back since when the alerts of a group are active.",
            ),
            rules: gauge("prometheus_rule_group_rules", "Rules of a group."),
            samples: gauge(
                "prometheus_rule_group_last_evaluation_samples",
                "Samples that the rules of a group had as results the last time.",
            ),
            template_expansions: registry.counter(
                "prometheus_template_text_expansions_total",
                "Templates of labels and annotations that were filled in.",
            ),
            template_failures: registry.counter(
                "prometheus_template_text_expansion_failures_total",
                "Templates that could not be filled in; the alert shows the error instead.",
            ),
        }
    }

    /// Makes the members of a group.
    pub(crate) fn add_group(&self, key: &str, rules: usize, interval_seconds: f64) {
        for family in
            [&self.iterations_missed, &self.iterations, &self.evaluations, &self.evaluation_failures]
        {
            family.with(&[key]);
        }
        for family in
            [&self.last_evaluation, &self.last_duration, &self.last_rule_duration_sum, &self.samples]
        {
            family.with(&[key]);
        }
        self.rules.with(&[key]).set(rules as f64);
        self.interval.with(&[key]).set(interval_seconds);
    }

    /// Forgets the members of a group.
    pub(crate) fn remove_group(&self, key: &str) {
        for family in
            [&self.iterations_missed, &self.iterations, &self.evaluations, &self.evaluation_failures]
        {
            family.remove(&[key]);
        }
        for family in [
            &self.interval,
            &self.last_evaluation,
            &self.last_duration,
            &self.last_rule_duration_sum,
            &self.last_restore_duration,
            &self.rules,
            &self.samples,
        ] {
            family.remove(&[key]);
        }
    }
}
