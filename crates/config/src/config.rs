//! The whole configuration file: loading, what holds across sections, and the printed form.

use std::collections::BTreeMap;
use std::path::Path;

use ferula_go::quote::go_quote;

use crate::error::{ConfigError, Naming, Problem};
use crate::files::{directory_of, read_file};
use crate::glob::{check_pattern, glob};
use crate::scrape::{ScrapeConfig, ScrapeConfigFile};
use crate::sections::Sections;
use crate::storage::{ExemplarsConfig, RetentionConfig};
use crate::support::{Unsupported, unsupported_in_config, unsupported_in_jobs};
use crate::yaml::decode::{Value, decode_document};
use crate::yaml::emit::emit;

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
