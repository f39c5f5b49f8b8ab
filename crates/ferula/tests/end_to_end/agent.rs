//! Agent mode of the real binary: its directory goes back and forth between ferula and the real agent of Prometheus, and both
//! answer and refuse alike.

use std::path::Path;

use serde_json::Value;

use crate::circle::peer;
use crate::common::{PATIENCE, Server, Target};

const DIRECTORY: &str = "--storage.agent.path=data-agent";

/// A counter of the scrapes, a series that ends, and one that never comes twice.
fn page(scrape: u64) -> String {
    let passing = if scrape % 9 < 3 { "passing 1\n" } else { "" };
    format!("# TYPE n counter\nn {scrape}\n{passing}once{{scrape=\"{scrape}\"}} 1\n")
}

fn configure(directory: &Path, target: Option<&str>, destination: &str) {
    let scraped = target.map_or(String::new(), |target| {
        format!("scrape_configs:\n- {{job_name: t, static_configs: [{{targets: ['{target}']}}]}}\n")
    });
    let text = format!(
        "global: {{scrape_interval: 100ms}}\n{scraped}remote_write:\n\
         - {{url: '{destination}', queue_config: {{batch_send_deadline: 50ms, max_backoff: 100ms}}}}\n"
    );
    std::fs::write(directory.join("prometheus.yml"), text).expect("written");
}

fn receiver(directory: &Path) -> Server {
    let text = "storage: {tsdb: {out_of_order_time_window: 1h}}\n";
    std::fs::write(directory.join("receiver.yml"), text).expect("written");
    let flags =
        ["--web.enable-remote-write-receiver", "--config.file=receiver.yml", "--storage.tsdb.path=data"];
    Server::start(directory, &flags)
}

/// Whose agent runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Agent<'a> {
    Ours,
    Theirs(&'a Path),
}

fn start(agent: Agent<'_>, directory: &Path, more: &[&str]) -> Server {
    let flags = [&["--agent", "--config.file=prometheus.yml", DIRECTORY], more].concat();
    match agent {
        Agent::Ours => Server::start(directory, &flags),
        Agent::Theirs(program) => Server::start_prometheus(program, directory, &flags),
    }
}

fn stop(mut server: Server) -> String {
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.log());
    server.log()
}

/// The value of a metric without labels.
fn own_metric(server: &Server, name: &str) -> f64 {
    let page = server.get("/metrics").1;
    let line = page.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{page}"))
}

/// Waits until a metric is at least so much.
fn await_metric(server: &Server, name: &str, least: f64) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while own_metric(server, name) < least {
        assert!(std::time::Instant::now() < deadline, "{name} stays below {least}\n{}", server.log());
        std::thread::yield_now();
    }
}

/// The values of `n` that the receiver has.
fn received(receiver: &Server) -> Vec<u64> {
    let result = receiver.try_query("n[1h]").expect("answered");
    let values = result[0]["values"].as_array().cloned().unwrap_or_default();
    let value = |pair: &Value| pair[1].as_str().and_then(|text| text.parse().ok()).expect("a number");
    values.iter().map(value).collect()
}

/// Runs one agent after the other on one directory, while the target is scraped and the log truncated every second. The last
/// one is ours, which sends all that its position has not passed.
fn one_after_the_other(agents: &[Agent<'_>]) {
    let (directory, of_receiver) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let (receiver, target) = (receiver(of_receiver.path()), Target::start(page));
    let destination = format!("http://{}/api/v1/write", receiver.address);
    let often = ["--storage.agent.wal-truncate-frequency=1s", "--storage.agent.retention.min-time=1s"];
    for agent in agents {
        configure(directory.path(), Some(&target.address), &destination);
        let server = start(*agent, directory.path(), &often);
        // With a segment more each second, the third truncation is the first that writes a checkpoint.
        await_metric(&server, "prometheus_agent_checkpoint_creations_total", 2.0);
        assert_eq!(own_metric(&server, "prometheus_agent_corruptions_total"), 0.0);
        let log = stop(server);
        for trouble in
            ["encountered WAL read error", "non-existing series", "Damage found", "failed to truncate"]
        {
            assert!(!log.contains(trouble), "{agent:?}: {trouble} in\n{log}");
        }
    }
    let scraped = target.scrapes();
    let got = received(&receiver);
    let missing: Vec<u64> = (1..=scraped).filter(|scrape| !got.contains(scrape)).collect();
    // A scrape in progress when a process ended may have been dropped.
    assert!(missing.len() <= agents.len(), "{missing:?} of {scraped} are missing");
    // Both know the same series of the same directory.
    configure(directory.path(), None, &destination);
    let mut known: Vec<f64> = Vec::new();
    for agent in [agents, agents].concat().iter().take(4) {
        let server = start(*agent, directory.path(), &[]);
        known.push(own_metric(&server, "prometheus_agent_active_series"));
        stop(server);
    }
    assert!(known[0] > 8.0 && known.iter().all(|count| *count == known[0]), "{known:?}");
    assert!(
        known[0] < scraped as f64 / 2.0 + 20.0,
        "series that ended are forgotten: {known:?} of {scraped}"
    );
}

#[test]
fn an_agent_continues_its_own_directory() {
    one_after_the_other(&[Agent::Ours, Agent::Ours]);
}

#[test]
fn our_agent_and_prometheus_continue_each_others_directory() {
    let Some(program) = peer("prometheus") else { return };
    let theirs = Agent::Theirs(&program);
    one_after_the_other(&[Agent::Ours, theirs, Agent::Ours]);
}

#[test]
fn an_agent_sends_everything_over_kills() {
    let (directory, of_receiver) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let (receiver, target) = (receiver(of_receiver.path()), Target::start(page));
    let destination = format!("http://{}/api/v1/write", receiver.address);
    configure(directory.path(), Some(&target.address), &destination);
    for round in 1..=4 {
        let server = start(Agent::Ours, directory.path(), &["--storage.agent.wal-truncate-frequency=1s"]);
        let until = target.scrapes() + 10;
        while target.scrapes() < until {
            std::thread::yield_now();
        }
        if round < 4 {
            server.kill();
        } else {
            stop(server);
        }
    }
    let (scraped, got) = (target.scrapes(), received(&receiver));
    let missing: Vec<u64> = (1..=scraped).filter(|scrape| !got.contains(scrape)).collect();
    assert!(missing.len() <= 4, "{missing:?} of {scraped} are missing");
}

/// Endpoints that both have; 3.5 lacks `features`, `status/tsdb/blocks` and `openapi.yaml`.
const ALIKE: &[&str] = &[
    "GET /",
    "GET /query",
    "GET /alerts",
    "GET /rules",
    "GET /tsdb-status",
    "GET /graph?g0.expr=up",
    "GET /-/healthy",
    "GET /-/ready",
    "GET /federate?match[]=up",
    "GET /api/v1/query?query=up",
    "POST /api/v1/query",
    "GET /api/v1/query_range",
    "GET /api/v1/query_exemplars",
    "GET /api/v1/format_query?query=up",
    "GET /api/v1/parse_query?query=up",
    "GET /api/v1/labels",
    "GET /api/v1/label/job/values",
    "GET /api/v1/series?match[]=up",
    "GET /api/v1/alertmanagers",
    "GET /api/v1/rules",
    "GET /api/v1/alerts",
    "GET /api/v1/status/tsdb",
    "POST /api/v1/admin/tsdb/delete_series?match[]=up",
    "PUT /api/v1/admin/tsdb/snapshot",
    "POST /api/v1/admin/tsdb/clean_tombstones",
    "GET /api/v1/targets?state=dropped",
    "GET /api/v1/scrape_pools",
    "GET /api/v1/metadata",
    "GET /api/v1/targets/metadata",
    "GET /api/v1/notifications",
];

#[test]
fn endpoints_answer_as_those_of_prometheus_agent() {
    let ours = tempfile::tempdir().expect("made");
    configure(ours.path(), None, "http://127.0.0.1:1/");
    let server = start(Agent::Ours, ours.path(), &[]);
    let ask = |server: &Server, request: &str| {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        server.request(method, path, "application/x-www-form-urlencoded", b"").expect("answered")
    };
    let unavailable =
        "{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"unavailable with Prometheus Agent\"}";
    for path in ["query?query=up", "status/tsdb/blocks", "rules", "ferula/tree?query=up"] {
        assert_eq!(ask(&server, &format!("GET /api/v1/{path}")), (422, unavailable.to_owned()), "{path}");
    }
    assert!(ask(&server, "GET /agent").1.contains("<html"));
    assert_eq!(ask(&server, "GET /-/ready").1, "Prometheus Agent is Ready.\n");
    let info: Value = serde_json::from_str(&ask(&server, "GET /api/v1/status/runtimeinfo").1).expect("JSON");
    assert_eq!(info["data"]["storageRetention"], "");
    let metrics = server.get("/metrics").1;
    assert!(!metrics.contains("prometheus_engine_") && !metrics.contains("prometheus_rule_"));

    let Some(program) = peer("prometheus") else { return };
    let theirs = tempfile::tempdir().expect("made");
    configure(theirs.path(), None, "http://127.0.0.1:1/");
    let real = start(Agent::Theirs(&program), theirs.path(), &[]);
    for request in ALIKE {
        let (ours, theirs) = (ask(&server, request), ask(&real, request));
        assert_eq!(ours.0, theirs.0, "{request}: {ours:?} {theirs:?}");
        assert_eq!(ours.1.trim_end(), theirs.1.trim_end(), "{request}");
    }
    let names = |server: &Server| -> Vec<String> {
        let page = server.get("/metrics").1;
        let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        lines.map(str::to_owned).filter(|line| line.starts_with("prometheus_agent_")).collect()
    };
    let ours: Vec<String> = names(&server);
    for line in names(&real) {
        assert!(ours.contains(&line), "{line}");
    }
}

#[test]
fn an_agent_refuses_what_prometheus_agent_refuses() {
    let directory = tempfile::tempdir().expect("made");
    let refused = |text: &str, flags: &[&str], program: Option<&Path>| {
        std::fs::write(directory.path().join("prometheus.yml"), text).expect("written");
        let flags = [&["--agent", "--config.file=prometheus.yml", DIRECTORY], flags].concat();
        let mut server = match program {
            None => Server::spawn(directory.path(), &flags),
            Some(program) => Server::spawn_program(program, directory.path(), &flags),
        };
        let code = server.exit_code();
        let log = server.log();
        let error = log.lines().rev().find_map(|line| Some(line.split_once(" err=")?.1.to_owned()));
        (code, error.unwrap_or_else(|| log.trim_end().to_owned()))
    };
    let write = "remote_write: [{url: 'http://127.0.0.1:1/'}]\n";
    for (text, flags, code, error) in [
        ("rule_files: [x]\n", &[][..], 2, "field rule_files is not allowed in agent mode"),
        (
            "alerting: {alertmanagers: [{static_configs: [{targets: [a]}]}]}\n",
            &[],
            2,
            "field alerting is not allowed in agent mode",
        ),
        (
            "remote_read: [{url: 'http://127.0.0.1:1/'}]\n",
            &[],
            2,
            "field remote_read is not allowed in agent mode",
        ),
        (
            write,
            &["--query.timeout=1m", "--storage.tsdb.path=x"],
            3,
            "The following flag(s) can not be used in agent mode: [\"--query.timeout\" \"--storage.tsdb.path\"]",
        ),
        (
            write,
            &["--storage.agent.wal-segment-size=1MB"],
            1,
            "flag 'storage.agent.wal-segment-size' must be set between 10MB and 256MB",
        ),
    ] {
        let (got, why) = refused(text, flags, None);
        assert_eq!(got, Some(code), "{text} {flags:?}: {why}");
        assert!(why.contains(error) || why.replace("\\\"", "\"").contains(error), "{text} {flags:?}: {why}");
        if let Some(program) = peer("prometheus") {
            let (got, theirs) = refused(text, flags, Some(&program));
            assert_eq!(got, Some(code), "{text} {flags:?}: {theirs}");
            assert!(theirs.contains(error), "{text} {flags:?}: {theirs}");
        }
    }
}
