//! Fetching a page: the interface that loops use, and the errors.
//!
//! `http.rs` has the implementation; tests use fakes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use ferula_http_client::{BodyError, RequestError};
use ferula_runtime::clock::Sleep;

use crate::page_memory::PageShare;
use crate::unpack_error::UnpackError;

/// A page, decompressed.
#[derive(Debug)]
pub struct Page {
    pub body: Bytes,
    /// The `Content-Type` header, or "".
    pub content_type: String,
    /// The page's share of the memory for all pages.
    pub share: Option<PageShare>,
}

/// Why there is no page. The texts are those of Go's client, because the targets page shows them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer came.
    #[error("{0}")]
    Request(Arc<RequestError>),
    /// Reading the answer failed.
    #[error("{0}")]
    Body(Arc<BodyError>),
    /// The answer did not complete in time.
    #[error("context deadline exceeded")]
    BodyDeadline,
    /// The target answered, but not with a page.
    #[error("server returned HTTP status {0}")]
    Status(String),
    #[error("{0}")]
    Unpack(UnpackError),
    /// More bytes than the job's limit.
    #[error("body size limit exceeded")]
    BodySizeLimit,
    /// More bytes than allowed for a job without a limit.
    #[error("body size limit exceeded: more than {0} bytes, and no body_size_limit is configured")]
    DefaultBodySizeLimit(u64),
    /// More memory than all pages together may take.
    #[error("the page needs more than the {0} bytes that pages may take of memory")]
    NoMemory(usize),
    /// Decompressing panicked: a bug, which must not end the loop.
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

/// I/O errors cannot be compared; their texts can.
impl PartialEq for FetchError {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.to_string() == other.to_string()
    }
}

/// A fetch in progress.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Page, FetchError>> + Send + 'a>>;

/// Fetches the page of one target.
pub trait Fetch: Send + Sync + 'static {
    /// Fetches the page, or fails when `deadline` ends at the latest. Dropping the future cancels the fetch.
    fn fetch(&self, deadline: Sleep) -> Fetching<'_>;
}
