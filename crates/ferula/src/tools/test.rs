//! `ferula test promql DIR-OR-FILES…`: runs PromQL test scripts on the real store.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ferula_promqltest::{ScriptReport, Store, run_script};
use ferula_tsdb::{Db, Options};

use super::Tool;

/// `test`
pub const TOOL: Tool =
    Tool { name: "test", about: "Unit tests: `test promql DIR-OR-FILES…` runs PromQL test scripts.", run };

const USAGE: &str = "usage: ferula test promql DIR-OR-FILES…\n\n\
    Runs PromQL test scripts (*.test) on an empty store each, and prints per file how many evaluations came out as the\n\
    script expects; failures with file and line. The last line is `N passed, M failed`. Exit code 1 when any failed.\n";

fn run(arguments: &[String]) -> ExitCode {
    match arguments.split_first() {
        Some((what, paths)) if what == "promql" && !paths.is_empty() => promql(paths),
        Some((what, _)) if matches!(what.as_str(), "-h" | "--help") => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some((what, _)) if what == "rules" => {
            eprintln!("not supported yet: test rules");
            ExitCode::from(1)
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn promql(paths: &[String]) -> ExitCode {
    let scripts = match scripts_in(paths) {
        Ok(scripts) => scripts,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for script in scripts {
        let report = match std::fs::read_to_string(&script) {
            Ok(text) => run_one(&text, &script),
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

fn run_one(text: &str, script: &Path) -> ScriptReport {
    let mut open = || {
        Db::in_memory(Options::default())
            .map(|db| Box::new(db) as Box<dyn Store>)
            .map_err(|error| error.to_string())
    };
    run_script(text, &script.display().to_string(), &mut open)
}

/// The scripts themselves, and those directly in the folders, sorted.
fn scripts_in(paths: &[String]) -> Result<Vec<PathBuf>, String> {
    let mut scripts = Vec::new();
    for path in paths.iter().map(PathBuf::from) {
        if !path.is_dir() {
            scripts.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
            .collect();
        if found.is_empty() {
            return Err(format!("{}: no *.test in the folder", path.display()));
        }
        found.sort();
        scripts.append(&mut found);
    }
    Ok(scripts)
}
