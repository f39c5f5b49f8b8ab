//! `ferula check config` and `ferula check rules`: output and exit codes are promtool's.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use ferula_config::discovery::{DiscoveryConfigs, FileSdConfig};
use ferula_config::http_client::TlsConfig;
use ferula_config::rules::{RuleFileOptions, RuleGroup, load_rules, parse_rules};
use ferula_config::scrape::ScrapeConfig;
use ferula_config::{Config, glob};
use ferula_discovery::TargetGroup;
use ferula_model::duration::{format_millis, parse_millis};
use ferula_model::labels::NameScheme;
use ferula_model::number::go_quote;
use ferula_promql_syntax::ParserOptions;
use ferula_rules::check_template;
use ferula_scraper::target::TargetMaker;

use super::Tool;
use super::args::Args;
use crate::flags::FeatureSet;

/// `check`
pub const TOOL: Tool =
    Tool { name: "check", about: "Checks: `check config FILES…`, `check rules FILES…`.", run };

const USAGE: &str = "usage: ferula check config [--syntax-only] [--lint=duplicate-rules] [--lint-fatal] [--agent] \
    [--ignore-unknown-fields] [--lookback-delta=5m] <config-files>...\n       \
    ferula check rules [--lint=duplicate-rules] [--lint-fatal] [--ignore-unknown-fields] [<rule-files>...]\n\n\
    Lints: all, none, duplicate-rules, too-long-scrape-interval. Exit code 1 when something is wrong, 3 when only a \
    lint failed and --lint-fatal was given.\n";

/// Only a lint failed, and that was to be fatal.
const EXIT_LINT: u8 = 3;

fn run(arguments: &[String]) -> ExitCode {
    let result = match arguments.split_first() {
        Some((what, rest)) if what == "config" => config(rest),
        Some((what, rest)) if what == "rules" => rules(rest),
        Some((what, _)) if matches!(what.as_str(), "-h" | "--help") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("ferula: error: {error:#}");
        ExitCode::FAILURE
    })
}

/// What is looked at beyond right and wrong.
struct Lints {
    duplicate_rules: bool,
    /// Scrape intervals of at least this are too long.
    interval: Option<Duration>,
    fatal: bool,
}

impl Lints {
    fn of(args: &Args) -> Result<Self> {
        let given = args.last("lint").unwrap_or("duplicate-rules");
        let lookback = parse_millis(args.last("lookback-delta").unwrap_or("5m"))?;
        let mut lints = Lints { duplicate_rules: false, interval: None, fatal: args.has("lint-fatal") };
        for name in given.split(',').filter(|name| !name.is_empty()) {
            let interval = Some(Duration::from_millis(lookback.unsigned_abs()));
            match name {
                "all" => (lints.duplicate_rules, lints.interval) = (true, interval),
                "duplicate-rules" => lints.duplicate_rules = true,
                "too-long-scrape-interval" => lints.interval = interval,
                "none" => {}
                other => println!("WARNING: unknown lint option: {}", go_quote(other)),
            }
        }
        if given.split(',').any(|name| name == "none") {
            (lints.duplicate_rules, lints.interval) = (false, None);
        }
        Ok(lints)
    }
}

/// How far it has come to trouble.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Good,
    Lint,
    Bad,
}

impl Verdict {
    fn exit_code(self, lints: &Lints) -> ExitCode {
        match self {
            Verdict::Bad => ExitCode::FAILURE,
            Verdict::Lint if lints.fatal => ExitCode::from(EXIT_LINT),
            Verdict::Lint | Verdict::Good => ExitCode::SUCCESS,
        }
    }
}

fn rule_options(args: &Args) -> Result<RuleFileOptions<'static>> {
    let features = FeatureSet::parse(&args.all("enable-feature").join(",")).map_err(anyhow::Error::msg)?;
    Ok(RuleFileOptions {
        names: NameScheme::Utf8,
        ignore_unknown_fields: args.has("ignore-unknown-fields"),
        parser: ParserOptions {
            experimental_functions: features.promql.experimental_functions,
            duration_expressions: true,
            extended_range_selectors: features.promql.extended_range_selectors,
            binop_fill_modifiers: features.promql.fill_modifiers,
        },
        check_template: &check_template,
    })
}

fn rules(arguments: &[String]) -> Result<ExitCode> {
    let valued = ["lint", "enable-feature", "lookback-delta"];
    let args = Args::parse(arguments, &["lint-fatal", "ignore-unknown-fields"], &valued, usize::MAX)?;
    let (lints, options) = (Lints::of(&args)?, rule_options(&args)?);
    if !args.others().is_empty() {
        return Ok(check_rule_files(args.others(), &lints, &options).exit_code(&lints));
    }
    println!("Checking standard input");
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let verdict = judge(parse_rules(&text, &options).map(|loaded| loaded.groups), &lints);
    Ok(verdict.exit_code(&lints))
}

fn check_rule_files(files: &[String], lints: &Lints, options: &RuleFileOptions<'_>) -> Verdict {
    let mut worst = Verdict::Good;
    for file in files {
        println!("Checking {file}");
        let loaded = load_rules(Path::new(file), options).map(|loaded| loaded.groups);
        worst = worst.max(judge(loaded, lints));
    }
    worst
}

fn judge(loaded: Result<Vec<RuleGroup>, Vec<String>>, lints: &Lints) -> Verdict {
    let groups = match loaded {
        Ok(groups) => groups,
        Err(errors) => {
            eprintln!("  FAILED:");
            errors.iter().for_each(|error| eprintln!("{error}"));
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

fn config(arguments: &[String]) -> Result<ExitCode> {
    let switches = ["syntax-only", "lint-fatal", "agent", "ignore-unknown-fields"];
    let args = Args::parse(arguments, &switches, &["lint", "enable-feature", "lookback-delta"], usize::MAX)?;
    if args.others().is_empty() {
        bail!("required argument 'config-files' not provided");
    }
    let (lints, options) = (Lints::of(&args)?, rule_options(&args)?);
    let syntax_only = args.has("syntax-only");
    let mut worst = Verdict::Good;
    for file in args.others() {
        println!("Checking {file}");
        let checked = match check_config(file, syntax_only, args.has("agent")) {
            Ok(checked) => checked,
            Err(error) => {
                eprintln!("  FAILED: {error}");
                println!();
                worst = Verdict::Bad;
                continue;
            }
        };
        if !checked.rule_files.is_empty() {
            println!("  SUCCESS: {} rule files found", checked.rule_files.len());
        }
        println!(" SUCCESS: {file} is valid prometheus config file syntax");
        for text in &checked.unsupported {
            println!("  WARNING: {text}");
        }
        println!();
        if !syntax_only {
            let long = |job: &&ScrapeConfig| lints.interval.is_some_and(|limit| job.scrape_interval >= limit);
            if let Some(job) = checked.jobs.iter().find(long) {
                let millis = i64::try_from(job.scrape_interval.as_millis()).unwrap_or(i64::MAX);
                eprintln!(
                    "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, \
                     interval: {}",
                    job.job_name,
                    format_millis(millis)
                );
                worst = worst.max(Verdict::Lint);
            }
            worst = worst.max(check_rule_files(&checked.rule_files, &lints, &options));
        }
    }
    Ok(worst.exit_code(&lints))
}

/// A configuration that holds.
struct Checked {
    rule_files: Vec<String>,
    jobs: Vec<ScrapeConfig>,
    /// What this build cannot run of it.
    unsupported: Vec<String>,
}

fn check_config(file: &str, syntax_only: bool, agent: bool) -> Result<Checked, String> {
    let config = Config::load(Path::new(file)).map_err(|error| error.to_string())?;
    if agent {
        config.check_agent_mode().map_err(|error| error.to_string())?;
    }
    let mut unsupported: Vec<String> = config.unsupported().iter().map(ToString::to_string).collect();
    let mut rule_files = Vec::new();
    let jobs = if syntax_only {
        config.scrape_configs.clone()
    } else {
        for pattern in &config.rule_files.0 {
            let found = glob(pattern);
            if found.is_empty() && !pattern.contains('*') {
                return Err(format!("{} does not point to an existing file", go_quote(pattern)));
            }
            rule_files.extend(found);
        }
        let all = config.scrape_jobs().map_err(|error| format!("error loading scrape configs: {error}"))?;
        unsupported.extend(all.unsupported.iter().map(ToString::to_string));
        all.jobs
    };
    for job in &jobs {
        check_job(job, syntax_only)?;
    }
    for section in &config.alerting.alertmanagers {
        let rules = section.target_rules(&config.global);
        let check = |groups: Vec<TargetGroup>| ferula_notifier::check_targets(section, &rules, &groups);
        check(static_groups(&section.discovery))?;
        if !syntax_only {
            check_target_files(&section.discovery.file_sd_configs, "alertmanager config", &check)?;
        }
    }
    Ok(Checked { rule_files, jobs, unsupported })
}

fn check_job(job: &ScrapeConfig, syntax_only: bool) -> Result<(), String> {
    if let Some(authorization) = job.http.authorization.as_ref().filter(|_| !syntax_only) {
        let file = &authorization.credentials_file;
        check_exists(file).map_err(|error| {
            let what = "error checking authorization credentials or bearer token file";
            format!("{what} {}: {error}", go_quote(file))
        })?;
    }
    check_tls(&job.http.tls_config, syntax_only)?;
    for section in &job.discovery.kubernetes_sd_configs {
        check_tls(&section.http.tls_config, syntax_only)?;
    }
    let maker = TargetMaker::new(job);
    let check = |groups: Vec<TargetGroup>| {
        for group in &groups {
            for (index, target) in group.targets.iter().enumerate() {
                maker
                    .make(target, group)
                    .map_err(|error| format!("instance {index} in group {}: {error}", group.source))?;
            }
        }
        Ok(())
    };
    check(static_groups(&job.discovery))?;
    if syntax_only {
        return Ok(());
    }
    let what = format!("scrape job {}", go_quote(&job.job_name));
    check_target_files(&job.discovery.file_sd_configs, &what, &check)
}

fn static_groups(discovery: &DiscoveryConfigs) -> Vec<TargetGroup> {
    let groups = discovery.static_configs.iter().enumerate();
    groups
        .map(|(index, group)| TargetGroup::new(index.to_string(), &group.targets, &group.labels.0))
        .collect()
}

fn check_target_files(
    sections: &[FileSdConfig],
    what: &str,
    check: &dyn Fn(Vec<TargetGroup>) -> Result<(), String>,
) -> Result<(), String> {
    for pattern in sections.iter().flat_map(|section| &section.files.0) {
        let found = glob(pattern);
        if found.is_empty() {
            println!("  WARNING: file {} for file_sd in {what} does not exist", go_quote(pattern));
        }
        for file in found {
            let in_file = |error: String| format!("checking SD file {}: {error}", go_quote(pattern));
            let bytes = std::fs::read(&file).map_err(|error| in_file(error.to_string()))?;
            let groups =
                ferula_discovery::file::parse(&file, &bytes).map_err(|error| in_file(error.to_string()))?;
            check(groups)?;
        }
    }
    Ok(())
}

fn check_tls(config: &TlsConfig, syntax_only: bool) -> Result<(), String> {
    if syntax_only {
        return Ok(());
    }
    for (file, what) in [(&config.cert_file, "cert"), (&config.key_file, "key")] {
        check_exists(file)
            .map_err(|error| format!("error checking client {what} file {}: {error}", go_quote(file)))?;
    }
    Ok(())
}

fn check_exists(file: &str) -> Result<(), String> {
    if file.is_empty() || Path::new(file).exists() {
        return Ok(());
    }
    Err(format!("stat {file}: no such file or directory"))
}
