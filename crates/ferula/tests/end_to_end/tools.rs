//! Commands that talk to a server, with a server of ours: what is pushed is found, and rules fill blocks from it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::Server;

/// Seconds at which the pushed samples begin, 15 s apart; the n-th has the value n.
const BEGIN: i64 = 1_760_000_000;
const SAMPLES: i64 = 240;

fn ferula(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn stdout(folder: &Path, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&ferula(folder, arguments).stdout).into_owned()
}

fn server(folder: &Path) -> (Server, String) {
    std::fs::write(folder.join("prometheus.yml"), "global: {}\n").expect("written");
    let server = Server::start(folder, &["--web.enable-remote-write-receiver"]);
    let url = format!("http://{}", server.address);
    (server, url)
}

fn page(name: &str) -> String {
    let line = |n: i64| format!("{name}{{a=\"b\",job=\"x\"}} {n} {}\n", (BEGIN + 15 * n) * 1000);
    format!("# HELP {name} Numbers.\n# TYPE {name} gauge\n{}", (0..SAMPLES).map(line).collect::<String>())
}

#[test]
fn what_is_pushed_in_either_message_is_found() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let folder = folder.path();
    let (_server, url) = server(folder);
    for (name, message) in [("one", "prometheus.WriteRequest"), ("two", "io.prometheus.write.v2.Request")] {
        std::fs::write(folder.join(name), page(name)).expect("written");
        let message = format!("--protobuf_message={message}");
        let said = stdout(folder, &["push", "metrics", "--label=zone=z", &message, &url, name]);
        assert_eq!(
            said,
            format!("Parsing metrics file {name}\n  SUCCESS: metrics file {name} pushed to remote write.\n")
        );
        let time = (BEGIN + 15 * 41 + 3).to_string();
        assert_eq!(
            stdout(folder, &["query", "instant", &format!("--time={time}"), &url, name]),
            format!("{name}{{a=\"b\", exported_job=\"x\", zone=\"z\"}} => 41 @[{time}]\n")
        );
    }
    let range = [format!("--start={BEGIN}"), format!("--end={}", BEGIN + 3600)];
    let labels = ["query", "labels", &range[0], &range[1], &url, "__name__"];
    assert_eq!(stdout(folder, &labels), "one\ntwo\n");
    let series = ["query", "series", &range[0], &range[1], "--match=two", &url];
    assert_eq!(stdout(folder, &series), "{__name__=\"two\", a=\"b\", exported_job=\"x\", zone=\"z\"}\n");
}

#[test]
fn rules_fill_blocks_with_what_they_would_have_given() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let folder = folder.path();
    let (_server, url) = server(folder);
    std::fs::write(folder.join("page"), page("pushed")).expect("written");
    ferula(folder, &["push", "metrics", &url, "page"]);
    let rules = "groups:\n- name: g\n  interval: 37s\n  labels: {team: t, a: group}\n  rules:\n  \
                 - {record: doubled, expr: 2 * pushed, labels: {a: rule}}\n  - {alert: NotThis, expr: pushed > 0}\n";
    std::fs::write(folder.join("rules.yml"), rules).expect("written");
    let end = BEGIN + 15 * (SAMPLES - 1);
    let (start, end) = (format!("--start={BEGIN}"), format!("--end={end}"));
    let url = format!("--url={url}");
    ferula(
        folder,
        &["tsdb", "create-blocks-from", "rules", &url, &start, &end, "--output-dir=blocks", "rules.yml"],
    );
    let dump = stdout(folder, &["tsdb", "dump", "blocks"]);
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
    if let Some(peers) = std::env::var_os("FERULA_PEERS") {
        // Prometheus' tool wants a log to be there.
        std::fs::create_dir(folder.join("blocks/wal")).expect("made");
        let dumped = Command::new(PathBuf::from(peers).join("promtool"))
            .args(["tsdb", "dump", "blocks"])
            .current_dir(folder)
            .output()
            .expect("the peer starts");
        assert_eq!(String::from_utf8_lossy(&dumped.stdout), dump);
    }
}
