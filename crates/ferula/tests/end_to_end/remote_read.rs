//! Remote read: the real Prometheus asks ferula for what it has stored, and both ask a source that is played.

mod answers;
mod played;

use serde_json::Value;

use self::played::{Answer, Chunk, JOB_A, JOB_B, LAST_MS, Source};
use crate::circle::peer;
use crate::common::{Server, Target, escape};

const ALL: &str = "{__name__=~\"n_total|h\",job=\"t\"}[1h]";

#[test]
fn the_real_prometheus_reads_from_ferula_what_ferula_answers_itself() {
    let Some(program) = peer("prometheus") else { return };
    let target = Target::start(|scrape| format!("n_total {scrape}\nh{{a=\"x y\"}} NaN\n"));
    let directory = tempfile::tempdir().expect("a directory for the test");
    let config = format!(
        "global: {{scrape_interval: 50ms, external_labels: {{replica: a}}}}\nscrape_configs:\n\
         - {{job_name: t, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let mut server = Server::start(directory.path(), &[]);
    server.await_query("up", |_| (target.scrapes() >= 300).then_some(()));
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.log());
    std::fs::write(directory.path().join("prometheus.yml"), "global: {external_labels: {replica: a}}\n")
        .expect("written");
    let server = Server::start(directory.path(), &[]);
    let stored = server.try_query(ALL).expect("answered");
    assert_eq!(stored.as_array().map(Vec::len), Some(2), "{stored}");

    let reader_directory = tempfile::tempdir().expect("a directory for the test");
    let config =
        format!("remote_read: [{{url: 'http://{}/api/v1/read', read_recent: true}}]\n", server.address);
    std::fs::write(reader_directory.path().join("reader.yml"), config).expect("written");
    let flags = ["--config.file=reader.yml", "--storage.tsdb.path=data"];
    let reader = Server::start_prometheus(&program, reader_directory.path(), &flags);
    let mut read = reader.try_query(ALL).expect("answered");
    for series in read.as_array_mut().expect("a matrix") {
        let replica = series["metric"].as_object_mut().and_then(|labels| labels.remove("replica"));
        assert_eq!(replica, Some("a".into()), "external labels are added");
    }
    assert_eq!(read, stored);
}

/// Every kind of answer, good and broken.
fn answers() -> Vec<(&'static str, Answer)> {
    use played::{chunked, frame, histograms, packed, sampled, series};
    let all = [0, 1, 2, 3, 4];
    let (a, b) = (series(JOB_A, &all), series(JOB_B, &all));
    let (frame_a, frame_b) = (frame(JOB_A, &[Chunk::All]), frame(JOB_B, &[Chunk::All]));
    let wrong_sum = |frame: &[u8]| {
        let mut frame = frame.to_vec();
        if let Some(last) = frame.last_mut() {
            *last ^= 1;
        }
        frame
    };
    let with = |labels| sampled(&[&[series(labels, &all)]]);
    let other = |status, content_type, body: &[u8]| Answer { status, content_type, body: body.to_vec() };
    vec![
        ("samples", sampled(&[&[b.clone(), a.clone()]])),
        ("no series", sampled(&[&[]])),
        ("two results", sampled(&[&[], &[]])),
        ("no result", packed(b"")),
        ("one series twice", sampled(&[&[series(JOB_A, &[0, 1]), series(JOB_B, &[2, 3, 4])]])),
        ("histograms", sampled(&[&[histograms(JOB_A)]])),
        ("labels out of order", with(&[("job", b"a"), ("__name__", b"m")])),
        ("a label twice", with(&[("__name__", b"m"), ("a", b"1"), ("a", b"2")])),
        ("an empty label name", with(&[("__name__", b"m"), ("", b"1")])),
        ("an empty metric name", with(&[("__name__", b""), ("a", b"1")])),
        ("a value that is not UTF-8", with(&[("__name__", b"m"), ("a", b"\xff")])),
        ("no block", other("200 OK", "application/x-protobuf", b"nonsense")),
        ("no message", packed(b"\x0a\x05ab")),
        ("chunks", chunked(&[&frame_a, &frame_b])),
        ("several chunks", chunked(&[&frame(JOB_A, &[Chunk::Half(0), Chunk::Half(1)]), &frame_b])),
        ("no frames", chunked(&[])),
        ("a wrong sum", chunked(&[&wrong_sum(&frame_a)])),
        ("a wrong sum later", chunked(&[&frame_a, &wrong_sum(&frame_b)])),
        ("cut", chunked(&[&frame_a[..frame_a.len() - 5]])),
        ("cut later", chunked(&[&frame_a, &frame_b[..frame_b.len() - 5]])),
        ("a frame of 60 MB", chunked(&[&[0x80, 0x8e, 0xce, 0x1c, 1, 2, 3, 4]])),
        ("a length without end", chunked(&[&[0xff; 11]])),
        ("a chunk of no kind", chunked(&[&frame(JOB_A, &[Chunk::Unknown])])),
        ("text", other("200 OK", "text/plain", b"hello")),
        (
            "another stream",
            other("200 OK", "application/x-streamed-protobuf;proto=prometheus.ChunkedReadResponse", b""),
        ),
        ("500", other("500 Internal Server Error", "text/plain", b"oh no\n")),
        ("404", other("404 Not Found", "text/plain", b"")),
        ("429", other("429 Too Many Requests", "text/plain", b"slow\ndown\n\n")),
    ]
}

/// Without the order, which is that of the source where the store has nothing, and without the source's address.
fn comparable(answer: &str, source: &Source) -> Value {
    let text = answer.replace(&source.address, "SOURCE");
    let mut answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let pointers = ["/data/result", "/data"];
    let list = pointers.iter().find(|pointer| answer.pointer(pointer).is_some_and(Value::is_array));
    if let Some(Value::Array(list)) = list.and_then(|pointer| answer.pointer_mut(pointer)) {
        list.sort_by_key(Value::to_string);
    }
    answer
}

/// The real Prometheus and ferula each with a source of its own, which are played alike.
struct Readers {
    servers: [(Server, Source); 2],
    _directories: [tempfile::TempDir; 2],
}

impl Readers {
    fn start(options: &str) -> Option<Readers> {
        let program = peer("prometheus")?;
        let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory for the test"));
        let server = |index: usize| {
            let source = Source::start(played::packed(b""));
            let config = format!(
                "global: {{external_labels: {{dc: here}}}}\nremote_read: [{{url: 'http://{}/read', name: x{options}}}]\n",
                source.address
            );
            let directory = directories[index].path();
            std::fs::write(directory.join("reader.yml"), config).expect("written");
            let flags = ["--config.file=reader.yml", "--storage.tsdb.path=data"];
            let server = match index {
                0 => Server::start_prometheus(&program, directory, &flags),
                _ => Server::start(directory, &flags),
            };
            (server, source)
        };
        let servers = [server(0), server(1)];
        Some(Readers { servers, _directories: directories })
    }

    /// The answers of both, and what their sources were asked.
    fn ask(&self, path: &str) -> [((u16, Value), Vec<Vec<u8>>); 2] {
        self.servers.each_ref().map(|(server, source)| {
            let (status, body) = server.get(path);
            ((status, comparable(&body, source)), source.requests())
        })
    }
}

fn instant(query: &str) -> String {
    format!("/api/v1/query?query={}&time={}", escape(query), LAST_MS / 1000)
}

#[test]
fn whatever_a_source_answers_queries_end_as_in_prometheus() {
    let Some(readers) = Readers::start(", headers: {X-A: b}") else { return };
    let second = LAST_MS / 1000;
    let paths = [
        instant("m"),
        instant("m[2m]"),
        instant("sum by (job) (rate(m[1m]))"),
        instant("absent(m)"),
        instant("m + on(job) m offset 15s"),
        format!("/api/v1/query_range?query=m&start={}&end={second}&step=30", second - 120),
        format!("/api/v1/series?match[]=m&start={}&end={second}", second - 3600),
        format!("/api/v1/labels?start={}&end={second}", second - 3600),
        format!("/api/v1/label/job/values?start={}&end={second}", second - 3600),
    ];
    let (mut compared, mut warned, mut failed) = (0, 0, 0);
    for (name, answer) in answers() {
        for (_, source) in &readers.servers {
            source.answer(answer.clone());
        }
        for path in &paths {
            let [(mut real, _), (mut ours, _)] = readers.ask(path);
            if path.starts_with("/api/v1/series") {
                // Prometheus looks for warnings before it has asked.
                for answer in [&mut real.1, &mut ours.1] {
                    answer.as_object_mut().expect("an object").remove("warnings");
                }
            }
            assert_eq!(real, ours, "{name}: {path}");
            compared += 1;
            warned += usize::from(ours.1.get("warnings").is_some());
            failed += usize::from(ours.0 != 200);
        }
    }
    assert!(compared > 200 && warned > 50 && failed > 5, "{compared} {warned} {failed}");
}

#[test]
fn a_source_is_asked_what_prometheus_asks_it() {
    for (options, range_hours_ago) in [
        (", read_recent: true", 0),
        (", required_matchers: {job: a}, filter_external_labels: false", 100_000),
        (", required_matchers: {job: a, x: y}", 100_000),
    ] {
        let Some(readers) = Readers::start(options) else { return };
        // Where an answer fails, the requests that are still on their way are given up.
        readers.servers.iter().for_each(|(_, source)| source.answer(played::sampled(&[&[]])));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let end = now.as_secs() - range_hours_ago * 3600;
        let queries = [
            "m",
            "m{job=\"a\"}",
            "m{job=\"a\",x=\"y\"}",
            "m{job=~\"a|b\",dc!=\"x\"}",
            "{__name__=~\"m.*\",job!~\"z\",dc=\"there\"}",
            "sum(m)",
            "sum by (job, dc) (m)",
            "avg without (job) (m)",
            "sum by (job) (rate(m[5m]))",
            "rate(m[5m] offset 1h)",
            "max_over_time(sum(m)[30m:1m])",
            "max_over_time(rate(m[5m])[30m:])",
            "-m",
            "m + m offset 5m",
            "sum(m + 1)",
            "topk(3, m)",
            "quantile by (job) (scalar(m), m)",
            "histogram_quantile(0.9, sum by (le) (rate(m[5m])))",
            "m @ start()",
            "sum(m @ 1600000000)",
            "absent(m)",
            "count_values(\"v\", m)",
        ];
        for query in queries {
            let query = escape(query);
            for path in [
                format!("/api/v1/query?query={query}&time={end}"),
                format!("/api/v1/query_range?query={query}&start={}&end={end}&step=37", end - 600),
            ] {
                let [(_, real), (_, ours)] = readers.ask(&path);
                assert_eq!(real, ours, "{options}: {path}");
            }
        }
    }
}
