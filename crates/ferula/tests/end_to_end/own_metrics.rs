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
