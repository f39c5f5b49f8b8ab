//! Of several errors in one query the one that Prometheus comes by first is the query's. Recorded from Prometheus 3.5.

use ferula_model::Timestamp;
use ferula_promql::{Engine, EngineOptions, Grid, QueryControl, QueryOptions};
use ferula_testkit::MemStorage;

/// Two expressions that fail when they are evaluated, whatever the data.
const A: &str = "label_replace(x, \"d\", \"$1\", \"i\", \"(\")";
const B: &str = "label_join(x, \"\", \"-\", \"i\")";

const FIRST: &[(&str, char)] = &[
    ("A + B", 'A'),
    ("B - A", 'B'),
    ("A and B", 'A'),
    ("B or A", 'B'),
    ("A > scalar(B)", 'A'),
    ("scalar(B) > A", 'B'),
    ("clamp(A, scalar(B), 1)", 'A'),
    ("clamp(x, scalar(A), scalar(B))", 'A'),
    ("clamp_max(x, scalar(B))", 'B'),
    ("histogram_quantile(scalar(B), A)", 'B'),
    ("histogram_fraction(scalar(A), scalar(B), x)", 'A'),
    ("histogram_fraction(1, scalar(B), A)", 'B'),
    ("topk(scalar(B), A)", 'B'),
    ("quantile(scalar(A), B)", 'A'),
    ("quantile_over_time(scalar(B), A[5m:1m])", 'A'),
    ("predict_linear(A[5m:1m], scalar(B))", 'A'),
    ("sum(A) / B", 'A'),
    ("-B + A", 'B'),
    ("sort(A) + B", 'A'),
    ("round(A, scalar(B))", 'A'),
    ("vector(scalar(B)) + A", 'B'),
    ("scalar(A) + scalar(B)", 'A'),
    ("sum_over_time(A[5m:1m]) + B", 'A'),
    ("absent(A) * on() B", 'A'),
    ("label_replace(B, \"d\", \"$1\", \"i\", \"(\")", 'A'),
    ("timestamp(A) + B", 'A'),
    ("max_over_time(A[5m:1m]) > scalar(B)", 'A'),
];

#[test]
fn the_first_error_in_order_of_evaluation_wins() {
    let store = MemStorage::new();
    store.put(&[("__name__", "x"), ("i", "1")], &[(0, 1.0), (60_000, 2.0)]);
    let engine = Engine::new(EngineOptions::default());
    let (options, control) = (QueryOptions::default(), QueryControl::new());
    let grid = Grid { start_ms: 0, end_ms: 300_000, step_ms: 60_000 };
    for (shape, first) in FIRST {
        let query: String = shape
            .chars()
            .map(|c| match c {
                'A' => A.to_owned(),
                'B' => B.to_owned(),
                c => c.to_string(),
            })
            .collect();
        let instant = engine.instant(&store, &query, Timestamp::from_millis(60_000), &options, &control);
        let range = engine.range(&store, &query, grid, &options, &control);
        for result in [instant.result, range.result] {
            let text = result.expect_err(shape).to_string();
            let got = if text.contains("label_replace()") { 'A' } else { 'B' };
            assert_eq!(got, *first, "{shape}: {text}");
        }
    }
}
