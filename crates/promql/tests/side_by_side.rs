//! Queries on several threads must come to what they come to on one: the same bits, annotations, counts and errors.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferula_model::value::STALE_NAN;
use ferula_model::{LabelSet, Matcher, TimeRange, Timestamp};
use ferula_promql::{
    Engine, EngineOptions, Features, Grid, MemoryContract, QueryControl, QueryError, QueryOptions,
    QueryOutcome, QueryValue, Spread, StopReason,
};
use ferula_storage::{
    Appendable, Durability, Hints, Queryable, RowSink, SampleBatch, SelectionId, SeriesSamples, Snapshot,
    StorageError,
};
use ferula_testkit::MemStorage;

/// Three threads for any work, and how often they were lent.
#[derive(Debug, Default)]
struct Three(AtomicUsize);

impl Spread for Three {
    fn width(&self, _work: u64) -> usize {
        3
    }

    fn run(&self, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for number in 0..pieces {
                scope.spawn(move || piece(number));
            }
        });
    }
}

const STEP_MS: i64 = 60_000;
const STEPS: i64 = 900;
const SERIES: usize = 400;

/// Counters that restart, with gaps and staleness markers, of four targets with times of their own. One name says that it
/// is a counter, the other does not.
fn store() -> MemStorage {
    let store = MemStorage::new();
    for index in 0..SERIES {
        let target = index % 4;
        let mut value = (index % 7) as f64 * 0.1;
        let samples: Vec<(i64, f64)> = (0..STEPS / 2)
            .filter(|at| (at + index as i64) % 97 != 5)
            .map(|at| {
                value = if (at + index as i64) % 61 == 0 { 0.0 } else { value + 0.1 * (index % 5) as f64 };
                let stale = (at + index as i64) % 113 == 7;
                (at * 2 * STEP_MS + target as i64 * 1_700, if stale { STALE_NAN } else { value })
            })
            .collect();
        let name = if index % 2 == 0 { "a_total" } else { "b" };
        let labels = [("__name__", name), ("g", &format!("{}", index % 3)), ("i", &format!("{index:04}"))];
        store.put(&labels, &samples);
    }
    store
}

fn run(store: &dyn Queryable, query: &str, options: EngineOptions, control: &QueryControl) -> QueryOutcome {
    let grid = Grid { start_ms: 0, end_ms: (STEPS - 1) * STEP_MS, step_ms: STEP_MS };
    let asked = QueryOptions { per_step_stats: query.starts_with("sum"), ..QueryOptions::default() };
    Engine::new(options).range(store, query, grid, &asked, control)
}

fn options(spread: Option<Arc<dyn Spread>>) -> EngineOptions {
    let features = Features { per_step_stats: true, ..Features::default() };
    EngineOptions { spread, features, ..EngineOptions::default() }
}

#[test]
fn several_threads_come_to_the_same_bits() {
    let store = store();
    for query in [
        "sum by (g) (rate({i=~\".+\"}[10m]))",
        "sum(increase({i=~\".+\"}[1h]))",
        "avg(b) + count(a_total)",
        "rate(a_total[5m])",
        "b",
        "topk(3, b)",
        "sum(quantile_over_time(0.3, b[30m]))",
        "sum(max_over_time(rate(a_total[10m])[30m:5m]))",
        "stddev(changes(b[20m]))",
        "sum(quantile_over_time(7, b[30m]))",
        "absent_over_time(b[1m])",
        "sum(a_total) / on () sum(b offset 10m)",
    ] {
        let three = Arc::new(Three::default());
        let alone = run(&store, query, options(None), &QueryControl::new());
        let spread = run(&store, query, options(Some(three.clone())), &QueryControl::new());
        assert!(three.0.load(Ordering::Relaxed) > 0, "{query}: threads were lent");
        assert!(alone.result.is_ok(), "{query}: {:?}", alone.result);
        // The shortest digits tell all bits apart but those of NaN.
        assert_eq!(format!("{:?}", spread.result), format!("{:?}", alone.result), "{query}");
        assert_eq!(spread.annotations.render(query, 0), alone.annotations.render(query, 0), "{query}");
        let counts = |outcome: &QueryOutcome| {
            let stats = outcome.stats.clone();
            (
                (stats.samples_total, stats.samples_read, stats.samples_peak),
                (stats.samples_total_per_step, stats.samples_read_per_step),
            )
        };
        assert_eq!(counts(&spread), counts(&alone), "{query}");
    }
}

#[test]
fn limits_hold_for_all_threads_together() {
    let store = store();
    let query = "rate({i=~\".+\"}[10m])";
    let needed = run(&store, query, options(None), &QueryControl::new()).stats.samples_peak;
    for (max_samples, enough) in [(needed, true), (needed - 1, false), (needed / 2, false)] {
        let spread = Some(Arc::new(Three::default()) as Arc<dyn Spread>);
        let options = EngineOptions { max_samples, ..options(spread) };
        let outcome = run(&store, query, options, &QueryControl::new());
        assert_eq!(outcome.result.is_ok(), enough);
        assert!(enough || matches!(outcome.result, Err(QueryError::TooManySamples)));
    }
    let memory = MemoryContract::new(1 << 20);
    let spread = Some(Arc::new(Three::default()) as Arc<dyn Spread>);
    let limited = EngineOptions { memory: memory.clone(), ..options(spread) };
    let outcome = run(&store, query, limited, &QueryControl::new());
    assert!(matches!(outcome.result, Err(QueryError::OutOfMemory(_))), "{:?}", outcome.result);
    drop(outcome);
    assert_eq!(memory.used(), 0, "all of it is given back");
}

#[test]
fn a_stop_reaches_all_threads() {
    let store = store();
    for checks in [1, 5, 20] {
        let left = AtomicUsize::new(checks);
        let source = move || {
            let over =
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err();
            over.then_some(StopReason::Timeout)
        };
        let control = QueryControl::with_source(Arc::new(source));
        let spread = Some(Arc::new(Three::default()) as Arc<dyn Spread>);
        let outcome = run(&store, "sum(deriv({i=~\".+\"}[5h]))", options(spread), &control);
        assert!(matches!(outcome.result, Err(QueryError::Timeout(_))), "{:?}", outcome.result);
    }
}

/// A store whose rows fail, or panic, from one on.
struct FailsAt {
    store: MemStorage,
    row: usize,
    panics: bool,
}

struct FailingView<'a> {
    inner: Box<dyn Snapshot + 'a>,
    row: usize,
    panics: bool,
}

impl Queryable for FailsAt {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        let inner = self.store.snapshot(range)?;
        Ok(Box::new(FailingView { inner, row: self.row, panics: self.panics }))
    }
}

impl Snapshot for FailingView<'_> {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        self.inner.select(matchers, hints)
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        self.inner.freeze()
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        self.inner.series_count(selection)
    }

    fn labels(&self, selection: SelectionId, row: usize) -> ferula_model::LabelSet {
        self.inner.labels(selection, row)
    }

    fn read(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError> {
        let mut failed = None;
        let mut until = |row: usize, samples: &SeriesSamples| {
            if row < self.row {
                return sink.row(row, samples);
            }
            assert!(!self.panics, "row {row} is broken");
            failed = Some(row);
            ControlFlow::Break(())
        };
        self.inner.read(selection, rows, range, &mut until)?;
        failed.map_or(Ok(()), |row| Err(StorageError::Corrupt(format!("row {row} is broken"))))
    }

    fn label_names(&self, _: &[Matcher], _: usize, _: &Hints) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Matcher], _: usize, _: &Hints) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn is_in_memory(&self) -> bool {
        self.inner.is_in_memory()
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn the_first_row_that_fails_is_the_error_and_a_panic_is_one_of_that_query_alone() {
    for (row, panics) in [(100, false), (101, true), (390, false), (399, true)] {
        let failing = FailsAt { store: store(), row, panics };
        let spread = Some(Arc::new(Three::default()) as Arc<dyn Spread>);
        let outcome =
            run(&failing, "sum(rate({i=~\".+\"}[10m]))", options(spread.clone()), &QueryControl::new());
        let error = outcome.result.expect_err("a row is broken");
        assert!(error.to_string().ends_with(&format!("row {row} is broken")), "{error}");
        let after = run(&failing.store, "sum(b)", options(spread), &QueryControl::new());
        assert!(after.result.is_ok(), "the next query runs");
    }
}

#[test]
fn series_with_and_without_start_timestamps_may_stand_beside_each_other() {
    let store = MemStorage::new();
    let mut appender = store.appender();
    let mut batch = SampleBatch::default();
    for (name, offset_ms, has_start) in
        [("a", 0, true), ("b", 1_000, false), ("c", 2_000, true), ("d", 3_000, false)]
    {
        let labels = LabelSet::from_pairs([("__name__", "m_total"), ("i", name)]);
        let series = appender.resolve(&labels).expect("a series");
        for at in 1..200 {
            let time = Timestamp::from_millis(at * 15_000 + offset_ms);
            let start = Timestamp::from_millis(if has_start { 1 } else { 0 });
            batch.push_float_with_start(series, time, at as f64, start);
        }
    }
    assert!(appender.append(&mut batch).refused.is_empty());
    appender.commit(Durability::Written).expect("stored");
    let features = Features { use_start_timestamps: true, ..Features::default() };
    let options = EngineOptions { features, ..EngineOptions::default() };
    let shown = |query: &str| {
        let outcome = run(&store, query, options.clone(), &QueryControl::new());
        let Ok(QueryValue::Matrix(series)) = outcome.result else { panic!("{query}: {:?}", outcome.result) };
        series.into_iter().map(|series| format!("{series:?}")).collect::<Vec<_>>()
    };
    let alone = |name: &str| shown(&format!("rate(m_total{{i=\"{name}\"}}[5m])"));
    let each: Vec<String> = ["a", "b", "c", "d"].into_iter().flat_map(alone).collect();
    assert_eq!(each.len(), 4);
    assert_eq!(shown("rate(m_total[5m])"), each);
}
