//! Unit tests of rule files: rules are evaluated over the series that the test lists, and the results are
//! compared.
//!
//! The behaviour, and the texts of failures, are those of `promtool test rules`.

mod diff;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ferula_config::rules::{LoadedRules, RuleFileErrors};
use ferula_config::unit_test::{AlertTest, ExpressionTest, TestGroup, UnitTestFile};
use ferula_go::float::{format_e, format_f};
use ferula_go::quote::go_quote;
use ferula_model::duration::format_millis;
use ferula_model::{Alert, AlertSink, LabelSet, Timestamp, UnixNanos};
use ferula_promql::{Engine, EngineOptions, Features, InstantSample, QueryValue, RangeSeries, SampleValue};
use ferula_promql_syntax::{ParserOptions, SequenceItem, parse, parse_metric, parse_series_description};
use ferula_runtime::SharedClock;
use ferula_telemetry::Registry;

use crate::append::append;
use crate::context::RuleStore;
use crate::query::{EngineQuery, RuleOrigin, RuleQuery};
use crate::series_values::{Point, SeriesLineError, expand};
use crate::snapshot::{AlertState, AlertingSnapshot, RuleSnapshot};
use crate::{Group, GroupContext, Metrics};

/// Why no store could be created; the kind is the caller's.
pub type OpenStoreError = Box<dyn std::error::Error + Send + Sync>;

/// What tests run with.
pub struct Options<'a> {
    /// Creates an empty store, one for every group of tests.
    pub open_store: &'a dyn Fn() -> Result<Arc<dyn RuleStore>, OpenStoreError>,
    pub features: Features,
    pub parser: ParserOptions,
    /// Measures durations; the tests themselves use simulated time.
    pub clock: SharedClock,
    /// Whether the group of tests with this name runs; unnamed ones have the name "".
    pub runs: &'a dyn Fn(&str) -> bool,
    /// Shows unexpected alerts as one document with coloured differences.
    pub diff: bool,
    /// Receives progress lines, and the dump of all data after each group of tests.
    pub debug: Option<&'a dyn Fn(&str)>,
}

/// The result of a group of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// Its name, or `unnamed#N`.
    pub name: String,
    /// The failures, as promtool prints them.
    pub failures: Vec<String>,
}

/// Samples that a query may hold in memory.
const SAMPLES_MAX: u64 = 10_000;

/// The rules of each file by its name, or all errors of the files.
pub type Rules = Result<Vec<(String, LoadedRules)>, Vec<RuleFileErrors>>;

/// Why a file of tests cannot be run at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestFileError {
    #[error("group name repeated in evaluation order: {0}")]
    RepeatedGroup(String),
}

/// Runs the tests of a file on rules that have been loaded already. Invalid rules fail every group of tests.
///
/// # Errors
/// An error in the file of tests itself.
pub fn run(
    file: &UnitTestFile,
    rules: &Rules,
    options: &Options<'_>,
) -> Result<Vec<TestReport>, TestFileError> {
    let mut order: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, name) in file.group_eval_order.iter().enumerate() {
        if order.insert(name, index).is_some() {
            return Err(TestFileError::RepeatedGroup(name.clone()));
        }
    }
    let mut reports = Vec::new();
    for (index, tests) in file.tests.iter().enumerate() {
        if !(options.runs)(&tests.name) {
            continue;
        }
        let name = if tests.name.is_empty() { format!("unnamed#{index}") } else { tests.name.clone() };
        let say = |text: String| options.debug.iter().for_each(|debug| debug(&text));
        let began = options.clock.elapsed();
        say(format!("DEBUG: Starting test {name}"));
        let failures = match TestBed::new(file, tests, rules, &order, options) {
            Ok(mut bed) => bed.run(options.debug),
            Err(failures) => failures,
        };
        say(format!("DEBUG: Test {name} finished, took {:?}", options.clock.elapsed() - began));
        reports.push(TestReport { name, failures });
    }
    Ok(reports)
}

/// Discards alerts: the tests look at the rules instead.
struct Nowhere;

impl AlertSink for Nowhere {
    fn send(&self, _: Vec<Alert>) {}
}

/// A series that is written into the store step by step.
struct Input {
    labels: LabelSet,
    points: std::vec::IntoIter<Point>,
    next_ms: i64,
}

/// The series of a group of tests.
fn read_inputs(tests: &TestGroup, start: UnixNanos) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for (index, series) in tests.input_series.iter().enumerate() {
        let line = format!("{} {}", series.series, series.values);
        // promtool makes a script of the series, with `load` on its first line.
        let in_script = |error: SeriesLineError| match error.to_string().strip_prefix("1:") {
            Some(rest) => format!("{}:{rest}", index + 2),
            None => error.to_string(),
        };
        let (labels, points) = expand(&line).map_err(in_script)?;
        inputs.push(Input { labels, points: points.into_iter(), next_ms: start.timestamp().millis() });
    }
    Ok(inputs)
}

/// One group of tests with its store, rules and inputs.
struct TestBed<'a> {
    file: &'a UnitTestFile,
    tests: &'a TestGroup,
    store: Arc<dyn RuleStore>,
    query: Arc<EngineQuery<dyn RuleStore>>,
    parser: ParserOptions,
    groups: Vec<Group>,
    inputs: Vec<Input>,
    start: UnixNanos,
    diff: bool,
}

impl<'a> TestBed<'a> {
    fn new(
        file: &'a UnitTestFile,
        tests: &'a TestGroup,
        rules: &Rules,
        order: &BTreeMap<&str, usize>,
        options: &Options<'_>,
    ) -> Result<Self, Vec<String>> {
        let start = tests.start_timestamp.0;
        let inputs = read_inputs(tests, start).map_err(|error| vec![error])?;
        let rules = rules
            .as_ref()
            .map_err(|files| files.iter().flat_map(RuleFileErrors::texts).collect::<Vec<String>>())?;
        let store = (options.open_store)().map_err(|error| vec![error.to_string()])?;
        let engine = Engine::new(EngineOptions {
            max_samples: SAMPLES_MAX,
            default_subquery_step_ms: i64::try_from(file.evaluation_interval.as_millis()).unwrap_or(i64::MAX),
            features: options.features,
            ..EngineOptions::default()
        });
        let query = Arc::new(EngineQuery::new(engine, store.clone()));
        let context = Arc::new(GroupContext {
            query: query.clone(),
            storage: store.clone(),
            alerts: Arc::new(Nowhere),
            metrics: Metrics::new(&Registry::new()),
            clock: options.clock.clone(),
            parser: options.parser,
            external_labels: Arc::new(tests.external_labels.0.clone()),
            external_url: tests.external_url.clone().into(),
            query_offset: Duration::ZERO,
            resend_delay: Duration::ZERO,
            concurrency: None,
        });
        let mut groups = Vec::new();
        for (name, loaded) in rules {
            for group in &loaded.groups {
                let group = Group::from_file(group, name, tests.interval, true, context.clone());
                groups.push(group.map_err(|error| vec![error.to_string()])?);
            }
        }
        groups.sort_by_key(|group| order.get(group.name.as_str()).copied().unwrap_or(0));
        Ok(TestBed {
            file,
            tests,
            store,
            query,
            parser: options.parser,
            groups,
            inputs,
            start,
            diff: options.diff,
        })
    }

    fn run(&mut self, debug: Option<&dyn Fn(&str)>) -> Vec<String> {
        let mut failures = Vec::new();
        if let Some(test) = self.tests.alert_rule_test.iter().find(|test| test.alertname.is_empty()) {
            let group = match self.tests.name.as_str() {
                "" => String::new(),
                name => format!(" (in TestGroup {name})"),
            };
            let time = show(test.eval_time);
            return vec![format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {time}{group}"
            )];
        }
        if let Err(failed) = self.evaluate(&mut failures) {
            failures.extend(failed);
            return failures;
        }
        for test in &self.tests.promql_expr_test {
            failures.extend(self.check_expression(test));
        }
        if let Some(debug) = debug {
            self.dump(debug);
        }
        failures
    }

    /// Prints everything that the store holds at the end.
    fn dump(&self, debug: &dyn Fn(&str)) {
        // Up to the next whole second, as in promtool.
        let window = Duration::from_secs(self.last_moment().as_secs() + 1);
        let at = self.start.plus(window).timestamp();
        let nanos = i64::try_from(window.as_nanos()).unwrap_or(i64::MAX);
        let text = format!("{{__name__=~\".+\"}}[{}]", ferula_go::duration::format(nanos));
        let value = parse(&text, &self.parser).map_err(|error| error.to_string()).and_then(|expr| {
            self.query.value(&expr, at, &RuleOrigin::default()).map_err(|error| error.to_string())
        });
        match value {
            Ok(QueryValue::Matrix(series)) => {
                let at = ferula_go::duration::format(nanos);
                debug(&format!("DEBUG: Dump of all data (input_series and rules) at {at}:"));
                debug(&series.iter().map(show_series).collect::<Vec<_>>().join("\n"));
            }
            Ok(_) => debug("DEBUG: Got unexpected type"),
            Err(error) => {
                debug(&format!("DEBUG: Failed query exec, expr: {}, err: {error}", go_quote(&text)))
            }
        }
    }

    /// The latest moment that a test asks for.
    fn last_moment(&self) -> Duration {
        let alerts = self.tests.alert_rule_test.iter().map(|test| test.eval_time);
        let expressions = self.tests.promql_expr_test.iter().map(|test| test.eval_time);
        alerts.chain(expressions).max().unwrap_or_default()
    }

    /// Evaluates all groups at every step up to the latest moment that a test asks for, and checks the alerts
    /// in between.
    ///
    /// # Errors
    /// Rules failed; the rest of the group is not tested then.
    fn evaluate(&mut self, failures: &mut Vec<String>) -> Result<(), Vec<String>> {
        let alert_times: BTreeSet<Duration> =
            self.tests.alert_rule_test.iter().map(|test| test.eval_time).collect();
        let last = self.last_moment();
        let step = self.file.evaluation_interval;
        let mut passed = Duration::ZERO;
        while passed <= last {
            let at = self.start.plus(passed);
            self.write_samples(at.timestamp()).map_err(|error| vec![error])?;
            let mut failed = Vec::new();
            for group in &self.groups {
                group.evaluate(at);
                failed.extend(group.snapshot().rules.iter().filter_map(|rule| failed_rule(rule, at)));
            }
            if !failed.is_empty() {
                return Err(failed);
            }
            for time in alert_times.range(passed..passed + step) {
                let tests = self.tests.alert_rule_test.iter().filter(|test| test.eval_time == *time);
                for test in tests {
                    failures.extend(self.check_alerts(test));
                }
            }
            passed += step;
        }
        // Expressions may ask for moments after the last step.
        self.write_samples(self.start.plus(last).timestamp()).map_err(|error| vec![error])
    }

    /// Writes all samples up to a moment.
    fn write_samples(&mut self, until: Timestamp) -> Result<(), String> {
        let step_ms = i64::try_from(self.tests.interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut samples = Vec::new();
        for input in &mut self.inputs {
            while input.next_ms <= until.millis() {
                let Some(point) = input.points.next() else { break };
                let timestamp_ms = input.next_ms;
                input.next_ms = input.next_ms.saturating_add(step_ms);
                let value = match point {
                    Point::Omitted => continue,
                    Point::Float(value) => SampleValue::Float(value),
                    Point::Histogram(histogram) => SampleValue::Histogram(histogram),
                };
                samples.push(InstantSample { labels: input.labels.clone(), timestamp_ms, value });
            }
        }
        let mut refused = Ok(());
        let mut appender = self.store.appender();
        append(&mut *appender, &samples, |_, outcome| {
            if let Err(error) = outcome {
                refused = Err(error.to_string());
            }
        });
        refused?;
        appender.commit(ferula_storage::Durability::Written).map_err(|error| error.to_string())
    }

    fn check_alerts(&self, test: &AlertTest) -> Option<String> {
        let rules = self.groups.iter().flat_map(|group| group.snapshot().rules);
        let mut got: Vec<ShownAlert> = rules
            .filter_map(|rule| match rule {
                RuleSnapshot::Alerting(rule) if rule.name == test.alertname => Some(rule),
                _ => None,
            })
            .flat_map(firing)
            .collect();
        let mut expected: Vec<ShownAlert> = test
            .exp_alerts
            .iter()
            .map(|alert| {
                let mut labels = LabelSet::from_pairs(&alert.exp_labels).to_builder();
                labels.set("alertname", &test.alertname);
                (labels.finish(), LabelSet::from_pairs(&alert.exp_annotations))
            })
            .collect();
        got.sort();
        expected.sort();
        if got == expected {
            return None;
        }
        let name = match self.tests.name.as_str() {
            "" => String::new(),
            name => format!("    name: {name},\n"),
        };
        if self.diff {
            return Some(format!(
                "{name}    alertname: {}, time: {}, \n        diff: {}",
                test.alertname,
                show(test.eval_time),
                indented(&diff::difference(&expected, &got), "            ")
            ));
        }
        Some(format!(
            "{name}    alertname: {}, time: {}, \n        exp:{}, \n        got:{}",
            test.alertname,
            show(test.eval_time),
            indented(&show_alerts(&expected), "            "),
            indented(&show_alerts(&got), "            ")
        ))
    }

    fn check_expression(&self, test: &ExpressionTest) -> Option<String> {
        let about = format!("    expr: {}, time: {},", go_quote(&test.expr), show(test.eval_time));
        let at = self.start.plus(test.eval_time).timestamp();
        let answer = parse(&test.expr, &self.parser).map_err(|error| error.to_string()).and_then(|expr| {
            self.query.vector(&expr, at, &RuleOrigin::default()).map_err(|error| error.to_string())
        });
        let mut got: Vec<Sample> = match answer {
            Ok(vector) => vector.into_iter().map(Sample::of_result).collect(),
            Err(error) => return Some(format!("{about} err: {error}")),
        };
        let expected: Result<Vec<Sample>, String> = test
            .exp_samples
            .iter()
            .map(|sample| {
                Sample::of_text(&sample.labels, sample.value, &sample.histogram)
                    .map_err(|error| format!("labels {}: {error}", go_quote(&sample.labels)))
            })
            .collect();
        let mut expected = match expected {
            Ok(expected) => expected,
            Err(error) => return Some(format!("{about} err: {error}")),
        };
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        let fuzzy = self.file.fuzzy_compare;
        let same = got.len() == expected.len() && got.iter().zip(&expected).all(|(a, b)| a.equals(b, fuzzy));
        (!same).then(|| {
            format!("{about}\n        exp: {}\n        got: {}", show_samples(&expected), show_samples(&got))
        })
    }
}

fn failed_rule(rule: &RuleSnapshot, at: UnixNanos) -> Option<String> {
    let (name, error) = match rule {
        RuleSnapshot::Alerting(rule) => (&rule.name, &rule.last_error),
        RuleSnapshot::Recording(rule) => (&rule.name, &rule.last_error),
    };
    let time = ferula_go::duration::format(at.0);
    (!error.is_empty()).then(|| format!("    rule: {name}, time: {time}, err: {error}"))
}

/// Labels and annotations of an alert.
type ShownAlert = (LabelSet, LabelSet);

fn firing(rule: AlertingSnapshot) -> Vec<ShownAlert> {
    let fires = rule.alerts.into_iter().filter(|alert| alert.state == AlertState::Firing);
    fires
        .map(|alert| {
            let annotations = alert.annotations.iter().map(|(name, value)| (name, value));
            (alert.labels, LabelSet::from_pairs(annotations))
        })
        .collect()
}

fn show_alerts(alerts: &[ShownAlert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let one = |(index, (labels, annotations)): (usize, &ShownAlert)| {
        let text = format!("\nLabels:{labels}\nAnnotations:{annotations}");
        format!("{index}:{}", indented(&text, "  "))
    };
    let all: Vec<String> = alerts.iter().enumerate().map(one).collect();
    format!("[\n{}\n]", all.join(",\n"))
}

/// Indents every line but the first.
fn indented(lines: &str, indent: &str) -> String {
    lines.replace('\n', &format!("\n{indent}"))
}

/// One sample, in the form in which it is compared.
struct Sample {
    labels: LabelSet,
    value: f64,
    /// The test notation of a histogram, or "".
    histogram: String,
}

impl Sample {
    fn of_result(sample: InstantSample) -> Self {
        match sample.value {
            SampleValue::Float(value) => Sample { labels: sample.labels, value, histogram: String::new() },
            SampleValue::Histogram(histogram) => {
                Sample { labels: sample.labels, value: 0.0, histogram: histogram.test_expression() }
            }
        }
    }

    fn of_text(labels: &str, value: f64, histogram: &str) -> Result<Self, String> {
        // An empty text stands for no labels.
        let labels = if labels.is_empty() {
            LabelSet::empty()
        } else {
            parse_metric(labels).map_err(|e| e.to_string())?
        };
        if histogram.is_empty() {
            return Ok(Sample { labels, value, histogram: String::new() });
        }
        let series =
            parse_series_description(&format!("{{}} {histogram}")).map_err(|error| error.to_string())?;
        let points: u64 = series.items.iter().map(SequenceItem::points).sum();
        match &series.items[..] {
            [SequenceItem::Histograms(sequence)] if points == 1 => {
                Ok(Sample { labels, value, histogram: sequence.first.test_expression() })
            }
            [_] if points == 1 => Err(format!("expected histogram, got {histogram}")),
            _ => Err(format!("expected 1 value, got {points}")),
        }
    }

    fn equals(&self, other: &Sample, fuzzy: bool) -> bool {
        let (a, b) = (self.value, other.value);
        let close = a == b || fuzzy && (a.next_up() == b || a.next_down() == b);
        self.labels == other.labels && self.histogram == other.histogram && close
    }
}

fn show_samples(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let one = |sample: &Sample| match sample.histogram.as_str() {
        "" => format!("{} {}", sample.labels, format_e(sample.value).replace('e', "E")),
        histogram => format!("{} {histogram}", sample.labels),
    };
    samples.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Formats a series of the dump with its samples.
fn show_series(series: &RangeSeries) -> String {
    let floats = series.floats.iter().map(|(at, value)| format!("{} @[{at}]", format_f(*value)));
    let histograms = series.histograms.iter().map(|(at, histogram)| format!("{histogram} @[{at}]"));
    let lines: Vec<String> = floats.chain(histograms).collect();
    format!("{} =>\n{}", series.labels, lines.join("\n"))
}

/// A duration as Prometheus prints it.
fn show(duration: Duration) -> String {
    format_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}
