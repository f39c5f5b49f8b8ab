//! The same pages scraped by ferula and by the real Prometheus 3.5: what both store, and their errors for bad
//! pages.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ferula_go::protobuf::{push_varint, put_bytes, put_double, put_sint, put_varint};
use serde_json::Value;

use crate::circle::peer;
use crate::common::{PATIENCE, Server, escape};

/// A page and the configuration of its job.
struct Page {
    name: String,
    content_type: &'static str,
    body: Vec<u8>,
    /// Lines of the job's section.
    job: &'static str,
}

const TEXT: &str = "text/plain; version=0.0.4";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn message(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    out
}

fn label(name: &str, value: &str) -> Vec<u8> {
    message(|out| {
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, value.as_bytes());
    })
}

fn seconds(seconds: u64) -> Vec<u8> {
    message(|out| {
        put_varint(out, 1, seconds);
        put_varint(out, 2, 123_456_789);
    })
}

fn exemplar(id: &str, at: Option<u64>) -> Vec<u8> {
    message(|out| {
        put_bytes(out, 1, &label("trace_id", id));
        put_double(out, 2, 0.25);
        if let Some(at) = at {
            put_bytes(out, 3, &seconds(at));
        }
    })
}

fn family(name: &str, kind: u64, unit: &str, metrics: &[Vec<u8>]) -> Vec<u8> {
    let family = message(|out| {
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, format!("Help of {name}.").as_bytes());
        put_varint(out, 3, kind);
        metrics.iter().for_each(|metric| put_bytes(out, 4, metric));
        if !unit.is_empty() {
            put_bytes(out, 5, unit.as_bytes());
        }
    });
    message(|out| {
        push_varint(out, family.len() as u64);
        out.extend_from_slice(&family);
    })
}

/// A metric with a label and the content of `field`.
fn metric(value: &str, field: u32, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    message(|out| {
        put_bytes(out, 1, &label("l", value));
        put_bytes(out, 1, &label("a.b", "\u{e9}\"\\\n"));
        put_bytes(out, field, &message(fill));
    })
}

fn classic(out: &mut Vec<u8>, buckets: &[(f64, u64)]) {
    put_varint(out, 1, buckets.last().map_or(0, |(_, count)| *count));
    put_double(out, 2, 12.5);
    for (index, (bound, count)) in buckets.iter().enumerate() {
        let bucket = message(|out| {
            put_varint(out, 1, *count);
            put_double(out, 2, *bound);
            let at = (index > 0).then_some(1_600_000_000 + index as u64);
            put_bytes(out, 3, &exemplar(&format!("bucket{index}"), at));
        });
        put_bytes(out, 3, &bucket);
    }
}

fn span(offset: i64, length: u64) -> Vec<u8> {
    message(|out| {
        put_sint(out, 1, offset);
        put_varint(out, 2, length);
    })
}

/// The native part, with integer counts.
fn native(out: &mut Vec<u8>, schema: i64) {
    put_varint(out, 1, 14);
    put_double(out, 2, -3.5);
    put_sint(out, 5, schema);
    put_double(out, 6, 0.001);
    put_varint(out, 7, 2);
    put_bytes(out, 9, &span(-2, 2));
    for delta in [1, 2] {
        put_sint(out, 10, delta);
    }
    for piece in [span(0, 2), span(3, 2), span(0, 1)] {
        put_bytes(out, 12, &piece);
    }
    let packed = message(|out| [2u64, 0, 2, 1, 4].iter().for_each(|zigzag| push_varint(out, *zigzag)));
    put_bytes(out, 13, &packed);
    put_bytes(out, 15, &seconds(1_500_000_000));
    put_bytes(out, 16, &exemplar("late", Some(1_600_000_009)));
    put_bytes(out, 16, &exemplar("early", Some(1_600_000_001)));
    put_bytes(out, 16, &exemplar("untimed", None));
}

fn native_float(out: &mut Vec<u8>) {
    put_double(out, 4, 7.5);
    put_double(out, 2, 9.0);
    put_sint(out, 5, 1);
    put_double(out, 6, 1e-9);
    put_double(out, 8, 1.5);
    put_bytes(out, 12, &span(1, 2));
    for count in [2.0, 4.0] {
        put_double(out, 14, count);
    }
}

fn simple_types() -> Vec<u8> {
    let counter = metric("c", 3, |out| {
        put_double(out, 1, 1e21);
        put_bytes(out, 2, &exemplar("counter", Some(1_600_000_000)));
        put_bytes(out, 3, &seconds(1_500_000_000));
    });
    let summary = metric("s", 4, |out| {
        put_varint(out, 1, 3);
        put_double(out, 2, 6.5);
        for (quantile, value) in [(0.5, 1.0), (1.0, f64::NAN)] {
            put_bytes(out, 3, &message(|out| (put_double(out, 1, quantile), put_double(out, 2, value)).0));
        }
    });
    [
        family("c_total", 0, "", &[counter]),
        family("g_seconds", 1, "seconds", &[metric("g", 2, |out| put_double(out, 1, f64::NEG_INFINITY))]),
        family("s", 2, "", &[summary, metric("none", 4, |out| put_varint(out, 1, 7))]),
        family("u", 3, "", &[metric("u", 5, |out| put_double(out, 1, -0.0))]),
        family("empty", 9, "", &[]),
    ]
    .concat()
}

/// 3.5 creates no gauge histogram with custom buckets, but 3.14 does; and 3.5 keeps only the exemplars of a
/// family's first native histogram.
fn histograms(gauge_classic: bool) -> Vec<u8> {
    // The native part has the same number of observations.
    let buckets = [(0.5, 1), (1.0, 4), (2.5, 4), (f64::INFINITY, 14)];
    let both = |schema| {
        metric("x", 7, |out| {
            native(out, schema);
            classic(out, &buckets);
        })
    };
    let all = [
        metric("inf", 7, |out| classic(out, &buckets)),
        metric("no_inf", 7, |out| classic(out, &buckets[..3])),
        metric("none", 7, |out| put_varint(out, 1, 3)),
    ];
    let gauge_of_classic = [metric("g", 7, |out| classic(out, &buckets))];
    let mut page = [
        family("classic", 4, "", &all),
        family("both", 4, "", &[both(2)]),
        family("both_coarse", 4, "", &[both(0)]),
        family("native", 4, "", &[metric("i", 7, |out| native(out, 3)), metric("f", 7, native_float)]),
        family("gauge", 5, "", &[metric("g", 7, |out| native(out, -1))]),
        family("unused", 4, "", &[metric("x", 7, |out| put_bytes(out, 12, &span(0, 0)))]),
    ]
    .concat();
    if gauge_classic {
        page.extend(family("gauge_classic", 5, "", &gauge_of_classic));
    }
    page
}

const CLASSIC_TEXT: &str = "# HELP h Help\\nof \\\\h.\n# TYPE h histogram\nh_bucket{a=\"x\",le=\"1\"} 2\n\
    h_bucket{a=\"x\",le=\"+Inf\"} 3\nh_sum{a=\"x\"} 4\nh_count{a=\"x\"} 3\nh_bucket{a=\"y\",le=\"1e3\"} 2.5\n\
    h_bucket{a=\"y\",le=\"+Inf\"} 3\nh_sum{a=\"y\"} 4\nh_count{a=\"y\"} 3\nh_bucket{a=\"bad\",le=\"1\"} 2\n\
    h_bucket{a=\"bad\",le=\"2\"} 1\nh_count{a=\"bad\"} 1\n# TYPE s summary\ns{quantile=\"1\"} 3\ns_sum 4\ns_count 1\n\
    {\"utf.8\",\"l.b\"=\"\u{e9}\"} 1\n# TYPE u untyped\nu NaN\nu2 +Inf\nh_late_bucket{le=\"1\"} 1\n";

const EXEMPLARS: &str = "# TYPE c counter\n# UNIT c_seconds seconds\nc_total 5 # {id=\"a\\\"b\"} 1 1600000000.5\n\
    # TYPE h histogram\nh_bucket{le=\"1\"} 2 # {id=\"b\"} 0.5 1600000001\nh_bucket{le=\"+Inf\"} 3 # {} 2 1600000000\n\
    h_sum 4\nh_count 3\nh_created 1500000000.25\n# TYPE i info\ni_info{a=\"b\"} 1\n# TYPE st stateset\nst{st=\"on\"} 1\n\
    # TYPE gh gaugehistogram\ngh_bucket{le=\"+Inf\"} 3\ngh_gsum 4\ngh_gcount 3\n# EOF\n";

/// Invalid UTF-8 of every length: lone continuation bytes, truncated and overlong sequences, surrogates,
/// values beyond the end.
const NO_UTF8: [&[u8]; 12] = [
    b"\x80",
    b"\xbf\xbf",
    b"\xc3",
    b"\xc0\xaf",
    b"\xe2\x82",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98",
    b"\xf0\x80\x80\xaf",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\xf8\x88\x80\x80\x80",
];

fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    let mut add = |name: &str, content_type, body: &[u8], job| {
        pages.push(Page { name: name.to_owned(), content_type, body: body.to_vec(), job });
    };
    add("simple", PROTOBUF, &simple_types(), "");
    add("histograms", PROTOBUF, &histograms(true), "");
    let contradiction = family(
        "bad",
        4,
        "",
        &[metric("x", 7, |out| {
            native(out, 0);
            put_varint(out, 1, 9);
        })],
    );
    let contradiction = [simple_types(), contradiction, simple_types()].concat();
    add("histograms-contradiction", PROTOBUF, &contradiction, "");
    add("histograms-classic-too", PROTOBUF, &histograms(true), "always_scrape_classic_histograms: true");
    add("histograms-custom", PROTOBUF, &histograms(false), "convert_classic_histograms_to_nhcb: true");
    add("histograms-limited", PROTOBUF, &histograms(true), "native_histogram_bucket_limit: 7");
    add("histograms-over", PROTOBUF, &histograms(true), "native_histogram_bucket_limit: 2");
    add("histograms-factor", PROTOBUF, &histograms(true), "native_histogram_min_bucket_factor: 1.7");
    add("histograms-sample-limit", PROTOBUF, &histograms(true), "sample_limit: 20");
    add("text", TEXT, CLASSIC_TEXT.as_bytes(), "");
    add("text-custom", TEXT, CLASSIC_TEXT.as_bytes(), "convert_classic_histograms_to_nhcb: true");
    add(
        "text-custom-too",
        TEXT,
        CLASSIC_TEXT.as_bytes(),
        "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true",
    );
    add("openmetrics", OPENMETRICS, EXEMPLARS.as_bytes(), "");
    // Here 3.5 swallows a `_created` line, which was a bug.
    let without_created = EXEMPLARS.replace("h_created 1500000000.25\n", "");
    add(
        "openmetrics-custom",
        OPENMETRICS,
        without_created.as_bytes(),
        "convert_classic_histograms_to_nhcb: true",
    );
    let legacy = "metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores";
    add("legacy", TEXT, b"{\"a.b\"} 1\n", legacy);
    add("legacy-protobuf", PROTOBUF, &simple_types(), legacy);
    for (name, content_type, job) in [
        ("type-none", "", ""),
        ("type-html", "text/html; charset=utf-8", ""),
        ("type-two-charsets", "text/plain; charset=utf-8; charset=latin1", ""),
        ("type-same-charset", "text/plain; charset=utf-8; charset=utf-8", ""),
        ("type-no-semicolon", "text/plain; version=0.0.4 charset=utf-8", ""),
        ("type-open-parameter", "text/plain; version", ""),
        ("type-semicolon", "text/plain;", ""),
        ("type-upper-case", "TEXT/PLAIN; VERSION=0.0.4", ""),
        ("type-slash", "text/", ""),
        ("type-json", "application/json", ""),
        ("type-protobuf", "application/vnd.google.protobuf", ""),
        ("fallback-none", "", "fallback_scrape_protocol: PrometheusText0.0.4"),
        ("fallback-html", "text/html", "fallback_scrape_protocol: PrometheusText0.0.4"),
        ("fallback-broken", "text/plain; version", "fallback_scrape_protocol: PrometheusText0.0.4"),
        ("fallback-protobuf", "", "fallback_scrape_protocol: PrometheusProto"),
    ] {
        add(name, content_type, b"a 1\nb{c=\"d\"} 2\n", job);
    }
    for (number, bytes) in NO_UTF8.iter().enumerate() {
        for (place, before, after) in [
            ("value", &b"a{b=\"x"[..], &b"y\"} 1\ng 2\n"[..]),
            ("value-end", b"a{b=\"x", b"\"} 1\ng 2\n"),
            ("quoted-name", b"{\"x", b"y\"} 1\ng 2\n"),
            ("label-name", b"a{\"x", b"y\"=\"z\"} 1\ng 2\n"),
            ("help", b"# HELP a x", b"y\na 1\n"),
            ("comment", b"# x", b"y\na 1\n"),
            ("bare-name", b"x", b" 1\ng 2\n"),
            ("after", b"a 1\ng 2\n", b""),
        ] {
            let body = [before, bytes, after].concat();
            add(&format!("utf8-{place}-{number}"), TEXT, &body, "");
        }
    }
    pages
}

/// Serves page number `index` at `/<index>`, over HTTP/1.0.
fn serve(pages: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // It does not matter if a scraper was killed in the middle.
            let _ = answer(stream, &pages);
        }
    });
    address
}

fn answer(stream: TcpStream, pages: &[(&'static str, Vec<u8>)]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let page = path.strip_prefix('/').and_then(|index| pages.get(index.parse::<usize>().ok()?));
    let (content_type, body) = page.ok_or_else(|| std::io::Error::other(request.clone()))?;
    let head =
        format!("HTTP/1.0 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn config(pages: &[Page], address: &str, global: &str) -> String {
    let mut text = format!("global: {{scrape_interval: 2s, scrape_timeout: 2s{global}}}\nscrape_configs:\n");
    for (index, page) in pages.iter().enumerate() {
        let (name, job) = (&page.name, if page.job.is_empty() { "" } else { ", " });
        text.push_str(&format!(
            "- {{job_name: {name}, metrics_path: /{index}, static_configs: [{{targets: ['{address}']}}]{job}{}}}\n",
            page.job
        ));
    }
    text
}

/// What one program has for each job: series with their values, exemplars, metadata, and the error.
type JobContents = BTreeMap<String, Vec<String>>;

fn get(server: &Server, path: &str) -> Value {
    let (status, body) = server.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str::<Value>(&body).expect("JSON")["data"].clone()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn found(server: &Server, scraped_twice: usize) -> JobContents {
    let deadline = Instant::now() + 4 * PATIENCE;
    let twice = "count(count_over_time(up[5m]) > 1)";
    let wanted = Value::from(scraped_twice.to_string());
    while server.try_query(twice).expect("answered")[0]["value"][1] != wanted {
        assert!(Instant::now() < deadline, "not all were scraped twice:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut found = JobContents::new();
    let mut add = |job: &Value, what: String| {
        found.entry(job.as_str().unwrap_or_default().to_owned()).or_default().push(what);
    };
    for row in list(&server.try_query("{job!=\"\",__name__!=\"scrape_duration_seconds\"}").expect("answered"))
    {
        let value = if row["value"].is_null() { &row["histogram"][1] } else { &row["value"][1] };
        add(&row["metric"]["job"], format!("{} {value}", row["metric"]));
    }
    let exemplars = format!("/api/v1/query_exemplars?query={}&start=0&end=4000000000", escape("{job!=\"\"}"));
    for series in list(&get(server, &exemplars)) {
        for exemplar in list(&series["exemplars"]) {
            // A sample without a timestamp has that of its scrape.
            let timed = exemplar["timestamp"].as_f64().is_some_and(|at| at < 1_650_000_000.0);
            let at = if timed { exemplar["timestamp"].to_string() } else { "now".to_owned() };
            let text =
                format!("{} # {} {} {at}", series["seriesLabels"], exemplar["labels"], exemplar["value"]);
            add(&series["seriesLabels"]["job"], text);
        }
    }
    for one in list(&get(server, "/api/v1/targets/metadata")) {
        let text = format!("{} is {} {} {}", one["metric"], one["type"], one["unit"], one["help"]);
        add(&one["target"]["job"], text);
    }
    for target in list(&get(server, "/api/v1/targets")["activeTargets"]) {
        add(&target["labels"]["job"], format!("error {}", target["lastError"].as_str().unwrap_or_default()));
    }
    for all in found.values_mut() {
        all.sort();
        all.dedup();
    }
    found
}

const NAMES: &str = "invalid metric name or label names: ";

/// Our errors name the line, and add an explanation.
fn same(ours: &[String], theirs: &[String]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| match theirs.strip_prefix("error ") {
            // For names with invalid UTF-8, our error shows the line, and theirs the label set.
            Some(error) if error.starts_with(NAMES) => ours.contains(NAMES),
            Some(error) if !error.is_empty() => ours.starts_with(theirs),
            _ => ours == theirs,
        })
}

/// When the server scrapes itself, every format yields the same series, and protobuf also yields native
/// histograms.
#[test]
fn our_own_page_is_the_same_in_every_format() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "").expect("written");
    let server = Server::start(directory.path(), &["--config.file=prometheus.yml", "--web.enable-lifecycle"]);
    let job = |name: &str, more: &str| {
        format!("- {{job_name: {name}, static_configs: [{{targets: ['{}']}}], {more}}}\n", server.address)
    };
    let config = [
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n",
        &job("text", "scrape_protocols: [PrometheusText0.0.4]"),
        &job("openmetrics", "scrape_protocols: [OpenMetricsText1.0.0]"),
        &job("protobuf", "scrape_protocols: [PrometheusProto]"),
        &job("native", "scrape_native_histograms: true"),
    ]
    .concat();
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let (status, body) = server.request("POST", "/-/reload", "", b"").expect("answered");
    assert_eq!(status, 200, "{body}");
    server.await_query("count(count_over_time(up[5m]) > 3)", |found| {
        (found[0]["value"][1] == "4").then_some(())
    });
    for (job, format) in [("openmetrics", "OpenMetrics"), ("protobuf", "protobuf")] {
        for (a, b) in [("text", job), (job, "text")] {
            let only = format!("{{job=\"{a}\"}} unless ignoring(job) {{job=\"{b}\"}}");
            // Some routes and jobs were counted between two scrapes.
            let names = server.try_query(&format!("count by (__name__) ({only})")).expect("answered");
            assert!(list(&names).len() < 3, "{format}: only {a} has {names}");
        }
    }
    let found = server.await_query(
        "prometheus_http_request_duration_seconds{job=\"native\",handler=\"/metrics\"}",
        |found| (!found[0]["histogram"].is_null()).then(|| found.clone()),
    );
    assert!(!list(&found[0]["histogram"][1]["buckets"]).is_empty(), "{found}");
    let quantile =
        "histogram_quantile(0.9, sum(rate(prometheus_http_request_duration_seconds{job=\"native\"}[1m])))";
    server.await_query(quantile, |found| {
        found[0]["value"][1].as_str().and_then(|v| v.parse::<f64>().ok()).filter(|v| *v > 0.0)
    });
}

#[test]
fn both_store_the_same_for_every_page() {
    let Some(prometheus) = peer("prometheus") else { return };
    let pages = pages();
    let address = serve(pages.iter().map(|page| (page.content_type, page.body.clone())).collect());
    let flags = ["--enable-feature=exemplar-storage", "--config.file=prometheus.yml"];
    let directories = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let write = |directory: &tempfile::TempDir, global| {
        std::fs::write(directory.path().join("prometheus.yml"), config(&pages, &address, global))
            .expect("written");
    };
    write(&directories[0], "");
    write(&directories[1], ", scrape_native_histograms: true");
    // In both versions, this enables native histograms.
    let theirs_flags = [
        "--enable-feature=native-histograms,exemplar-storage",
        "--config.file=prometheus.yml",
        // Debian's default differs.
        "--storage.tsdb.path=data",
    ];
    let theirs = Server::start_prometheus(&prometheus, directories[0].path(), &theirs_flags);
    let ours = Server::start(directories[1].path(), &flags);
    let (theirs, ours) = (found(&theirs, pages.len()), found(&ours, pages.len()));
    let mut samples = 0;
    let mut different = Vec::new();
    for page in &pages {
        let (a, b) = (&ours[&page.name], &theirs[&page.name]);
        samples += b.len();
        if !same(a, b) {
            let only = |of: &[String], other: &[String]| -> Vec<String> {
                of.iter().filter(|one| !other.contains(one)).cloned().collect()
            };
            different.push(format!(
                "{}:\n  ferula only {:#?}\n  Prometheus only {:#?}",
                page.name,
                only(a, b),
                only(b, a)
            ));
        }
    }
    println!("{} pages, {samples} series, exemplars, metadata and errors compared", pages.len());
    assert!(different.is_empty(), "{} pages differ\n{}", different.len(), different.join("\n"));
}
