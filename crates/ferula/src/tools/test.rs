//! `ferula test …`: unit tests of queries (`promql.rs`) and rules (`test_rules.rs`), and alerts over stored history
//! (`test_alerts.rs`).

use std::process::ExitCode;

use super::{Tool, promql, test_alerts, test_rules};

/// `test`
pub const TOOL: Tool = Tool {
    name: "test",
    about: "Unit tests: `test rules FILES…` of rule files, `test promql DIR-OR-FILES…` of queries. \
        `test alerts` replays alerting rules over stored history.",
    run,
};

fn run(arguments: &[String]) -> ExitCode {
    // promtool takes `--junit` before the name of the command as well as behind it.
    let at = arguments.iter().position(|argument| argument == "rules");
    if let Some(at) = at
        && arguments[..at].iter().all(|argument| argument.starts_with("--junit"))
    {
        let rest: Vec<String> = arguments[..at].iter().chain(&arguments[at + 1..]).cloned().collect();
        return test_rules::run(&rest);
    }
    match arguments.split_first() {
        Some((what, arguments)) if what == "promql" => promql::run(arguments),
        Some((what, arguments)) if what == "alerts" => test_alerts::run(arguments),
        Some((what, _)) if matches!(what.as_str(), "-h" | "--help") => {
            print!("{}{}{}", test_rules::USAGE, promql::USAGE, test_alerts::USAGE);
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{}{}{}", test_rules::USAGE, promql::USAGE, test_alerts::USAGE);
            ExitCode::from(2)
        }
    }
}
