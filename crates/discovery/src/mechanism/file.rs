//! `file_sd_configs`: target groups in JSON and YAML files that other programs write.
//!
//! Files are checked every two seconds and read if one of them has changed; they are also read at every
//! `refresh_interval`. A file that cannot be read keeps its groups; a removed file loses them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ferula_config::discovery::{DiscoveryConfigs, FileSdConfig, parse_target_groups};
use ferula_runtime::SharedClock;
use ferula_telemetry::{Counter, GaugeVec, Registry, Summary};

use crate::TargetGroup;
use crate::group::{GroupsError, groups_from_json};
use crate::provider::{Context, Groups, Output, Provider, ProviderError};

/// How often files are checked for changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Larger files are refused; no list of targets is that long.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The label that names the file of a target.
const FILE_LABEL: &str = "__meta_filepath";

/// Why a file keeps its previous groups.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system returned an error.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Larger than any list of targets.
    #[error("file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// A JSON file without a list of groups.
    #[error("{0}")]
    Groups(#[from] GroupsError),
    /// A YAML file without a list of groups.
    #[error("{0}")]
    Yaml(#[from] ferula_config::ConfigError),
    /// YAML must be valid UTF-8.
    #[error("yaml: invalid UTF-8")]
    NotText,
}

/// Reads the files of one section.
pub(crate) struct FileProvider {
    config: FileSdConfig,
    clock: SharedClock,
    metrics: FileMetrics,
}

impl Provider for FileProvider {
    type Section = FileSdConfig;

    const MECHANISM: &'static str = "file";

    fn sections(configs: &DiscoveryConfigs) -> Vec<FileSdConfig> {
        configs.file_sd_configs.clone()
    }

    fn register_metrics(registry: &Registry) {
        FileMetrics::new(registry);
    }

    fn new(section: FileSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let metrics = FileMetrics::new(&context.registry);
        for pattern in &section.files.0 {
            if let Err(error) = ferula_config::check_pattern(pattern) {
                ferula_telemetry::error!(
                    "Error expanding glob",
                    discovery = "file",
                    config = context.job,
                    glob = pattern,
                    err = error
                );
            }
        }
        Ok(FileProvider { config: section, clock: context.clock.clone(), metrics })
    }

    async fn run(self, output: Output) {
        let refresh_interval = self.config.refresh_interval.max(Duration::from_millis(1));
        let look_interval = LOOK_INTERVAL.min(refresh_interval);
        let mut files = FileGroups::new(self.config.files.0);
        let mut refreshed: Option<Duration> = None;
        loop {
            let now = self.clock.elapsed();
            let due = refreshed.is_none_or(|at| now.saturating_sub(at) >= refresh_interval);
            let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
            // Files are read on a blocking thread.
            let read = tokio::task::spawn_blocking(move || {
                let start = clock.elapsed();
                let groups = (due || files.changed(&metrics)).then(|| files.refresh(&metrics));
                if groups.is_some() {
                    metrics.scan_duration.observe_duration(clock.elapsed().saturating_sub(start));
                }
                (files, groups)
            });
            let Ok((returned, groups)) = read.await else {
                ferula_telemetry::error!(
                    "File discovery stopped because reading its files panicked",
                    discovery = "file"
                );
                return;
            };
            files = returned;
            if let Some(groups) = groups {
                refreshed = Some(now);
                output.send(groups);
            }
            self.clock.sleep(look_interval).await;
        }
    }
}

/// Metrics of file discovery, under Prometheus' names.
#[derive(Clone)]
struct FileMetrics {
    read_errors: Counter,
    watcher_errors: Counter,
    scan_duration: Summary,
    mtime: GaugeVec,
}

impl FileMetrics {
    fn new(registry: &Registry) -> Self {
        FileMetrics {
            read_errors: registry
                .counter("prometheus_sd_file_read_errors_total", "Target files that could not be read. They keep their previous targets; the log names the file."),
            watcher_errors: registry.counter(
                "prometheus_sd_file_watcher_errors_total",
                "Failed checks whether a target file has changed. While this rises, changes are noticed only at the refresh interval.",
            ),
            scan_duration: registry.summary(
                "prometheus_sd_file_scan_duration_seconds",
                "Duration of reading all files of a section, in seconds.",
                &[0.5, 0.9, 0.99],
            ),
            mtime: registry.gauge_vec(
                "prometheus_sd_file_mtime_seconds",
                "Modification time of a target file when it was last read, in seconds since 1970.",
                &["filename"],
            ),
        }
    }

    fn set_mtime(&self, file: &str, seconds: f64) {
        self.mtime.with(&[file]).set(seconds);
    }

    fn forget_file(&self, file: &str) {
        self.mtime.remove(&[file]);
    }
}

/// Distinguishes one state of a file from another. Size and times alone do not suffice: `cp -p` and `rsync
/// -a` preserve the modification time, and a file can change twice within one clock tick.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileVersion {
    Content(u64),
    /// Too large to be read at every check; its inode change time cannot be set by users.
    Inode {
        number: u64,
        changed_nanos: (i64, i64),
        bytes: u64,
    },
}

/// Files up to this size are compared by content.
const COMPARED_BYTES_MAX: u64 = 8 << 20;

impl FileVersion {
    fn at(file: &str) -> std::io::Result<FileVersion> {
        let mut file = std::fs::File::open(file)?;
        let data = file.metadata()?;
        if data.len() > COMPARED_BYTES_MAX {
            let changed_nanos = (data.ctime(), data.ctime_nsec());
            return Ok(FileVersion::Inode { number: data.ino(), changed_nanos, bytes: data.len() });
        }
        let mut content = Vec::new();
        // The file may grow, and a pipe has no length.
        (&mut file).take(COMPARED_BYTES_MAX + 1).read_to_end(&mut content)?;
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Ok(FileVersion::Content(hasher.finish()))
    }
}

/// The files of a section, as last read.
#[derive(Debug)]
struct FileGroups {
    patterns: Vec<String>,
    looks: BTreeMap<String, Option<FileVersion>>,
    groups: BTreeMap<String, Vec<Arc<TargetGroup>>>,
}

impl FileGroups {
    fn new(patterns: Vec<String>) -> Self {
        FileGroups { patterns, looks: BTreeMap::new(), groups: BTreeMap::new() }
    }

    /// Whether a file was added, removed or changed since the last [`FileGroups::refresh`].
    fn changed(&self, metrics: &FileMetrics) -> bool {
        self.look(metrics) != self.looks
    }

    fn look(&self, metrics: &FileMetrics) -> BTreeMap<String, Option<FileVersion>> {
        let files = self.patterns.iter().flat_map(|pattern| ferula_config::glob(pattern));
        files
            .map(|file| {
                let look = FileVersion::at(&file).inspect_err(|_| metrics.watcher_errors.inc()).ok();
                (file, look)
            })
            .collect()
    }

    /// Reads all files again and returns their groups.
    fn refresh(&mut self, metrics: &FileMetrics) -> Groups {
        // Taken before reading, so that a change in the meantime is noticed next time.
        self.looks = self.look(metrics);
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

/// The modification time in seconds, and the groups of a file.
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

/// Parses the groups of a file; its extension determines the format.
///
/// # Errors
/// The content is invalid.
pub fn parse(name: &str, content: &[u8]) -> Result<Vec<TargetGroup>, FileError> {
    let mut groups = if name.to_ascii_lowercase().ends_with(".json") {
        groups_from_json(name, content)?
    } else {
        let text = std::str::from_utf8(content).map_err(|_| FileError::NotText)?;
        let groups = parse_target_groups(text)?;
        let numbered = groups.iter().enumerate();
        numbered
            .map(|(index, group)| {
                TargetGroup::new(format!("{name}:{index}"), &group.targets, &group.labels.0)
            })
            .collect()
    };
    for group in &mut groups {
        group.set_label(FILE_LABEL, name);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use ferula_model::LabelSet;
    use ferula_telemetry::Registry;

    use super::*;

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

    /// As lenient as Go: Prometheus loads each of these files and finds the same in it.
    #[test]
    fn json_is_read_as_go_reads_it() {
        for (json, shown) in [
            (r#"[{"Targets":["a:1"],"LABELS":{"x":"y"}}]"#, "a:1 x=y"),
            (r#"[{"targets":["b:1"],"targets":["a:1"],"labels":{"z":"1"},"labels":{"x":"y"}}]"#, "a:1 x=y"),
            (r#"[{"targets":["a:1"],"labels":{"x":"1","x":"y","n":null}}]"#, "a:1 x=y"),
            (r#"[{"targets":["a:1"],"labels":{"x":"\ud83d"}}]"#, "a:1 x=\u{fffd}"),
            ("[{\"targets\":[\"a:1\"],\"labels\":{\"x\":\"\\/\"}}]", "a:1 x=/"),
            (r#"[{"targets":null,"labels":null}]"#, ""),
        ] {
            let groups = parse("t.json", json.as_bytes()).expect(json);
            let found: Vec<String> =
                groups[0].targets.iter().map(|target| target.value("__address__").to_owned()).collect();
            let labels: Vec<String> = groups[0]
                .labels
                .iter()
                .filter(|(name, _)| *name != FILE_LABEL)
                .map(|(name, value)| format!(" {name}={value}"))
                .collect();
            assert_eq!(found.concat() + &labels.concat(), shown, "{json}");
        }
        let bytes = b"[{\"targets\":[\"a:1\"],\"labels\":{\"x\":\"\xff\"}}]";
        let groups = parse("t.json", bytes).expect("bytes that are not UTF-8 are replaced");
        assert_eq!(groups[0].labels.value("x"), "\u{fffd}");
    }

    #[test]
    fn invalid_lists_of_groups_are_refused() {
        for (name, content) in [
            ("t.json", "[{\"targets\":[\"a\"],\"wrong\":1}]"),
            ("t.json", "{}"),
            ("t.json", "[null]"),
            ("t.json", "[{\"targets\":[1]}]"),
            ("t.json", ""),
            ("t.json", "[{\"targets\":[\"a\"],\"labels\":{\"\":\"x\"}}]"),
            ("t.yml", "- targets: [a]\n  labels: {'': x}\n"),
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
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let metrics = FileMetrics::new(&Registry::new());
        let mut files = FileGroups::new(vec![path("*.yml"), path("one.json")]);
        assert_eq!(files.refresh(&metrics), []);
        assert!(!files.changed(&metrics));

        std::fs::write(path("a.yml"), "- targets: [a:1]\n- targets: [a:2]\n").expect("written");
        std::fs::write(path("one.json"), "[{\"targets\":[\"j:1\"]}]").expect("written");
        std::fs::write(path("other.json"), "[{\"targets\":[\"never\"]}]").expect("written");
        assert!(files.changed(&metrics));
        assert_eq!(shown(&files.refresh(&metrics)), ["a:1", "a:2", "j:1"]);

        std::fs::write(path("a.yml"), "- targets: [broken\n").expect("written");
        assert!(files.changed(&metrics));
        assert_eq!(shown(&files.refresh(&metrics)), ["a:1", "a:2", "j:1"]);
        assert_eq!(metrics.read_errors.get(), 1.0);

        // The same size and modification time, as after `cp -p`.
        let replace_keeping_time = |content: &str| {
            let time = std::fs::metadata(path("a.yml")).and_then(|data| data.modified()).expect("a file");
            std::fs::write(path("a.yml"), content).expect("written");
            let file = std::fs::File::options().write(true).open(path("a.yml")).expect("a file");
            file.set_modified(time).expect("set");
        };
        replace_keeping_time("- targets: [a:9]  \n");
        assert!(files.changed(&metrics));
        assert_eq!(shown(&files.refresh(&metrics)), ["a:9", "j:1"]);
        replace_keeping_time("- targets: [a:8]  \n");
        assert!(files.changed(&metrics));
        assert_eq!(shown(&files.refresh(&metrics)), ["a:8", "j:1"]);
        assert!(!files.changed(&metrics));

        std::fs::create_dir(path("directory.yml")).expect("made");
        assert_eq!(metrics.watcher_errors.get(), 0.0);
        assert!(files.changed(&metrics));
        assert_eq!(metrics.watcher_errors.get(), 1.0);
        assert_eq!(shown(&files.refresh(&metrics)), ["a:8", "j:1"]);
        assert_eq!(metrics.read_errors.get(), 2.0);
        std::fs::remove_dir(path("directory.yml")).expect("removed");

        std::fs::write(path("a.yml"), "- targets: [a:3]\n").expect("written");
        std::fs::remove_file(path("one.json")).expect("removed");
        assert_eq!(shown(&files.refresh(&metrics)), ["a:3"]);
    }
}
