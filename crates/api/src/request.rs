//! A request as handlers see it: parameters parsed, body read, sizes checked.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, Method, Request as HttpRequest, header};
use bytes::BytesMut;
use ferula_go::mime::parse_media_type;
use ferula_go::multipart::form_values;
use ferula_go::url::QueryError;
use ferula_storage::{Lease, MemoryContract, OutOfMemory};
use http_body_util::{BodyExt, Limited};

use crate::error::{ApiError, Refusal, RefusalKind};
use crate::params::Params;

/// The size limit of a form, as in Go.
pub const FORM_BYTES_MAX: usize = 10 << 20;
/// The size limit of a remote write body; unpacked it is limited again.
pub const WRITE_BYTES_MAX: usize = 32 << 20;

/// The client's address, which the server attaches to the request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// A request.
pub struct Request {
    pub method: Method,
    /// Its path as sent, including the prefix of all routes.
    pub path: String,
    /// The URL's query as sent, without `?`.
    pub url_query: String,
    pub headers: HeaderMap,
    /// Parameters of the URL and the form.
    pub params: Params,
    /// The decoded variable segment of the path; "" if the route has none.
    pub path_param: String,
    /// The body, unless it is a form.
    pub body: Bytes,
    /// Accounts for the memory that the request holds.
    pub memory: Lease,
    /// The client's address.
    pub client: Option<IpAddr>,
}

impl Request {
    /// Reads the whole request, within `read_timeout`.
    ///
    /// # Errors
    /// The body is too large, too slow or broken.
    pub async fn read(
        request: HttpRequest<Body>,
        body_bytes_max: usize,
        read_timeout: Duration,
        memory: &MemoryContract,
    ) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let may_have_form = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let form = content_type.filter(|_| may_have_form).and_then(FormType::of);
        let is_form = form.is_some();
        let memory = memory.lease();
        // A form's parameters are decoded into separate strings.
        let copies = if is_form { 3 } else { 1 };
        let collect = collect(Limited::new(body, body_bytes_max), &memory, copies);
        let body = match tokio::time::timeout(read_timeout, collect).await {
            Ok(Ok(body)) => body,
            // Go drops a form that is too large, and the handler then finds its parameters missing.
            Ok(Err(error)) if is_form && error.is::<http_body_util::LengthLimitError>() => Bytes::new(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Refusal::new(RefusalKind::TooLarge, "http: request body too large"));
            }
            Ok(Err(error)) if error.is::<OutOfMemory>() => return Err(no_room()),
            Ok(Err(error)) => return Err(Refusal::new(RefusalKind::BadRequest, error)),
            Err(_) => {
                return Err(Refusal::new(RefusalKind::TooSlow, "the request body did not arrive in time"));
            }
        };
        let url_query = parts.uri.query().unwrap_or("").to_owned();
        let (params, body) = match form {
            None => (Params::new(&url_query, &[]), body),
            Some(FormType::Encoded) => (Params::new(&url_query, &body), Bytes::new()),
            Some(FormType::Parts) => {
                let fields = form_values(content_type.unwrap_or_default(), &body);
                (Params::with_parts(&url_query, fields.unwrap_or_default()), Bytes::new())
            }
        };
        Ok(Request {
            params,
            method: parts.method,
            path: parts.uri.path().to_owned(),
            url_query,
            headers: parts.headers,
            path_param: String::new(),
            body,
            memory,
            client: parts.extensions.get::<ClientAddress>().map(|address| address.0),
        })
    }

    /// The first pair of the URL or form that could not be parsed. It is missing from the parameters; few endpoints
    /// report it.
    pub fn form_error(&self) -> Result<(), QueryError> {
        self.params.error().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// [`Request::form_error`] as an error of the API.
    pub fn check_form(&self) -> Result<(), ApiError> {
        self.form_error().map_err(|why| ApiError::bad_data(format!("error parsing form values: {why}")))
    }

    /// A header as text, or "".
    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// The answer if there is no memory for a body.
pub fn no_room() -> Refusal {
    let why = "other requests' bodies use all the memory available for bodies; try again";
    Refusal::new(RefusalKind::Unavailable, why)
}

/// Reads a body as it arrives; memory is reserved before each piece is kept.
async fn collect(mut body: Limited<Body>, memory: &Lease, copies: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        memory.grow(data.len().saturating_mul(copies))?;
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body is a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FormType {
    /// `a=b&c=d`
    Encoded,
    /// What `curl -F` sends.
    Parts,
}

impl FormType {
    fn of(content_type: &str) -> Option<Self> {
        match parse_media_type(content_type).ok()?.as_str() {
            "application/x-www-form-urlencoded" => Some(FormType::Encoded),
            "multipart/form-data" => Some(FormType::Parts),
            _ => None,
        }
    }
}
