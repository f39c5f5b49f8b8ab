//! A query request.

use std::time::Duration;

use ferula_model::Timestamp;
use ferula_promql::{Grid, QueryOptions};

/// The timestamps at which a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationTime {
    Instant(Timestamp),
    /// Every timestamp of a grid.
    Range(Grid),
}

impl EvaluationTime {
    /// First and last timestamp and step in milliseconds; the step of an instant query is 0.
    pub fn start_end_step_ms(self) -> (i64, i64, i64) {
        match self {
            EvaluationTime::Instant(at) => (at.millis(), at.millis(), 0),
            EvaluationTime::Range(grid) => (grid.start_ms, grid.end_ms, grid.step_ms),
        }
    }
}

/// A query with everything that the caller decides.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// The text; for a rule, the expression as the printer writes it.
    pub query: String,
    pub time: EvaluationTime,
    pub options: QueryOptions,
    /// The caller's own limit, in addition to the service's. Waiting for a place counts.
    pub timeout: Option<Duration>,
    /// `None` if unknown, as in tests.
    pub origin: Option<Origin>,
}

/// Where a query comes from, for the query log and the list of running queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Http {
        /// The client's address, without port.
        client: String,
        method: String,
        path: String,
    },
    RuleGroup {
        file: String,
        name: String,
    },
}
