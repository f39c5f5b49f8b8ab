//! Target files and rule files with odd content, and target files that are replaced.

use std::time::Instant;

use serde_json::Value;

use super::{json, with_each};
use crate::common::{PATIENCE, REPLACEMENTS, Server, replace_file};

/// Target files, each with the targets that it has; nothing if it is refused.
const TARGET_FILES: &[(&str, &[u8], &str)] = &[
    ("plain.json", br#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#, "a:1{x=y}"),
    ("case.json", br#"[{"Targets": ["a:1"], "LABELS": {"x": "y"}}]"#, "a:1{x=y}"),
    ("null.json", b"null", ""),
    ("null_item.json", br#"[null, {"targets": ["a:1"]}]"#, ""),
    ("null_targets.json", br#"[{"targets": null, "labels": {"x": "y"}}, {"targets": ["a:1"]}]"#, "a:1"),
    ("null_labels.json", br#"[{"targets": ["a:1"], "labels": null}]"#, "a:1"),
    ("null_target.json", br#"[{"targets": ["a:1", null]}]"#, "a:1"),
    ("null_value.json", br#"[{"targets": ["a:1"], "labels": {"x": null}}]"#, "a:1"),
    ("twice.json", br#"[{"targets": ["a:1"], "targets": ["b:1"]}]"#, "b:1"),
    ("unknown.json", br#"[{"targets": ["a:1"], "source": "x"}]"#, ""),
    ("half.json", br#"[{"targets": ["a:1"], "labels": {"x": "\ud800y"}}]"#, "a:1{x=\u{fffd}y}"),
    ("bytes.json", b"[{\"targets\": [\"a:1\"], \"labels\": {\"x\": \"\xffy\"}}]", "a:1{x=\u{fffd}y}"),
    ("number.json", br#"[{"targets": ["a:1"], "labels": {"x": 1}}]"#, ""),
    ("mark.json", b"\xef\xbb\xbf[{\"targets\": [\"a:1\"]}]", ""),
    ("comma.json", br#"[{"targets": ["a:1"],}]"#, ""),
    ("two.json", br#"[{"targets": ["a:1"]}] []"#, ""),
    ("empty.json", b"", ""),
    ("no_name.json", br#"[{"targets": ["a:1"], "labels": {"": "y"}}]"#, ""),
    ("escapes.json", br#"[{"targets": ["a:1"], "labels": {"x": "\/\u0041"}}]"#, "a:1{x=/A}"),
    ("plain.yml", b"- targets: [a:1]\n  labels: {x: y}\n", "a:1{x=y}"),
    ("null.yml", b"~\n", ""),
    ("empty.yml", b"", ""),
    ("null_item.yml", b"- targets: [a:1]\n- \n", ""),
    ("null_labels.yml", b"- targets: [a:1]\n  labels:\n", "a:1"),
    ("null_value.yml", b"- targets: [a:1]\n  labels: {x: ~}\n", "a:1"),
    ("number.yml", b"- targets: [a:1]\n  labels: {x: 017, y: true, z: 1.50}\n", "a:1{x=017,y=true,z=1.50}"),
    ("unknown.yml", b"- targets: [a:1]\n  source: x\n", ""),
    ("no_name.yml", b"- targets: [a:1]\n  labels: {'': y}\n", ""),
];

/// Targets of a job as a file names them: address and labels.
fn targets(server: &Server, job: &str) -> String {
    let answer = json(server, "/api/v1/targets?state=active");
    let found = answer["data"]["activeTargets"].as_array().expect("a list").iter();
    let lines = found.filter(|target| target["scrapePool"] == job).map(|target| {
        let labels = target["labels"].as_object().expect("labels").iter();
        let own = labels.filter(|(name, _)| !["instance", "job"].contains(&name.as_str()));
        let own: Vec<String> =
            own.map(|(name, value)| format!("{name}={}", value.as_str().expect("a text"))).collect();
        let address = target["labels"]["instance"].as_str().expect("a text");
        if own.is_empty() { address.to_owned() } else { format!("{address}{{{}}}", own.join(",")) }
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.join(" ")
}

#[test]
fn odd_target_files_have_the_same_targets() {
    with_each(|program, start| {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = "scrape_configs:\n".to_owned();
        for (name, content, _) in TARGET_FILES {
            std::fs::write(directory.path().join(name), content).expect("written");
            config.push_str(&format!("- {{job_name: {name}, file_sd_configs: [{{files: [{name}]}}]}}\n"));
        }
        // The last to be read says that all were.
        std::fs::write(directory.path().join("last.json"), r#"[{"targets": ["last:1"]}]"#).expect("written");
        config.push_str("- {job_name: last, file_sd_configs: [{files: [last.json]}]}\n");
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
        let server = start(directory.path(), &[]);
        let outcome = |(name, ..): &(&str, &[u8], &str)| targets(&server, name);
        let deadline = Instant::now() + PATIENCE;
        let all_there = || {
            TARGET_FILES.iter().all(|case| outcome(case) == case.2) && !targets(&server, "last").is_empty()
        };
        while !all_there() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let wrong = TARGET_FILES.iter().filter(|case| outcome(case) != case.2);
        let wrong: Vec<String> =
            wrong.map(|case| format!("{}: {:?} instead of {:?}", case.0, outcome(case), case.2)).collect();
        assert!(
            wrong.is_empty() && targets(&server, "last") == "last:1",
            "{program}:\n{}\n{}",
            wrong.join("\n"),
            server.log()
        );
    });
}

#[test]
fn target_files_of_equal_size_and_time_are_read_again_however_they_are_replaced() {
    with_each(|program, start| {
        let directory = tempfile::tempdir().expect("a directory");
        let content = |n: usize| format!(r#"[{{"targets": ["host-{n}:1"]}}]"#);
        replace_file(directory.path(), "t.json", "in place", &content(0));
        // Nothing but the change itself may be what makes it look.
        let config =
            "scrape_configs: [{job_name: j, file_sd_configs: [{files: ['*.json'], refresh_interval: 1h}]}]\n";
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
        let server = start(directory.path(), &[]);
        let deadline = Instant::now() + 2 * PATIENCE;
        let arrives = |n: usize, way: &str| {
            let expected = format!("host-{n}:1");
            while targets(&server, "j") != expected {
                assert!(
                    Instant::now() < deadline,
                    "{program}, {way}: {}\n{}",
                    targets(&server, "j"),
                    server.log()
                );
                std::thread::yield_now();
            }
        };
        arrives(0, "at first");
        for (n, way) in REPLACEMENTS.into_iter().enumerate() {
            replace_file(directory.path(), "t.json", way, &content(n + 1));
            arrives(n + 1, way);
        }
    });
}

/// Rule files, each with the names of its groups and their rules; "refused" if it is.
const RULE_FILES: &[(&str, &str)] = &[
    ("groups: [{name: g, rules: [{record: a, expr: b}]}]", "g: a"),
    ("groups:\n- name: g\n  rules:\n  - {record: a, expr: b}\n  - \n", "g: a"),
    ("groups: [null, {name: g, rules: [{record: a, expr: b}]}]", "g: a"),
    ("groups: [{name: g, rules: [null]}]", ""),
    ("groups: [{name: g, rules: ~}]", ""),
    ("groups: ~", ""),
    ("~", ""),
    ("", ""),
    (
        "groups: [{name: g, interval: ~, labels: ~, rules: [{record: a, expr: b, labels: ~, for: ~, annotations: ~}]}]",
        "g: a",
    ),
    ("groups: [{name: g, rules: [{record: a, expr: b, labels: {x: ~}}]}]", "g: a"),
    ("groups: [{name: g, rules: [{record: \"a\\/b\", expr: b}]}]", "refused"),
    ("groups: [{name: ~, rules: []}]", "refused"),
    ("groups: [{name: g, limit: !!int '3', rules: [{record: !!str a, expr: b}]}]", "g: a"),
    ("groups: [{name: g, rules: [{alert: a, expr: b, for: 0}]}]", "g: a"),
    ("groups: [{name: 1, rules: [{record: a, expr: 1}]}]", "1: a"),
    ("groups: [{name: g, rules: [{record: a, expr: .inf}]}]", "refused"),
    ("groups: [{name: g, name: h, rules: []}]", "refused"),
    ("groups: [&x {name: g, rules: []}, {<<: *x, name: h}]", ""),
    ("groups: [&x {name: g, rules: [{record: a, expr: b}]}, {<<: *x, name: h}]", "g: a,h: a"),
];

#[test]
fn odd_rule_files_have_the_same_rules() {
    with_each(|program, start| {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("prometheus.yml"), "rule_files: [r.yml]\n").expect("written");
        std::fs::write(directory.path().join("r.yml"), "groups: []\n").expect("written");
        let server = start(directory.path(), &["--web.enable-lifecycle"]);
        let mut wrong = Vec::new();
        for (yaml, expected) in RULE_FILES {
            std::fs::write(directory.path().join("r.yml"), yaml).expect("written");
            let (status, _) = server.request("POST", "/-/reload", "", b"").expect("answered");
            let answer = json(&server, "/api/v1/rules");
            let groups = answer["data"]["groups"].as_array().expect("a list").iter().map(|group| {
                let rules = group["rules"].as_array().expect("a list").iter();
                let rules: Vec<&str> = rules.map(|rule| rule["name"].as_str().expect("a text")).collect();
                format!("{}: {}", group["name"].as_str().expect("a text"), rules.join(" "))
            });
            let found =
                if status == 200 { groups.collect::<Vec<_>>().join(",") } else { "refused".to_owned() };
            if found != *expected {
                wrong.push(format!("{yaml}: {found:?} instead of {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "{program}:\n{}", wrong.join("\n"));
    });
}

/// The alerts that an Alertmanager receives, without times and addresses.
pub fn shape(body: &[u8]) -> Vec<String> {
    let mut alerts: Value = serde_json::from_slice(body).expect("JSON");
    for alert in alerts.as_array_mut().expect("a list") {
        let alert = alert.as_object_mut().expect("an alert");
        for key in ["startsAt", "endsAt", "generatorURL"] {
            if let Some(value) = alert.get_mut(key) {
                *value = Value::from("…");
            }
        }
    }
    alerts.as_array().expect("a list").iter().map(Value::to_string).collect()
}
