//! `check service-discovery`: the targets of a job before and after relabelling, as JSON.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use ferula_config::discovery::DiscoveryConfigs;
use ferula_config::{Config, glob};
use ferula_discovery::{Manager, TargetGroup};
use ferula_model::LabelSet;
use ferula_runtime::{RealClock, Shutdown};
use ferula_scraper::target_maker::{TargetMaker, TargetOutcome};
use ferula_telemetry::Registry;
use serde_json::{Value as Json, json};

use super::config::static_groups;
use super::flags;
use crate::tools::args::Args;
use crate::tools::output::finish;

/// Runs the command. Unlike promtool, it ends once every service has answered, not only when the time is up.
pub fn run(args: &Args) -> ExitCode {
    finish(find(args).and_then(|found| {
        print!("{}", serde_json::to_string_pretty(&found)?);
        Ok(())
    }))
}

fn find(args: &Args) -> Result<Vec<Json>> {
    let file = args.required(flags::CONFIG_FILE);
    let name = args.required(flags::JOB);
    let config = Config::load(Path::new(file)).map_err(|error| anyhow!("Cannot load config {error}"))?;
    let jobs = config.scrape_jobs().map_err(|error| anyhow!("Cannot load scrape configs {error}"))?;
    let Some(index) = jobs.jobs.iter().position(|job| job.job_name == name) else {
        let names: String = jobs.jobs.iter().map(|job| format!("\n\t{}", job.job_name)).collect();
        bail!("Job {name} not found. Select one of:{names}");
    };
    let job = &jobs.jobs[index];
    let mut groups = static_groups(&job.discovery);
    for pattern in job.discovery.file_sd_configs.iter().flat_map(|section| &section.files.0) {
        for file in glob(pattern) {
            let read = std::fs::read(&file).map_err(|error| error.to_string());
            let parsed = read.and_then(|bytes| {
                ferula_discovery::file::parse(&file, &bytes).map_err(|error| error.to_string())
            });
            groups.extend(parsed.map_err(|error| anyhow!("Error reading file {file}: {error}"))?);
        }
    }
    let mut services = job.discovery.clone();
    services.static_configs.clear();
    services.file_sd_configs.clear();
    if services.counts().any(|(_, sections)| sections > 0) {
        groups.extend(found_by_services(name, &services, args.duration(flags::TIMEOUT))?);
    }
    let maker = TargetMaker::new(job);
    let mut found: Vec<Json> = Vec::new();
    for group in &groups {
        for target in &group.targets {
            let shown = show(&maker, target, group);
            if !found.contains(&shown) {
                found.push(shown);
            }
        }
    }
    Ok(found)
}

/// What each service discovers with its first answer, or what is known when the time is up.
fn found_by_services(job: &str, services: &DiscoveryConfigs, timeout: Duration) -> Result<Vec<TargetGroup>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (clock, shutdown) = (RealClock::shared(), Shutdown::new());
        let manager = Manager::new("check", clock, &Registry::new(), shutdown.clone());
        manager.apply_config([(job, services)]);
        if let Some(error) = manager.start_errors().first() {
            bail!("Could not create new discoverer {error}");
        }
        let sets = tokio::select! {
            sets = manager.first_targets() => sets,
            () = manager.run() => manager.subscribe().borrow().clone(),
            () = tokio::time::sleep(timeout) => manager.subscribe().borrow().clone(),
        };
        shutdown.request();
        Ok(sets.get(job).into_iter().flatten().map(|group| TargetGroup::clone(group)).collect())
    })
}

fn show(maker: &TargetMaker<'_>, target: &LabelSet, group: &TargetGroup) -> Json {
    let object = |labels: &LabelSet| -> Json {
        labels.iter().map(|(name, value)| (name.to_owned(), Json::from(value))).collect()
    };
    let before = object(&maker.discovered_labels(target, group));
    match maker.make(target, group) {
        Ok(TargetOutcome::Scraped(made)) => {
            json!({"discoveredLabels": before, "labels": object(&made.labels)})
        }
        Ok(TargetOutcome::Dropped(_)) => json!({"discoveredLabels": before, "labels": {}}),
        Err(error) => json!({"discoveredLabels": before, "labels": {}, "error": error.to_string()}),
    }
}
