//! What the command line and the build determine about the API.

use std::path::PathBuf;
use std::time::Duration;

use ferula_model::regex::LabelRegex;
use ferula_promql_syntax::ParserOptions;
use ferula_storage::MemoryContract;
use ferula_telemetry::Registry;
use time::OffsetDateTime;

/// What the program reports about itself. The version is that of the Prometheus release it matches, because clients
/// enable features by it.
#[derive(Clone, Debug)]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    /// As `YYYYMMDD-hh:mm:ss`.
    pub build_date: String,
    /// The compiler; Go's version in Prometheus.
    pub go_version: String,
}

/// The address under which clients reach the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and port.
    pub host: String,
    /// Path without the last slash; "" for the root.
    pub path: String,
}

impl std::fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.host, self.path)
    }
}

/// What the command line determines.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All flags and their values, by name.
    pub flags: Vec<(String, String)>,
    /// Names of the flags to which the command line gives a value other than the default.
    pub changed_flags: Vec<String>,
    pub build: BuildInfo,
    pub external_url: ExternalUrl,
    /// Prefix of all routes: `/`, or `/x` without a last slash.
    pub route_prefix: String,
    /// The first listen address.
    pub listen_address: String,
    /// `--web.cors.origin`, anchored.
    pub cors_origin: LabelRegex,
    pub page_title: String,
    /// `--agent`: there are no samples to query, and no rules.
    pub agent: bool,
    /// The machine's metrics, which `/metrics/machine` shows.
    pub machine_metrics: Option<Registry>,
    /// `--web.enable-lifecycle`
    pub lifecycle: bool,
    /// `--web.enable-admin-api`
    pub admin: bool,
    /// `--web.enable-remote-write-receiver`
    pub remote_write: bool,
    /// The receiver options that feature flags enable.
    pub remote_write_features: ferula_remote::write::Features,
    /// `--web.enable-otlp-receiver`
    pub otlp: bool,
    /// The options of OTLP that feature flags enable.
    pub otlp_features: ferula_otlp::Features,
    pub remote_read: ferula_remote::read::Limits,
    /// `--web.search.max-limit`; 0 means no limit.
    pub search_limit_max: usize,
    /// Whether the configuration is reloaded when its files change.
    pub auto_reload: bool,
    /// `--web.read-timeout`
    pub read_timeout: Duration,
    /// `--web.max-connections`
    pub connections_max: usize,
    /// The memory limit for all request bodies together, packed and unpacked.
    pub body_memory: MemoryContract,
    /// `--web.max-notifications-subscribers`
    pub notification_subscribers_max: usize,
    /// `--query.lookback-delta`, for federation.
    pub lookback_delta: Duration,
    pub data_dir: PathBuf,
    /// Optional parts of PromQL that are enabled.
    pub parser: ParserOptions,
    /// Whether the search API is enabled.
    pub search_api: bool,
    /// Names given to `--enable-feature`.
    pub features: Vec<String>,
    /// When the process started.
    pub started: OffsetDateTime,
}
