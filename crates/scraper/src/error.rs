//! Why a scrape failed; the texts are Prometheus', because `targets` shows them.

use ferula_exposition::ParseError;
use ferula_exposition::page::ContentTypeError;
use ferula_storage::AppendError;

use crate::fetch::FetchError;

/// Why a scrape failed. Nothing of its page was stored then, and `up` is 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScrapeError {
    /// The page could not be had.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// The page is in no format that is read.
    #[error("{0}")]
    ContentType(#[from] ContentTypeError),
    /// A line is wrong.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// More samples than the job allows.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// A sample has no name, or lost it to a relabel rule.
    #[error("missing metric name (__name__ label)")]
    MissingName,
    /// A name that the job's validation scheme does not allow; has the label set.
    #[error("invalid metric name or label names: {0}")]
    InvalidNames(String),
    /// A sample has a label twice.
    #[error("label name {} is not unique: invalid sample", ferula_go::quote::go_quote(.0))]
    DuplicateLabel(String),
    /// More labels than the job allows, or longer ones.
    #[error("{0}")]
    LabelLimit(String),
    /// The job has more targets than it allows; all of them fail.
    #[error("target_limit exceeded (number of targets: {targets}, limit: {limit})")]
    TargetLimit {
        /// How many there are.
        targets: usize,
        /// How many there may be.
        limit: u64,
    },
    /// The store refused a series for good.
    #[error("{0}")]
    Storage(AppendError),
    /// Storing the page panicked; a bug, but one that must not end the loop.
    #[error("internal error while storing the page: {0}")]
    Internal(String),
}
