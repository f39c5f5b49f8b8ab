//! The scripts that Prometheus runs on itself, where the directory with them is there: every evaluation passes.

mod common;

use common::layouts::Layout;
use common::recorder::LaidOut;
use common::{Databases, memory_stores};
use ferula_promqltest::{ScriptReport, StoreFactory, run_script};
use ferula_testkit::shared;

/// How many failures of a script are printed: `PROMQLTEST_FAILURES`, or some.
fn failures_shown() -> usize {
    std::env::var("PROMQLTEST_FAILURES").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

fn print(report: &ScriptReport) {
    eprintln!("{}: {} passed, {} failed", report.name, report.passed, report.failed.len());
    for failure in report.failed.iter().take(failures_shown()) {
        eprintln!("  {}:{}: {}", report.name, failure.line, failure.text);
    }
}

fn all_pass_on(mut stores: impl StoreFactory) {
    let Some(directory) = shared::directory("promqltest") else { return };
    let (mut passed, mut failed) = (0, 0);
    for (name, text) in common::scripts_in(&directory) {
        let report = run_script(&text, &name, &mut stores);
        print(&report);
        passed += report.passed;
        failed += report.failed.len();
    }
    shared::ran("promqltest", passed + failed);
    eprintln!("{passed} passed, {failed} failed");
    assert_eq!(failed, 0, "{passed} evaluations passed, {failed} did not");
}

#[test]
fn on_memory_storage() {
    all_pass_on(memory_stores());
}

#[test]
fn on_the_database() {
    all_pass_on(Databases::new(false));
}

#[test]
fn on_the_database_after_restarts() {
    all_pass_on(Databases::new(true));
}

#[test]
fn from_blocks() {
    all_pass_on(LaidOut::new(Layout::Blocks));
}

#[test]
fn half_from_blocks_and_half_from_the_head() {
    all_pass_on(LaidOut::new(Layout::Halves));
}

#[test]
fn from_overlapping_blocks() {
    all_pass_on(LaidOut::new(Layout::Overlapping));
}

#[test]
fn from_overlapping_blocks_that_were_merged() {
    all_pass_on(LaidOut::new(Layout::Merged));
}

#[test]
fn from_samples_that_came_out_of_order() {
    all_pass_on(LaidOut::new(Layout::Late));
}
