//! `ferula check …`: files, pages and servers. Output and exit codes are promtool's.

mod config;
mod rules;

use std::process::ExitCode;

use super::args::{Args, Command, Kind, argument, flag};

const IGNORE_IN_FILES: &str = "Ignore unknown fields in the rule files. This is useful when you want to extend rule \
    files with custom metadata. Ensure that those fields are removed before loading them into the Prometheus server as \
    it performs strict checks by default.";
const IGNORE_IN_CONFIG: &str = "Ignore unknown fields in the rule groups read by the config files. This is useful \
    when you want to extend rule files with custom metadata. Ensure that those fields are removed before loading them \
    into the Prometheus server as it performs strict checks by default.";
const LINT_FATAL: &str = "Make lint errors exit with exit code 3.";

/// `check`
pub const COMMAND: Command = Command {
    name: "check",
    help: "Check the resources for validity.",
    flags: &[flag("query.lookback-delta", Kind::Duration, "The server's maximum query lookback duration.")
        .default("5m")],
    arguments: &[],
    commands: &[
        Command::new("config", "Check if the config files are valid or not.", config::run)
            .flags(&[
                flag(
                    "syntax-only",
                    Kind::Switch,
                    "Only check the config file syntax, ignoring file and content validation referenced in the config",
                ),
                flag(
                    "lint",
                    Kind::Text,
                    "Linting checks to apply to the rules/scrape configs specified in the config. Available options \
                     are: all, duplicate-rules, none, too-long-scrape-interval. Use --lint=none to disable linting",
                )
                .default("duplicate-rules"),
                flag("lint-fatal", Kind::Switch, LINT_FATAL),
                flag("ignore-unknown-fields", Kind::Switch, IGNORE_IN_CONFIG),
                flag("agent", Kind::Switch, "Check config file for Prometheus in Agent mode."),
            ])
            .arguments(&[argument("config-files", Kind::Files, "The config files to check.").required()]),
        Command::new("web-config", "Check if the web config files are valid or not.", web_config)
            .arguments(&[argument("web-config-files", Kind::Files, "The config files to check.").required()]),
        Command::new("rules", "Check if the rule files are valid or not.", rules::run)
            .flags(&[
                flag(
                    "lint",
                    Kind::Text,
                    "Linting checks to apply. Available options are: all, duplicate-rules, none. Use --lint=none to \
                     disable linting",
                )
                .default("duplicate-rules"),
                flag("lint-fatal", Kind::Switch, LINT_FATAL),
                flag("ignore-unknown-fields", Kind::Switch, IGNORE_IN_FILES),
            ])
            .arguments(&[argument(
                "rule-files",
                Kind::Files,
                "The rule files to check, default is read from standard input.",
            )]),
    ],
    run: None,
    ours: false,
};

/// The server has no TLS and no passwords of its own yet, so there is nothing to check a file against.
fn web_config(args: &Args) -> ExitCode {
    for file in args.arguments("web-config-files") {
        eprintln!("{file} FAILED: not supported yet: check web-config");
    }
    ExitCode::FAILURE
}
