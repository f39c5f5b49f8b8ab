//! A scrape target: its labels, its URL, and the result of its last scrape.
//!
//! Labels whose name begins with `__` are for the scraper; the others are added to every series of the target.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::scrape::ScrapeConfig;
use ferula_discovery::TargetGroup;
use ferula_go::number::parse_bool;
use ferula_go::quote::go_quote;
use ferula_go::sync::MutexExt;
use ferula_go::url::{Url, encode_query};
use ferula_model::duration::{format_millis, parse_millis};
use ferula_model::labels::prometheus_hash;
use ferula_model::relabel::{self, Rule};
use ferula_model::{LabelSet, LabelSetBuilder};

use crate::metadata_cache::MetadataCache;
use crate::options::{Features, PageOptions};

const ADDRESS: &str = "__address__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const HIDDEN_PREFIX: &str = "__";
const UNIX_SOCKET: &str = "__unix_socket__";
/// Labels that hold a boolean, with their name in errors.
const SWITCHES: [(&str, &str); 3] = [
    ("__convert_classic_histograms_to_nhcb__", "convert classic histograms to nhcb"),
    ("__always_scrape_classic_histograms__", "always scrape classic histograms"),
    ("__scrape_native_histograms__", "scrape native histograms"),
];

/// Why a discovered target cannot be scraped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It has no address after relabelling.
    #[error("no address")]
    NoAddress,
    /// The address is a URL or has a path.
    #[error("{} is not a valid hostname", go_quote(.0))]
    Address(String),
    /// A label for the scraper has an invalid value.
    #[error("{0}")]
    Label(String),
}

/// The health of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape succeeded.
    Up,
    /// The last scrape failed.
    Down,
}

impl Health {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// The result of a target's last scrape.
#[derive(Clone, Debug, Default)]
pub struct LastScrape {
    pub health: Health,
    /// Why it failed or was not stored completely; empty otherwise.
    pub error: String,
    /// When it started, in nanoseconds since the epoch; `None` before the first scrape.
    pub at_unix_nanos: Option<i64>,
    /// How long it took.
    pub took: Duration,
}

/// How histograms on the pages of a target are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramOptions {
    /// Convert classic histograms to native ones with custom buckets.
    pub custom_buckets: bool,
    /// Keep classic histograms even if there is a native one.
    pub keep_classic: bool,
    /// Scrape native histograms.
    pub native: bool,
}

/// A target that is scraped.
#[derive(Debug)]
pub struct Target {
    /// All labels after relabelling.
    pub labels: LabelSet,
    /// The labels that its series carry.
    pub public_labels: LabelSet,
    pub url: String,
    /// Identifies the target within its job and determines its offset within the interval.
    pub hash: u64,
    /// Time between scrapes.
    pub interval: Duration,
    /// Time a scrape may take.
    pub timeout: Duration,
    /// How histograms on its pages are handled.
    pub histograms: HistogramOptions,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    discovered_labels: LabelSet,
    last: LastScrape,
    metadata: Option<Arc<Mutex<MetadataCache>>>,
}

impl Target {
    /// Labels before relabelling, from the current configuration and discovery.
    pub fn discovered_labels(&self) -> LabelSet {
        self.lock().discovered_labels.clone()
    }

    /// The result of the last scrape.
    pub fn last_scrape(&self) -> LastScrape {
        self.lock().last.clone()
    }

    /// Metadata from its pages; `None` before a loop runs.
    pub fn metadata(&self) -> Option<Arc<Mutex<MetadataCache>>> {
        self.lock().metadata.clone()
    }

    /// What to read from its pages.
    pub(crate) fn page_options(&self, features: Features) -> PageOptions {
        PageOptions {
            native_histograms: self.histograms.native,
            keep_classic: self.histograms.keep_classic,
            custom_buckets: self.histograms.custom_buckets,
            start_timestamps: features.start_timestamps,
        }
    }

    /// The Unix socket to connect to instead of the address, if any.
    pub(crate) fn unix_socket(&self) -> Option<&str> {
        Some(self.labels.value(UNIX_SOCKET)).filter(|path| !path.is_empty())
    }

    pub(crate) fn report(&self, last: LastScrape) {
        self.lock().last = last;
    }

    /// Attaches the metadata of the target's pages.
    pub fn set_metadata(&self, metadata: Arc<Mutex<MetadataCache>>) {
        self.lock().metadata = Some(metadata);
    }

    pub(crate) fn set_discovered_labels(&self, labels: LabelSet) {
        self.lock().discovered_labels = labels;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Changing> {
        self.changing.locked()
    }
}

/// The result for one discovered target.
#[derive(Debug)]
pub enum TargetOutcome {
    /// It will be scraped.
    Scraped(Box<Target>),
    /// Relabelling dropped it.
    Dropped(DroppedTarget),
}

/// A discovered target that is not scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedTarget {
    /// Its labels before relabelling.
    pub discovered_labels: LabelSet,
    /// The index of the `relabel_configs` rule that dropped it, from 0; `None` if no label was left.
    pub rule: Option<usize>,
}

/// Creates the targets of a job.
#[derive(Debug)]
pub struct TargetMaker<'a> {
    config: &'a ScrapeConfig,
    rules: Vec<Rule>,
}

impl<'a> TargetMaker<'a> {
    /// For the targets of this job.
    pub fn new(config: &'a ScrapeConfig) -> Self {
        TargetMaker { config, rules: config.target_rules() }
    }

    /// Creates one target of a group.
    pub fn make(&self, target: &LabelSet, group: &TargetGroup) -> Result<TargetOutcome, TargetError> {
        let mut labels = self.discovered(target, &group.labels);
        let discovered_labels = labels.finish();
        let keeps = |rule: &Rule| relabel::process(std::slice::from_ref(rule), &mut labels);
        let rule = self.rules.iter().map(keeps).position(|kept| !kept);
        if rule.is_some() {
            return Ok(TargetOutcome::Dropped(DroppedTarget { discovered_labels, rule }));
        }
        let (interval, timeout) = check(&labels)?;
        let histograms = self.histogram_options(&labels);
        labels.retain(|name| !name.starts_with(META_PREFIX));
        if labels.value("instance").is_empty() {
            let address = labels.value(ADDRESS).to_owned();
            labels.set("instance", &address);
        }
        let labels = labels.finish();
        let public_labels = labels.retain(|name| !name.starts_with(HIDDEN_PREFIX));
        if public_labels.is_empty() {
            return Ok(TargetOutcome::Dropped(DroppedTarget { discovered_labels, rule: None }));
        }
        let url = self.url(&labels);
        let hash = target_hash(&labels, &url);
        let changing =
            Mutex::new(Changing { discovered_labels, last: LastScrape::default(), metadata: None });
        Ok(TargetOutcome::Scraped(Box::new(Target {
            labels,
            public_labels,
            url,
            hash,
            interval,
            timeout,
            histograms,
            changing,
        })))
    }

    /// From the labels, or from the job if relabelling removed them.
    fn histogram_options(&self, labels: &LabelSetBuilder) -> HistogramOptions {
        let switch = |at: usize| {
            let (name, _) = SWITCHES[at];
            parse_bool(labels.value(name)).unwrap_or(self.switches()[at])
        };
        HistogramOptions { custom_buckets: switch(0), keep_classic: switch(1), native: switch(2) }
    }

    /// The job's settings, in the order of [`SWITCHES`].
    fn switches(&self) -> [bool; 3] {
        let config = self.config;
        [
            config.convert_classic_histograms_to_nhcb,
            config.always_scrape_classic_histograms,
            config.scrape_native_histograms,
        ]
        .map(|switch| switch.unwrap_or(false))
    }

    /// Labels before relabelling.
    pub fn discovered_labels(&self, target: &LabelSet, group: &TargetGroup) -> LabelSet {
        self.discovered(target, &group.labels).finish()
    }

    /// Labels before relabelling: the target's, the group's, then the job's settings where nothing is set.
    fn discovered(&self, target: &LabelSet, group: &LabelSet) -> LabelSetBuilder {
        let config = self.config;
        let mut labels = target.to_builder();
        for (name, value) in group.iter().filter(|(name, _)| target.get(name).is_none()) {
            labels.set(name, value);
        }
        let millis = |time: Duration| format_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let mut defaults = vec![
            ("job".to_owned(), config.job_name.clone()),
            (INTERVAL.to_owned(), millis(config.scrape_interval)),
            (TIMEOUT.to_owned(), millis(config.scrape_timeout)),
            (PATH.to_owned(), config.metrics_path.clone()),
            (SCHEME.to_owned(), config.scheme.clone()),
        ];
        for ((name, _), value) in SWITCHES.iter().zip(self.switches()) {
            defaults.push(((*name).to_owned(), value.to_string()));
        }
        for (name, values) in &config.params {
            if let Some(first) = values.first() {
                defaults.push((format!("{PARAM_PREFIX}{name}"), first.clone()));
            }
        }
        for (name, value) in defaults {
            if labels.value(&name).is_empty() {
                labels.set(&name, &value);
            }
        }
        labels
    }

    /// The URL as Go prints it.
    fn url(&self, labels: &LabelSet) -> String {
        let mut params: std::collections::BTreeMap<&str, Vec<&str>> = self
            .config
            .params
            .iter()
            .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
            .collect();
        for (name, value) in labels.iter() {
            let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
            match params.entry(name).or_default().first_mut() {
                Some(first) => *first = value,
                None => params.insert(name, vec![value]).map_or((), drop),
            }
        }
        let host = match labels.value(ADDRESS) {
            // Only a target with a Unix socket gets here without an address.
            "" => "localhost",
            address => address,
        };
        let mut url = Url::default();
        url.set_scheme(labels.value(SCHEME));
        url.set_host(host);
        url.set_unescaped_path(labels.value(PATH));
        let pairs = params.iter().flat_map(|(name, values)| values.iter().map(|value| (*name, *value)));
        url.set_raw_query(&encode_query(pairs));
        url.to_string()
    }
}

/// Checks the labels that the scraper uses. Returns the interval and the timeout.
fn check(labels: &LabelSetBuilder) -> Result<(Duration, Duration), TargetError> {
    let address = labels.value(ADDRESS);
    if address.is_empty() && labels.value(UNIX_SOCKET).is_empty() {
        return Err(TargetError::NoAddress);
    }
    if address.contains('/') {
        return Err(TargetError::Address(address.to_owned()));
    }
    let duration = |name: &str, what: &str| {
        let millis = parse_millis(labels.value(name))
            .map_err(|error| TargetError::Label(format!("error parsing scrape {what}: {error}")))?;
        if millis == 0 {
            return Err(TargetError::Label(format!("scrape {what} cannot be 0")));
        }
        Ok(Duration::from_millis(millis.unsigned_abs()))
    };
    let interval = duration(INTERVAL, "interval")?;
    let timeout = duration(TIMEOUT, "timeout")?;
    if timeout > interval {
        let (timeout, interval) = (go_quote(labels.value(TIMEOUT)), go_quote(labels.value(INTERVAL)));
        return Err(TargetError::Label(format!(
            "scrape timeout cannot be greater than scrape interval ({timeout} > {interval})"
        )));
    }
    for (name, what) in SWITCHES {
        let value = labels.value(name);
        if !value.is_empty()
            && let Err(error) = parse_bool(value)
        {
            return Err(TargetError::Label(format!("error parsing {what}: {error}")));
        }
    }
    Ok((interval, timeout))
}

/// Prometheus' hash of a target, which also spreads the scrapes: both programs scrape a target at the same
/// phase by both programs.
fn target_hash(labels: &LabelSet, url: &str) -> u64 {
    let labels_hash = prometheus_hash(labels.iter());
    fnv64a(format!("{labels_hash:016}{url}").as_bytes())
}

/// The 64-bit FNV-1a hash.
pub(crate) fn fnv64a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
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

    fn group(labels: &[(&str, &str)]) -> TargetGroup {
        TargetGroup {
            source: "s".into(),
            targets: Vec::new(),
            labels: LabelSet::from_pairs(labels.iter().copied()),
        }
    }

    fn make(
        yaml: &str,
        target: &[(&str, &str)],
        labels: &[(&str, &str)],
    ) -> Result<TargetOutcome, TargetError> {
        TargetMaker::new(&job(yaml)).make(&LabelSet::from_pairs(target.iter().copied()), &group(labels))
    }

    fn target(yaml: &str, address: &str, labels: &[(&str, &str)]) -> Target {
        match make(yaml, &[("__address__", address)], labels) {
            Ok(TargetOutcome::Scraped(target)) => *target,
            other => panic!("not a target: {other:?}"),
        }
    }

    #[test]
    fn a_target_gets_the_jobs_settings_and_its_address_as_instance() {
        let target =
            target("  scrape_interval: 30s\n", "h:1", &[("env", "prod"), ("__meta_x", "y"), ("__tmp", "z")]);
        assert_eq!(target.public_labels.to_string(), r#"{env="prod", instance="h:1", job="j"}"#);
        assert_eq!(target.url, "http://h:1/metrics");
        assert_eq!((target.interval, target.timeout), (Duration::from_secs(30), Duration::from_secs(10)));
        assert_eq!(target.labels.value("__tmp"), "z");
        assert_eq!(target.labels.value("__meta_x"), "");
        assert_eq!(target.discovered_labels().value("__meta_x"), "y");
        assert_eq!(target.discovered_labels().value("__scrape_native_histograms__"), "false");
    }

    #[test]
    fn target_labels_override_group_labels_and_both_override_settings() {
        let made = make(
            "",
            &[("__address__", "h:1"), ("a", "target"), ("__scheme__", "https")],
            &[("a", "group"), ("job", "group-job")],
        );
        let Ok(TargetOutcome::Scraped(target)) = made else { panic!("{made:?}") };
        assert_eq!(target.public_labels.to_string(), r#"{a="target", instance="h:1", job="group-job"}"#);
        assert_eq!(target.url, "https://h:1/metrics");
    }

    #[test]
    fn urls_are_printed_as_in_go() {
        let url = |yaml: &str| target(yaml, "h:1", &[]).url;
        assert_eq!(
            url("  metrics_path: /a b?c\n  params: {z: ['1', '2 3'], a: ['ä&']}\n"),
            "http://h:1/a%20b%3Fc?a=%C3%A4%26&z=1&z=2+3"
        );
        assert_eq!(url("  metrics_path: probe\n"), "http://h:1/probe");
        let relabelled = "  params: {m: [old, second]}\n  relabel_configs: [{target_label: __param_m, replacement: new}, {target_label: __param_t, replacement: x}]\n";
        assert_eq!(url(relabelled), "http://h:1/metrics?m=new&m=second&t=x");
    }

    #[test]
    fn invalid_targets_report_a_reason() {
        for (labels, expected) in [
            (&[("__address__", "")][..], "no address"),
            (&[("__address__", "http://h")], "\"http://h\" is not a valid hostname"),
            (
                &[("__address__", "h"), ("__scrape_interval__", "x")],
                "error parsing scrape interval: not a valid duration string: \"x\"",
            ),
            (&[("__address__", "h"), ("__scrape_interval__", "0s")], "scrape interval cannot be 0"),
            (&[("__address__", "h"), ("__scrape_timeout__", "0")], "scrape timeout cannot be 0"),
            (
                &[("__address__", "h"), ("__scrape_timeout__", "2m")],
                "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
            ),
            (
                &[("__address__", "h"), ("__scrape_native_histograms__", "yes")],
                "error parsing scrape native histograms: strconv.ParseBool: parsing \"yes\": invalid syntax",
            ),
        ] {
            let error = make("", labels, &[]).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn dropped_targets_keep_their_discovered_labels_and_name_the_rule() {
        let made = make(
            "  relabel_configs: [{source_labels: [env], regex: prod, action: keep}]\n",
            &[("__address__", "h")],
            &[],
        );
        let Ok(TargetOutcome::Dropped(dropped)) = made else { panic!("{made:?}") };
        assert_eq!((dropped.discovered_labels.value("job"), dropped.rule), ("j", Some(0)));
        let second = make(
            "  relabel_configs: [{target_label: a, replacement: b}, {source_labels: [a], regex: b, action: drop}]\n",
            &[("__address__", "h")],
            &[],
        );
        let Ok(TargetOutcome::Dropped(dropped)) = second else { panic!("{second:?}") };
        assert_eq!(dropped.rule, Some(1));
    }

    #[test]
    fn relabelling_can_change_how_histograms_are_handled() {
        let job = "  scrape_native_histograms: true\n  relabel_configs:\n  \
                   - {target_label: __convert_classic_histograms_to_nhcb__, replacement: 't'}\n  \
                   - {target_label: __scrape_native_histograms__, replacement: ''}\n";
        let wanted = HistogramOptions { custom_buckets: true, keep_classic: false, native: true };
        assert_eq!(target(job, "h:1", &[]).histograms, wanted, "a label that is gone is the job's");
        let off = "  scrape_native_histograms: true\n  relabel_configs:\n  \
                   - {target_label: __scrape_native_histograms__, replacement: '0'}\n";
        assert_eq!(target(off, "h:1", &[]).histograms, HistogramOptions::default());
    }

    #[test]
    fn the_hash_is_prometheus() {
        assert_eq!(fnv64a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv64a(b"a"), 0xaf63_dc4c_8601_ec8c);
        // A real Prometheus 3.5.3 on a host called localhost, with the external label replica="a" and an interval of
        // ten seconds, scraped these targets 5072, 4516 and 1740 ms after full tens: its timers were some ten ms late.
        let seed = fnv64a(format!("localhost{}", LabelSet::from_pairs([("replica", "a")])).as_bytes());
        for (address, offset_ms) in
            [("127.0.0.1:29099", 5056), ("127.0.0.1:29098", 4505), ("localhost:1", 1730)]
        {
            let labels = LabelSet::from_pairs([
                ("__address__", address),
                ("__metrics_path__", "/metrics"),
                ("__scheme__", "http"),
                ("__scrape_interval__", "10s"),
                ("__scrape_timeout__", "5s"),
                ("instance", address),
                ("job", "offs"),
            ]);
            let hash = target_hash(&labels, &format!("http://{address}/metrics"));
            assert_eq!((hash ^ seed) % 10_000_000_000 / 1_000_000, offset_ms, "{address}");
        }
        let (a, b) = (target("", "h:1", &[]), target("", "h:2", &[]));
        assert_ne!(a.hash, b.hash);
        assert_eq!(a.hash, target("", "h:1", &[]).hash);
    }
}
