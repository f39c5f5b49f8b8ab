//! Remote write from the real binary: to itself, and to the real Prometheus and VictoriaMetrics if available.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::circle::peer;
use crate::common::{Server, Target};

/// A page with a counter of scrapes and, now and then, a series that ends.
fn page(scrape: u64) -> String {
    let passing = if scrape % 5 < 3 { format!("passing {scrape}\n") } else { String::new() };
    format!("# TYPE n counter\nn_total {scrape}\nm{{quantile=\"0.5\"}} -0\n{passing}")
}

/// A configuration that scrapes the target, if there is one, and sends to the destinations.
fn configure(directory: &Path, target: Option<&str>, destinations: &[(&str, String)]) {
    let mut text = "global: {scrape_interval: 100ms, external_labels: {replica: a}}\n".to_owned();
    if let Some(target) = target {
        text += &format!("scrape_configs:\n- {{job_name: t, static_configs: [{{targets: ['{target}']}}]}}\n");
    }
    text += "remote_write:\n";
    for (message, url) in destinations {
        text += &format!(
            "- {{url: '{url}', protobuf_message: {message}, queue_config: {{batch_send_deadline: 50ms, max_backoff: 100ms}}}}\n"
        );
    }
    std::fs::write(directory.join("prometheus.yml"), text).expect("written");
}

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";
/// All samples of the target's own series, staleness markers excluded.
const ALL: &str = "{__name__=~\"n_total|m|passing\"}[1h]";

/// Samples by series, as text, without the external label.
fn samples(result: &Value) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for series in result.as_array().expect("a matrix") {
        let mut metric = series["metric"].as_object().expect("labels").clone();
        metric.remove("replica");
        all.push(format!("{} {}", Value::Object(metric), series["values"]));
    }
    all.sort();
    all
}

fn receiver_flags() -> [&'static str; 3] {
    ["--web.enable-remote-write-receiver", "--config.file=receiver.yml", "--storage.tsdb.path=data"]
}

fn receiver_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("receiver.yml"), "global: {}\n").expect("written");
    directory
}

/// Scrapes and sends, is killed and restarted, and is stopped. Returns what it stored.
fn send_through_kills(destinations: &[(&str, String)]) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let target = Target::start(page);
    configure(directory.path(), Some(&target.address), destinations);
    for _ in 0..3 {
        let server = Server::start(directory.path(), &[]);
        let until = target.scrapes() + 12;
        server.await_query("up", |_| (target.scrapes() >= until).then_some(()));
        server.kill();
    }
    let mut server = Server::start(directory.path(), &[]);
    let until = target.scrapes() + 7;
    server.await_query("up", |_| (target.scrapes() >= until).then_some(()));
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.log());
    configure(directory.path(), None, destinations);
    let server = Server::start(directory.path(), &[]);
    let stored = samples(&server.try_query(ALL).expect("answered"));
    assert!(stored.len() >= 3, "{stored:?}");
    stored
}

#[test]
fn another_ferula_receives_everything_across_kills_with_both_messages() {
    let directories = [receiver_directory(), receiver_directory()];
    let receivers =
        directories.each_ref().map(|directory| Server::start(directory.path(), &receiver_flags()));
    let url = |receiver: &Server| format!("http://{}/api/v1/write", receiver.address);
    let stored = send_through_kills(&[(V1, url(&receivers[0])), (V2, url(&receivers[1]))]);
    for receiver in &receivers {
        assert_eq!(samples(&receiver.try_query(ALL).expect("answered")), stored);
        let external = receiver.try_query("count({replica=\"a\"})").expect("answered");
        assert!(external.as_array().is_some_and(|all| !all.is_empty()), "{external}");
    }
}

#[test]
fn the_real_prometheus_receives_everything_across_kills_with_both_messages() {
    let Some(program) = peer("prometheus") else { return };
    let directories = [receiver_directory(), receiver_directory()];
    let receivers = directories
        .each_ref()
        .map(|directory| Server::start_prometheus(&program, directory.path(), &receiver_flags()));
    let url = |receiver: &Server| format!("http://{}/api/v1/write", receiver.address);
    let stored = send_through_kills(&[(V1, url(&receivers[0])), (V2, url(&receivers[1]))]);
    for receiver in &receivers {
        let got = samples(&receiver.try_query(ALL).expect("answered"));
        assert_eq!(got, stored, "{}", receiver.log());
    }
}

/// A process that is killed at the end of the test.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn victoria_metrics_receives_everything_across_kills() {
    let Some(program) = peer("victoria-metrics") else { return };
    let directory = tempfile::tempdir().expect("a directory for the test");
    let address = format!("127.0.0.1:{}", ferula_free_port::free_port().expect("a free port"));
    let child = Command::new(program)
        .current_dir(directory.path())
        .args([&format!("-httpListenAddr={address}"), "-storageDataPath=data", "-retentionPeriod=1d"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _victoria = KilledOnDrop(child.expect("the program starts"));
    let stored = send_through_kills(&[(V1, format!("http://{address}/api/v1/write"))]);
    let counts: usize = stored.iter().map(|series| series.matches("],[").count() + 1).sum();
    let mut exported = String::new();
    for _ in 0..200 {
        exported = export(&address);
        if sample_count(&exported) >= counts {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Its queries drop staleness markers; its export has them as null.
    assert_eq!(sample_count(&exported), counts, "{exported}");
}

/// Number of samples with a value in an export of VictoriaMetrics, which keeps duplicates.
fn sample_count(exported: &str) -> usize {
    let lines = exported.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let count = |line: Value| {
        let column = |name: &str| line[name].as_array().cloned().unwrap_or_default();
        let pairs = column("timestamps").into_iter().zip(column("values"));
        let times = pairs.filter(|(_, value)| !value.is_null()).map(|(at, _)| at.to_string());
        times.collect::<std::collections::BTreeSet<String>>().len()
    };
    lines.map(count).sum()
}

fn export(address: &str) -> String {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return String::new() };
    let matcher = crate::common::escape("{__name__=~\"n_total|m|passing\"}");
    let request = format!("GET /api/v1/export?match[]={matcher} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err() {
        return String::new();
    }
    answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
}
