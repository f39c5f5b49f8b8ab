//! A query that has run: what it was, what came of it, and how long it took. For the caller, the log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use ferula_promql::QueryOutcome;

use crate::request::QueryRequest;

/// A query that ran, well or badly.
pub struct CompletedQuery {
    pub request: Arc<QueryRequest>,
    pub outcome: QueryOutcome,
    /// How long it waited for a place.
    pub queue_time: Duration,
    /// From the request to the outcome.
    pub total_time: Duration,
}
