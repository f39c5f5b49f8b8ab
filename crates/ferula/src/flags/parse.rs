//! From arguments to values, by the rules of Prometheus' flag library: `--name=value`, `--name value`, `--bool`,
//! `--no-bool`, and `@file` with one argument per line. Error texts, up to the suggestion, are that library's.

use std::collections::BTreeMap;

use ferula_go::quote::go_quote;

use super::table::{FLAGS, Flag, find};
use super::value::{Syntax, ValueError};
use crate::tools;

/// How deep argument files may be nested.
const FILE_DEPTH_MAX: usize = 8;

/// What the arguments request.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Start the server with these flags.
    Run(GivenFlags),
    Help,
    Version,
    /// Print the flags as Markdown.
    Documentation,
}

/// The given flags, each with its values as `status/flags` shows them.
pub type GivenFlags = BTreeMap<&'static str, Vec<String>>;

/// Why the arguments cannot be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error("unknown long flag '--{name}'{}", did_you_mean(suggestion.as_deref()))]
    UnknownFlag { name: String, suggestion: Option<String> },
    #[error("unknown short flag '-{name}'{}", did_you_mean(suggestion.as_deref()))]
    UnknownShortFlag { name: char, suggestion: Option<String> },
    #[error("unexpected {word}{}", did_you_mean(suggestion.as_deref()))]
    Unexpected { word: String, suggestion: Option<String> },
    #[error("expected argument for flag '--{0}'")]
    NoValue(&'static str),
    #[error("flag '{0}' cannot be repeated")]
    Repeated(&'static str),
    #[error("{error} (--{flag})")]
    Value { flag: &'static str, error: ValueError },
    #[error("failed to open arguments file {}: open {file}: {problem}", go_quote(file))]
    File { file: String, problem: String },
    #[error("argument files include each other: {0}")]
    FileLoop(String),
}

impl ArgumentError {
    /// Prometheus' exit code: its flag library ends the program itself if the arguments cannot be parsed.
    pub fn exit_code(&self) -> u8 {
        match self {
            ArgumentError::Value { .. } | ArgumentError::Repeated(_) => 2,
            ArgumentError::UnknownFlag { .. }
            | ArgumentError::UnknownShortFlag { .. }
            | ArgumentError::Unexpected { .. }
            | ArgumentError::NoValue(_)
            | ArgumentError::File { .. }
            | ArgumentError::FileLoop(_) => 1,
        }
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |suggestion| format!(", did you mean {suggestion}?"))
}

/// Parses arguments, without the program's name.
///
/// # Errors
/// The first argument that cannot be parsed.
pub fn parse(arguments: &[String]) -> Result<Parsed, ArgumentError> {
    let mut all = Vec::new();
    expand(arguments, 0, &mut all)?;
    let mut given = GivenFlags::new();
    let mut rest = all.into_iter();
    while let Some(argument) = rest.next() {
        let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) else {
            match argument.as_str() {
                "-h" => return Ok(Parsed::Help),
                "--" => continue,
                _ => return Err(not_a_flag(argument)),
            }
        };
        match long {
            "help" | "help-long" | "help-man" => return Ok(Parsed::Help),
            "version" => return Ok(Parsed::Version),
            "write-documentation" => return Ok(Parsed::Documentation),
            _ => {}
        }
        let (flag, value) = flag_and_value(long, &mut rest)?;
        let value =
            flag.syntax.normalize(&value).map_err(|error| ArgumentError::Value { flag: flag.name, error })?;
        let values = given.entry(flag.name).or_default();
        if !values.is_empty() && flag.syntax != Syntax::List {
            return Err(ArgumentError::Repeated(flag.name));
        }
        values.push(value);
    }
    Ok(Parsed::Run(given))
}

fn not_a_flag(argument: String) -> ArgumentError {
    if let Some(short) = argument.strip_prefix('-').and_then(|short| short.chars().next()) {
        let suggestion = matches!(short, 'v' | 'V').then(|| "'--version'".to_owned());
        return ArgumentError::UnknownShortFlag { name: short, suggestion };
    }
    let suggestion = meant_by(&argument);
    ArgumentError::Unexpected { word: argument, suggestion }
}

/// What this argument was probably meant to be: a file's name, a flag without its dashes, or a command.
fn meant_by(word: &str) -> Option<String> {
    let extension = std::path::Path::new(word).extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("yml" | "yaml")) {
        return Some(format!("'--config.file={word}'"));
    }
    if word == "version" || find(word).is_some() {
        return Some(format!("'--{word}'"));
    }
    let command = ferula_config::closest(word, tools::families().map(|(name, _)| name));
    command.map(|command| format!("the command '{command}'"))
}

/// The flag that `long` (without its dashes) names, and its value, which may be the next argument.
fn flag_and_value(
    long: &str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<(&'static Flag, String), ArgumentError> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    match (find(name), value) {
        (Some(flag), Some(value)) if flag.syntax == Syntax::Switch => match value.as_str() {
            "true" | "false" => Ok((flag, value)),
            _ => Err(ArgumentError::Unexpected { word: value, suggestion: None }),
        },
        (Some(flag), None) if flag.syntax == Syntax::Switch => Ok((flag, "true".to_owned())),
        (Some(flag), Some(value)) => Ok((flag, value)),
        (Some(flag), None) => {
            let value = rest.next().filter(|value| !value.starts_with("--"));
            Ok((flag, value.ok_or(ArgumentError::NoValue(flag.name))?))
        }
        (None, value) => {
            let negated = name.strip_prefix("no-").filter(|_| value.is_none()).and_then(find);
            match negated.filter(|flag| flag.syntax == Syntax::Switch) {
                Some(flag) => Ok((flag, "false".to_owned())),
                None => Err(unknown(name)),
            }
        }
    }
}

fn unknown(name: &str) -> ArgumentError {
    let known = FLAGS.iter().map(|flag| flag.name).chain(["help", "version"]);
    let suggestion = ferula_config::closest(name, known).map(|flag| format!("'--{flag}'"));
    ArgumentError::UnknownFlag { name: name.to_owned(), suggestion }
}

/// Replaces every `@file` with the lines of the file.
fn expand(arguments: &[String], depth: usize, out: &mut Vec<String>) -> Result<(), ArgumentError> {
    for argument in arguments {
        let Some(file) = argument.strip_prefix('@') else {
            out.push(argument.clone());
            continue;
        };
        if depth == FILE_DEPTH_MAX {
            return Err(ArgumentError::FileLoop(file.to_owned()));
        }
        let text = std::fs::read_to_string(file).map_err(|error| ArgumentError::File {
            file: file.to_owned(),
            problem: match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            },
        })?;
        let is_argument = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let lines: Vec<String> = text.lines().filter(is_argument).map(str::to_owned).collect();
        expand(&lines, depth + 1, out)?;
    }
    Ok(())
}

/// The value of every flag: the given one, or the default.
pub fn all_values(given: &GivenFlags) -> BTreeMap<&'static str, String> {
    let value =
        |flag: &Flag| given.get(flag.name).map_or_else(|| flag.default.to_owned(), |values| values.join(","));
    FLAGS.iter().map(|flag| (flag.name, value(flag))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> Result<Vec<(String, String)>, String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match parse(&arguments).map_err(|error| error.to_string())? {
            Parsed::Run(given) => {
                Ok(given.into_iter().map(|(name, values)| (name.to_owned(), values.join(","))).collect())
            }
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn flags_are_read_in_all_their_forms() {
        let pairs = given(&[
            "--config.file=a.yml",
            "--query.timeout",
            "90s",
            "--web.enable-lifecycle",
            "--no-storage.tsdb.wal-compression",
            "--web.listen-address=:1",
            "--web.listen-address",
            ":2",
            "--storage.remote.read-sample-limit=5e7",
            "--storage.tsdb.retention.size=1024MB",
        ]);
        let want = [
            ("config.file", "a.yml"),
            ("query.timeout", "1m30s"),
            ("storage.remote.read-sample-limit", "50000000"),
            ("storage.tsdb.retention.size", "1GiB"),
            ("storage.tsdb.wal-compression", "false"),
            ("web.enable-lifecycle", "true"),
            ("web.listen-address", ":1,:2"),
        ];
        assert_eq!(pairs, Ok(want.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
    }

    #[test]
    fn errors_have_the_known_texts_and_suggest_the_nearest_name() {
        for (arguments, error) in [
            (&["--foo"][..], "unknown long flag '--foo'"),
            (&["-foo"], "unknown short flag '-f'"),
            (&["extra"], "unexpected extra"),
            (&["--query.timeout"], "expected argument for flag '--query.timeout'"),
            (&["--query.timeout=x"], "not a valid duration string: \"x\" (--query.timeout)"),
            (&["--log.level=x"], "unrecognized log level x (--log.level)"),
            (&["--log.level=inf"], "unrecognized log level inf, did you mean 'info'? (--log.level)"),
            (
                &["--web.max-connections=x"],
                "strconv.ParseFloat: parsing \"x\": invalid syntax (--web.max-connections)",
            ),
            (&["-v"], "unknown short flag '-v', did you mean '--version'?"),
            (&["version"], "unexpected version, did you mean '--version'?"),
            (&["my.yml"], "unexpected my.yml, did you mean '--config.file=my.yml'?"),
            (&["config.file=my"], "unexpected config.file=my"),
            (
                &["web.enable-lifecycle"],
                "unexpected web.enable-lifecycle, did you mean '--web.enable-lifecycle'?",
            ),
            (
                &["--storage-path=x"],
                "unknown long flag '--storage-path', did you mean '--storage.tsdb.path'?",
            ),
            (
                &["--no-query.timeout"],
                "unknown long flag '--no-query.timeout', did you mean '--query.timeout'?",
            ),
            (&["--web.enable-lifecycle=x"], "unexpected x"),
            (&["--config.file=a", "--config.file=b"], "flag 'config.file' cannot be repeated"),
            (
                &["--web.enable-lifecycle", "--no-web.enable-lifecycle"],
                "flag 'web.enable-lifecycle' cannot be repeated",
            ),
            (
                &["@Cargo.toml/missing"],
                "failed to open arguments file \"Cargo.toml/missing\": open Cargo.toml/missing: Not a directory (os error 20)",
            ),
            (
                &["@missing.args"],
                "failed to open arguments file \"missing.args\": open missing.args: no such file or directory",
            ),
            (
                &["--storage.tsdb.retention=5d"],
                "unknown long flag '--storage.tsdb.retention', did you mean '--storage.tsdb.retention.time'?",
            ),
            (
                &["--storage.tsdb.pth", "x"],
                "unknown long flag '--storage.tsdb.pth', did you mean '--storage.tsdb.path'?",
            ),
            (&["--verson"], "unknown long flag '--verson', did you mean '--version'?"),
            (&["chekc", "config"], "unexpected chekc, did you mean the command 'check'?"),
        ] {
            assert_eq!(given(arguments), Err(error.to_owned()), "{arguments:?}");
        }
    }

    #[test]
    fn argument_files_are_replaced_with_their_lines() {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let file = dir.path().join("args");
        std::fs::write(&file, "# a comment\n--config.file=from file.yml\n\n--log.level\ndebug\n")
            .expect("written");
        let pairs = given(&[&format!("@{}", file.display())]);
        assert_eq!(
            pairs,
            Ok(vec![
                ("config.file".to_owned(), "from file.yml".to_owned()),
                ("log.level".to_owned(), "debug".to_owned())
            ])
        );
        std::fs::write(&file, format!("@{}\n", file.display())).expect("written");
        assert!(
            given(&[&format!("@{}", file.display())]).is_err_and(|text| text.starts_with("argument files"))
        );
    }
}
