//! How rules run queries: through the service that clients use as well, or with a separate engine for tests
//! and backtests.

use std::sync::{Arc, RwLock};

use ferula_go::sync::RwLockExt;
use ferula_model::{LabelSet, TimeRange, Timestamp};
use ferula_promql::{Engine, InstantSample, QueryControl, QueryOptions, QueryValue, SampleValue, StopReason};
use ferula_promql_syntax::Expr;
use ferula_query::{EvaluationTime, Origin, QueryRequest, QueryService};
use ferula_storage::{Queryable, Snapshot, StorageError};
use tokio::runtime::Handle;

use crate::RuleError;

/// Evaluates expressions at one moment. Limits and timeouts are up to the implementation.
pub trait RuleQuery: Send + Sync {
    /// Returns the value of an expression, of any type. Blocks.
    ///
    /// # Errors
    /// The query was not admitted, or failed.
    fn value(&self, expr: &Expr, at: Timestamp, origin: &RuleOrigin<'_>) -> Result<QueryValue, RuleError>;

    /// Returns the value as a vector, which is what rules work with. A scalar becomes one element without
    /// labels.
    ///
    /// # Errors
    /// As [`RuleQuery::value`], and when the value is neither vector nor scalar.
    fn vector(
        &self,
        expr: &Expr,
        at: Timestamp,
        origin: &RuleOrigin<'_>,
    ) -> Result<Vec<InstantSample>, RuleError> {
        match self.value(expr, at, origin)? {
            QueryValue::Vector(samples) => Ok(samples),
            QueryValue::Scalar { timestamp_ms, value } => Ok(vec![InstantSample {
                labels: LabelSet::empty(),
                timestamp_ms,
                value: SampleValue::Float(value),
            }]),
            QueryValue::String { .. } | QueryValue::Matrix(_) => Err(RuleError::NotAVector),
        }
    }

    /// Stops all running and future queries, for shutdown.
    fn stop(&self) {}
}

/// The rule that runs a query, for the query log and the list of running queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleOrigin<'a> {
    pub file: &'a str,
    pub group: &'a str,
    /// The expression as text.
    pub query: &'a str,
}

/// Runs queries through the service, within the limits that apply to clients too.
pub struct ServiceQuery {
    service: Arc<QueryService>,
    /// Rules run on their own threads; waiting for admission and for the timeout needs the runtime.
    runtime: Handle,
}

impl ServiceQuery {
    pub fn new(service: Arc<QueryService>, runtime: Handle) -> Self {
        ServiceQuery { service, runtime }
    }
}

impl RuleQuery for ServiceQuery {
    fn value(&self, expr: &Expr, at: Timestamp, origin: &RuleOrigin<'_>) -> Result<QueryValue, RuleError> {
        let request = QueryRequest {
            query: origin.query.to_owned(),
            time: EvaluationTime::Instant(at),
            options: QueryOptions::default(),
            timeout: None,
            origin: Some(Origin::RuleGroup { file: origin.file.to_owned(), name: origin.group.to_owned() }),
        };
        Ok(self.service.evaluate(&self.runtime, request, expr)?.outcome.result?)
    }

    fn stop(&self) {
        self.service.stop_rules();
    }
}

/// Runs queries on a separate engine: nothing is counted, logged or limited in time.
pub struct EngineQuery<S: ?Sized> {
    engine: RwLock<Engine>,
    storage: Arc<S>,
    control: QueryControl,
}

impl<S: Queryable + ?Sized> EngineQuery<S> {
    pub fn new(engine: Engine, storage: Arc<S>) -> Self {
        EngineQuery { engine: RwLock::new(engine), storage, control: QueryControl::new() }
    }

    /// Replaces the engine for subsequent queries.
    pub fn set_engine(&self, engine: Engine) {
        *self.engine.write_locked() = engine;
    }
}

impl<S: Queryable + ?Sized> RuleQuery for EngineQuery<S> {
    fn value(&self, expr: &Expr, at: Timestamp, _: &RuleOrigin<'_>) -> Result<QueryValue, RuleError> {
        let engine = self.engine.read_locked().clone();
        let options = QueryOptions::default();
        Ok(engine.instant_expr(&Borrowed(&*self.storage), expr, at, &options, &self.control).result?)
    }

    fn stop(&self) {
        self.control.stop(StopReason::Shutdown);
    }
}

/// A store behind a reference: a trait object of the engine needs a type with a size.
struct Borrowed<'s, S: ?Sized>(&'s S);

impl<S: Queryable + ?Sized> Queryable for Borrowed<'_, S> {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        self.0.snapshot(range)
    }
}
