//! The commands of a program and their flags, as its help pages print them from its tables.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A flag as it is typed, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// `--config.file`
    pub name: String,
    /// `-h`
    pub short: Option<String>,
    /// What follows the name: a default or a word for the value; "" for a switch.
    pub value: String,
    pub help: String,
}

/// The server, or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `tsdb list`; "" for the server.
    pub name: String,
    pub help: String,
    /// What may follow besides flags, as the help prints it.
    pub arguments: String,
    pub flags: Vec<Flag>,
}

/// All pages, the server's first.
///
/// # Errors
/// The program does not start, or its help has another form.
pub fn read(program: &Path) -> Result<Vec<Page>> {
    let help = |words: &[&str]| -> Result<String> {
        let output = Command::new(program).args(words).arg("--help").output();
        let output = output.with_context(|| format!("starting {}", program.display()))?;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).context("the help is UTF-8")
    };
    let server = help(&[])?;
    let mut pages = vec![server_page(&server)];
    let families = families(&server);
    ensure!(!families.is_empty() && !pages[0].flags.is_empty(), "the help has another form:\n{server}");
    for (family, about) in families {
        let text = help(&[&family])?;
        let commands = subcommands(&text);
        let with_flags = |name: &str, about: String, arguments: String, text: &str| Page {
            name: name.to_owned(),
            help: about,
            arguments,
            flags: command_flags(text),
        };
        if commands.is_empty() {
            let arguments = usage_arguments(&text);
            pages.push(with_flags(&family, about, arguments, &text));
            continue;
        }
        for (name, arguments, about) in commands {
            let words: Vec<&str> = name.split(' ').collect();
            pages.push(with_flags(&name, about, arguments, &help(&words)?));
        }
    }
    Ok(pages)
}

/// The lines of a section: from behind its title to the next one.
fn section<'t>(text: &'t str, title: &str) -> impl Iterator<Item = &'t str> {
    let lines = text.lines().skip_while(move |line| !line.starts_with(title)).skip(1);
    lines.take_while(|line| line.is_empty() || line.starts_with(' ') || !line.ends_with(':'))
}

/// The page of `ferula --help`: a flag's line has two blanks, its text six.
fn server_page(text: &str) -> Page {
    let mut flags: Vec<Flag> = Vec::new();
    for line in section(text, "Flags:") {
        match (line.strip_prefix("      "), line.strip_prefix("  ")) {
            (Some(help), _) => {
                if let Some(flag) = flags.last_mut() {
                    push_words(&mut flag.help, help);
                }
            }
            (None, Some(flag)) if flag.starts_with('-') => flags.push(named(flag)),
            _ => {}
        }
    }
    let help: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.is_empty())
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    Page { name: String::new(), help: help.join(" "), arguments: String::new(), flags }
}

/// The first words of commands, with what they are about.
fn families(text: &str) -> Vec<(String, String)> {
    let mut families: Vec<(String, String)> = Vec::new();
    for line in section(text, "Commands") {
        match (line.strip_prefix("      "), line.strip_prefix("  ")) {
            (Some(help), _) => {
                if let Some((_, about)) = families.last_mut() {
                    push_words(about, help);
                }
            }
            (None, Some(name)) => families.push((name.trim().to_owned(), String::new())),
            _ => {}
        }
    }
    families
}

/// Names, arguments and texts below a command.
fn subcommands(text: &str) -> Vec<(String, String, String)> {
    let mut commands: Vec<(String, String, String)> = Vec::new();
    for line in section(text, "Subcommands:") {
        if let Some(help) = line.strip_prefix("    ") {
            if let Some((.., about)) = commands.last_mut() {
                push_words(about, help);
            }
        } else if !line.is_empty() {
            let words = line.split(' ');
            let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
            let name: Vec<&str> = words.clone().take_while(is_name).collect();
            let arguments: Vec<&str> = words.skip(name.len()).collect();
            commands.push((name.join(" "), arguments.join(" "), String::new()));
        }
    }
    commands
}

/// The flags of a command: name and text are columns, and a long name has its text on the next line.
fn command_flags(text: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for line in section(text, "Flags:") {
        let trimmed = line.trim_start();
        if trimmed.starts_with('-') && line.len() - trimmed.len() <= 6 {
            let (flag, help) = trimmed.split_once("  ").unwrap_or((trimmed, ""));
            let mut flag = named(flag);
            push_words(&mut flag.help, help);
            flags.push(flag);
        } else if let Some(flag) = flags.last_mut() {
            push_words(&mut flag.help, trimmed);
        }
    }
    flags
}

fn usage_arguments(text: &str) -> String {
    let usage = text.lines().next().unwrap_or_default();
    usage.find(['[', '<']).map_or(String::new(), |at| usage[at..].to_owned())
}

/// `-h, --[no-]help`, `--config.file=prometheus.yml`, `--enable-feature= ...`
fn named(text: &str) -> Flag {
    let (short, long) = match text.split_once(", ") {
        Some((short, long)) if short.starts_with('-') && short.len() == 2 => (Some(short.to_owned()), long),
        _ => (None, text),
    };
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, if value.is_empty() { "..." } else { value.trim() }),
        None => (long.trim(), ""),
    };
    Flag { name: name.replace("--[no-]", "--"), short, value: value.to_owned(), help: String::new() }
}

fn push_words(text: &mut String, more: &str) {
    let more = more.trim();
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "usage: ferula [<flags>]\n       ferula <command>\n\nA server\nof metrics.\n\nCommands (`ferula <command> --help` explains each):\n  check\n      Check\n      files.\n\nFlags:\n  -h, --help\n      Show this text.\n  --config.file=prometheus.yml\n      The file. If it is\n      missing: none.\n  --[no-]auto\n      Reload.\n";
    const FAMILY: &str = "usage: ferula check <command>\n\nCheck.\n\n\nFlags:\n  -h, --[no-]help            Show help.\n      --enable-feature= ...  Parts of PromQL,\n                             by commas.\n      --a-very-long-name-of-a-flag=10m\n                             Long.\n\nSubcommands:\ncheck config [<flags>] <config-files>...\n    Check configurations,\n    and rules.\n\ncheck web-config <web-config-files>...\n    Check.\n";

    #[test]
    fn the_servers_page_is_read() {
        let page = server_page(SERVER);
        assert_eq!(page.help, "A server of metrics.");
        let flags: Vec<_> = page
            .flags
            .iter()
            .map(|flag| (flag.name.as_str(), flag.short.as_deref(), flag.value.as_str(), flag.help.as_str()))
            .collect();
        let expected = [
            ("--help", Some("-h"), "", "Show this text."),
            ("--config.file", None, "prometheus.yml", "The file. If it is missing: none."),
            ("--auto", None, "", "Reload."),
        ];
        assert_eq!(flags, expected);
        assert_eq!(families(SERVER), [("check".to_owned(), "Check files.".to_owned())]);
    }

    #[test]
    fn a_commands_page_is_read() {
        let of = |name: &str, arguments: &str, help: &str| {
            (name.to_owned(), arguments.to_owned(), help.to_owned())
        };
        let expected = [
            of("check config", "[<flags>] <config-files>...", "Check configurations, and rules."),
            of("check web-config", "<web-config-files>...", "Check."),
        ];
        assert_eq!(subcommands(FAMILY), expected);
        let flags = command_flags(FAMILY);
        let shown: Vec<_> =
            flags.iter().map(|flag| (flag.name.as_str(), flag.value.as_str(), flag.help.as_str())).collect();
        let expected = [
            ("--help", "", "Show help."),
            ("--enable-feature", "...", "Parts of PromQL, by commas."),
            ("--a-very-long-name-of-a-flag", "10m", "Long."),
        ];
        assert_eq!(shown, expected);
    }
}
