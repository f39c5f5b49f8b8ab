//! `ferula test promql DIR-OR-FILES…`: runs PromQL test scripts on the real store, on an in-memory disk.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ferula_promqltest::{ScriptReport, Store, StoreFactory, StoreFault, run_script};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::FaultDisk;
use ferula_tsdb::{Db, Options};

use super::flags;
use crate::tools::args::Args;

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let paths: Vec<String> = args.arguments(flags::SCRIPTS).into_iter().map(str::to_owned).collect();
    promql(&paths, args.has(flags::RESTART))
}

fn promql(paths: &[String], restart: bool) -> ExitCode {
    let scripts = match scripts_in(paths) {
        Ok(scripts) => scripts,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for script in scripts {
        let report = match std::fs::read_to_string(&script) {
            Ok(text) => run_one(&text, &script, restart),
            Err(error) => {
                eprintln!("{}: {error}", script.display());
                failed += 1;
                continue;
            }
        };
        for failure in &report.failed {
            println!("{}:{}: {}", report.name, failure.line, failure.text);
        }
        println!("{}: {} passed, {} failed", report.name, report.passed, report.failed.len());
        passed += report.passed;
        failed += report.failed.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_one(text: &str, script: &Path, restart: bool) -> ScriptReport {
    let mut stores = Stores { disk: FaultDisk::default(), restart };
    run_script(text, &script.display().to_string(), &mut stores)
}

/// Creates stores like Prometheus' test storage: with one-day blocks, so that series can be loaded one after another,
/// and with start timestamps.
struct Stores {
    disk: FaultDisk,
    restart: bool,
}

impl Stores {
    fn database(&self) -> Result<Box<dyn Store>, StoreFault> {
        const DAY_MS: i64 = 24 * 3_600_000;
        let options = Options {
            min_block_duration_ms: DAY_MS,
            max_block_duration_ms: DAY_MS,
            ..Options::with_start_timestamps()
        };
        let disk = Arc::new(self.disk.clone());
        Db::open(Path::new("/db"), options, disk, &Registry::new(), &mut |_| {})
            .map(|db| Box::new(db) as Box<dyn Store>)
            .map_err(Into::into)
    }
}

impl StoreFactory for Stores {
    fn open(&mut self) -> Result<Box<dyn Store>, StoreFault> {
        self.disk = FaultDisk::default();
        self.database()
    }

    fn loaded(&mut self, store: Box<dyn Store>) -> Result<Box<dyn Store>, StoreFault> {
        if !self.restart {
            return Ok(store);
        }
        drop(store);
        self.database()
    }
}

/// The named scripts, and those directly in the named directories, sorted.
fn scripts_in(paths: &[String]) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for path in paths.iter().map(PathBuf::from) {
        if !path.is_dir() {
            scripts.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).with_context(|| path.display().to_string())?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
            .collect();
        if found.is_empty() {
            bail!("{}: there is no *.test in the directory", path.display());
        }
        found.sort();
        scripts.append(&mut found);
    }
    Ok(scripts)
}
