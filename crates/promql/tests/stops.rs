//! How soon a query notices that it was stopped. Nothing here looks at a clock: a counting source of stops sees every
//! check, and the work between two of them follows from how many there are.
//!
//! Each pass over a query's samples must report its work, so a query of known passes over known samples has a least
//! number of checks. A loop that forgets to report takes its pass out of the count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferula_model::Timestamp;
use ferula_promql::{
    Engine, EngineOptions, Features, QueryControl, QueryError, QueryOptions, QueryOutcome, QueryValue,
    SampleValue, StopReason,
};
use ferula_testkit::MemStorage;

/// Units of work after which a query checks.
const WORK_PER_CHECK: u64 = 1 << 16;

fn engine() -> Engine {
    let features = Features { experimental_functions: true, ..Features::default() };
    Engine::new(EngineOptions { features, ..EngineOptions::default() })
}

fn ask(store: &MemStorage, query: &str, control: &QueryControl) -> QueryOutcome {
    engine().instant(store, query, Timestamp::from_millis(3_600_000), &QueryOptions::default(), control)
}

/// A source that says stop at check number `at` and ever after, and the number of checks so far.
fn counting(at: u64) -> (QueryControl, Arc<AtomicU64>) {
    let checks = Arc::new(AtomicU64::new(0));
    let counted = checks.clone();
    let source = move || (counted.fetch_add(1, Ordering::Relaxed) + 1 >= at).then_some(StopReason::Timeout);
    (QueryControl::with_source(Arc::new(source)), checks)
}

fn checks_of(store: &MemStorage, query: &str) -> u64 {
    let (control, checks) = counting(u64::MAX);
    let result = ask(store, query, &control).result;
    assert!(result.is_ok(), "{query}: {result:?}");
    checks.load(Ordering::Relaxed)
}

/// Two series of floats and two of histograms, a sample every 15 s.
fn few() -> MemStorage {
    let store = MemStorage::new();
    for job in ["a", "b"] {
        let samples: Vec<(i64, f64)> = (0..240).map(|at| (at * 15_000, (at % 50) as f64)).collect();
        store.put(&[("__name__", "m_total"), ("job", job)], &samples);
    }
    store
}

/// Queries over an inner grid, and how many passes over its steps each makes at least.
const OVER_STEPS: &[(&str, u64)] = &[
    // Filling the row, taking it as columns, looking for staleness markers, the function.
    ("sum_over_time(vector(1)[RANGE:1ms])", 4),
    ("avg_over_time(vector(1)[RANGE:1ms])", 4),
    ("min_over_time(vector(1)[RANGE:1ms])", 4),
    ("stddev_over_time(vector(1)[RANGE:1ms])", 4),
    // Sorting is several passes.
    ("quantile_over_time(0.5, vector(time())[RANGE:1ms])", 20),
    ("mad_over_time(vector(time())[RANGE:1ms])", 37),
    ("ts_of_max_over_time(vector(1)[RANGE:1ms])", 4),
    ("changes(vector(time())[RANGE:1ms])", 5),
    ("resets(vector(time())[RANGE:1ms])", 5),
    ("rate(vector(time())[RANGE:1ms])", 5),
    ("delta(vector(time())[RANGE:1ms])", 4),
    ("deriv(vector(time())[RANGE:1ms])", 5),
    ("predict_linear(vector(time())[RANGE:1ms], 1)", 5),
    ("double_exponential_smoothing(vector(time())[RANGE:1ms], 0.5, 0.5)", 5),
    ("last_over_time(vector(1)[RANGE:1ms])", 4),
    ("max_over_time((vector(time()) + 1)[RANGE:1ms])", 6),
    ("max_over_time((1 < vector(time()))[RANGE:1ms])", 6),
    ("max_over_time(vector(time() + time())[RANGE:1ms])", 7),
    ("max_over_time(vector(-time())[RANGE:1ms])", 6),
    ("max_over_time((-vector(time()))[RANGE:1ms])", 6),
    ("max_over_time(abs(vector(time()))[RANGE:1ms])", 6),
    ("max_over_time(clamp(vector(time()), 0, 1)[RANGE:1ms])", 6),
    ("max_over_time(round(vector(time()), time())[RANGE:1ms])", 7),
    ("max_over_time(hour()[RANGE:1ms])", 5),
    ("max_over_time(hour(vector(time()))[RANGE:1ms])", 6),
    ("max_over_time(timestamp(vector(time()))[RANGE:1ms])", 6),
    ("max_over_time(vector(scalar(vector(time())))[RANGE:1ms])", 7),
    ("max_over_time(sum(vector(time()))[RANGE:1ms])", 7),
    ("max_over_time(avg(vector(time()))[RANGE:1ms])", 7),
    ("max_over_time(max(vector(time()))[RANGE:1ms])", 6),
    ("max_over_time(count(vector(time()))[RANGE:1ms])", 7),
    ("max_over_time(group(vector(time()))[RANGE:1ms])", 7),
    ("max_over_time(stddev(vector(time()))[RANGE:1ms])", 7),
    ("max_over_time(quantile(0.5, vector(time()))[RANGE:1ms])", 14),
    ("max_over_time(topk(1, vector(time()))[RANGE:1ms])", 13),
    ("max_over_time(limitk(1, vector(time()))[RANGE:1ms])", 13),
    ("max_over_time(count_values(\"v\", vector(time() > bool 0))[RANGE:1ms])", 10),
    ("max_over_time(sort(vector(time()))[RANGE:1ms])", 5),
    ("max_over_time(absent(vector(time()) < 0)[RANGE:1ms])", 6),
    ("max_over_time((vector(time()) + vector(time()))[RANGE:1ms])", 8),
    ("max_over_time((vector(time()) and vector(time()))[RANGE:1ms])", 7),
    ("max_over_time((vector(time()) or vector(time()))[RANGE:1ms])", 7),
    ("max_over_time((vector(time()) unless vector(time()) < 0)[RANGE:1ms])", 8),
    ("max_over_time(label_replace(vector(time()), \"a\", \"b\", \"\", \"\")[RANGE:1ms])", 5),
    (
        "max_over_time(histogram_quantile(0.5, label_replace(vector(time()), \"le\", \"1\", \"\", \"\"))[RANGE:1ms])",
        32,
    ),
    ("max_over_time((m_total @ 3000)[RANGE:1ms])", 9),
    ("max_over_time(m_total[RANGE:1ms])", 8),
    ("max_over_time(timestamp(m_total)[RANGE:1ms])", 8),
    ("max_over_time(rate(m_total[5m])[RANGE:1ms])", 10),
    ("max_over_time(max_over_time(vector(1)[1ms:1ms])[RANGE:1ms])", 10),
    ("max_over_time(max_over_time(m_total[1m])[RANGE:1ms])", 10),
];

#[test]
fn every_pass_over_the_steps_of_a_subquery_checks() {
    let store = few();
    for (template, passes) in OVER_STEPS {
        let of = |steps: u64| checks_of(&store, &template.replace("RANGE", &format!("{steps}ms")));
        let (short, long) = (2 * WORK_PER_CHECK, 4 * WORK_PER_CHECK);
        let more = of(long) - of(short);
        let least = passes * (long - short) / WORK_PER_CHECK;
        assert!(more >= least, "{template}: {more} checks for {} more steps, not {least}", long - short);
    }
}

/// Many series without much else.
fn many(count: u64) -> MemStorage {
    let store = MemStorage::new();
    for index in 0..count {
        let labels =
            [("__name__", "m_total"), ("i", &*format!("instance-{index}")), ("le", &*index.to_string())];
        store.put(&labels, &[(3_590_000, (index % 1000) as f64)]);
    }
    store
}

/// Queries over many series, and how many units of work each series means at least.
const OVER_SERIES: &[(&str, u64)] = &[
    ("m_total", 75),
    ("sum(m_total)", 80),
    ("sum by (i) (m_total)", 95),
    ("quantile(0.5, m_total)", 95),
    ("topk(10, m_total)", 75),
    ("topk(100000, m_total)", 90),
    ("sort(m_total)", 90),
    ("sort_by_label(m_total, \"i\")", 88),
    ("count_values(\"v\", m_total)", 110),
    ("label_replace(m_total, \"a\", \"$1\", \"i\", \"(.*)\")", 148),
    ("label_join(m_total, \"a\", \"-\", \"i\", \"i\")", 118),
    ("m_total + m_total", 235),
    ("m_total + on (i) group_left () m_total", 235),
    ("m_total and m_total", 200),
    ("m_total or m_total", 210),
    ("-m_total", 97),
    ("histogram_quantile(0.5, m_total)", 130),
    ("m_total[5m]", 10),
    ("rate(m_total[1h:1m])", 140),
];

#[test]
fn every_pass_over_many_series_checks() {
    let (few, more) = (5_000, 25_000);
    let (small, large) = (many(few), many(more));
    for (query, units) in OVER_SERIES {
        let checks = checks_of(&large, query) - checks_of(&small, query);
        let least = units * (more - few) / WORK_PER_CHECK;
        assert!(checks >= least, "{query}: {checks} checks for {} more series, not {least}", more - few);
    }
}

/// At every step one of 100 series is on the right, and it meets all 100 on the left: 10,000 pairs, each with labels of
/// its own to be put together.
#[test]
fn a_cross_join_checks_by_pairs() {
    let store = MemStorage::new();
    for index in 0..100 {
        let text = index.to_string();
        let sample = (3_590_100 + index * 100, 1.0);
        store.put(&[("__name__", "left"), ("i", &text)], &[(3_580_000, 1.0)]);
        store.put(&[("__name__", "right"), ("j", &text)], &[sample]);
    }
    let join =
        "count(count_over_time((left * on () group_left (j) last_over_time(right[100ms]))[10s:100ms]))";
    let (control, checks) = counting(u64::MAX);
    let result = ask(&store, join, &control).result;
    let pairs = match &result {
        Ok(QueryValue::Vector(found)) => found.first().map(|sample| sample.value.clone()),
        _ => None,
    };
    assert_eq!(pairs, Some(SampleValue::Float(10_000.0)), "{result:?}");
    // Every pair: its labels, and the step at which the two meet.
    let least = 10_000 * 24 / WORK_PER_CHECK;
    assert!(checks.load(Ordering::Relaxed) >= least);
}

#[test]
fn a_query_that_is_stopped_at_any_check_ends_there() {
    let (few, many) = (few(), many(2_000));
    let of_steps = OVER_STEPS.iter().map(|(query, _)| (&few, query.replace("RANGE", "100000ms")));
    let of_series = OVER_SERIES.iter().map(|(query, _)| (&many, (*query).to_owned()));
    for (store, query) in of_steps.chain(of_series) {
        let total = checks_of(store, &query);
        for at in [1, 2, total / 3, total / 2, 2 * total / 3, total - 1, total] {
            let at = at.max(1);
            let (control, checks) = counting(at);
            let result = ask(store, &query, &control).result;
            assert!(matches!(result, Err(QueryError::Timeout(_))), "{query} at {at} of {total}: {result:?}");
            let after = checks.load(Ordering::Relaxed) - at;
            assert!(after <= 8, "{query} went on for {after} checks after number {at} of {total}");
        }
    }
}
