//! `ferula analyze usage` against the real binary: what dashboards, rules and queries read stays, also over a restart, and
//! the rules that it prints drop exactly the rest.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::{Server, Target};

const PAGE: &str = "asked_total 1\npanel_total 1\nof_rule_total 1\nof_file 1\nvain_total{path=\"a\"} 1\nvain_total{path=\"b\"} 1\n\
    # TYPE wide gauge\nwide{n=\"1\"} 1\n";
const RULES: &str = "groups: [{name: g, interval: 1s, rules: [{record: 'kept:of_rule', expr: of_rule_total}, {record: 'vain:rule', expr: of_rule_total}]}]\n";
const DASHBOARD: &str = r#"{"panels": [{"datasource": {"type": "prometheus"}, "targets": [{"expr": "rate(panel_total{job=~\"$job\"}[$__rate_interval])"}]}],
    "templating": {"list": [{"name": "job", "type": "query", "query": "label_values(kept:of_rule, job)"}]}}"#;

fn analyze(directory: &std::path::Path, address: &str, more: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .current_dir(directory)
        .args(["analyze", "usage", "--days=1", &format!("http://{address}")])
        .args(more)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The list of rules of a printed document.
fn rules(document: &str) -> String {
    let rules: Vec<&str> = document.lines().filter(|line| !line.starts_with('#')).collect();
    rules.join("\n")
}

#[test]
fn unread_metrics_are_listed_and_the_printed_rules_drop_only_them() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let target = Target::start(|_| PAGE.to_owned());
    let job = |more: &str| {
        format!(
            "global: {{scrape_interval: 200ms}}\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n{more}",
            target.address
        )
    };
    std::fs::write(directory.path().join("prometheus.yml"), job("")).expect("written");
    std::fs::write(directory.path().join("rules.yml"), RULES).expect("written");
    std::fs::write(
        directory.path().join("file.yml"),
        RULES.replace("of_rule_total", "of_file").replace("kept:of_rule", "x"),
    )
    .expect("written");
    std::fs::create_dir(directory.path().join("boards")).expect("created");
    std::fs::write(directory.path().join("boards/one.json"), DASHBOARD).expect("written");
    let files = ["--dashboards=boards", "--rules=file.yml"];

    let mut server = Server::start(directory.path(), &[]);
    server.await_query("asked_total", |result| (result.as_array()?.len() == 1).then_some(()));
    server.await_query("{__name__=~\"kept:.*|vain:.*\"}", |result| {
        (result.as_array()?.len() == 2).then_some(())
    });
    // A stop saves what was read.
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    let started = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let server = Server::start(directory.path(), &[]);
    // A scrape of this server: only series that it has scraped itself end with a marker when the rules drop them.
    let scraped = format!("timestamp(up{{job=\"j\"}}) * 1000 > {started}");
    server.await_query(&scraped, |result| (result.as_array()?.len() == 1).then_some(()));

    let (ok, document, error) = analyze(directory.path(), &server.address, &files);
    assert!(ok, "{error}");
    let listed = |name: &str| {
        document.lines().any(|line| line.starts_with('#') && line.ends_with(&format!("  {name}")))
    };
    for (name, is_unread) in [
        ("vain_total", true),
        ("wide", true),
        ("asked_total", false),
        ("panel_total", false),
        ("of_rule_total", false),
        ("of_file", false),
        ("up", false),
    ] {
        assert_eq!(listed(name), is_unread, "{name}:\n{document}");
    }
    assert!(document.contains("0 are changed that should not be"), "{document}");
    assert!(document.contains("reads before "), "the record is younger than a day:\n{document}");
    // The broad selector above counts as a read of the rules' results, unless it is ignored.
    assert!(
        document.contains("{__name__=~\"kept:.*|vain:.*\"}") && !document.contains("vain:rule  ("),
        "{document}"
    );
    let (_, ignoring, _) =
        analyze(directory.path(), &server.address, &["--ignore-broad-selectors", files[0], files[1]]);
    assert!(ignoring.contains("vain:rule  (") && !ignoring.contains("kept:of_rule  ("), "{ignoring}");

    // In the configuration, the rules do what was promised.
    let added: String = rules(&document).lines().map(|line| format!("  {line}\n")).collect();
    std::fs::write(directory.path().join("prometheus.yml"), job(&added)).expect("written");
    server.signal(libc::SIGHUP);
    server.await_query("vain_total or wide", |result| result.as_array()?.is_empty().then_some(()));
    server.await_query("{__name__=~\"asked_total|panel_total|of_rule_total|of_file\"}", |result| {
        (result.as_array()?.len() == 4).then_some(())
    });
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("bad.json"), "{").expect("written");
    std::fs::write(directory.path().join("bad.yml"), "groups: [{name: g, rules: [{record: a, expr: '('}]}]")
        .expect("written");
    for (argument, named) in [
        ("--dashboards=none.json", "none.json"),
        ("--dashboards=bad.json", "bad.json"),
        ("--rules=none.yml", "none.yml"),
        ("--rules=bad.yml", "bad.yml"),
    ] {
        let (ok, document, error) = analyze(directory.path(), "127.0.0.1:1", &[argument]);
        assert!(!ok && document.is_empty() && error.contains(named), "{argument}: {error}");
    }
}
