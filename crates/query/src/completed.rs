//! The record of a finished query: its text, result and timing. For the caller, the query log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use ferula_promql::{QueryOutcome, QueryValue};

use crate::request::QueryRequest;

/// A query that has finished, with a result or an error.
pub struct CompletedQuery {
    pub request: Arc<QueryRequest>,
    pub outcome: QueryOutcome,
    /// Time spent waiting for a place.
    pub queue_time: Duration,
    /// From the request to the result.
    pub total_time: Duration,
}

impl CompletedQuery {
    /// How many points the result has; 0 without one.
    pub fn points(&self) -> usize {
        match &self.outcome.result {
            Ok(QueryValue::Scalar { .. } | QueryValue::String { .. }) => 1,
            Ok(QueryValue::Vector(samples)) => samples.len(),
            Ok(QueryValue::Matrix(series)) => {
                series.iter().map(|series| series.floats.len() + series.histograms.len()).sum()
            }
            Err(_) => 0,
        }
    }
}
