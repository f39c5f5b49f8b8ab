//! The record of a finished query: its text, result and timing. For the caller, the query log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use ferula_promql::QueryOutcome;

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
