//! One query from request to outcome.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ferula_model::Timestamp;
use ferula_promql::{Engine, Grid, QueryControl, QueryError, QueryOptions, QueryOutcome, StopReason};
use ferula_storage::Queryable;
use ferula_telemetry::{Counter, Gauge, Histogram, Registry, Summary, error};
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::active::ActiveQueries;
use super::log::{Line, QueryLog};
use crate::error::{ApiError, ErrorKind};

/// What holds for all queries.
pub struct RunnerOptions {
    /// `--query.max-concurrency`
    pub concurrency_max: usize,
    /// `--query.timeout`
    pub timeout: Duration,
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// At one moment.
    Instant(Timestamp),
    /// At every moment of a grid.
    Range(Grid),
}

/// A query as a client asks it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The text.
    pub query: String,
    /// When to evaluate.
    pub when: When,
    /// Overrides of the caller.
    pub options: QueryOptions,
    /// The caller's own bound on time; the server's holds as well.
    pub timeout: Option<Duration>,
    /// Who asks, for the query log.
    pub origin: Option<Origin>,
}

/// The request that a query came with.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Address of the client.
    pub client: String,
    /// Method of the request.
    pub method: String,
    /// Path of the request.
    pub path: String,
}

/// A query that ran.
pub struct Ran {
    /// Its result.
    pub outcome: QueryOutcome,
    /// Seconds in the queue.
    pub queue_seconds: f64,
    /// Seconds in all.
    pub total_seconds: f64,
}

/// Runs queries for the API and the rules, within one limit.
pub struct QueryRunner {
    engine: RwLock<Engine>,
    places: Arc<Semaphore>,
    timeout: Duration,
    active: Option<ActiveQueries>,
    log: RwLock<Option<Arc<QueryLog>>>,
    metrics: EngineMetrics,
}

struct EngineMetrics {
    queries: Gauge,
    samples: Counter,
    samples_read: Counter,
    log_enabled: Gauge,
    log_failures: Counter,
    queue_time: (Summary, Histogram),
    prepare_time: (Summary, Histogram),
    inner_eval: (Summary, Histogram),
    result_sort: (Summary, Histogram),
}

impl EngineMetrics {
    fn new(registry: &Registry, concurrency_max: usize) -> Self {
        registry
            .gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries.")
            .set(concurrency_max as f64);
        let summaries = registry.summary_vec(
            "prometheus_engine_query_duration_seconds",
            "Query timings",
            &[0.5, 0.9, 0.99],
            &["slice"],
        );
        let histograms = registry.histogram_vec(
            "prometheus_engine_query_duration_histogram_seconds",
            "Query timings",
            &[0.01, 0.1, 1.0, 10.0],
            &["slice"],
        );
        let slice = |name| (summaries.with(&[name]), histograms.with(&[name]));
        EngineMetrics {
            queries: registry.gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            samples: registry.counter(
                "prometheus_engine_query_samples_total",
                "The total number of samples loaded by all queries.",
            ),
            samples_read: registry.counter(
                "prometheus_engine_query_samples_read_total",
                "The total number of samples read from storage by all queries.",
            ),
            log_enabled: registry.gauge("prometheus_engine_query_log_enabled", "State of the query log."),
            log_failures: registry
                .counter("prometheus_engine_query_log_failures_total", "The number of query log failures."),
            queue_time: slice("queue_time"),
            prepare_time: slice("prepare_time"),
            inner_eval: slice("inner_eval"),
            result_sort: slice("result_sort"),
        }
    }
}

fn observe((summary, histogram): &(Summary, Histogram), seconds: f64) {
    summary.observe(seconds);
    histogram.observe(seconds);
}

impl QueryRunner {
    /// A runner. `active` is left out in tests.
    pub fn new(
        engine: Engine,
        options: RunnerOptions,
        active: Option<ActiveQueries>,
        registry: &Registry,
    ) -> Self {
        QueryRunner {
            engine: RwLock::new(engine),
            places: Arc::new(Semaphore::new(options.concurrency_max.max(1))),
            timeout: options.timeout,
            active,
            log: RwLock::default(),
            metrics: EngineMetrics::new(registry, options.concurrency_max),
        }
    }

    /// The engine as it is configured now.
    pub fn engine(&self) -> Engine {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes another engine for the queries that start from now on.
    pub fn set_engine(&self, engine: Engine) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
    }

    /// Opens, changes or (with "") closes the query log.
    pub fn set_log(&self, path: &str) -> std::io::Result<()> {
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        if log.as_ref().map_or("", |log| log.path()) != path {
            *log = if path.is_empty() { None } else { Some(Arc::new(QueryLog::open(path)?)) };
        }
        self.metrics.log_enabled.set(f64::from(u8::from(log.is_some())));
        Ok(())
    }

    /// Waits for a place and returns a query that can be run, on a thread that may block.
    ///
    /// Dropping the returned [`Watch`] stops the query: the client has gone.
    pub async fn admit(self: &Arc<Self>, asked: Asked) -> Result<(Admitted, Watch), ApiError> {
        let begin = Instant::now();
        let waiting = Waiting::new(&self.metrics.queries);
        let allowed = asked.timeout.unwrap_or(self.timeout).min(self.timeout);
        let place = tokio::time::timeout(allowed, self.places.clone().acquire_owned()).await;
        observe(&self.metrics.queue_time, begin.elapsed().as_secs_f64());
        let place = match place {
            Ok(place) => place.expect("the semaphore is never closed"),
            // Go's word for it; Prometheus answers 422 here.
            Err(_) => return Err(ApiError::new(ErrorKind::Execution, "context deadline exceeded")),
        };
        let control = QueryControl::with_clock(Arc::new(move || {
            u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
        }));
        if allowed.is_zero() {
            control.stop(StopReason::Timeout);
        }
        let watch = Watch { control: control.clone(), deadline: begin + allowed };
        let admitted = Admitted {
            runner: self.clone(),
            asked,
            control,
            begin,
            queue_seconds: begin.elapsed().as_secs_f64(),
            _place: place,
            _waiting: waiting,
        };
        Ok((admitted, watch))
    }
}

/// Counts a query as long as it waits or runs.
struct Waiting(Gauge);

impl Waiting {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Waiting(gauge.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Stops the query when its time is over, or when the watch is dropped.
pub struct Watch {
    control: QueryControl,
    deadline: Instant,
}

impl Watch {
    /// Awaits what runs the query; stops the query when its time is over, and still awaits its answer.
    pub async fn over<T>(self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep_until(self.deadline.into()) => self.control.stop(StopReason::Timeout),
        }
        work.await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.control.stop(StopReason::Canceled);
    }
}

/// A query that has a place.
pub struct Admitted {
    runner: Arc<QueryRunner>,
    asked: Asked,
    control: QueryControl,
    begin: Instant,
    queue_seconds: f64,
    _place: OwnedSemaphorePermit,
    _waiting: Waiting,
}

impl Admitted {
    /// What was asked.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Runs the query. Blocks.
    pub fn run(self, store: &dyn Queryable) -> (Asked, Ran) {
        let runner = self.runner.clone();
        let now = OffsetDateTime::now_utc();
        let active =
            runner.active.as_ref().and_then(|active| active.insert(&self.asked.query, now.unix_timestamp()));
        let engine = runner.engine();
        let (query, options) = (&self.asked.query, &self.asked.options);
        let outcome = match self.asked.when {
            When::Instant(at) => engine.instant(store, query, at, options, &self.control),
            When::Range(grid) => engine.range(store, query, grid, options, &self.control),
        };
        drop(active);
        let ran = Ran {
            outcome,
            queue_seconds: self.queue_seconds,
            total_seconds: self.begin.elapsed().as_secs_f64(),
        };
        runner.account(&self.asked, &ran);
        (self.asked, ran)
    }
}

impl QueryRunner {
    /// Counts a query that ran, and logs it.
    fn account(&self, asked: &Asked, ran: &Ran) {
        let stats = &ran.outcome.stats;
        self.metrics.samples.add(stats.samples_total);
        self.metrics.samples_read.add(stats.samples_read);
        // A query that could not be parsed was never evaluated, and Prometheus neither times nor logs it.
        if matches!(ran.outcome.result, Err(QueryError::Parse(_))) {
            return;
        }
        observe(&self.metrics.prepare_time, stats.timings.query_preparation_seconds);
        observe(&self.metrics.inner_eval, stats.timings.inner_eval_seconds);
        if let When::Range(_) = asked.when {
            observe(&self.metrics.result_sort, stats.timings.result_sort_seconds);
        }
        let Some(log) = self.log.read().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        let line = Line {
            now: OffsetDateTime::now_utc(),
            asked,
            error: ran.outcome.result.as_ref().err().map(ToString::to_string),
            stats,
            queue_seconds: ran.queue_seconds,
            total_seconds: ran.total_seconds,
        };
        if let Err(err) = log.write(&line) {
            self.metrics.log_failures.inc();
            error!("can't log query", err = err);
        }
    }
}
