//! The command line: raw arguments, then checked flags.
//!
//! ```text
//! arguments ─ parse ─► Given (text by name) ─ Flags::check ─► Flags (typed, checked together) ─► serve
//!               └── table (one row per flag) ── value (one type per kind of value)
//! ```
//!
//! Here: which flags exist, how their values are parsed, and which combinations are refused. Elsewhere: what they
//! do, and the flags of commands (`crate::tools::args`).

mod external_url;
mod features;
mod help;
mod parse;
pub mod table;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ferula_api::ExternalUrl;
use ferula_go::quote::go_quote;
use ferula_model::regex::LabelRegex;
use ferula_remote::write::headers::AcceptedMessages;
use ferula_scraper::growth::{Bound, SeriesLimits};
use ferula_telemetry::logging::{Format, Level};
use ferula_tsdb::Compression;

pub use external_url::external_url;
pub use features::{FeatureSet, OtlpDeltas, meant_by};
pub use help::{documentation, help};
pub use parse::{GivenFlags, Parsed, parse};
use table::{FLAGS, Key, Mode, Support, find};
use value::ValueType;

/// Why flags are refused, with Prometheus' exit code for the reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    pub text: String,
    pub exit_code: u8,
}

impl Refused {
    fn new(exit_code: u8, text: impl Into<String>) -> Self {
        Refused { text: text.into(), exit_code }
    }
}

/// Checked flags. Each field is named after its flag.
#[derive(Clone, Debug)]
pub struct Flags {
    pub config_file: PathBuf,
    /// False if the default is used.
    pub config_file_given: bool,
    /// How often to check for a changed configuration; `--enable-feature=auto-reload-config` enables it too.
    pub auto_reload: Option<Duration>,
    pub listen_addresses: Vec<String>,
    pub external_url: Option<ExternalUrl>,
    pub route_prefix: Option<String>,
    pub cors_origin: LabelRegex,
    pub page_title: String,
    pub read_timeout: Duration,
    pub web_config_file: Option<PathBuf>,
    pub connections_max: usize,
    pub notification_subscribers_max: usize,
    pub lifecycle: bool,
    pub machine_metrics: bool,
    pub admin: bool,
    pub remote_write: bool,
    pub otlp: bool,
    pub remote_write_messages: AcceptedMessages,
    pub remote_read: ferula_remote::read::Limits,
    pub search_limit_max: usize,
    pub storage: StorageFlags,
    /// `--storage.ferula.max-…series…`
    pub series_limits: SeriesLimits,
    /// `None` for a server.
    pub agent: Option<AgentFlags>,
    pub remote_flush_deadline: Duration,
    pub alerting: AlertingFlags,
    /// `--scrape.timestamp-tolerance`; zero without `--scrape.adjust-timestamps`.
    pub timestamp_tolerance_max: Duration,
    /// `--scrape.discovery-reload-interval`
    pub discovery_delay_max: Duration,
    /// `--scrape.ferula.zstd`
    pub scrape_zstd: bool,
    pub lookback_delta: Duration,
    pub query_timeout: Duration,
    pub query_concurrency: usize,
    pub query_samples_max: u64,
    pub features: FeatureSet,
    pub log_level: Level,
    pub log_format: Format,
    /// Given flags that have no effect, each with the reason.
    pub without_effect: Vec<(String, &'static str)>,
    /// Every flag and its value as text, for `/api/v1/status/flags`.
    pub shown: BTreeMap<&'static str, String>,
}

/// `--storage.tsdb.*` and `--storage.ferula.*`
#[derive(Clone, Debug)]
pub struct StorageFlags {
    pub path: PathBuf,
    /// Zero if not given.
    pub retention_time: Duration,
    /// 0 if not given.
    pub retention_bytes: i64,
    pub min_block: Duration,
    /// Zero if not given.
    pub max_block: Duration,
    pub lock_file: bool,
    pub compression: Compression,
    /// 0 for the default.
    pub segment_bytes: u64,
    pub samples_per_chunk: u16,
    /// 0 for the default.
    pub chunk_segment_bytes: u64,
    pub overlapping_compaction: bool,
    pub delay_compact_file: Option<PathBuf>,
    pub reload_interval: Duration,
    /// 0 for no limit.
    pub head_series_max: u64,
    /// 0 for a share of the available memory.
    pub head_bytes_max: u64,
    /// How many bytes of blocks are read a second to find damage; 0 for none.
    pub scrub_bytes_per_second: u64,
    /// Zero to disable.
    pub savepoint_interval: Duration,
    /// How much of the log is kept for remote write destinations.
    pub remote_write_backlog_bytes: u64,
}

/// `--storage.agent.*`, with their defaults filled in. The path is that of [`StorageFlags`].
#[derive(Clone, Debug)]
pub struct AgentFlags {
    pub compression: Compression,
    /// 0 for the default.
    pub segment_bytes: u64,
    pub truncate_frequency: Duration,
    pub retention_min: Duration,
    pub retention_max: Duration,
    pub checkpoint_from_memory: bool,
    pub checkpoint_batch: usize,
    pub lock_file: bool,
}

/// `--rules.*` and `--alertmanager.*`
#[derive(Clone, Debug)]
pub struct AlertingFlags {
    pub outage_tolerance: Duration,
    pub grace_period: Duration,
    pub resend_delay: Duration,
    /// `--enable-feature=concurrent-rule-eval`
    pub concurrent: bool,
    pub max_concurrent: usize,
    pub queue_capacity: usize,
    pub batch_size: usize,
    pub drain_on_shutdown: bool,
    /// `None` for no embedded Alertmanager.
    pub alertmanager_config: Option<PathBuf>,
}

/// The value of every flag, as text.
struct Values(BTreeMap<&'static str, String>);

impl Values {
    fn get<T: ValueType>(&self, key: Key<T>) -> T::Value<'_> {
        let text = self.0.get(key.flag.name).expect("every flag of the table has a value");
        T::read(text).expect("given values are checked as they are parsed, defaults by a test")
    }
}

impl Flags {
    /// Checks parsed flags.
    ///
    /// # Errors
    /// Flags that exclude each other, values out of range, and what this build does not support.
    pub fn check(given: &GivenFlags) -> Result<Flags, Refused> {
        let values = Values(parse::all_values(given));
        check_modes(given, values.get(table::AGENT))?;
        let without_effect = check_support(given)?;
        let features = FeatureSet::parse(&values.get(table::FEATURES))
            .map_err(|unsupported| Refused::new(1, unsupported.to_string()))?;
        check_ranges(&values)?;
        let listen_addresses: Vec<String> =
            values.get(table::LISTEN_ADDRESSES).into_iter().map(str::to_owned).collect();
        let auto_reload = (values.get(table::AUTO_RELOAD) || features.auto_reload)
            .then(|| values.get(table::AUTO_RELOAD_INTERVAL).max(Duration::from_secs(1)));
        Ok(Flags {
            config_file: values.get(table::CONFIG_FILE).into(),
            config_file_given: given.contains_key(table::CONFIG_FILE.flag.name),
            auto_reload,
            external_url: external_url_of(&values, &listen_addresses)?,
            listen_addresses,
            route_prefix: values.get(table::ROUTE_PREFIX).map(route_prefix),
            cors_origin: cors_origin(&values)?,
            page_title: values.get(table::PAGE_TITLE).to_owned(),
            read_timeout: values.get(table::READ_TIMEOUT),
            web_config_file: values.get(table::WEB_CONFIG_FILE).map(PathBuf::from),
            connections_max: values.get(table::CONNECTIONS_MAX),
            notification_subscribers_max: values.get(table::NOTIFICATION_SUBSCRIBERS_MAX),
            lifecycle: values.get(table::LIFECYCLE),
            machine_metrics: values.get(table::MACHINE_METRICS),
            admin: values.get(table::ADMIN_API),
            remote_write: values.get(table::REMOTE_WRITE_RECEIVER),
            otlp: values.get(table::OTLP_RECEIVER),
            remote_read: remote_read_limits(&values),
            search_limit_max: usize::try_from(values.get(table::SEARCH_LIMIT_MAX)).unwrap_or(usize::MAX),
            remote_write_messages: AcceptedMessages::of(values.get(table::REMOTE_WRITE_MESSAGES)).map_err(
                |unknown| Refused::new(2, format!("Error parsing command line arguments: {unknown}")),
            )?,
            agent: agent_flags(&values)?,
            storage: storage_flags(&values),
            series_limits: series_limits(&values),
            remote_flush_deadline: values.get(table::REMOTE_FLUSH_DEADLINE),
            alerting: alerting_flags(&values, features.concurrent_rules),
            timestamp_tolerance_max: match values.get(table::ADJUST_TIMESTAMPS) {
                true => values.get(table::TIMESTAMP_TOLERANCE),
                false => Duration::ZERO,
            },
            discovery_delay_max: values.get(table::DISCOVERY_RELOAD_INTERVAL),
            scrape_zstd: values.get(table::SCRAPE_ZSTD),
            lookback_delta: values.get(table::LOOKBACK_DELTA),
            query_timeout: values.get(table::QUERY_TIMEOUT),
            query_concurrency: values.get(table::QUERY_CONCURRENCY),
            query_samples_max: values.get(table::QUERY_SAMPLES_MAX) as u64,
            features,
            log_level: values.get(table::LOG_LEVEL),
            log_format: values.get(table::LOG_FORMAT),
            without_effect,
            shown: values.0,
        })
    }
}

/// The external URL, if one was given. Without one, the first listen address must have a port, which becomes the URL's.
fn external_url_of(values: &Values, listen_addresses: &[String]) -> Result<Option<ExternalUrl>, Refused> {
    let refused =
        |text: &str, why: String| Refused::new(2, format!("parse external URL {}: {why}", go_quote(text)));
    match values.get(table::EXTERNAL_URL) {
        Some(text) => external_url(text).map(Some).map_err(|error| refused(text, error.to_string())),
        None => match listen_addresses.first().and_then(|address| port_problem(address)) {
            Some(problem) => Err(refused("", problem)),
            None => Ok(None),
        },
    }
}

fn cors_origin(values: &Values) -> Result<LabelRegex, Refused> {
    let origin = values.get(table::CORS_ORIGIN);
    LabelRegex::new(origin).map_err(|why| {
        Refused::new(2, format!("could not compile CORS regex string {}: {why}", go_quote(origin)))
    })
}

/// Go's error for an address without a valid port, and what was probably meant.
fn port_problem(address: &str) -> Option<String> {
    let (problem, meant) = match address.rsplit_once(':') {
        None if address.bytes().all(|byte| byte.is_ascii_digit()) && !address.is_empty() => {
            ("missing port in address", format!(":{address}"))
        }
        None => ("missing port in address", format!("{address}:9090")),
        Some((host, port)) if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) => {
            ("too many colons in address", format!("[{host}]:{port}"))
        }
        Some(_) => return None,
    };
    let problem =
        if address.is_empty() { problem.to_owned() } else { format!("address {address}: {problem}") };
    Some(format!("{problem} (did you mean '--web.listen-address={meant}'?)"))
}

/// A value that is not positive means no limit, except that frames need a size.
fn remote_read_limits(values: &Values) -> ferula_remote::read::Limits {
    let positive = |number: i64| usize::try_from(number).unwrap_or(0);
    ferula_remote::read::Limits {
        samples_max: positive(values.get(table::REMOTE_READ_SAMPLES)) as u64,
        frame_bytes_max: positive(values.get(table::REMOTE_READ_FRAME_BYTES)),
        concurrent_max: positive(values.get(table::REMOTE_READ_CONCURRENCY)),
    }
}

fn series_limits(values: &Values) -> SeriesLimits {
    let bound = |series_max, new_per_minute_max| Bound {
        series_max: values.get(series_max) as u64,
        new_per_minute_max: values.get(new_per_minute_max) as u64,
    };
    SeriesLimits {
        head: bound(table::HEAD_SERIES_MAX, table::HEAD_NEW_SERIES_MAX),
        job: bound(table::JOB_SERIES_MAX, table::JOB_NEW_SERIES_MAX),
        target: bound(table::TARGET_SERIES_MAX, table::TARGET_NEW_SERIES_MAX),
        metric: bound(table::METRIC_SERIES_MAX, table::METRIC_NEW_SERIES_MAX),
    }
}

fn storage_flags(values: &Values) -> StorageFlags {
    let compression = match values.get(table::WAL_COMPRESSED) {
        true => values.get(table::WAL_COMPRESSION),
        false => Compression::None,
    };
    // A negative size means no limit, like 0.
    let bytes = |key| u64::try_from(values.get(key)).unwrap_or(0);
    let path = if values.get(table::AGENT) { table::AGENT_PATH } else { table::STORAGE_PATH };
    StorageFlags {
        path: values.get(path).into(),
        retention_time: values.get(table::RETENTION_TIME),
        retention_bytes: values.get(table::RETENTION_SIZE),
        min_block: values.get(table::MIN_BLOCK_DURATION),
        max_block: values.get(table::MAX_BLOCK_DURATION),
        lock_file: !values.get(table::NO_LOCKFILE),
        compression,
        segment_bytes: bytes(table::WAL_SEGMENT_BYTES),
        samples_per_chunk: values.get(table::SAMPLES_PER_CHUNK).clamp(0, u16::MAX.into()) as u16,
        chunk_segment_bytes: bytes(table::CHUNK_SEGMENT_BYTES),
        overlapping_compaction: values.get(table::OVERLAPPING_COMPACTION),
        delay_compact_file: values.get(table::DELAY_COMPACT_FILE).map(PathBuf::from),
        reload_interval: values.get(table::BLOCK_RELOAD_INTERVAL),
        head_series_max: values.get(table::HEAD_SERIES_MAX) as u64,
        head_bytes_max: bytes(table::HEAD_BYTES_MAX),
        savepoint_interval: values.get(table::SAVEPOINT_INTERVAL),
        scrub_bytes_per_second: bytes(table::SCRUB_BYTES),
        remote_write_backlog_bytes: bytes(table::REMOTE_WRITE_BACKLOG),
    }
}

/// Completed and bounded as in Prometheus.
fn agent_flags(values: &Values) -> Result<Option<AgentFlags>, Refused> {
    const TRUNCATE_FREQUENCY: Duration = Duration::from_secs(2 * 3600);
    const RETENTION_MIN: Duration = Duration::from_secs(5 * 60);
    const RETENTION_MAX: Duration = Duration::from_secs(4 * 3600);
    if !values.get(table::AGENT) {
        return Ok(None);
    }
    let checkpoint_batch = usize::try_from(values.get(table::AGENT_CHECKPOINT_BATCH)).unwrap_or(0);
    if checkpoint_batch == 0 {
        let name = table::AGENT_CHECKPOINT_BATCH.flag.name;
        return Err(Refused::new(1, format!("--{name} must be greater than 0.")));
    }
    let or = |span: Duration, default| if span.is_zero() { default } else { span };
    let compression = match values.get(table::AGENT_WAL_COMPRESSED) {
        true => values.get(table::AGENT_WAL_COMPRESSION),
        false => Compression::None,
    };
    let truncate_frequency = or(values.get(table::AGENT_TRUNCATE_FREQUENCY), TRUNCATE_FREQUENCY);
    let retention_min = or(values.get(table::AGENT_RETENTION_MIN), RETENTION_MIN);
    let retention_max = or(values.get(table::AGENT_RETENTION_MAX), RETENTION_MAX);
    Ok(Some(AgentFlags {
        compression,
        segment_bytes: u64::try_from(values.get(table::AGENT_SEGMENT_BYTES)).unwrap_or(0),
        truncate_frequency,
        retention_min,
        retention_max: retention_max.max(retention_min).max(truncate_frequency),
        checkpoint_from_memory: values.get(table::AGENT_CHECKPOINT_FROM_MEMORY),
        checkpoint_batch,
        lock_file: !values.get(table::AGENT_NO_LOCKFILE),
    }))
}

fn alerting_flags(values: &Values, concurrent: bool) -> AlertingFlags {
    AlertingFlags {
        outage_tolerance: values.get(table::OUTAGE_TOLERANCE),
        grace_period: values.get(table::GRACE_PERIOD),
        resend_delay: values.get(table::RESEND_DELAY),
        concurrent,
        max_concurrent: values.get(table::CONCURRENT_EVALS_MAX),
        queue_capacity: values.get(table::NOTIFICATION_QUEUE),
        batch_size: values.get(table::NOTIFICATION_BATCH),
        drain_on_shutdown: values.get(table::DRAIN_NOTIFICATIONS),
        alertmanager_config: values.get(table::ALERTMANAGER_CONFIG).map(PathBuf::from),
    }
}

/// Normalizes a prefix to `/` or `/x`, whatever slashes surround it.
pub fn route_prefix(text: &str) -> String {
    format!("/{}", text.trim_matches('/'))
}

fn check_modes(given: &GivenFlags, agent: bool) -> Result<(), Refused> {
    let (excluded, how) = if agent { (Mode::Server, "not be") } else { (Mode::Agent, "only be") };
    let names = given.keys().filter(|name| find(name).is_some_and(|flag| flag.mode == excluded));
    let names: Vec<String> = names.map(|name| go_quote(&format!("--{name}"))).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Refused::new(3, format!("The following flag(s) can {how} used in agent mode: [{}]", names.join(" "))))
}

/// Refuses what this build does not support, and returns the flags that have no effect.
fn check_support(given: &GivenFlags) -> Result<Vec<(String, &'static str)>, Refused> {
    let mut without_effect = Vec::new();
    for flag in FLAGS {
        let Some(value) = given.get(flag.name).map(|values| values.join(",")) else { continue };
        match flag.support {
            Support::Harmless(why) => without_effect.push((format!("--{}", flag.name), why)),
            Support::NotYet(advice) if value != flag.default => {
                return Err(Refused::new(
                    1,
                    format!("not supported yet: --{}={value} ({advice})", flag.name),
                ));
            }
            Support::NotYet(_) | Support::Works => {}
        }
    }
    Ok(without_effect)
}

fn check_ranges(values: &Values) -> Result<(), Refused> {
    let refuse = |flag: table::Flag, text: &str| Err(Refused::new(1, format!("--{} {text}", flag.name)));
    let limit = values.get(table::SEARCH_LIMIT_MAX);
    if limit < 0 {
        let text = format!("must be non-negative; got {limit} (use 0 to disable the cap)");
        return refuse(table::SEARCH_LIMIT_MAX.flag, &text);
    }
    let ratio = values.get(table::GOMEMLIMIT_RATIO);
    if !(ratio > 0.0 && ratio <= 1.0) {
        return refuse(table::GOMEMLIMIT_RATIO.flag, "must be greater than 0 and less than or equal to 1.");
    }
    let refuse_size = |flag: table::Flag, text: &str| {
        Err(Refused::new(1, format!("flag '{}' must be set {text}", flag.name)))
    };
    for key in [table::WAL_SEGMENT_BYTES, table::AGENT_SEGMENT_BYTES] {
        let segment = values.get(key);
        if segment != 0 && !(10 << 20..=256 << 20).contains(&segment) {
            return refuse_size(key.flag, "between 10MB and 256MB");
        }
    }
    let segment = values.get(table::CHUNK_SEGMENT_BYTES);
    if segment != 0 && segment < 1 << 20 {
        return refuse_size(table::CHUNK_SEGMENT_BYTES.flag, "over 1MB");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
