//! The commands of promtool and our own: `ferula check …`, `ferula query …`, and so on.
//!
//! Each family of commands is one entry of [`ROOT`] and one file or directory here, a thin layer over the crate that
//! does the work. Called as `promtool`, the program offers only these commands.

mod amtool;
mod analyze;
pub mod args;
mod check;
mod debug;
mod features;
mod history;
mod http;
mod moment;
mod output;
mod promql;
mod push;
mod query;
mod slo;
mod test;
mod test_alerts;
mod tsdb;

use std::io::Write;
use std::process::ExitCode;

use self::args::{Command, Outcome, UsageError, group};

/// All commands, in the order of the help text.
static ROOT: Command = group(
    "",
    "Check configurations, rules and metrics, query servers, and work on data directories.",
    &[
        check::COMMAND,
        query::COMMAND,
        debug::COMMAND,
        push::COMMAND,
        test::COMMAND,
        tsdb::COMMAND,
        promql::COMMAND,
        amtool::COMMAND,
        crate::alertmanager::COMMAND,
        slo::COMMAND,
        analyze::COMMAND,
    ],
);

/// Names of the families of commands, each with its description.
pub fn families() -> impl Iterator<Item = (&'static str, &'static str)> {
    args::command_lines(&ROOT)
}

/// Whether arguments that begin with this one are a command.
pub fn is_command(first: &str) -> bool {
    first == "help" || first == "--experimental" || families().any(|(name, _)| name == first)
}

/// Runs the command that the arguments name.
pub fn run(program: &str, arguments: &[String]) -> ExitCode {
    let text = match args::parse(program, &ROOT, arguments) {
        Outcome::Run(command, args) => {
            return command.run.map_or(ExitCode::FAILURE, |run| run(&args));
        }
        Outcome::Print(text) => text,
        Outcome::Version => match arguments.first().map(String::as_str) {
            Some(name @ ("alertmanager" | "amtool")) => crate::version::alertmanager_text(name),
            _ => crate::version::text(program),
        },
        Outcome::Wrong(error) => return usage_error(program, &error, "try --help"),
        Outcome::WrongTopic(error) => return usage_error(program, &error, ""),
    };
    // Standard output may be closed, as with `| head`.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Prints what is wrong with the arguments, and a suggestion. Called as `promtool`, the line is promtool's to the
/// letter.
fn usage_error(program: &str, error: &UsageError, advice: &str) -> ExitCode {
    // amtool gives no advice and ends its errors with an empty line.
    let (advice, end) = if program == "amtool" { ("", "\n") } else { (advice, "") };
    let suggestion = error.suggestion().filter(|_| !matches!(program, "promtool" | "amtool"));
    let (comma, blank) = if advice.is_empty() { ("", "") } else { (", ", " ") };
    match suggestion {
        Some(meant) => eprintln!("{program}: error: {error}, did you mean '{meant}'?{blank}{advice}"),
        None => eprintln!("{program}: error: {error}{comma}{advice}{end}"),
    }
    ExitCode::FAILURE
}
