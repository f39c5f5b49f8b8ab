//! Generated rules against a golden file that was compared by hand with what Sloth generates from its own
//! examples, and properties of windows. `UPDATE_GOLDEN=1` rewrites the file.

use std::path::PathBuf;

use super::*;
use crate::read::{ReadOptions, read};

const DAY: i64 = 86_400_000;

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/slo").join(name)
}

fn shop() -> Vec<Objective> {
    let text = std::fs::read_to_string(testdata("shop.yml")).expect("the file is there");
    read(&text, &ReadOptions { period_millis: 30 * DAY, extra_labels: Labels::new() })
        .expect("the file is good")
}

fn options() -> RuleOptions {
    RuleOptions { alerts: true, recordings: true, optimized: true, version: "1.2.3".into() }
}

fn generate(options: &RuleOptions) -> RuleFile {
    let groups =
        shop().iter().flat_map(|o| rules(o, &Catalog::default(), options).expect("a known period")).collect();
    RuleFile { groups }
}

#[test]
fn the_rules_of_every_format_are_as_written_down() {
    let file = testdata("shop.rules.yml");
    let text = generate(&options()).to_yaml().expect("plain data");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("writable");
    }
    let expected = std::fs::read_to_string(&file).expect("the file is there");
    assert!(text == expected, "differs from {}:\n{text}", file.display());
}

#[test]
fn alerts_and_recordings_can_be_left_out() {
    let kinds = |file: &RuleFile| {
        let alerts =
            file.groups.iter().flat_map(|group| &group.rules).filter(|rule| !rule.alert.is_empty()).count();
        let all = file.groups.iter().map(|group| group.rules.len()).sum::<usize>();
        (all - alerts, alerts)
    };
    assert_eq!(kinds(&generate(&options())), (4 * 15, 3));
    assert_eq!(kinds(&generate(&RuleOptions { alerts: false, ..options() })), (4 * 15, 0));
    assert_eq!(kinds(&generate(&RuleOptions { recordings: false, ..options() })), (0, 3));
}

#[test]
fn the_exact_form_reads_raw_samples_over_the_whole_period() {
    let exact = generate(&RuleOptions { optimized: false, ..options() });
    let whole = exact.groups[0].rules.iter().find(|rule| rule.record.ends_with("rate30d")).expect("recorded");
    assert!(whole.expr.contains("http_requests_total{job=\"shop\"}[30d]"), "{}", whole.expr);
}

#[test]
fn a_period_without_windows_is_refused_with_those_that_have_some() {
    let mut objective = shop().remove(0);
    objective.period_millis = 7 * DAY;
    let error = rules(&objective, &Catalog::default(), &options()).expect_err("no windows").to_string();
    assert!(error.contains("no alert windows for a period of 1w, only for 4w, 30d"), "{error}");
    let own = Windows::parse(WEEK).expect("good");
    rules(&objective, &Catalog::of([own]).expect("one"), &options()).expect("windows of a week");
}

const WEEK: &str = "
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 7d
  page:
    quick: {errorBudgetPercent: 8, shortWindow: 5m, longWindow: 1h}
    slow: {errorBudgetPercent: 12.5, shortWindow: 30m, longWindow: 6h}
  ticket:
    quick: {errorBudgetPercent: 20, shortWindow: 2h, longWindow: 1d}
    slow: {errorBudgetPercent: 42, shortWindow: 6h, longWindow: 3d}
";

#[test]
fn windows_are_read_and_their_mistakes_named() {
    let week = Windows::parse(WEEK).expect("good");
    assert_eq!(week.page_quick.burn_rate(week.period_millis), 13.44);
    let cases = [
        ("AlertWindows", "Alerts", "expected 'apiVersion: sloth.slok.dev/v1'"),
        ("errorBudgetPercent: 8", "errorBudgetPercent: 0", "spec.page.quick: errorBudgetPercent is 0"),
        ("longWindow: 3d", "longWindow: 0s", "spec.ticket.slow: a duration of zero"),
        ("sloPeriod: 7d", "sloPeriod: week", "spec.sloPeriod: "),
        ("sloPeriod: 7d", "period: 7d", "unknown field"),
    ];
    for (old, new, expected) in cases {
        let error = Windows::parse(&WEEK.replacen(old, new, 1)).expect_err(new).to_string();
        assert!(error.contains(expected), "{new}: {error}");
    }
    let other = Windows { page_quick: week.page_slow, ..week };
    assert!(Catalog::of([week, week]).is_ok(), "the same twice is no contradiction");
    assert_eq!(Catalog::of([week, other]).expect_err("differ"), crate::WindowsError::Twice("1w".into()));
}

#[test]
fn a_factor_burns_the_stated_part_of_the_budget() {
    for windows in [Catalog::default().get(28 * DAY).copied(), Catalog::default().get(30 * DAY).copied()] {
        let windows = windows.expect("built in");
        for pair in [windows.page_quick, windows.page_slow, windows.ticket_quick, windows.ticket_slow] {
            let part = pair.burn_rate(windows.period_millis) * pair.long_millis as f64
                / windows.period_millis as f64;
            assert!((part * 100.0 - pair.budget_percent).abs() < 1e-9);
        }
    }
}
