//! `proxy_from_environment` in the real binary: scrapes and notifications go through the proxy that the environment names for
//! their scheme.

use std::collections::BTreeSet;
use std::sync::mpsc;

use ferula_testkit::recording_proxy;

use crate::common::{PATIENCE, Server};

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
    let plain = format!("http://{}", recording_proxy("plain", sender.clone()));
    let secure = format!("http://{}", recording_proxy("secure", sender));
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
        let (proxy, line) = line.unwrap_or_else(|error| panic!("{missing:?} ({error}) in\n{}", server.log()));
        let line = format!("{proxy}: {line}");
        assert!(all.contains(line.as_str()), "{line}");
        missing.remove(line.as_str());
    }
}
