//! Percent-encoding: which byte has to be escaped in which part of a URL.

use crate::quote::{go_quote, go_quote_bytes};

/// A part of a URL, each with its own rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Path,
    PathSegment,
    Host,
    /// The zone of an IPv6 address, behind `%25`.
    Zone,
    UserPassword,
    /// A name or value of a query.
    Query,
    Fragment,
}

/// An escape, or a character of a host, that is not allowed there. The text is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EscapeError {
    /// Not a percent sign with two hexadecimal digits, or an escape of a character that may not be escaped.
    #[error("invalid URL escape {}", go_quote_bytes(.0))]
    Escape(Vec<u8>),
    /// A character that no host has.
    #[error("invalid character {} in host name", go_quote(.0))]
    HostCharacter(String),
}

/// `url.PathEscape`
pub fn path_escape(text: &str) -> String {
    escape(text.as_bytes(), Part::PathSegment)
}

/// `url.QueryEscape`: a space becomes a plus.
pub fn query_escape(text: &str) -> String {
    escape(text.as_bytes(), Part::Query)
}

/// `url.PathUnescape`; bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// A bad escape.
pub fn path_unescape(text: &str) -> Result<String, EscapeError> {
    unescape(text, Part::PathSegment).map(|bytes| lossy(&bytes))
}

/// `url.QueryUnescape`: a plus becomes a space; bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// A bad escape.
pub fn query_unescape(text: &str) -> Result<String, EscapeError> {
    unescape(text, Part::Query).map(|bytes| lossy(&bytes))
}

/// Names and values of a query or form in order, as `url.ParseQuery` reads them. Pairs with a bad escape or a semicolon
/// are left out, as in the result that Go returns beside its error.
pub fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((query_unescape(name).ok()?, query_unescape(value).ok()?))
        })
        .collect()
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a byte has to be escaped.
fn is_reserved(byte: u8, part: Part) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => false,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']'
        | b'<' | b'>' | b'"'
            if matches!(part, Part::Host | Part::Zone) =>
        {
            false
        }
        b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' => match part {
            Part::Path => byte == b'?',
            Part::PathSegment => matches!(byte, b'/' | b';' | b',' | b'?'),
            Part::UserPassword => matches!(byte, b'@' | b'/' | b'?' | b':'),
            Part::Query | Part::Host | Part::Zone => true,
            Part::Fragment => false,
        },
        b'!' | b'(' | b')' | b'*' => part != Part::Fragment,
        _ => true,
    }
}

pub(super) fn escape(bytes: &[u8], part: Part) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte == b' ' && part == Part::Query {
            out.push('+');
        } else if is_reserved(byte, part) {
            out.push('%');
            out.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
            out.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 0xf)]));
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

pub(super) fn unescape(text: &str, part: Part) -> Result<Vec<u8>, EscapeError> {
    check(text, part)?;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                out.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (b'+', _) if part == Part::Query => out.push(b' '),
            _ => out.push(*first),
        }
    }
    Ok(out)
}

/// Whether everything in `text` may stand in this part.
fn check(text: &str, part: Part) -> Result<(), EscapeError> {
    let bytes = text.as_bytes();
    let is_host = matches!(part, Part::Host | Part::Zone);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte != b'%' {
            if is_host && byte.is_ascii() && is_reserved(byte, part) {
                return Err(EscapeError::HostCharacter(char::from(byte).to_string()));
            }
            at += 1;
            continue;
        }
        let shown = &bytes[at..bytes.len().min(at + 3)];
        let bad = || EscapeError::Escape(shown.to_vec());
        let &[_, high, low] = shown else { return Err(bad()) };
        if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
            return Err(bad());
        }
        // RFC 6874: in a host only bytes that are not ASCII may be escaped, and the percent sign before a zone; in a
        // zone whatever a host may have, and the space.
        let value = hex(high) << 4 | hex(low);
        let fits = match part {
            Part::Host => !value.is_ascii() || shown == b"%25",
            Part::Zone => shown == b"%25" || value == b' ' || !is_reserved(value, Part::Host),
            _ => true,
        };
        if !fits {
            return Err(bad());
        }
        at += 3;
    }
    Ok(())
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or_default() as u8
}

/// Whether a text could be the result of escaping, or may at least be sent as it is.
pub(super) fn is_valid_encoded(text: &str, part: Part) -> bool {
    text.bytes().all(|byte| match byte {
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'['
        | b']' | b'%' => true,
        byte => !is_reserved(byte, part),
    })
}
