//! Queries that ask for too much, and times at the ends of their types: an error or an answer, never a panic or a hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferula_model::Timestamp;
use ferula_promql::{
    Engine, EngineOptions, Features, Grid, MemoryContract, QueryControl, QueryError, QueryOptions,
    QueryOutcome, QueryValue, StopReason,
};
use ferula_promql_syntax::{DEPTH_MAX, HEIGHT_MAX};
use ferula_testkit::MemStorage;

const HOUR: i64 = 3_600_000;

/// 20 series with an hour of samples, one every 15 s.
fn store() -> MemStorage {
    let store = MemStorage::new();
    for index in 0..20 {
        let samples: Vec<(i64, f64)> = (0..240).map(|at| (at * 15_000, at as f64)).collect();
        store.put(&[("__name__", "m_total"), ("i", &index.to_string())], &samples);
    }
    store
}

fn engine(options: EngineOptions) -> Engine {
    let features = Features { experimental_functions: true, ..Features::default() };
    Engine::new(EngineOptions { features, ..options })
}

fn instant(engine: &Engine, query: &str, control: &QueryControl) -> QueryOutcome {
    engine.instant(&store(), query, Timestamp::from_millis(HOUR), &QueryOptions::default(), control)
}

fn range(engine: &Engine, query: &str, grid: Grid) -> QueryOutcome {
    engine.range(&store(), query, grid, &QueryOptions::default(), &QueryControl::new())
}

#[test]
fn more_samples_than_allowed_are_refused() {
    let grid = Grid { start_ms: 0, end_ms: HOUR, step_ms: 60_000 };
    let limited = |max_samples| engine(EngineOptions { max_samples, ..EngineOptions::default() });
    for query in ["m_total", "m_total + m_total", "sum(m_total)", "max_over_time(m_total[5m:1s])"] {
        let outcome = range(&limited(500), query, grid);
        assert_eq!(outcome.result, Err(QueryError::TooManySamples), "{query}");
        assert_eq!(
            QueryError::TooManySamples.to_string(),
            "query processing would load too many samples into memory in query execution"
        );
    }
    assert!(range(&limited(20 * 61 + 61), "sum(m_total)", grid).result.is_ok(), "just enough");
}

#[test]
fn statistics_count_samples_as_prometheus_does() {
    let grid = Grid { start_ms: 10 * 60_000, end_ms: 20 * 60_000, step_ms: 60_000 };
    let stats = range(&engine(EngineOptions::default()), "sum(m_total)", grid).stats;
    assert_eq!((stats.samples_total, stats.samples_read), (20 * 11, 20 * 11));
    let stats = range(&engine(EngineOptions::default()), "rate(m_total[5m])", grid).stats;
    assert_eq!((stats.samples_total, stats.samples_read), (20 * 11 * 20, 20 * (20 + 10 * 4)));
    assert!(stats.samples_peak >= 20 * 11);
}

#[test]
fn samples_are_counted_by_step_when_asked_for() {
    let features = Features { per_step_stats: true, ..Features::default() };
    let engine = Engine::new(EngineOptions { features, ..EngineOptions::default() });
    let grid = Grid { start_ms: 10 * 60_000, end_ms: 12 * 60_000, step_ms: 60_000 };
    let options = QueryOptions { per_step_stats: true, ..QueryOptions::default() };
    let outcome = engine.range(&store(), "rate(m_total[5m])", grid, &options, &QueryControl::new());
    let counts = |list: Option<Vec<ferula_promql::StepCount>>| {
        list.expect("they were asked for").iter().map(|count| count.samples).collect::<Vec<_>>()
    };
    assert_eq!(counts(outcome.stats.samples_total_per_step), [400, 400, 400]);
    assert_eq!(counts(outcome.stats.samples_read_per_step), [400, 80, 80]);
}

#[test]
fn memory_is_one_contract_for_all_queries_and_comes_back() {
    let memory = MemoryContract::new(1 << 20);
    let engine = engine(EngineOptions { memory: memory.clone(), ..EngineOptions::default() });
    let grid = Grid { start_ms: 0, end_ms: HOUR, step_ms: 100 };
    let outcome = range(&engine, "m_total + m_total", grid);
    assert!(matches!(outcome.result, Err(QueryError::OutOfMemory(_))), "{:?}", outcome.result);
    assert_eq!(memory.used(), 0);
    memory.set_limit(1 << 30);
    let outcome = range(&engine, "m_total + m_total", grid);
    assert!(outcome.result.is_ok());
    assert!(memory.used() >= 20 * 36_000 * 16, "the answer counts until it is dropped");
    drop(outcome);
    assert_eq!(memory.used(), 0);
}

/// Text that doubles with every call, and answers whose size does not show in the samples.
#[test]
fn memory_of_labels_and_buffers_is_accounted() {
    let memory = MemoryContract::new(24 << 20);
    let engine = engine(EngineOptions { memory: memory.clone(), ..EngineOptions::default() });
    let doubled = |name: &str, end: &str, times: usize| {
        format!("{}m_total{}", format!("{name}(").repeat(times), end.repeat(times))
    };
    for query in [
        doubled("label_join", ", \"i\", \"--------\", \"i\", \"i\")", 40),
        doubled("label_replace", ", \"i\", \"$1$1$1$1\", \"i\", \"(.*)\")", 40),
        "quantile_over_time(0.5, vector(time())[30m:1ms])".to_owned(),
        "mad_over_time(vector(time())[30m:1ms])".to_owned(),
        "count_values(\"v\", m_total) + on () group_left () sum_over_time(vector(time())[30m:1ms])"
            .to_owned(),
        "vector(time())[30m:1ms]".to_owned(),
        "max_over_time(count_values(\"v\", vector(time()))[1m:1ms])".to_owned(),
    ] {
        let result = instant(&engine, &query, &QueryControl::new()).result;
        let short = &query[..query.len().min(80)];
        assert!(matches!(result, Err(QueryError::OutOfMemory(_))), "{short}: {result:?}");
        assert_eq!(memory.used(), 0, "{short}");
    }
    memory.set_limit(u64::MAX);
    let long = doubled("label_join", ", \"i\", \"\", \"i\", \"i\")", 40);
    let error = instant(&engine, &long, &QueryControl::new()).result.expect_err("a label of a terabyte");
    assert_eq!(error.to_string(), "unexpected error: String too long to encode as label.");
}

/// The account says what a query holds, not what it ever took: each operator of a chain is done with its operand's rows
/// when it has its own.
#[test]
fn a_chain_of_operators_needs_what_two_of_them_hold() {
    let memory = MemoryContract::unlimited();
    let engine = engine(EngineOptions { memory: memory.clone(), ..EngineOptions::default() });
    let needs = |query: &str| {
        let mut limit = 1 << 16;
        loop {
            memory.set_limit(limit);
            match instant(&engine, query, &QueryControl::new()).result {
                Ok(_) => return limit,
                Err(QueryError::OutOfMemory(_)) => limit += 1 << 16,
                Err(error) => panic!("{query}: {error}"),
            }
        }
    };
    let chain = |operators: usize| format!("{}m_total{}", "sort(".repeat(operators), ")".repeat(operators));
    let (two, many) = (needs(&chain(2)), needs(&chain(30)));
    assert!(many <= 2 * two, "two operators need {two} bytes, thirty {many}");
}

#[test]
fn a_stopped_query_says_why() {
    let engine = engine(EngineOptions::default());
    for (reason, text) in [
        (StopReason::Timeout, "query timed out in query execution"),
        (StopReason::Canceled, "query was canceled in query execution"),
        (StopReason::Shutdown, "query was canceled in query execution"),
    ] {
        let control = QueryControl::new();
        control.stop(reason);
        let error = instant(&engine, "sum(m_total)", &control).result.expect_err("it was stopped");
        assert_eq!(error.to_string(), text);
    }
}

/// The clock is read between phases, which is where this one stops the query.
#[test]
fn a_query_stops_in_the_middle() {
    let reads = Arc::new(AtomicU64::new(0));
    let stopper: Arc<std::sync::OnceLock<QueryControl>> = Arc::default();
    let (counted, stopped) = (reads.clone(), stopper.clone());
    let control = QueryControl::with_clock(Arc::new(move || {
        if counted.fetch_add(1, Ordering::Relaxed) == 1
            && let Some(control) = stopped.get()
        {
            control.stop(StopReason::Timeout);
        }
        0
    }));
    stopper.set(control.clone()).expect("set once");
    let outcome = instant(&engine(EngineOptions::default()), "sum(m_total)", &control);
    assert_eq!(outcome.result, Err(QueryError::Timeout("expression evaluation")));
}

#[test]
fn endless_subqueries_end_in_an_error() {
    let engine = engine(EngineOptions::default());
    for query in [
        "max_over_time(vector(1)[100y:1ms])",
        "sum_over_time(m_total[100y:1ms])",
        "max_over_time(max_over_time(max_over_time(m_total[1y:1s])[1y:1s])[1y:1s])",
        "sum(sum_over_time(time()[200y:1ms]))",
    ] {
        let result = instant(&engine, query, &QueryControl::new()).result;
        assert!(result.is_err(), "{query}: {result:?}");
    }
}

#[test]
fn times_at_the_ends_of_their_types() {
    let engine = engine(EngineOptions::default());
    let (options, control) = (QueryOptions::default(), QueryControl::new());
    let queries = [
        "m_total",
        "rate(m_total[5m])",
        "rate(m_total[200y] offset -200y)",
        "m_total @ 9223372036854775 offset -200y",
        "max_over_time(m_total[1h:1m])",
        "sum_over_time(m_total[290y:290y])",
        "predict_linear(m_total[1h] @ end(), 1e300)",
        "timestamp(m_total) + time() + day_of_year()",
        "year(vector(1e300)) + month(vector(-1e300)) + hour(vector(NaN))",
        "absent(m_total offset 290y)",
    ];
    for at in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        for query in queries {
            let _ = engine.instant(&store(), query, Timestamp::from_millis(at), &options, &control);
            let grid = Grid { start_ms: at, end_ms: at.saturating_add(3), step_ms: 1 };
            for outcome in [
                engine.range(&store(), query, grid, &options, &control),
                engine.range(&store(), query, Grid { step_ms: i64::MAX, ..grid }, &options, &control),
            ] {
                let text = outcome.result.err().map(|error| error.to_string()).unwrap_or_default();
                assert!(!text.contains("unexpected error"), "{query} at {at}: {text}");
            }
        }
    }
}

/// Planned, evaluated and dropped on a thread with the stack of tokio's workers.
#[test]
fn deep_queries_fit_the_stack() {
    let around = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let levels = DEPTH_MAX - 1;
    let queries = [
        around("(", "m_total", ")", levels),
        around("-", "m_total", "", levels),
        around("2 ^ ", "m_total", "", levels),
        around("abs(", "m_total", ")", levels),
        around("sum(", "m_total", ")", levels),
        around("sum(", "m_total @ 60", ")", levels),
        around("quantile(scalar(", "m_total", "), m_total)", levels / 2),
        around("max_over_time((", "m_total", ")[1m:1m])", levels / 3),
        around("m_total + (", "m_total", ")", levels / 2),
        around("label_replace(", "m_total", ", \"a\", \"b\", \"\", \"\")", levels),
        around("sort(", "m_total", ")", levels),
        around("histogram_count(", "m_total", ") or m_total", levels / 2),
        around("topk(1, ", "m_total", ")", levels),
        around("count_values(\"v\", ", "m_total", ")", levels),
        around("absent(", "m_total", ")", levels),
        around("m_total or ", "m_total", "", 2000),
        around("m_total and on (i) ", "m_total", "", HEIGHT_MAX - 1),
        around("1 + ", "m_total", "", HEIGHT_MAX - 1),
        around("time() + ", "1", "", HEIGHT_MAX - 1),
    ];
    let run = || {
        let engine = engine(EngineOptions::default());
        for query in &queries {
            let outcome = instant(&engine, query, &QueryControl::new());
            let name = &query[..query.len().min(40)];
            assert!(outcome.result.is_ok(), "{name}: {:?}", outcome.result);
            let grid = Grid { start_ms: HOUR, end_ms: HOUR + 1000, step_ms: 1000 };
            assert!(range(&engine, query, grid).result.is_ok(), "{name} over a grid");
            assert!(engine.explain(query, grid).is_ok(), "{name}");
        }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, run);
        thread.expect("a thread").join().expect("no panic");
    });
}

#[test]
fn a_grid_that_runs_backwards_is_empty() {
    let grid = Grid { start_ms: 10, end_ms: 0, step_ms: 1 };
    let outcome = range(&engine(EngineOptions::default()), "m_total + 1", grid);
    assert_eq!(outcome.result, Ok(QueryValue::Matrix(Vec::new())));
    let zero_step = Grid { step_ms: 0, ..grid };
    assert!(range(&engine(EngineOptions::default()), "m_total", zero_step).result.is_err());
}
