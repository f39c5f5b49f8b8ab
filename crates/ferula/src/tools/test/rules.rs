//! `ferula test rules FILES…`: unit tests of rule files; output and exit codes are promtool's.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use ferula_config::rules::{LoadedRules, RuleFileOptions, load_rules};
use ferula_config::unit_test::UnitTestFile;
use ferula_go::Regexp;
use ferula_go::html::escape_xml;
use ferula_model::UnixNanos;
use ferula_model::labels::NameScheme;
use ferula_promql::Features;
use ferula_rules::unit_test::{self, TestReport};
use ferula_rules::{RuleStore, check_template};
use ferula_runtime::{Clock, RealClock};
use ferula_telemetry::{Registry, logging};
use ferula_tsdb::disk::FaultDisk;
use ferula_tsdb::{Db, Options};

use super::flags;
use crate::tools::args::Args;
use crate::tools::features::{parser_options, promql_features};

/// The result of a file: its test groups, or why it has none.
struct FileReport {
    name: String,
    began: String,
    result: Result<Vec<TestReport>, String>,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match try_run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}: error: {error:#}", args.program);
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &Args) -> Result<bool> {
    // Failing templates are part of what is tested.
    logging::init(logging::Level::Error, logging::Format::Logfmt);
    let features = promql_features(args);
    let patterns: Vec<Regexp> =
        args.all(flags::RUN).into_iter().map(Regexp::new).collect::<Result<_, _>>()?;
    let runs = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(name));
    let mut reports = Vec::new();
    for file in args.arguments(flags::TEST_FILES) {
        let began = UnixNanos(RealClock::new().unix_nanos()).rfc3339_nanos();
        let result = test_file(file, args, features, &runs);
        let report = FileReport { name: file.to_owned(), began: began.chars().take(19).collect(), result };
        print(&report);
        reports.push(report);
    }
    if let Some(path) = args.last(flags::JUNIT) {
        std::fs::write(path, junit(&reports)).with_context(|| format!("writing {path}"))?;
    }
    Ok(reports.iter().all(FileReport::passed))
}

impl FileReport {
    fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(|reports| reports.iter().all(|report| report.failures.is_empty()))
    }
}

fn print(report: &FileReport) {
    let failures: Vec<&String> = match &report.result {
        Ok(reports) => reports.iter().flat_map(|report| &report.failures).collect(),
        Err(error) => vec![error],
    };
    if failures.is_empty() {
        println!("  SUCCESS");
    } else {
        eprintln!("  FAILED:");
    }
    for failure in failures {
        eprintln!("{failure}");
        println!();
    }
    println!();
}

fn test_file(
    name: &str,
    args: &Args,
    features: Features,
    runs: &dyn Fn(&str) -> bool,
) -> Result<Vec<TestReport>, String> {
    let text = std::fs::read_to_string(name).map_err(|error| format!("open {name}: {error}"))?;
    let mut file = UnitTestFile::parse(&text).map_err(|error| error.to_string())?;
    let directory = Path::new(name).parent().map_or_else(String::new, |dir| dir.display().to_string());
    file.join_directory(if directory.is_empty() { "." } else { &directory });
    let parser = parser_options(&features);
    let options = RuleFileOptions {
        names: NameScheme::Utf8,
        ignore_unknown_fields: args.has(flags::IGNORE_UNKNOWN_FIELDS),
        parser,
        check_template: &check_template,
    };
    let mut rules: Vec<(String, LoadedRules)> = Vec::new();
    let mut errors = Vec::new();
    for pattern in &file.rule_files.0 {
        let found = ferula_config::glob(pattern);
        if found.is_empty() {
            eprintln!("  WARNING: no file match pattern {pattern}");
        }
        for file in found {
            match load_rules(Path::new(&file), &options) {
                Ok(loaded) => rules.push((file, loaded)),
                Err(more) => errors.push(more),
            }
        }
    }
    let rules = if errors.is_empty() { Ok(rules) } else { Err(errors) };
    unit_test::run(
        &file,
        &rules,
        &unit_test::Options {
            open_store: &open_store,
            features,
            parser,
            clock: RealClock::shared(),
            runs,
            diff: args.has(flags::DIFF),
            debug: args.has(flags::DEBUG).then_some(&|text: &str| eprintln!("{text}")),
        },
    )
    .map_err(|error| error.to_string())
}

/// An empty store on an in-memory disk, with one-day blocks so that series can be written one after another.
fn open_store() -> Result<Arc<dyn RuleStore>, unit_test::OpenStoreError> {
    const DAY_MS: i64 = 24 * 3_600_000;
    let options =
        Options { min_block_duration_ms: DAY_MS, max_block_duration_ms: DAY_MS, ..Options::default() };
    Db::open(Path::new("/db"), options, Arc::new(FaultDisk::default()), &Registry::new(), &mut |_| {})
        .map(|db| Arc::new(db) as Arc<dyn RuleStore>)
        .map_err(Into::into)
}

/// The results as JUnit XML.
fn junit(reports: &[FileReport]) -> String {
    let mut out = String::from("<testsuites>");
    for report in reports {
        let empty = Vec::new();
        let (cases, error) = match &report.result {
            Ok(cases) => (cases, None),
            Err(error) => (&empty, Some(error)),
        };
        let failures: usize = cases.iter().map(|case| case.failures.len()).sum();
        let (count, errors) = (cases.len() + usize::from(error.is_some()), usize::from(error.is_some()));
        out.push_str(&format!(
            "<testsuite name=\"{}\" tests=\"{count}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" timestamp=\"{}\">",
            escape_xml(&report.name),
            report.began
        ));
        for case in cases {
            out.push_str(&format!("<testcase name=\"{}\">", escape_xml(&case.name)));
            for failure in &case.failures {
                out.push_str(&format!("<failure>{}</failure>", escape_xml(failure)));
            }
            out.push_str("</testcase>");
        }
        if let Some(error) = error {
            let error = escape_xml(error);
            out.push_str(&format!("<testcase name=\"unknown\"><error>{error}</error></testcase>"));
        }
        out.push_str("</testsuite>");
    }
    out.push_str("</testsuites>");
    out
}
