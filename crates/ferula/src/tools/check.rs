//! `ferula check …`: checks files, pages of metrics, and servers. Output and exit codes are promtool's.

mod config;
pub mod flags;
mod lint;
mod metrics;
mod rules;
mod server;
mod targets;

use std::path::Path;
use std::process::ExitCode;

use ferula_api::web_access::WebAccess;

use super::args::{Args, Command};
use super::http;

const METRICS_HELP: &str = "Read a page of metrics from standard input and check it: syntax, names, units, help texts. With \
    --extended also count the series of each metric.\n\n\
    examples:\n\n\
    $ curl -s http://localhost:9100/metrics | promtool check metrics\n\n\
    $ promtool check metrics --extended --lint=none < page.prom";
/// `check`
pub const COMMAND: Command = Command {
    name: "check",
    help: "Check files, pages of metrics and servers.",
    flags: &[flags::LOOKBACK_DELTA],
    arguments: &[],
    commands: &[
        Command::new(
            "service-discovery",
            "List the targets of a job as JSON, each with its labels before and after relabelling.",
            targets::run,
        )
        .flags(&[flags::TIMEOUT])
        .arguments(&[flags::CONFIG_FILE, flags::JOB]),
        Command::new(
            "config",
            "Check configuration files, and the rule and target files that they name.",
            config::run,
        )
        .flags(&[
            flags::SYNTAX_ONLY,
            flags::CONFIG_LINT,
            flags::LINT_FATAL,
            flags::IGNORE_UNKNOWN_FIELDS,
            flags::AGENT,
        ])
        .arguments(&[flags::CONFIG_FILES]),
        Command::new(
            "web-config",
            "Check web configuration files, which set TLS and users for the server's own port.",
            web_config,
        )
        .arguments(&[flags::WEB_CONFIG_FILES]),
        Command::new("healthy", "Check whether a server is alive.", |args| server::run(args, "/-/healthy"))
            .flags(&[http::CONFIG_FILE, flags::URL]),
        Command::new("ready", "Check whether a server can answer queries.", |args| {
            server::run(args, "/-/ready")
        })
        .flags(&[http::CONFIG_FILE, flags::URL]),
        Command::new("rules", "Check rule files.", rules::run)
            .flags(&[flags::RULE_LINT, flags::LINT_FATAL, flags::IGNORE_UNKNOWN_FIELDS])
            .arguments(&[flags::RULE_FILES]),
        Command::new("metrics", METRICS_HELP, metrics::run).flags(&[flags::EXTENDED, flags::METRICS_LINT]),
    ],
    run: None,
    is_ours: false,
    is_default: false,
};

fn web_config(args: &Args) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in args.arguments(flags::WEB_CONFIG_FILES) {
        match WebAccess::load(Path::new(file)) {
            Ok(_) => eprintln!("{file} SUCCESS"),
            Err(error) => {
                eprintln!("{file} FAILED: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
