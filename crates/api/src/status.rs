//! The statuses of all answers. This is the only file of the crate that names one, as `cargo xtask tidy` checks:
//! the others say what an answer is.

use axum::http::StatusCode;

/// An answer that is what the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Success {
    Ok,
    /// Without a body.
    NoContent,
    /// The client already has the page.
    NotModified,
}

impl Success {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Success::Ok => StatusCode::OK,
            Success::NoContent => StatusCode::NO_CONTENT,
            Success::NotModified => StatusCode::NOT_MODIFIED,
        }
    }
}

/// The client is sent to another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirection {
    /// The page is there now.
    Found,
    /// The page has moved permanently.
    Moved,
    /// The client repeats the request there, with the same method and body.
    Temporary,
}

impl Redirection {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Redirection::Found => StatusCode::FOUND,
            Redirection::Moved => StatusCode::MOVED_PERMANENTLY,
            Redirection::Temporary => StatusCode::TEMPORARY_REDIRECT,
        }
    }
}

/// What kind of error an answer of the API carries; the words are Prometheus'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Timeout,
    /// The client went away.
    Canceled,
    Execution,
    BadData,
    Internal,
    /// Not available now, or not on this server.
    Unavailable,
    /// The server has no capacity for this now; a retry may succeed. Prometheus has no such case.
    Overloaded,
    NotFound,
    /// The answer is not available in the requested form.
    NotAcceptable,
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
            ErrorKind::NotAcceptable => "not_acceptable",
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
            ErrorKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        }
    }
}

/// Why a request outside the API's envelope is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    BadRequest,
    /// The client has not said who it is.
    Unauthorized,
    /// Switched off, or not allowed for this client.
    Forbidden,
    /// There is no such path, or nothing is there.
    NotFound,
    /// The path does not support this method.
    MethodNotAllowed,
    TooSlow,
    TooLarge,
    /// More requests than the configured rate.
    TooMany,
    /// The body's content type is not supported.
    MediaType,
    Internal,
    /// This server does not support it.
    NotImplemented,
    /// Not available now.
    Unavailable,
}

impl RefusalKind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            RefusalKind::BadRequest => StatusCode::BAD_REQUEST,
            RefusalKind::Unauthorized => StatusCode::UNAUTHORIZED,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            RefusalKind::TooSlow => StatusCode::REQUEST_TIMEOUT,
            RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RefusalKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            RefusalKind::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            RefusalKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
