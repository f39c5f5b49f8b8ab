//! `ferula slo …`, called as users do: the generated rules are checked and unit-tested by the program itself,
//! and a report is made of prepared history.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferula_testkit::shared;

fn ferula(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn testdata() -> PathBuf {
    shared::workspace_root().join("testdata/slo")
}

fn shop() -> String {
    testdata().join("shop.yml").display().to_string()
}

#[test]
fn generated_rules_pass_the_checks_and_their_own_unit_tests() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, _, errors) = ferula(directory.path(), &["slo", "generate", "-o", "shop.rules.yml", &shop()]);
    assert_eq!((code, errors.as_str()), (0, ""));
    let (code, printed, errors) = ferula(directory.path(), &["check", "rules", "shop.rules.yml"]);
    assert_eq!(code, 0, "{printed}{errors}");
    assert!(printed.contains("SUCCESS: 63 rules found"), "{printed}");
    std::fs::copy(testdata().join("shop.test.yml"), directory.path().join("shop.test.yml")).expect("copied");
    let (code, printed, errors) = ferula(directory.path(), &["test", "rules", "shop.test.yml"]);
    assert_eq!((code, printed.trim()), (0, "SUCCESS"), "{printed}{errors}");
    let (_, on_screen, _) = ferula(directory.path(), &["slo", "generate", &shop()]);
    let in_file = std::fs::read_to_string(directory.path().join("shop.rules.yml")).expect("written");
    assert_eq!(on_screen, in_file);
}

#[test]
fn an_invalid_file_is_named_with_its_line_and_nothing_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = std::fs::read_to_string(shop()).expect("there");
    std::fs::write(directory.path().join("bad.yml"), good.replace("objective: 95", "objective: 195"))
        .expect("written");
    std::fs::write(directory.path().join("out.yml"), "old").expect("written");
    let (code, printed, errors) = ferula(directory.path(), &["slo", "generate", "-o", "out.yml", "bad.yml"]);
    assert_eq!((code, printed.as_str()), (1, ""));
    assert_eq!(
        errors.trim(),
        "bad.yml: line 22: objective \"payments.latency\": the objective is 195, expected more than 0 and at most 100"
    );
    assert_eq!(std::fs::read_to_string(directory.path().join("out.yml")).expect("there"), "old");
    assert_eq!(std::fs::read_dir(directory.path()).expect("there").count(), 2, "no temporary file is left");

    let (code, _, errors) = ferula(directory.path(), &["slo", "validate", "missing.yml"]);
    assert_eq!(code, 1);
    assert!(errors.starts_with("missing.yml: No such file"), "{errors}");
    std::fs::create_dir(directory.path().join("twice")).expect("made");
    for name in ["twice/a.yml", "twice/b.yml"] {
        std::fs::write(directory.path().join(name), &good).expect("written");
    }
    let (code, _, errors) = ferula(directory.path(), &["slo", "validate", "twice"]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("twice/b.yml: objective \"shop-requests-availability\" is in twice/a.yml too"),
        "{errors}"
    );
}

/// Two days of a shop: 100 requests a minute, of which 10 fail from hour 30 to hour 33.
fn history() -> String {
    let mut page = String::from("# TYPE http_requests counter\n");
    let (mut good, mut failed) = (0, 0);
    let mut failed_lines = String::new();
    for minute in 0..=48 * 60 {
        let outage = (30 * 60..33 * 60).contains(&minute);
        let _ = writeln!(page, "http_requests_total{{job=\"shop\",code=\"200\"}} {good} {}", minute * 60);
        let _ = writeln!(
            failed_lines,
            "http_requests_total{{job=\"shop\",code=\"500\"}} {failed} {}",
            minute * 60
        );
        good += if outage { 90 } else { 100 };
        failed += if outage { 10 } else { 0 };
    }
    page + &failed_lines + "# EOF\n"
}

#[test]
fn a_report_shows_the_remaining_budget_and_what_spent_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let inside = |arguments: &[&str]| ferula(directory.path(), arguments);
    std::fs::write(directory.path().join("history.om"), history()).expect("written");
    let (code, _, errors) = inside(&["tsdb", "create-blocks-from", "openmetrics", "history.om", "data"]);
    assert_eq!(code, 0, "{errors}");
    let flags = ["slo", "report", "--storage.tsdb.path=data", "--time=1970-01-03T00:00:00Z"];
    let file = shop();
    let (code, text, errors) = inside(&[&flags[..], &[file.as_str()]].concat());
    assert_eq!(code, 0, "{errors}");
    // 1,800 of 288,000 requests failed where 288 were allowed: 6.25 times the budget, all of it in those
    // three hours.
    assert!(
        text.contains(
            "shop-requests-availability: 99.9 % over 30d to 1970-01-03T00:00:00.000Z\n  reached 99.3"
        ),
        "{text}"
    );
    assert!(text.contains("of the budget left: overspent\n  history covers 6.7 % of the period\n  1970-01-02T06:00:00.000Z for 3h: "), "{text}");
    assert!(text.contains("shop-payments.latency: 95 % over 30d to 1970-01-03T00:00:00.000Z\n  no events are stored in this period\n"), "{text}");
    let (_, json, _) = inside(&[&flags[..], &["--output=json", &file]].concat());
    let all: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let budget = &all[0]["budget"];
    let left = budget["left"].as_f64().expect("a number");
    assert!((left + 5.25).abs() < 0.02, "{left}");
    assert_eq!(budget["episodesCount"], 1);
    assert!((budget["episodes"][0]["errorRatio"].as_f64().expect("a number") - 0.1).abs() < 0.002);
    assert_eq!(all[1]["budget"], serde_json::Value::Null);

    let (code, _, errors) = inside(&[&flags[..], &["--step=1ms", &file]].concat());
    assert_eq!(code, 1);
    assert!(errors.contains("--step=1ms does not fit a period of 30d"), "{errors}");
    let (code, _, errors) = inside(&["slo", "report", "--storage.tsdb.path=nowhere", &file]);
    assert_eq!(code, 1);
    assert!(errors.contains("--storage.tsdb.path=nowhere"), "{errors}");
}
