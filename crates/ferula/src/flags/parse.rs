//! Arguments to values, by the rules of the library that Prometheus uses: `--name=value`, `--name value`, `--bool`,
//! `--no-bool`, `@file` with one argument per line. Texts of errors are that library's.

use std::collections::BTreeMap;

use ferula_config::ByteSize;
use ferula_model::duration;

use super::table::{FLAGS, Flag, Kind, find};

/// A file of arguments may name another; this deep and no deeper.
const FILE_DEPTH_MAX: usize = 8;

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Run, with these values of flags that were given.
    Run(Given),
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Print the flags as Markdown.
    Documentation,
}

/// Flags that were given, with their values as printed in `status/flags`.
pub type Given = BTreeMap<&'static str, Vec<String>>;

/// Reads arguments, without the program's name.
///
/// # Errors
/// What is wrong, as one line.
pub fn parse(arguments: &[String]) -> Result<Parsed, String> {
    let mut all = Vec::new();
    expand(arguments, 0, &mut all)?;
    let mut given = Given::new();
    let mut rest = all.into_iter();
    while let Some(argument) = rest.next() {
        let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) else {
            match argument.as_str() {
                "-h" => return Ok(Parsed::Help),
                "--" => continue,
                _ => {}
            }
            return Err(match argument.strip_prefix('-').and_then(|short| short.chars().next()) {
                Some(short) => format!("unknown short flag '-{short}'"),
                None => format!("unexpected {argument}"),
            });
        };
        match long {
            "help" | "help-long" | "help-man" => return Ok(Parsed::Help),
            "version" => return Ok(Parsed::Version),
            "write-documentation" => return Ok(Parsed::Documentation),
            _ => {}
        }
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let unknown = || format!("unknown long flag '--{name}'");
        let (flag, value) = match (find(name), value) {
            (Some(flag), Some(value)) if flag.kind == Kind::Bool => {
                if !matches!(value.as_str(), "true" | "false") {
                    return Err(format!("unexpected {value}"));
                }
                (flag, value)
            }
            (Some(flag), None) if flag.kind == Kind::Bool => (flag, "true".to_owned()),
            (Some(flag), Some(value)) => (flag, value),
            (Some(flag), None) => {
                let value = rest.next().filter(|value| !value.starts_with("--"));
                (flag, value.ok_or_else(|| format!("expected argument for flag '--{name}'"))?)
            }
            (None, None) => {
                let positive = name.strip_prefix("no-").and_then(find).filter(|flag| flag.kind == Kind::Bool);
                (positive.ok_or_else(unknown)?, "false".to_owned())
            }
            (None, Some(_)) => return Err(unknown()),
        };
        let value = check(flag, &value)?;
        let values = given.entry(flag.name).or_default();
        if !values.is_empty() && flag.kind != Kind::List {
            return Err(format!("flag '{}' cannot be repeated", flag.name));
        }
        values.push(value);
    }
    Ok(Parsed::Run(given))
}

/// Puts the lines of `@file` in its place.
fn expand(arguments: &[String], depth: usize, out: &mut Vec<String>) -> Result<(), String> {
    for argument in arguments {
        let Some(file) = argument.strip_prefix('@') else {
            out.push(argument.clone());
            continue;
        };
        if depth == FILE_DEPTH_MAX {
            return Err(format!("argument files name each other: {file}"));
        }
        let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("open {file}: no such file or directory"),
            _ => format!("open {file}: {error}"),
        })?;
        let lines: Vec<String> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        expand(&lines, depth + 1, out)?;
    }
    Ok(())
}

/// The value as it is shown, if it is one.
fn check(flag: &Flag, value: &str) -> Result<String, String> {
    let number_error =
        |what: &str| format!("strconv.{what}: parsing {}: invalid syntax", ferula_go::quote::go_quote(value));
    match flag.kind {
        Kind::Bool | Kind::Text | Kind::List => Ok(value.to_owned()),
        Kind::Duration => {
            duration::parse_millis(value).map(duration::format_millis).map_err(|error| error.to_string())
        }
        // Go takes `5e7` for a whole number too.
        Kind::Int => value
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && number.abs() < 9e15)
            .map(|number| (number as i64).to_string())
            .ok_or_else(|| number_error("ParseFloat")),
        Kind::Float => {
            value.parse::<f64>().map(ferula_go::float::format_g).map_err(|_| number_error("ParseFloat"))
        }
        Kind::Bytes => ByteSize::parse(value).map(|size| size.to_string()),
        Kind::Word(words) => {
            if words.contains(&value) {
                return Ok(value.to_owned());
            }
            Err(match flag.name {
                "log.level" => format!("unrecognized log level {value}"),
                "log.format" => format!("unrecognized log format {value}"),
                _ => format!("enum value must be one of {}, got '{value}'", words.join(",")),
            })
        }
    }
}

/// The values of every flag: what was given, else the default.
pub fn all_values(given: &Given) -> BTreeMap<&'static str, String> {
    FLAGS
        .iter()
        .map(|flag| {
            let value =
                given.get(flag.name).map_or_else(|| flag.default.to_owned(), |values| values.join(","));
            (flag.name, value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> Result<Vec<(String, String)>, String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match parse(&arguments)? {
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
    fn what_is_wrong_is_told_in_the_known_words() {
        for (arguments, error) in [
            (&["--foo"][..], "unknown long flag '--foo'"),
            (&["-foo"], "unknown short flag '-f'"),
            (&["extra"], "unexpected extra"),
            (&["--query.timeout"], "expected argument for flag '--query.timeout'"),
            (&["--query.timeout=x"], "not a valid duration string: \"x\""),
            (&["--log.level=x"], "unrecognized log level x"),
            (&["--web.max-connections=x"], "strconv.ParseFloat: parsing \"x\": invalid syntax"),
            (&["--no-query.timeout"], "unknown long flag '--no-query.timeout'"),
            (&["--web.enable-lifecycle=x"], "unexpected x"),
            (&["--config.file=a", "--config.file=b"], "flag 'config.file' cannot be repeated"),
            (
                &["--web.enable-lifecycle", "--no-web.enable-lifecycle"],
                "flag 'web.enable-lifecycle' cannot be repeated",
            ),
            (&["@/nowhere/at/all"], "open /nowhere/at/all: no such file or directory"),
            (&["--storage.tsdb.retention=5d"], "unknown long flag '--storage.tsdb.retention'"),
        ] {
            assert_eq!(given(arguments), Err(error.to_owned()), "{arguments:?}");
        }
    }

    #[test]
    fn files_of_arguments_stand_for_their_lines() {
        let dir = tempfile::tempdir().expect("a folder for the test");
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

    #[test]
    fn the_default_of_every_flag_is_a_value_of_its_kind() {
        for flag in FLAGS.iter().filter(|flag| !flag.default.is_empty()) {
            let shown = check(flag, flag.default);
            assert_eq!(shown.as_deref(), Ok(flag.default), "{}", flag.name);
        }
    }
}
