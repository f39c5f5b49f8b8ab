//! Configurations that are refused, and some that look as if they should be: `testdata/config/refused.txt` has each with the
//! text of its error.
//!
//! The text up to a bracket is Prometheus'; the bracket adds line and key. Where the real promtool is at hand
//! (`FERULA_PEERS`), it must refuse each case with that text.

use std::process::Command;

use ferula_config::Config;
use ferula_testkit::shared::workspace_root;

/// In place of an error.
const LOADS: &str = "nothing: it loads";

struct Case {
    name: String,
    yaml: String,
    error: String,
}

fn file() -> std::path::PathBuf {
    workspace_root().join("testdata/config/refused.txt")
}

/// The comment at the top, and the cases.
fn read() -> (String, Vec<Case>) {
    let text = std::fs::read_to_string(file()).expect("the file of cases");
    let mut parts = text.split("\n== ");
    let comment = parts.next().expect("a comment").to_owned();
    let cases = parts.map(|part| {
        let (name, rest) = part.split_once('\n').expect("a name on a line of its own");
        let (yaml, error) = rest.split_once("\n=> ").expect("an error behind an arrow");
        let error = error.trim_end().replace("\n   ", "\n");
        Case { name: name.to_owned(), yaml: format!("{yaml}\n"), error }
    });
    (comment, cases.collect())
}

#[test]
fn every_case_is_refused_with_its_text_and_place() {
    let (comment, cases) = read();
    assert!(cases.len() > 155, "{} cases", cases.len());
    let mut out = comment;
    let mut wrong = Vec::new();
    for Case { name, yaml, error } in &cases {
        let found = match Config::parse(yaml) {
            Ok(_) => LOADS.to_owned(),
            Err(found) => found.to_string(),
        };
        out.push_str(&format!("\n== {name}\n{yaml}=> {}\n", found.replace('\n', "\n   ")));
        if found != *error {
            wrong.push(format!("{name}:\n  {found}\n  instead of\n  {error}"));
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file(), out).expect("written");
        return;
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn promtool_refuses_the_same_with_the_same_words() {
    let Some(peer) = ferula_testkit::shared::peer("promtool") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("f.yml");
    let mut wrong = Vec::new();
    for Case { name, yaml, error } in read().1 {
        std::fs::write(&config, yaml).expect("written");
        let output = Command::new(&peer)
            .args(["check", "config", "--syntax-only", "f.yml"])
            .current_dir(directory.path())
            .output()
            .expect("promtool runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Distributions leave mechanisms out.
        if said.contains("_sd_configs not found in type") {
            println!("{name}: left out, this promtool does not have it");
            continue;
        }
        let said = match said.split_once("FAILED: parsing YAML file f.yml: ") {
            _ if output.status.success() => LOADS,
            Some((_, text)) => text.trim_end(),
            None => "",
        };
        // What we add to Prometheus' text is in the last bracket.
        let own = match error.rsplit_once(" (line ") {
            Some((text, place)) if place.ends_with(')') => text,
            _ => error.as_str(),
        };
        if said != own {
            wrong.push(format!("{name}:\n  {own}\n  there\n  {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_unknown_key_has_the_known_one_that_was_probably_meant() {
    for (yaml, meant) in [
        ("global: {scrape_intervall: 1s}", Some("scrape_interval")),
        ("scrape_config: []", Some("scrape_configs")),
        ("scrape_configs: [{job_nam: x}]", Some("job_name")),
        // Keys of the HTTP client stand among the job's own.
        ("scrape_configs: [{job_name: x, basic_aut: {}}]", Some("basic_auth")),
        ("remote_write: [{url: 'http://h/', queue_config: {max_shard: 1}}]", Some("max_shards")),
        ("alerting: {alertmanager: []}", Some("alertmanagers")),
        ("something_else_entirely: 1", None),
        ("global: {scrape_interval: x}", None),
    ] {
        let error = Config::parse(yaml).expect_err(yaml);
        assert_eq!(error.suggestion(), meant, "{yaml}: {error}");
        assert!(!error.to_string().contains("did you mean"), "the text stays Prometheus'");
    }
}
