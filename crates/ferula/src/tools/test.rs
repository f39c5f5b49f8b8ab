//! `ferula test …`: unit tests of rules (promtool's) and of queries (ours), and alerts replayed over stored history
//! (`test_alerts.rs`, ours).

mod promql;
mod rules;

use super::args::{Argument, Command, Flag, ValueKind, argument, flag};

const JUNIT: Flag = flag("junit", ValueKind::Output, "File to write the results to, as JUnit XML.");
const RUN: Flag = flag(
    "run",
    ValueKind::Texts,
    "Regular expression for the names of the test groups to run. May be repeated; by default, all run.",
);
const DEBUG: Flag = flag("debug", ValueKind::Switch, "Print what each test evaluates.");
const DIFF: Flag =
    flag("diff", ValueKind::Switch, "Print failures as a diff between the expected and the actual result.");
const IGNORE_UNKNOWN_FIELDS: Flag =
    flag("ignore-unknown-fields", ValueKind::Switch, super::check::IGNORE_UNKNOWN);
const TEST_FILES: Argument = argument("test-rule-file", ValueKind::Files, "Files of unit tests.").required();
const RESTART: Flag = flag(
    "restart",
    ValueKind::Switch,
    "After every load, stop the store without closing it and restart it from its log.",
);
const SCRIPTS: Argument =
    argument("scripts", ValueKind::Texts, "Scripts, or directories of scripts.").required();

/// `test`
pub const COMMAND: Command = Command {
    name: "test",
    help: "Test rules and queries.",
    flags: &[JUNIT],
    arguments: &[],
    commands: &[
        Command::new("rules", "Run unit tests of rule files.", rules::run)
            .flags(&[RUN, DEBUG, DIFF, IGNORE_UNKNOWN_FIELDS])
            .arguments(&[TEST_FILES]),
        Command::new(
            "promql",
            "Run PromQL test scripts (*.test), each on an empty store. Prints failures with file and line, and for each \
             file how many evaluations returned what the script expects. The last line is `N passed, M failed`.",
            promql::run,
        )
        .flags(&[RESTART])
        .arguments(&[SCRIPTS])
        .ours(),
        super::test_alerts::COMMAND,
    ],
    run: None,
    is_ours: false,
    is_default: false,
};
