//! Why a page was refused.

use ferula_go::quote::go_quote_bytes;

/// A line that is not what the format allows. Nothing of the page may be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (line {line})")]
pub struct ParseError {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What is wrong, in Prometheus' words.
    pub reason: String,
    /// The line is a whole sample, which is refused for its names alone: it counts as one that was on the page.
    pub is_sample: bool,
}

/// Quoted parts of a page are cut to this length, so that a hostile page cannot make a huge error.
const QUOTED_BYTES_MAX: usize = 1024;

/// Go's `%q` of bytes that may be no UTF-8, cut when they are long.
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
