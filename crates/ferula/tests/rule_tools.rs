//! `check` and `test rules`, called as users do, with the shipped rules and with promtool's own cases.

use std::path::Path;
use std::process::Command;

use ferula_testkit::shared;

/// Exit code and complete output.
fn ferula(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_shipped_rules_are_valid_and_pass_their_unit_tests() {
    let root = shared::workspace_root();
    for name in ["machine", "service", "slo"] {
        let (code, text) = ferula(root, &["check", "rules", &format!("config/rules/{name}.yml")]);
        assert_eq!(code, 0, "{text}");
    }
    let tests = ferula_config::glob(&format!("{}/config/rules/tests/*.yml", root.display()));
    assert!(tests.len() >= 3);
    for file in tests {
        let (code, text) = ferula(root, &["test", "rules", &file]);
        assert_eq!((code, text.trim()), (0, "SUCCESS"), "{file}");
    }
    let (code, text) = ferula(root, &["check", "config", "config/prometheus.yml"]);
    assert_eq!(code, 0, "{text}");
}

/// Arguments, exit code, and a part of the output, all as in the real promtool.
const CASES: &[(&[&str], i32, &str)] = &[
    (&["test", "rules", "unittest.yml"], 0, "SUCCESS"),
    (&["test", "rules", "long-period.yml", "no-test-group-interval.yml"], 0, "SUCCESS"),
    (
        &["test", "rules", "at-modifier-test.yml", "negative-offset-test.yml", "start-time-test.yml"],
        0,
        "SUCCESS",
    ),
    (
        &["test", "rules", "failing.yml"],
        1,
        "    alertname: InstanceDown, time: 5m, \n        exp:[], \n        got:[\n            0:\n              Labels:{alertname=\"InstanceDown\", job=\"test\", severity=\"page\"}\n",
    ),
    (
        &["test", "rules", "--diff", "failing.yml"],
        1,
        "        diff: [\n                {\n                    \"Annotations\": {},\n                    \"Labels\": {\n                        \u{1b}[0;31m\"alertname\": \"Test\"\u{1b}[0m\n",
    ),
    (
        &["test", "rules", "--debug", "at-modifier-test.yml"],
        0,
        "DEBUG: Starting test unnamed#0\nDEBUG: Dump of all data (input_series and rules) at 1s:\n",
    ),
    (&["test", "rules", "bad-promql.yml"], 1, "err: found duplicate series for the match group {a=\"1\"}"),
    (
        &["test", "rules", "bad-rules-error-test.yml"],
        1,
        "    rule: joined, time: 0s, err: found duplicate series",
    ),
    (&["test", "rules", "bad-rules-syntax-test.yml"], 1, "could not parse expression"),
    (
        &["test", "rules", "bad-input-series.yml"],
        1,
        "2:48: parse error: unexpected character inside braces: '0'",
    ),
    (&["test", "rules", "--run=correct", "rules_run.yml"], 0, "SUCCESS"),
    (&["test", "rules", "--run=wrong", "rules_run.yml"], 1, "exp: {__name__=\"test\"} 1E+00"),
    (&["test", "rules", "rules_run_fuzzy.yml"], 1, "got: {__name__=\"test_low\"} 2.9999999999999987E+00"),
    (&["test", "rules", "rules_run_no_fuzzy.yml"], 1, "FAILED"),
    (&["check", "rules", "rules.yml"], 0, "  SUCCESS: 5 rules found"),
    (&["check", "rules", "--lint-fatal", "rules_duplicates.yml"], 3, "lint error 1 duplicate rule(s) found."),
    (&["check", "rules", "--lint=none", "rules_duplicates.yml"], 0, "SUCCESS"),
    (
        &["check", "rules", "rules-bad.yml"],
        1,
        "template: __alert_InstanceDown:1: undefined variable \"$label\"",
    ),
    (
        &["check", "rules", "rules_extrafields.yml"],
        1,
        "line 7: field namespace not found in type rulefmt.RuleGroup",
    ),
    (&["check", "rules", "--ignore-unknown-fields", "rules_extrafields.yml"], 0, "SUCCESS"),
    (&["check", "config", "prometheus-config.good.yml"], 0, "is valid prometheus config file syntax"),
    (
        &["check", "config", "prometheus-config.bad.yml"],
        1,
        "line 1: field not-prometheus not found in type config.plain",
    ),
    (
        &["check", "config", "url_in_scrape_targetgroup_with_relabel_config.bad.yml"],
        1,
        "  FAILED: instance 0 in group 0: \"http://bad\" is not a valid hostname",
    ),
    (
        &["check", "config", "url_in_alert_targetgroup_with_relabel_config.bad.yml"],
        1,
        "  FAILED: \"http://bad\" is not a valid hostname",
    ),
    (
        &["check", "config", "config_with_rule_files.yml"],
        1,
        "\"non-existent-file.yml\" does not point to an existing file",
    ),
    (&["check", "config", "--syntax-only", "config_with_rule_files.yml"], 0, "SUCCESS"),
    (
        &["check", "config", "config_with_tls_files.yml"],
        1,
        "stat nonexistent_cert_file.yml: no such file or directory",
    ),
    (
        &["check", "config", "authorization_credentials_file.bad.yml"],
        1,
        "error checking authorization credentials",
    ),
    (
        &["check", "config", "config_with_service_discovery_files.yml"],
        0,
        "  WARNING: file \"nonexistent_file.yml\" for file_sd in scrape job \"prometheus\" does not exist",
    ),
    (
        &[
            "check",
            "config",
            "--lint=too-long-scrape-interval",
            "--lint-fatal",
            "prometheus-config.lint.too_long_scrape_interval.yml",
        ],
        3,
        "job: too_long_scrape_interval_test, interval: 10m",
    ),
];

#[test]
fn promtools_cases_end_as_with_promtool() {
    let Some(directory) = shared::directory("cases/promtool") else { return };
    for (arguments, code, part) in CASES {
        let (got, text) = ferula(&directory, arguments);
        assert!(got == *code && text.contains(part), "{arguments:?}: exit code {got}\n{text}");
    }
    shared::ran("cases/promtool", CASES.len());
}

#[test]
fn results_can_be_written_as_junit() {
    let Some(directory) = shared::directory("cases/promtool") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("junit.xml");
    let junit = format!("--junit={}", file.display());
    let (code, _) = ferula(&directory, &["test", &junit, "rules", "unittest.yml", "failing.yml"]);
    assert_eq!(code, 1);
    let xml = std::fs::read_to_string(file).expect("written");
    assert!(xml.starts_with("<testsuites><testsuite name=\"unittest.yml\" tests=\""), "{xml}");
    assert!(
        xml.contains("failures=\"0\" errors=\"0\"") && xml.contains("<failure>    name: Failing test,&#xA;"),
        "{xml}"
    );
}
