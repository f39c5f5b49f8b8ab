//! Why a query has no result. The texts are Prometheus'.

use ferula_storage::{OutOfMemory, StorageError};

/// Why a query has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// The text is not a valid query, or not valid as an instant or range query. Nothing was evaluated.
    #[error("{0}")]
    Parse(String),
    /// More samples than `--query.max-samples` at one time.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The memory shared by all queries is exhausted.
    #[error("query processing would use too much memory: {0}")]
    OutOfMemory(#[from] OutOfMemory),
    /// The caller's time ran out.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// The caller canceled the query.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// The query is valid, but it cannot be answered over its data.
    #[error("{0}")]
    Execution(String),
    /// The store failed.
    #[error("{0}")]
    Storage(StorageError),
}

impl From<StorageError> for QueryError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::OutOfMemory(refused) => QueryError::OutOfMemory(refused),
            StorageError::Remote(text) => QueryError::Execution(text),
            other => QueryError::Storage(other),
        }
    }
}

impl QueryError {
    /// An [`QueryError::Execution`] with this text.
    pub(crate) fn execution(text: impl Into<String>) -> Self {
        QueryError::Execution(text.into())
    }

    /// Two series of one result would carry the same labels at the same time.
    pub(crate) fn same_labelset() -> Self {
        QueryError::execution("vector cannot contain metrics with the same labelset")
    }
}
