//! Groups of rules over a store in memory, driven moment by moment.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::rules::{LoadedRules, RuleFileOptions, parse_rules};
use ferula_model::labels::NameScheme;
use ferula_model::value::is_stale;
use ferula_model::{Alert, AlertSink, LabelSet, Matcher, TimeRange, Timestamp, UnixNanos};
use ferula_promql::{Engine, EngineOptions, QueryValue};
use ferula_promql_syntax::ParserOptions;
use ferula_rules::{
    AlertState, AlertingSnapshot, EngineQuery, Group, GroupContext, GroupSnapshot, Health, Manager,
    ManagerOptions, Metrics, RestoreOptions, RuleError, RuleOrigin, RuleQuery, RuleSet, RuleSnapshot,
    check_template,
};
use ferula_runtime::{Clock, Shutdown, SimClock};
use ferula_storage::{Appendable, Durability, Hints, Queryable, SampleBatch, SeriesSamples};
use ferula_telemetry::Registry;
use ferula_telemetry::logging::{Format, Level};
use ferula_testkit::MemStorage;

/// Keeps the alerts that were sent.
#[derive(Default)]
struct SentAlerts(Mutex<Vec<Alert>>);

impl AlertSink for SentAlerts {
    fn send(&self, alerts: Vec<Alert>) {
        self.0.lock().unwrap().extend(alerts);
    }
}

struct World {
    storage: MemStorage,
    sent: Arc<SentAlerts>,
    registry: Registry,
    clock: SimClock,
    context: Arc<GroupContext>,
}

impl World {
    fn new() -> Self {
        Self::with_concurrency(None)
    }

    fn with_concurrency(extra: Option<usize>) -> Self {
        ferula_telemetry::logging::init(Level::Error, Format::Logfmt);
        let (storage, sent, registry) = (MemStorage::new(), Arc::<SentAlerts>::default(), Registry::new());
        let clock = SimClock::at(Timestamp::from_millis(0));
        let engine = Engine::new(EngineOptions::default());
        let context = Arc::new(GroupContext {
            query: Arc::new(EngineQuery::new(engine, Arc::new(storage.clone()))),
            storage: Arc::new(storage.clone()),
            alerts: sent.clone(),
            metrics: Metrics::new(&registry),
            clock: Arc::new(clock.clone()),
            parser: ParserOptions::default(),
            external_labels: Arc::new(BTreeMap::from([("dc".to_owned(), "x".to_owned())])),
            external_url: "http://ferula:9090".into(),
            query_offset: Duration::ZERO,
            resend_delay: Duration::from_secs(60),
            concurrency: extra.map(|extra| Arc::new(extra.into())),
        });
        World { storage, sent, registry, clock, context }
    }

    fn loaded(text: &str) -> LoadedRules {
        let options = RuleFileOptions {
            names: NameScheme::Utf8,
            ignore_unknown_fields: false,
            parser: ParserOptions::default(),
            check_template: &check_template,
        };
        parse_rules(text, &options).unwrap()
    }

    /// The first group of a file; `restored` as in [`Group::from_file`].
    fn group(&self, text: &str, restored: bool) -> Group {
        let loaded = Self::loaded(text);
        let minute = Duration::from_secs(60);
        Group::from_file(&loaded.groups[0], "f.yml", minute, restored, self.context.clone()).unwrap()
    }

    /// Writes one sample; `value` NaN-safe.
    fn put(&self, labels: &[(&str, &str)], seconds: i64, value: f64) {
        let mut appender = self.storage.appender();
        let series = appender.resolve(&LabelSet::from_pairs(labels.iter().copied())).unwrap();
        let mut batch = SampleBatch::default();
        batch.push_float(series, Timestamp::from_millis(seconds * 1000), value);
        assert!(appender.append(&mut batch).refused.is_empty());
        appender.commit(Durability::Written).unwrap();
    }

    /// All samples of the series with this name: labels without the name, seconds, value (`None` for a
    /// staleness marker).
    fn series(&self, name: &str) -> Vec<(String, Vec<(i64, Option<f64>)>)> {
        let mut snapshot = self.storage.snapshot(TimeRange::ALL).unwrap();
        let selection = snapshot.select(&[Matcher::equal("__name__", name)], &Hints::default()).unwrap();
        snapshot.freeze().unwrap();
        let mut all = Vec::new();
        let mut take = |row: usize, samples: &SeriesSamples| {
            let labels = snapshot.labels(selection, row).without("__name__").to_string();
            let value = |v: f64| (!is_stale(v)).then_some(v);
            let points = samples.floats.timestamps.iter().zip(&samples.floats.values);
            all.push((labels, points.map(|(t, v)| (t / 1000, value(*v))).collect()));
            ControlFlow::Continue(())
        };
        snapshot.read(selection, 0..snapshot.series_count(selection), TimeRange::ALL, &mut take).unwrap();
        all.sort_by(|a: &(String, Vec<_>), b| a.0.cmp(&b.0));
        all
    }

    fn take_sent(&self) -> Vec<Alert> {
        std::mem::take(&mut *self.sent.0.lock().unwrap())
    }

    fn counter(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let value = |metric: &ferula_model::Metric| match metric.value {
            ferula_model::MetricValue::Single(value) => value,
            _ => panic!("{name} is neither counter nor gauge"),
        };
        family.metrics.iter().map(value).sum()
    }
}

fn at(seconds: i64) -> UnixNanos {
    UnixNanos::from_millis(seconds * 1000)
}

fn alerting(group: &Group) -> AlertingSnapshot {
    match group.snapshot().rules.remove(0) {
        RuleSnapshot::Alerting(rule) => rule,
        RuleSnapshot::Recording(rule) => panic!("{} records", rule.name),
    }
}

#[test]
fn recorded_series_see_each_other_end_when_gone_and_keep_their_labels() {
    let world = World::new();
    let group = world.group(
        "groups: [{name: g, labels: {team: a, x: group}, rules: [
           {record: 'job:x', expr: 'x', labels: {x: rule, drop: ''}},
           {record: 'twice', expr: 'job:x * 2'}]}]",
        true,
    );
    world.put(&[("__name__", "x"), ("job", "a"), ("drop", "me")], 0, 1.0);
    group.evaluate(at(1));
    world.put(&[("__name__", "x"), ("job", "a"), ("drop", "me")], 60, f64::from_bits(0x7ff0_0000_0000_0002));
    group.evaluate(at(61));
    assert_eq!(
        world.series("job:x"),
        [(r#"{job="a", team="a", x="rule"}"#.to_owned(), vec![(1, Some(1.0)), (61, None)])]
    );
    assert_eq!(world.series("twice")[0].1, [(1, Some(2.0)), (61, None)]);
    assert_eq!(world.counter("prometheus_rule_evaluations_total"), 4.0);
}

#[test]
fn query_offset_moves_the_query_and_its_result() {
    let world = World::new();
    let group = world.group("groups: [{name: g, query_offset: 30s, rules: [{record: y, expr: x}]}]", true);
    world.put(&[("__name__", "x")], 10, 1.0);
    world.put(&[("__name__", "x")], 50, 2.0);
    group.evaluate(at(60));
    assert_eq!(world.series("y")[0].1, [(30, Some(1.0))]);
}

#[test]
fn same_labels_and_limits_fail_the_rule_and_leave_its_series() {
    let world = World::new();
    let group = world.group(
        "groups: [{name: g, limit: 1, rules: [
           {record: same, expr: x, labels: {i: ''}},
           {record: many, expr: x}]}]",
        true,
    );
    world.put(&[("__name__", "x"), ("i", "1")], 0, 1.0);
    group.evaluate(at(1));
    world.put(&[("__name__", "x"), ("i", "2")], 2, 1.0);
    group.evaluate(at(3));
    let errors: Vec<(Health, String)> = group
        .snapshot()
        .rules
        .into_iter()
        .map(|rule| match rule {
            RuleSnapshot::Recording(rule) => (rule.health, rule.last_error),
            RuleSnapshot::Alerting(_) => panic!(),
        })
        .collect();
    let same = "vector contains metrics with the same labelset after applying rule labels";
    assert_eq!(
        errors,
        [(Health::Bad, same.to_owned()), (Health::Bad, "exceeded limit of 1 with 2 series".to_owned())]
    );
    assert_eq!(world.series("many")[0].1, [(1, Some(1.0))], "a failed rule ends nothing");
    assert_eq!(world.counter("prometheus_rule_evaluation_failures_total"), 2.0);
}

const DOWN: &str = "groups: [{name: g, interval: 1m, rules: [{alert: Down, expr: 'up == 0', for: 2m,
    labels: {severity: page, who: '{{ $labels.instance }}'},
    annotations: {text: '{{ $labels.instance }} is {{ $value }} in {{ $externalLabels.dc }}', bad: '{{ template \"x\" }}'}}]}]";

fn up(world: &World, seconds: i64, value: f64) {
    world.put(&[("__name__", "up"), ("instance", "i")], seconds, value);
}

#[test]
fn an_alert_is_pending_then_fires_is_sent_resolves_and_is_forgotten() {
    let world = World::new();
    let group = world.group(DOWN, true);
    up(&world, 0, 0.0);
    group.evaluate(at(0));
    assert_eq!(alerting(&group).state, AlertState::Pending);
    assert!(world.take_sent().is_empty(), "pending alerts are not sent");
    for minute in 1..=3 {
        up(&world, minute * 60, 0.0);
        group.evaluate(at(minute * 60));
    }
    let shown = alerting(&group);
    assert_eq!((shown.state, shown.alerts[0].active_at), (AlertState::Firing, at(0)));
    let sent = world.take_sent();
    assert_eq!(sent.len(), 1, "sent at 120 s; at 180 s the resend delay is not over");
    assert_eq!(sent[0].labels.to_string(), r#"{alertname="Down", instance="i", severity="page", who="i"}"#);
    assert_eq!((sent[0].starts_at, sent[0].ends_at), (Some(at(120)), Some(at(120 + 240))));
    assert_eq!(&*sent[0].generator_url, "http://ferula:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    assert_eq!(sent[0].annotations[1], ("text".to_owned(), "i is 0 in x".to_owned()));
    assert!(
        sent[0].annotations[0]
            .1
            .starts_with("<error expanding template: error executing template __alert_Down:")
    );
    for minute in 4..=5 {
        up(&world, minute * 60, 1.0);
        group.evaluate(at(minute * 60));
    }
    let sent = world.take_sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].starts_at, sent[0].ends_at), (Some(at(120)), Some(at(240))), "resolved when it went");
    assert_eq!(alerting(&group).state, AlertState::Inactive);
    for minute in 6..=30 {
        up(&world, minute * 60, 1.0);
        group.evaluate(at(minute * 60));
    }
    let resent = world.take_sent();
    assert!(resent.iter().all(|alert| alert.ends_at == Some(at(240))));
    assert_eq!(resent.len(), 7, "every second minute for 15 minutes");
    let pending = r#"{alertname="Down", alertstate="pending", instance="i", severity="page", who="i"}"#;
    let firing = pending.replace("pending", "firing");
    assert_eq!(
        world.series("ALERTS"),
        [
            (firing, vec![(120, Some(1.0)), (180, Some(1.0)), (240, None)]),
            (pending.to_owned(), vec![(0, Some(1.0)), (60, Some(1.0)), (120, None)]),
        ]
    );
    let state = vec![(0, Some(0.0)), (60, Some(0.0)), (120, Some(0.0)), (180, Some(0.0)), (240, None)];
    assert_eq!(world.series("ALERTS_FOR_STATE")[0].1, state);
}

#[test]
fn keep_firing_for_counts_from_the_first_moment_without() {
    let world = World::new();
    let text = "groups: [{name: g, rules: [{alert: A, expr: 'up == 0', keep_firing_for: 2m}]}]";
    let group = world.group(text, true);
    let states: Vec<AlertState> = [0.0, 1.0, 1.0, 1.0, 0.0]
        .iter()
        .enumerate()
        .map(|(minute, value)| {
            let seconds = minute as i64 * 60;
            up(&world, seconds, *value);
            group.evaluate(at(seconds));
            alerting(&group).state
        })
        .collect();
    use AlertState::{Firing, Inactive};
    assert_eq!(states, [Firing, Firing, Firing, Inactive, Firing]);
}

#[test]
fn for_state_survives_a_restart() {
    let text = DOWN.replace("for: 2m", "for: 20m");
    // Down since 0, server stopped at 600 s and back at `back`: (now, active since).
    for (back, active_at) in [
        // 10 of 20 minutes had passed, 10 remain: the downtime does not count.
        (1200, 600),
        // The outage exceeds the tolerance: `for` starts over.
        (600 + 7200, 600 + 7200 - 60),
    ] {
        let world = World::new();
        let before = world.group(&text, true);
        for minute in 0..=10 {
            up(&world, minute * 60, 0.0);
            before.evaluate(at(minute * 60));
        }
        let after = world.group(&text, false);
        let written = world.series("ALERTS_FOR_STATE");
        for seconds in [back - 60, back] {
            up(&world, seconds, 0.0);
            after.evaluate(at(seconds));
        }
        assert_eq!(world.series("ALERTS_FOR_STATE"), written, "nothing is written before the restoration");
        after.restore(at(back), &RestoreOptions::default());
        assert_eq!(alerting(&after).alerts[0].active_at, at(active_at), "back at {back}");
        up(&world, back + 60, 0.0);
        after.evaluate(at(back + 60));
        assert_ne!(world.series("ALERTS_FOR_STATE"), written);
    }
}

#[test]
fn an_alert_with_little_left_waits_for_the_grace_period_and_one_that_fired_fires() {
    for (minutes, expected) in [(15, 1200 + 600 - 1200), (25, 0)] {
        let world = World::new();
        let text = DOWN.replace("for: 2m", "for: 20m");
        let before = world.group(&text, true);
        let end = minutes * 60;
        for seconds in (0..=end).step_by(60) {
            up(&world, seconds, 0.0);
            before.evaluate(at(seconds));
        }
        let after = world.group(&text, false);
        let now = if minutes == 15 { 1200 } else { end + 300 };
        up(&world, now, 0.0);
        after.evaluate(at(now));
        after.restore(at(now), &RestoreOptions::default());
        assert_eq!(alerting(&after).alerts[0].active_at, at(expected));
    }
}

#[test]
fn rules_of_one_batch_run_together_with_the_same_results() {
    let text = "groups: [{name: g, rules: [
        {record: a, expr: x}, {record: b, expr: 'x + 1'}, {record: c, expr: 'a + b'}, {record: d, expr: 'c * 2'}]}]";
    let results = [None, Some(0), Some(3)].map(|extra| {
        let world = World::with_concurrency(extra);
        let group = world.group(text, true);
        world.put(&[("__name__", "x"), ("i", "1")], 0, 5.0);
        group.evaluate(at(1));
        ["a", "b", "c", "d"].map(|name| world.series(name)[0].1.clone())
    });
    assert_eq!(results[0][3], [(1, Some(22.0))]);
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn slots_are_those_of_prometheus() {
    let world = World::new();
    let loaded = World::loaded("groups: [{name: test, rules: []}]");
    let group =
        Group::from_file(&loaded.groups[0], "f.yml", Duration::from_secs(60), true, world.context.clone())
            .unwrap();
    let now = at(1_700_000_000);
    let slot = group.slot_before(now);
    assert!(slot <= now && now.since(slot) < 60_000_000_000);
    assert_eq!(group.slot_before(slot), slot);
    assert_eq!(group.slot_before(slot.plus(Duration::from_secs(60))), slot.plus(Duration::from_secs(60)));
}

/// Lets the manager's tasks run until `done`, advancing the clock from sleeper to sleeper.
async fn turn_until(clock: &SimClock, mut done: impl FnMut() -> bool) {
    while !done() {
        clock.advance_to_next();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn files(texts: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn set(world: &World, dir: &tempfile::TempDir) -> RuleSet {
    let files = ferula_config::glob(&format!("{}/*.yml", dir.path().display()));
    RuleSet {
        files,
        interval: Duration::from_secs(60),
        names: NameScheme::Utf8,
        context: world.context.clone(),
    }
}

fn evaluated(groups: &[GroupSnapshot]) -> bool {
    !groups.is_empty() && groups.iter().all(|group| group.last_evaluation.is_some())
}

#[tokio::test]
async fn a_reload_keeps_state_refuses_bad_files_and_ends_what_is_gone() {
    let world = World::new();
    let now = world.clock.now().millis() / 1000;
    for seconds in (now..now + 7200).step_by(60) {
        up(&world, seconds, 0.0);
    }
    let manager = Manager::new(ManagerOptions::default(), Shutdown::new());
    let kept = "groups: [{name: kept, rules: [{alert: A, expr: 'up == 0', for: 1h}]}]";
    let gone = "groups: [{name: gone, rules: [{record: gone, expr: up}]}]";
    let dir = files(&[("kept.yml", kept), ("gone.yml", gone)]);
    manager.update(&set(&world, &dir)).await.unwrap();
    assert!(!evaluated(&manager.snapshot()));
    manager.start();
    turn_until(&world.clock, || evaluated(&manager.snapshot())).await;
    let since = |manager: &Manager| {
        let groups = manager.snapshot();
        let group = groups.iter().find(|group| group.name == "kept").unwrap();
        match &group.rules[0] {
            RuleSnapshot::Alerting(rule) => rule.alerts[0].active_at,
            RuleSnapshot::Recording(_) => panic!(),
        }
    };
    let active_at = since(&manager);
    // The clock is at the slot of an evaluation; a series cannot end at the timestamp of its last sample.
    world.clock.advance(Duration::from_secs(1));

    std::fs::write(dir.path().join("bad.yml"), "groups: [{name: b, rules: [{record: x, expr: 'rate(x)'}]}]")
        .unwrap();
    let error = manager.update(&set(&world, &dir)).await.unwrap_err();
    assert!(error.to_string().starts_with("error loading rules, previous rule set restored: "));
    assert!(
        error.errors[0].contains("bad.yml: 1:") && error.errors[0].contains("group \"b\", rule 1, \"x\""),
        "{error:?}"
    );
    assert_eq!(manager.snapshot().len(), 2, "the old groups stay");

    std::fs::remove_file(dir.path().join("bad.yml")).unwrap();
    std::fs::remove_file(dir.path().join("gone.yml")).unwrap();
    std::fs::write(dir.path().join("kept.yml"), kept.replace("for: 1h", "for: 90m")).unwrap();
    manager.update(&set(&world, &dir)).await.unwrap();
    assert_eq!(since(&manager), active_at, "an alert of a changed rule keeps its time");
    let ended = || world.series("gone").first().is_some_and(|(_, points)| points.last().unwrap().1.is_none());
    turn_until(&world.clock, ended).await;
    manager.stop().await;
    assert!(manager.snapshot().is_empty());
}

#[test]
fn a_short_for_that_was_over_before_a_restart_is_over_after_it() {
    // Down for 5 minutes of 2, or for 1 minute of 2, before the server was away for 3 minutes.
    for (served, expected) in [(300, 0), (60, 240)] {
        let world = World::new();
        let before = world.group(DOWN, true);
        for seconds in (0..=served).step_by(60) {
            up(&world, seconds, 0.0);
            before.evaluate(at(seconds));
        }
        let after = world.group(DOWN, false);
        let back = served + 180;
        up(&world, back, 0.0);
        after.evaluate(at(back));
        after.restore(at(back), &RestoreOptions::default());
        assert_eq!(alerting(&after).alerts[0].active_at, at(expected), "{served} s served");
    }
}

#[tokio::test]
async fn alerts_move_with_their_rule_and_end_with_it() {
    let world = World::new();
    let now = world.clock.now().millis() / 1000;
    for seconds in (now..now + 7200).step_by(60) {
        up(&world, seconds, 0.0);
    }
    let rule = |group: &str, alert: &str| {
        format!("groups: [{{name: {group}, rules: [{{alert: {alert}, expr: 'up == 0'}}]}}]")
    };
    let manager = Manager::new(ManagerOptions::default(), Shutdown::new());
    let dir = files(&[("a.yml", &rule("g", "Moves")), ("b.yml", &rule("h", "Goes"))]);
    manager.update(&set(&world, &dir)).await.unwrap();
    manager.start();
    let firing = |name: &str| {
        let rules = manager.snapshot().into_iter().flat_map(|group| group.rules);
        let alerts = rules.filter_map(|rule| match rule {
            RuleSnapshot::Alerting(rule) if rule.name == name => rule.alerts.into_iter().next(),
            _ => None,
        });
        alerts.map(|alert| (alert.state, alert.active_at)).next()
    };
    turn_until(&world.clock, || firing("Moves").is_some() && firing("Goes").is_some()).await;
    // The clock is at the slot of an evaluation; reloads happen between slots.
    world.clock.advance(Duration::from_secs(1));
    let before = firing("Moves");
    assert_eq!(before.map(|(state, _)| state), Some(AlertState::Firing));
    world.take_sent();

    // One rule moves to a group of another name and file, the other one is deleted.
    std::fs::remove_file(dir.path().join("a.yml")).unwrap();
    std::fs::remove_file(dir.path().join("b.yml")).unwrap();
    std::fs::write(dir.path().join("c.yml"), rule("other", "Moves")).unwrap();
    manager.update(&set(&world, &dir)).await.unwrap();
    assert_eq!(firing("Moves"), before);
    let sent = world.take_sent();
    let names: Vec<(&str, bool)> =
        sent.iter().map(|alert| (alert.labels.value("alertname"), alert.resolved)).collect();
    assert_eq!(names, [("Goes", true)], "resolved with the reload, and nothing else is");

    // At the end, firing alerts are sent once more, and are not resolved.
    manager.stop().await;
    let sent = world.take_sent();
    let names: Vec<(&str, bool)> =
        sent.iter().map(|alert| (alert.labels.value("alertname"), alert.resolved)).collect();
    assert_eq!(names, [("Moves", false)]);
}

#[tokio::test]
async fn slots_that_pass_unseen_are_counted() {
    let world = World::new();
    let manager = Manager::new(ManagerOptions::default(), Shutdown::new());
    let dir = files(&[("a.yml", "groups: [{name: a, rules: [{record: one, expr: vector(1)}]}]")]);
    manager.update(&set(&world, &dir)).await.unwrap();
    manager.start();
    turn_until(&world.clock, || evaluated(&manager.snapshot())).await;
    while world.clock.sleepers() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The manager does not run for ten minutes.
    world.clock.advance(Duration::from_secs(600));
    turn_until(&world.clock, || world.counter("prometheus_rule_group_iterations_missed_total") > 0.0).await;
    assert_eq!(world.counter("prometheus_rule_group_iterations_missed_total"), 9.0);
    manager.stop().await;
}

/// Holds every query until its group is released, and counts them.
#[derive(Default)]
struct HeldQueries {
    state: Mutex<BTreeMap<String, (usize, bool)>>,
    changed: std::sync::Condvar,
}

impl HeldQueries {
    fn let_go(&self, group: &str) {
        self.state.lock().unwrap().entry(group.to_owned()).or_default().1 = true;
        self.changed.notify_all();
    }

    /// Queries of a group so far.
    fn count(&self, group: &str) -> usize {
        self.state.lock().unwrap().get(group).map_or(0, |(count, _)| *count)
    }
}

impl RuleQuery for HeldQueries {
    fn value(
        &self,
        _: &ferula_promql_syntax::Expr,
        _: Timestamp,
        origin: &RuleOrigin<'_>,
    ) -> Result<QueryValue, RuleError> {
        let mut state = self.state.lock().unwrap();
        state.entry(origin.group.to_owned()).or_default().0 += 1;
        while !state[origin.group].1 {
            state = self.changed.wait(state).unwrap();
        }
        Ok(QueryValue::Vector(Vec::new()))
    }
}

/// A world whose queries are held, and its manager with these groups of two rules each.
async fn held_groups(names: &[String]) -> (World, Arc<HeldQueries>, Arc<Manager>, tempfile::TempDir) {
    let (mut world, held) = (World::new(), Arc::<HeldQueries>::default());
    world.context = Arc::new(GroupContext { query: held.clone(), ..GroupContext::clone(&world.context) });
    let rules = "[{record: one, expr: up}, {record: two, expr: up}]";
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("{name}.yml"), format!("groups: [{{name: {name}, rules: {rules}}}]")))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let dir = self::files(&files);
    let manager = Arc::new(Manager::new(ManagerOptions::default(), Shutdown::new()));
    manager.update(&set(&world, &dir)).await.unwrap();
    manager.start();
    (world, held, manager, dir)
}

#[tokio::test]
async fn a_reload_asks_all_groups_to_stop_before_it_waits_for_one() {
    let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let (world, held, manager, dir) = held_groups(&names).await;
    turn_until(&world.clock, || names.iter().all(|name| held.count(name) == 1)).await;
    // One group changes, the others are removed.
    let text = std::fs::read_to_string(dir.path().join("a.yml")).unwrap().replace("one", "other");
    std::fs::write(dir.path().join("a.yml"), text).unwrap();
    names[1..].iter().for_each(|name| std::fs::remove_file(dir.path().join(format!("{name}.yml"))).unwrap());
    let reload = tokio::spawn({
        let (manager, set) = (manager.clone(), set(&world, &dir));
        async move { manager.update(&set).await }
    });
    while !manager.snapshot().is_empty() {
        tokio::task::yield_now().await;
    }
    // The last group to be awaited must not begin its second rule.
    held.let_go("c");
    let ended = || world.counter("prometheus_rule_group_last_evaluation_timestamp_seconds") > 0.0;
    while held.count("c") < 2 && !ended() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(held.count("c"), 1);
    ["a", "b"].into_iter().for_each(|name| held.let_go(name));
    reload.await.unwrap().unwrap();
    assert_eq!(manager.snapshot().len(), 1);
    manager.stop().await;
}

#[tokio::test]
async fn groups_take_turns_and_one_that_waits_for_its_turn_can_go() {
    let names: Vec<String> = (0..70).map(|n| format!("g{n:02}")).collect();
    let (world, held, manager, dir) = held_groups(&names).await;
    let begun = || names.iter().filter(|name| held.count(name) > 0).count();
    turn_until(&world.clock, || begun() == 64).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun(), 64, "the others wait: threads are needed for queries too");
    // A reload removes waiting groups; the running ones do not delay it.
    let waiting: Vec<&String> = names.iter().filter(|name| held.count(name) == 0).collect();
    waiting.iter().for_each(|name| std::fs::remove_file(dir.path().join(format!("{name}.yml"))).unwrap());
    let set = set(&world, &dir);
    let reload = manager.update(&set);
    let reloaded = tokio::time::timeout(Duration::from_secs(60), reload).await;
    names.iter().for_each(|name| held.let_go(name));
    reloaded.expect("it does not wait for the groups that run").unwrap();
    assert_eq!(manager.snapshot().len(), 64);
    manager.stop().await;
}

#[tokio::test]
async fn alerts_of_a_rule_that_another_group_has_as_well_are_not_resolved() {
    let world = World::new();
    let now = world.clock.now().millis() / 1000;
    for seconds in (now..now + 7200).step_by(60) {
        up(&world, seconds, 0.0);
    }
    let group = |name: &str| format!("groups: [{{name: {name}, rules: [{{alert: A, expr: 'up == 0'}}]}}]");
    let manager = Manager::new(ManagerOptions::default(), Shutdown::new());
    let dir = files(&[("a.yml", &group("g")), ("b.yml", &group("h"))]);
    manager.update(&set(&world, &dir)).await.unwrap();
    manager.start();
    turn_until(&world.clock, || evaluated(&manager.snapshot())).await;
    world.clock.advance(Duration::from_secs(1));
    world.take_sent();
    std::fs::remove_file(dir.path().join("b.yml")).unwrap();
    manager.update(&set(&world, &dir)).await.unwrap();
    let resolved = world.take_sent().into_iter().filter(|alert| alert.resolved).count();
    assert_eq!(resolved, 0, "the Alertmanager cannot tell the two apart");
    manager.stop().await;
}
