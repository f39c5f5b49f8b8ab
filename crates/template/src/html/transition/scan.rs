//! Finding bytes, and the moves that several languages share.

use ferula_go::quote::go_quote_bytes;

use super::super::context::{Context, UrlPart};

/// The next context, and how many bytes it took.
pub(super) type Step = (Context, usize);

pub(super) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

pub(super) fn find_any(text: &[u8], bytes: &[u8]) -> Option<usize> {
    text.iter().position(|byte| bytes.contains(byte))
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r')
}

pub(super) fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_space(**byte)).count()
}

/// Quoted, cut to 32 characters.
pub(super) fn quoted_32(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    go_quote_bytes(text.chars().take(32).collect::<String>().as_bytes())
}

/// A text that ends within an escape or a set.
pub(super) fn unfinished(what: &str, text: &[u8]) -> Step {
    (Context::error(format!("unfinished {what}: {}", go_quote_bytes(text))), text.len())
}

/// An address, as far as it matters: before or behind its question mark.
pub(super) fn in_url(mut context: Context, text: &[u8]) -> Step {
    if find_any(text, b"#?").is_some() {
        context.url_part = UrlPart::QueryOrFragment;
    } else if spaces(text) != text.len() && context.url_part == UrlPart::None {
        context.url_part = UrlPart::PreQuery;
    }
    (context, text.len())
}
