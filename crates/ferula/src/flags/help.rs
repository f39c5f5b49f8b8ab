//! The help text, and the flags as Markdown.

use std::fmt::Write;

use super::table::{FLAGS, Flag, Mode, Support};
use super::value::Syntax;

const WIDTH: usize = 100;

/// The help text.
pub fn help(program: &str) -> String {
    let mut out = format!(
        "usage: {program} [<flags>]\n       {program} <command> [<args>]\n\n\
         A monitoring server that replaces Prometheus: same configuration, flags, API and data directory.\n\
         Without a command, the server starts. Without a prometheus.yml in the directory, it scrapes itself.\n\n\
         Commands (`{program} <command> --help` explains each):\n"
    );
    for (name, about) in crate::tools::families() {
        line(&mut out, name, about);
    }
    out.push_str("\nFlags:\n");
    line(&mut out, "-h, --help", "Show this text.");
    line(&mut out, "--version", "Show the version.");
    for flag in FLAGS.iter().filter(|flag| !flag.is_hidden) {
        let mut text = sentence(flag);
        match flag.support {
            Support::Works => {}
            Support::Harmless(why) => text.push_str(&format!(" Has no effect: {why}.")),
            Support::NotYet(_) => text.push_str(" Not supported yet."),
        }
        line(&mut out, &usage(flag), &text);
    }
    out
}

fn usage(flag: &Flag) -> String {
    match (flag.syntax, flag.default) {
        (Syntax::Switch, "true") => format!("--[no-]{} (on)", flag.name),
        (Syntax::Switch, _) => format!("--[no-]{}", flag.name),
        (Syntax::Duration, "" | "0s") => format!("--{}=<duration>", flag.name),
        (Syntax::Bytes, _) => format!("--{}=<bytes>", flag.name),
        (_, "") => format!("--{}=<value>", flag.name),
        (_, default) => format!("--{}={default}", flag.name),
    }
}

fn sentence(flag: &Flag) -> String {
    let mode = match flag.mode {
        Mode::Any => "",
        Mode::Server => " Not with --agent.",
        Mode::Agent => " Only with --agent.",
    };
    format!("{}{mode}", flag.help)
}

/// One name, with its text wrapped below it.
fn line(out: &mut String, name: &str, text: &str) {
    writeln!(out, "  {name}").expect("writing to a String cannot fail");
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + word.len() + 1 > WIDTH {
            out.push('\n');
            column = 0;
        }
        out.push_str(if column == 0 { "      " } else { " " });
        column += word.len() + if column == 0 { 6 } else { 1 };
        out.push_str(word);
    }
    out.push('\n');
}

/// All visible flags as a Markdown table.
pub fn documentation() -> String {
    let mut out = String::from("| Flag | Description | Default |\n| --- | --- | --- |\n");
    for flag in FLAGS.iter().filter(|flag| !flag.is_hidden) {
        let default = if flag.default.is_empty() { String::new() } else { format!("`{}`", flag.default) };
        let text = sentence(flag).replace('|', "\\|");
        writeln!(out, "| <code class=\"text-nowrap\">--{}</code> | {text} | {default} |", flag.name)
            .expect("writing to a String cannot fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_flag_is_in_the_text_and_no_line_is_too_long() {
        let text = help("ferula");
        for flag in FLAGS {
            let named = text.contains(&format!("--{}=", flag.name))
                || text.contains(&format!("--[no-]{}", flag.name));
            assert_eq!(named, !flag.is_hidden, "{}", flag.name);
        }
        let long = text.lines().filter(|line| line.starts_with("      ") && line.len() > WIDTH + 6);
        assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
