//! The files of objectives that a command was given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ferula_model::duration::parse_millis;
use ferula_slo::{Catalog, Objective, ReadOptions, RuleFile, RuleOptions, Windows};

use crate::tools::args::{Args, Argument, Flag, ValueKind, argument, flag};

pub(super) const FILES: Argument = argument(
    "files",
    ValueKind::Texts,
    "Files of objectives, or directories of them (*.yml, *.yaml): Sloth's format, its Kubernetes resource, or OpenSLO v1alpha.",
)
.required();
pub(super) const EXTRA_LABELS: Flag = flag(
    "extra-labels",
    ValueKind::Pairs,
    "A label for every recorded series, as NAME=VALUE. May be repeated. Labels of the file win.",
)
.short('l');
pub(super) const DEFAULT_PERIOD: Flag =
    flag("default-slo-period", ValueKind::Text, "The period of objectives that do not set one.")
        .default("30d");
pub(super) const WINDOWS_PATH: Flag = flag(
    "slo-period-windows-path",
    ValueKind::Text,
    "A file or directory of AlertWindows, instead of the built-in ones for 28 and 30 days.",
);

/// Larger files are rejected.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The contents of the files.
pub struct Input {
    pub objectives: Vec<Objective>,
    pub catalog: Catalog,
}

impl Input {
    /// Reads and checks the files that the arguments name.
    pub fn read(args: &Args) -> Result<Self> {
        let period = args.text(DEFAULT_PERIOD);
        let period_millis = parse_millis(period).with_context(|| format!("--default-slo-period={period}"))?;
        let pairs = args.pairs(EXTRA_LABELS);
        let options = ReadOptions {
            period_millis,
            extra_labels: pairs.iter().map(|(&name, &value)| (name.to_owned(), value.to_owned())).collect(),
        };
        let mut objectives: Vec<Objective> = Vec::new();
        let mut files_by_id: BTreeMap<String, PathBuf> = BTreeMap::new();
        for name in args.arguments(FILES) {
            for file in yaml_files(Path::new(name))? {
                let text = read_file(&file)?;
                let read = ferula_slo::read(&text, &options).with_context(|| file.display().to_string())?;
                for objective in read {
                    if let Some(other) = files_by_id.insert(objective.id.clone(), file.clone()) {
                        bail!(
                            "{}: objective {:?} is in {} too",
                            file.display(),
                            objective.id,
                            other.display()
                        );
                    }
                    objectives.push(objective);
                }
            }
        }
        let catalog = match args.last(WINDOWS_PATH) {
            Some(path) => read_catalog(Path::new(path))?,
            None => Catalog::default(),
        };
        Ok(Input { objectives, catalog })
    }

    /// The rules of all objectives.
    pub fn rules(&self, options: &RuleOptions) -> Result<RuleFile> {
        let mut groups = Vec::new();
        for objective in &self.objectives {
            groups.extend(ferula_slo::rules(objective, &self.catalog, options)?);
        }
        Ok(RuleFile { groups })
    }
}

fn read_catalog(path: &Path) -> Result<Catalog> {
    let read = |file: &PathBuf| -> Result<Windows> {
        Windows::parse(&read_file(file)?).with_context(|| file.display().to_string())
    };
    let all = yaml_files(path)?.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(Catalog::of(all)?)
}

/// The file itself, or the YAML files of a directory, sorted by name.
fn yaml_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
        let file = entry.with_context(|| path.display().to_string())?.path();
        if file.extension().is_some_and(|end| end == "yml" || end == "yaml") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "{}: no *.yml or *.yaml in the directory", path.display());
    Ok(files)
}

fn read_file(file: &Path) -> Result<String> {
    let name = || file.display().to_string();
    let length = std::fs::metadata(file).with_context(name)?.len();
    ensure!(
        length <= FILE_BYTES_MAX,
        "{}: {length} bytes is too large for a file of objectives",
        file.display()
    );
    std::fs::read_to_string(file).with_context(name)
}
