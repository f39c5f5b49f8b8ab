//! Why a scrape failed. The texts are Prometheus', because the targets page shows them.

use ferula_exposition::format::ContentTypeError;
use ferula_exposition::protobuf::MessageError;
use ferula_exposition::{KeyError, PageError, ParseError};
use ferula_model::histogram::HistogramError;
use ferula_storage::AppendError;

use crate::fetch::FetchError;

/// Why a scrape failed. Nothing from its page was stored, and `up` is 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScrapeError {
    /// The page could not be fetched.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// The page has an unsupported format.
    #[error("{0}{hint}", hint = content_type_hint(.0))]
    ContentType(#[from] ContentTypeError),
    /// A line is invalid.
    #[error("{0}")]
    Parse(BadLine),
    /// A message of a protobuf page is invalid.
    #[error("{0}")]
    Message(MessageError),
    /// The labels of a series in a protobuf page are invalid.
    #[error("{0}")]
    Labels(KeyError),
    /// A native histogram is inconsistent.
    #[error("{0}")]
    Histogram(HistogramError),
    /// More samples than the job allows.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// A native histogram has more buckets than the job allows, even with the coarsest schema.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    /// A sample has no name, or a relabel rule removed it.
    #[error("missing metric name (__name__ label)")]
    MissingName,
    /// A name violates the job's validation scheme; holds the label set.
    #[error("invalid metric name or label names: {0}")]
    InvalidNames(String),
    /// A sample has a label twice.
    #[error("label name {} is not unique: invalid sample", ferula_go::quote::go_quote(.0))]
    DuplicateLabel(String),
    /// More labels than the job allows, or longer ones.
    #[error("{0}")]
    LabelLimit(String),
    /// The job has more targets than its limit; all of them fail.
    #[error("target_limit exceeded (number of targets: {targets}, limit: {limit})")]
    TargetLimit {
        /// How many there are.
        targets: usize,
        /// How many there may be.
        limit: u64,
    },
    /// A rule that is only tried makes too much of a sample's labels.
    #[error("rule {0} makes the labels too long")]
    Overgrown(usize),
    /// The store refused a series for good.
    #[error("{0}")]
    Storage(AppendError),
    /// Storing the page panicked: a bug, which must not end the loop.
    #[error("internal error while storing the page: {0}")]
    Internal(String),
}

impl ScrapeError {
    /// Whether the page itself is at fault, so that looking at it helps.
    pub(crate) fn is_of_page(&self) -> bool {
        match self {
            ScrapeError::Fetch(_) | ScrapeError::TargetLimit { .. } | ScrapeError::Internal(_) => false,
            ScrapeError::Storage(error) => matches!(error, AppendError::InvalidHistogram(_)),
            _ => true,
        }
    }

    /// The scrape error for a parser error.
    pub(crate) fn of_page(error: PageError, body: &[u8]) -> Self {
        match error {
            PageError::Line(error) => ScrapeError::Parse(BadLine::of(error, body)),
            PageError::Message(error) => ScrapeError::Message(error),
        }
    }
}

/// Advice for a page with an unknown content type.
fn content_type_hint(error: &ContentTypeError) -> &'static str {
    match error {
        ContentTypeError::Unsupported(given) if given.to_ascii_lowercase().contains("html") => {
            "; that is a web page, not metrics: metrics_path may be wrong, or the target requires a login"
        }
        _ => {
            "; if it is a page in the text format, give its job fallback_scrape_protocol: PrometheusText0.0.4"
        }
    }
}

/// The first invalid line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    error: ParseError,
    /// The line itself, truncated if it is long.
    text: String,
    hint: &'static str,
}

impl BadLine {
    /// The number of bytes of the line to show.
    const SHOWN_BYTES_MAX: usize = 200;

    /// The line that an error refers to.
    pub fn of(error: ParseError, body: &[u8]) -> Self {
        let line = body.split(|byte| *byte == b'\n').nth(error.line.saturating_sub(1)).unwrap_or_default();
        let hint = if error.line == 1 && line.starts_with(b"\xef\xbb\xbf") {
            "; the page begins with a byte order mark, which the format does not allow"
        } else if error.line == 1 && line.trim_ascii_start().starts_with(b"<") {
            "; the page is HTML or XML, not metrics: metrics_path may be wrong, or the target requires a login"
        } else if line.ends_with(b"\r") {
            "; lines of the page end in CR LF, but the format requires LF"
        } else {
            ""
        };
        let shown = &line[..line.len().min(Self::SHOWN_BYTES_MAX)];
        let cut = if shown.len() < line.len() { "…" } else { "" };
        BadLine { error, text: format!("{}{cut}", String::from_utf8_lossy(shown)), hint }
    }
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Some of Prometheus' texts already quote the line.
        let quoted = ferula_go::quote::go_quote(&self.text);
        if self.error.reason.contains(&quoted[..quoted.len() - 1]) {
            return write!(f, "{}{}", self.error, self.hint);
        }
        write!(f, "{}: {quoted}{}", self.error, self.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_line_is_shown_with_advice_about_the_page() {
        let bad = |line: usize, body: &[u8]| {
            BadLine::of(ParseError { line, reason: "bad".into(), is_sample: false }, body).to_string()
        };
        assert_eq!(bad(2, b"a 1\nb{ 2\nc 3\n"), "bad (line 2): \"b{ 2\"");
        assert_eq!(
            bad(1, b"a 1\r\n"),
            "bad (line 1): \"a 1\\r\"; lines of the page end in CR LF, but the format requires LF"
        );
        assert_eq!(
            bad(1, b"\xef\xbb\xbfa 1\n"),
            "bad (line 1): \"\\ufeffa 1\"; the page begins with a byte order mark, which the format does not allow"
        );
        assert!(bad(1, b"<!DOCTYPE html>\n").ends_with("or the target requires a login"));
        let html = ScrapeError::from(ContentTypeError::Unsupported("text/HTML".into())).to_string();
        assert!(html.ends_with("or the target requires a login"), "{html}");
        assert!(bad(1, &b"x".repeat(1000)).len() < 250);
        assert_eq!(bad(9, b"a 1\n"), "bad (line 9): \"\"");
        let blank = ScrapeError::from(ContentTypeError::Blank).to_string();
        assert!(blank.ends_with("give its job fallback_scrape_protocol: PrometheusText0.0.4"), "{blank}");
    }
}
