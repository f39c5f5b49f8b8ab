//! Flags and arguments of the commands that check.

use crate::tools::args::{Argument, Flag, ValueKind, argument, flag};

const RULE_LINTS: &str = "What to check besides validity, separated by commas: duplicate-rules (the same name and labels twice), all, \
    none.";
const CONFIG_LINTS: &str = "What to check besides validity, separated by commas: duplicate-rules (the same name and labels twice), \
    too-long-scrape-interval (as long as the lookback delta, so that graphs have gaps), all, none.";

pub(crate) const LOOKBACK_DELTA: Flag = flag(
    "query.lookback-delta",
    ValueKind::Duration,
    "The server's flag of the same name: how far its queries look back.",
)
.default("5m");
pub(crate) const TIMEOUT: Flag =
    flag("timeout", ValueKind::Duration, "How long to wait for targets.").default("30s");
pub(crate) const CONFIG_FILE: Argument =
    argument("config-file", ValueKind::File, "The configuration file.").required();
pub(crate) const JOB: Argument =
    argument("job", ValueKind::Text, "The job_name whose targets to list.").required();
pub(crate) const SYNTAX_ONLY: Flag =
    flag("syntax-only", ValueKind::Switch, "Check only the file itself, not the files that it names.");
pub(crate) const CONFIG_LINT: Flag = flag("lint", ValueKind::Text, CONFIG_LINTS).default("duplicate-rules");
pub(crate) const RULE_LINT: Flag = flag("lint", ValueKind::Text, RULE_LINTS).default("duplicate-rules");
pub(crate) const LINT_FATAL: Flag =
    flag("lint-fatal", ValueKind::Switch, "Exit with code 3 if only a lint fails.");
pub(crate) const IGNORE_UNKNOWN_FIELDS: Flag = flag(
    "ignore-unknown-fields",
    ValueKind::Switch,
    "Accept keys in rule files that Prometheus does not know, such as those of other tools. The server refuses them.",
);
pub(crate) const AGENT: Flag =
    flag("agent", ValueKind::Switch, "Also refuse what an agent cannot do, such as rules.");
pub(crate) const CONFIG_FILES: Argument =
    argument("config-files", ValueKind::Files, "Configuration files to check.").required();
pub(crate) const WEB_CONFIG_FILES: Argument =
    argument("web-config-files", ValueKind::Files, "Web configuration files (--web.config.file) to check.")
        .required();
pub(crate) const URL: Flag =
    flag("url", ValueKind::Url, "The server to check.").default("http://localhost:9090");
pub(crate) const RULE_FILES: Argument =
    argument("rule-files", ValueKind::Files, "Rule files to check; by default, standard input.");
pub(crate) const EXTENDED: Flag =
    flag("extended", ValueKind::Switch, "Also count the series of each metric.");
pub(crate) const METRICS_LINT: Flag =
    flag("lint", ValueKind::Text, "What to check: all, or none for syntax only.").default("all");
