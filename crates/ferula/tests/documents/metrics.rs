//! `docs/METRICS.md` lists the metrics that a running server serves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than the server needs to show everything, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may change before the list is written.
const QUIET: Duration = Duration::from_secs(8);
/// Fewer families mean that the page was not read.
const FAMILIES_MIN: usize = 200;

/// Headings, and the beginnings of the names below them; the first that fits counts.
const PARTS: [(&str, &[&str]); 12] = [
    ("Scraping and targets", &["prometheus_target_", "ferula_target_", "prometheus_scrape_"]),
    ("Service discovery", &["prometheus_sd_", "prometheus_treecache"]),
    ("Storage", &["prometheus_tsdb_", "ferula_tsdb_"]),
    ("Queries", &["prometheus_engine_", "ferula_query", "prometheus_federation"]),
    ("Rules", &["prometheus_rule_"]),
    ("Template expansions", &["prometheus_template_"]),
    ("Notifications", &["prometheus_notifications_", "prometheus_notifier"]),
    ("Remote write and read", &["prometheus_remote_", "ferula_remote_", "prometheus_api_remote_"]),
    ("Alertmanager inside the server", &["alertmanager_", "ferula_alertmanager_"]),
    ("HTTP", &["prometheus_http_", "ferula_http_", "net_"]),
    ("The process", &["process_", "go_", "prometheus_build_info", "ferula_build_info"]),
    ("The rest", &[""]),
];

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that uses every part: discovery, rules, alerts, remote write, the Alertmanager inside.
fn start(directory: &std::path::Path) -> (Server, u16) {
    let port = ferula_free_port::free_port().expect("a free port");
    let config = format!(
        "global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}\n\
         rule_files: [rules.yml]\n\
         remote_write: [{{url: 'http://localhost:{port}/api/v1/write', name: self}}]\n\
         alerting: {{alertmanagers: [{{path_prefix: /alertmanager, static_configs: [{{targets: ['localhost:{port}']}}]}}]}}\n\
         scrape_configs:\n\
         - {{job_name: self, file_sd_configs: [{{files: [targets.json]}}]}}\n"
    );
    let rules =
        "groups:\n- name: g\n  rules:\n  - {record: up:sum, expr: sum(up)}\n  - {alert: Up, expr: up == 1}\n";
    let alertmanager = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n";
    let targets = format!("[{{\"targets\": [\"localhost:{port}\"]}}]");
    for (file, text) in [
        ("prometheus.yml", config.as_str()),
        ("rules.yml", rules),
        ("alertmanager.yml", alertmanager),
        ("targets.json", &targets),
    ] {
        std::fs::write(directory.join(file), text).expect("written");
    }
    let child = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .args(["--alertmanager.config.file=alertmanager.yml", "--web.enable-remote-write-receiver"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    (Server(child), port)
}

fn get(port: u16, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Type and help of each family on a page.
fn families(page: &str) -> BTreeMap<String, (String, String)> {
    let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name.to_owned()).or_default().1 = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            all.entry(name.to_owned()).or_default().0 = kind.to_owned();
        }
    }
    all
}

fn tables(families: &BTreeMap<String, (String, String)>) -> String {
    let mut out = String::from("\n");
    let part_of =
        |name: &str| PARTS.iter().position(|(_, begins)| begins.iter().any(|b| name.starts_with(b)));
    for (at, (heading, _)) in PARTS.iter().enumerate() {
        let rows = families.iter().filter(|(name, _)| part_of(name) == Some(at));
        let mut table = String::new();
        for (name, (kind, help)) in rows {
            writeln!(table, "| `{name}` | {kind} | {} |", help.replace('|', "\\|"))
                .expect("a String takes it");
        }
        if !table.is_empty() {
            write!(out, "## {heading}\n\n| metric | type | meaning |\n| --- | --- | --- |\n{table}\n")
                .expect("a String takes it");
        }
    }
    out
}

#[test]
fn the_list_is_that_of_a_running_server() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let (_server, port) = start(directory.path());
    let document = ferula_testkit::shared::workspace_root().join("docs/METRICS.md");
    let document = std::fs::read_to_string(document).expect("the document exists");
    let listed = document.lines().filter(|line| line.starts_with("| `")).count();
    let began = Instant::now();
    let mut served = BTreeMap::new();
    let mut changed = Instant::now();
    let is_written = std::env::var_os("UPDATE_GOLDEN").is_some();
    // Some families appear with the first scrape, alert or request.
    loop {
        let _ = get(port, "/api/v1/query?query=up");
        let _ = get(port, "/federate?match%5B%5D=up");
        let now = families(&get(port, "/metrics"));
        if now.len() > served.len() {
            changed = Instant::now();
            served = now;
        }
        let is_complete = if is_written { changed.elapsed() > QUIET } else { served.len() >= listed };
        if is_complete && served.len() >= FAMILIES_MIN || began.elapsed() > PATIENCE {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(served.len() >= FAMILIES_MIN, "only {} families were served", served.len());
    crate::assert_generated(
        "docs/METRICS.md",
        "<!-- metrics -->\n",
        "<!-- end of metrics -->\n",
        &tables(&served),
    );
}
