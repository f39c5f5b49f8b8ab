//! Errors as clients see them: in the API's envelope and in plain text. Their statuses are in `status`.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use ferula_query::AdmissionError;
use ferula_storage::{OutOfMemory, StorageError};

pub use crate::status::{ErrorKind, RefusalKind};

/// Why a request to the API failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    pub kind: ErrorKind,
    /// The text for the client.
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

    /// An agent has nothing to answer with.
    pub fn not_for_agents() -> Self {
        Self::new(ErrorKind::Execution, "unavailable with Prometheus Agent")
    }

    /// The server failed.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, text)
    }

    /// The store failed. While the store is not open, the kind is `unavailable`, as in Prometheus.
    pub fn storage(error: &StorageError, otherwise: ErrorKind) -> Self {
        match error {
            StorageError::NotReady => Self::new(ErrorKind::Unavailable, error.to_string()),
            StorageError::OutOfMemory(_) => Self::new(ErrorKind::Overloaded, error.to_string()),
            // The text is Go's, which Prometheus answers with.
            StorageError::Stopped => Self::new(ErrorKind::Timeout, "context deadline exceeded"),
            _ => Self::new(otherwise, error.to_string()),
        }
    }
}

impl From<OutOfMemory> for ApiError {
    fn from(refused: OutOfMemory) -> Self {
        Self::storage(&StorageError::OutOfMemory(refused), ErrorKind::Overloaded)
    }
}

impl From<AdmissionError> for ApiError {
    fn from(error: AdmissionError) -> Self {
        match error {
            // Prometheus answers 422, not 503, when a query's time is up before it has a place.
            AdmissionError::Timeout | AdmissionError::RulesStopped => {
                Self::new(ErrorKind::Execution, error.to_string())
            }
        }
    }
}

/// An error in plain text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub kind: RefusalKind,
    text: Cow<'static, str>,
    /// `Some` while the server starts (`false`) or stops (`true`).
    stopping: Option<bool>,
}

impl Refusal {
    /// A refusal whose text ends in a newline, as with Go's `http.Error`.
    pub fn new(kind: RefusalKind, text: impl std::fmt::Display) -> Self {
        Refusal { kind, text: format!("{text}\n").into(), stopping: None }
    }

    /// A refusal whose text has no final newline; some of Prometheus' have none.
    pub const fn bare(kind: RefusalKind, text: &'static str) -> Self {
        Refusal { kind, text: Cow::Borrowed(text), stopping: None }
    }

    /// The server is starting or stopping.
    pub const fn unavailable(stopping: bool) -> Self {
        let text = Cow::Borrowed("Service Unavailable");
        Refusal { kind: RefusalKind::Unavailable, text, stopping: Some(stopping) }
    }

    /// There is no such path.
    pub const fn no_such_page() -> Self {
        Self::bare(RefusalKind::NotFound, "404 page not found\n")
    }

    /// A handler panicked or its thread is gone; the log has the details.
    pub const fn internal() -> Self {
        Self::bare(RefusalKind::Internal, "internal error\n")
    }

    /// Converts the refusal to a response.
    pub fn into_answer(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.text.into_owned()));
        *response.status_mut() = self.kind.status();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        // The router sets it on every answer; refusals of the web configuration do not pass the router.
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(stopping) = self.stopping {
            let value = HeaderValue::from_static(if stopping { "true" } else { "false" });
            response.headers_mut().insert("x-prometheus-stopping", value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_got_no_place_is_a_timeout() {
        let error = ApiError::from(AdmissionError::Timeout);
        assert_eq!((error.kind.status().as_u16(), error.kind.as_str()), (422, "execution"));
        assert_eq!(error.text, "context deadline exceeded");
    }

    #[test]
    fn refusals_are_plain_text() {
        let answer = Refusal::new(RefusalKind::TooLarge, "no").into_answer();
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
