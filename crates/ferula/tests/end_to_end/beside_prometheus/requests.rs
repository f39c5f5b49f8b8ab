//! Requests that clients send in odd forms, and the alerts that are sent.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::files::shape;
use super::played::{Played, status};
use super::{json, with_each};
use crate::common::{PATIENCE, Server, Target};

/// Requests without `HTTP/1.1`, and what of the answer is compared: status, the named headers, and the error's kind.
const REQUESTS: &[(&str, &str)] = &[
    // The real one loses `/api/v1` on the way to another place, so only the status is compared.
    ("POST /api/v1/write/", "307"),
    ("GET /federate/", "301 location=/federate"),
    ("GET /api/v1/query/?query=1", "301"),
    ("GET /nope", "404"),
    ("GET /api/v1/nope", "404"),
    ("GET /api/v1/query?query=1;x=2", "400 bad_data"),
    ("GET /api/v1/query?query=1%", "400 bad_data"),
    ("GET /api/v1/query?query=%zz", "400 bad_data"),
    ("GET /api/v1/labels?start=NaN", "200"),
    ("GET /api/v1/label/job/values?limit=2", "200"),
    ("DELETE /api/v1/series", "500 internal"),
    ("PUT /api/v1/query?query=1", "405"),
    ("OPTIONS /api/v1/query", "204"),
    ("HEAD /-/healthy", "200"),
    ("GET /-/ready", "200"),
    ("PUT /-/reload", "403"),
    ("GET /api/v1/status/flags", "200"),
    ("GET /", "302 location=/query"),
    ("GET /consoles/x", "404"),
    ("GET /user/x", "404"),
];

/// Paths whose parameters are left out, given as empty, twice, and with something odd, and those parameters.
const FORMS: &[(&str, &[&str])] = &[
    ("/api/v1/query", &["query", "time", "timeout", "limit", "lookback_delta", "stats"]),
    (
        "/api/v1/query_range",
        &["query", "start", "end", "step", "timeout", "limit", "lookback_delta", "stats"],
    ),
    ("/api/v1/query_exemplars", &["query", "start", "end"]),
    ("/api/v1/format_query", &["query"]),
    ("/api/v1/parse_query", &["query"]),
    ("/api/v1/series", &["match[]", "start", "end", "limit"]),
    ("/api/v1/labels", &["match[]", "start", "end", "limit"]),
    ("/api/v1/label/job/values", &["match[]", "start", "end", "limit"]),
    ("/api/v1/label/__name__/values", &["match[]", "start", "end", "limit"]),
    ("/api/v1/targets", &["state", "scrapePool"]),
    ("/api/v1/targets/metadata", &["match_target", "metric", "limit"]),
    ("/api/v1/metadata", &["metric", "limit", "limit_per_metric"]),
    (
        "/api/v1/rules",
        &[
            "type",
            "rule_name[]",
            "rule_group[]",
            "file[]",
            "match[]",
            "exclude_alerts",
            "group_limit",
            "group_next_token",
        ],
    ),
    ("/api/v1/status/tsdb", &["limit"]),
    ("/federate", &["match[]"]),
];
/// Good values for the parameters that a path cannot be without.
const GOOD: &[(&str, &str)] =
    &[("query", "up"), ("start", "0"), ("end", "60"), ("step", "15"), ("match[]", "up")];
/// Values that are tried for every parameter.
const ODD: &[&str] =
    &["", "0", "-1", "x", "1e3", "NaN", "%2BInf", "1h", "%201", "%00", "99999999999999999999"];
/// Values whose outcome is left out: times beyond all numbers wrap around there, and whether a query ends before or after its start when its time has run out is chance there.
const LEFT_OUT: &[(&str, &[&str])] = &[
    ("timeout", &["-1", "0", "NaN"]),
    ("start", &["99999999999999999999"]),
    ("end", &["99999999999999999999"]),
];

/// Sends a request; returns status, headers in lower case, and body.
fn send(server: &Server, request: &str, headers: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(&server.address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let text =
        format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("read");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: {text}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_owned(), body.to_owned())
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

/// Status and, if it is an error in JSON, its kind and text.
fn judgement(server: &Server, request: &str) -> String {
    let (status, _, body) = send(server, request, "");
    match serde_json::from_str::<serde_json::Value>(&body) {
        Ok(json) if json["status"] == "error" => format!("{status} {} {}", json["errorType"], json["error"]),
        _ if status == 200 => "200".to_owned(),
        _ => format!("{status} {}", body.trim()),
    }
}

#[test]
fn odd_requests_are_answered_with_the_same_status_and_headers() {
    with_each(|program, start| {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("prometheus.yml"), "").expect("written");
        let server = start(directory.path(), &["--web.enable-remote-write-receiver"]);
        let mut wrong = Vec::new();
        for (request, expected) in REQUESTS {
            let (status, head, body) = send(&server, request, "");
            let mut found = status.to_string();
            if let Some(location) = header(&head, "location").filter(|_| expected.contains("location=")) {
                found.push_str(&format!(" location={location}"));
            }
            let json = serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default();
            if let Some(kind) = json["errorType"].as_str() {
                found.push_str(&format!(" {kind}"));
            }
            if found != *expected {
                wrong.push(format!("{request}: {found} instead of {expected}"));
            }
        }
        // As many and as large headers as a mesh or a single sign-on makes.
        let many: String = (0..300).map(|n| format!("X-{n}: {n}\r\n")).collect();
        let large = format!("Cookie: {}\r\n", "c".repeat(600_000));
        for (headers, what) in [(&many, "300 headers"), (&large, "600 kB of headers")] {
            let (status, ..) = send(&server, "GET /-/healthy", headers);
            if status != 200 {
                wrong.push(format!("{what}: {status}"));
            }
        }
        assert!(wrong.is_empty(), "{program}:\n{}", wrong.join("\n"));
    });
}

/// Absent, empty, repeated and odd parameters of every path; without the real program there is nothing to compare with.
#[test]
fn empty_and_odd_parameters_are_judged_as_by_prometheus() {
    let mut requests = Vec::new();
    for (path, parameters) in FORMS {
        for parameter in *parameters {
            let others = || GOOD.iter().filter(|(name, _)| parameters.contains(name) && name != parameter);
            let others: String = others().map(|(name, value)| format!("&{name}={value}")).collect();
            requests.push(format!("GET {path}?{}", others.trim_start_matches('&')));
            requests.push(format!("GET {path}?{parameter}{others}"));
            requests.push(format!("GET {path}?{parameter}=&{parameter}=1{others}"));
            let left_out = LEFT_OUT.iter().filter(|(name, _)| name == parameter);
            let left_out: Vec<&str> = left_out.flat_map(|(_, values)| *values).copied().collect();
            let odd = ODD.iter().filter(|value| !left_out.contains(value));
            requests.extend(odd.map(|value| format!("GET {path}?{parameter}={value}{others}")));
        }
    }
    let answers = std::cell::RefCell::new(Vec::<Vec<String>>::new());
    with_each(|_, start| {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("prometheus.yml"), "").expect("written");
        let server = start(directory.path(), &[]);
        answers.borrow_mut().push(requests.iter().map(|request| judgement(&server, request)).collect());
    });
    let answers = answers.into_inner();
    let [theirs, ours] = &answers[..] else { return };
    let differ = requests.iter().zip(ours.iter().zip(theirs)).filter(|(_, (ours, theirs))| ours != theirs);
    let differ: Vec<String> =
        differ.map(|(request, (ours, theirs))| format!("{request}\n  {ours}\n  there\n  {theirs}")).collect();
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), requests.len(), differ.join("\n"));
}

#[test]
fn alerts_are_sent_in_the_same_form() {
    with_each(|program, start| {
        let directory = tempfile::tempdir().expect("a directory");
        let alertmanager = Played::start(|_, _| status("200 OK", ""));
        let config = format!(
            "global: {{evaluation_interval: 1s, external_labels: {{dc: x, '': y}}}}\n\
             rule_files: [r.yml]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]}}\n",
            alertmanager.port
        )
        .replace(", '': y", "");
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
        let rules = "groups: [{name: g, rules: [{alert: A, expr: vector(1)}, {alert: B, expr: vector(1), annotations: {}}, \
                     {alert: C, expr: vector(1), annotations: {t: ''}, labels: {l: '', m: n}}]}]";
        std::fs::write(directory.path().join("r.yml"), rules).expect("written");
        let _server = start(directory.path(), &["--rules.alert.resend-delay=1s"]);
        let deadline = Instant::now() + PATIENCE;
        // Each rule's alert comes by itself, or with others.
        let found = || {
            let bodies = alertmanager.bodies().into_iter().filter(|body| !body.is_empty());
            let alerts: BTreeSet<String> = bodies.flat_map(|body| shape(&body)).collect();
            alerts.into_iter().collect::<Vec<_>>()
        };
        while found().len() < 3 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let expected = [
            r#"{"annotations":{"t":""},"endsAt":"…","startsAt":"…","generatorURL":"…","labels":{"alertname":"C","dc":"x","m":"n"}}"#,
            r#"{"endsAt":"…","startsAt":"…","generatorURL":"…","labels":{"alertname":"A","dc":"x"}}"#,
            r#"{"endsAt":"…","startsAt":"…","generatorURL":"…","labels":{"alertname":"B","dc":"x"}}"#,
        ];
        assert_eq!(found(), expected, "{program}");
    });
}

#[test]
fn a_series_that_has_ended_is_not_listed_after_its_end() {
    with_each(|program, start| {
        let directory = tempfile::tempdir().expect("a directory");
        let target = Target::start(|n| if n == 1 { "gone 1\n".to_owned() } else { "other 1\n".to_owned() });
        let config = format!(
            "scrape_configs: [{{job_name: j, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}]\n",
            target.address
        );
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
        let server = start(directory.path(), &[]);
        server.await_query("other", |result| result.get(0).map(|_| ()));
        let listed = |from: f64| {
            let answer = json(&server, &format!("/api/v1/series?match[]=gone&start={from}"));
            answer["data"].as_array().expect("a list").len()
        };
        assert_eq!(listed(0.0), 1, "{program}: it was there");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        // Its end, which is a sample too, is not later than the scrape that was just seen.
        assert_eq!(listed(now.as_secs_f64() + 0.001), 0, "{program}: it has ended");
    });
}
