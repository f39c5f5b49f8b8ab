//! Why an evaluation failed. The texts are Prometheus'; they are shown as `lastError`.

use ferula_promql::QueryError;
use ferula_query::AdmissionError;
use ferula_storage::{AppendError, CommitError, StorageError};

/// Why a rule's evaluation failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// The query failed.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// The query was not admitted.
    #[error("{0}")]
    Admission(#[from] AdmissionError),
    /// The query returned a string or a matrix.
    #[error("rule result is not a vector or scalar")]
    NotAVector,
    /// Two series have the same labels once the rule's labels are applied.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    SameRecordedLabels,
    /// Two alerts have the same labels once the rule's labels are applied.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameAlertLabels,
    /// More results than the group's limit.
    #[error("exceeded limit of {limit} with {count} {what}")]
    Limit {
        limit: usize,
        count: usize,
        /// `series` or `alerts`.
        what: &'static str,
    },
    /// Some samples were refused; this is the last error.
    #[error("{0}")]
    Append(AppendError),
    /// None of the results were stored.
    #[error("{0}")]
    Commit(CommitError),
    /// The store could not be read.
    #[error("{0}")]
    Storage(#[from] StorageError),
}

/// Why rule files were not loaded. The previous groups keep running, as Prometheus' text says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error loading rules, previous rule set restored: {}", errors.join("; "))]
pub struct LoadError {
    /// One text per error, with file and line; never empty.
    pub errors: Vec<String>,
}

impl RuleError {
    /// Whether the query was stopped deliberately, as at shutdown.
    pub(crate) fn is_canceled(&self) -> bool {
        matches!(
            self,
            RuleError::Query(QueryError::Canceled(_)) | RuleError::Admission(AdmissionError::RulesStopped)
        )
    }
}
