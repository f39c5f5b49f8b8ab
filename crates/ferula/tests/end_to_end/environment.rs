//! `proxy_from_environment` in the real binary: scrapes and notifications go through the proxy that the environment names for
//! their scheme.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{self, Sender};

use crate::common::{PATIENCE, Server};

/// A proxy that passes on the first line of every request, after its own name, and refuses it. Returns its address.
fn proxy(name: &'static str, asked: Sender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            let _ = lines.find(String::is_empty);
            if asked.send(format!("{name}: {first}")).is_err() {
                return;
            }
            // The client may be gone.
            let _ = (&stream).write_all(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

const CONFIG: &str = "
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [a.yml]
alerting:
  alertmanagers:
  - {proxy_from_environment: true, static_configs: [{targets: ['am.invalid:80']}]}
  - {proxy_from_environment: true, scheme: https, static_configs: [{targets: ['am.invalid:443']}]}
scrape_configs:
- {job_name: plain, proxy_from_environment: true, static_configs: [{targets: ['target.invalid:80']}]}
- {job_name: secure, proxy_from_environment: true, scheme: https, static_configs: [{targets: ['target.invalid:443']}]}
";

#[test]
fn scrapes_and_notifications_use_the_proxies_of_the_environment() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    write("prometheus.yml", CONFIG);
    write("a.yml", "groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]\n");
    let (sender, asked) = mpsc::channel();
    let plain = format!("http://{}", proxy("plain", sender.clone()));
    let secure = format!("http://{}", proxy("secure", sender));
    let server = Server::start_with_proxies(
        directory.path(),
        &["--config.file=prometheus.yml"],
        &[("HTTP_PROXY", &plain), ("HTTPS_PROXY", &secure)],
    );
    let mut missing = BTreeSet::from([
        "plain: GET http://target.invalid:80/metrics HTTP/1.1",
        "plain: POST http://am.invalid:80/api/v2/alerts HTTP/1.1",
        "secure: CONNECT target.invalid:443 HTTP/1.1",
        "secure: CONNECT am.invalid:443 HTTP/1.1",
    ]);
    let all = missing.clone();
    while !missing.is_empty() {
        let line = asked.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("{missing:?} ({error}) in\n{}", server.log()));
        assert!(all.contains(line.as_str()), "{line}");
        missing.remove(line.as_str());
    }
}
