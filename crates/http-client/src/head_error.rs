//! Why the head of an answer was refused.

/// Why a head was refused; the texts are Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("unexpected EOF")]
    UnexpectedEnd,
    #[error("malformed HTTP response {0}")]
    Response(String),
    #[error("malformed HTTP status code {0}")]
    StatusCode(String),
    #[error("malformed HTTP version {0}")]
    Version(String),
    #[error("malformed MIME header initial line: {0}")]
    InitialLine(String),
    #[error("malformed MIME header: missing colon: {0}")]
    NoColon(String),
    #[error("malformed MIME header line: {0}")]
    Line(String),
    #[error("bad Content-Length {0}")]
    ContentLength(String),
    #[error("http: message cannot contain multiple Content-Length headers; got [{0}]")]
    ContentLengths(String),
    #[error("unsupported transfer encoding: {0}")]
    TransferEncoding(String),
    #[error("too many transfer encodings: [{0}]")]
    TransferEncodings(String),
    #[error("bad trailer key {0}")]
    TrailerKey(String),
    /// The head exceeds `HEADER_BYTES_MAX`.
    #[error("the head is too large")]
    TooLarge,
}
