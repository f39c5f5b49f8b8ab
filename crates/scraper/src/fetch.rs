//! Getting a page: what a loop asks for, and why it may not get it.
//!
//! `http.rs` has the real thing; tests bring their own.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use ferula_go::quote::go_quote;
use ferula_runtime::clock::Sleep;
use tokio::sync::OwnedSemaphorePermit;

/// A page as it came, decompressed.
#[derive(Debug)]
pub struct Page {
    /// The bytes.
    pub body: Bytes,
    /// The `Content-Type` header, or empty.
    pub content_type: String,
    /// Its share of the memory that all pages together may take; given back when the page is dropped.
    pub memory: Option<OwnedSemaphorePermit>,
}

/// Why there is no page; the texts are those of Go's client, as `targets` shows them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No answer came.
    #[error("Get {}: {reason}", go_quote(.url))]
    Request {
        /// What was asked.
        url: String,
        /// Why.
        reason: String,
    },
    /// The answer ended badly.
    #[error("{0}")]
    Body(String),
    /// The target is there and does not want to answer.
    #[error("server returned HTTP status {0}")]
    Status(String),
    /// More bytes than the job allows.
    #[error("body size limit exceeded")]
    BodySizeLimit,
    /// More bytes than any page without a limit of its own may have.
    #[error("body size limit exceeded: more than {0} bytes, and no body_size_limit is configured")]
    DefaultBodySizeLimit(u64),
    /// What the request needs cannot be had.
    #[error("{0}")]
    Setup(String),
}

/// Go's text for a time that ran out.
pub const DEADLINE: &str = "context deadline exceeded";

/// A fetch in progress.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Page, FetchError>> + Send + 'a>>;

/// Something that gets the page of one target.
pub trait Fetch: Send + Sync + 'static {
    /// Gets the page, or fails at the latest when `deadline` ends. Dropping the future cancels it.
    fn fetch(&self, deadline: Sleep) -> Fetching<'_>;
}
