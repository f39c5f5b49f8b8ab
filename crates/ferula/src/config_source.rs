//! The source of the configuration: a file, or the built-in one if there is no file and none was named.

use std::path::{Path, PathBuf};

use ferula_config::{Config, ConfigError, Consequence, Unsupported};

use crate::flags::Flags;

/// The source of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    File(PathBuf),
    /// The built-in configuration.
    Embedded,
}

/// Why a configuration cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is valid but requires something that this build does not support.
    #[error("{0}")]
    Unsupported(String),
}

impl ConfigSource {
    /// The named file, or the default file if it exists; otherwise the built-in configuration. An agent has none built in:
    /// it would not know where to send.
    pub fn of(flags: &Flags) -> Self {
        if flags.config_file_given || flags.agent.is_some() || flags.config_file.exists() {
            ConfigSource::File(flags.config_file.clone())
        } else {
            ConfigSource::Embedded
        }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            ConfigSource::File(path) => Some(path),
            ConfigSource::Embedded => None,
        }
    }

    /// The name for log lines.
    pub fn name(&self) -> String {
        match self {
            ConfigSource::File(path) => path.display().to_string(),
            ConfigSource::Embedded => "(embedded)".to_owned(),
        }
    }

    /// Loads the file, for an agent or for a server, and checks those with scrape jobs that it names; `None` if there is
    /// none.
    pub fn load_file(&self, agent: bool) -> Result<Option<Config>, LoadError> {
        let config = self.load_main_file(agent)?;
        if let Some(config) = &config {
            config.scrape_jobs()?;
        }
        Ok(config)
    }

    fn load_main_file(&self, agent: bool) -> Result<Option<Config>, LoadError> {
        match self {
            ConfigSource::File(path) => {
                let config = Config::load(path)?;
                if agent {
                    config.check_agent_mode()?;
                }
                supported(config).map(Some)
            }
            ConfigSource::Embedded => Ok(None),
        }
    }

    /// Loads the file, or else the embedded configuration, which scrapes this server at `own_address` below
    /// `route_prefix`, and with `machine` also its page of the machine's metrics. Files with scrape jobs are read when they are
    /// applied: if one is invalid, only the scraper's part fails.
    pub fn load(
        &self,
        own_address: &str,
        route_prefix: &str,
        agent: bool,
        machine: bool,
    ) -> Result<Config, LoadError> {
        match self.load_main_file(agent)? {
            Some(config) => Ok(config),
            None => Ok(Config::parse(&embedded(own_address, route_prefix, machine))?),
        }
    }
}

/// Refuses what this build does not support, naming all of it.
fn supported(config: Config) -> Result<Config, LoadError> {
    let refused = |all: &[Unsupported]| -> Vec<String> {
        all.iter().filter(|one| one.consequence == Consequence::Refused).map(ToString::to_string).collect()
    };
    let mut unsupported = refused(config.unsupported());
    if let Ok(jobs) = config.scrape_jobs() {
        unsupported.extend(refused(&jobs.unsupported));
    }
    if unsupported.is_empty() { Ok(config) } else { Err(LoadError::Unsupported(unsupported.join("; "))) }
}

fn embedded(own_address: &str, route_prefix: &str, machine: bool) -> String {
    let path = format!("{}/metrics", route_prefix.trim_end_matches('/'));
    let mut text =
        "global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\nscrape_configs:\n".to_owned();
    let mut scrape = |job: &str, path: &str| {
        text.push_str(&format!(
            "- job_name: {job}\n  metrics_path: {path}\n  static_configs:\n  - targets: ['{own_address}']\n"
        ));
    };
    scrape("prometheus", &path);
    if machine {
        // The job that node_exporter has in everybody's configuration, so that rules and dashboards fit.
        scrape("node", &format!("{path}/machine"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_scrapes_this_server() {
        let config = ConfigSource::Embedded
            .load("localhost:9090", "/p", false, false)
            .expect("the configuration is valid");
        assert_eq!(config.scrape_configs.len(), 1);
        assert_eq!(config.scrape_configs[0].metrics_path, "/p/metrics");
        let config = ConfigSource::Embedded
            .load("localhost:9090", "/p", false, true)
            .expect("the configuration is valid");
        let paths: Vec<&str> = config.scrape_configs.iter().map(|job| job.metrics_path.as_str()).collect();
        assert_eq!(paths, ["/p/metrics", "/p/metrics/machine"]);
        assert_eq!(config.scrape_configs[0].scrape_interval.as_secs(), 15);
    }

    #[test]
    fn unsupported_sections_are_named_with_their_line() {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, "tracing:\n  endpoint: a\n").expect("written");
        let error = ConfigSource::File(file).load_file(false).expect_err("refused").to_string();
        assert_eq!(error, "not supported yet: tracing (line 1)");
    }
}
