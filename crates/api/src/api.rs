//! What handlers share: settings, and handles to everything below that they read.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use ferula_config::Config;
use ferula_config::scrape::ScrapeConfig;
use ferula_model::regex::LabelRegex;
use ferula_model::{Matcher, TimeRange};
use ferula_notifier::AlertmanagersSnapshot;
use ferula_promql_syntax::ParserOptions;
use ferula_rules::GroupSnapshot;
use ferula_runtime::SharedClock;
use ferula_storage::{Appendable, Queryable, StorageError};
use ferula_telemetry::Registry;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};

use crate::alerting::AlertingSource;
use crate::http_metrics::HttpMetrics;
use crate::query::QueryRunner;
use crate::readiness::Readiness;
use crate::targets::TargetSource;

/// What the program says about itself. The version is the level of Prometheus that is served: clients switch
/// features by it.
#[derive(Clone, Debug)]
pub struct BuildInfo {
    /// Version of Prometheus whose behaviour this is.
    pub version: String,
    /// Revision of the source.
    pub revision: String,
    /// Branch of the source.
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When, as `YYYYMMDD-hh:mm:ss`.
    pub build_date: String,
    /// The compiler; Go's version in Prometheus.
    pub go_version: String,
}

/// The address under which others reach the server.
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

/// What the command line decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All flags with their values, by name.
    pub flags: Vec<(String, String)>,
    /// About the program.
    pub build: BuildInfo,
    /// `--web.external-url`
    pub external_url: ExternalUrl,
    /// Prefix of all routes: `/`, or `/x` without a last slash.
    pub route_prefix: String,
    /// The first listen address.
    pub listen_address: String,
    /// `--web.cors.origin`, anchored.
    pub cors_origin: LabelRegex,
    /// `--web.page-title`
    pub page_title: String,
    /// `--web.enable-lifecycle`
    pub lifecycle: bool,
    /// `--web.enable-admin-api`
    pub admin: bool,
    /// `--web.enable-remote-write-receiver`
    pub remote_write: bool,
    /// What the feature flags ask of receiving.
    pub remote_write_features: ferula_remote::write::Features,
    /// Whether the configuration is reloaded when its files change.
    pub auto_reload: bool,
    /// `--web.read-timeout`
    pub read_timeout: Duration,
    /// `--web.max-connections`
    pub connections_max: usize,
    /// `--query.lookback-delta`, for federation.
    pub lookback_delta: Duration,
    /// `--storage.tsdb.path`
    pub data_dir: PathBuf,
    /// Parts of PromQL that are switched on.
    pub parser: ParserOptions,
    /// Names given to `--enable-feature`.
    pub features: Vec<String>,
    /// When the process started.
    pub started: OffsetDateTime,
}

/// The store as handlers use it.
#[derive(Clone)]
pub struct Store {
    /// For reading.
    pub queryable: Arc<dyn Queryable>,
    /// For remote write.
    pub appendable: Arc<dyn Appendable>,
    /// For status and maintenance.
    pub admin: Arc<dyn StoreAdmin>,
}

/// Figures and chores of the store.
pub trait StoreAdmin: Send + Sync {
    /// What the head holds; each list has at most `limit` entries, the largest first.
    fn stats(&self, limit: usize) -> HeadStats;

    /// Why new samples are not taken at the moment, if they are not; reading goes on.
    fn ingestion_failure(&self) -> Option<String>;

    /// The blocks on disk, oldest first, each as the JSON text of its `meta.json`.
    fn block_metas(&self) -> Vec<String>;

    /// Deletes samples of the series in the range.
    fn delete(&self, range: TimeRange, matchers: &[Matcher]) -> Result<(), StorageError>;

    /// Removes deleted samples from disk.
    fn clean_tombstones(&self) -> Result<(), StorageError>;

    /// Writes blocks, and the head unless told not to, into a new folder.
    fn snapshot(&self, folder: &std::path::Path, with_head: bool) -> Result<(), StorageError>;
}

/// What the head holds.
#[derive(Clone, Debug, Default)]
pub struct HeadStats {
    /// Series.
    pub series: u64,
    /// Different label pairs.
    pub label_pairs: u64,
    /// Chunks.
    pub chunks: i64,
    /// Oldest sample in milliseconds; `i64::MAX` when there is none.
    pub min_time: i64,
    /// Newest sample in milliseconds; `i64::MIN` when there is none.
    pub max_time: i64,
    /// Metric names by their number of series.
    pub series_by_metric_name: Vec<(String, u64)>,
    /// Label names by their number of values.
    pub values_by_label_name: Vec<(String, u64)>,
    /// Label names by the bytes of their values.
    pub bytes_by_label_name: Vec<(String, u64)>,
    /// Label pairs by their number of series.
    pub series_by_label_pair: Vec<(String, u64)>,
}

/// What a request may ask of the program as a whole.
pub enum Lifecycle {
    /// Load the configuration again and say how it went.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Stop.
    Quit,
}

/// Progress of reading the log at start, in segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalReplay {
    /// First segment.
    pub min: u64,
    /// Last segment.
    pub max: u64,
    /// The one being read.
    pub current: u64,
}

/// The configuration that holds now.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The sections.
    pub config: Arc<Config>,
    /// Its printed form.
    pub yaml: Arc<str>,
    /// Its scrape jobs, those of other files included, as they were then.
    pub jobs: Arc<[ScrapeConfig]>,
}

/// Everything that handlers share.
pub struct Api {
    /// What the command line decides.
    pub settings: Settings,
    /// Metrics of the process.
    pub registry: Registry,
    /// The time.
    pub clock: SharedClock,
    /// Whether to answer yet.
    pub readiness: Readiness,
    /// Runs queries.
    pub queries: Arc<QueryRunner>,
    /// Scrape targets.
    pub targets: Arc<dyn TargetSource>,
    pub(crate) http: HttpMetrics,
    pub(crate) write: ferula_remote::write::Receiver,
    alerting: OnceLock<Arc<dyn AlertingSource>>,
    store: OnceLock<Store>,
    loaded: RwLock<Option<Loaded>>,
    wal_replay: RwLock<WalReplay>,
    retention: RwLock<String>,
    lifecycle: mpsc::Sender<Lifecycle>,
}

impl Api {
    /// Handles whose store and configuration come later.
    pub fn new(
        settings: Settings,
        registry: Registry,
        clock: SharedClock,
        queries: Arc<QueryRunner>,
        targets: Arc<dyn TargetSource>,
        lifecycle: mpsc::Sender<Lifecycle>,
    ) -> Self {
        Api {
            readiness: Readiness::new(&registry),
            http: HttpMetrics::new(&registry),
            write: ferula_remote::write::Receiver::new(&registry, settings.remote_write_features),
            settings,
            registry,
            clock,
            queries,
            targets,
            alerting: OnceLock::new(),
            store: OnceLock::new(),
            loaded: RwLock::default(),
            wal_replay: RwLock::default(),
            retention: RwLock::default(),
            lifecycle,
        }
    }

    /// Puts the store in, once it is open. A second store is not taken.
    pub fn set_store(&self, store: Store) {
        // The binary opens one store per process.
        let _ = self.store.set(store);
    }

    /// The store.
    ///
    /// # Errors
    /// [`StorageError::NotReady`] until it is open.
    pub fn store(&self) -> Result<&Store, StorageError> {
        self.store.get().ok_or(StorageError::NotReady)
    }

    /// Puts in what knows about rules and Alertmanagers, once it runs.
    pub fn set_alerting(&self, source: Arc<dyn AlertingSource>) {
        // The binary starts one of them per process.
        let _ = self.alerting.set(source);
    }

    /// The rule groups; none before they run.
    pub(crate) fn groups(&self) -> Vec<GroupSnapshot> {
        self.alerting.get().map(|source| source.groups()).unwrap_or_default()
    }

    /// The Alertmanagers; none before they are looked for.
    pub(crate) fn alertmanagers(&self) -> AlertmanagersSnapshot {
        self.alerting.get().map(|source| source.alertmanagers()).unwrap_or_default()
    }

    /// Takes a configuration that holds from now on.
    pub fn set_config(&self, config: Arc<Config>) {
        let yaml = config.to_yaml().into();
        // Who applies it has reported files of jobs that cannot be read.
        let jobs = config.scrape_jobs().map(|all| all.jobs.into()).unwrap_or_default();
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(Loaded { config, yaml, jobs });
    }

    /// The configuration that holds now.
    pub fn loaded(&self) -> Option<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how far reading the log has come.
    pub fn set_wal_replay(&self, progress: WalReplay) {
        *self.wal_replay.write().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// How far reading the log has come.
    pub fn wal_replay(&self) -> WalReplay {
        *self.wal_replay.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how long samples are kept, in the words of `status/runtimeinfo`: `15d or 512MB`.
    pub fn set_retention(&self, text: &str) {
        text.clone_into(&mut self.retention.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// How long samples are kept.
    pub fn retention(&self) -> String {
        self.retention.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Passes a request on to the program; `false` when nobody listens any more.
    pub(crate) async fn ask(&self, request: Lifecycle) -> bool {
        self.lifecycle.send(request).await.is_ok()
    }

    /// Path of a page or endpoint as others see it.
    pub(crate) fn external_path(&self, path: &str) -> String {
        format!("{}{path}", self.settings.external_url.path)
    }
}
