//! Commands that talk to a server, with our server: pushed samples are found, and rules fill blocks from it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::Server;

/// Time in seconds at which the pushed samples begin, 15 s apart; the n-th has the value n.
const BEGIN: i64 = 1_760_000_000;
const SAMPLES: i64 = 240;

fn ferula(directory: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn stdout(directory: &Path, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&ferula(directory, arguments).stdout).into_owned()
}

fn server(directory: &Path) -> (Server, String) {
    std::fs::write(directory.join("prometheus.yml"), "global: {}\n").expect("written");
    let server = Server::start(directory, &["--web.enable-remote-write-receiver"]);
    let url = format!("http://{}", server.address);
    (server, url)
}

fn page(name: &str) -> String {
    let line = |n: i64| format!("{name}{{a=\"b\",job=\"x\"}} {n} {}\n", (BEGIN + 15 * n) * 1000);
    format!("# HELP {name} Numbers.\n# TYPE {name} gauge\n{}", (0..SAMPLES).map(line).collect::<String>())
}

#[test]
fn samples_pushed_with_either_message_are_found() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let directory = directory.path();
    let (_server, url) = server(directory);
    for (name, message) in [("one", "prometheus.WriteRequest"), ("two", "io.prometheus.write.v2.Request")] {
        std::fs::write(directory.join(name), page(name)).expect("written");
        let message = format!("--protobuf_message={message}");
        let said = stdout(directory, &["push", "metrics", "--label=zone=z", &message, &url, name]);
        assert_eq!(
            said,
            format!("Parsing metrics file {name}\n  SUCCESS: metrics file {name} pushed to remote write.\n")
        );
        let time = (BEGIN + 15 * 41 + 3).to_string();
        assert_eq!(
            stdout(directory, &["query", "instant", &format!("--time={time}"), &url, name]),
            format!("{name}{{a=\"b\", exported_job=\"x\", zone=\"z\"}} => 41 @[{time}]\n")
        );
    }
    let range = [format!("--start={BEGIN}"), format!("--end={}", BEGIN + 3600)];
    let labels = ["query", "labels", &range[0], &range[1], &url, "__name__"];
    assert_eq!(stdout(directory, &labels), "one\ntwo\n");
    let series = ["query", "series", &range[0], &range[1], "--match=two", &url];
    assert_eq!(stdout(directory, &series), "{__name__=\"two\", a=\"b\", exported_job=\"x\", zone=\"z\"}\n");
}

/// A receiver that answers with these statuses, one after another.
fn receiver(statuses: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let answering = std::thread::spawn(move || {
        let answer = |status: &&str| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = BufReader::new(stream.try_clone().expect("the same connection"));
            let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
            request.read_line(&mut first).expect("a request");
            while request.read_line(&mut line).expect("a header") > 2 {
                let header = line.to_lowercase();
                length = header
                    .strip_prefix("content-length:")
                    .map_or(length, |text| text.trim().parse().expect("a length"));
                line.clear();
            }
            request.read_exact(&mut vec![0; length]).expect("a body");
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("the client reads");
            first.split(' ').nth(1).unwrap_or_default().to_owned()
        };
        statuses.iter().map(answer).collect()
    });
    (url, answering)
}

#[test]
fn a_push_is_retried_and_an_error_names_the_address() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("page"), page("pushed")).expect("written");
    let push = |url: &str| {
        let command = ["push", "metrics", url, "page"];
        Command::new(env!("CARGO_BIN_EXE_ferula"))
            .args(command)
            .current_dir(&directory)
            .output()
            .expect("it starts")
    };
    let (url, answering) = receiver(&["503 Busy", "204 Fine"]);
    let output = push(&url);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && stderr.contains("trying again in 1 s"), "{stderr}");
    assert_eq!(answering.join().expect("it answered"), ["/api/v1/write", "/api/v1/write"]);

    let (url, answering) = receiver(&["404 Gone"]);
    let output = push(&format!("{url}/api/v1/write"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let path = "/api/v1/write/api/v1/write";
    assert!(output.status.code() == Some(1) && stderr.contains(&format!("POST {url}{path}")), "{stderr}");
    assert_eq!(answering.join().expect("it answered"), [path]);
}

#[test]
fn rules_fill_blocks_with_what_they_would_have_recorded() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let directory = directory.path();
    let (_server, url) = server(directory);
    std::fs::write(directory.join("page"), page("pushed")).expect("written");
    ferula(directory, &["push", "metrics", &url, "page"]);
    let rules = "groups:\n- name: g\n  interval: 37s\n  labels: {team: t, a: group}\n  rules:\n  \
                 - {record: doubled, expr: 2 * pushed, labels: {a: rule}}\n  - {alert: NotThis, expr: pushed > 0}\n";
    std::fs::write(directory.join("rules.yml"), rules).expect("written");
    let end = BEGIN + 15 * (SAMPLES - 1);
    let (start, end) = (format!("--start={BEGIN}"), format!("--end={end}"));
    let url = format!("--url={url}");
    ferula(
        directory,
        &["tsdb", "create-blocks-from", "rules", &url, &start, &end, "--output-dir=blocks", "rules.yml"],
    );
    let dump = stdout(directory, &["tsdb", "dump", "blocks"]);
    let mut times = Vec::new();
    for line in dump.lines() {
        let (labels, sample) = line.rsplit_once("} ").expect("labels and a sample");
        assert_eq!(
            labels,
            "{__name__=\"doubled\", a=\"rule\", exported_job=\"x\", job=\"promtool\", team=\"t\""
        );
        let (value, time) = sample.split_once(' ').expect("value and time");
        let time: i64 = time.parse().expect("a time");
        let pushed = (time - BEGIN * 1000) / 15_000;
        assert_eq!(value.parse(), Ok(2 * pushed), "{line}");
        times.push(time);
    }
    // The group's own slots, one after another.
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 37_000), "{times:?}");
    assert!((95..=97).contains(&times.len()), "{}", times.len());
    if let Some(promtool) = ferula_testkit::shared::peer("promtool") {
        // Prometheus' tool requires a log.
        std::fs::create_dir(directory.join("blocks/wal")).expect("made");
        let dumped = Command::new(promtool)
            .args(["tsdb", "dump", "blocks"])
            .current_dir(directory)
            .output()
            .expect("the peer starts");
        assert_eq!(String::from_utf8_lossy(&dumped.stdout), dump);
    }
}
