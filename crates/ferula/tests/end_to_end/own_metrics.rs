//! `/metrics` of a server that scrapes, evaluates rules, sends alerts and answers queries: every name that
//! dashboards use is there, with Prometheus' type and labels, and with a help text of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::alerts::alertmanager;
use crate::common::{PATIENCE, Server, Target};

/// One metric family: its type and its label names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

/// Parses the families of a page, each of which begins with HELP and TYPE.
fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some((name, _)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default();
            current = name.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let family = families.entry(current.clone()).or_default();
            let names = labels.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next());
            // What follows the last value is not a name.
            let count = labels.matches("=\"").count();
            family.labels.extend(
                names.take(count).filter(|name| !["le", "quantile"].contains(name)).map(str::to_owned),
            );
        }
    }
    families
}

/// The families listed in the test data.
fn wanted() -> BTreeMap<String, Family> {
    let text = include_str!("../../../../testdata/metrics/prometheus.txt");
    let family = |line: &str| {
        let [name, kind, labels] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("expected three columns: {line}");
        };
        let labels = labels.split(',').filter(|label| *label != "-").map(str::to_owned).collect();
        (name.to_owned(), Family { kind: kind.to_owned(), labels })
    };
    text.lines().filter(|line| !line.starts_with('#')).map(family).collect()
}

#[test]
fn families_that_dashboards_use_are_served_as_prometheus_serves_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = Target::start(|n| format!("# HELP n N.\n# TYPE n counter\nn_total {n}\n"));
    let (alertmanager, alerts) = alertmanager();
    let config = format!(
        "global: {{scrape_interval: 100ms, evaluation_interval: 100ms}}\n\
         rule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
         scrape_configs:\n- {{job_name: fixture, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address
    );
    let rules = "groups:\n- name: g\n  rules:\n  - {record: up:sum, expr: sum(up)}\n  \
                 - {alert: Up, expr: up == 1, annotations: {text: '{{ $value }}'}}\n";
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    std::fs::write(directory.path().join("rules.yml"), rules).expect("written");
    let server = Server::start(directory.path(), &[]);
    server.await_query("up:sum", |result| result.get(0).map(|_| ()));
    alerts.recv_timeout(PATIENCE).expect("the alert arrives");
    let wanted = wanted();
    assert!(wanted.len() > 90, "the list was read");
    // Some appear with the second scrape, or after the Alertmanager's answer.
    let deadline = Instant::now() + PATIENCE;
    let mut page = String::new();
    let mut wrong = vec![String::new()];
    while !wrong.is_empty() && Instant::now() < deadline {
        page = server.get("/metrics").1;
        let served = families(&page);
        let differs = wanted.iter().filter(|(name, family)| served.get(*name) != Some(family));
        wrong = differs
            .map(|(name, family)| format!("{name}\n  wanted {family:?}\n  served {:?}", served.get(name)))
            .collect();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let helps = page.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let unexplained: Vec<&str> = helps.filter(|rest| rest.split(' ').count() < 3).collect();
    assert!(unexplained.is_empty(), "families without a sentence: {unexplained:?}");
}

/// Families that nothing but a running server moves, each with labels that must be there. Those of the store that need
/// damage or histograms are moved by its own tests.
const MOVED: &[(&str, &str)] = &[
    ("prometheus_target_interval_length_histogram_seconds_count", "interval=\"1s\""),
    ("prometheus_target_interval_length_seconds_count", "interval=\"1s\""),
    ("prometheus_target_sync_length_histogram_seconds_count", "scrape_job=\"fixture\""),
    ("prometheus_target_sync_length_seconds_count", "scrape_job=\"fixture\""),
    ("prometheus_target_scrape_duration_seconds_count", ""),
    ("prometheus_target_metadata_cache_entries", "scrape_job=\"fixture\""),
    ("prometheus_tsdb_isolation_high_watermark", ""),
    ("prometheus_tsdb_isolation_low_watermark", ""),
    ("prometheus_tsdb_head_samples_appended_total", "type=\"float\""),
    ("prometheus_remote_storage_samples_in_total", ""),
    ("prometheus_api_notification_active_subscribers", ""),
    ("prometheus_api_notification_updates_sent_total", ""),
];

#[test]
fn families_that_a_running_server_moves_leave_zero() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = Target::start(|n| format!("# HELP n N.\n# TYPE n counter\nn_total {n}\n"));
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: fixture, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let server = Server::start(directory.path(), &["--web.enable-lifecycle"]);
    let mut follower = std::net::TcpStream::connect(&server.address).expect("connected");
    let request = b"GET /api/v1/notifications/live HTTP/1.1\r\nHost: x\r\n\r\n";
    std::io::Write::write_all(&mut follower, request).expect("sent");
    // A reload that fails is what followers are notified of.
    std::fs::write(directory.path().join("prometheus.yml"), "nonsense").expect("written");
    assert_eq!(server.request("POST", "/-/reload", "", b"").expect("an answer").0, 500);
    let deadline = Instant::now() + PATIENCE;
    let mut still = vec!["nothing was looked at"];
    while !still.is_empty() && Instant::now() < deadline {
        let page = server.get("/metrics").1;
        let moved = |(name, label): &(&str, &str)| {
            let mut lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
            lines.any(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()) > Some(0.0))
        };
        still = MOVED.iter().filter(|family| !moved(family)).map(|(name, _)| *name).collect();
    }
    assert!(still.is_empty(), "still zero: {still:?}\n{}", server.get("/metrics").1);
}
