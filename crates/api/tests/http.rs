//! Requests and their answers, to the byte: status, body, the headers that clients look at.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use common::{served, served_with};
use ferula_api::{LoadedConfig, Service, Stage};

/// Requests as `METHOD path` or `METHOD path body`, with status and body. The clock stands at 1,000,000 s.
const CASES: &[(&str, u16, &str)] = &[
    // Queries.
    (
        "GET /api/v1/query?query=up&time=100.5",
        200,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"<a>"},"value":[100.500,"1"]}]}}"#,
    ),
    (
        "GET /api/v1/query?query=1e-7&time=7.5",
        200,
        r#"{"status":"success","data":{"resultType":"scalar","result":[7.5,"0.0000001"]}}"#,
    ),
    (
        "GET /api/v1/query?query=sum(tiny)&time=7",
        200,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[7,"1e-07"]}]}}"#,
    ),
    (
        "GET /api/v1/query?query=%22%3Ca%3E%22&time=7",
        200,
        r#"{"status":"success","data":{"resultType":"string","result":[7,"\u003ca\u003e"]}}"#,
    ),
    (
        "GET /api/v1/query_range?query=up&start=90&end=110&step=10",
        200,
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"<a>"},"values":[[100,"1"],[110,"1"]]}]}}"#,
    ),
    (
        "GET /api/v1/query_range?query=1&start=0&end=1&step=1",
        200,
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[1,"1"]]}]}}"#,
    ),
    (
        "POST /api/v1/query query=up&time=100",
        200,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"<a>"},"value":[100,"1"]}]}}"#,
    ),
    (
        "POST /api/v1/query?query=2&time=1",
        200,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#,
    ),
    (
        "GET /api/v1/query?query=two&time=100&limit=1",
        200,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"two","n":"1"},"value":[100,"1"]}]},"warnings":["results truncated due to limit"]}"#,
    ),
    (
        "GET /api/v1/query?query=up&time=100&lookback_delta=0.0001",
        200,
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
    ),
    (
        "GET /api/v1/query?query=1&time=1_000",
        200,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1000,"1"]}}"#,
    ),
    // Bad queries.
    (
        "GET /api/v1/query",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": unknown position: parse error: no expression found in input"}"#,
    ),
    (
        "GET /api/v1/query?query=up%7B",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces"}"#,
    ),
    (
        "GET /api/v1/query?query=1&time=abc",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp"}"#,
    ),
    (
        "GET /api/v1/query?query=1&limit=-1",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": limit must be non-negative"}"#,
    ),
    (
        "GET /api/v1/query_range?query=1&start=2&end=1&step=1",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}"#,
    ),
    (
        "GET /api/v1/query?query=two%20%2B%20on()%20two&time=100",
        422,
        r#"{"status":"error","errorType":"execution","error":"found duplicate series for the match group {} on the right hand-side of the operation: [{__name__=\"two\", n=\"1\"}, {__name__=\"two\", n=\"2\"}];many-to-many matching not allowed: matching labels must be unique on one side"}"#,
    ),
    // Endpoints of the pages.
    ("GET /api/v1/status/active_queries", 200, r#"{"status":"ok","data":[]}"#),
    (
        "GET /api/v1/status/top_queries?topN=3&maxLifetime=1h",
        200,
        r#"{"topN":"3","maxLifetime":"1h","search.queryStats.lastQueriesCount":20000,"search.queryStats.minQueryDuration":"1ms","search.queryStats.minQueryMemoryUsage":"0","topByCount":[],"topByAvgDuration":[],"topBySumDuration":[],"topByAvgMemoryUsage":[]}"#,
    ),
    (
        "GET /api/v1/status/top_queries?topN=0",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"topN\": must be a number from 1 to 1000"}"#,
    ),
    (
        "POST /api/v1/ferula/queries/stop id=1F",
        404,
        r#"{"status":"error","errorType":"not_found","error":"there is no running query with this id"}"#,
    ),
    (
        "POST /api/v1/ferula/queries/stop id=x",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"id\": must be the id of a running query"}"#,
    ),
    (
        "POST /api/v1/ferula/relabel labels={\"a\":\"b\"}&rules=-%20{source_labels:%20[a],%20target_label:%20c}%0A-%20{source_labels:%20[c],%20regex:%20b,%20action:%20drop}",
        200,
        r#"{"status":"success","data":{"steps":[{"rule":{"source_labels":["a"],"separator":";","regex":"(.*)","target_label":"c","replacement":"$1","action":"replace"},"output":{"a":"b","c":"b"},"keep":true},{"rule":{"source_labels":["c"],"separator":";","regex":"b","replacement":"$1","action":"drop"},"output":{},"keep":false}]}}"#,
    ),
    (
        "POST /api/v1/ferula/relabel labels={}&rules=-%20{action:%20drop}%0A-%20{action:%20hashmod}",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"rules\": relabel configuration for hashmod requires non-zero modulus (line 2: [1])"}"#,
    ),
    (
        "POST /api/v1/ferula/scrape_preview scrapePool=node&scrapeUrl=http://elsewhere/",
        404,
        r#"{"status":"error","errorType":"not_found","error":"scrape pool \"node\" has no target \"http://elsewhere/\""}"#,
    ),
    (
        "POST /api/v1/ferula/graph query=up&start=1&end=2&step=1&series_max=20001",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"series_max\": must be a number from 1 to 20000"}"#,
    ),
    // Labels, values, series.
    ("GET /api/v1/labels", 200, r#"{"status":"success","data":["__name__","job","n"]}"#),
    (
        "POST /api/v1/labels limit=1",
        200,
        r#"{"status":"success","data":["__name__"],"warnings":["results truncated due to limit"]}"#,
    ),
    (
        "GET /api/v1/labels?match[]=up&match[]=two",
        200,
        r#"{"status":"success","data":["__name__","job","n"]}"#,
    ),
    ("GET /api/v1/label/n/values", 200, r#"{"status":"success","data":["1","2"]}"#),
    ("GET /api/v1/label/U__job/values?match[]=up", 200, r#"{"status":"success","data":["\u003ca\u003e"]}"#),
    ("GET /api/v1/label/unknown/values", 200, r#"{"status":"success","data":[]}"#),
    ("GET /api/v1/series?match[]=up", 200, r#"{"status":"success","data":[{"__name__":"up","job":"<a>"}]}"#),
    (
        "GET /api/v1/series?match[]=two&match[]=%7Bn=%222%22%7D",
        200,
        r#"{"status":"success","data":[{"__name__":"two","n":"1"},{"__name__":"two","n":"2"}]}"#,
    ),
    (
        "GET /api/v1/series",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}"#,
    ),
    (
        "GET /api/v1/series?match[]=%7Bx=~%22.*%22%7D",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"}"#,
    ),
    // The language alone.
    ("GET /api/v1/format_query?query=sum(up)by(a)", 200, r#"{"status":"success","data":"sum by (a) (up)"}"#),
    ("GET /api/v1/query_exemplars?query=1", 204, ""),
    (
        "GET /api/v1/query_exemplars?query=test&start=1700000000000&end=1700000060000",
        200,
        r#"{"status":"success","data":[]}"#,
    ),
    // Status.
    ("GET /api/v1/rules", 200, r#"{"status":"success","data":{"groups":[]}}"#),
    ("GET /api/v1/alerts", 200, r#"{"status":"success","data":{"alerts":[]}}"#),
    (
        "GET /api/v1/status/flags",
        200,
        r#"{"status":"success","data":{"config.file":"prometheus.yml","web.enable-lifecycle":"true"}}"#,
    ),
    (
        "GET /api/v1/status/buildinfo",
        200,
        r#"{"status":"success","data":{"version":"3.14.0","revision":"r","branch":"b","buildUser":"u","buildDate":"20260821-00:00:00","goVersion":"none"}}"#,
    ),
    (
        "GET /api/v1/targets?state=active",
        200,
        r#"{"status":"success","data":{"activeTargets":[{"discoveredLabels":{"__address__":"localhost:9100","__always_scrape_classic_histograms__":"false","__convert_classic_histograms_to_nhcb__":"false","__metrics_path__":"/metrics","__scheme__":"http","__scrape_interval__":"15s","__scrape_native_histograms__":"false","__scrape_timeout__":"10s","job":"node"},"labels":{"instance":"localhost:9100","job":"node"},"scrapePool":"node","scrapeUrl":"http://localhost:9100/metrics","globalUrl":"http://here:9100/metrics","lastError":"","lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":0,"health":"unknown","scrapeInterval":"15s","scrapeTimeout":"10s"}],"droppedTargets":[],"droppedTargetCounts":null}}"#,
    ),
    (
        "GET /api/v1/metadata?metric=up_total",
        200,
        r#"{"status":"success","data":{"up_total":[{"type":"counter","unit":"","help":"Help \u0026 more."}]}}"#,
    ),
    ("GET /api/v1/metadata?metric=nothing", 200, r#"{"status":"success","data":{}}"#),
    (
        "GET /api/v1/metadata?limit=x",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"limit must be a number"}"#,
    ),
    (
        "PUT /api/v1/admin/tsdb/clean_tombstones",
        500,
        r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#,
    ),
    // A limit is only checked between targets.
    (
        "GET /api/v1/targets/metadata?limit=1",
        200,
        r#"{"status":"success","data":[{"target":{"instance":"localhost:9100","job":"node"},"metric":"up_total","type":"counter","help":"Help \u0026 more.","unit":""},{"target":{"instance":"localhost:9100","job":"node"},"metric":"z","type":"gauge","help":"","unit":""}]}"#,
    ),
    ("GET /api/v1/targets/metadata?limit=0", 200, r#"{"status":"success","data":[]}"#),
    (
        "GET /api/v1/scrape_pools/config",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"no scrapePool parameter provided"}"#,
    ),
    (
        "GET /api/v1/scrape_pools/config?scrapePool=nope",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"error retrieving scrape config: scrape pool \"nope\" not found"}"#,
    ),
    (
        "GET /api/v1/targets/relabel_steps?scrapePool=node",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"no labels parameter provided"}"#,
    ),
    (
        "GET /api/v1/status/self_metrics?metric_name_pattern=prometheus_(ready%7Cnothing)",
        200,
        r#"{"status":"success","data":[{"name":"prometheus_ready","help":"1 while the server answers queries and takes samples, 0 while it starts or stops.","type":"GAUGE","metric":[{"gauge":{"value":1}}]}]}"#,
    ),
    (
        "GET /api/v1/search/label_names",
        500,
        r#"{"status":"error","errorType":"unavailable","error":"search API disabled"}"#,
    ),
    (
        "GET /api/v1/rules?group_limit=99999999999h",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"99999999999h\": value out of range"}"#,
    ),
    // Paths that do not exist, or not like this.
    ("GET //api/v1/labels?limit=1", 307, "<a href=\"/api/v1/labels?limit=1\">Temporary Redirect</a>.\n\n"),
    ("POST //api/v1/query query=1", 307, ""),
    ("GET /api/v1", 307, "<a href=\"/api/v1/\">Temporary Redirect</a>.\n\n"),
    ("GET /api/v1/nothing", 404, "404 page not found\n"),
    ("GET /nothing", 404, "404 page not found\n"),
    ("POST /api/v1/rules", 405, "Method Not Allowed\n"),
    ("POST /api/v1/label/job/values", 405, "Method Not Allowed\n"),
    ("HEAD /api/v1/query", 405, ""),
    ("OPTIONS /api/v1/anything", 204, ""),
    ("OPTIONS /metrics", 200, ""),
    ("GET /api/v1/read", 405, "Method Not Allowed\n"),
    ("POST /api/v1/read", 400, "snappy: corrupt input\n"),
    ("GET /-/healthy", 200, "Prometheus Server is Healthy.\n"),
    ("GET /-/ready", 200, "Prometheus Server is Ready.\n"),
    ("GET /-/quit", 405, "Only POST or PUT requests allowed"),
    ("GET /", 302, "<a href=\"/query\">Found</a>.\n\n"),
    ("GET /api/v1/status/walreplay", 200, r#"{"status":"success","data":{"min":0,"max":7,"current":3}}"#),
    ("POST /api/v1/write/", 307, ""),
    ("GET /federate/?match[]=up", 301, "<a href=\"/federate?match[]=up\">Moved Permanently</a>.\n\n"),
    ("GET /api/v1/write/", 404, "404 page not found\n"),
    ("GET /federate?match[]=up;x", 400, "error parsing form values: invalid semicolon separator in query\n"),
    (
        "GET /api/v1/series?match[]=up;x",
        400,
        r#"{"status":"error","errorType":"bad_data","error":"error parsing form values: invalid semicolon separator in query"}"#,
    ),
    ("GET /api/v1/labels?start=NaN", 200, r#"{"status":"success","data":["__name__","job","n"]}"#),
    ("GET /graph?g0.expr=up", 302, "<a href=\"/query?g0.expr=up\">Found</a>.\n\n"),
    (
        "POST /api/v1/write",
        404,
        "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n",
    ),
    ("GET /federate?match[]=recent", 200, "# TYPE recent untyped\nrecent{instance=\"\"} 4 999999000\n"),
    ("GET /federate?match[]=%7B%7D", 200, ""),
    ("GET /federate?match[]=%7B", 400, "1:2: parse error: unexpected end of input inside braces\n"),
];

#[tokio::test]
async fn requests_are_answered_as_by_prometheus() {
    let served = served();
    let mut wrong = Vec::new();
    for (request, status, body) in CASES {
        let answer = served.ask(request).await;
        if (answer.status, answer.text.as_str()) != (*status, *body) {
            wrong
                .push(format!("{request}\n  got  {} {}\n  want {status} {body}", answer.status, answer.text));
        }
    }
    assert!(wrong.is_empty(), "{} of {} answers differ:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

/// What `curl -F` sends. Parameters of the URL come first, as in Go.
#[tokio::test]
async fn forms_in_several_parts_are_read() {
    let served = served();
    let part = |name: &str, value: &str| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = format!("{}{}--XX--\r\n", part("query", "1+1"), part("time", "5"));
    let two = r#"{"status":"success","data":{"resultType":"scalar","result":[5,"2"]}}"#;
    let seven = r#"{"status":"success","data":{"resultType":"scalar","result":[5,"7"]}}"#;
    for (uri, content_type, body, expected) in [
        ("/api/v1/query", "multipart/form-data; boundary=XX", body.as_str(), Some(two)),
        ("/api/v1/query?query=7", "multipart/form-data; boundary=\"XX\"", &body, Some(seven)),
        ("/api/v1/query", "multipart/form-data", &body, None),
        ("/api/v1/query", "multipart/form-data; boundary=XX", &body[..body.len() - 6], None),
        ("/api/v1/query", "application/x-www-form-urlencoded; a=b; a=c", "query=1%2B1&time=5", None),
        ("/api/v1/query", "Application/X-WWW-Form-URLEncoded;", "query=1%2B1&time=5", Some(two)),
    ] {
        let request = Request::post(uri).header(header::CONTENT_TYPE, content_type);
        let answer = served.send(request.body(Body::from(body.to_owned())).expect("a request")).await;
        match expected {
            Some(text) => assert_eq!((answer.status, answer.text.as_str()), (200, text), "{content_type}"),
            None => assert_eq!(answer.status, 400, "{content_type}: {}", answer.text),
        }
    }
}

#[tokio::test]
async fn endpoints_that_need_no_store_answer_before_it_is_open() {
    let served = served();
    for stage in [Stage::Starting, Stage::Stopping] {
        served.site.readiness.set(stage);
        for path in ["/api/v1/query?query=1", "/api/v1/status/flags", "/-/ready", "/federate"] {
            let answer = served.ask(&format!("GET {path}")).await;
            assert_eq!((answer.status, answer.text.as_str()), (503, "Service Unavailable"), "{path}");
            let stopping = if stage == Stage::Stopping { "true" } else { "false" };
            assert_eq!(answer.headers["x-prometheus-stopping"], stopping);
        }
        for path in ["/-/healthy", "/metrics", "/version", "/query", "/api/v1/status/walreplay"] {
            assert_eq!(served.ask(&format!("GET {path}")).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn headers_are_those_that_browsers_and_caches_need() {
    let served = served();
    let request = Request::get("/api/v1/labels")
        .header(header::ORIGIN, "http://page.example")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .expect("a request");
    let answer = served.send(request).await;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_ENCODING, "gzip"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "http://page.example"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    ] {
        assert_eq!(answer.headers[&name], value, "{name}");
    }
    let vary: Vec<_> = answer.headers.get_all(header::VARY).iter().collect();
    assert_eq!(vary, ["Accept-Encoding", "Origin"]);
    let not_found = served.ask("GET /nothing").await;
    assert_eq!(not_found.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let not_allowed = served.ask("POST /api/v1/rules").await;
    assert_eq!(not_allowed.headers[header::ALLOW], "GET, OPTIONS");
    assert_eq!(served.ask("PUT /api/v1/query").await.headers[header::ALLOW], "GET, OPTIONS, POST");
    let moved = served.ask("POST //api/v1/query?time=1 query=1").await;
    assert_eq!(moved.headers[header::LOCATION], "/api/v1/query?time=1");
}

#[tokio::test]
async fn empty_braces_delete_nothing() {
    let served = served_with(|settings| settings.admin = true);
    for (selector, status) in [("%7B%7D", 204), ("up", 204), ("%7B", 400)] {
        let answer = served.ask(&format!("POST /api/v1/admin/tsdb/delete_series?match[]={selector}")).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn federation_pages_are_compressed_as_requested() {
    let served = served();
    for (accepted, packed) in [("deflate", Some("deflate")), ("gzip", Some("gzip")), ("br", None)] {
        let request = Request::get("/federate?match[]=recent").header(header::ACCEPT_ENCODING, accepted);
        let answer = served.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.headers[header::VARY], "Accept-Encoding");
        let encoding =
            answer.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().expect("a word"));
        assert_eq!(encoding, packed);
    }
}

#[tokio::test]
async fn jobs_are_shown_as_they_run_and_their_rules_step_by_step() {
    let served = served();
    let config = "\
scrape_configs:
- job_name: node
  relabel_configs:
  - {source_labels: [__address__], regex: '(.*):.*', target_label: host}
  - {action: drop, source_labels: [host], regex: away}
  - {action: labelmap, regex: __meta_(.+)}
";
    let config = ferula_config::Config::parse(config).expect("the configuration is valid");
    served.loaded.send_replace(LoadedConfig::new(config, String::new()).into());
    let yaml = served.ask("GET /api/v1/scrape_pools/config?scrapePool=node").await.text;
    assert!(
        yaml.starts_with(r#"{"status":"success","data":{"yaml":"job_name: node\nhonor_timestamps: true\n"#),
        "{yaml}"
    );
    let steps = |host: &str| {
        let labels = format!("%7B%22__address__%22:%22{host}:1%22,%22__meta_a%22:%22b%22%7D");
        format!("GET /api/v1/targets/relabel_steps?scrapePool=node&labels={labels}")
    };
    let rules = [
        r#"{"source_labels":["__address__"],"separator":";","regex":"(.*):.*","target_label":"host","replacement":"$1","action":"replace"}"#,
        r#"{"source_labels":["host"],"separator":";","regex":"away","replacement":"$1","action":"drop"}"#,
        r#"{"separator":";","regex":"__meta_(.+)","replacement":"$1","action":"labelmap"}"#,
    ];
    let two = r#"{"__address__":"here:1","__meta_a":"b","host":"here"}"#;
    let three = r#"{"__address__":"here:1","__meta_a":"b","a":"b","host":"here"}"#;
    assert_eq!(
        served.ask(&steps("here")).await.text,
        format!(
            r#"{{"status":"success","data":{{"steps":[{{"rule":{},"output":{two},"keep":true}},{{"rule":{},"output":{two},"keep":true}},{{"rule":{},"output":{three},"keep":true}}]}}}}"#,
            rules[0], rules[1], rules[2]
        )
    );
    let away = served.ask(&steps("away")).await.text;
    assert_eq!(away.matches(r#""output":{},"keep":false"#).count(), 2, "{away}");
}

#[tokio::test]
async fn a_prefix_moves_all_routes() {
    let served = served_with(|settings| settings.route_prefix = "/p".to_owned());
    assert_eq!(served.ask("GET /p/-/ready").await.status, 200);
    assert_eq!(served.ask("GET /-/ready").await.status, 404);
    let root = served.ask("GET /").await;
    assert_eq!((root.status, &root.headers[header::LOCATION]), (302, &"/p".parse().expect("a value")));
    assert_eq!(served.ask("POST /").await.status, 405);
    let prefix = served.ask("GET /p").await;
    assert_eq!((prefix.status, &prefix.headers[header::LOCATION]), (301, &"/p/".parse().expect("a value")));
    assert_eq!(served.ask("GET /p/").await.headers[header::LOCATION], "/query");
}

#[tokio::test]
async fn remote_write_stores_what_a_query_then_finds() {
    let served = served_with(|settings| settings.remote_write = true);
    // {__name__="w"} with the value 1 at 999,999 s, as protobuf.
    let message =
        b"\x0a\x20\x0a\x0d\x0a\x08__name__\x12\x01w\x12\x0f\x09\0\0\0\0\0\0\xf0\x3f\x10\x98\xf8\xea\xdc\x03";
    let write = |body: Vec<u8>, content_type: &'static str| {
        Request::post("/api/v1/write")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body))
            .expect("a request")
    };
    let good = ferula_remote::snappy::encode(message);
    assert_eq!(served.send(write(good.clone(), "application/x-protobuf")).await.status, 204);
    let found = served.ask("GET /api/v1/query?query=w&time=999999").await;
    assert!(found.text.contains(r#""value":[999999,"1"]"#), "{}", found.text);
    // The same in version 2 of the message, whose answer reports how much was written.
    let message = b"\x22\x00\x22\x08__name__\x22\x01v\x2a\x15\x0a\x02\x01\x02\x12\x0f\x09\0\0\0\0\0\0\xf0\x3f\x10\x98\xf8\xea\xdc\x03";
    let newer = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let answer = served.send(write(ferula_remote::snappy::encode(message), newer)).await;
    assert_eq!(
        (answer.status, &answer.headers["x-prometheus-remote-write-samples-written"]),
        (204, &1.into())
    );
    let found = served.ask("GET /api/v1/query?query=v&time=999999").await;
    assert!(found.text.contains(r#""value":[999999,"1"]"#), "{}", found.text);
    let refused = served.send(write(b"xx".to_vec(), "application/x-protobuf")).await;
    assert_eq!((refused.status, refused.text.as_str()), (400, "snappy: corrupt input\n"));
    assert_eq!(served.send(write(good, "text/plain")).await.status, 415);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_code() {
    let served = served();
    served.ask("GET /api/v1/query?query=1").await;
    served.ask("GET /api/v1/query?query=").await;
    served.ask("GET /api/v1/label/a/values").await;
    let page = served.ask("GET /metrics").await.text;
    for line in [
        "prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query\"} 1",
        "prometheus_http_requests_total{code=\"400\",handler=\"/api/v1/query\"} 1",
        "prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/label/:name/values\"} 1",
        "prometheus_http_requests_total{code=\"200\",handler=\"/-/ready\"} 0",
        "prometheus_engine_queries 0",
        "prometheus_ready 1",
    ] {
        assert!(page.lines().any(|got| got == line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn reload_and_quit_reach_the_program() {
    let mut served = served();
    let mut requests = served.lifecycle.take().expect("taken once");
    let program = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(request) = requests.recv().await {
            match request {
                ferula_api::Lifecycle::Reload(result) => {
                    seen.push("reload");
                    let _ = result.send(Err("no such file".into()));
                }
                ferula_api::Lifecycle::Quit => {
                    seen.push("quit");
                    break;
                }
            }
        }
        seen
    });
    let reload = served.ask("POST /-/reload").await;
    assert_eq!((reload.status, reload.text.as_str()), (500, "failed to reload config: no such file\n"));
    let quit = served.ask("PUT /-/quit").await;
    assert_eq!((quit.status, quit.text.as_str()), (200, "Requesting termination... Goodbye!"));
    assert_eq!(program.await.expect("no panic"), ["reload", "quit"]);
    let off = served_with(|settings| settings.lifecycle = false);
    let answer = off.ask("POST /-/reload").await;
    assert_eq!((answer.status, answer.text.as_str()), (403, "Lifecycle API is not enabled."));
}

#[tokio::test]
async fn the_page_names_targets() {
    let page = served().ask("GET /targets").await;
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(page.text.contains("http://localhost:9100/metrics") && page.text.contains("0 of 1 up"));
}

#[tokio::test]
async fn endpoints_that_need_the_store_are_refused_before_it_is_open() {
    let served = served();
    served.service.send_replace(Service::Starting(served.site.clone()));
    // This also holds between the change of stage and the change of service.
    for stage in [Stage::Starting, Stage::Ready] {
        served.site.readiness.set(stage);
        for path in ["/api/v1/query?query=1", "/api/v1/targets", "/-/ready", "/federate"] {
            let answer = served.ask(&format!("GET {path}")).await;
            assert_eq!((answer.status, answer.text.as_str()), (503, "Service Unavailable"), "{path}");
            assert_eq!(answer.headers["x-prometheus-stopping"], "false");
        }
        for path in ["/-/healthy", "/metrics", "/version", "/query", "/api/v1/notifications"] {
            assert_eq!(served.ask(&format!("GET {path}")).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn pages_begin_with_the_shell_and_load_their_files() {
    let served = served_with(|settings| {
        settings.page_title.clear();
        settings.route_prefix = "/p".to_owned();
    });
    for page in ["/query", "/alerts", "/metrics-explorer", "/queries"] {
        let shell = served.ask(&format!("GET /p{page}?g0.expr=up")).await;
        assert_eq!(shell.text, format!("<html data-path=\"{page}\" data-ready=true data-lookback=5m>"));
        let policy = shell.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(
            policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'self'"),
            "{policy}"
        );
        assert_eq!(shell.headers[header::CACHE_CONTROL], "no-cache");
        assert_eq!(shell.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    let file = served.ask("GET /p/assets/1/app.js").await;
    assert_eq!((file.status, file.text.as_str()), (200, "let x;"));
    assert_eq!(
        (&file.headers[header::CONTENT_TYPE], &file.headers[header::ETAG]),
        (&"text/javascript".parse().expect("a value"), &"\"1\"".parse().expect("a value"))
    );
    let asked = |name: header::HeaderName, value: &'static str| {
        let request = Request::get("/p/assets/1/app.js").header(name, value);
        request.body(Body::empty()).expect("a request")
    };
    let packed = served.send(asked(header::ACCEPT_ENCODING, "gzip")).await;
    assert_eq!(packed.headers[header::CONTENT_ENCODING], "gzip");
    let known = served.send(asked(header::IF_NONE_MATCH, "\"0\", \"1\"")).await;
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    for path in ["/p/assets/1/other.js", "/p/assets/", "/p/assets/1/..%2Fapp.js"] {
        assert_eq!(served.ask(&format!("GET {path}")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn pages_from_other_origins_cannot_change_state() {
    let served = served_with(|settings| settings.admin = true);
    let delete = "/api/v1/admin/tsdb/delete_series?match[]=up";
    for (headers, status) in [
        (&[][..], 204),
        (&[("origin", "http://here:9090")], 204),
        (&[("host", "10.0.0.5:9090"), ("origin", "http://10.0.0.5:9090")], 204),
        (&[("host", "10.0.0.5:9090"), ("origin", "http://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("sec-fetch-site", "same-origin"), ("origin", "https://proxied.example")], 204),
    ] {
        let mut request = Request::post(delete);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = served.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    // Reading is allowed, even by POST.
    let read = Request::post("/api/v1/query?query=1").header("origin", "http://evil.example");
    assert_eq!(served.send(read.body(Body::empty()).expect("a request")).await.status, 200);
}

#[tokio::test]
async fn answers_without_a_body_have_no_type() {
    let served = served();
    for request in ["HEAD /-/healthy", "HEAD /-/ready", "OPTIONS /api/v1/labels", "POST //api/v1/query"] {
        let answer = served.ask(request).await;
        assert_eq!(answer.headers.get(header::CONTENT_TYPE), None, "{request}");
    }
    let options = served.ask("OPTIONS /api/v1/labels").await;
    let vary: Vec<_> = options.headers.get_all(header::VARY).iter().collect();
    assert_eq!(vary, ["Accept-Encoding", "Origin"]);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_stopped() {
    let served = served();
    let query = "sum_over_time(vector(1)[1h:1ms])%2Bsum_over_time(vector(1)[1h:1ms])";
    let request = format!("GET /api/v1/query?query={query}&timeout=0.001");
    let turn = async {
        while served.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        served.clock.advance(Duration::from_millis(1));
    };
    let (answer, ()) = tokio::join!(served.ask(&request), turn);
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(
        answer.text.starts_with(r#"{"status":"error","errorType":"timeout","error":"query timed out in"#)
    );
}

/// An unpacked body counts towards the memory of all bodies, and is released afterwards.
#[tokio::test]
async fn bodies_for_which_there_is_no_memory_are_answered_503() {
    let memory = ferula_storage::MemoryContract::new(1 << 20);
    let served = served_with(|settings| {
        settings.body_memory = memory.clone();
        settings.remote_write = true;
    });
    let write = |body: Vec<u8>| {
        Request::post("/api/v1/write")
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(Body::from(body))
            .expect("a request")
    };
    // 8 MiB of zeros in 400 kB, which is not a write request anyway; the memory is reserved first.
    let answer = served.send(write(ferula_remote::snappy::encode(&vec![0; 8 << 20]))).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("try again"), "{}", answer.text);
    let answer = served.ask(&format!("POST /api/v1/query query={}", "x".repeat(1 << 19))).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(memory.used(), 0);
    assert_eq!(served.ask("POST /api/v1/query query=1").await.status, 200);
}

/// Go drops the form, so there is no query.
#[tokio::test]
async fn a_form_that_is_too_large_is_refused() {
    let served = served();
    let body = "x".repeat(11 << 20);
    let answer = served.ask(&format!("POST /api/v1/query query={body}")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("no expression found in input"), "{}", answer.text);
}

#[tokio::test]
async fn a_timeout_of_zero_expires_at_once() {
    let served = served();
    for timeout in ["0", "-1"] {
        let answer = served.ask(&format!("GET /api/v1/query?query=1&timeout={timeout}")).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.text.contains("query timed out in query execution"), "{}", answer.text);
    }
}

/// The answer of `ferula/editor` for texts with a cursor `|`: the titles of fixes, or messages without a fix;
/// then the candidates.
#[tokio::test]
async fn an_editor_receives_diagnostics_and_completions() {
    let served = served();
    for (marked, diagnostics, items) in [
        ("up|", "", "up"),
        ("u|", "Use up", "up sum hour count"),
        ("rec|", "Use recent", "recent"),
        ("two{n=\"|", "1:7: unterminated quoted string", "1 2"),
        ("two{|", "1:5: unexpected end of input inside braces", "n"),
        ("two{n=\"3\"}|", "Use \"1\"", ""),
        ("sum by (|) (two)", "", "n"),
        ("sum(two) |", "", ""),
        ("rate(up[|", "1:9: unexpected end of input in duration expression", "1m 5m 10m"),
        ("rate(up[5s])|", "Use [1m]", ""),
        ("rate(sum by (job) (up)[5m:])|", "Use sum by (job) (rate(up[5m]))", ""),
        ("up_total|", "There is no metric up_total. Use rate(up_total[5m])", ""),
        ("histogram_quantile(0.9, sum(rate(x_bucket[5m])))|", "Keep le There is no metric x_bucket.", ""),
        (
            "histogram_quantile(0.9, sum by (a) (rate(x_bucket[5m])))|",
            "Keep le There is no metric x_bucket.",
            "",
        ),
    ] {
        let cursor = marked.find('|').expect("a cursor");
        let body = format!(
            "query={}&cursor={cursor}&start=0&end=2000000&limit=4",
            encoded(&marked.replace('|', ""))
        );
        let answer = served.ask(&format!("POST /api/v1/ferula/editor {body}")).await;
        let read: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
        let data = &read["data"];
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let told: Vec<String> = list(&data["diagnostics"])
            .iter()
            .map(|one| one["fixes"][0]["title"].as_str().or(one["message"].as_str()).unwrap_or("").to_owned())
            .collect();
        let offered: Vec<String> = list(&data["complete"]["items"])
            .iter()
            .map(|item| item["text"].as_str().unwrap_or("").to_owned())
            .collect();
        assert_eq!(told.join(" "), diagnostics, "{marked}");
        let offered = offered.join(" ");
        assert!(
            offered.starts_with(items) && (items.is_empty() == offered.is_empty()),
            "{marked}: {offered}"
        );
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_tree_has_a_line_for_each_part() {
    let served = served();
    let answer = served
        .ask(&format!(
            "POST /api/v1/ferula/tree time=100&query={}",
            encoded("sum by (n) (two) + on () up > 1e9")
        ))
        .await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"application/x-ndjson; charset=utf-8".parse().expect("a header"))
    );
    let lines: Vec<serde_json::Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let shown: Vec<String> = lines
        .iter()
        .map(|line| {
            format!(
                "{} {} {} {}",
                line["id"],
                line["parent"],
                line["type"].as_str().unwrap_or(""),
                line["series"].as_u64().map_or("-".to_owned(), |count| count.to_string())
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "0 null binaryExpr -",
            "1 0 binaryExpr -",
            "2 1 aggregation 2",
            "3 2 vectorSelector 2",
            "4 1 vectorSelector 1",
            "5 0 numberLiteral -"
        ]
    );
    assert!(lines[1]["error"].as_str().is_some_and(|error| error.contains("many-to-one")), "{}", lines[1]);
    assert_eq!(lines[3]["labels"][0]["examples"], serde_json::json!(["1", "2"]));
    for (query, status) in [("sum(", 400), (&*"a+".repeat(40_000), 400)] {
        assert_eq!(
            served.ask(&format!("POST /api/v1/ferula/tree query={}", encoded(query))).await.status,
            status
        );
    }
}

#[tokio::test]
async fn a_rule_is_tested_on_history() {
    let served = served();
    let ask = |more: &str| {
        format!("POST /api/v1/ferula/backtest name=A&start=999000&end=1000000&interval=10s&{more}")
    };
    let answer = served.ask(&ask(&format!("expr={}&for=5m", encoded("recent > 3")))).await;
    let read: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
    let data = &read["data"];
    // The sample at 999,999 s is 4: pending since the last evaluation, too recent for a `for` of five minutes.
    let counts = ["evaluations", "firedCount", "episodesCount"].map(|name| data[name].as_u64());
    assert_eq!(counts, [Some(100), Some(0), Some(1)], "{data}");
    assert_eq!(data["episodes"][0]["events"][0]["change"], "pending");
    let answer = served
        .ask(&ask(&format!(
            "expr={}&labels={}",
            encoded("recent > 3"),
            encoded("{\"severity\":\"{{ $value }}\"}")
        )))
        .await;
    let read: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
    let episode = &read["data"]["episodes"][0];
    assert_eq!(episode["labels"]["severity"], "4", "{}", read["data"]);
    assert_eq!(
        (&episode["events"][0]["change"], &episode["events"][0]["value"]),
        (&"firing".into(), &"4".into())
    );
    for (more, why) in [
        ("expr=sum(", "invalid parameter \"expr\""),
        ("expr=up&for=x", "invalid parameter \"for\""),
        ("expr=up&labels=x", "invalid parameter \"labels\""),
        ("expr=up&start=0&interval=1ms", "more than 140000 evaluations"),
    ] {
        let answer =
            served.ask(&format!("POST /api/v1/ferula/backtest start=999000&end=1000000&{more}")).await;
        let start_last = more.contains("start=0");
        let answer = if start_last {
            served.ask(&format!("POST /api/v1/ferula/backtest {more}&end=1000000")).await
        } else {
            answer
        };
        assert!(
            answer.status == 400 && answer.text.contains(&why.replace('"', "\\\"")),
            "{more}: {} {}",
            answer.status,
            answer.text
        );
    }
}

#[tokio::test]
async fn cardinality_is_counted_for_chosen_series() {
    let served = served();
    let path = format!(
        "GET /api/v1/status/tsdb?match[]={}&focusLabel=n&start=0&end=2000000",
        encoded("{__name__=~\"two|up\"}")
    );
    let answer = served.ask(&path).await;
    let read: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
    let data = &read["data"];
    assert_eq!((&data["totalSeries"], &data["totalLabelValuePairs"]), (&3.into(), &6.into()), "{data}");
    assert_eq!(data["seriesCountByMetricName"][0], serde_json::json!({ "name": "two", "value": 2 }));
    assert_eq!(data["seriesCountByFocusLabelValue"].as_array().map(Vec::len), Some(2));
    assert!(data["headStats"]["numSeries"].is_number());
    assert_eq!(served.ask("GET /api/v1/status/tsdb?match[]=%7B").await.status, 400);
    let plain = served.ask("GET /api/v1/status/tsdb").await.text;
    assert!(!plain.contains("totalSeries") && !plain.contains("Focus"), "{plain}");
}

/// Every rule doubles the length: forty of them would turn 16 bytes into 16 TiB.
#[tokio::test]
async fn rules_that_double_labels_are_refused_in_time() {
    let served = served();
    let rules = "- {source_labels: [a], target_label: a, replacement: $1$1}\n".repeat(40);
    let labels = encoded("{\"a\":\"0123456789abcdef\"}");
    let body = format!("labels={labels}&rules={}", encoded(&rules));
    let answer = served.ask(&format!("POST /api/v1/ferula/relabel {body}")).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.text.contains("more than 16777216 bytes"), "{}", answer.text);
    // The request defines the work, so pages of other origins must not send it.
    for route in ["relabel", "backtest"] {
        assert_eq!(served.ask(&format!("GET /api/v1/ferula/{route}?{body}")).await.status, 405);
    }
}

/// The number of clients is limited by the flag; each receives the current state and then the changes.
#[tokio::test]
async fn notifications_are_followed_live() {
    use http_body_util::BodyExt;
    let served = served();
    served.site.readiness.set(Stage::Starting);
    let follow = || Request::get("/api/v1/notifications/live").body(Body::empty()).expect("a request");
    let mut first = served.open(follow()).await;
    assert_eq!(
        (first.status().as_u16(), &first.headers()[header::CONTENT_TYPE]),
        (200, &"text/event-stream".parse().expect("a header"))
    );
    let _second = served.open(follow()).await;
    assert_eq!(served.ask("GET /api/v1/notifications/live").await.status, 204);
    let metric = |what: &str| {
        let families = served.site.registry.gather();
        let name = format!("prometheus_api_notification_{what}");
        let family = families.into_iter().find(|family| family.name == name).expect(what);
        format!("{:?}", family.metrics[0].value)
    };
    let text = |frame: axum::body::Bytes| String::from_utf8_lossy(&frame).into_owned();
    let begin =
        text(first.body_mut().frame().await.expect("open").expect("whole").into_data().expect("data"));
    assert!(begin.contains("is starting") && begin.contains("\"active\":true"), "{begin}");
    served.site.readiness.set(Stage::Stopping);
    served.clock.advance(Duration::from_secs(1));
    let change =
        text(first.body_mut().frame().await.expect("open").expect("whole").into_data().expect("data"));
    assert!(change.contains("\"active\":false") && change.contains("shutting down"), "{change}");
    assert!(metric("active_subscribers").contains("2.0"), "{}", metric("active_subscribers"));
    assert!(first.body_mut().frame().await.is_none(), "nothing follows the end");
    // The first client heard of an end and a beginning after what held when it came.
    assert!(metric("updates_sent_total").contains("2.0"), "{}", metric("updates_sent_total"));
    drop(first);
    assert!(metric("active_subscribers").contains("1.0"), "{}", metric("active_subscribers"));
    assert!(metric("updates_dropped_total").contains("0.0"), "{}", metric("updates_dropped_total"));
}
