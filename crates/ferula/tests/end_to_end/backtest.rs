//! `ferula test alerts` over directories that must stay unchanged, and beside a server that must keep running.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::SystemTime;

use ferula_model::{LabelSet, Timestamp};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::{Db, Options};
use serde_json::Value;

use crate::common::{Server, Target};

/// 14 November 2023, 22:13:20 UTC.
const START: i64 = 1_700_000_000;

fn replay(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferula"))
        .current_dir(directory)
        .args(["test", "alerts"])
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Content and modification time of everything in a directory.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(path) = left.pop() {
        let meta = std::fs::metadata(&path).expect("it was listed");
        let bytes = if meta.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("listed").path()));
            Vec::new()
        } else {
            std::fs::read(&path).expect("a file")
        };
        all.insert(path, (meta.modified().expect("files have times"), bytes));
    }
    all
}

/// Two hours of a gauge that is 1 from the 30th to the 40th minute and otherwise 0, one sample every 15 s,
/// and a configuration.
fn history(directory: &Path, rules: &str) {
    std::fs::write(directory.join("rules.yml"), rules).expect("written");
    std::fs::write(
        directory.join("prometheus.yml"),
        "global: {evaluation_interval: 1m, external_labels: {dc: x}}\nrule_files: [rules.yml]\n",
    )
    .expect("written");
    let data = directory.join("data");
    let db = Db::open(&data, Options::default(), Arc::new(RealDisk), &Registry::new(), &mut |_| {});
    let db = db.expect("a new database");
    let labels = LabelSet::from_pairs([("__name__", "m"), ("job", "a")]);
    for at in (START..START + 7200).step_by(15) {
        let mut appender = db.appender();
        let series = appender.resolve(&labels).expect("labels");
        let mut batch = SampleBatch::default();
        let high = (START + 1800..START + 2400).contains(&at);
        batch.push_float(series, Timestamp::from_millis(at * 1000), f64::from(u8::from(high)));
        assert!(appender.append(&mut batch).refused.is_empty());
        appender.commit(Durability::Written).expect("committed");
    }
    // Neither closed nor unlocked, as after a crash.
    std::mem::forget(db);
}

const RULES: &str = r#"
groups:
- name: g
  rules:
  - record: job:m:double
    expr: m * 2
  - alert: High
    expr: m > 0
    for: 3m
    labels: {severity: '{{ $labels.job }}-{{ $externalLabels.dc }}'}
    annotations: {text: 'is {{ $value }}'}
  - alert: Short
    expr: m > 0
    for: 1h
  - alert: OfRecorded
    expr: job:m:double > 1
  - alert: Never
    expr: m > 1
"#;

const FROM: &str = "--from=2023-11-14T22:20:00Z";
const TO: &str = "--to=1700007000";

/// Seconds after the start, and the state, of every event of a rule.
fn events(report: &Value, rule: &str) -> Vec<(i64, String)> {
    let rules = report["groups"][0]["rules"].as_array().expect("a list");
    let rule =
        rules.iter().find(|found| found["name"] == rule).unwrap_or_else(|| panic!("{rule} in {report}"));
    let episodes = rule["episodes"].as_array().expect("a list");
    let events = episodes.iter().flat_map(|episode| episode["events"].as_array().expect("a list"));
    events
        .map(|event| {
            let at = event["at"].as_str().and_then(ferula_model::alert::parse_rfc3339).expect("a time");
            (at.whole_seconds() - START, event["state"].as_str().expect("a word").to_owned())
        })
        .collect()
}

#[test]
fn a_backtest_shows_when_alerts_would_have_fired_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    history(directory.path(), RULES);
    let before = contents(directory.path());
    let output = replay(directory.path(), &[FROM, TO, "--output=json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("history has no job:m:double"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let high = events(&report, "High");
    let states: Vec<&str> = high.iter().map(|(_, state)| state.as_str()).collect();
    assert_eq!(states, ["pending", "firing", "resolved"]);
    let began = high[0].0;
    // The first and last sample above 0 are 585 s apart, and evaluations a minute; the lookback does not
    // matter.
    assert!((1800..1860).contains(&began), "{high:?}");
    assert_eq!((high[1].0 - began, high[2].0 - began), (180, 600));
    let alert = &report["groups"][0]["rules"][0]["episodes"][0];
    assert_eq!(alert["labels"]["severity"], "a-x");
    assert_eq!(alert["events"][1]["annotations"]["text"], "is 1");
    assert_eq!(
        events(&report, "Short"),
        [(began, "pending".to_owned()), (began + 600, "inactive".to_owned())]
    );
    assert!(events(&report, "Never").is_empty() && events(&report, "OfRecorded").is_empty());

    let output =
        replay(directory.path(), &[FROM, TO, "--output=json", "--evaluate-recording-rules", "--rules=^Of"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        events(&report, "OfRecorded"),
        [(began, "firing".to_owned()), (began + 600, "resolved".to_owned())]
    );
    assert_eq!(report["recorded"][0]["source"], "evaluated");
    // The samples of the head are still visible beside the added block.
    assert_eq!(report["groups"][0]["rules"].as_array().map(Vec::len), Some(1));

    let output = replay(directory.path(), &[FROM, TO, "--quiet", "--rules=High", "--rules=Never"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("1 of 2 alerting rules would have fired"), "{text}");
    assert!(text.contains("High: fired once, for 7m in all; began once"), "{text}");
    assert!(
        text.contains("Never: never") && text.contains("resolved") && text.contains("fired for 7m"),
        "{text}"
    );
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    assert!(before == contents(directory.path()), "the directory has changed");
}

#[test]
fn what_cannot_be_replayed_has_its_exit_code() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    history(
        directory.path(),
        "groups: [{name: g, rules: [{alert: F, expr: 'label_replace(m, \"a\", \"$1\", \"job\", \"(\")'}]}]",
    );
    let output = replay(directory.path(), &[FROM, TO]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED: 110 of 110 evaluations"));
    for (arguments, why) in [
        (&[TO][..], "required flag(s) '--from' not provided"),
        (&[FROM, "--to=yesterday"][..], "is not a time"),
        (&[FROM, "--to=0"][..], "--from is after --to"),
        (&[FROM, TO, "--output=xml"][..], "must be one of text,json"),
        (&[FROM, TO, "--storage.tsdb.path=nowhere"][..], "nowhere"),
        (&[FROM, TO, "--config.file=nothing.yml"][..], "nothing.yml"),
    ] {
        let output = replay(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_server_continues_beside_a_backtest_of_its_directory() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let target = Target::start(|n| format!("fixture {n}\n"));
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: fixture\n  \
         scrape_interval: 20ms\n  scrape_timeout: 20ms\n  static_configs:\n  - targets: ['{}']\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let rules = "groups: [{name: g, rules: [{alert: Seen, expr: fixture > 0}]}]";
    std::fs::write(directory.path().join("rules.yml"), rules).expect("written");
    let server = Server::start(directory.path(), &[]);
    server.await_query("ALERTS", |result| result.get(0).map(|_| ()));
    for _ in 0..3 {
        let output = replay(directory.path(), &["--from=now-1m", "--output=json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        // On a busy machine scrapes may be missed, and the alert may end in between.
        assert!(report["groups"][0]["rules"][0]["firedCount"].as_u64() >= Some(1), "{report}");
    }
    let scrapes = target.scrapes();
    let newer = |result: &Value| {
        let value: f64 = result[0]["value"][1].as_str()?.parse().ok()?;
        (value > scrapes as f64).then_some(())
    };
    server.await_query("fixture", newer);
    assert!(!server.log().contains("level=ERROR"), "{}", server.log());
    let (status, _) = server.get("/-/healthy");
    assert_eq!(status, 200);
}
