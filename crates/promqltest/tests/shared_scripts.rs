//! The scripts that Prometheus runs on itself, where the folder with them is there.

mod common;

use common::{FAILURES_SHOWN, memory_stores};
use ferula_promqltest::{ScriptReport, run_script};
use ferula_testkit::shared;

/// Evaluations of all scripts that pass. It may only rise; at the end it is all of them.
const PASSING_MIN: usize = 2212;

fn print(report: &ScriptReport) {
    eprintln!("{}: {} passed, {} failed", report.name, report.passed, report.failed.len());
    for failure in report.failed.iter().take(FAILURES_SHOWN.get()) {
        eprintln!("  {}:{}: {}", report.name, failure.line, failure.text);
    }
}

#[test]
fn on_memory_storage() {
    let Some(folder) = shared::folder("promqltest") else { return };
    let (mut passed, mut failed) = (0, 0);
    for (name, text) in common::scripts_in(&folder) {
        let report = run_script(&text, &name, &mut memory_stores());
        print(&report);
        passed += report.passed;
        failed += report.failed.len();
    }
    shared::ran("promqltest", passed + failed);
    eprintln!("{passed} passed, {failed} failed");
    assert!(passed >= PASSING_MIN, "{passed} evaluations pass, it used to be {PASSING_MIN}");
}
