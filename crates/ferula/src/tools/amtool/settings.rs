//! Flags of all commands, and the files that override their defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use ferula_config::alertmanager::{LoadOptions, MatcherSyntax};

use crate::tools::args::{Args, Flag, ValueKind, flag};
use crate::tools::http;

/// `--alertmanager.url`
pub const URL: Flag = flag("alertmanager.url", ValueKind::Url, "The Alertmanager to talk to.");
/// `--output`
pub const OUTPUT: Flag = flag(
    "output",
    ValueKind::Word(&["simple", "extended", "json"]),
    "The output format: simple, extended or json.",
)
.short('o')
.default("simple");
/// `--timeout`
pub const TIMEOUT: Flag = flag("timeout", ValueKind::Duration, "How long a command may take.").default("30s");
/// `--version-check`
pub const VERSION_CHECK: Flag = flag(
    "version-check",
    ValueKind::Switch,
    "Warn if the server has a different version; disable with --no-version-check.",
)
.default("true");
/// `--date.format`
pub const DATE_FORMAT: Flag = flag("date.format", ValueKind::Text, "How dates are printed, as a Go layout.")
    .default("2006-01-02 15:04:05 MST");
const VERBOSE: Flag = flag("verbose", ValueKind::Switch, "Accepted for compatibility.").short('v');
const FEATURES: Flag = flag(
    "enable-feature",
    ValueKind::Texts,
    "How matchers are read: utf8-strict-mode or classic-mode. By default the UTF-8 syntax is tried first, then the classic one.",
);

/// Flags of all commands.
pub const FLAGS: &[Flag] =
    &[DATE_FORMAT, VERBOSE, URL, OUTPUT, TIMEOUT, http::CONFIG_FILE, VERSION_CHECK, FEATURES];

/// As of the server.
pub const EXPAND_ENV: Flag = flag(
    "config.expand-env",
    ValueKind::Switch,
    "Replace ${NAME} in the configuration by the variable of that name, as the server does with this flag. Ferula only.",
);

/// How the flags say that a configuration is read.
pub fn load_options(args: &Args) -> LoadOptions {
    LoadOptions { syntax: syntax(args), expands_variables: args.has(EXPAND_ENV) }
}

/// The matcher syntax that the flag selects; other feature names are ignored, as in amtool.
pub fn syntax(args: &Args) -> MatcherSyntax {
    let names = args.all(FEATURES);
    let mut names = names.iter().flat_map(|names| names.split(','));
    names
        .find_map(|name| match name.trim() {
            "classic-mode" => Some(MatcherSyntax::Classic),
            "utf8-strict-mode" => Some(MatcherSyntax::Utf8),
            _ => None,
        })
        .unwrap_or_default()
}

/// The value of a flag: from the command line, from a settings file, or its default.
pub fn value(args: &Args, flag: Flag) -> Option<String> {
    if args.given(flag) {
        return args.last(flag).map(str::to_owned);
    }
    let older_names: &[&str] = if flag.name == "require-comment" { &["comment_required"] } else { &[] };
    let from_file = read_settings().into_iter().find_map(|settings| {
        std::iter::once(flag.name)
            .chain(older_names.iter().copied())
            .find_map(|name| settings.get(name).cloned())
    });
    from_file.or_else(|| args.last(flag).map(str::to_owned))
}

/// The user's file, then the machine's.
fn read_settings() -> Vec<BTreeMap<String, String>> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let files = [home.join(".config/amtool/config.yml"), PathBuf::from("/etc/amtool/config.yml")];
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .map(|text| parse_settings(&text))
        .collect()
}

/// Parses `name: value` lines; values may be quoted.
fn parse_settings(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(": ").or_else(|| line.split_once(':')));
    pairs.map(|(name, value)| (name.trim().trim_matches('"').to_owned(), scalar(value.trim()))).collect()
}

fn scalar(text: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((inner, _)) = text.strip_prefix(quote).and_then(|rest| rest.rsplit_once(quote)) {
            return inner.to_owned();
        }
    }
    text.split(" #").next().unwrap_or_default().trim().to_owned()
}

/// The exit code; an error goes to standard error in kingpin's form.
pub fn finish(args: &Args, result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        // amtool ends its errors with an empty line.
        eprintln!("{}: error: {error:#}\n", args.program);
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_pairs() {
        let settings = parse_settings(
            "# mine\nalertmanager.url: \"http://localhost:9093\"\nauthor: me@example.com # me\ncomment_required: true\noutput: 'extended'\n",
        );
        let expected = [
            ("alertmanager.url", "http://localhost:9093"),
            ("author", "me@example.com"),
            ("comment_required", "true"),
            ("output", "extended"),
        ];
        assert_eq!(
            settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
            expected
        );
    }
}
