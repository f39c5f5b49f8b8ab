//! Makes the targets of a job from what discovery returns: the job's settings as labels, relabelling, checks, the URL and
//! the hash.

use std::time::Duration;

use ferula_config::scrape::ScrapeConfig;
use ferula_discovery::TargetGroup;
use ferula_go::number::parse_bool;
use ferula_go::quote::go_quote;
use ferula_go::url::{Url, encode_query};
use ferula_model::duration::{format_millis, parse_millis};
use ferula_model::labels::prometheus_hash;
use ferula_model::relabel::{self, Rule};
use ferula_model::{LabelSet, LabelSetBuilder};

use crate::target::{HistogramOptions, Target, UNIX_SOCKET};

const ADDRESS: &str = "__address__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const HIDDEN_PREFIX: &str = "__";
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
        let own = (discovered_labels, public_labels);
        let target = Target::new(labels, own, (url, hash), (interval, timeout), histograms);
        Ok(TargetOutcome::Scraped(Box::new(target)))
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

/// Prometheus' hash of a target, which also spreads the scrapes: both programs scrape a target at the same phase.
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
mod tests;
