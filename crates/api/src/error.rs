//! Errors of the API: their types, the status of each, and the body. The only place that chooses a status.

use axum::http::StatusCode;

/// What kind of error an answer carries; the words are Prometheus'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The query's time ran out.
    Timeout,
    /// The client went away.
    Canceled,
    /// The query is fine but cannot be evaluated on this data.
    Execution,
    /// The request is wrong.
    BadData,
    /// The server failed.
    Internal,
    /// Not now, or not on this server.
    Unavailable,
    /// The server has no room for this now; the same may work later. Prometheus has no such case.
    Overloaded,
    /// There is no such thing.
    NotFound,
}

impl ErrorKind {
    /// The word in the body.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Timeout => "timeout",
            ErrorKind::Canceled => "canceled",
            ErrorKind::Execution => "execution",
            ErrorKind::BadData => "bad_data",
            ErrorKind::Internal => "internal",
            ErrorKind::Unavailable | ErrorKind::Overloaded => "unavailable",
            ErrorKind::NotFound => "not_found",
        }
    }

    /// The status of the answer. `unavailable` is 500, because Prometheus has no case for it.
    pub fn status(self) -> StatusCode {
        match self {
            ErrorKind::Timeout | ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            // Not in any standard; nginx uses it when the client has closed the connection.
            ErrorKind::Canceled => StatusCode::from_u16(499).expect("a three-digit number"),
            ErrorKind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::BadData => StatusCode::BAD_REQUEST,
            ErrorKind::Internal | ErrorKind::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// Why a request has no data for an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    /// Its kind.
    pub kind: ErrorKind,
    /// What the reader is told.
    pub text: String,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        ApiError { kind, text: text.into() }
    }

    /// The request is wrong.
    pub fn bad_data(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, text)
    }

    /// One parameter of the request is wrong.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {why}"))
    }

    /// The server failed.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, text)
    }

    /// The store failed. While it is not open that is `unavailable`, as in Prometheus.
    pub fn storage(error: &ferula_storage::StorageError, otherwise: ErrorKind) -> Self {
        match error {
            ferula_storage::StorageError::NotReady => Self::new(ErrorKind::Unavailable, error.to_string()),
            _ => Self::new(otherwise, error.to_string()),
        }
    }
}
