//! Requests and answers as callers see them.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::error::{BodyError, Cause, RequestError};
use crate::error_text::body_error;
use crate::pool::Lease;
use crate::url::{self, Url};
use crate::wire::Wire;

/// A body up to this size is read to its end so that its connection can be used again.
const DRAINED_BYTES_MAX: usize = 256 << 10;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) unix_socket: Option<Arc<Path>>,
}

impl Request {
    /// A request without a body.
    ///
    /// # Errors
    /// The text is not a URL.
    pub fn new(method: Method, url: &str) -> Result<Self, RequestError> {
        match url::parse(url) {
            Ok(url) => Ok(Request::to(method, url)),
            Err(error) => Err(RequestError::new(&method, error.masked().to_owned(), Cause::Url(error))),
        }
    }

    /// A request to a parsed URL.
    pub fn to(method: Method, url: Url) -> Self {
        Request { method, url, headers: HeaderMap::new(), body: Bytes::new(), unix_socket: None }
    }

    /// A `GET`.
    ///
    /// # Errors
    /// See [`Request::new`].
    pub fn get(url: &str) -> Result<Self, RequestError> {
        Request::new(Method::GET, url)
    }

    /// A `POST` of a body of this type.
    ///
    /// # Errors
    /// See [`Request::new`].
    pub fn post(url: &str, content_type: &'static str, body: Bytes) -> Result<Self, RequestError> {
        let request = Request::new(Method::POST, url)?;
        Ok(request.header(CONTENT_TYPE, HeaderValue::from_static(content_type)).body(body))
    }

    /// Sets a header. `User-Agent` and `Authorization` replace what the client would send.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets all headers.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Where it is sent.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The headers so far.
    pub fn header_map(&self) -> &HeaderMap {
        &self.headers
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Connects to this Unix socket whatever the URL's host; so do redirects.
    #[must_use]
    pub fn over_unix_socket(mut self, path: Arc<Path>) -> Self {
        self.unix_socket = Some(path);
        self
    }
}

/// An answer whose body has not been read yet. Dropping it before the end of the body closes its connection.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    status_text: String,
    headers: HeaderMap,
    url: Url,
    body: Incoming,
    wire: Arc<Wire>,
    /// Returns the connection to the pool once the body has been read.
    lease: Option<Lease>,
}

impl Response {
    pub(crate) fn new(
        response: http::Response<Incoming>,
        url: Url,
        wire: Arc<Wire>,
        lease: Option<Lease>,
    ) -> Self {
        let (head, body) = response.into_parts();
        let status_text = status_text(&head, &wire);
        let mut response =
            Response { status: head.status, status_text, headers: head.headers, url, body, wire, lease };
        if response.body.is_end_stream() {
            response.give_back();
        }
        response
    }

    /// The status as a number.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// `404 Not Found`, in the server's own words.
    pub fn status_text(&self) -> &str {
        &self.status_text
    }

    /// All headers, in the order received.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's first value; bytes that are not UTF-8 are replaced.
    pub fn header_text(&self, name: &HeaderName) -> String {
        let value = self.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }

    /// The URL of the answer, after redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// The next piece of the body; `None` at the end.
    ///
    /// # Errors
    /// The connection ended before the body did.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| body_error(&error, &self.wire))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        self.give_back();
        Ok(None)
    }

    /// The whole body.
    ///
    /// # Errors
    /// The body exceeds `bytes_max`; also the errors of [`Response::chunk`].
    pub async fn bytes(mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > bytes_max {
                return Err(BodyError::TooLarge(bytes_max));
            }
            if body.is_empty() && self.body.is_end_stream() {
                self.give_back();
                return Ok(chunk);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Reads a small rest of the body so that the connection can be reused; for a large rest, that is not
    /// worth it.
    pub async fn drain(mut self) {
        let mut bytes = 0;
        while let Ok(Some(chunk)) = self.chunk().await {
            bytes += chunk.len();
            if bytes > DRAINED_BYTES_MAX {
                return;
            }
        }
    }
}

/// The status as in the first line of the answer. HTTP/2 has no reason phrase, so the standard one is used.
fn status_text(head: &http::response::Parts, wire: &Wire) -> String {
    if head.status == StatusCode::OK || head.version == http::Version::HTTP_2 {
        return format!("{} {}", head.status.as_str(), head.status.canonical_reason().unwrap_or_default());
    }
    wire.status()
}
