//! `ferula test …`: unit tests of queries (`promql.rs`) and rules.

use std::process::ExitCode;

use super::{Tool, promql};

/// `test`
pub const TOOL: Tool =
    Tool { name: "test", about: "Unit tests: `test promql DIR-OR-FILES…` runs PromQL test scripts.", run };

fn run(arguments: &[String]) -> ExitCode {
    match arguments.split_first() {
        Some((what, arguments)) if what == "promql" => promql::run(arguments),
        Some((what, _)) if matches!(what.as_str(), "-h" | "--help") => {
            print!("{}", promql::USAGE);
            ExitCode::SUCCESS
        }
        Some((what, _)) if what == "rules" => {
            eprintln!("not supported yet: test rules");
            ExitCode::from(1)
        }
        _ => {
            eprint!("{}", promql::USAGE);
            ExitCode::from(2)
        }
    }
}
