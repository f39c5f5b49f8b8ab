//! Our own endpoints for the web pages: stored samples, the engine's plan, metrics by name and help.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use common::{put, served};
use ferula_model::value::STALE_NAN;
use serde_json::{Value, json};

async fn data(served: &common::Served, request: &str) -> Value {
    let answer = served.ask(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    serde_json::from_str::<Value>(&answer.text).expect("JSON")["data"].clone()
}

#[tokio::test]
async fn stored_samples_come_with_their_staleness_markers() {
    let served = served();
    put(
        &served.store,
        &[("__name__", "gone")],
        &[(1_000, 1.0), (2_500, 2.0), (3_000, STALE_NAN), (9_000, 3.0)],
    );
    let request = "GET /api/v1/ferula/raw?match[]=gone&start=1&end=5";
    let want = json!({ "total": 1, "series": [
        { "metric": { "__name__": "gone" }, "values": [[1, "1"], [2.5, "2"]], "histograms": [], "stale": [3], "more": false },
    ] });
    assert_eq!(data(&served, request).await, want);
    let two = data(&served, "GET /api/v1/ferula/raw?match[]=two&start=0&end=1000").await;
    assert_eq!((&two["total"], &two["series"][1]["metric"]["n"]), (&json!(2), &json!("2")));
    for (query, why) in [
        ("match[]=sum(up)&start=0&end=1", "invalid parameter \"match[]\""),
        ("match[]=up&start=x&end=1", "invalid parameter \"start\""),
        ("match[]=up&start=2&end=1", "end timestamp must not be before start timestamp"),
    ] {
        let refused = served.ask(&format!("GET /api/v1/ferula/raw?{query}")).await;
        let text: Value = serde_json::from_str(&refused.text).expect("JSON");
        assert!(
            refused.status == 400 && text["error"].as_str().is_some_and(|error| error.contains(why)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_plan_has_a_line_for_each_node() {
    let served = served();
    let plan = data(&served, "GET /api/v1/ferula/explain?query=sum+by+(n)+(rate(two[5m]))&time=100").await;
    let lines: Vec<(u64, &str)> = plan["plan"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| (line["depth"].as_u64().expect("a number"), line["text"].as_str().expect("a text")))
        .collect();
    assert_eq!(
        lines,
        [(0, "aggregate Sum by (n)"), (1, "call rate"), (2, "select {__name__=\"two\"} window 300000 ms"),]
    );
    let refused = served.ask("GET /api/v1/ferula/explain?query=sum(").await;
    assert!(refused.status == 400 && refused.text.contains("parse error"), "{}", refused.text);
}

#[tokio::test]
async fn metrics_are_found_by_name_and_by_help() {
    let served = served();
    for name in ["up_total", "z", "batch_total"] {
        put(&served.store, &[("__name__", name)], &[(999_990_000, 1.0)]);
    }
    let names = |found: &Value| -> Vec<String> {
        let rows = found["metrics"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["name"].as_str().unwrap_or("").to_owned()).collect()
    };
    let all = data(&served, "GET /api/v1/ferula/metrics").await;
    assert_eq!(
        (&all["total"], names(&all)),
        (&json!(4), ["batch_total", "recent", "up_total", "z"].map(String::from).to_vec())
    );
    let by_letters = data(&served, "GET /api/v1/ferula/metrics?search=UP").await;
    assert_eq!(
        by_letters["metrics"][0],
        json!({ "name": "up_total", "type": "counter", "help": "Help & more.", "unit": "" })
    );
    // The help text has the words, the name has not.
    assert_eq!(names(&data(&served, "POST /api/v1/ferula/metrics search=more+help").await), ["up_total"]);
    assert_eq!(names(&data(&served, "GET /api/v1/ferula/metrics?search=total&limit=1").await), ["up_total"]);
    for query in ["limit=0", "limit=2001", "limit=x"] {
        assert_eq!(served.ask(&format!("GET /api/v1/ferula/metrics?{query}")).await.status, 400, "{query}");
    }
}
