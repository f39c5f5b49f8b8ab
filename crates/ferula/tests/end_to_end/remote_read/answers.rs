//! The answers of `/api/v1/read`, held against the real Prometheus' on the same data, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use ferula_go::protobuf::{put_bytes, put_varint};
use ferula_remote::snappy;

use crate::circle::wire::{self, Histogram, Series, Version};
use crate::circle::{copy_directory, peer};
use crate::common::{PATIENCE, Server};

const ROUNDS: i64 = 260;
const STEP_MS: i64 = 15_000;

/// The start of the data: on the minute, some hours ago.
fn begin_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    (now.as_secs() as i64 / 60 * 60 - 2 * 3600) * 1000
}

fn labels(name: &str, job: &str) -> Vec<(String, String)> {
    vec![("__name__".into(), name.into()), ("job".into(), job.into())]
}

/// Floats that repeat, grow, end and go stale, and every kind of histogram.
fn round(begin: i64, round: i64) -> Vec<Series> {
    let at = begin + round * STEP_MS;
    let mut all = Vec::new();
    for (job, value) in [("d", 1.0), ("a", round as f64 * 1.25), ("c", (round as f64).sin()), ("b", 0.0)] {
        if job != "c" || round < 170 {
            all.push(Series { labels: labels("m", job), float: Some((at, value)), ..Series::default() });
        }
    }
    let stale = if round % 50 == 49 { f64::from_bits(0x7ff0_0000_0000_0002) } else { 1.0 };
    all.push(Series { labels: labels("stale", "a"), float: Some((at, stale)), ..Series::default() });
    let count = round as u64 + 1;
    let whole = Histogram {
        schema: 1,
        zero_count: count % 3,
        positive_spans: vec![(0, 3)],
        positive_counts: vec![count, count + 1, count],
        sum: count as f64 * 1.5,
        ..Histogram::default()
    };
    let kinds = [
        ("whole", whole.clone()),
        ("gauge", Histogram { reset_hint: 3, ..whole.clone() }),
        (
            "float",
            Histogram {
                float: true,
                negative_spans: vec![(-2, 1)],
                negative_counts: vec![4],
                ..whole.clone()
            },
        ),
        ("custom", Histogram { schema: -53, zero_count: 0, custom_values: vec![0.5, 2.0], ..whole }),
    ];
    all.extend(kinds.into_iter().map(|(name, histogram)| Series {
        labels: labels(name, "a"),
        histogram: Some((at, histogram)),
        ..Series::default()
    }));
    all
}

/// Status, content type and encoding, and the body, unpacked if it is one block.
fn ask(server: &Server, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(&server.address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let head = format!(
        "POST /api/v1/read HTTP/1.0\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let kept = |line: &&str| {
        line.starts_with("http/") || line.starts_with("content-type") || line.starts_with("content-encoding")
    };
    let mut lines: Vec<String> =
        head.lines().filter(kept).map(|line| line.replace("http/1.1", "http/1.0")).collect();
    lines.sort();
    let packed =
        lines.iter().any(|line| line.ends_with("snappy")) && lines.iter().any(|line| line.contains(" 200"));
    let body = &answer[end + 4..];
    let body = if packed { snappy::decode(body).expect("a block") } else { body.to_vec() };
    (lines.join("\n"), body)
}

type Matcher = (u64, &'static str, &'static str);

fn query(range: (i64, i64), matchers: &[Matcher], hints: Option<(i64, i64, &str)>) -> Vec<u8> {
    let mut query = Vec::new();
    put_varint(&mut query, 1, range.0 as u64);
    put_varint(&mut query, 2, range.1 as u64);
    for (kind, name, value) in matchers {
        let mut matcher = Vec::new();
        put_varint(&mut matcher, 1, *kind);
        put_bytes(&mut matcher, 2, name.as_bytes());
        put_bytes(&mut matcher, 3, value.as_bytes());
        put_bytes(&mut query, 3, &matcher);
    }
    if let Some((start, end, function)) = hints {
        let mut message = Vec::new();
        put_bytes(&mut message, 2, function.as_bytes());
        put_varint(&mut message, 3, start as u64);
        put_varint(&mut message, 4, end as u64);
        put_bytes(&mut query, 4, &message);
    }
    query
}

fn request(queries: &[Vec<u8>], accepted: &[u64]) -> Vec<u8> {
    let mut message = Vec::new();
    queries.iter().for_each(|query| put_bytes(&mut message, 1, query));
    accepted.iter().for_each(|kind| put_varint(&mut message, 2, *kind));
    snappy::encode(&message)
}

const FLAGS: [&str; 4] = [
    "--config.file=reader.yml",
    "--storage.tsdb.path=data",
    "--web.enable-remote-write-receiver",
    "--enable-feature=native-histograms",
];

/// Lets the real Prometheus store the data, and returns its beginning.
fn store(prometheus: &Path, directory: &Path) -> i64 {
    let config = "global: {external_labels: {dc: here, zz: last}}\n";
    std::fs::write(directory.join("reader.yml"), config).expect("written");
    let mut server = Server::start_prometheus(prometheus, directory, &FLAGS);
    let begin = begin_ms();
    for number in 0..ROUNDS {
        let body = wire::body(Version::One, &round(begin, number));
        let answer = server.request("POST", "/api/v1/write", Version::One.headers(), &body);
        assert_eq!(answer.expect("answered").0, 204, "round {number}");
    }
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.log());
    begin
}

#[test]
fn every_answer_is_that_of_the_real_prometheus_byte_by_byte() {
    let Some(prometheus) = peer("prometheus") else { return };
    let (first, second) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
    let begin = store(&prometheus, first.path());
    copy_directory(first.path(), second.path());
    let at = |round: i64| begin + round * STEP_MS;
    let ranges =
        [(at(0), at(480)), (at(50), at(180)), (at(119) + 3, at(121)), (at(0) + 7, at(0) + 9), (1, 2)];
    let selectors: [&[Matcher]; 12] = [
        &[(0, "__name__", "m")],
        &[(2, "__name__", ".+"), (1, "__name__", "custom")],
        &[(2, "__name__", ".+")],
        &[(0, "__name__", "custom")],
        &[(0, "__name__", "whole")],
        &[(0, "__name__", "gauge")],
        &[(2, "__name__", "float|stale")],
        &[(0, "__name__", "stale")],
        &[(0, "__name__", "m"), (0, "dc", "here")],
        &[(0, "__name__", "m"), (0, "dc", "there")],
        &[(0, "__name__", "m"), (1, "dc", "here"), (3, "job", "[ab]")],
        &[(0, "__name__", "nothing")],
    ];
    let mut compared = 0;
    for limit in [
        "--log.level=warn",
        "--storage.remote.read-max-bytes-in-frame=300",
        "--storage.remote.read-sample-limit=500",
    ] {
        let flags = [&FLAGS[..], &[limit]].concat();
        let flags: Vec<&str> = flags.into_iter().filter(|flag| *flag != "--log.level=warn").collect();
        let real = Server::start_prometheus(&prometheus, first.path(), &flags);
        let ours = Server::start(second.path(), &flags);
        for range in ranges {
            for matchers in selectors {
                for hints in [
                    None,
                    Some((range.0 + 10 * STEP_MS, range.1 - 5 * STEP_MS, "rate")),
                    Some((range.0, range.1, "series")),
                ]
                .into_iter()
                // Hints that end before they begin come from no client.
                .filter(|hints: &Option<(i64, i64, &str)>| hints.is_none_or(|(start, end, _)| start <= end))
                {
                    for accepted in [&[][..], &[0], &[1], &[7, 1, 0], &[7]] {
                        // Prometheus 3.5 leaves custom bounds out of sampled answers, 3.14 does not.
                        let has_custom = matches!(matchers, [(2, _, ".+")] | [(0, _, "custom")]);
                        if has_custom && !accepted.contains(&1) {
                            continue;
                        }
                        let body = request(&[query(range, matchers, hints)], accepted);
                        let (mut a, b) = (ask(&real, &body), ask(&ours, &body));
                        // The real one leaves the encoding of a good answer in the head of this error, whose text is plain.
                        if !a.0.contains(" 200 ") {
                            a.0 = a.0.replace("content-encoding: snappy\n", "");
                        }
                        assert!(
                            a == b,
                            "{limit} {range:?} {matchers:?} {hints:?} {accepted:?}: {} {} {} {}",
                            a.0,
                            a.1.len(),
                            b.0,
                            b.1.len()
                        );
                        compared += 1;
                    }
                }
            }
        }
        let two = [query(ranges[0], selectors[0], None), query(ranges[1], selectors[3], None)];
        // As chunks: sampled answers of 3.5 lack custom bounds.
        let body = request(&two, &[1]);
        assert!(ask(&real, &body) == ask(&ours, &body), "two queries");
        for broken in [
            &b"nonsense"[..],
            b"",
            &snappy::encode(b"\x0a\x05ab"),
            &request(&[query((1, 2), &[(9, "a", "b")], None)], &[]),
        ] {
            let (a, b) = (ask(&real, broken), ask(&ours, broken));
            // Status and text. The real one leaves the encoding of a good answer in the head of some errors, and a newer upstream
            // says what could not be read.
            let status = |answer: &str| answer.lines().last().unwrap_or_default().to_owned();
            let text = |bytes: &[u8]| {
                String::from_utf8_lossy(bytes).replace("unable to unmarshal read request: ", "")
            };
            assert_eq!((status(&a.0), text(&a.1)), (status(&b.0), text(&b.1)));
        }
    }
    assert!(compared > 1900, "{compared}");
}
