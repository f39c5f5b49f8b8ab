//! The real binary under concurrent remote writes and scrapes, each of which gives many series the same
//! value: no query may ever see two different values. Meanwhile, blocks are cut and the head is truncated.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ferula_remote::protobuf::{put_bytes, put_double, put_varint};

use crate::common::{Server, Target, escape};

/// Series of each remote-write request, and of each scrape.
const SERIES: usize = 50;
const WRITERS: usize = 3;
const READERS: usize = 2;
/// The test continues until this many blocks were cut,
const BLOCKS: usize = 2;
/// every writer has had this many requests accepted,
const REQUESTS: u64 = 30;
/// and every reader has received this many non-empty answers.
const ANSWERS: u64 = 10;

/// A remote-write request that gives all series of a writer one value at one time.
fn request(writer: usize, value: f64, at: i64) -> Vec<u8> {
    let mut message = Vec::new();
    for series in 0..SERIES {
        let (writer, half, series) = (writer.to_string(), (series % 2).to_string(), series.to_string());
        let mut one = Vec::new();
        let labels = [("__name__", "row"), ("half", &half), ("series", &series), ("writer", &writer)];
        for (name, value) in labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut one, 1, &label);
        }
        let mut sample = Vec::new();
        put_double(&mut sample, 1, value);
        put_varint(&mut sample, 2, at as u64);
        put_bytes(&mut one, 2, &sample);
        put_bytes(&mut message, 1, &one);
    }
    snap::raw::Encoder::new().compress_vec(&message).expect("it is small")
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// Writes rows until told to stop; counts the accepted ones.
fn write_rows(server: &Server, writer: usize, stop: &AtomicBool, taken: &AtomicU64) {
    let mut last = 0;
    for value in 1u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        last = now_ms().max(last + 1);
        let body = request(writer, f64::from(value), last);
        let (status, text) = server
            .request("POST", "/api/v1/write", "application/x-protobuf", &body)
            .unwrap_or_else(|error| panic!("remote write: {error}\n{}", server.log()));
        match status {
            200 | 204 => _ = taken.fetch_add(1, Ordering::Relaxed),
            // On a busy machine, a whole request may be too old for the head.
            400 => assert!(text.contains("out of bounds") || text.contains("out of order"), "{text}"),
            status => panic!("remote write: {status} {text}"),
        }
    }
}

/// Queries whose result is empty as long as every row is seen completely: different values in the two halves
/// of a row, or in two selectors; several values in one selector; missing series.
fn torn_rows() -> Vec<String> {
    let rows = [("row", "writer", SERIES), ("page", "job", SERIES)];
    rows.iter()
        .flat_map(|(metric, by, series)| {
            [
                format!("max by ({by}) ({metric}{{half=\"0\"}}) != min by ({by}) ({metric}{{half=\"1\"}})"),
                format!("count by ({by}) (count_values by ({by}) (\"value\", {metric})) != 1"),
                format!("count by ({by}) ({metric}) != {series}"),
                format!(
                    "sum by ({by}) (count_over_time({metric}[1s])) != \
                     {series} * max by ({by}) (count_over_time({metric}{{half=\"1\"}}[1s]))"
                ),
            ]
        })
        .collect()
}

/// Runs all queries, at the current time and over the last seconds, which reach into blocks.
fn look_for_torn_rows(server: &Server, range: bool) {
    for query in torn_rows() {
        let query = escape(&query);
        let path = if range {
            let end = now_ms();
            format!(
                "/api/v1/query_range?query={query}&start={}&end={}&step=0.5",
                (end - 8_000) as f64 / 1e3,
                end as f64 / 1e3
            )
        } else {
            format!("/api/v1/query?query={query}")
        };
        let (status, body) = server.get(&path);
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200, "{body}");
        assert_eq!(answer["data"]["result"], serde_json::json!([]), "a torn row: {path}");
    }
}

#[test]
fn requests_and_scrapes_are_seen_completely_while_blocks_are_cut() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let target = Target::start(|n| {
        (0..SERIES)
            .map(|series| format!("page{{half=\"{}\",series=\"{series}\"}} {n}\n", series % 2))
            .collect()
    });
    let config = format!(
        "scrape_configs:\n- job_name: pages\n  scrape_interval: 50ms\n  scrape_timeout: 50ms\n  static_configs:\n  - targets: ['{}']\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let flags = ["--web.enable-remote-write-receiver", "--storage.tsdb.min-block-duration=3s"];
    let server = Server::start(directory.path(), &flags);
    let stop = AtomicBool::new(false);
    let taken: [AtomicU64; WRITERS] = Default::default();
    let answers: [AtomicU64; READERS] = Default::default();
    std::thread::scope(|scope| {
        for (writer, taken) in taken.iter().enumerate() {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || write_rows(server, writer, stop, taken));
        }
        for (reader, answers) in answers.iter().enumerate() {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                // A failed assertion must stop the other threads too.
                let _stop = StopAtEnd(stop);
                while !stop.load(Ordering::Relaxed) {
                    look_for_torn_rows(server, reader % 2 == 1);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let enough = |counts: &[AtomicU64], least| counts.iter().all(|n| n.load(Ordering::Relaxed) >= least);
        let blocks = || server.log().matches("msg=\"write block\"").count();
        let done = || blocks() >= BLOCKS && enough(&taken, REQUESTS) && enough(&answers, ANSWERS);
        while !stop.load(Ordering::Relaxed) && !done() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
    });
    server.wait_for_any_line("Head GC completed");
    assert!(target.scrapes() > 20, "{} scrapes", target.scrapes());
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
