//! Section `scrape_configs`: what to scrape, how often and within which limits.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::quote::go_quote;
use ferula_model::relabel::Rule;

use crate::discovery::DiscoveryConfigs;
use crate::error::Problem;
use crate::global::{GlobalConfig, ValidationScheme};
use crate::http_client::HttpClientConfig;
use crate::relabel::{RelabelConfig, check_rules, compiled, no_null_rules};
use crate::scalars::ByteSize;
use crate::scrape_protocols::{ScrapeProtocol, ScrapeProtocols};
use crate::section::section;
use crate::yaml::decode::Value;
use crate::yaml::emit::emit;

section! {
    /// One scrape job. After loading, whatever it inherits from `global` is filled in.
    pub struct ScrapeConfig as "*config.ScrapeConfig" read as "config.ScrapeConfig", checked {
        keep job_name: String;
        omit honor_labels: bool;
        keep honor_timestamps: bool = true;
        keep track_timestamps_staleness: bool;
        omit params: BTreeMap<String, Vec<String>>;
        omit scrape_interval: Duration;
        omit scrape_timeout: Duration;
        omit scrape_protocols: ScrapeProtocols;
        omit fallback_scrape_protocol: ScrapeProtocol;
        omit scrape_native_histograms: Option<bool>;
        omit always_scrape_classic_histograms: Option<bool>;
        omit convert_classic_histograms_to_nhcb: Option<bool>;
        path scrape_failure_log_file: String;
        omit metrics_path: String = "/metrics".into();
        omit scheme: String = "http".into();
        keep enable_compression: bool = true;
        /// 0: no limit.
        omit body_size_limit: ByteSize;
        omit sample_limit: u64;
        omit target_limit: u64;
        omit label_limit: u64;
        omit label_name_length_limit: u64;
        omit label_value_length_limit: u64;
        omit native_histogram_bucket_limit: u64;
        omit native_histogram_min_bucket_factor: f64;
        omit keep_dropped_targets: u64;
        omit metric_name_validation_scheme: ValidationScheme;
        omit metric_name_escaping_scheme: String;
        omit extra_scrape_metrics: Option<bool>;
        inline http: HttpClientConfig;
        omit relabel_configs: Vec<RelabelConfig>;
        omit metric_relabel_configs: Vec<RelabelConfig>;
        inline discovery: DiscoveryConfigs;
    }
}

section! {
    /// A file that `scrape_config_files` names.
    pub(crate) struct ScrapeConfigFile as "config.ScrapeConfigs" {
        omit scrape_configs: Vec<ScrapeConfig>;
    }
}

const ESCAPING_SCHEMES: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// The escaping that applies if none is given.
fn default_escaping(names: &ValidationScheme) -> &'static str {
    if names.is_legacy() { "underscores" } else { "allow-utf-8" }
}

impl ScrapeConfig {
    /// Whether native histograms are scraped.
    pub fn native_histograms(&self) -> bool {
        self.scrape_native_histograms.unwrap_or(false)
    }

    /// Rules for the labels of targets.
    pub fn target_rules(&self) -> Vec<Rule> {
        compiled(&self.relabel_configs, &self.metric_name_validation_scheme)
    }

    /// Rules for the labels of scraped samples.
    pub fn metric_rules(&self) -> Vec<Rule> {
        compiled(&self.metric_relabel_configs, &self.metric_name_validation_scheme)
    }

    /// The job with everything filled in and secrets hidden, as `/api/v1/scrape_pools/config` shows it.
    pub fn to_yaml(&self) -> String {
        emit(&self.print())
    }

    /// The check of the section alone, before `global` is known.
    fn check(&mut self) -> Result<(), Problem> {
        if self.job_name.is_empty() {
            return Err(Problem::new("job_name is empty").at("job_name"));
        }
        self.http.check()?;
        self.discovery.check(!self.relabel_configs.is_empty())?;
        no_null_rules(
            &self.relabel_configs,
            "relabel_configs",
            "empty or null target relabeling rule in scrape config",
        )?;
        no_null_rules(
            &self.metric_relabel_configs,
            "metric_relabel_configs",
            "empty or null metric relabeling rule in scrape config",
        )
    }

    /// Fills in what the job inherits from `global`, and checks the result.
    pub(crate) fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        if self.is_zero() {
            return Err("empty or null scrape config section".into());
        }
        let job = go_quote(&self.job_name);
        if self.scrape_interval.is_zero() {
            self.scrape_interval = global.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            let text =
                format!("scrape timeout greater than scrape interval for scrape config with job name {job}");
            return Err(Problem::new(text).at("scrape_timeout"));
        }
        if self.scrape_timeout.is_zero() {
            self.scrape_timeout = global.scrape_timeout.min(self.scrape_interval);
        }
        self.inherit_limits(global);
        self.scrape_native_histograms = self.scrape_native_histograms.or(global.scrape_native_histograms);
        self.extra_scrape_metrics = self.extra_scrape_metrics.or(global.extra_scrape_metrics);
        if !self.scrape_protocols.is_given() {
            self.scrape_protocols = if global.scrape_protocols.is_given() {
                global.scrape_protocols.clone()
            } else {
                ScrapeProtocol::defaults(self.native_histograms())
            };
        }
        self.scrape_protocols.check().map_err(|text| {
            Problem::new(format!("{text} for scrape config with job name {job}")).at("scrape_protocols")
        })?;
        if !self.fallback_scrape_protocol.is_zero() {
            self.fallback_scrape_protocol.check().map_err(|text| {
                let text =
                    format!("invalid fallback_scrape_protocol for scrape config with job name {job}: {text}");
                Problem::new(text).at("fallback_scrape_protocol")
            })?;
        }
        self.inherit_names(global)?;
        self.convert_classic_histograms_to_nhcb.get_or_insert(global.convert_classic_histograms_to_nhcb);
        self.always_scrape_classic_histograms.get_or_insert(global.always_scrape_classic_histograms);
        let names = &self.metric_name_validation_scheme;
        check_rules(&self.relabel_configs, "relabel_configs", names)?;
        check_rules(&self.metric_relabel_configs, "metric_relabel_configs", names)
    }

    /// A limit of 0 becomes the global one, so a job cannot turn a global limit off.
    fn inherit_limits(&mut self, global: &GlobalConfig) {
        if self.body_size_limit.is_zero() {
            self.body_size_limit = global.body_size_limit;
        }
        for (own, inherited) in [
            (&mut self.sample_limit, global.sample_limit),
            (&mut self.target_limit, global.target_limit),
            (&mut self.label_limit, global.label_limit),
            (&mut self.label_name_length_limit, global.label_name_length_limit),
            (&mut self.label_value_length_limit, global.label_value_length_limit),
            (&mut self.keep_dropped_targets, global.keep_dropped_targets),
        ] {
            if *own == 0 {
                *own = inherited;
            }
        }
        if self.scrape_failure_log_file.is_empty() {
            self.scrape_failure_log_file.clone_from(&global.scrape_failure_log_file);
        }
    }

    /// Which names are allowed, and how other names are escaped.
    fn inherit_names(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        let inherited = self.metric_name_validation_scheme.is_unset();
        if inherited {
            self.metric_name_validation_scheme = global.metric_name_validation_scheme.clone();
        }
        let known = |scheme: &str| ESCAPING_SCHEMES.contains(&scheme);
        let unknown = |whose: &str, scheme: &str| {
            format!(
                "unknown {whose} name escaping method specified, must be one of 'allow-utf-8', 'underscores', \
                 'dots', or 'values', got {}",
                go_quote(scheme)
            )
        };
        let global_escaping = match global.metric_name_escaping_scheme.as_str() {
            "" => default_escaping(&global.metric_name_validation_scheme),
            scheme if known(scheme) => scheme,
            scheme => return Err(unknown("global", scheme).into()),
        };
        if self.metric_name_escaping_scheme.is_empty() {
            let own = default_escaping(&self.metric_name_validation_scheme);
            self.metric_name_escaping_scheme = if inherited { global_escaping } else { own }.to_owned();
        }
        let scheme = self.metric_name_escaping_scheme.as_str();
        if scheme == "allow-utf-8" && self.metric_name_validation_scheme.is_legacy() {
            return Err("utf8 metric names requested but validation scheme is not set to UTF8".into());
        }
        if !known(scheme) {
            return Err(Problem::new(unknown("scrape config", scheme)).at("metric_name_escaping_scheme"));
        }
        Ok(())
    }
}
