//! The commands of promtool and our own: `ferula check …`, `ferula test …`, and so on.
//!
//! A command is one entry of [`TOOLS`] and one file here, thin over the crate that knows. Called by the name
//! `promtool` the program knows nothing but these.

mod args;
mod check;
mod history;
mod promql;
mod test;
mod test_alerts;
mod test_rules;
mod tsdb;

use std::process::ExitCode;

/// One command.
pub struct Tool {
    /// First argument.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Runs it with the arguments behind its name.
    pub run: fn(&[String]) -> ExitCode,
}

/// All commands, in the order of the help text.
pub const TOOLS: &[Tool] = &[check::TOOL, test::TOOL, tsdb::TOOL];

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Runs as `promtool`: the first argument must be a command.
pub fn promtool(arguments: &[String]) -> ExitCode {
    match arguments.split_first() {
        Some((first, rest)) if find(first).is_some() => {
            find(first).map_or(ExitCode::FAILURE, |tool| (tool.run)(rest))
        }
        Some((first, _)) if matches!(first.as_str(), "-h" | "--help" | "help") => {
            print!("{}", promtool_help());
            ExitCode::SUCCESS
        }
        Some((first, _)) if first == "--version" => {
            print!("{}", crate::version::text("promtool"));
            ExitCode::SUCCESS
        }
        Some((first, _)) => {
            eprintln!("promtool: error: expected command but got {}", ferula_model::number::go_quote(first));
            ExitCode::from(1)
        }
        None => {
            eprint!("{}", promtool_help());
            ExitCode::from(1)
        }
    }
}

fn promtool_help() -> String {
    let mut text = String::from("usage: promtool [<flags>] <command> [<args> ...]\n\nCommands:\n");
    for tool in TOOLS {
        text.push_str(&format!("  {:<10} {}\n", tool.name, tool.about));
    }
    text
}
