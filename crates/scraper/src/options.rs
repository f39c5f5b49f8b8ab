//! A job's section of the configuration, in the form that loops use.

use std::sync::Arc;
use std::time::Duration;

use ferula_config::scrape::ScrapeConfig;
use ferula_config::scrape_protocols::ScrapeProtocol;
use ferula_exposition::Format;
pub use ferula_exposition::PageOptions;
use ferula_model::histogram::{EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN};

use crate::failure_log::FailureLog;
use crate::labels::{LabelLimits, LabelOptions};

/// Protocols with their `Accept` header, and whether it includes the escaping of names.
const OFFERS: [(&str, &str, bool); 5] = [
    (
        "PrometheusProto",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        false,
    ),
    ("OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0", true),
    ("OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1", false),
    ("PrometheusText1.0.0", "text/plain;version=1.0.0", true),
    ("PrometheusText0.0.4", "text/plain;version=0.0.4", false),
];
/// What the server's feature flags enable for scraping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The store keeps exemplars; otherwise they are not even decoded.
    pub exemplars: bool,
    /// Stated types and units become labels (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Start timestamps are read, so `_created` lines of OpenMetrics are not samples (`st-storage`,
    /// `created-timestamp-zero-ingestion`).
    pub start_timestamps: bool,
    /// The store keeps metadata per series (`metadata-wal-records`).
    pub metadata: bool,
    /// The first scrape happens at once: a server that scrapes only itself has data immediately.
    pub first_scrape_now: bool,
    /// How late a scrape may begin and still get the time at which it was due; `None` for 2 ms, zero for not at all.
    pub timestamp_tolerance_max: Option<Duration>,
    /// zstd is offered beside gzip (`--scrape.ferula.zstd`).
    pub zstd: bool,
    /// The longest time between a discovered change and its targets; `None` for 5 s.
    pub discovery_delay_max: Option<Duration>,
}

/// Options shared by all loops of a job.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// How labels are changed.
    pub labels: LabelOptions,
    /// Timestamps on the page are used.
    pub honor_timestamps: bool,
    /// Series with their own timestamps also end with a staleness marker.
    pub track_timestamps_staleness: bool,
    /// The limit on samples of a page after relabelling; 0 for none.
    pub sample_limit: u64,
    /// The limit on buckets of a native histogram; 0 for none.
    pub bucket_limit: u64,
    /// Native histograms with a finer schema are reduced to this one.
    pub schema_max: i32,
    /// Adds three more report series.
    pub extra_metrics: bool,
    /// The format of pages without a usable content type.
    pub fallback: Option<Format>,
    /// What the feature flags enable.
    pub features: Features,
    /// Pages of this size or more are refused; 0 for no limit of the job.
    pub body_bytes_limit: u64,
    /// The `Accept` header.
    pub accept: String,
    /// Whether compressed pages are requested.
    pub compression: bool,
    /// The job's name.
    pub job_name: String,
    /// The log of failed scrapes.
    pub failure_log: Option<Arc<FailureLog>>,
}

impl JobOptions {
    /// The options of a job.
    pub fn of(config: &ScrapeConfig, features: Features) -> Self {
        JobOptions {
            labels: LabelOptions {
                honor_labels: config.honor_labels,
                rules: config.metric_rules(),
                type_and_unit: features.type_and_unit_labels,
                scheme: config.metric_name_validation_scheme.scheme(),
                limits: LabelLimits {
                    labels: config.label_limit,
                    name_bytes: config.label_name_length_limit,
                    value_bytes: config.label_value_length_limit,
                },
            },
            honor_timestamps: config.honor_timestamps,
            track_timestamps_staleness: config.track_timestamps_staleness,
            sample_limit: config.sample_limit,
            bucket_limit: config.native_histogram_bucket_limit,
            schema_max: schema_of_factor(config.native_histogram_min_bucket_factor),
            extra_metrics: config.extra_scrape_metrics.unwrap_or(false),
            fallback: format_of(&config.fallback_scrape_protocol),
            features,
            body_bytes_limit: u64::try_from(config.body_size_limit.0).unwrap_or(0),
            accept: accept_header(&protocols(config, features), &config.metric_name_escaping_scheme),
            compression: config.enable_compression,
            job_name: config.job_name.clone(),
            failure_log: None,
        }
    }
}

/// Whether series cached under `old` are valid under `new`: everything that affects labels is equal.
pub(crate) fn same_labels(old: &ScrapeConfig, new: &ScrapeConfig) -> bool {
    let mut bare = old.clone();
    bare.scrape_interval = new.scrape_interval;
    bare.scrape_timeout = new.scrape_timeout;
    bare.sample_limit = new.sample_limit;
    bare.http = new.http.clone();
    bare == *new
}

/// The finest schema whose growth factor is at least `factor`.
fn schema_of_factor(factor: f64) -> i32 {
    if factor <= 1.0 {
        return EXPONENTIAL_SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    schema.clamp(f64::from(EXPONENTIAL_SCHEMA_MIN), f64::from(EXPONENTIAL_SCHEMA_MAX)) as i32
}

fn format_of(protocol: &ScrapeProtocol) -> Option<Format> {
    match protocol.as_str() {
        name if name.starts_with("PrometheusText") => Some(Format::Text),
        name if name.starts_with("OpenMetricsText") => Some(Format::OpenMetrics),
        "PrometheusProto" => Some(Format::Protobuf),
        _ => None,
    }
}

/// The job's protocols in order. Protobuf is the best source of start timestamps, so it then precedes the
/// default ones; a list equal to the default counts as not set.
fn protocols(config: &ScrapeConfig, features: Features) -> Vec<&str> {
    let mut names: Vec<&str> = config.scrape_protocols.iter().map(ScrapeProtocol::as_str).collect();
    let (proto, usual) = (OFFERS[0].0, OFFERS[1..].iter().map(|(name, ..)| *name));
    if features.start_timestamps && names.iter().copied().eq(usual) {
        names.insert(0, proto);
    }
    names
}

/// The `Accept` header: the protocols in the job's order, with Prometheus' weights.
fn accept_header(protocols: &[&str], escaping: &str) -> String {
    let mut offers = Vec::new();
    // Weights count down from one more than the number of protocols.
    let mut weight = OFFERS.len() + 1;
    for protocol in protocols {
        let offer = OFFERS.iter().find(|(name, ..)| name == protocol);
        if let Some((_, media_type, escapes)) = offer {
            let escaping = if *escapes { format!(";escaping={escaping}") } else { String::new() };
            offers.push(format!("{media_type}{escaping};q=0.{weight}"));
        }
        weight = weight.saturating_sub(1);
    }
    offers.push(format!("*/*;q=0.{weight}"));
    offers.join(",")
}

/// A duration as Go prints it: `1m30s`, `500ms`.
pub(crate) fn go_duration(duration: Duration) -> String {
    ferula_go::duration::format(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use ferula_config::Config;

    use super::*;

    fn job(yaml: &str) -> ScrapeConfig {
        let config =
            Config::parse(&format!("scrape_configs:\n- job_name: j\n{yaml}")).expect("a good configuration");
        config.scrape_configs[0].clone()
    }

    #[test]
    fn a_bucket_factor_chooses_the_schema() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (1.001, 8),
            (1.0027, 8),
            (1.00272, 7),
            (1.1, 2),
            (1.2, 1),
            (2.0, 0),
            (3.0, -1),
            (65536.0, -4),
            (1e9, -4),
        ] {
            assert_eq!(schema_of_factor(factor), schema, "{factor}");
        }
    }

    #[test]
    fn protocols_are_offered_in_the_configured_order() {
        assert_eq!(
            JobOptions::of(&job(""), Features::default()).accept,
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        let proto = job("  scrape_protocols: [PrometheusProto, PrometheusText0.0.4]\n");
        assert_eq!(
            JobOptions::of(&proto, Features::default()).accept,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.4"
        );
        let starts = Features { start_timestamps: true, ..Features::default() };
        assert!(JobOptions::of(&job(""), starts).accept.starts_with("application/vnd.google.protobuf;"));
        assert!(
            JobOptions::of(&job("  scrape_protocols: [PrometheusText0.0.4]\n"), starts)
                .accept
                .starts_with("text/")
        );
        let native = job("  scrape_native_histograms: true\n  metric_name_escaping_scheme: dots\n");
        assert_eq!(
            JobOptions::of(&native, Features::default()).accept,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=dots;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=dots;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
    }

    #[test]
    fn caches_survive_changes_that_do_not_affect_labels() {
        let plain = job("");
        assert!(same_labels(
            &plain,
            &job("  scrape_interval: 7s\n  scrape_timeout: 3s\n  sample_limit: 5\n")
        ));
        assert!(same_labels(&plain, &job("  basic_auth: {username: u}\n")));
        assert!(!same_labels(&plain, &job("  honor_labels: true\n")));
        assert!(!same_labels(&plain, &job("  metric_relabel_configs: [{action: labeldrop, regex: a}]\n")));
    }
}
