//! What callers ask for.

use std::time::Duration;

use ferula_model::Timestamp;
use ferula_promql::{Grid, QueryOptions};

/// The moments at which a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationTime {
    /// One moment.
    Instant(Timestamp),
    /// Every moment of a grid.
    Range(Grid),
}

impl EvaluationTime {
    /// First moment, last moment and step in milliseconds; the step of an instant is 0.
    pub fn start_end_step_ms(self) -> (i64, i64, i64) {
        match self {
            EvaluationTime::Instant(at) => (at.millis(), at.millis(), 0),
            EvaluationTime::Range(grid) => (grid.start_ms, grid.end_ms, grid.step_ms),
        }
    }
}

/// A query with everything that its caller decides.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// The text; for a rule, the expression as the printer writes it.
    pub query: String,
    pub time: EvaluationTime,
    pub options: QueryOptions,
    /// The caller's own bound, beside that of the service. Waiting for a place counts.
    pub timeout: Option<Duration>,
    /// `None` for queries that belong to nobody, as in tests.
    pub origin: Option<Origin>,
}

/// Where a query comes from, for the query log and the list of running queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Http {
        /// Address of the client, without its port.
        client: String,
        method: String,
        path: String,
    },
    RuleGroup {
        file: String,
        name: String,
    },
}
