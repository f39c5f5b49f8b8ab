//! One query from request to outcome.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use ferula_go::sync::RwLockExt;
use ferula_model::{TimeRange, UnixNanos};
use ferula_promql::{Engine, QueryControl, QueryError, QueryOutcome, StopReason};
use ferula_promql_syntax::Expr;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_storage::Queryable;
use ferula_telemetry::{Registry, error};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::active_file::ActiveFile;
use crate::completed::CompletedQuery;
use crate::log::{LogLine, QueryLog};
use crate::metrics::{CountedQuery, EngineMetrics};
use crate::reads::{ReadRecord, ReaderKind, RecordingStore};
use crate::recent::{RecentQueries, TopQueries};
use crate::request::{EvaluationTime, QueryRequest};
use crate::running::{Listed, RunningQueries, RunningQuery, is_of_rule};

/// Limits for all queries.
pub struct ServiceOptions {
    /// `--query.max-concurrency`
    pub concurrency_max: usize,
    /// `--query.timeout`
    pub timeout: Duration,
}

/// Longer queries are not tried as small ones: parsing them alone takes its time.
const SMALL_QUERY_BYTES_MAX: usize = 1024;

/// Why a query did not get to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// Its time was up before a place was free. The text is Go's, which Prometheus answers with.
    #[error("context deadline exceeded")]
    Timeout,
    /// It belongs to a rule, and rules may start no more queries.
    #[error("rule evaluation was stopped")]
    RulesStopped,
}

/// Runs the queries of clients and rules on one store, under one set of limits.
pub struct QueryService {
    store: Arc<dyn Queryable>,
    engine: RwLock<Engine>,
    pub(crate) clock: SharedClock,
    places: Arc<Semaphore>,
    /// For look-ups.
    pub(crate) lookup_places: Arc<Semaphore>,
    pub(crate) timeout: Duration,
    active_file: Option<ActiveFile>,
    log: RwLock<Option<Arc<QueryLog>>>,
    running: Arc<RunningQueries>,
    recent: RecentQueries,
    reads: ReadRecord,
    /// Requested when rules must start no more queries.
    rules_stopped: Shutdown,
    metrics: EngineMetrics,
}

impl QueryService {
    /// Without an `active_file`, running queries are not recorded on disk.
    pub fn new(
        store: Arc<dyn Queryable>,
        engine: Engine,
        options: ServiceOptions,
        active_file: Option<ActiveFile>,
        clock: SharedClock,
        registry: &Registry,
    ) -> Self {
        QueryService {
            store,
            engine: RwLock::new(engine),
            reads: ReadRecord::new(clock.clone()),
            clock,
            places: Arc::new(Semaphore::new(options.concurrency_max.max(1))),
            lookup_places: Arc::new(Semaphore::new(options.concurrency_max.max(1))),
            timeout: options.timeout,
            active_file,
            log: RwLock::default(),
            running: Arc::default(),
            recent: RecentQueries::default(),
            rules_stopped: Shutdown::new(),
            metrics: EngineMetrics::new(registry, options.concurrency_max),
        }
    }

    /// The engine as currently configured.
    pub fn engine(&self) -> Engine {
        self.engine.read_locked().clone()
    }

    /// Replaces the engine for queries that start from now on.
    pub fn set_engine(&self, engine: Engine) {
        *self.engine.write_locked() = engine;
    }

    /// Opens, changes or (with "") closes the query log. If the new file cannot be opened, the old log continues.
    pub fn set_log(&self, path: &str) -> std::io::Result<()> {
        let mut log = self.log.write_locked();
        if log.as_ref().map_or("", |log| log.path()) != path {
            *log = if path.is_empty() { None } else { Some(Arc::new(QueryLog::open(path)?)) };
        }
        self.metrics.log_enabled.set(f64::from(u8::from(log.is_some())));
        Ok(())
    }

    /// Waits for a place. The query then runs on a thread that may block, while the guard enforces the time limit.
    ///
    /// # Errors
    /// The time was up before a place was free.
    pub async fn admit(
        self: &Arc<Self>,
        request: QueryRequest,
    ) -> Result<(AdmittedQuery, QueryGuard), AdmissionError> {
        let begin = self.clock.elapsed();
        let counted = CountedQuery::new(&self.metrics.queries);
        let allowed = request.timeout.unwrap_or(self.timeout).min(self.timeout);
        let place = tokio::select! {
            biased;
            place = self.places.clone().acquire_owned() => Some(place.expect("the semaphore is never closed")),
            () = self.rules_stopped.requested(), if is_of_rule(&request) => return Err(AdmissionError::RulesStopped),
            () = self.clock.sleep(allowed) => None,
        };
        let queue_time = self.clock.elapsed().saturating_sub(begin);
        self.metrics.waited(queue_time.as_secs_f64());
        let place = place.ok_or(AdmissionError::Timeout)?;
        let clock = self.clock.clone();
        let control = QueryControl::with_clock(Arc::new(move || {
            u64::try_from(clock.elapsed().saturating_sub(begin).as_nanos()).unwrap_or(u64::MAX)
        }));
        if allowed.is_zero() {
            control.stop(StopReason::Timeout);
        }
        let guard = QueryGuard {
            control: control.clone(),
            clock: self.clock.clone(),
            remaining: allowed.saturating_sub(queue_time),
        };
        let began_at = UnixNanos(self.clock.unix_nanos());
        let request = Arc::new(request);
        let listed = self.running.insert(request.clone(), began_at, begin, control.clone());
        let admitted = AdmittedQuery {
            service: self.clone(),
            request,
            control,
            begin,
            began_at,
            queue_time,
            _place: place,
            _counted: counted,
            _listed: listed,
        };
        Ok((admitted, guard))
    }

    /// Evaluates an already parsed expression: waits for a place, runs, enforces the time limit. Blocks; must not be
    /// called on a thread that drives the runtime's tasks.
    ///
    /// # Errors
    /// The time was up before a place was free.
    pub fn evaluate(
        self: &Arc<Self>,
        runtime: &Handle,
        request: QueryRequest,
        expr: &Expr,
    ) -> Result<CompletedQuery, AdmissionError> {
        let (admitted, guard) = runtime.block_on(self.admit(request))?;
        let _timer = Timer(runtime.spawn(guard.watch(std::future::pending::<()>())));
        Ok(admitted.run_expr(expr))
    }

    /// Which metrics queries have read. Readers of the store that are not queries note theirs here, too.
    pub fn reads(&self) -> &ReadRecord {
        &self.reads
    }

    /// The running queries, longest running first.
    pub fn running(&self) -> Vec<RunningQuery> {
        self.running.list(self.clock.elapsed())
    }

    /// The recent queries that ran most often, took longest, and used the most memory.
    pub fn top(&self, count_max: usize, lifetime: Duration) -> TopQueries {
        self.recent.top(count_max, lifetime, self.clock.elapsed())
    }

    /// Stops a running query. Returns `false` if no query has this id.
    pub fn stop(&self, id: u64) -> bool {
        self.running.stop(id)
    }

    /// Stops the running queries of rules, and any that rules start from now on.
    pub fn stop_rules(&self) {
        self.rules_stopped.request();
        self.running.stop_rules();
    }

    fn account(&self, completed: &CompletedQuery) {
        let stats = &completed.outcome.stats;
        self.metrics.count_samples(stats);
        // Prometheus neither times nor logs a query that could not be parsed.
        if matches!(completed.outcome.result, Err(QueryError::Parse(_))) {
            return;
        }
        let (took, memory) = (completed.total_time, stats.memory_peak_bytes);
        self.recent.insert(&completed.request, took, memory, self.clock.elapsed());
        self.metrics.time_phases(stats, matches!(completed.request.time, EvaluationTime::Range(_)));
        let Some(log) = self.log.read_locked().clone() else { return };
        let line = LogLine { now: UnixNanos(self.clock.unix_nanos()), completed };
        if let Err(err) = log.write(&line) {
            self.metrics.log_failures.inc();
            error!("can't log query", err = err);
        }
    }
}

/// The task that enforces a query's time limit. It ends with the query, even on a panic.
struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Stops the query when its time is up, or when dropped before that.
pub struct QueryGuard {
    pub(crate) control: QueryControl,
    pub(crate) clock: SharedClock,
    pub(crate) remaining: Duration,
}

/// The time was up, and the work did not end soon after it was stopped. It still ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query timed out in query preparation")]
pub struct Overdue;

/// How long work may take to notice that its time is up.
const NOTICE: Duration = Duration::from_millis(80);

impl QueryGuard {
    /// [`watch`](Self::watch) for an answer that must not wait for work which does not notice in time that it was
    /// stopped.
    ///
    /// # Errors
    /// It did not.
    pub async fn watch_strictly<T>(self, work: impl Future<Output = T>) -> Result<T, Overdue> {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return Ok(done),
            () = self.clock.sleep(self.remaining) => self.control.stop(StopReason::Timeout),
        }
        tokio::select! {
            biased;
            done = &mut work => Ok(done),
            () = self.clock.sleep(NOTICE) => Err(Overdue),
        }
    }

    /// Awaits `work`, which runs the query. When the time is up, the query is stopped and `work` is still awaited: it
    /// soon returns with the error to answer with.
    pub async fn watch<T>(self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = self.clock.sleep(self.remaining) => self.control.stop(StopReason::Timeout),
        }
        work.await
    }
}

impl Drop for QueryGuard {
    fn drop(&mut self) {
        self.control.stop(StopReason::Canceled);
    }
}

/// A query that has a place. It counts as running until dropped.
pub struct AdmittedQuery {
    service: Arc<QueryService>,
    request: Arc<QueryRequest>,
    control: QueryControl,
    begin: Duration,
    began_at: UnixNanos,
    queue_time: Duration,
    _place: OwnedSemaphorePermit,
    _counted: CountedQuery,
    _listed: Listed,
}

impl AdmittedQuery {
    /// Returns a function that tells whether the query was stopped, for callers that evaluate it piecewise themselves.
    pub fn stopped(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let control = self.control.clone();
        Arc::new(move || control.check("").is_err())
    }

    /// Parses and runs the query. Blocks.
    pub fn run(self) -> CompletedQuery {
        let (engine, control) = (self.service.engine(), self.control.clone());
        let outcome = self.outcome(&engine, &control);
        self.completed(outcome)
    }

    /// Parses and runs the query if that takes no more than some hundred microseconds: handing it to another thread
    /// would double its cost. Returns it otherwise, to be [`run`](Self::run).
    ///
    /// # Errors
    /// It is not small, or was stopped, or fails: whatever limits made it fail do not hold for `run`.
    pub fn run_if_small(self) -> Result<CompletedQuery, Box<Self>> {
        let (query, store) = (&self.request.query, &self.service.store);
        // What reaches into blocks is not begun twice.
        if has_costly_pattern(query) || query.len() > SMALL_QUERY_BYTES_MAX || self.control.check("").is_err()
        {
            return Err(Box::new(self));
        }
        let (start, end, _) = self.request.time.start_end_step_ms();
        let at_hand = store.snapshot(TimeRange::from_millis(start, end)).is_ok_and(|it| it.is_in_memory());
        if !at_hand {
            return Err(Box::new(self));
        }
        let outcome = self.outcome(&self.service.engine().brief(), &self.control.brief());
        if outcome.result.is_err() {
            return Err(Box::new(self));
        }
        Ok(self.completed(outcome))
    }

    fn outcome(&self, engine: &Engine, control: &QueryControl) -> QueryOutcome {
        let request = &*self.request;
        self.recorded(|store| match request.time {
            EvaluationTime::Instant(at) => {
                engine.instant(store, &request.query, at, &request.options, control)
            }
            EvaluationTime::Range(grid) => {
                engine.range(store, &request.query, grid, &request.options, control)
            }
        })
    }

    fn run_expr(self, expr: &Expr) -> CompletedQuery {
        let (engine, request) = (self.service.engine(), &*self.request);
        let outcome = self.recorded(|store| match request.time {
            EvaluationTime::Instant(at) => {
                engine.instant_expr(store, expr, at, &request.options, &self.control)
            }
            EvaluationTime::Range(grid) => {
                engine.range_expr(store, expr, grid, &request.options, &self.control)
            }
        });
        self.completed(outcome)
    }

    /// Runs the query while it is in the file of active queries, on a store that notes which metrics it reads.
    fn recorded(&self, run: impl FnOnce(&dyn Queryable) -> QueryOutcome) -> QueryOutcome {
        let file = self.service.active_file.as_ref();
        let _in_file = file.and_then(|file| file.insert(&self.request.query, self.began_at.whole_seconds()));
        let reader = if is_of_rule(&self.request) { ReaderKind::Rule } else { ReaderKind::Client };
        run(&RecordingStore::new(&*self.service.store, &self.service.reads, reader))
    }

    fn completed(self, outcome: QueryOutcome) -> CompletedQuery {
        let service = &self.service;
        let completed = CompletedQuery {
            request: self.request.clone(),
            outcome,
            queue_time: self.queue_time,
            total_time: service.clock.elapsed().saturating_sub(self.begin),
        };
        service.account(&completed);
        completed
    }
}

/// Whether a query may have a regular expression that takes long to compile, however short it is: one with counted
/// repetitions, classes of Unicode, or without regard to case.
fn has_costly_pattern(query: &str) -> bool {
    let counts = query.as_bytes().windows(2).any(|pair| pair[0] == b'{' && pair[1].is_ascii_digit());
    counts || ["\\p", "\\P", "(?"].iter().any(|mark| query.contains(mark))
}

#[cfg(test)]
mod tests;
