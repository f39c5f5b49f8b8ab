//! The sections of the configuration file, and the checks that need more than one of them.

use ferula_go::quote::go_quote;

use crate::alerting::AlertingConfig;
use crate::error::Problem;
use crate::glob::{check_pattern, is_simple_pattern};
use crate::global::{GlobalConfig, RuntimeConfig};
use crate::http_client::FileNames;
use crate::remote::{RemoteReadConfig, RemoteWriteConfig};
use crate::scrape::ScrapeConfig;
use crate::section::section;
use crate::storage::StorageConfig;
use crate::tracing::{OtlpConfig, TracingConfig};
use crate::yaml::decode::Value;

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
            // Prometheus notices this when it looks for the files, and then does not start either.
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
    pub(crate) fn expand_external_labels(&mut self) {
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
                // Without a closing brace, the opening one is dropped.
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
            // A dollar before anything else is kept.
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
