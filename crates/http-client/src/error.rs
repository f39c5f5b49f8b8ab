//! Why a client cannot be created, a request failed, or a body could not be read.
//!
//! The texts are those of Go's client, because `/targets`, logs and alerts show them and people search for them. Names
//! and passwords of URLs are masked.

use std::fmt;
use std::io;

use ferula_config::UrlError;
pub use ferula_go::os::io_text;
use ferula_go::quote::go_quote;
use ferula_go::url::QueryError;

use crate::url::masked_text;

/// Why a file of the section could not be read.
#[derive(Debug, thiserror::Error)]
#[error("unable to read file {file}: open {file}: {}", io_text(.error))]
pub struct FileError {
    pub file: String,
    pub error: io::Error,
}

/// Why a certificate and its key cannot be used, in Go's words.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("tls: failed to find any PEM data in certificate input")]
    NoCertificate,
    #[error("tls: failed to find any PEM data in key input")]
    NoKey,
    #[error("tls: private key does not match public key")]
    KeyOfAnother,
    #[error("tls: {0}")]
    Tls(rustls::Error),
}

/// Why a client could not be made of its section.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("unable to read {what}: {error}")]
    File { what: &'static str, error: FileError },
    /// The text is not a certificate. `source_text` is `inline` or the file's name.
    #[error("unable to use specified CA cert {source_text}")]
    Authorities { source_text: String },
    #[error("unable to use specified client cert ({cert}) & key ({key}): {reason}")]
    Identity { cert: String, key: String, reason: IdentityError },
    #[error(
        "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified"
    )]
    VersionsReversed,
    /// There is no secret store to which a `…_ref` could refer.
    #[error("cannot use secret ref without manager")]
    SecretReference,
    #[error("{0}")]
    Header(HeaderError),
    #[error("invalid proxy address {}: {reason}", go_quote(.address))]
    Proxy { address: String, reason: String },
}

/// A header that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("net/http: invalid header field name {}", go_quote(.0))]
    Name(String),
    /// The value is not shown, because it may be a secret.
    #[error("net/http: invalid header field value for {}", go_quote(.0))]
    Value(String),
}

/// Why a request got no answer. Prints as `Get "http://h/": dial tcp …`.
#[derive(Debug)]
pub struct RequestError {
    pub method: http::Method,
    /// The URL of the last attempt, without user name and password.
    pub url: String,
    pub cause: Box<Cause>,
}

impl RequestError {
    pub(crate) fn new(method: &http::Method, url: String, cause: Cause) -> Self {
        RequestError { method: method.clone(), url, cause: Box::new(cause) }
    }

    /// The error for a caller whose time ran out.
    pub fn deadline(method: &http::Method, url: &str) -> Self {
        RequestError::new(method, masked_text(url), Cause::Deadline)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // There is no method to name: a text that is not a URL never became a request.
        if let Cause::Url(reason) = &*self.cause {
            return write!(f, "{reason}");
        }
        let method = self.method.as_str();
        let (first, rest) = method.split_at(1.min(method.len()));
        write!(f, "{first}{} {}: {}", rest.to_ascii_lowercase(), go_quote(&self.url), self.cause)
    }
}

// No `source`: the text already includes the cause, which an error chain would print again.
impl std::error::Error for RequestError {}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("{0}")]
    Url(UrlError),
    #[error("unsupported protocol scheme {}", go_quote(.0))]
    Scheme(String),
    #[error("http: no Host in request URL")]
    NoHost,
    #[error("{0}")]
    Header(HeaderError),
    /// A file of the section cannot be read any more.
    #[error("{0}")]
    Section(SetupError),
    #[error("unable to read headers file {}: open {}: {}", .0.file, .0.file, io_text(&.0.error))]
    HeaderFile(FileError),
    #[error("{0}")]
    Token(TokenError),
    #[error("dial tcp: address {0}: invalid port")]
    Port(String),
    #[error("dial tcp: lookup {host}: {reason}")]
    Lookup { host: String, reason: String },
    #[error("dial {network} {address}: connect: {}", io_text(.error))]
    Connect { network: &'static str, address: String, error: io::Error },
    #[error("proxyconnect tcp: {0}")]
    ProxyConnect(Box<Cause>),
    /// The status line of the proxy's answer to `CONNECT`, without the number.
    #[error("{0}")]
    ProxyRefused(String),
    #[error("socks connect tcp {proxy}->{target}: {reason}")]
    Socks { proxy: String, target: String, reason: String },
    #[error("{0}")]
    Tls(TlsError),
    /// `op` is `read` or `write`; `connection` is `tcp local->remote`.
    #[error("{op} {connection}: {op}: {}", io_text(.error))]
    Transport { op: &'static str, connection: String, error: io::Error },
    /// The server closed the connection without an answer.
    #[error("EOF")]
    Closed,
    #[error("net/http: server response headers exceeded {0} bytes; aborted")]
    HeadersTooLarge(usize),
    #[error("net/http: HTTP/1.x transport connection broken: {0}")]
    Malformed(String),
    #[error("failed to parse Location header {}: {error}", go_quote(.location))]
    Location { location: String, error: UrlError },
    #[error("stopped after {0} redirects")]
    TooManyRedirects(usize),
    #[error("context deadline exceeded")]
    Deadline,
    /// HTTP/2 errors, and others without a text of their own.
    #[error("{0}")]
    Other(String),
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("http: server gave HTTP response to HTTPS client")]
    AnsweredInHttp,
    #[error("tls: first record does not look like a TLS handshake")]
    NotTls,
    #[error("tls: failed to verify certificate: {0}")]
    Certificate(String),
    #[error("remote error: tls: {0}")]
    Alert(String),
    #[error("net/http: TLS handshake timeout")]
    Timeout,
    /// Only 1.2 and 1.3 are supported; see `docs/decisions/http-client.md`.
    #[error("tls: no supported versions satisfy MinVersion and MaxVersion")]
    NoVersion,
    #[error("tls: {0}")]
    Other(String),
}

/// Why no token was obtained from an OAuth 2.0 server.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("oauth2: cannot fetch token: {0}")]
    Request(Box<RequestError>),
    #[error("oauth2: cannot fetch token: {0}")]
    Body(BodyError),
    #[error("oauth2: cannot fetch token: {status}\nResponse: {body}")]
    Status { status: String, body: String },
    /// `code` and its description, quoted, as the server sent them.
    #[error("oauth2: {0}")]
    Refused(String),
    #[error("oauth2: server response missing access_token")]
    NoToken,
    #[error("oauth2: cannot parse response: {0}")]
    Form(QueryError),
    #[error("oauth2: cannot parse json: {0}")]
    Json(String),
    #[error("oauth2: cannot overwrite parameter {}", go_quote(.0))]
    Parameter(String),
    #[error("{0}")]
    Key(#[from] crate::jwt::KeyError),
}

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("unexpected EOF")]
    Truncated,
    #[error("read {connection}: read: {}", io_text(.error))]
    Read { connection: String, error: io::Error },
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Other(String),
}
