//! Input that no client should send, and misbehaving receivers: memory and time stay limited, and no one else is delayed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::common::{Alertmanager, Webhook, alert, from_now, ours};

/// A service that accepts requests and then misuses the connection.
fn service(answer: impl Fn(TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.read(&mut [0; 4096]);
                answer(stream);
            });
        }
    });
    address
}

/// The peak memory of the process, in MiB.
fn peak_mib(server: &Alertmanager) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib >> 10
}

#[test]
fn one_bad_receiver_delays_no_other() {
    let hook = Webhook::start();
    // One never answers, one never ends its answer, one answers garbage, one announces a wrong length.
    let silent = service(|stream| {
        std::thread::sleep(Duration::from_secs(120));
        drop(stream);
    });
    let endless = service(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while stream.write_all(chunk.as_bytes()).is_ok() {}
    });
    let garbage = service(|mut stream| {
        let _ = stream.write_all(&[0xff; 100_000]);
    });
    let lying_mail = service(|mut stream| {
        let _ = stream.write_all(b"220 hello\r\n250-\r\n");
        while stream.write_all(b"250-STARTTLS and more and more and more\r\n").is_ok() {}
    });
    let directory = tempfile::tempdir().expect("a directory");
    let yaml = format!(
        "route:
  receiver: good
  group_by: [g]
  group_wait: 100ms
  group_interval: 1s
  routes:
  - {{matchers: [g=~.+], receiver: bad, continue: true}}
  - {{matchers: [g=~.+], receiver: good}}
receivers:
- name: good
  webhook_configs: [{{url: 'http://{}/good'}}]
- name: bad
  webhook_configs: [{{url: 'http://{silent}/'}}, {{url: 'http://{endless}/'}}, {{url: 'http://{garbage}/'}}]
  email_configs: [{{to: a@b.c, from: d@e.f, smarthost: '{lying_mail}'}}]
",
        hook.address
    );
    std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
    let server = Alertmanager::start(ours(), directory.path());
    for group in 0..20 {
        let group = group.to_string();
        assert_eq!(server.post("/api/v2/alerts", &alert(&[("g", &group)], 0.0, 3600.0)).0, 200);
    }
    hook.wait("the good receiver gets everything", |told| told.len() >= 20);
    // And again at once of what is new, while attempts at the bad ones last.
    let before = hook.told().len();
    assert_eq!(server.post("/api/v2/alerts", &alert(&[("g", "new")], 0.0, 3600.0)).0, 200);
    hook.wait("the good receiver gets what is new", |told| told.len() > before);
    assert_eq!(server.get("/-/ready").0, 200);
    assert!(peak_mib(&server) < 400, "{} MiB", peak_mib(&server));
}

#[test]
fn bodies_labels_and_expressions_are_bounded() {
    let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
    let yaml = format!(
        "route: {{receiver: a, group_by: [g], group_wait: 100ms, group_interval: 1s}}\n\
         receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/a', max_alerts: 10}}]}}]\n",
        hook.address
    );
    std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
    let server = Alertmanager::start(ours(), directory.path());
    let raw = |body: &str| crate::common::http(&server.address, "POST", "/api/v2/alerts", Some(body));

    // Deep nesting, a truncated body, a body that is not JSON.
    assert_eq!(raw(&"[".repeat(500_000)).0, 400);
    assert_eq!(raw("[{\"labels\":{\"a\":\"b\"").0, 400);
    assert_eq!(raw("\u{0}\u{1}").0, 400);
    // A body of one byte more than allowed is announced, and not read.
    let mut stream = TcpStream::connect(&server.address).expect("it listens");
    let head = format!(
        "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        (64 << 20) + 1
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..=64 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).unwrap_or(0);
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413") || answer.starts_with("HTTP/1.1 503"),
        "{answer}"
    );

    // An alert with very many labels, and one whose value is very long.
    let many: serde_json::Map<String, serde_json::Value> =
        (0..50_000).map(|at| (format!("l{at}"), json!("v"))).collect();
    assert_eq!(raw(&json!([{"labels": many}]).to_string()).0, 200);
    assert_eq!(raw(&json!([{"labels": {"g": "long", "v": "x".repeat(4 << 20)}}]).to_string()).0, 200);
    // Expressions with explosive cost are refused or answered in time.
    for expression in
        ["(((a{1,1000}){1,1000}){1,1000})", "((((((((((a*)*)*)*)*)*)*)*)*)*)*b", &"(".repeat(100_000)]
    {
        let silence = json!({
            "matchers": [{"name": "g", "value": expression, "isRegex": true}],
            "startsAt": from_now(0.0), "endsAt": from_now(60.0), "createdBy": "me", "comment": "c",
        });
        let (status, _) = server.post("/api/v2/silences", &silence);
        assert!(status == 200 || status == 400, "{status}");
    }
    // Thousands of alerts in one group are notified in one notification of limited size.
    for batch in 0..10 {
        let alerts: Vec<_> = (0..2000)
            .map(|at| json!({"labels": {"g": "crowd", "n": format!("{batch}-{at}")}, "startsAt": from_now(-1.0)}))
            .collect();
        assert_eq!(raw(&json!(alerts).to_string()).0, 200);
    }
    hook.wait("the notification about the crowd", |told| {
        told.iter().any(|told| {
            told.body["groupKey"] == "{}:{g=\"crowd\"}"
                && told.body["alerts"].as_array().is_some_and(|all| all.len() == 10)
        })
    });
    assert_eq!(server.get("/-/ready").0, 200);
    assert!(peak_mib(&server) < 900, "{} MiB", peak_mib(&server));
}
