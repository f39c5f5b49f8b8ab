//! Metrics against those of the real Alertmanager: names, types, labels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::common::{Alertmanager, Webhook, alert, from_now, ours, peer};

/// What only Go's runtime and its HTTP client have.
const OF_GO: [&str; 4] = ["go_", "process_", "promhttp_", "net_conntrack_"];

/// Families with their type and the names of their labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn families(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = &line[..line.find(['{', ' ']).unwrap_or(line.len())];
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = [Some(name), base].into_iter().flatten().find(|name| families.contains_key(*name));
        let Some((_, labels)) = family.and_then(|name| families.get_mut(name)) else { continue };
        for pair in
            line[name.len()..].trim_start_matches('{').split("\",").filter(|pair| pair.contains("=\""))
        {
            let label = pair.split('=').next().unwrap_or_default().trim_matches(',');
            if !["le", "quantile"].contains(&label) {
                labels.insert(label.to_owned());
            }
        }
    }
    families
}

#[test]
fn every_metric_of_alertmanager_is_there() {
    let Some(real) = peer("alertmanager") else { return };
    let pages = [std::process::Command::new(real), ours()].map(|command| {
        let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
        let yaml = format!(
            "route: {{receiver: a, group_by: [g], group_wait: 100ms, group_interval: 500ms}}\n\
             inhibit_rules: [{{source_matchers: [n=1], target_matchers: [n=2], equal: [g]}}]\n\
             receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/a'}}]}}]\n",
            hook.address
        );
        std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
        let server = Alertmanager::start(command, directory.path());
        let silence = json!({
            "matchers": [{"name": "g", "value": "2", "isRegex": false}],
            "startsAt": from_now(0.0), "endsAt": from_now(3600.0), "createdBy": "me", "comment": "c",
        });
        assert_eq!(server.post("/api/v2/silences", &silence).0, 200);
        for labels in [[("g", "1"), ("n", "1")], [("g", "1"), ("n", "2")], [("g", "2"), ("n", "3")]] {
            assert_eq!(server.post("/api/v2/alerts", &alert(&labels, 0.0, 3600.0)).0, 200);
        }
        hook.wait("the notification", |told| !told.is_empty());
        server.list("/api/v2/alerts");
        server.list("/api/v2/silences");
        families(&server.get("/metrics").1)
    });
    let [theirs, ours] = pages;
    let mut wrong = Vec::new();
    for (name, (kind, labels)) in &theirs {
        if OF_GO.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        match ours.get(name) {
            None => wrong.push(format!("{name}: missing")),
            Some((own, _)) if own != kind => wrong.push(format!("{name}: {own}, not {kind}")),
            Some((_, own)) if own != labels => wrong.push(format!("{name}: labels {own:?}, not {labels:?}")),
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(theirs.len() > 60, "the page was read");
}
