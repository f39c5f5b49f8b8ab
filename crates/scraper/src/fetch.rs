//! Getting a page: what a loop asks for, and why it may not get it.
//!
//! `http.rs` has the real thing; tests bring their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use ferula_http_client::{BodyError, RequestError};
use ferula_runtime::clock::Sleep;

use crate::gzip::GzipError;
use crate::page_memory::Share;

/// A page, decompressed.
#[derive(Debug)]
pub struct Page {
    pub body: Bytes,
    /// The `Content-Type` header, or empty.
    pub content_type: String,
    /// Its share of the memory that all pages may take together.
    pub share: Option<Share>,
}

/// Why there is no page; the texts are those of Go's client, as `targets` shows them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer came.
    #[error("{0}")]
    Request(Arc<RequestError>),
    /// The answer ended badly.
    #[error("{0}")]
    Body(Arc<BodyError>),
    /// The answer did not end in time.
    #[error("context deadline exceeded")]
    BodyDeadline,
    /// The target answers, but not with a page.
    #[error("server returned HTTP status {0}")]
    Status(String),
    #[error("{0}")]
    Gzip(GzipError),
    /// More bytes than the job allows.
    #[error("body size limit exceeded")]
    BodySizeLimit,
    /// More bytes than any page without a limit of its own may have.
    #[error("body size limit exceeded: more than {0} bytes, and no body_size_limit is configured")]
    DefaultBodySizeLimit(u64),
    /// More bytes than all pages together may take of memory.
    #[error("the page needs more than the {0} bytes that pages may take of memory")]
    NoMemory(usize),
    /// Decompressing panicked; a bug, but one that must not end the loop.
    #[error("internal error while reading the page: {0}")]
    Internal(String),
}

impl From<RequestError> for FetchError {
    fn from(error: RequestError) -> Self {
        FetchError::Request(Arc::new(error))
    }
}

impl From<BodyError> for FetchError {
    fn from(error: BodyError) -> Self {
        FetchError::Body(Arc::new(error))
    }
}

/// Errors of the system cannot be compared; their texts can.
impl PartialEq for FetchError {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.to_string() == other.to_string()
    }
}

/// A fetch in progress.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Page, FetchError>> + Send + 'a>>;

/// Something that gets the page of one target.
pub trait Fetch: Send + Sync + 'static {
    /// Gets the page, or fails at the latest when `deadline` ends. Dropping the future cancels it.
    fn fetch(&self, deadline: Sleep) -> Fetching<'_>;
}
