//! `check rules`, and the rule files of `check config`.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ferula_config::rules::RuleGroup;
use ferula_config::rules::{LoadedRules, RuleFileErrors, RuleFileOptions, load_rules, parse_rules};
use ferula_go::quote::go_quote;
use ferula_model::labels::NameScheme;
use ferula_rules::check_template;

use super::flags;
use crate::tools::args::Args;
use crate::tools::features::{parser_options, promql_features};
use crate::welcome::show_suggestion;

/// What is checked besides validity.
pub struct Lints {
    duplicate_rules: bool,
    /// Scrape intervals of at least this are too long.
    pub interval: Option<Duration>,
    fatal: bool,
}

impl Lints {
    /// For rule files alone.
    fn of_rules(args: &Args) -> Self {
        let mut lints = Lints { duplicate_rules: false, interval: None, fatal: args.has(flags::LINT_FATAL) };
        args.text(flags::RULE_LINT)
            .split(',')
            .filter(|name| !name.is_empty())
            .for_each(|name| lints.rule_lint(name));
        lints
    }

    /// For a configuration and its rule files. `none` disables all others.
    pub fn of_config(args: &Args) -> Self {
        let names: Vec<&str> = args.text(flags::CONFIG_LINT).split(',').collect();
        let mut lints = Lints { duplicate_rules: false, interval: None, fatal: args.has(flags::LINT_FATAL) };
        if names.contains(&"none") {
            return lints;
        }
        let lookback = args.duration(flags::LOOKBACK_DELTA);
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            if matches!(name, "all" | "too-long-scrape-interval") && !lookback.is_zero() {
                lints.interval = Some(lookback);
            }
            if name != "too-long-scrape-interval" {
                lints.rule_lint(name);
            }
        }
        lints
    }

    fn rule_lint(&mut self, name: &str) {
        match name {
            "all" | "duplicate-rules" => self.duplicate_rules = true,
            "none" => {}
            other => println!("WARNING: unknown lint option: {}", go_quote(other)),
        }
    }
}

/// The worst result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Good,
    /// Valid, but a lint failed.
    Lint,
    Bad,
}

impl Verdict {
    /// The exit code of a command that ends with this.
    pub fn exit_code(self, lints: &Lints) -> ExitCode {
        match self {
            Verdict::Bad => ExitCode::FAILURE,
            Verdict::Lint if lints.fatal => ExitCode::from(EXIT_LINT),
            Verdict::Lint | Verdict::Good => ExitCode::SUCCESS,
        }
    }
}

/// The options for reading rule files.
pub fn rule_options(args: &Args) -> RuleFileOptions<'static> {
    RuleFileOptions {
        names: NameScheme::Utf8,
        ignore_unknown_fields: args.has(flags::IGNORE_UNKNOWN_FIELDS),
        parser: parser_options(&promql_features(args)),
        check_template: &check_template,
    }
}

/// Exit code when only lints failed.
pub const EXIT_LINT: u8 = 3;

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let (lints, options) = (Lints::of_rules(args), rule_options(args));
    let files = args.arguments(flags::RULE_FILES);
    if !files.is_empty() {
        return check_files(&files, &lints, &options).exit_code(&lints);
    }
    println!("Checking standard input");
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        eprintln!("  FAILED: {error}");
        return ExitCode::FAILURE;
    }
    judge(parse_rules(&text, &options), &lints).exit_code(&lints)
}

/// Checks files; returns the worst verdict.
pub fn check_files<S: AsRef<str>>(files: &[S], lints: &Lints, options: &RuleFileOptions<'_>) -> Verdict {
    let mut worst = Verdict::Good;
    for file in files {
        println!("Checking {}", file.as_ref());
        worst = worst.max(judge(load_rules(Path::new(file.as_ref()), options), lints));
    }
    worst
}

fn judge(loaded: Result<LoadedRules, RuleFileErrors>, lints: &Lints) -> Verdict {
    let groups = match loaded {
        Ok(loaded) => loaded.groups,
        Err(errors) => {
            eprintln!("  FAILED:");
            eprintln!("{errors}");
            show_suggestion(errors.suggestion());
            return Verdict::Bad;
        }
    };
    let repeated = if lints.duplicate_rules { duplicates(&groups) } else { Vec::new() };
    let verdict = if repeated.is_empty() {
        let count: usize = groups.iter().map(|group| group.rules.len()).sum();
        println!("  SUCCESS: {count} rules found");
        Verdict::Good
    } else {
        eprintln!("  FAILED:\nlint error {} duplicate rule(s) found.", repeated.len());
        for (name, labels) in &repeated {
            eprintln!("Metric: {name}\nLabel(s):");
            labels.iter().for_each(|(name, value)| eprintln!("\t{name}: {value}"));
        }
        eprintln!("Might cause inconsistency while recording expressions");
        Verdict::Lint
    };
    println!();
    verdict
}

/// Rules that appear more than once, by name and labels.
fn duplicates(groups: &[RuleGroup]) -> Vec<(String, Vec<(String, String)>)> {
    let mut all = Vec::new();
    for group in groups {
        for rule in &group.rules {
            let mut labels = group.labels.clone();
            labels.extend(rule.labels.clone());
            all.push((rule.name().to_owned(), labels.into_iter().collect::<Vec<_>>()));
        }
    }
    all.sort();
    let mut repeated: Vec<_> =
        all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
    repeated.dedup();
    repeated
}
