//! The command line: raw arguments, then checked flags.

mod external_url;
mod features;
mod help;
mod parse;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ferula_api::ExternalUrl;
use ferula_config::ByteSize;
use ferula_model::duration;
use ferula_model::regex::LabelRegex;
use ferula_telemetry::logging::{Format, Level};
use ferula_tsdb::wal::Compression;

pub use external_url::external_url;
pub use features::FeatureSet;
pub use help::{documentation, help};
pub use parse::{Given, Parsed, parse};
use table::{FLAGS, Mode, Support, find};

/// Why flags were refused, with the exit code that Prometheus has for it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// What the user is told.
    pub text: String,
    /// Exit code of the program.
    pub code: u8,
}

impl Refused {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Refused { text: text.into(), code }
    }
}

/// Checked flags.
#[derive(Clone, Debug)]
pub struct Flags {
    /// `--config.file`
    pub config_file: PathBuf,
    /// Whether it was given, rather than the default.
    pub config_file_given: bool,
    /// `--config.auto-reload`, or the feature of that name.
    pub auto_reload: Option<Duration>,
    /// `--web.listen-address`
    pub listen_addresses: Vec<String>,
    /// `--web.external-url`, if given.
    pub external_url: Option<ExternalUrl>,
    /// `--web.route-prefix`, if given.
    pub route_prefix: Option<String>,
    /// `--web.cors.origin`
    pub cors_origin: LabelRegex,
    /// `--web.page-title`
    pub page_title: String,
    /// `--web.read-timeout`
    pub read_timeout: Duration,
    /// `--web.max-connections`
    pub connections_max: usize,
    /// `--web.enable-lifecycle`
    pub lifecycle: bool,
    /// `--web.enable-admin-api`
    pub admin: bool,
    /// `--web.enable-remote-write-receiver`
    pub remote_write: bool,
    /// `--storage.tsdb.*` and `--storage.ferula.*`
    pub storage: StorageFlags,
    /// `--rules.*` and `--alertmanager.*`
    pub alerting: AlertingFlags,
    /// `--query.lookback-delta`
    pub lookback_delta: Duration,
    /// `--query.timeout`
    pub query_timeout: Duration,
    /// `--query.max-concurrency`
    pub query_concurrency: usize,
    /// `--query.max-samples`
    pub query_samples_max: u64,
    /// `--enable-feature`
    pub features: FeatureSet,
    /// `--log.level`
    pub log_level: Level,
    /// `--log.format`
    pub log_format: Format,
    /// Flags that were given and have no effect, with the reason.
    pub without_effect: Vec<(String, &'static str)>,
    /// Every flag with its value as shown.
    pub shown: BTreeMap<&'static str, String>,
}

/// Flags of the store.
#[derive(Clone, Debug)]
pub struct StorageFlags {
    /// `path`
    pub path: PathBuf,
    /// `retention.time`; zero when not given.
    pub retention_time: Duration,
    /// `retention.size` in bytes; 0 when not given.
    pub retention_bytes: i64,
    /// `min-block-duration`
    pub min_block: Duration,
    /// `max-block-duration`; zero when not given.
    pub max_block: Duration,
    /// `no-lockfile`, the other way round.
    pub lock_file: bool,
    /// `wal-compression` and `wal-compression-type`
    pub compression: Compression,
    /// `wal-segment-size`; 0 for the default.
    pub segment_bytes: u64,
    /// `samples-per-chunk`
    pub samples_per_chunk: u16,
    /// `max-block-chunk-segment-size`; 0 for the default.
    pub chunk_segment_bytes: u64,
    /// `allow-overlapping-compaction`
    pub overlapping_compaction: bool,
    /// `delay-compact-file.path`, if given.
    pub delay_compact_file: Option<PathBuf>,
    /// `block-reload-interval`
    pub reload_interval: Duration,
    /// `--storage.ferula.max-head-series`; 0 for no limit.
    pub head_series_max: u64,
    /// `--storage.ferula.max-head-memory` in bytes; 0 for a share of what there is.
    pub head_bytes_max: u64,
    /// `--storage.ferula.savepoint-interval`; zero for never.
    pub savepoint_interval: Duration,
}

/// Flags of rules and notifications.
#[derive(Clone, Debug)]
pub struct AlertingFlags {
    /// `--rules.alert.for-outage-tolerance`
    pub outage_tolerance: Duration,
    /// `--rules.alert.for-grace-period`
    pub grace_period: Duration,
    /// `--rules.alert.resend-delay`
    pub resend_delay: Duration,
    /// `--enable-feature=concurrent-rule-eval`
    pub concurrent: bool,
    /// `--rules.max-concurrent-evals`
    pub max_concurrent: usize,
    /// `--query.timeout`, which holds for rules too.
    pub query_timeout: Duration,
    /// `--alertmanager.notification-queue-capacity`
    pub queue_capacity: usize,
    /// `--alertmanager.notification-batch-size`
    pub batch_size: usize,
    /// `--alertmanager.drain-notification-queue-on-shutdown`
    pub drain_on_shutdown: bool,
}

/// Values by flag name.
struct Values(BTreeMap<&'static str, String>);

impl Values {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn bool(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    fn duration(&self, name: &str) -> Duration {
        let millis = duration::parse_millis(self.text(name)).unwrap_or(0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    fn int(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    fn bytes(&self, name: &str) -> i64 {
        ByteSize::parse(self.text(name)).map_or(0, |size| size.0)
    }
}

impl Flags {
    /// Checks flags that were read.
    ///
    /// # Errors
    /// What is wrong with them together, or that this build cannot do what one asks for.
    pub fn check(given: &Given) -> Result<Flags, Refused> {
        let values = Values(parse::all_values(given));
        check_modes(given, values.bool("agent"))?;
        let without_effect = check_support(given)?;
        let features =
            FeatureSet::parse(values.text("enable-feature")).map_err(|why| Refused::new(1, why))?;
        check_ranges(&values)?;
        let listen_addresses: Vec<String> =
            values.text("web.listen-address").split(',').map(str::to_owned).collect();
        let external_url = match values.text("web.external-url") {
            // The port of the first address will be its.
            "" => {
                has_port(&listen_addresses[0])
                    .map_err(|why| Refused::new(2, format!("parse external URL \"\": {why}")))?;
                None
            }
            text => Some(external_url(text).map_err(|why| {
                Refused::new(2, format!("parse external URL {}: {why}", ferula_go::quote::go_quote(text)))
            })?),
        };
        let origin = values.text("web.cors.origin");
        let cors_origin = LabelRegex::new(origin).map_err(|why| {
            let quoted = ferula_go::quote::go_quote(origin);
            Refused::new(2, format!("could not compile CORS regex string {quoted}: {why}"))
        })?;
        let auto_reload = (values.bool("config.auto-reload") || features.auto_reload)
            .then(|| values.duration("config.auto-reload-interval").max(Duration::from_secs(1)));
        Ok(Flags {
            config_file: values.text("config.file").into(),
            config_file_given: given.contains_key("config.file"),
            auto_reload,
            listen_addresses,
            external_url,
            route_prefix: Some(values.text("web.route-prefix")).filter(|p| !p.is_empty()).map(route_prefix),
            cors_origin,
            page_title: values.text("web.page-title").to_owned(),
            read_timeout: values.duration("web.read-timeout"),
            connections_max: usize::try_from(values.int("web.max-connections")).unwrap_or(0),
            lifecycle: values.bool("web.enable-lifecycle"),
            admin: values.bool("web.enable-admin-api"),
            remote_write: values.bool("web.enable-remote-write-receiver"),
            storage: storage_flags(&values),
            alerting: alerting_flags(&values, features.concurrent_rules),
            lookback_delta: values.duration("query.lookback-delta"),
            query_timeout: values.duration("query.timeout"),
            query_concurrency: usize::try_from(values.int("query.max-concurrency")).unwrap_or(0),
            query_samples_max: u64::try_from(values.int("query.max-samples")).unwrap_or(0),
            features,
            log_level: Level::parse(values.text("log.level")).unwrap_or(Level::Info),
            log_format: Format::parse(values.text("log.format")).unwrap_or(Format::Logfmt),
            without_effect,
            shown: values.0,
        })
    }
}

/// Whether an address ends in a port; the texts are Go's.
fn has_port(address: &str) -> Result<(), String> {
    let why = match address.rsplit_once(':') {
        None => "missing port in address",
        Some((host, _)) if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) => {
            "too many colons in address"
        }
        Some(_) => return Ok(()),
    };
    Err(if address.is_empty() { why.to_owned() } else { format!("address {address}: {why}") })
}

fn storage_flags(values: &Values) -> StorageFlags {
    let compression =
        match (values.bool("storage.tsdb.wal-compression"), values.text("storage.tsdb.wal-compression-type"))
        {
            (false, _) => Compression::None,
            (true, "snappy") => Compression::Snappy,
            (true, _) => Compression::Zstd,
        };
    StorageFlags {
        path: values.text("storage.tsdb.path").into(),
        retention_time: values.duration("storage.tsdb.retention.time"),
        retention_bytes: values.bytes("storage.tsdb.retention.size"),
        min_block: values.duration("storage.tsdb.min-block-duration"),
        max_block: values.duration("storage.tsdb.max-block-duration"),
        lock_file: !values.bool("storage.tsdb.no-lockfile"),
        compression,
        segment_bytes: u64::try_from(values.bytes("storage.tsdb.wal-segment-size")).unwrap_or(0),
        samples_per_chunk: u16::try_from(values.int("storage.tsdb.samples-per-chunk")).unwrap_or(0),
        chunk_segment_bytes: u64::try_from(values.bytes("storage.tsdb.max-block-chunk-segment-size"))
            .unwrap_or(0),
        overlapping_compaction: values.bool("storage.tsdb.allow-overlapping-compaction"),
        delay_compact_file: Some(values.text("storage.tsdb.delay-compact-file.path"))
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        reload_interval: values.duration("storage.tsdb.block-reload-interval"),
        head_series_max: u64::try_from(values.int("storage.ferula.max-head-series")).unwrap_or(0),
        head_bytes_max: u64::try_from(values.bytes("storage.ferula.max-head-memory")).unwrap_or(0),
        savepoint_interval: values.duration("storage.ferula.savepoint-interval"),
    }
}

fn alerting_flags(values: &Values, concurrent: bool) -> AlertingFlags {
    let count = |name: &str| usize::try_from(values.int(name)).unwrap_or(0);
    AlertingFlags {
        outage_tolerance: values.duration("rules.alert.for-outage-tolerance"),
        grace_period: values.duration("rules.alert.for-grace-period"),
        resend_delay: values.duration("rules.alert.resend-delay"),
        concurrent,
        max_concurrent: count("rules.max-concurrent-evals"),
        query_timeout: values.duration("query.timeout"),
        queue_capacity: count("alertmanager.notification-queue-capacity"),
        batch_size: count("alertmanager.notification-batch-size"),
        drain_on_shutdown: values.bool("alertmanager.drain-notification-queue-on-shutdown"),
    }
}

/// `/` or `/x`, whatever slashes were given around it.
pub fn route_prefix(text: &str) -> String {
    format!("/{}", text.trim_matches('/'))
}

fn check_modes(given: &Given, agent: bool) -> Result<(), Refused> {
    let of_mode = |mode: Mode| -> Vec<String> {
        let names = given.keys().filter(|name| find(name).is_some_and(|flag| flag.mode == mode));
        names.map(|name| ferula_go::quote::go_quote(&format!("--{name}"))).collect()
    };
    let (wrong, how) = if agent { (Mode::Server, "not be") } else { (Mode::Agent, "only be") };
    let wrong = of_mode(wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Refused::new(3, format!("The following flag(s) can {how} used in agent mode: [{}]", wrong.join(" "))))
}

/// Refuses what this build cannot do, and names what has no effect.
fn check_support(given: &Given) -> Result<Vec<(String, &'static str)>, Refused> {
    let mut without_effect = Vec::new();
    for flag in FLAGS {
        let Some(value) = given.get(flag.name).map(|values| values.join(",")) else { continue };
        match flag.support {
            Support::Harmless(why) => without_effect.push((format!("--{}", flag.name), why)),
            Support::NotYet if value != flag.default => {
                return Err(Refused::new(1, format!("not supported yet: --{}={value}", flag.name)));
            }
            Support::NotYet | Support::Works => {}
        }
    }
    Ok(without_effect)
}

fn check_ranges(values: &Values) -> Result<(), Refused> {
    if values.int("web.search.max-limit") < 0 {
        return Err(Refused::new(
            1,
            format!(
                "--web.search.max-limit must be non-negative; got {} (use 0 to disable the cap)",
                values.int("web.search.max-limit")
            ),
        ));
    }
    let ratio: f64 = values.text("auto-gomemlimit.ratio").parse().unwrap_or(0.0);
    if !(ratio > 0.0 && ratio <= 1.0) {
        return Err(Refused::new(
            1,
            "--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1.",
        ));
    }
    let segment = values.bytes("storage.tsdb.wal-segment-size");
    if segment != 0 && !(10 << 20..=256 << 20).contains(&segment) {
        return Err(Refused::new(
            1,
            "flag 'storage.tsdb.wal-segment-size' must be set between 10MB and 256MB",
        ));
    }
    let segment = values.bytes("storage.tsdb.max-block-chunk-segment-size");
    if segment != 0 && segment < 1 << 20 {
        return Err(Refused::new(1, "flag 'storage.tsdb.max-block-chunk-segment-size' must be set over 1MB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<Flags, Refused> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match parse(&arguments) {
            Ok(Parsed::Run(given)) => Flags::check(&given),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_prometheus_exit_codes() {
        for (arguments, code, text) in [
            (
                &["--agent", "--query.timeout=1m"][..],
                3,
                "The following flag(s) can not be used in agent mode: [\"--query.timeout\"]",
            ),
            (
                &["--storage.agent.path=x"],
                3,
                "The following flag(s) can only be used in agent mode: [\"--storage.agent.path\"]",
            ),
            (&["--web.listen-address=x"], 2, "parse external URL \"\": address x: missing port in address"),
            (&["--web.listen-address="], 2, "parse external URL \"\": missing port in address"),
            (
                &["--web.listen-address=::1:80"],
                2,
                "parse external URL \"\": address ::1:80: too many colons in address",
            ),
            (&["--agent"], 1, "not supported yet: --agent=true"),
            (&["--web.config.file=web.yml"], 1, "not supported yet: --web.config.file=web.yml"),
            (&["--enable-feature=search-api"], 1, "not supported yet: --enable-feature=search-api"),
            (
                &["--web.external-url='x"],
                2,
                "parse external URL \"'x\": URL must not begin or end with quotes",
            ),
            (
                &["--storage.tsdb.wal-segment-size=1MB"],
                1,
                "flag 'storage.tsdb.wal-segment-size' must be set between 10MB and 256MB",
            ),
        ] {
            assert_eq!(check(arguments).expect_err("refused"), Refused::new(code, text));
        }
        let cors = check(&["--web.cors.origin=("]).expect_err("refused");
        assert!(
            cors.code == 2 && cors.text.starts_with("could not compile CORS regex string \"(\":"),
            "{cors}"
        );
    }

    #[test]
    fn what_has_no_effect_is_named_and_a_default_that_is_given_is_fine() {
        let flags = check(&["--web.console.templates=x", "--no-agent", "--no-web.enable-otlp-receiver"]);
        let flags = flags.expect("accepted");
        assert_eq!(flags.without_effect.len(), 1);
        assert_eq!(flags.without_effect[0].0, "--web.console.templates");
        assert_eq!(flags.shown["storage.tsdb.path"], "data/");
    }
}
