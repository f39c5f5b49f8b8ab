//! Section `global`, and the process options of section `runtime`.

use std::time::Duration;

use ferula_go::quote::go_quote;
use ferula_model::labels::NameScheme;

use crate::error::Problem;
use crate::scalars::{ByteSize, ExternalLabels, choice, secs};
use crate::scrape_protocols::ScrapeProtocols;
use crate::section::section;

section! {
    /// Defaults of all scrape jobs and rule groups, and options of the whole server.
    pub struct GlobalConfig as "config.GlobalConfig" read as "config.plain", checked {
        omit scrape_interval: Duration;
        omit scrape_timeout: Duration;
        /// Not given: each job chooses, depending on whether it scrapes native histograms.
        omit scrape_protocols: ScrapeProtocols;
        omit evaluation_interval: Duration;
        omit rule_query_offset: Duration;
        path query_log_file: String;
        path scrape_failure_log_file: String;
        omit external_labels: ExternalLabels;
        omit body_size_limit: ByteSize;
        omit sample_limit: u64;
        omit target_limit: u64;
        omit label_limit: u64;
        omit label_name_length_limit: u64;
        omit label_value_length_limit: u64;
        omit keep_dropped_targets: u64;
        omit metric_name_validation_scheme: ValidationScheme;
        omit metric_name_escaping_scheme: String;
        omit scrape_native_histograms: Option<bool>;
        omit convert_classic_histograms_to_nhcb: bool;
        omit always_scrape_classic_histograms: bool;
        omit extra_scrape_metrics: Option<bool>;
    }
}

choice! {
    /// Which characters names may have: `utf8`, `legacy`, or "" if it was not given.
    ValidationScheme as "model.ValidationScheme", ["", "legacy", "utf8"],
    |other: &str| format!("unrecognized ValidationScheme: {}", go_quote(other))
}

impl ValidationScheme {
    /// Any non-empty UTF-8.
    pub fn utf8() -> Self {
        ValidationScheme::new("utf8")
    }

    /// Whether only `[a-zA-Z0-9_:]` is allowed.
    pub fn is_legacy(&self) -> bool {
        self.as_str() == "legacy"
    }

    /// Whether it was not given.
    pub fn is_unset(&self) -> bool {
        self.as_str().is_empty()
    }

    /// The scheme in effect.
    pub fn scheme(&self) -> NameScheme {
        if self.is_legacy() { NameScheme::Legacy } else { NameScheme::Utf8 }
    }
}

impl GlobalConfig {
    /// The section when the file has none, or an empty one.
    pub(crate) fn when_absent() -> Self {
        GlobalConfig {
            scrape_interval: secs(60),
            scrape_timeout: secs(10),
            evaluation_interval: secs(60),
            metric_name_validation_scheme: ValidationScheme::utf8(),
            metric_name_escaping_scheme: "allow-utf-8".into(),
            scrape_native_histograms: Some(false),
            extra_scrape_metrics: Some(false),
            ..GlobalConfig::default()
        }
    }

    fn check(&mut self) -> Result<(), Problem> {
        let absent = Self::when_absent();
        if self.metric_name_validation_scheme.is_unset() {
            self.metric_name_validation_scheme = absent.metric_name_validation_scheme;
        }
        for name in self.external_labels.0.keys() {
            if !self.metric_name_validation_scheme.scheme().is_label_name(name) {
                let text = format!("{} is not a valid label name", go_quote(name));
                return Err(Problem::new(text).at(name).at("external_labels"));
            }
        }
        if self.scrape_interval.is_zero() {
            self.scrape_interval = absent.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err(
                Problem::new("global scrape timeout greater than scrape interval").at("scrape_timeout")
            );
        }
        if self.scrape_timeout.is_zero() {
            self.scrape_timeout = absent.scrape_timeout.min(self.scrape_interval);
        }
        if self.evaluation_interval.is_zero() {
            self.evaluation_interval = absent.evaluation_interval;
        }
        self.scrape_native_histograms = self.scrape_native_histograms.or(absent.scrape_native_histograms);
        self.extra_scrape_metrics = self.extra_scrape_metrics.or(absent.extra_scrape_metrics);
        if self.scrape_protocols.is_given() {
            self.scrape_protocols
                .check()
                .map_err(|text| Problem::new(format!("{text} for global config")).at("scrape_protocols"))?;
        }
        Ok(())
    }
}

section! {
    /// Options of Prometheus' own process. They are read and shown, but ferula has no garbage collector to tune.
    pub struct RuntimeConfig as "config.RuntimeConfig" {
        omit gogc: i64;
    }
}

impl RuntimeConfig {
    /// The section when the file has none, or an empty one.
    pub(crate) fn when_absent() -> Self {
        let from_environment =
            std::env::var("GOGC").ok().and_then(|text| match text.to_ascii_lowercase().as_str() {
                "off" => Some(-1),
                text => text.parse().ok(),
            });
        RuntimeConfig { gogc: from_environment.unwrap_or(75) }
    }
}
