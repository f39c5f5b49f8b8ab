//! `ferula test …`: unit tests of rules (promtool's) and of queries (ours), and alerts over stored history
//! (`test_alerts.rs`, ours).

mod promql;
mod rules;

use super::args::{Command, Kind, argument, flag};

/// `test`
pub const COMMAND: Command = Command {
    name: "test",
    help: "Unit testing.",
    flags: &[flag("junit", Kind::Output, "File path to store JUnit XML test results.")],
    arguments: &[],
    commands: &[
        Command::new("rules", "Unit tests for rules.", rules::run)
            .flags(&[
                flag(
                    "run",
                    Kind::Texts,
                    "If set, will only run test groups whose names match the regular expression. Can be specified \
                     multiple times.",
                ),
                flag("debug", Kind::Switch, "Enable unit test debugging."),
                flag(
                    "diff",
                    Kind::Switch,
                    "[Experimental] Print colored differential output between expected & received output.",
                ),
                flag(
                    "ignore-unknown-fields",
                    Kind::Switch,
                    "Ignore unknown fields in the test files. This is useful when you want to extend rule files with \
                     custom metadata. Ensure that those fields are removed before loading them into the Prometheus \
                     server as it performs strict checks by default.",
                ),
            ])
            .arguments(&[argument("test-rule-file", Kind::Files, "The unit test file.").required()]),
        Command::new(
            "promql",
            "Run PromQL test scripts (*.test), each on an empty store, and print per file how many evaluations came out \
             as the script expects; failures with file and line. The last line is `N passed, M failed`.",
            promql::run,
        )
        .flags(&[flag(
            "restart",
            Kind::Switch,
            "Stop the store without closing it after every load, and start it again from its log.",
        )])
        .arguments(&[argument("scripts", Kind::Texts, "Scripts, or folders of scripts.").required()])
        .ours(),
        super::test_alerts::COMMAND,
    ],
    run: None,
    ours: false,
};
