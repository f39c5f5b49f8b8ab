//! Backtests against the slow, obvious way: every group is evaluated at every slot by [`Group::evaluate`],
//! and its alerts are compared after each.
//!
//! `BACKTEST_RULES` sets how many random rules are replayed, `BACKTEST_SEED` the seed; a failure prints both.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::rules::{RuleFileOptions, parse_rules};
use ferula_model::labels::NameScheme;
use ferula_model::value::is_stale;
use ferula_model::{Alert, AlertSink, LabelSet, TimeRange, Timestamp, UnixNanos};
use ferula_promql::{Engine, EngineOptions};
use ferula_promql_syntax::generate::{Generator, Vocabulary};
use ferula_promql_syntax::{ParserOptions, ValueType};
use ferula_rules::backtest::{self, Change, GroupReport, Options, Recorder, RuleReport, readings};
use ferula_rules::{AlertState, EngineQuery, Group, GroupContext, Metrics, RuleSnapshot, check_template};
use ferula_runtime::SimClock;
use ferula_telemetry::Registry;
use ferula_telemetry::logging::{Format, Level};
use ferula_testkit::{MemStorage, query_data};

struct Nowhere;

impl AlertSink for Nowhere {
    fn send(&self, _: Vec<Alert>) {}
}

/// Groups over `data`; their results are written to `written`.
fn groups(text: &str, data: &MemStorage, written: &MemStorage) -> Vec<Group> {
    ferula_telemetry::logging::init(Level::Error, Format::Logfmt);
    let parser = ParserOptions::default();
    let options = RuleFileOptions {
        names: NameScheme::Utf8,
        ignore_unknown_fields: false,
        parser,
        check_template: &check_template,
    };
    let context = Arc::new(GroupContext {
        query: Arc::new(EngineQuery::new(Engine::new(EngineOptions::default()), Arc::new(data.clone()))),
        storage: Arc::new(written.clone()),
        alerts: Arc::new(Nowhere),
        metrics: Metrics::new(&Registry::new()),
        clock: Arc::new(SimClock::at(Timestamp::from_millis(0))),
        parser,
        external_labels: Arc::new(BTreeMap::from([("dc".to_owned(), "x".to_owned())])),
        external_url: "http://ferula:9090".into(),
        query_offset: Duration::ZERO,
        resend_delay: Duration::ZERO,
        concurrency: None,
    });
    let loaded = parse_rules(text, &options).unwrap_or_else(|errors| panic!("{errors:?} in\n{text}"));
    let minute = Duration::from_secs(60);
    let group = |group| Group::from_file(group, "f.yml", minute, true, context.clone()).unwrap();
    loaded.groups.iter().map(group).collect()
}

/// A change of an alert: when, rule, labels, what, value, annotations.
type Line = (UnixNanos, String, LabelSet, Change, String, Vec<(String, String)>);

fn shown(value: f64) -> String {
    // In Prometheus too, the last bits depend on the order of summation.
    format!("{value:.9e}")
}

fn lines(reports: &[GroupReport]) -> Vec<Line> {
    let rules = reports.iter().flat_map(|group| &group.rules);
    let mut all: Vec<Line> = rules
        .flat_map(|rule| rule.episodes.iter().map(move |episode| (rule, episode)))
        .flat_map(|(rule, episode)| episode.events.iter().map(move |event| (rule, episode, event)))
        .map(|(rule, episode, event)| {
            let (name, labels) = (rule.name.clone(), episode.labels.clone());
            (event.at, name, labels, event.change, shown(event.value), event.annotations.to_vec())
        })
        .collect();
    all.sort();
    all
}

/// The known properties of an alert: its state, value and annotations.
type AlertProperties = (AlertState, f64, Vec<(String, String)>);

/// The same by evaluating step by step; also returns the number of failed evaluations of each rule.
fn step_by_step(groups: &[Group], from: UnixNanos, to: UnixNanos) -> (Vec<Line>, BTreeMap<String, u64>) {
    let (mut lines, mut failures) = (Vec::new(), BTreeMap::new());
    for group in groups {
        let mut known: BTreeMap<(String, LabelSet), AlertProperties> = BTreeMap::new();
        let mut at = group.slot_before(from);
        while at < from {
            at = at.plus(group.interval());
        }
        while at <= to {
            group.evaluate(at);
            for rule in group.snapshot().rules {
                let RuleSnapshot::Alerting(rule) = rule else { continue };
                let limited = rule.last_error.starts_with("exceeded limit");
                *failures.entry(rule.name.clone()).or_default() += u64::from(!rule.last_error.is_empty());
                let now: BTreeMap<LabelSet, AlertProperties> = rule
                    .alerts
                    .into_iter()
                    .map(|alert| (alert.labels, (alert.state, alert.value, alert.annotations)))
                    .collect();
                let mut note = |labels: &LabelSet, change, value, annotations: &Vec<_>| {
                    let name = rule.name.clone();
                    lines.push((at, name, labels.clone(), change, shown(value), annotations.clone()));
                };
                for (labels, (state, value, annotations)) in &now {
                    let before = known.get(&(rule.name.clone(), labels.clone())).map(|before| before.0);
                    // An alert that was inactive for one evaluation counts as gone, so that a state never
                    // moves backwards between two looks.
                    match (before, state) {
                        (Some(AlertState::Pending) | None, AlertState::Firing) => {
                            note(labels, Change::Firing, *value, annotations);
                        }
                        (None, AlertState::Pending) => note(labels, Change::Pending, *value, annotations),
                        _ => {}
                    }
                }
                let gone = |key: &&(String, LabelSet)| key.0 == rule.name && !now.contains_key(&key.1);
                let gone: Vec<_> = known.keys().filter(gone).cloned().collect();
                for key in gone {
                    let (state, value, annotations) = known.remove(&key).unwrap();
                    let change = match state {
                        _ if limited => Change::Dropped,
                        AlertState::Firing => Change::Resolved,
                        _ => Change::Inactive,
                    };
                    note(&key.1, change, value, &annotations);
                }
                known.extend(now.into_iter().map(|(labels, alert)| ((rule.name.clone(), labels), alert)));
            }
            at = at.plus(group.interval());
        }
    }
    lines.sort();
    (lines, failures)
}

fn options<'a>(
    storage: &'a MemStorage,
    (from, to): (UnixNanos, UnixNanos),
    runs: &'a (dyn Fn(&str) -> bool + Sync),
) -> Options<'a> {
    Options {
        storage,
        engine: EngineOptions::default(),
        from,
        to,
        threads: 2,
        episodes_max: usize::MAX,
        runs,
        progress: &|_| {},
    }
}

fn seconds(seconds: i64) -> UnixNanos {
    UnixNanos::from_millis(seconds * 1000)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A group with one randomly generated rule.
fn random_group(index: u64, generator: &mut Generator<'_>) -> String {
    let mut pick = |of: &[&str]| of[(generator.random() % of.len() as u64) as usize].to_owned();
    let interval = pick(&["7s", "15s", "60s"]);
    let limit = pick(&["0", "0", "0", "2"]);
    let offset = pick(&["0s", "0s", "30s"]);
    let hold = pick(&["0s", "0s", "30s", "1m", "5m"]);
    let keep = pick(&["0s", "0s", "20s", "2m"]);
    let label = pick(&[
        "page",
        "{{ $labels.job }}",
        "{{ $labels.job | toUpper }}-{{ $externalLabels.dc }}",
        "{{ if gt $value 50.0 }}high{{ else }}low{{ end }}",
        "{{ with query \"temperature > 20\" }}{{ . | first | label \"instance\" }}{{ end }}",
    ]);
    let drop = pick(&["", "", "", "        instance: \"\"\n"]);
    let comparison = pick(&["", " > 20", " <= 3", " == 1", " != 0"]);
    let expr = format!("{}{comparison}", generator.expr(ValueType::Vector, 3));
    let expr = serde_json::Value::String(expr);
    let label = serde_json::Value::String(label);
    format!(
        "- name: g{index}\n  interval: {interval}\n  limit: {limit}\n  query_offset: {offset}\n  rules:\n  - alert: A{index}\n    \
         expr: {expr}\n    for: {hold}\n    keep_firing_for: {keep}\n    labels:\n        severity: {label}\n{drop}    \
         annotations:\n      text: '{{{{ $labels.instance }}}}: {{{{ $value | humanize }}}}'\n"
    )
}

#[test]
fn a_backtest_returns_what_evaluating_step_by_step_returns() {
    let (rules, seed) = (setting("BACKTEST_RULES", 60), setting("BACKTEST_SEED", 1));
    let data = query_data::store(seed);
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let vocabulary = Vocabulary {
        metrics: texts(&query_data::METRICS),
        labels: query_data::LABELS.iter().map(|(name, values)| ((*name).to_owned(), texts(values))).collect(),
        durations: texts(&["15s", "1m", "5m", "20m"]),
        options: ParserOptions::default(),
        ..Vocabulary::default()
    };
    let mut generator = Generator::new(&vocabulary, seed);
    let from = UnixNanos::from_millis(query_data::START_MS + 60_000);
    let period = (from, from.plus(Duration::from_millis(query_data::LENGTH_MS as u64)));
    let (mut changes, mut failed, mut by_slices) = (0, 0, 0);
    for index in 0..rules {
        let text = format!("groups:\n{}", random_group(index, &mut generator));
        let found =
            backtest::run(&groups(&text, &data, &MemStorage::new()), &options(&data, period, &|_| true));
        let (expected, failures) =
            step_by_step(&groups(&text, &data, &MemStorage::new()), period.0, period.1);
        let found_lines = lines(&found);
        let report: &RuleReport = &found[0].rules[0];
        if let Some((at, (a, b))) = expected.iter().zip(&found_lines).enumerate().find(|(_, (a, b))| a != b) {
            panic!("rule {index} of seed {seed}:\n{text}\nchange {at}: expected\n{a:?}\nfound\n{b:?}");
        }
        assert_eq!(expected.len(), found_lines.len(), "rule {index} of seed {seed}:\n{text}");
        let failed_here = report.failures.as_ref().map_or(0, |failures| failures.count);
        assert_eq!(failures.values().sum::<u64>(), failed_here, "rule {index} of seed {seed}:\n{text}");
        changes += expected.len();
        failed += usize::from(failed_here > 0);
        by_slices += usize::from(report.by_instants.is_none());
    }
    eprintln!("{rules} rules, {changes} changes, {failed} with failures, {by_slices} in slices");
    assert!(changes as u64 > 4 * rules && by_slices as u64 * 10 > rules * 7, "the rules say too little");
}

/// A gauge with the given values, one every 15 seconds from 1,000 s on.
fn gauge(values: &[f64]) -> MemStorage {
    let data = MemStorage::new();
    let samples: Vec<(i64, f64)> = values
        .iter()
        .enumerate()
        .map(|(index, value)| ((1_000 + 15 * index as i64) * 1000, *value))
        .collect();
    data.put(&[("__name__", "m"), ("job", "a")], &samples);
    data
}

#[test]
fn episodes_beyond_the_bound_are_counted_only() {
    let values: Vec<f64> = (0..200).map(|index| f64::from(index % 2)).collect();
    let data = gauge(&values);
    let text = "groups: [{name: g, interval: 15s, rules: [{alert: A, expr: m > 0}]}]";
    let period = (seconds(1_000), seconds(3_990));
    let all = |_: &str| true;
    let few = Options { episodes_max: 3, ..options(&data, period, &all) };
    let reports = backtest::run(&groups(text, &data, &MemStorage::new()), &few);
    let rule = &reports[0].rules[0];
    assert_eq!((rule.episodes.len(), rule.episodes_count, rule.fired_count), (3, 99, 99));
    assert_eq!(rule.evaluations, 199);
    // Every episode lasts from one slot to the next.
    assert_eq!(rule.firing, Duration::from_secs(99 * 15));
}

#[test]
fn only_selected_alerts_run_and_the_progress_counts_only_them() {
    let data = gauge(&[1.0; 20]);
    let text = "groups: [{name: g, interval: 15s, rules: [{alert: A, expr: m > 0}, {record: r, expr: m}, \
                {alert: B, expr: m > 0, for: 1m}]}, {name: h, rules: [{alert: C, expr: m}]}]";
    let heard = Mutex::new(Vec::new());
    let progress = |now: backtest::Progress| heard.lock().unwrap().push((now.done, now.rules_done));
    let runs = |name: &str| name == "B";
    let one = Options { progress: &progress, ..options(&data, (seconds(1_000), seconds(1_300)), &runs) };
    let reports = backtest::run(&groups(text, &data, &MemStorage::new()), &one);
    assert_eq!(reports.len(), 1);
    let rule = &reports[0].rules[0];
    assert_eq!((reports[0].rules.len(), rule.name.as_str()), (1, "B"));
    let changes: Vec<Change> = rule.episodes[0].events.iter().map(|event| event.change).collect();
    assert_eq!(changes, [Change::Pending, Change::Firing]);
    let held = rule.episodes[0].moment_of(Change::Firing).unwrap();
    assert_eq!(held.since(rule.episodes[0].moment_of(Change::Pending).unwrap()), 60_000_000_000);
    assert_eq!(heard.lock().unwrap().last(), Some(&(rule.evaluations, 1)));
}

#[test]
fn a_recorded_series_that_history_lacks_is_named_and_can_be_evaluated() {
    let data = gauge(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, f64::NAN]);
    let text = "groups: [{name: g, interval: 15s, rules: [\
                {record: 'a:m', expr: 'm * 2 < 9'}, {record: 'b:m', expr: 'max_over_time(a:m[30s])'}, \
                {record: 'unused', expr: m}, {alert: A, expr: 'b:m > 3'}, {alert: B, expr: 'm > 3 and ALERTS'}]}]";
    let groups = groups(text, &data, &MemStorage::new());
    let period = (seconds(1_000), seconds(1_200));
    let all = |_: &str| true;
    let found = readings(&groups, &options(&data, period, &all)).unwrap();
    let short: Vec<(&str, bool, usize, usize)> = found
        .iter()
        .map(|reading| (reading.name.as_str(), reading.stored, reading.level, reading.rules.len()))
        .collect();
    assert_eq!(short, [("ALERTS", false, 0, 0), ("a:m", false, 0, 1), ("b:m", false, 1, 1)]);
    assert_eq!(found[2].alerts.iter().collect::<Vec<_>>(), ["A"]);
    // Two lookbacks and a window for the recorded series, a lookback for the alert.
    assert_eq!(found[0].reach_ms, 3 * 300_000 + 30_000);

    let mut given = Vec::new();
    let range = TimeRange::from_millis(1_000_000, 1_100_000);
    let mut give = |labels: &LabelSet, at: Timestamp, value: f64| {
        assert_eq!(labels.to_string(), "{__name__=\"a:m\", job=\"a\"}");
        given.push((at.millis() / 1000, (!is_stale(value)).then_some(value)));
        Ok::<_, Infallible>(())
    };
    let failed = Recorder::new(&groups, (0, 0)).record(range, &options(&data, period, &all), &mut give);
    assert_eq!(failed, Ok(None));
    let values: Vec<Option<f64>> = given.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, [Some(2.0), Some(4.0), Some(6.0), Some(8.0), None], "the end is marked once");
    assert!(given.windows(2).all(|pair| pair[1].0 - pair[0].0 == 15));
}

#[test]
fn recorded_series_that_are_evaluated_first_raise_the_alerts_that_the_manager_raises() {
    let values: Vec<f64> = (0..240).map(|index| f64::from((index * 7) % 23)).collect();
    let text = "groups: [{name: g, interval: 15s, rules: [\
                {record: 'a:m', expr: 'm * 2 < 30', labels: {team: x}}, {record: 'b:m', expr: 'max_over_time(a:m[30s])'}, \
                {alert: A, expr: 'b:m > 12', for: 15s, annotations: {v: '{{ $value }}'}}, \
                {alert: B, expr: 'absent(a:m)'}]}]";
    // Starts after the first sample and ends before the last, so that both see the same recorded samples.
    let (period, all) = ((seconds(1_000), seconds(4_500)), |_: &str| true);
    let slow = gauge(&values);
    let (expected, _) = step_by_step(&groups(text, &slow, &slow), period.0, period.1);

    let fast = gauge(&values);
    for rule in 0..2 {
        let groups = groups(text, &fast, &MemStorage::new());
        let options = options(&fast, period, &all);
        let found = readings(&groups, &options).unwrap();
        let due = found.iter().filter(|reading| reading.level == 0 && !reading.stored);
        let places: Vec<(usize, usize)> = due.flat_map(|reading| reading.rules.clone()).collect();
        assert_eq!(places, [(0, rule)], "each is due when the one before is stored");
        let mut samples: BTreeMap<LabelSet, Vec<(i64, f64)>> = BTreeMap::new();
        // In two ranges, as for two blocks.
        let mut recorder = Recorder::new(&groups, places[0]);
        for range in [(1_000_000, 2_000_000), (2_000_001, 4_500_000)] {
            let mut give = |labels: &LabelSet, at: Timestamp, value: f64| {
                samples.entry(labels.clone()).or_default().push((at.millis(), value));
                Ok::<_, Infallible>(())
            };
            recorder.record(TimeRange::from_millis(range.0, range.1), &options, &mut give).unwrap();
        }
        for (labels, samples) in samples {
            fast.put(&labels.iter().collect::<Vec<_>>(), &samples);
        }
    }
    let found =
        lines(&backtest::run(&groups(text, &fast, &MemStorage::new()), &options(&fast, period, &all)));
    assert_eq!(found, expected);
    assert!(found.len() > 20, "only {} changes", found.len());
}
