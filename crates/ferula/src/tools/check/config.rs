//! `check config`: checks a configuration, the files that it names, and whether it yields valid targets.

use std::path::Path;
use std::process::ExitCode;

use ferula_config::discovery::{DiscoveryConfigs, FileSdConfig};
use ferula_config::http_client::TlsConfig;
use ferula_config::scrape::ScrapeConfig;
use ferula_config::{Config, check_pattern, glob};
use ferula_discovery::TargetGroup;
use ferula_go::quote::go_quote;
use ferula_model::duration::format_millis;
use ferula_scraper::target_maker::TargetMaker;

use super::flags;
use super::rules::{Lints, Verdict, check_files, rule_options};
use crate::tools::args::Args;
use crate::welcome::show_suggestion;

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let (lints, options) = (Lints::of_config(args), rule_options(args));
    let syntax_only = args.has(flags::SYNTAX_ONLY);
    let mut worst = Verdict::Good;
    for file in args.arguments(flags::CONFIG_FILES) {
        println!("Checking {file}");
        let checked = match check_config(file, syntax_only, args.has(flags::AGENT)) {
            Ok(checked) => checked,
            Err(error) => {
                eprintln!("  FAILED: {error}");
                println!();
                if let Err(error) = Config::load(Path::new(file)) {
                    show_suggestion(error.suggestion());
                }
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
            worst = worst.max(check_files(&checked.rule_files, &lints, &options));
        }
    }
    worst.exit_code(&lints)
}

/// A valid configuration.
struct Checked {
    rule_files: Vec<String>,
    jobs: Vec<ScrapeConfig>,
    /// Its parts that this build does not support.
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
        let check = |groups: Vec<TargetGroup>| {
            ferula_notifier::check_targets(section, &rules, &groups).map_err(|error| error.to_string())
        };
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

/// The groups of `static_configs`.
pub fn static_groups(discovery: &DiscoveryConfigs) -> Vec<TargetGroup> {
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
        check_pattern(pattern).map_err(|error| error.to_string())?;
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
