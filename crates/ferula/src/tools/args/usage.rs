//! Help pages.

use std::fmt::Write;

use super::flag::{Argument, Flag, ValueKind};
use super::table::Command;
use super::wrap::wrap;

/// The width for terminals that do not report theirs.
const WIDTH: usize = 80;
/// Names of this length or more get their own line.
const LONG: usize = 30;

/// The page of the command at `path`, or of the program if that is empty.
pub fn text(
    program: &str,
    root: &'static Command,
    help_command: &'static Command,
    path: &[&'static Command],
    flags: &[&'static Flag],
    arguments: &[&'static Argument],
) -> String {
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH);
    let mut out = format!("usage: {program}");
    let (about, below) = match path.last() {
        Some(command) => {
            write_str(&mut out, &format!(" {}{}", full_name(path), synopsis(command)));
            (command.help, !command.commands.is_empty())
        }
        None => {
            write_str(&mut out, " [<flags>]");
            (root.help, true)
        }
    };
    if below {
        write_str(&mut out, " <command> [<args> ...]");
    }
    out.push('\n');
    if !about.is_empty() {
        out.push('\n');
        paragraph(&mut out, about, 0, width);
    }
    out.push_str("\n\nFlags:\n");
    let short = flags.iter().any(|flag| flag.short.is_some());
    let shown = flags.iter().filter(|flag| !flag.hidden);
    columns(&mut out, shown.map(|flag| (flag_name(flag, short), flag.help)).collect(), width);
    out.push('\n');
    if !arguments.is_empty() {
        out.push_str("Args:\n");
        let name = |place: &Argument| match place.required {
            true => format!("<{}>", place.name),
            false => format!("[<{}>]", place.name),
        };
        columns(&mut out, arguments.iter().map(|place| (name(place), place.help)).collect(), width);
        out.push('\n');
    }
    if below {
        out.push_str(if path.is_empty() { "Commands:\n" } else { "Subcommands:\n" });
        let promtool = program == "promtool";
        if path.is_empty() {
            listed(&mut out, "", help_command, width, promtool);
        }
        let prefix = full_name(path);
        for command in path.last().map_or(root.commands, |command| command.commands) {
            listed(&mut out, &prefix, command, width, promtool);
        }
        out.push('\n');
    }
    out
}

/// Names and first lines of the commands below `root`, for the server's help.
pub fn command_lines(root: &'static Command) -> impl Iterator<Item = (&'static str, &'static str)> {
    root.commands.iter().map(|command| (command.name, command.help))
}

/// `check config`
pub fn full_name(path: &[&'static Command]) -> String {
    path.iter().map(|command| command.name).collect::<Vec<_>>().join(" ")
}

fn write_str(out: &mut String, text: &str) {
    out.write_str(text).expect("writing to a String cannot fail");
}

/// Commands that run, each with its description.
fn listed(out: &mut String, prefix: &str, command: &'static Command, width: usize, promtool: bool) {
    if promtool && command.is_ours {
        return;
    }
    let name = if prefix.is_empty() { command.name.to_owned() } else { format!("{prefix} {}", command.name) };
    if command.commands.is_empty() {
        writeln!(out, "{name}{}", synopsis(command)).expect("writing to a String cannot fail");
        paragraph(out, command.help, 4, width);
        out.push('\n');
    }
    for below in command.commands {
        listed(out, &name, below, width, promtool);
    }
}

/// Required flags and arguments.
fn synopsis(command: &Command) -> String {
    let required = command.flags.iter().filter(|flag| flag.required);
    let mut words: Vec<String> =
        required.map(|flag| format!("--{}={}", flag.name, placeholder(flag))).collect();
    if words.len() != command.flags.len() {
        words.push("[<flags>]".into());
    }
    for place in command.arguments {
        let dots = if place.kind.is_cumulative() { "..." } else { "" };
        words.push(match place.required {
            true => format!("<{}>{dots}", place.name),
            false => format!("[<{}>{dots}]", place.name),
        });
    }
    words.iter().map(|word| format!(" {word}")).collect()
}

fn flag_name(flag: &Flag, short: bool) -> String {
    let mut name = match (flag.short, short) {
        (Some(letter), _) => format!("-{letter}, --"),
        (None, true) => "    --".to_owned(),
        (None, false) => "--".to_owned(),
    };
    match flag.kind {
        ValueKind::Switch => write_str(&mut name, &format!("[no-]{}", flag.name)),
        kind => {
            let dots = if kind.is_cumulative() { " ..." } else { "" };
            write_str(&mut name, &format!("{}={}{dots}", flag.name, placeholder(flag)));
        }
    }
    name
}

fn placeholder(flag: &Flag) -> String {
    match (flag.placeholder, flag.default, flag.kind) {
        ("", None, _) => flag.name.to_ascii_uppercase(),
        ("", Some(default), ValueKind::Text) => ferula_go::quote::go_quote(default),
        ("", Some(default), _) => default.to_owned(),
        (placeholder, _, _) => placeholder.to_owned(),
    }
}

fn paragraph(out: &mut String, text: &str, indent: usize, width: usize) {
    for line in wrap(text, width.saturating_sub(indent)) {
        let indent = if line.is_empty() { 0 } else { indent };
        writeln!(out, "{:indent$}{line}", "").expect("writing to a String cannot fail");
    }
}

/// Names on the left, texts on the right.
fn columns(out: &mut String, rows: Vec<(String, &str)>, width: usize) {
    let left = rows.iter().map(|(name, _)| name.len()).filter(|length| *length < LONG).max().unwrap_or(0);
    for (name, text) in rows {
        write_str(out, &format!("  {name:left$}  "));
        if name.len() >= LONG {
            write_str(out, &format!("\n  {:1$}", "", left + 2));
        }
        for (index, line) in wrap(text, width.saturating_sub(left + 4)).iter().enumerate() {
            let indent = if index == 0 { 0 } else { left + 4 };
            writeln!(out, "{:indent$}{line}", "").expect("writing to a String cannot fail");
        }
    }
}
