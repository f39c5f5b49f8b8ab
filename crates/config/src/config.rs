//! The whole configuration file: loading, what holds across sections, and the printed form.

use std::collections::BTreeMap;
use std::path::Path;

use ferula_go::quote::go_quote;

use crate::alerting::AlertingConfig;
use crate::error::{ConfigError, Naming, Problem};
use crate::glob::{check_pattern, glob, is_simple_pattern};
use crate::global::{GlobalConfig, RuntimeConfig};
use crate::http_client::FileNames;
use crate::remote::{RemoteReadConfig, RemoteWriteConfig};
use crate::scrape::{ScrapeConfig, ScrapeConfigFile};
use crate::section::section;
use crate::storage::{ExemplarsConfig, RetentionConfig, StorageConfig};
use crate::support::{Unsupported, unsupported_in_config, unsupported_in_jobs};
use crate::tracing::{OtlpConfig, TracingConfig};
use crate::yaml::decode::{Value, decode_document};
use crate::yaml::emit::emit;

section! {
    /// Every section of the file.
    pub struct Sections as "config.Config" read as "config.plain", checked {
        keep global: GlobalConfig = GlobalConfig::when_absent();
        omit runtime: RuntimeConfig = RuntimeConfig::when_absent();
        omit alerting: AlertingConfig;
        omit rule_files: FileNames;
        omit scrape_config_files: FileNames;
        omit scrape_configs: Vec<ScrapeConfig>;
        omit storage: StorageConfig;
        omit tracing: TracingConfig;
        omit remote_write: Vec<RemoteWriteConfig>;
        omit remote_read: Vec<RemoteReadConfig>;
        omit otlp: OtlpConfig;
    }
}

/// A configuration that was read, checked and filled in. Its sections are fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    sections: Sections,
    unsupported: Vec<Unsupported>,
}

impl std::ops::Deref for Config {
    type Target = Sections;

    fn deref(&self) -> &Sections {
        &self.sections
    }
}

/// The scrape jobs of the file and of the files it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScrapeJobs {
    /// The jobs of the main file, then those of the other files in the order of their names.
    pub jobs: Vec<ScrapeConfig>,
    /// What the other files ask for that this build cannot do.
    pub unsupported: Vec<Unsupported>,
}

impl Config {
    /// Reads and checks a configuration. Relative file names stay relative.
    ///
    /// # Errors
    /// Prometheus' text for what is wrong, with line and key.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let mut sections = Sections::default();
        let tree = decode_document(text.as_bytes(), &mut sections)?;
        sections.storage.tsdb.get_or_insert_default();
        sections.expand_external_labels();
        let legacy_names = sections.global.metric_name_validation_scheme.is_legacy();
        let located = |problem: Problem| match &tree {
            Some(tree) => ConfigError::of_problem(&problem, tree),
            None => ConfigError::bare(problem.text),
        };
        sections.otlp.check_strategy(legacy_names).map_err(located)?;
        let unsupported =
            tree.as_ref().map(|tree| unsupported_in_config(&sections, tree)).unwrap_or_default();
        Ok(Config { sections, unsupported })
    }

    /// Reads a file. Relative file names in it become relative to its directory.
    ///
    /// # Errors
    /// As [`Config::parse`], naming the file; or the operating system's reason why it cannot be read.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let text = read_file(file)?;
        let mut config = Config::parse(&text).map_err(|error| error.in_file(file, Naming::ParsingFile))?;
        config.sections.join_directory(&directory_of(file));
        Ok(config)
    }

    /// Fills in what the file leaves to the flags: how long samples are kept, and how many exemplars.
    pub fn fill_storage(&mut self, retention: RetentionConfig, exemplars: Option<ExemplarsConfig>) {
        let storage = &mut self.sections.storage;
        storage.tsdb.get_or_insert_default().retention.get_or_insert(retention);
        storage.exemplars = storage.exemplars.take().or(exemplars);
    }

    /// What the file asks for that this build cannot do. Callers report it instead of ignoring it.
    pub fn unsupported(&self) -> &[Unsupported] {
        &self.unsupported
    }

    /// The jobs of the file together with those of `scrape_config_files`, which are read now.
    ///
    /// # Errors
    /// A file that cannot be read or is wrong, or a job name that appears twice.
    pub fn scrape_jobs(&self) -> Result<ScrapeJobs, ConfigError> {
        let mut all = ScrapeJobs { jobs: self.scrape_configs.clone(), unsupported: Vec::new() };
        let mut first_seen: BTreeMap<String, String> =
            all.jobs.iter().map(|job| (job.job_name.clone(), "main config file".to_owned())).collect();
        for pattern in &self.scrape_config_files.0 {
            check_pattern(pattern).map_err(|error| {
                let pattern = go_quote(pattern);
                ConfigError::bare(format!("error retrieving scrape config files for {pattern}: {error}"))
            })?;
        }
        for file in self.scrape_config_files.0.iter().flat_map(|pattern| glob(pattern)) {
            let path = std::path::absolute(&file).unwrap_or_else(|_| file.clone().into());
            let in_file = |error: ConfigError| error.in_file(&path, Naming::Quoted);
            let text = read_file(Path::new(&file)).map_err(in_file)?;
            let mut section = ScrapeConfigFile::default();
            let Some(tree) = decode_document(text.as_bytes(), &mut section).map_err(in_file)? else {
                continue;
            };
            for (index, job) in section.scrape_configs.iter_mut().enumerate() {
                let located = |problem: Problem| {
                    in_file(ConfigError::of_problem(&problem.at_item("scrape_configs", index), &tree))
                };
                job.inherit(&self.global).map_err(located)?;
                if let Some(first) = first_seen.get(&job.job_name) {
                    let text = format!(
                        "found multiple scrape configs with job name {}, first found in {first}",
                        go_quote(&job.job_name)
                    );
                    return Err(located(Problem::new(text).at("job_name")));
                }
                first_seen.insert(job.job_name.clone(), go_quote(&path.to_string_lossy()));
                job.join_directory(&directory_of(Path::new(&file)));
            }
            all.unsupported.extend(unsupported_in_jobs(&section.scrape_configs, &tree, Some(&file)));
            all.jobs.append(&mut section.scrape_configs);
        }
        Ok(all)
    }

    /// The rule files that `rule_files` names at this moment, in order.
    pub fn rule_file_names(&self) -> Vec<String> {
        self.rule_files.0.iter().flat_map(|pattern| glob(pattern)).collect()
    }

    /// The configuration with all defaults filled in and secrets hidden, as `/api/v1/status/config` shows it.
    pub fn to_yaml(&self) -> String {
        emit(&self.sections.print())
    }

    /// Refuses what agent mode forbids.
    ///
    /// # Errors
    /// The first forbidden section.
    pub fn check_agent_mode(&self) -> Result<(), ConfigError> {
        let alerting =
            !self.alerting.alertmanagers.is_empty() || !self.alerting.alert_relabel_configs.is_empty();
        for (given, field) in [
            (alerting, "alerting"),
            (!self.rule_files.0.is_empty(), "rule_files"),
            (!self.remote_read.is_empty(), "remote_read"),
        ] {
            if given {
                return Err(ConfigError::bare(format!("field {field} is not allowed in agent mode")));
            }
        }
        Ok(())
    }
}

/// Go's `filepath.Dir`.
pub(crate) fn directory_of(file: &Path) -> String {
    match file.parent().map(|dir| dir.to_string_lossy().into_owned()) {
        Some(dir) if !dir.is_empty() => dir,
        _ => ".".to_owned(),
    }
}

pub(crate) fn read_file(file: &Path) -> Result<String, ConfigError> {
    let failed = |reason: &str| ConfigError::bare(format!("open {}: {reason}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("no such file or directory"),
        std::io::ErrorKind::PermissionDenied => failed("permission denied"),
        std::io::ErrorKind::IsADirectory => {
            ConfigError::bare(format!("read {}: is a directory", file.display()))
        }
        _ => failed(&error.to_string()),
    })?;
    String::from_utf8(bytes).map_err(|_| {
        ConfigError::bare("yaml: invalid leading UTF-8 octet").in_file(file, Naming::ParsingFile)
    })
}

impl Sections {
    fn check(&mut self) -> Result<(), Problem> {
        if self.global.is_zero() {
            self.global = GlobalConfig::when_absent();
        }
        if self.runtime.is_zero() {
            self.runtime = RuntimeConfig::when_absent();
        }
        for (key, what, files) in [
            ("rule_files", "rule", &self.rule_files),
            ("scrape_config_files", "scrape config", &self.scrape_config_files),
        ] {
            if let Some(index) = files.0.iter().position(|pattern| !is_simple_pattern(pattern)) {
                let text = format!("invalid {what} file path {}", go_quote(&files.0[index]));
                return Err(Problem::new(text).at_item(key, index));
            }
        }
        for (index, pattern) in self.rule_files.0.iter().enumerate() {
            // Prometheus finds this out when it looks for the files, and does not start either.
            check_pattern(pattern).map_err(|error| {
                let text = format!("error retrieving rule files for {pattern}: {error}");
                Problem::new(text).at_item("rule_files", index)
            })?;
        }
        self.check_scrape_configs()?;
        let names = &self.global.metric_name_validation_scheme;
        self.alerting.check_names(names).map_err(|problem| problem.at("alerting"))?;
        self.check_remote()
    }

    fn check_scrape_configs(&mut self) -> Result<(), Problem> {
        for index in 0..self.scrape_configs.len() {
            let (earlier, rest) = self.scrape_configs.split_at_mut(index);
            let job = &mut rest[0];
            let located = |problem: Problem| problem.at_item("scrape_configs", index);
            job.inherit(&self.global).map_err(located)?;
            if earlier.iter().any(|other| other.job_name == job.job_name) {
                let text = format!("found multiple scrape configs with job name {}", go_quote(&job.job_name));
                return Err(located(Problem::new(text).at("job_name")));
            }
        }
        Ok(())
    }

    fn check_remote(&self) -> Result<(), Problem> {
        for (index, target) in self.remote_write.iter().enumerate() {
            if target.is_zero() {
                return Err(
                    Problem::new("empty or null remote write config section").at_item("remote_write", index)
                );
            }
            let name = &target.name;
            if !name.is_empty() && self.remote_write[..index].iter().any(|earlier| earlier.name == *name) {
                let text = format!("found multiple remote write configs with job name {}", go_quote(name));
                return Err(Problem::new(text).at("name").at_item("remote_write", index));
            }
            target
                .check_names(&self.global.metric_name_validation_scheme)
                .map_err(|problem| problem.at_item("remote_write", index))?;
        }
        for (index, source) in self.remote_read.iter().enumerate() {
            if source.is_zero() {
                return Err(
                    Problem::new("empty or null remote read config section").at_item("remote_read", index)
                );
            }
            let name = &source.name;
            if !name.is_empty() && self.remote_read[..index].iter().any(|earlier| earlier.name == *name) {
                let text = format!("found multiple remote read configs with job name {}", go_quote(name));
                return Err(Problem::new(text).at("name").at_item("remote_read", index));
            }
        }
        Ok(())
    }

    /// Puts environment variables into the values of external labels: `$X`, `${X}`, and `$$` for a dollar.
    fn expand_external_labels(&mut self) {
        for value in self.global.external_labels.0.values_mut() {
            *value = expand(value, &|name| std::env::var(name).unwrap_or_default());
        }
    }
}

/// Go's `os.Expand`, with `$$` as a dollar.
fn expand(text: &str, variable: &dyn Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let word = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        rest = match after.as_bytes().first() {
            None => {
                out.push('$');
                after
            }
            Some(b'$') => {
                out.push('$');
                &after[1..]
            }
            Some(b'{') => match after.find('}') {
                Some(end) => {
                    let name = &after[1..end];
                    out.push_str(&if name == "$" { "$".to_owned() } else { variable(name) });
                    &after[end + 1..]
                }
                // Without an end the brace is swallowed.
                None => &after[1..],
            },
            // One digit or special sign is a name of its own in the shell.
            Some(b'0'..=b'9' | b'*' | b'#' | b'@' | b'!' | b'?' | b'-') => {
                out.push_str(&variable(&after[..1]));
                &after[1..]
            }
            Some(_) if word > 0 => {
                out.push_str(&variable(&after[..word]));
                &after[word..]
            }
            // A dollar before anything else stays.
            Some(_) => {
                out.push('$');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_go() {
        let variable = |name: &str| format!("<{name}>");
        for (text, expanded) in [
            ("foo$X", "foo<X>"),
            ("${X}bar", "<X>bar"),
            ("$$", "$"),
            ("a$1b", "a<1>b"),
            ("x$", "x$"),
            ("$ y", "$ y"),
            ("${X", "X"),
            ("$X_1-$Y", "<X_1>-<Y>"),
        ] {
            assert_eq!(expand(text, &variable), expanded, "{text}");
        }
    }
}
