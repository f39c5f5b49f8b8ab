//! Configurations that Prometheus tests itself with: what it refuses is refused in its words, the rest loads.

use std::collections::HashMap;
use std::path::Path;

use ferula_config::{Config, ConfigError};
use ferula_testkit::shared;

/// Loads a file and the job files it names.
fn load(file: &Path) -> Result<Config, ConfigError> {
    let config = Config::load(file)?;
    config.scrape_jobs()?;
    Ok(config)
}

#[test]
fn every_case_is_refused_or_loaded_as_by_prometheus() {
    let Some(directory) = shared::directory("cases/config") else { return };
    let table = std::fs::read_to_string(directory.join("expected-errors.tsv")).unwrap();
    let expected: HashMap<&str, &str> = table.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".yml") {
            continue;
        }
        count += 1;
        let refused = [".bad.", ".incompatible.", "deprecated"].iter().any(|part| name.contains(part));
        match (load(&file), refused) {
            (Ok(config), false) => {
                // The printed form may mean something else: Prometheus leaves `false` out where the default is `true`.
                let printed = config.to_yaml();
                if let Err(error) = Config::parse(&printed) {
                    failures.push(format!("{name}: the printed form does not load: {error}\n{printed}"));
                }
            }
            (Err(error), false) => failures.push(format!("{name}: refused: {error}")),
            (Ok(_), true) => failures.push(format!("{name}: loaded, although it should not")),
            (Err(error), true) => {
                // The table was made from within a directory called `testdata`.
                let error = error.to_string().replace(directory.to_str().unwrap(), "testdata");
                match expected.get(name.as_str()) {
                    Some(part) if !error.contains(part) => {
                        failures.push(format!("{name}: says {error}\n    instead of {part}"));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    shared::ran("cases/config", count);
}

/// Keys that Prometheus got after 3.5, the version at hand.
const NEWER_KEYS: [&str; 8] = [
    "extra_scrape_metrics",
    "scrape_native_histograms",
    "chunk_encoding",
    "retention",
    "stale_series_compaction_threshold",
    "federation_buffer",
    "label_name_preserve_multiple_underscores",
    "label_name_underscore_sanitization",
];

/// What promtool says about a text, after the lines of keys that it is too old for were taken out.
fn promtool(program: &Path, directory: &Path, text: &str) -> Result<(), String> {
    let mut text = text.to_owned();
    for _ in 0..=NEWER_KEYS.len() {
        std::fs::write(directory.join("f.yml"), &text).unwrap();
        let output = std::process::Command::new(program)
            .args(["check", "config", "--syntax-only", "f.yml"])
            .current_dir(directory)
            .output()
            .unwrap();
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let Some(key) = NEWER_KEYS.iter().find(|key| said.contains(&format!("field {key} not found"))) else {
            return Err(said);
        };
        let kept = text.lines().filter(|line| !line.trim_start().starts_with(&format!("{key}:")));
        text = kept.map(|line| format!("{line}\n")).collect();
    }
    Err("too many keys are unknown".to_owned())
}

#[test]
fn promtool_loads_what_is_printed() {
    let Some(peer) = shared::peer("promtool") else { return };
    let Some(cases) = shared::directory("cases/config") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (mut count, mut failures) = (0, Vec::new());
    for entry in std::fs::read_dir(&cases).unwrap() {
        let file = entry.unwrap().path();
        let Ok(config) = load(&file) else { continue };
        let original = std::fs::read_to_string(&file).unwrap();
        if file.extension().is_none_or(|ending| ending != "yml")
            || promtool(&peer, directory.path(), &original).is_err()
        {
            continue;
        }
        count += 1;
        if let Err(said) = promtool(&peer, directory.path(), &config.to_yaml()) {
            failures.push(format!("{}: {said}\n{}", file.display(), config.to_yaml()));
        }
    }
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    println!("{count} printed configurations load in Prometheus");
    assert!(count > 20);
}
