//! The rule manager's own metrics, with Prometheus' names.

use ferula_telemetry::{Counter, CounterVec, GaugeVec, Histogram, Registry, Summary};

/// Counters and gauges of rules. The series of a group appear when it is loaded and disappear with it.
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
        let rule_help = "Duration of a rule's evaluation, query and storing the result, in seconds.";
        let group_help = "Duration of a group's evaluation, all rules together, in seconds.";
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
                "Evaluations that were skipped because the previous one took longer than the interval. If this rises, increase the interval or split the group.",
            ),
            iterations: counter(
                "prometheus_rule_group_iterations_total",
                "Evaluations of a group that were due, including skipped ones.",
            ),
            evaluations: counter(
                "prometheus_rule_evaluations_total",
                "Rule evaluations, including failed ones.",
            ),
            evaluation_failures: counter(
                "prometheus_rule_evaluation_failures_total",
                "Rule evaluations whose query failed or whose result could not be stored. The page /rules shows the last error of each rule.",
            ),
            interval: gauge(
                "prometheus_rule_group_interval_seconds",
                "Evaluation interval of a group, in seconds.",
            ),
            last_evaluation: gauge(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "Start of a group's last evaluation, in seconds since 1970.",
            ),
            last_duration: gauge(
                "prometheus_rule_group_last_duration_seconds",
                "Duration of a group's last evaluation, in seconds. Near the interval, evaluations will be skipped.",
            ),
            last_rule_duration_sum: gauge(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "Sum of the durations of all rules in a group's last evaluation, in seconds. Larger than the group's duration if rules run concurrently.",
            ),
            last_restore_duration: gauge(
                "prometheus_rule_group_last_restore_duration_seconds",
                "Time spent on restoring the `for` state of a group's alerts after a start, in seconds.",
            ),
            rules: gauge("prometheus_rule_group_rules", "Number of rules in a group."),
            samples: gauge(
                "prometheus_rule_group_last_evaluation_samples",
                "Samples that the rules of a group returned in its last evaluation.",
            ),
            template_expansions: registry.counter(
                "prometheus_template_text_expansions_total",
                "Expanded templates of labels and annotations.",
            ),
            template_failures: registry.counter(
                "prometheus_template_text_expansion_failures_total",
                "Templates that could not be expanded; the alert shows the error in place of the text.",
            ),
        }
    }

    /// Creates the series of a group.
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

    /// Removes the series of a group.
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
