//! Admission, time limits and records of queries, on a simulated clock.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use ferula_model::{LabelSet, Matcher, TimeRange, Timestamp};
use ferula_promql::{Grid, QueryOptions, QueryValue};
use ferula_promql_syntax::{ParserOptions, parse};
use ferula_runtime::clock::Sleep;
use ferula_runtime::{Clock, SimClock};
use ferula_storage::{Hints, RowSink, SelectionId, Snapshot, StorageError};
use ferula_testkit::MemStorage;

use super::*;
use crate::request::Origin;

struct World {
    service: Arc<QueryService>,
    clock: SimClock,
    registry: Registry,
    dir: tempfile::TempDir,
}

impl World {
    fn with_places(concurrency_max: usize) -> Self {
        let clock = SimClock::at(Timestamp::from_millis(1_000_000));
        Self::with(concurrency_max, clock.clone(), Arc::new(clock), Arc::new(MemStorage::new()))
    }

    /// `read` is the clock that the service reads.
    fn with(concurrency_max: usize, clock: SimClock, read: SharedClock, store: Arc<dyn Queryable>) -> Self {
        let (dir, registry) = (tempfile::tempdir().expect("a directory"), Registry::new());
        let service = QueryService::new(
            store,
            Engine::default(),
            ServiceOptions { concurrency_max, timeout: Duration::from_secs(60) },
            Some(ActiveFile::open(dir.path(), concurrency_max).expect("opens")),
            read,
            &registry,
        );
        World { service: Arc::new(service), clock, registry, dir }
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name).expect(name);
        match family.metrics[0].value {
            ferula_model::MetricValue::Single(value) => value,
            _ => panic!("{name} is not a single value"),
        }
    }

    fn active_file(&self) -> String {
        let bytes = std::fs::read(self.dir.path().join("queries.active")).expect("read");
        String::from_utf8(bytes.into_iter().filter(|byte| *byte != 0).collect()).expect("text")
    }

    fn turn_to(&self, sleepers: usize) -> impl Future<Output = ()> + use<> {
        let clock = self.clock.clone();
        async move {
            while clock.sleepers() < sleepers {
                tokio::task::yield_now().await;
            }
        }
    }
}

fn request(query: &str) -> QueryRequest {
    QueryRequest {
        query: query.to_owned(),
        time: EvaluationTime::Instant(Timestamp::from_millis(7_000)),
        options: QueryOptions::default(),
        timeout: None,
        origin: None,
    }
}

fn of_rule(query: &str) -> QueryRequest {
    let origin = Origin::RuleGroup { file: "r.yml".to_owned(), name: "g".to_owned() };
    QueryRequest { origin: Some(origin), ..request(query) }
}

#[tokio::test]
async fn a_query_waits_for_a_place_until_its_timeout() {
    let world = World::with_places(1);
    let (admitted, _guard) = world.service.admit(request("1")).await.expect("a place is free");
    let (service, clock) = (world.service.clone(), world.clock.clone());
    let waiting = tokio::spawn(async move { service.admit(request("2")).await.map(|_| ()) });
    world.turn_to(1).await;
    assert_eq!(world.metric("prometheus_engine_queries"), 2.0, "waiting counts");
    clock.advance(Duration::from_secs(60));
    assert_eq!(waiting.await.expect("no panic"), Err(AdmissionError::Timeout));
    drop(admitted);
    assert_eq!(world.metric("prometheus_engine_queries"), 0.0);
    let again = world.service.admit(request("3")).await;
    assert!(again.is_ok(), "the place was released");
}

#[tokio::test]
async fn a_query_is_stopped_at_its_timeout_or_when_its_guard_is_dropped() {
    let world = World::with_places(2);
    let (admitted, guard) = world.service.admit(request("1")).await.expect("a place is free");
    let (sender, release) = tokio::sync::oneshot::channel();
    let watched = tokio::spawn(guard.watch(async move {
        release.await.expect("sent");
        admitted.run().outcome.result
    }));
    world.turn_to(1).await;
    world.clock.advance(Duration::from_secs(60));
    // The stop is visible once the timer's task has run, that is, when no task is sleeping any more.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    sender.send(()).expect("awaited");
    let result = watched.await.expect("no panic");
    assert!(matches!(result, Err(QueryError::Timeout(_))), "{result:?}");

    let (admitted, guard) = world.service.admit(request("1")).await.expect("a place is free");
    drop(guard);
    let result = admitted.run().outcome.result;
    assert!(matches!(result, Err(QueryError::Canceled(_))), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_clients_share_places_file_metrics_and_log() {
    let world = World::with_places(1);
    let log = world.dir.path().join("query.log");
    world.service.set_log(&log.display().to_string()).expect("opens");
    let expr = parse("1 + 1", &ParserOptions::default()).expect("an expression");
    let (service, runtime) = (world.service.clone(), Handle::current());
    // While a client holds the only place, the rule waits.
    let (admitted, _guard) = world.service.admit(request("1")).await.expect("a place is free");
    let evaluation = tokio::task::spawn_blocking(move || service.evaluate(&runtime, of_rule("1 + 1"), &expr));
    world.turn_to(1).await;
    assert!(!evaluation.is_finished());
    drop(admitted);
    let completed = evaluation.await.expect("no panic").expect("admitted");
    assert!(matches!(completed.outcome.result, Ok(QueryValue::Scalar { value: 2.0, .. })));
    assert_eq!(world.active_file(), "[", "nothing runs");
    let text = std::fs::read_to_string(&log).expect("read");
    let line: serde_json::Value = serde_json::from_str(&text).expect("one line");
    assert_eq!(line["ruleGroup"], serde_json::json!({ "file": "r.yml", "name": "g" }));
    assert_eq!(line["params"]["query"], "1 + 1");
    assert_eq!(line["params"]["start"], "1970-01-01T00:00:07.000Z");
    assert_eq!(line["time"], "1970-01-01T00:16:40Z");
    assert_eq!(line.get("httpRequest"), None);
}

#[tokio::test]
async fn running_queries_are_listed_and_can_be_stopped_one_by_one() {
    let world = World::with_places(3);
    let (first, _a) = world.service.admit(request("1")).await.expect("a place is free");
    world.clock.advance(Duration::from_secs(2));
    let (second, _b) = world.service.admit(of_rule("2")).await.expect("a place is free");
    let listed: Vec<(String, u64)> = world
        .service
        .running()
        .iter()
        .map(|query| (query.request.query.clone(), query.age.as_secs()))
        .collect();
    assert_eq!(listed, [("1".to_owned(), 2), ("2".to_owned(), 0)]);
    let id = world.service.running()[0].id;
    assert!(world.service.stop(id) && !world.service.stop(id + 1000));
    assert!(matches!(first.run().outcome.result, Err(QueryError::Canceled(_))));
    assert!(!world.service.stop(id), "an ended query is not listed");
    // Stopping rules stops their running and future queries, but no client's.
    world.service.stop_rules();
    let (third, _c) = world.service.admit(of_rule("3")).await.expect("a place is free");
    let (client, _d) = world.service.admit(request("4")).await.expect("a place is free");
    for (query, stopped) in [(second, true), (third, true), (client, false)] {
        assert_eq!(query.run().outcome.result.is_err(), stopped);
    }
}

#[tokio::test]
async fn stopping_rules_ends_a_rule_that_waits_for_a_place() {
    let world = World::with_places(1);
    let (_admitted, _guard) = world.service.admit(request("1")).await.expect("a place is free");
    let service = world.service.clone();
    let waiting = tokio::spawn(async move { service.admit(of_rule("2")).await.map(|_| ()) });
    world.turn_to(1).await;
    world.service.stop_rules();
    let ended = tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it stops waiting");
    assert_eq!(ended.expect("no panic"), Err(AdmissionError::RulesStopped));
    assert_eq!(world.metric("prometheus_engine_queries"), 1.0, "the client's");
}

/// A clock that panics on demand.
struct Broken(SimClock, AtomicBool);

impl Clock for Broken {
    fn unix_nanos(&self) -> i64 {
        self.0.unix_nanos()
    }

    fn elapsed(&self) -> Duration {
        assert!(!self.1.load(Ordering::SeqCst), "broken on purpose");
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.0.sleep(duration)
    }
}

/// A store that breaks the clock when it is read.
struct Breaking(MemStorage, Arc<Broken>);

impl Queryable for Breaking {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        // Not before the guard has started watching.
        while self.1.0.sleepers() == 0 {
            std::thread::yield_now();
        }
        self.1.1.store(true, Ordering::SeqCst);
        self.0.snapshot(range)
    }
}

/// A store that has to read files.
struct OnDisk(MemStorage);

struct OnDiskView<'a>(Box<dyn Snapshot + 'a>);

impl Queryable for OnDisk {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        Ok(Box::new(OnDiskView(self.0.snapshot(range)?)))
    }
}

impl Snapshot for OnDiskView<'_> {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        self.0.select(matchers, hints)
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        self.0.freeze()
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        self.0.series_count(selection)
    }

    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet {
        self.0.labels(selection, row)
    }

    fn read(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError> {
        self.0.read(selection, rows, range, sink)
    }

    fn label_names(&self, _: &[Matcher], _: usize, _: &Hints) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Matcher], _: usize, _: &Hints) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn is_in_memory(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_the_timer_of_its_query() {
    let clock = SimClock::at(Timestamp::from_millis(1_000_000));
    let broken = Arc::new(Broken(clock.clone(), AtomicBool::new(false)));
    let store = Breaking(MemStorage::new(), broken.clone());
    let world = World::with(1, clock, broken, Arc::new(store));
    let expr = parse("up", &ParserOptions::default()).expect("an expression");
    let (service, runtime) = (world.service.clone(), Handle::current());
    let run =
        tokio::task::spawn_blocking(move || service.evaluate(&runtime, of_rule("up"), &expr).map(|_| ()));
    assert!(run.await.is_err_and(|error| error.is_panic()));
    while world.clock.sleepers() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.metric("prometheus_engine_queries"), 0.0);
}

#[tokio::test]
async fn a_lookup_is_stopped_at_its_timeout_or_when_its_guard_is_dropped() {
    let world = World::with_places(1);
    let (lookup, guard) = world.service.admit_lookup().await.expect("a place is free");
    let hints = lookup.hints();
    assert!(!hints.stop.is_set());
    let work = async {
        while !hints.stop.is_set() {
            tokio::task::yield_now().await;
        }
        "stopped"
    };
    let turned = async {
        world.turn_to(1).await;
        world.clock.advance(Duration::from_secs(60));
    };
    assert_eq!(tokio::join!(guard.watch(work), turned).0, "stopped");
    // The only look-up place is taken while the look-up exists; queries have their own places.
    let waiting = world.service.admit_lookup();
    let query = world.service.admit(request("1")).await.expect("queries do not wait for look-ups");
    drop(query);
    drop(lookup);
    let (lookup, guard) = waiting.await.expect("the place is free again");
    drop(guard);
    assert!(lookup.is_ended(), "it has been stopped");
}

#[tokio::test]
async fn only_small_queries_run_where_they_were_admitted() {
    let store = MemStorage::new();
    for index in 0..3000 {
        store.put(&[("__name__", "m"), ("i", &index.to_string())], &[(5_000, f64::from(index))]);
    }
    let clock = SimClock::at(Timestamp::from_millis(1_000_000));
    let world = World::with(1, clock.clone(), Arc::new(clock), Arc::new(store));
    let admit = async |query: &str, time: EvaluationTime| {
        let request = QueryRequest { time, ..request(query) };
        world.service.admit(request).await.expect("a place is free")
    };
    let grid = |steps: i64| EvaluationTime::Range(Grid { start_ms: 0, end_ms: 1000 * steps, step_ms: 1000 });
    let now = EvaluationTime::Instant(Timestamp::from_millis(7_000));
    for (query, time, small) in [
        ("1 + 1", now, true),
        ("m{i=\"7\"}", now, true),
        ("sum(m{i=~\"1.\"})", grid(10), true),
        ("sum(m)", grid(100), false),
        ("m{i=~\".*7.*\"} * on () group_left () vector(1)", grid(200), false),
        ("vector(1)", grid(200_000), false),
        ("label_replace(m, \"", now, false),
        ("m{i=~\"(x{100}){9}\"}", now, false),
        ("m{i=~\"\\\\pL7\"}", now, false),
        ("m{i=~\"(?i)7\"}", now, false),
        ("m * on () m", now, false),
    ] {
        let (admitted, _guard) = admit(query, time).await;
        let whole = match admitted.run_if_small() {
            Ok(completed) => {
                assert!(small, "{query} is not small");
                completed.outcome.result
            }
            Err(admitted) => {
                assert!(!small, "{query} is small");
                admitted.run().outcome.result
            }
        };
        let (admitted, _guard) = admit(query, time).await;
        assert_eq!(format!("{whole:?}"), format!("{:?}", admitted.run().outcome.result), "{query}");
        assert_eq!(world.active_file(), "[", "nothing runs");
    }
    // A query that was stopped before it began ends as stopped.
    let (admitted, guard) = admit("1", now).await;
    drop(guard);
    let admitted = admitted.run_if_small().err().expect("it was stopped");
    assert!(matches!(admitted.run().outcome.result, Err(QueryError::Canceled(_))));
}

#[tokio::test]
async fn a_query_that_would_wait_for_a_disk_is_not_small() {
    let clock = SimClock::at(Timestamp::from_millis(1_000_000));
    let world = World::with(1, clock.clone(), Arc::new(clock), Arc::new(OnDisk(MemStorage::new())));
    let (admitted, _guard) = world.service.admit(request("up")).await.expect("a place is free");
    let admitted = admitted.run_if_small().err().expect("its store is not in memory");
    assert!(admitted.run().outcome.result.is_ok());
}
