//! Why a page was refused.

use ferula_go::quote::go_quote_bytes;

/// A line that violates the format. Nothing from the page may be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (line {line})")]
pub struct ParseError {
    /// The first line of the fault, counted from 1.
    pub line: usize,
    /// The fault, in Prometheus' words.
    pub reason: String,
    /// The line is a complete sample that is refused only for its names: it counts as a sample on the page.
    pub is_sample: bool,
}

/// Quoted parts of a page are truncated to this length, so that a hostile page cannot produce a huge error.
const QUOTED_BYTES_MAX: usize = 1024;

/// Go's `%q` for bytes that may not be UTF-8, truncated if long.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let (shown, cut) = match bytes.get(..QUOTED_BYTES_MAX) {
        Some(head) if bytes.len() > QUOTED_BYTES_MAX => (head, true),
        _ => (bytes, false),
    };
    let mut out = go_quote_bytes(shown);
    if cut {
        out.insert(out.len() - 1, '…');
    }
    out
}
