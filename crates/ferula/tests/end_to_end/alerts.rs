//! An alert on its way from a rule file to an Alertmanager, across a crash: it is sent again, never resolved
//! wrongly, and resolved when it is over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};

use serde_json::Value;

use crate::common::{PATIENCE, Server, Target};

/// A simulated Alertmanager: every alert that arrives is sent to the channel.
pub fn alertmanager() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one").to_string();
    let (sender, alerts) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || take_alerts(&stream, &sender));
        }
    });
    (address, alerts)
}

/// Reads requests of one connection until it ends.
fn take_alerts(stream: &TcpStream, sender: &mpsc::Sender<Value>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            match line.trim().to_lowercase().strip_prefix("content-length: ") {
                Some(text) => length = text.parse().expect("a length is a number"),
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let batch: Value = serde_json::from_slice(&body).expect("alerts are JSON");
        for alert in batch.as_array().expect("a list of them") {
            // The test may have ended.
            let _ = sender.send(alert.clone());
        }
        let mut writer = stream;
        if writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn next(alerts: &Receiver<Value>, server: &Server) -> Value {
    alerts.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no alert ({error}) in\n{}", server.log()))
}

/// Since when the only alert has been active, in seconds since 1970.
fn active_since(server: &Server) -> String {
    let (_, body) = server.get("/api/v1/alerts");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let moment = answer["data"]["alerts"][0]["activeAt"].as_str().unwrap_or_else(|| panic!("{body}"));
    moment.chars().take(19).collect()
}

#[test]
fn an_alert_survives_a_crash_and_is_resolved_when_it_is_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let broken = Arc::new(AtomicBool::new(true));
    let shown = broken.clone();
    let target = Target::start(move |_| format!("broken {}\n", u8::from(shown.load(Ordering::SeqCst))));
    let (alertmanager, alerts) = alertmanager();
    let config = format!(
        "global: {{scrape_interval: 200ms, evaluation_interval: 200ms, external_labels: {{dc: x}}}}\n\
         rule_files: ['*.rules.yml']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
         scrape_configs:\n- {{job_name: shop, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let rules = "groups:\n- name: g\n  rules:\n  - alert: Broken\n    expr: broken == 1\n    for: 1s\n    \
                 annotations: {text: '{{ $labels.job }} in {{ $externalLabels.dc }}'}\n";
    std::fs::write(directory.path().join("a.rules.yml"), rules).expect("written");
    // Without a grace period, even such a short `for` is restored.
    let arguments = ["--config.file=prometheus.yml", "--rules.alert.for-grace-period=0s"];

    let server = Server::start(directory.path(), &arguments);
    let first = next(&alerts, &server);
    assert_eq!(first["labels"]["dc"], "x");
    assert_eq!(first["annotations"]["text"], "shop in x");
    let link = first["generatorURL"].as_str().expect("a link");
    assert!(link.ends_with("/graph?g0.expr=broken+%3D%3D+1&g0.tab=1"), "{link}");
    let since = active_since(&server);
    server.kill();

    let server = Server::start(directory.path(), &arguments);
    let again = next(&alerts, &server);
    assert_eq!(again["labels"], first["labels"], "an Alertmanager knows it by its labels");
    // Four times the resend delay of a minute: nothing is resolved.
    assert!(again["endsAt"].as_str() > again["startsAt"].as_str());
    assert!(again["endsAt"].as_str() > first["endsAt"].as_str());
    assert_eq!(active_since(&server), since, "the time before the crash counts");

    broken.store(false, Ordering::SeqCst);
    let last = next(&alerts, &server);
    assert_eq!(last["labels"], first["labels"]);
    assert_eq!(last["startsAt"], again["startsAt"]);
    assert!(last["endsAt"].as_str() < again["endsAt"].as_str(), "resolved now, not in four minutes: {last}");
}

#[test]
fn a_bad_rule_file_prevents_a_start_and_keeps_the_old_rules_on_reload() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.yml");
    std::fs::write(directory.path().join("prometheus.yml"), "rule_files: [a.yml]\n").expect("written");
    std::fs::write(&file, "groups: [{name: g, rules: [{record: x, expr: 'rate(y)'}]}]\n").expect("written");
    let mut server = Server::spawn(directory.path(), &["--config.file=prometheus.yml"]);
    assert_eq!(server.exit_code(), Some(2));
    let log = server.log();
    assert!(log.contains("1:46: group") && log.contains("expected type range vector"), "{log}");

    std::fs::write(&file, "groups: [{name: g, rules: [{record: x, expr: vector(1)}]}]\n").expect("written");
    let mut server = Server::start(directory.path(), &["--config.file=prometheus.yml"]);
    std::fs::write(&file, "groups: [{name: other, rules: []}\n").expect("written");
    server.signal(libc::SIGHUP);
    server.wait_for_line("error loading rules, previous rule set restored");
    let (_, body) = server.get("/api/v1/rules");
    assert!(body.contains("\"name\":\"x\""), "{body}");
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
}
