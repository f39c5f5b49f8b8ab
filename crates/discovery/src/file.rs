//! `file_sd_configs`: target groups in JSON and YAML files that something else writes.
//!
//! Files are looked at every two seconds and read when one of them changed, and read in any case at every
//! `refresh_interval`. A file that cannot be read keeps the groups it had; one that is gone loses them.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferula_config::discovery::parse_target_groups;
use ferula_model::LabelSet;
use serde::Deserialize;

use crate::TargetGroup;
use crate::metrics::FileMetrics;

/// How often files are looked at for changes.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A larger file is refused: a list of targets never is.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The label that names the file of a target.
const FILE_LABEL: &str = "__meta_filepath";

/// Why a file was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// More than a list of targets can need.
    #[error("file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not the JSON that is asked for.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Not the YAML that is asked for.
    #[error("{0}")]
    Yaml(#[from] ferula_config::ConfigError),
    /// YAML is text.
    #[error("yaml: invalid UTF-8")]
    NotText,
    /// An item is null.
    #[error("nil target group item found")]
    NullGroup,
}

/// A file as its folder describes it: equal means unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// The groups of some files and what is known of the files.
#[derive(Debug)]
pub(crate) struct FileGroups {
    patterns: Vec<String>,
    looks: BTreeMap<String, Option<Look>>,
    groups: BTreeMap<String, Vec<Arc<TargetGroup>>>,
}

impl FileGroups {
    pub(crate) fn new(patterns: Vec<String>) -> Self {
        FileGroups { patterns, looks: BTreeMap::new(), groups: BTreeMap::new() }
    }

    /// Whether a file came, went or changed since the last [`FileGroups::refresh`].
    pub(crate) fn changed(&self) -> bool {
        self.look() != self.looks
    }

    fn look(&self) -> BTreeMap<String, Option<Look>> {
        let files = self.patterns.iter().flat_map(|pattern| ferula_config::glob(pattern));
        files
            .map(|file| {
                let look = std::fs::metadata(&file)
                    .ok()
                    .map(|data| Look { modified: data.modified().ok(), bytes: data.len() });
                (file, look)
            })
            .collect()
    }

    /// Reads all files again; the groups that there are now.
    pub(crate) fn refresh(&mut self, metrics: &FileMetrics) -> Vec<Arc<TargetGroup>> {
        // Looked at before reading: a change while reading is seen at the next look.
        self.looks = self.look();
        let mut groups = BTreeMap::new();
        for file in self.looks.keys() {
            match read_file(file) {
                Ok((modified, found)) => {
                    metrics.set_mtime(file, modified);
                    groups.insert(file.clone(), found);
                }
                Err(error) => {
                    metrics.read_errors.inc();
                    ferula_telemetry::error!(
                        "Error reading file",
                        discovery = "file",
                        path = file,
                        err = error
                    );
                    groups.insert(file.clone(), self.groups.remove(file).unwrap_or_default());
                }
            }
        }
        for gone in self.groups.keys().filter(|file| !groups.contains_key(*file)) {
            metrics.forget_file(gone);
        }
        self.groups = groups;
        self.groups.values().flatten().cloned().collect()
    }
}

/// The time of the last change, in seconds, and the groups of a file.
fn read_file(name: &str) -> Result<(f64, Vec<Arc<TargetGroup>>), FileError> {
    let file = std::fs::File::open(name)?;
    let modified = file.metadata()?.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut content = Vec::new();
    if file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)? as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge);
    }
    let groups = parse(name, &content)?;
    Ok((modified.map_or(0.0, |since| since.as_secs() as f64), groups.into_iter().map(Arc::new).collect()))
}

/// A group as JSON has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonGroup {
    targets: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

/// Reads the groups of a file; its name says the format.
pub fn parse(name: &str, content: &[u8]) -> Result<Vec<TargetGroup>, FileError> {
    let groups: Vec<(Vec<String>, BTreeMap<String, String>)> = if name.to_ascii_lowercase().ends_with(".json")
    {
        let groups: Option<Vec<Option<JsonGroup>>> = serde_json::from_slice(content)?;
        let group = |group: Option<JsonGroup>| {
            let group = group.ok_or(FileError::NullGroup)?;
            Ok((group.targets.unwrap_or_default(), group.labels.unwrap_or_default()))
        };
        groups.unwrap_or_default().into_iter().map(group).collect::<Result<_, FileError>>()?
    } else {
        let text = std::str::from_utf8(content).map_err(|_| FileError::NotText)?;
        parse_target_groups(text)?.into_iter().map(|group| (group.targets, group.labels.0)).collect()
    };
    let with_file = |labels: &LabelSet| {
        let mut labels = labels.to_builder();
        labels.set(FILE_LABEL, name);
        labels.finish()
    };
    let numbered = groups.into_iter().enumerate().map(|(index, (targets, labels))| {
        let mut group = TargetGroup::new(format!("{name}:{index}"), &targets, &labels);
        group.labels = with_file(&group.labels);
        group
    });
    Ok(numbered.collect())
}

#[cfg(test)]
mod tests {
    use ferula_telemetry::Registry;

    use super::*;
    use crate::metrics::Metrics;

    fn shown(groups: &[Arc<TargetGroup>]) -> Vec<String> {
        groups.iter().flat_map(|g| g.targets.iter().map(|t| t.value("__address__").to_owned())).collect()
    }

    #[test]
    fn both_formats_give_the_same_groups() {
        let yaml = b"- targets: ['a:1', 'b:2']\n  labels: {env: prod}\n- targets: [c:3]\n";
        let json = br#"[{"targets":["a:1","b:2"],"labels":{"env":"prod"}},{"targets":["c:3"]}]"#;
        let from_yaml = parse("t.yml", yaml).expect("good YAML");
        assert_eq!(from_yaml.len(), 2);
        assert_eq!(from_yaml[0].source, "t.yml:0");
        assert_eq!(
            from_yaml[0].labels,
            LabelSet::from_pairs([("__meta_filepath", "t.yml"), ("env", "prod")])
        );
        assert_eq!(from_yaml[1].targets, [LabelSet::from_pairs([("__address__", "c:3")])]);
        let mut from_json = parse("t.JSON", json).expect("good JSON");
        for group in &mut from_json {
            group.source = group.source.replace("JSON", "yml");
            group.labels = LabelSet::from_pairs(group.labels.iter().chain([("__meta_filepath", "t.yml")]));
        }
        assert_eq!(from_json, from_yaml);
    }

    #[test]
    fn what_is_no_list_of_groups_is_refused() {
        for (name, content) in [
            ("t.json", "[{\"targets\":[\"a\"],\"wrong\":1}]"),
            ("t.json", "{}"),
            ("t.json", "[null]"),
            ("t.json", "[{\"targets\":[1]}]"),
            ("t.json", ""),
            ("t.yml", "- targets: [a]\n  wrong: 1\n"),
            ("t.yml", "- null\n"),
            ("t.yml", "targets: [a]\n"),
        ] {
            assert!(parse(name, content.as_bytes()).is_err(), "{name}: {content}");
        }
        for (name, content) in [("t.yml", ""), ("t.json", "null"), ("t.json", "[]"), ("t.yml", "[]")] {
            assert_eq!(parse(name, content.as_bytes()).expect(content), [], "{name}: {content}");
        }
    }

    #[test]
    fn changes_are_seen_bad_files_keep_their_groups_and_gone_files_lose_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let metrics = Metrics::new(&Registry::new(), "test").file;
        let mut files = FileGroups::new(vec![path("*.yml"), path("one.json")]);
        assert_eq!(files.refresh(&metrics), []);
        assert!(!files.changed());

        std::fs::write(path("a.yml"), "- targets: [a:1]\n- targets: [a:2]\n").expect("written");
        std::fs::write(path("one.json"), "[{\"targets\":[\"j:1\"]}]").expect("written");
        std::fs::write(path("other.json"), "[{\"targets\":[\"never\"]}]").expect("written");
        assert!(files.changed());
        assert_eq!(shown(&files.refresh(&metrics)), ["a:1", "a:2", "j:1"]);

        std::fs::write(path("a.yml"), "- targets: [broken\n").expect("written");
        assert!(files.changed());
        assert_eq!(shown(&files.refresh(&metrics)), ["a:1", "a:2", "j:1"]);
        assert_eq!(metrics.read_errors.get(), 1.0);

        std::fs::write(path("a.yml"), "- targets: [a:3]\n").expect("written");
        std::fs::remove_file(path("one.json")).expect("removed");
        assert_eq!(shown(&files.refresh(&metrics)), ["a:3"]);
    }
}
