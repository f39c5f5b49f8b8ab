//! The project's own scripts: all of `testdata/promql` pass, none of `testdata/promql/must_fail` does.

mod common;

use std::path::PathBuf;

use common::layouts::Layout;
use common::recorder::LaidOut;
use common::{Databases, memory_stores};
use ferula_promqltest::{StoreFactory, run_script};
use ferula_testkit::shared::workspace_root;

fn directory(name: &str) -> PathBuf {
    workspace_root().join("testdata/promql").join(name)
}

fn all_pass_on(mut stores: impl StoreFactory) {
    let scripts = common::scripts_in(&directory(""));
    assert!(!scripts.is_empty(), "there are scripts");
    let mut failures = Vec::new();
    for (name, text) in scripts {
        let report = run_script(&text, &name, &mut stores);
        failures.extend(report.failed.iter().map(|f| format!("{name}:{}: {}", f.line, f.text)));
        assert!(report.passed + report.failed.len() > 0, "{name} evaluates something");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn all_pass_in_memory() {
    all_pass_on(memory_stores());
}

#[test]
fn all_pass_on_the_database_after_restarts() {
    all_pass_on(Databases::new(true));
}

#[test]
fn all_pass_wherever_the_samples_are() {
    Layout::ALL.into_iter().for_each(|layout| all_pass_on(LaidOut::new(layout)));
}

/// Lines of the commands that are to fail: every evaluation, and what only looks like one.
fn lines_to_fail(text: &str) -> Vec<usize> {
    let commands = text.lines().enumerate().filter(|(_, line)| line.starts_with("eval"));
    commands.map(|(i, _)| i + 1).collect()
}

#[test]
fn none_of_those_that_must_fail_passes() {
    for (name, text) in common::scripts_in(&directory("must_fail")) {
        let report = run_script(&text, &name, &mut memory_stores());
        let failed: Vec<usize> = report.failed.iter().map(|failure| failure.line).collect();
        assert_eq!(failed, lines_to_fail(&text), "{name}: {:#?}", report.failed);
        assert_eq!(report.passed, 0, "{name}");
    }
}
