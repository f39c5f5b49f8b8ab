//! `ferula check …`: checks files, pages of metrics, and servers. Output and exit codes are promtool's.

mod config;
mod lint;
mod metrics;
mod rules;
mod server;
mod targets;

use std::path::Path;
use std::process::ExitCode;

use ferula_api::web_access::WebAccess;

use super::args::{Args, Argument, Command, Flag, ValueKind, argument, flag};
use super::http;

const METRICS_HELP: &str = "Read a page of metrics from standard input and check it: syntax, names, units, help texts. With \
    --extended also count the series of each metric.\n\n\
    examples:\n\n\
    $ curl -s http://localhost:9100/metrics | promtool check metrics\n\n\
    $ promtool check metrics --extended --lint=none < page.prom";
const RULE_LINTS: &str = "What to check besides validity, separated by commas: duplicate-rules (the same name and labels twice), all, \
    none.";
const CONFIG_LINTS: &str = "What to check besides validity, separated by commas: duplicate-rules (the same name and labels twice), \
    too-long-scrape-interval (as long as the lookback delta, so that graphs have gaps), all, none.";
/// What `--ignore-unknown-fields` does.
pub const IGNORE_UNKNOWN: &str = "Accept keys in rule files that Prometheus does not know, such as those of other tools. The \
    server refuses them.";

const LOOKBACK_DELTA: Flag = flag(
    "query.lookback-delta",
    ValueKind::Duration,
    "The server's flag of the same name: how far its queries look back.",
)
.default("5m");
const TIMEOUT: Flag = flag("timeout", ValueKind::Duration, "How long to wait for targets.").default("30s");
const CONFIG_FILE: Argument = argument("config-file", ValueKind::File, "The configuration file.").required();
const JOB: Argument = argument("job", ValueKind::Text, "The job_name whose targets to list.").required();
const SYNTAX_ONLY: Flag =
    flag("syntax-only", ValueKind::Switch, "Check only the file itself, not the files that it names.");
const CONFIG_LINT: Flag = flag("lint", ValueKind::Text, CONFIG_LINTS).default("duplicate-rules");
const RULE_LINT: Flag = flag("lint", ValueKind::Text, RULE_LINTS).default("duplicate-rules");
const LINT_FATAL: Flag = flag("lint-fatal", ValueKind::Switch, "Exit with code 3 if only a lint fails.");
const IGNORE_UNKNOWN_FIELDS: Flag = flag("ignore-unknown-fields", ValueKind::Switch, IGNORE_UNKNOWN);
const AGENT: Flag = flag("agent", ValueKind::Switch, "Also refuse what an agent cannot do, such as rules.");
const CONFIG_FILES: Argument =
    argument("config-files", ValueKind::Files, "Configuration files to check.").required();
const WEB_CONFIG_FILES: Argument =
    argument("web-config-files", ValueKind::Files, "Web configuration files (--web.config.file) to check.")
        .required();
const URL: Flag = flag("url", ValueKind::Url, "The server to check.").default("http://localhost:9090");
const RULE_FILES: Argument =
    argument("rule-files", ValueKind::Files, "Rule files to check; by default, standard input.");
const EXTENDED: Flag = flag("extended", ValueKind::Switch, "Also count the series of each metric.");
const METRICS_LINT: Flag =
    flag("lint", ValueKind::Text, "What to check: all, or none for syntax only.").default("all");

/// `check`
pub const COMMAND: Command = Command {
    name: "check",
    help: "Check files, pages of metrics and servers.",
    flags: &[LOOKBACK_DELTA],
    arguments: &[],
    commands: &[
        Command::new(
            "service-discovery",
            "List the targets of a job as JSON, each with its labels before and after relabelling.",
            targets::run,
        )
        .flags(&[TIMEOUT])
        .arguments(&[CONFIG_FILE, JOB]),
        Command::new(
            "config",
            "Check configuration files, and the rule and target files that they name.",
            config::run,
        )
        .flags(&[SYNTAX_ONLY, CONFIG_LINT, LINT_FATAL, IGNORE_UNKNOWN_FIELDS, AGENT])
        .arguments(&[CONFIG_FILES]),
        Command::new(
            "web-config",
            "Check web configuration files, which set TLS and users for the server's own port.",
            web_config,
        )
        .arguments(&[WEB_CONFIG_FILES]),
        Command::new("healthy", "Check whether a server is alive.", |args| server::run(args, "/-/healthy"))
            .flags(&[http::CONFIG_FILE, URL]),
        Command::new("ready", "Check whether a server can answer queries.", |args| {
            server::run(args, "/-/ready")
        })
        .flags(&[http::CONFIG_FILE, URL]),
        Command::new("rules", "Check rule files.", rules::run)
            .flags(&[RULE_LINT, LINT_FATAL, IGNORE_UNKNOWN_FIELDS])
            .arguments(&[RULE_FILES]),
        Command::new("metrics", METRICS_HELP, metrics::run).flags(&[EXTENDED, METRICS_LINT]),
    ],
    run: None,
    is_ours: false,
    is_default: false,
};

fn web_config(args: &Args) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in args.arguments(WEB_CONFIG_FILES) {
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
