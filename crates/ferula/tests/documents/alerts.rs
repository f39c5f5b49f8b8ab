//! `docs/ALERTS.md` explains each shipped rule.

use std::collections::BTreeMap;

use ferula_testkit::shared;

/// Of every shipped alert: the severities and waits of its rules. Of recorded series: nothing.
fn shipped() -> BTreeMap<String, Vec<(String, String)>> {
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for file in ferula_config::glob(&format!("{}/config/rules/*.yml", shared::workspace_root().display())) {
        let text = std::fs::read_to_string(&file).expect("the rules can be read");
        for rule in text.split("\n      - ").skip(1) {
            let value = |key: &str| {
                let line = rule.lines().find_map(|line| line.trim().strip_prefix(key));
                line.map_or("", |rest| rest.trim()).to_owned()
            };
            if let Some(name) = rule.strip_prefix("alert: ").and_then(|rest| rest.lines().next()) {
                // Labels stand on lines of their own, or in braces.
                let severity = rule.split("severity: ").nth(1).unwrap_or_default();
                let severity = severity.split([',', '}', '\n']).next().unwrap_or_default().to_owned();
                all.entry(name.to_owned()).or_default().push((severity, value("for:")));
            } else if let Some(name) = rule.strip_prefix("record: ").and_then(|rest| rest.lines().next()) {
                all.entry(name.to_owned()).or_default();
            }
        }
    }
    all
}

#[test]
fn every_shipped_rule_is_explained_with_its_severity_and_wait() {
    let document = shared::workspace_root().join("docs/ALERTS.md");
    let document = std::fs::read_to_string(document).expect("the document exists");
    let shipped = shipped();
    assert!(shipped.len() >= 20, "the rules were read");
    let mut wrong = Vec::new();
    let explained: BTreeMap<&str, &str> = document
        .split("\n### ")
        .skip(1)
        .filter_map(|part| part.split_once('\n'))
        .map(|(name, text)| (name, text.split("\n## ").next().unwrap_or(text)))
        .collect();
    for (name, rules) in &shipped {
        if rules.is_empty() {
            let is_named = document.contains(&format!("`{name}`"));
            wrong.extend((!is_named).then(|| format!("{name} is recorded and not named")));
            continue;
        }
        let Some(text) = explained.get(name.as_str()) else {
            wrong.push(format!("{name} has no section"));
            continue;
        };
        for (severity, wait) in rules {
            let stated = if wait.is_empty() { severity.clone() } else { format!("{severity}, after {wait}") };
            wrong.extend((!text.contains(&stated)).then(|| format!("{name}: `{stated}` is not stated")));
        }
        for part in ["**Meaning.**", "**What to do.**"] {
            wrong.extend((!text.contains(part)).then(|| format!("{name} has no {part}")));
        }
    }
    for name in explained.keys().filter(|name| !shipped.contains_key(**name)) {
        wrong.push(format!("{name} is explained, but not shipped"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
