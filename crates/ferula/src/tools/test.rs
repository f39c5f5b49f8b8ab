//! `ferula test …`: unit tests of rules (promtool's) and of queries (ours), and alerts replayed over stored history
//! (`test_alerts.rs`, ours).

mod flags;
mod promql;
mod rules;

use super::args::Command;

/// `test`
pub const COMMAND: Command = Command {
    name: "test",
    help: "Test rules and queries.",
    flags: &[flags::JUNIT],
    arguments: &[],
    commands: &[
        Command::new("rules", "Run unit tests of rule files.", rules::run)
            .flags(&[flags::RUN, flags::DEBUG, flags::DIFF, flags::IGNORE_UNKNOWN_FIELDS])
            .arguments(&[flags::TEST_FILES]),
        Command::new(
            "promql",
            "Run PromQL test scripts (*.test), each on an empty store. Prints failures with file and line, and for each \
             file how many evaluations returned what the script expects. The last line is `N passed, M failed`.",
            promql::run,
        )
        .flags(&[flags::RESTART])
        .arguments(&[flags::SCRIPTS])
        .ours(),
        super::test_alerts::COMMAND,
    ],
    run: None,
    is_ours: false,
    is_default: false,
};
