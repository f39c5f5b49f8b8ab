//! Queries that request far more than there is, against a process with little memory: each must end with an
//! answer or an error, the process must survive, and everything written meanwhile must be there afterwards.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::common::{Server, escape};

/// The memory limit of the process in KiB. Without limits on the memory of queries, each of them would exceed
/// it.
const MEMORY_KIB: u64 = 400_000;
const WIDE_SERIES: usize = 3_000;
const LIVE_SERIES: usize = 20;
const HOUR_MS: i64 = 3_600_000;

/// A request of remote write 1.0: for each series, its labels sorted by name, and one sample.
fn write_request(series: &[(Vec<(&str, String)>, i64, f64)]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, at, value) in series {
        let mut message = Vec::new();
        for (name, text) in labels {
            let mut label = Vec::new();
            field(1, name.as_bytes(), &mut label);
            field(2, text.as_bytes(), &mut label);
            field(1, &label, &mut message);
        }
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(2 << 3);
        varint(*at as u64, &mut sample);
        field(2, &sample, &mut message);
        field(1, &message, &mut request);
    }
    snap::raw::Encoder::new().compress_vec(&request).expect("a request is not that long")
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write(server: &Server, series: &[(Vec<(&str, String)>, i64, f64)]) {
    let form = "application/x-protobuf\r\nContent-Encoding: snappy";
    let answer = server.request("POST", "/api/v1/write", form, &write_request(series));
    let (status, body) = answer.unwrap_or_else(|error| panic!("remote write: {error}\n{}", server.log()));
    assert_eq!(status, 204, "remote write: {body}\n{}", server.log());
}

fn labels(name: &str, label: &'static str, index: usize) -> Vec<(&'static str, String)> {
    vec![("__name__", name.to_owned()), (label, index.to_string())]
}

/// An hour of many series, and series of which only one has a sample at any time.
fn fill(server: &Server, now_ms: i64) {
    for at in (now_ms - HOUR_MS..now_ms).step_by(60_000) {
        let samples: Vec<_> =
            (0..WIDE_SERIES).map(|index| (labels("wide", "i", index), at, index as f64)).collect();
        write(server, &samples);
    }
    for first in (0..1000).step_by(100) {
        let samples: Vec<_> = (first..first + 100)
            .map(|index| (labels("right", "j", index), now_ms - HOUR_MS + index as i64 * 3_600, 1.0))
            .collect();
        write(server, &samples);
    }
}

/// A query, whether it is a range query, and the status and errorType of every acceptable answer. "" stands
/// for success.
type Hostile = (&'static str, String, bool, &'static [(u16, &'static str)]);

const TOO_MUCH: &[(u16, &str)] = &[(503, "unavailable"), (422, "execution"), (503, "timeout")];
const TOO_MUCH_OR_ANSWER: &[(u16, &str)] =
    &[(200, ""), (503, "unavailable"), (422, "execution"), (503, "timeout")];

fn hostile_queries() -> Vec<Hostile> {
    let alternatives = (0..1_250_000).fold(String::new(), |mut text, index| {
        write!(text, "{index:07}|").expect("writing to a String cannot fail");
        text
    });
    let nested = format!("{}a{}", "(?:".repeat(500_000), "){2}".repeat(500_000));
    let doubled = |times: usize| {
        format!("{}wide{}", "label_join(".repeat(times), ", \"i\", \"\", \"i\", \"i\")".repeat(times))
    };
    vec![
        ("everything over a grid", "{__name__=~\".+\"}".into(), true, TOO_MUCH),
        (
            "nested subqueries",
            "max_over_time(max_over_time(max_over_time(wide[1h:1s])[1h:1s])[1h:1s])".into(),
            false,
            TOO_MUCH,
        ),
        (
            "nested subqueries over a grid",
            "sum(rate(sum_over_time(wide[1h:1s])[1h:1s]))".into(),
            true,
            TOO_MUCH,
        ),
        ("a cross join", "wide * on () group_left (j) last_over_time(right[4s])".into(), true, TOO_MUCH),
        (
            "a product of sums",
            "sum by (i) (wide) * on () group_left (j) right".into(),
            false,
            &[(422, "execution"), (503, "unavailable")],
        ),
        (
            "ten megabytes of alternatives",
            format!("count(wide{{i=~\"{alternatives}x\"}})"),
            false,
            &[(200, ""), (503, "unavailable")],
        ),
        ("a regex that doubles", format!("wide{{i=~\"{nested}\"}}"), false, &[(400, "bad_data")]),
        ("topk over everything", "topk(1000000, {__name__=~\".+\"})".into(), true, TOO_MUCH),
        ("a few of everything", "topk(5, {__name__=~\".+\"})".into(), true, TOO_MUCH_OR_ANSWER),
        ("a label that doubles", doubled(30), false, TOO_MUCH),
        ("a long window", "quantile_over_time(0.5, vector(time())[10h:1ms])".into(), false, TOO_MUCH),
        ("many values", "count_values(\"v\", rate(wide[1h]) + on (i) wide)".into(), true, TOO_MUCH_OR_ANSWER),
        ("everything as it is", "{__name__=~\".+\"}[1h]".into(), false, TOO_MUCH_OR_ANSWER),
    ]
}

/// Runs one of them; the answer must be one of the acceptable ones.
fn attack(server: &Server, (name, query, is_range, right): &Hostile, now_ms: i64) {
    let (start, now) = ((now_ms - HOUR_MS) / 1000, now_ms / 1000);
    let (path, times) = if *is_range {
        ("/api/v1/query_range", format!("start={start}&end={now}&step=1"))
    } else {
        ("/api/v1/query", format!("time={now}"))
    };
    // Letters, digits and `|` are not escaped, so that the request is as long as its query.
    let query: String =
        query.chars().map(|c| if c == '|' { "|".into() } else { escape(&c.to_string()) }).collect();
    let form = format!("{times}&query={query}");
    let answer = server.request("POST", path, "application/x-www-form-urlencoded", form.as_bytes());
    let (status, body) = answer.unwrap_or_else(|error| panic!("{name}: {error}\n{}", server.log()));
    let kind = if status == 200 {
        String::new()
    } else {
        let json: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        json["errorType"].as_str().unwrap_or("no JSON").to_owned()
    };
    let shown = &body[..body.floor_char_boundary(300)];
    eprintln!("{name}: {status} {kind} {}", if status == 200 { "" } else { shown });
    // Whatever this query requires, the others may use up all memory or time.
    let busy = matches!((status, &*kind), (503, "unavailable" | "timeout"));
    assert!(busy || right.contains(&(status, &kind)), "{name}: {status} {shown}\n{}", server.log());
}

#[test]
fn hostile_queries_end_and_ingestion_continues() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("prometheus.yml"), "{}").expect("written");
    let arguments = ["--web.enable-remote-write-receiver", "--query.timeout=10s"];
    let mut server = Server::start_with_memory(directory.path(), &arguments, MEMORY_KIB);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let now_ms = i64::try_from(now).expect("before the year 292 million");
    fill(&server, now_ms);

    let (attacks, done) = (hostile_queries(), AtomicBool::new(false));
    let written = std::thread::scope(|scope| {
        // Every acknowledged sample counts.
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Ordering::Relaxed) || written == 0 {
                let samples: Vec<_> = (0..LIVE_SERIES)
                    .map(|index| (labels("live", "i", index), now_ms + written, written as f64))
                    .collect();
                write(&server, &samples);
                written += 1;
            }
            written
        });
        let attackers: Vec<_> = (0..2)
            .map(|turn| {
                let (attacks, server) = (&attacks, &server);
                scope.spawn(move || {
                    // Two threads should not run the same query at the same time.
                    let half = attacks.len() / 2 * turn;
                    let order = attacks[half..].iter().chain(&attacks[..half]);
                    order.for_each(|hostile| attack(server, hostile, now_ms));
                })
            })
            .collect();
        let ended: Vec<_> = attackers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        let written = writer.join();
        ended.into_iter().for_each(|ended| ended.expect("every hostile query was answered"));
        written.expect("every write was acknowledged")
    });

    let at = (now_ms + written) as f64 / 1000.0;
    let ask = |query: &str| loop {
        let (status, body) = server.get(&format!("/api/v1/query?query={}&time={at}", escape(query)));
        // The last of the hostile answers may still be in transit.
        if status != 503 {
            break (status, body);
        }
    };
    let (status, body) = ask("count_over_time(live[30m]) == bool last_over_time(live[30m]) + 1");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let result = answer["data"]["result"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!((status, result.len()), (200, LIVE_SERIES), "{body}");
    assert!(result.iter().all(|series| series["value"][1] == "1"), "samples are missing: {body}");
    let (_, body) = ask("count_over_time(live[30m])");
    assert!(body.contains(&format!("\"{written}\"")), "{written} were acknowledged: {body}");
    eprintln!("{written} writes of {LIVE_SERIES} series were acknowledged, and all are there");
    for text in ["panic", "memory allocation"] {
        assert!(!server.log().contains(text), "{}", server.log());
    }
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.log());
}
