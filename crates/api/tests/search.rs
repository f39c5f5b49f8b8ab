//! `search/…`: answers whose shapes and texts are those of Prometheus 3.14's own tests.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use common::{put, served, served_with};

/// All names of the store of the tests were there at 100 s and later.
const RANGE: &str = "start=0&end=1000000";

/// Path below `/api/v1/search/` with `RANGE` added, status, body.
const CASES: &[(&str, u16, &str)] = &[
    (
        "metric_names?",
        200,
        "{\"results\":[{\"name\":\"recent\"},{\"name\":\"tiny\"},{\"name\":\"two\"},{\"name\":\"up\"}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    // The first batch is sent even when nothing fits.
    ("metric_names?search[]=nothing", 200, "{\"results\":[]}\n{\"status\":\"success\",\"has_more\":false}\n"),
    (
        "metric_names?batch_size=3",
        200,
        "{\"results\":[{\"name\":\"recent\"},{\"name\":\"tiny\"},{\"name\":\"two\"}]}\n{\"results\":[{\"name\":\"up\"}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    (
        "metric_names?limit=2&batch_size=2",
        200,
        "{\"results\":[{\"name\":\"recent\"},{\"name\":\"tiny\"}]}\n{\"status\":\"success\",\"has_more\":true}\n",
    ),
    (
        "metric_names?limit=3&sort_by=alpha&sort_dir=dsc",
        200,
        "{\"results\":[{\"name\":\"up\"},{\"name\":\"two\"},{\"name\":\"tiny\"}]}\n{\"status\":\"success\",\"has_more\":true}\n",
    ),
    // Two of three letters in a row count four of nine, and the gap costs.
    (
        "metric_names?search[]=to&search[]=UP&case_sensitive=false&sort_by=score&include_score=true",
        200,
        "{\"results\":[{\"name\":\"up\",\"score\":1},{\"name\":\"two\",\"score\":0.41625}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    (
        "metric_names?search[]=w&fuzz_alg=jarowinkler&include_score=1",
        200,
        "{\"results\":[{\"name\":\"two\",\"score\":0.55}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    (
        "metric_names?search[]=rescent&fuzz_alg=jarowinkler&fuzz_threshold=90",
        200,
        "{\"results\":[{\"name\":\"recent\"}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    (
        "metric_names?match[]=up&match[]=two&match[]=up",
        200,
        "{\"results\":[{\"name\":\"two\"},{\"name\":\"up\"}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    (
        "label_names?",
        200,
        "{\"results\":[{\"name\":\"__name__\"},{\"name\":\"job\"},{\"name\":\"n\"}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    (
        "label_values?label=job",
        200,
        "{\"results\":[{\"value\":\"\\u003ca\\u003e\"}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
    // Prometheus ignores what it does not know.
    (
        "label_values?label=n&include_cardinality=true&match[]=two",
        200,
        "{\"results\":[{\"value\":\"1\"},{\"value\":\"2\"}]}\n{\"status\":\"success\",\"has_more\":false}\n",
    ),
];

/// A request, and the text of its refusal as `bad_data`.
const REFUSED: &[(&str, &str)] = &[
    ("metric_names?limit=0", "invalid limit \\\"0\\\": must be a positive integer"),
    ("metric_names?limit=-1", "invalid limit \\\"-1\\\": must be a positive integer"),
    ("metric_names?limit=51", "limit 51 exceeds the configured maximum (50, see --web.search.max-limit)"),
    ("label_names?batch_size=x", "invalid batch_size \\\"x\\\": must be a positive integer"),
    ("metric_names?fuzz_threshold=200", "invalid fuzz_threshold \\\"200\\\": must be 0-100"),
    (
        "metric_names?fuzz_alg=levenshtein",
        "unsupported fuzz_alg \\\"levenshtein\\\": must be one of [subsequence jarowinkler]",
    ),
    ("metric_names?case_sensitive=maybe", "invalid case_sensitive \\\"maybe\\\": must be boolean"),
    ("metric_names?include_score=maybe", "invalid include_score \\\"maybe\\\": must be boolean"),
    ("metric_names?include_metadata=maybe", "invalid include_metadata \\\"maybe\\\": must be boolean"),
    ("metric_names?sort_dir=asc", "sort_dir is only valid when sort_by is set"),
    ("metric_names?sort_by=score&sort_dir=asc&search[]=a", "sort_dir is not supported for sort_by=score"),
    (
        "metric_names?sort_by=alpha&sort_dir=up",
        "invalid sort_dir \\\"up\\\": must be \\\"asc\\\" or \\\"dsc\\\"",
    ),
    ("metric_names?sort_by=score", "sort_by=score requires search[] to be set"),
    (
        "label_names?sort_by=cardinality",
        "invalid sort_by \\\"cardinality\\\" for label_names: must be \\\"alpha\\\" or \\\"score\\\"",
    ),
    ("label_values?", "missing required parameter \\\"label\\\""),
    ("metric_names?match[]=%7B%7D", "match[] must contain at least one non-empty matcher"),
    ("metric_names?start=x", "invalid time value for 'start': cannot parse \\\"x\\\" to a valid timestamp"),
    ("metric_names?x;y", "error parsing form values: invalid semicolon separator in query"),
];

#[tokio::test]
async fn searches_are_answered_as_by_prometheus() {
    let served = served_with(|settings| settings.search_api = true);
    let mut wrong = Vec::new();
    for (path, status, body) in CASES {
        for method in ["GET", "POST"] {
            let answer = served.ask(&format!("{method} /api/v1/search/{path}&{RANGE}")).await;
            if (answer.status, answer.text.as_str()) != (*status, *body) {
                wrong.push(format!(
                    "{path}\n  got  {} {}\n  want {status} {body}",
                    answer.status, answer.text
                ));
            }
            assert_eq!(answer.headers["content-type"], "application/x-ndjson; charset=utf-8", "{path}");
        }
    }
    for (path, text) in REFUSED {
        let answer = served.ask(&format!("GET /api/v1/search/{path}")).await;
        let want = format!(r#"{{"status":"error","errorType":"bad_data","error":"{text}"}}"#);
        if (answer.status, &answer.text) != (400, &want) {
            wrong.push(format!("{path}\n  got  {} {}\n  want {want}", answer.status, answer.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_range_is_the_last_hour_unless_it_is_named() {
    let served = served_with(|settings| settings.search_api = true);
    let last_hour = served.ask("GET /api/v1/search/metric_names?").await.text;
    assert_eq!(
        last_hour,
        "{\"results\":[{\"name\":\"recent\"}]}\n{\"status\":\"success\",\"has_more\":false}\n"
    );
    let inverted = served.ask("GET /api/v1/search/metric_names?start=2&end=1").await;
    assert!(inverted.text.contains("end timestamp must not be before start timestamp"), "{}", inverted.text);
    let many: String = (0..33).map(|n| format!("&search[]={n}")).collect();
    let refused = served.ask(&format!("GET /api/v1/search/metric_names?{many}")).await;
    assert!(refused.text.contains("too many search[] terms: got 33, maximum is 32"), "{}", refused.text);
}

#[tokio::test]
async fn metadata_comes_from_targets_and_the_bound_of_the_limit_is_the_operators() {
    let served = served_with(|settings| {
        settings.search_api = true;
        settings.search_limit_max = 3;
    });
    // Without a limit the bound holds, and the end says that there is more.
    let all = served.ask(&format!("GET /api/v1/search/metric_names?{RANGE}")).await.text;
    assert!(all.matches("\"name\"").count() == 3 && all.contains("\"has_more\":true"), "{all}");
    put(&served.store, &[("__name__", "up_total")], &[(100_000, 1.0)]);
    let about = served
        .ask(&format!("GET /api/v1/search/metric_names?search[]=up_t&include_metadata=true&{RANGE}"))
        .await
        .text;
    let first = about.lines().next();
    assert_eq!(
        first,
        Some(r#"{"results":[{"name":"up_total","type":"counter","help":"Help \u0026 more."}]}"#)
    );
}

#[tokio::test]
async fn an_agent_has_nothing_to_search() {
    let served = served_with(|settings| {
        settings.search_api = true;
        settings.agent = true;
    });
    let answer = served.ask("GET /api/v1/search/metric_names").await;
    let text = r#"{"status":"error","errorType":"execution","error":"unavailable with Prometheus Agent"}"#;
    assert_eq!((answer.status, answer.text.as_str()), (422, text));
}

#[tokio::test]
async fn without_the_flag_it_is_off() {
    let served = served();
    for endpoint in ["metric_names", "label_names", "label_values"] {
        let answer = served.ask(&format!("GET /api/v1/search/{endpoint}")).await;
        let text = r#"{"status":"error","errorType":"unavailable","error":"search API disabled"}"#;
        assert_eq!((answer.status, answer.text.as_str()), (500, text));
    }
}
