//! The Alertmanager inside the server: a rule fires, and the receiver is notified.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::common::{Webhook, http};

struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn alerts_of_rules_reach_receivers_without_another_program() {
    let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    write(
        "prometheus.yml",
        "global: {evaluation_interval: 1s, external_labels: {site: here}}\nrule_files: [rules.yml]\n",
    );
    write(
        "rules.yml",
        "groups: [{name: g, rules: [{alert: Always, expr: vector(1), annotations: {summary: 'value {{ $value }}'}}]}]\n",
    );
    let yaml = format!(
        "route: {{receiver: a, group_by: [alertname], group_wait: 100ms}}\n\
         receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/a'}}]}}]\n",
        hook.address
    );
    write("am.yml", &yaml);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .current_dir(directory.path())
        .args([
            "--config.file=prometheus.yml",
            "--alertmanager.config.file=am.yml",
            "--web.listen-address=127.0.0.1:0",
            "--web.enable-lifecycle",
        ])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let line = lines.by_ref().find(|line| line.contains("msg=\"Ferula is up\"")).expect("it starts");
    let address = line.split_once(" address=").expect("with its address").1.trim().to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    let server = Server { child, address };

    hook.wait("the receiver is notified", |told| !told.is_empty());
    let body = hook.told()[0].body.clone();
    assert_eq!(body["groupKey"], "{}:{alertname=\"Always\"}");
    assert_eq!(body["alerts"][0]["labels"], serde_json::json!({"alertname": "Always", "site": "here"}));
    assert_eq!(body["alerts"][0]["annotations"]["summary"], "value 1");
    let external_url = body["externalURL"].as_str().expect("a URL");
    assert!(external_url.ends_with("/alertmanager"), "{external_url}");
    let (status, alerts) = http(&server.address, "GET", "/alertmanager/api/v2/alerts", None);
    assert_eq!(status, 200);
    assert!(alerts.contains("\"alertname\":\"Always\""), "{alerts}");
    assert_eq!(http(&server.address, "GET", "/alertmanager/-/ready", None), (200, "OK".to_owned()));
    assert_eq!(http(&server.address, "POST", "/alertmanager/-/reload", None).0, 200);
    // The server's own reload and SIGHUP are for both files.
    let status = || http(&server.address, "GET", "/alertmanager/api/v2/status", None).1;
    write("am.yml", &yaml.replace("receivers: [", "receivers: [{name: second}, "));
    assert_eq!(http(&server.address, "POST", "/-/reload", None).0, 200);
    assert!(status().contains("name: second"), "{}", status());
    write("am.yml", "route: {receiver: gone}\n");
    let (code, body) = http(&server.address, "POST", "/-/reload", None);
    assert!(code == 500 && body.contains("undefined receiver"), "{code} {body}");
    assert!(status().contains("name: second"), "the configuration before stays");
    write("am.yml", &yaml.replace("receivers: [", "receivers: [{name: third}, "));
    // SAFETY: `kill` only sends a signal to the child that was started here.
    unsafe { libc::kill(i32::try_from(server.child.id()).expect("a process number"), libc::SIGHUP) };
    let deadline = std::time::Instant::now() + crate::common::PATIENCE;
    while !status().contains("name: third") {
        assert!(std::time::Instant::now() < deadline, "SIGHUP reloads");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Prometheus' own paths are unchanged, and /metrics includes the Alertmanager's metrics.
    assert_eq!(http(&server.address, "GET", "/-/ready", None).0, 200);
    assert!(http(&server.address, "GET", "/api/v1/alerts", None).1.contains("Always"));
    assert!(
        http(&server.address, "GET", "/metrics", None)
            .1
            .contains("\nalertmanager_notifications_total{integration=\"webhook\"} 1\n")
    );
}
