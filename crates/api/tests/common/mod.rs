//! The API on a store in memory, asked without a network.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use ferula_api::query::{QueryRunner, RunnerOptions};
use ferula_api::targets::{ActiveTarget, DroppedTarget, Health, TargetMetadata, TargetSource};
use ferula_api::{
    Api, BuildInfo, ExternalUrl, HeadStats, Lifecycle, Settings, Stage, Store, StoreAdmin, router,
};
use ferula_model::regex::LabelRegex;
use ferula_model::{LabelSet, Matcher, MetricMetadata, MetricType, TimeRange, Timestamp};
use ferula_promql::Engine;
use ferula_promql_syntax::ParserOptions;
use ferula_runtime::SimClock;
use ferula_storage::StorageError;
use ferula_telemetry::Registry;
use ferula_testkit::MemStorage;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tower_service::Service;

/// One target that was never scraped.
struct OneTarget;

impl TargetSource for OneTarget {
    fn pools(&self) -> Vec<String> {
        vec!["node".to_owned()]
    }

    fn active(&self) -> Vec<ActiveTarget> {
        vec![ActiveTarget {
            pool: "node".to_owned(),
            discovered_labels: LabelSet::from_pairs([("__address__", "localhost:9100")]),
            labels: LabelSet::from_pairs([("job", "node"), ("instance", "localhost:9100")]),
            url: "http://localhost:9100/metrics".to_owned(),
            last_error: String::new(),
            last_scrape: None,
            last_duration_seconds: 0.0,
            health: Health::Unknown,
            interval: "15s".to_owned(),
            timeout: "10s".to_owned(),
        }]
    }

    fn dropped(&self) -> Vec<DroppedTarget> {
        Vec::new()
    }

    fn dropped_counts(&self) -> Vec<(String, u64)> {
        vec![("node".to_owned(), 0)]
    }

    fn metadata(&self, metric: Option<&str>) -> Vec<TargetMetadata> {
        let entry = TargetMetadata {
            target: self.active()[0].labels.clone(),
            family: "up_total".to_owned(),
            metadata: MetricMetadata {
                kind: MetricType::Counter,
                unit: String::new(),
                help: "Help & more.".to_owned(),
            },
        };
        let other = TargetMetadata {
            family: "z".to_owned(),
            metadata: MetricMetadata { kind: MetricType::Gauge, ..MetricMetadata::default() },
            ..entry.clone()
        };
        vec![entry, other]
            .into_iter()
            .filter(|entry| metric.is_none_or(|metric| metric == entry.family))
            .collect()
    }
}

/// A store without chores.
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

    fn snapshot(&self, _: &Path, _: bool) -> Result<(), StorageError> {
        Ok(())
    }
}

/// The API with what the tests need of it.
pub struct Served {
    pub api: Arc<Api>,
    pub lifecycle: Option<mpsc::Receiver<Lifecycle>>,
    router: axum::Router,
}

/// An answer, its body read.
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
    let options = RunnerOptions { concurrency_max: 4, timeout: Duration::from_secs(60) };
    let queries = Arc::new(QueryRunner::new(Engine::default(), options, None, &registry));
    let mut settings = settings();
    change(&mut settings);
    let clock = Arc::new(SimClock::at(Timestamp::from_millis(1_000_000_000)));
    let (sender, lifecycle) = mpsc::channel(1);
    let api = Arc::new(Api::new(settings, registry, clock, queries, Arc::new(OneTarget), sender));
    api.set_store(Store {
        queryable: Arc::new(store.clone()),
        appendable: Arc::new(store),
        admin: Arc::new(NoChores),
    });
    api.readiness.set(Stage::Ready);
    Served { router: router(api.clone()), api, lifecycle: Some(lifecycle) }
}

fn put(store: &MemStorage, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    use ferula_storage::{Appendable, Durability, SampleBatch};
    let mut appender = store.appender();
    let series = appender.resolve(&LabelSet::from_pairs(labels.iter().copied())).expect("labels are given");
    let mut batch = SampleBatch::default();
    for (timestamp, value) in samples {
        batch.push_float(series, *timestamp, *value);
    }
    assert!(appender.append(&mut batch).refused.is_empty());
    appender.commit(Durability::Written).expect("a store in memory commits");
}

fn settings() -> Settings {
    Settings {
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
        lifecycle: true,
        admin: false,
        remote_write: false,
        remote_write_features: ferula_remote::write::Features::default(),
        auto_reload: false,
        read_timeout: Duration::from_secs(300),
        connections_max: 512,
        lookback_delta: Duration::from_secs(300),
        data_dir: "data".into(),
        parser: ParserOptions::default(),
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

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let head_only = request.method() == "HEAD";
        let response = self.router.clone().call(request).await.expect("the router always answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        // The server leaves the body of an answer to HEAD out.
        let text = if head_only { String::new() } else { String::from_utf8_lossy(&body).into_owned() };
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }
}
