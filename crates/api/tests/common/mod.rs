//! The API on an in-memory store, called without a network.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use ferula_api::{
    AlertingSource, Api, Asset, BuildInfo, ExternalUrl, HeadStats, Lifecycle, LoadedConfig, Service,
    Settings, Shell, Site, Stage, Store, StoreAdmin, TargetSource, WalReplay, WebUi, router,
};
use ferula_config::Config;
use ferula_discovery::TargetGroup;
use ferula_model::regex::LabelRegex;
use ferula_model::{LabelSet, Matcher, MetricType, TimeRange, Timestamp};
use ferula_notifier::AlertmanagersSnapshot;
use ferula_promql::Engine;
use ferula_promql_syntax::ParserOptions;
use ferula_query::{QueryService, ServiceOptions};
use ferula_rules::GroupSnapshot;
use ferula_runtime::SimClock;
use ferula_scraper::metadata_cache::MetadataCache;
use ferula_scraper::target_maker::{TargetMaker, TargetOutcome};
use ferula_scraper::{PoolSnapshot, TargetsSnapshot};
use ferula_storage::{MemoryContract, StorageError};
use ferula_telemetry::Registry;
use ferula_testkit::MemStorage;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;
use tokio::sync::{mpsc, watch};
use tower_service::Service as _;

/// One target that was never scraped but has metadata.
struct OneTarget(TargetsSnapshot);

impl OneTarget {
    fn new() -> Self {
        let job = "scrape_configs: [{job_name: node, scrape_interval: 15s}]";
        let job = Arc::new(Config::parse(job).expect("the job is valid").scrape_configs[0].clone());
        let group = TargetGroup::new("0".to_owned(), &["localhost:9100".to_owned()], &BTreeMap::new());
        let Ok(TargetOutcome::Scraped(target)) = TargetMaker::new(&job).make(&group.targets[0], &group)
        else {
            panic!("the target is good");
        };
        let mut metadata = MetadataCache::default();
        metadata.set_kind(b"up_total", MetricType::Counter);
        metadata.set_help(b"up_total", "Help & more.");
        metadata.set_kind(b"z", MetricType::Gauge);
        target.set_metadata(Arc::new(Mutex::new(metadata)));
        let pool = PoolSnapshot {
            name: "node".to_owned(),
            config: job,
            active: vec![Arc::from(target)],
            dropped: Vec::new(),
            dropped_count: 0,
        };
        OneTarget(TargetsSnapshot { pools: vec![pool] })
    }
}

impl TargetSource for OneTarget {
    fn targets(&self) -> TargetsSnapshot {
        self.0.clone()
    }
}

/// No rules and no Alertmanagers.
struct NoAlerting;

impl AlertingSource for NoAlerting {
    fn groups(&self) -> Vec<GroupSnapshot> {
        Vec::new()
    }

    fn alertmanagers(&self) -> AlertmanagersSnapshot {
        AlertmanagersSnapshot::default()
    }
}

/// One file, and a shell that shows what it was given.
struct OnePage;

impl WebUi for OnePage {
    fn asset(&self, path: &str) -> Option<Asset> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(b"let x;").expect("memory takes it");
        (path == "1/app.js").then(|| Asset {
            content_type: "text/javascript",
            gzip: packed.finish().expect("packed").into(),
            etag: "\"1\"".into(),
            cache_control: "immutable",
        })
    }

    fn shell(&self, page: &Shell<'_>) -> String {
        format!(
            "<html data-path=\"{}\" data-ready={} data-lookback={}>",
            page.path, page.ready, page.lookback
        )
    }
}

/// A store without maintenance tasks.
struct NoChores;

impl StoreAdmin for NoChores {
    fn stats(&self, _: usize) -> HeadStats {
        HeadStats::default()
    }

    fn ingestion_failure(&self) -> Option<String> {
        None
    }

    fn block_metas(&self) -> Vec<String> {
        Vec::new()
    }

    fn delete(&self, _: TimeRange, matchers: &[Matcher]) -> Result<(), StorageError> {
        assert!(!matchers.is_empty(), "no matcher is every series");
        Ok(())
    }

    fn clean_tombstones(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn backup(&self, _: &Path, _: bool) -> Result<(), StorageError> {
        Ok(())
    }
}

/// The API and the handles that tests need.
pub struct Served {
    pub site: Arc<Site>,
    pub lifecycle: Option<mpsc::Receiver<Lifecycle>>,
    pub clock: SimClock,
    pub loaded: watch::Sender<Arc<LoadedConfig>>,
    pub service: watch::Sender<Service>,
    pub store: Arc<MemStorage>,
    router: axum::Router,
}

/// An answer with its body.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

pub fn served() -> Served {
    served_with(|_| {})
}

pub fn served_with(change: impl FnOnce(&mut Settings)) -> Served {
    let store = MemStorage::new();
    put(&store, &[("__name__", "up"), ("job", "<a>")], &[(100_000, 1.0)]);
    put(&store, &[("__name__", "two"), ("n", "1")], &[(100_000, 1.0)]);
    put(&store, &[("__name__", "two"), ("n", "2")], &[(100_000, 2.0)]);
    put(&store, &[("__name__", "tiny")], &[(7_000, 1e-7)]);
    put(&store, &[("__name__", "recent")], &[(999_990_000, 3.0), (999_999_000, 4.0)]);
    let registry = Registry::new();
    let sim_clock = SimClock::at(Timestamp::from_millis(1_000_000_000));
    let clock = Arc::new(sim_clock.clone());
    let mut settings = settings();
    change(&mut settings);
    let pages: Option<Arc<dyn WebUi>> = settings.page_title.is_empty().then(|| Arc::new(OnePage) as _);
    let (sender, lifecycle) = mpsc::channel(1);
    let (_, replay) = watch::channel(WalReplay { min: 0, max: 7, current: 3 });
    let site = Arc::new(Site::new(settings, registry.clone(), clock.clone(), pages, replay, sender));
    let options = ServiceOptions { concurrency_max: 4, timeout: Duration::from_secs(60) };
    let queryable: Arc<MemStorage> = Arc::new(store);
    let queries = QueryService::new(queryable.clone(), Engine::default(), options, None, clock, &registry);
    let mem = queryable.clone();
    let store = Store {
        queryable: queryable.clone(),
        local: queryable.clone(),
        appendable: queryable,
        admin: Arc::new(NoChores),
        growth: None,
    };
    let config = Config::parse("").expect("an empty configuration is valid");
    let (loaded, receiver) = watch::channel(Arc::new(LoadedConfig::new(config, String::new())));
    let (targets, alerting) = (Arc::new(OneTarget::new()), Arc::new(NoAlerting));
    let api = Api::new(site.clone(), Arc::new(queries), store, targets, alerting, receiver);
    site.readiness.set(Stage::Ready);
    let (service, services) = watch::channel(Service::Running(Arc::new(api)));
    let router = router(services);
    Served { site, lifecycle: Some(lifecycle), clock: sim_clock, loaded, service, store: mem, router }
}

pub fn put(store: &MemStorage, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    use ferula_storage::{Appendable, Durability, SampleBatch};
    let mut appender = store.appender();
    let series = appender.resolve(&LabelSet::from_pairs(labels.iter().copied())).expect("labels are given");
    let mut batch = SampleBatch::default();
    for (timestamp, value) in samples {
        batch.push_float(series, Timestamp::from_millis(*timestamp), *value);
    }
    assert!(appender.append(&mut batch).refused.is_empty());
    appender.commit(Durability::Written).expect("a store in memory commits");
}

fn settings() -> Settings {
    Settings {
        changed_flags: vec!["web.enable-lifecycle".to_owned()],
        flags: vec![
            ("web.enable-lifecycle".to_owned(), "true".to_owned()),
            ("config.file".to_owned(), "prometheus.yml".to_owned()),
        ],
        build: BuildInfo {
            version: "3.14.0".to_owned(),
            revision: "r".to_owned(),
            branch: "b".to_owned(),
            build_user: "u".to_owned(),
            build_date: "20260821-00:00:00".to_owned(),
            go_version: "none".to_owned(),
        },
        external_url: ExternalUrl {
            scheme: "http".to_owned(),
            host: "here:9090".to_owned(),
            path: String::new(),
        },
        route_prefix: "/".to_owned(),
        listen_address: "0.0.0.0:9090".to_owned(),
        cors_origin: LabelRegex::new(".*").expect("a regex"),
        page_title: "Prometheus".to_owned(),
        agent: false,
        machine_metrics: Some(Registry::new()),
        lifecycle: true,
        admin: false,
        remote_write: false,
        remote_write_features: ferula_remote::write::Features::default(),
        otlp: false,
        otlp_features: ferula_otlp::Features::default(),
        search_limit_max: 50,
        remote_read: ferula_remote::read::Limits {
            samples_max: 0,
            frame_bytes_max: ferula_remote::read::FRAME_BYTES,
            concurrent_max: 10,
        },
        auto_reload: false,
        body_memory: MemoryContract::new(64 << 20),
        read_timeout: Duration::from_secs(300),
        connections_max: 512,
        notification_subscribers_max: 2,
        lookback_delta: Duration::from_secs(300),
        data_dir: "data".into(),
        parser: ParserOptions::default(),
        search_api: false,
        features: Vec::new(),
        started: time::OffsetDateTime::UNIX_EPOCH,
    }
}

impl Served {
    /// Sends `METHOD path` or `METHOD path form-body`.
    pub async fn ask(&self, request: &str) -> Answer {
        let mut parts = request.splitn(3, ' ');
        let (method, path) = (parts.next().expect("a method"), parts.next().expect("a path"));
        let request = Request::builder().method(method).uri(path);
        let request = match parts.next() {
            Some(form) => request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(form.to_owned())),
            None => request.body(Body::empty()),
        };
        self.send(request.expect("a request")).await
    }

    /// The answer before its body is read.
    pub async fn open(&self, request: Request<Body>) -> axum::http::Response<Body> {
        self.router.clone().call(request).await.expect("the router always answers")
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let head_only = request.method() == "HEAD";
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        // The server omits the body of an answer to HEAD.
        let text = if head_only { String::new() } else { String::from_utf8_lossy(&body).into_owned() };
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }
}
