//! How rules ask questions.

use std::sync::{Arc, PoisonError, RwLock};

use ferula_model::{LabelSet, TimeRange, Timestamp};
use ferula_promql::{Engine, InstantSample, QueryControl, QueryOptions, QueryValue, SampleValue, StopReason};
use ferula_promql_syntax::Expr;
use ferula_storage::{Queryable, Snapshot, StorageError};

use crate::RuleError;

/// Evaluates an expression at one moment. What limits and timeouts hold is the implementer's business.
pub trait RuleQuery: Send + Sync {
    /// The vector; a scalar comes as one element without labels.
    ///
    /// # Errors
    /// As [`RuleError`] tells.
    fn instant(&self, expr: &Expr, at: Timestamp) -> Result<Vec<InstantSample>, RuleError>;

    /// Ends running and coming queries, for shutdown.
    fn stop(&self) {}
}

/// Queries by the engine on a store.
pub struct EngineQuery<S: ?Sized> {
    engine: RwLock<Engine>,
    storage: Arc<S>,
    control: QueryControl,
}

impl<S: Queryable + ?Sized> EngineQuery<S> {
    /// Asks `engine` about `storage`.
    pub fn new(engine: Engine, storage: Arc<S>) -> Self {
        EngineQuery { engine: RwLock::new(engine), storage, control: QueryControl::new() }
    }

    /// Takes another engine for the queries that follow, as when a reload changed its options.
    pub fn set_engine(&self, engine: Engine) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
    }
}

impl<S: Queryable + ?Sized> EngineQuery<S> {
    /// Any value, where rules know vectors and scalars only.
    pub(crate) fn value(&self, expr: &Expr, at: Timestamp) -> Result<QueryValue, RuleError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner).clone();
        let options = QueryOptions::default();
        Ok(engine.instant_expr(&Borrowed(&*self.storage), expr, at, &options, &self.control).result?)
    }
}

impl<S: Queryable + ?Sized> RuleQuery for EngineQuery<S> {
    fn instant(&self, expr: &Expr, at: Timestamp) -> Result<Vec<InstantSample>, RuleError> {
        match self.value(expr, at)? {
            QueryValue::Vector(samples) => Ok(samples),
            QueryValue::Scalar { timestamp_ms, value } => Ok(vec![InstantSample {
                labels: LabelSet::empty(),
                timestamp_ms,
                value: SampleValue::Float(value),
            }]),
            QueryValue::String { .. } | QueryValue::Matrix(_) => Err(RuleError::NotAVector),
        }
    }

    fn stop(&self) {
        self.control.stop(StopReason::Shutdown);
    }
}

/// A store behind a reference: the engine wants a sized one to point at.
struct Borrowed<'s, S: ?Sized>(&'s S);

impl<S: Queryable + ?Sized> Queryable for Borrowed<'_, S> {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        self.0.snapshot(range)
    }
}
