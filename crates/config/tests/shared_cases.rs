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
    let Some(folder) = shared::folder("cases/config") else { return };
    let table = std::fs::read_to_string(folder.join("expected-errors.tsv")).unwrap();
    let expected: HashMap<&str, &str> = table.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".yml") {
            continue;
        }
        count += 1;
        let refused = [".bad.", ".incompatible.", "deprecated"].iter().any(|part| name.contains(part));
        match (load(&file), refused) {
            (Ok(config), false) => {
                // Not the same again: Prometheus leaves `false` out where the default is `true`.
                let printed = config.to_yaml();
                if let Err(error) = Config::parse(&printed) {
                    failures.push(format!("{name}: the printed form does not load: {error}\n{printed}"));
                }
            }
            (Err(error), false) => failures.push(format!("{name}: refused: {error}")),
            (Ok(_), true) => failures.push(format!("{name}: loaded, although it should not")),
            (Err(error), true) => {
                // The table was made from within a folder called `testdata`.
                let error = error.to_string().replace(folder.to_str().unwrap(), "testdata");
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
