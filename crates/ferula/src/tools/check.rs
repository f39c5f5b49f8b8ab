//! `ferula check …`: files, pages and servers. Output and exit codes are promtool's.

mod config;
mod lint;
mod metrics;
mod rules;
mod server;
mod targets;

use std::process::ExitCode;

use super::args::{Args, Command, Flag, Kind, argument, flag};
use super::http;

const IGNORE_IN_FILES: &str = "Ignore unknown fields in the rule files. This is useful when you want to extend rule \
    files with custom metadata. Ensure that those fields are removed before loading them into the Prometheus server as \
    it performs strict checks by default.";
const IGNORE_IN_CONFIG: &str = "Ignore unknown fields in the rule groups read by the config files. This is useful \
    when you want to extend rule files with custom metadata. Ensure that those fields are removed before loading them \
    into the Prometheus server as it performs strict checks by default.";
const METRICS: &str = "Pass Prometheus metrics over stdin to lint them for consistency and correctness, and optionally \
    perform cardinality analysis.\n\n\
    examples:\n\n\
    $ cat metrics.prom | promtool check metrics\n\n\
    $ curl -s http://localhost:9090/metrics | promtool check metrics --extended\n\n\
    $ curl -s http://localhost:9100/metrics | promtool check metrics --extended --lint=none";
const URL: Flag =
    flag("url", Kind::Url, "The URL for the Prometheus server.").default("http://localhost:9090");
const LINT_FATAL: &str = "Make lint errors exit with exit code 3.";

/// `check`
pub const COMMAND: Command = Command {
    name: "check",
    help: "Check the resources for validity.",
    flags: &[flag("query.lookback-delta", Kind::Duration, "The server's maximum query lookback duration.")
        .default("5m")],
    arguments: &[],
    commands: &[
        Command::new(
            "service-discovery",
            "Perform service discovery for the given job name and report the results, including relabeling.",
            targets::run,
        )
        .flags(&[flag("timeout", Kind::Duration, "The time to wait for discovery results.").default("30s")])
        .arguments(&[
            argument("config-file", Kind::File, "The prometheus config file.").required(),
            argument("job", Kind::Text, "The job to run service discovery for.").required(),
        ]),
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
        Command::new("healthy", "Check if the Prometheus server is healthy.", |args| server::run(args, "/-/healthy"))
            .flags(&[http::CONFIG_FILE, URL]),
        Command::new("ready", "Check if the Prometheus server is ready.", |args| server::run(args, "/-/ready"))
            .flags(&[http::CONFIG_FILE, URL]),
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
        Command::new("metrics", METRICS, metrics::run).flags(&[
            flag(
                "extended",
                Kind::Switch,
                "Print extended information related to the cardinality of the metrics.",
            ),
            flag(
                "lint",
                Kind::Text,
                "Linting checks to apply for metrics. Available options are: all, none. Use --lint=none to disable \
                 metrics linting.",
            )
            .default("all"),
        ]),
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
