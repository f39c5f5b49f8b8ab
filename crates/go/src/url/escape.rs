//! Percent-encoding: which byte has to be escaped in which part of a URL.

use crate::quote::{go_quote, go_quote_bytes};

/// A part of a URL, each with its own rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlPart {
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
    escape(text.as_bytes(), UrlPart::PathSegment)
}

/// `url.QueryEscape`: a space becomes a plus.
pub fn query_escape(text: &str) -> String {
    escape(text.as_bytes(), UrlPart::Query)
}

/// `url.PathUnescape`; bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// A bad escape.
pub fn path_unescape(text: &str) -> Result<String, EscapeError> {
    unescape(text.as_bytes(), UrlPart::PathSegment).map(|bytes| lossy(&bytes))
}

/// `url.QueryUnescape`: a plus becomes a space; bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// A bad escape.
pub fn query_unescape(text: &str) -> Result<String, EscapeError> {
    unescape(text.as_bytes(), UrlPart::Query).map(|bytes| lossy(&bytes))
}

/// What of a query or form cannot be read. The text is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Semicolons once separated pairs.
    #[error("invalid semicolon separator in query")]
    Semicolon,
    #[error(transparent)]
    Escape(#[from] EscapeError),
}

/// `url.ParseQuery`: names and values of a query or form, in the order in which they are written. Pairs that cannot be read
/// are left out; the error tells of one of them. Bytes that are not UTF-8 become U+FFFD.
pub fn parse_query(query: impl AsRef<[u8]>) -> (Vec<(String, String)>, Option<QueryError>) {
    let (mut pairs, mut error) = (Vec::new(), None);
    for pair in query.as_ref().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pair.contains(&b';') {
            error = Some(QueryError::Semicolon);
            continue;
        }
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = equals.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
        match (unescape(name, UrlPart::Query), unescape(value, UrlPart::Query)) {
            (Ok(name), Ok(value)) => pairs.push((lossy(&name), lossy(&value))),
            (Err(why), _) | (_, Err(why)) => drop(error.get_or_insert(why.into())),
        }
    }
    (pairs, error)
}

/// Names and values as a query or form. `url.Values.Encode` also sorts them by name, which is left to callers.
pub fn encode_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&query_escape(name));
        out.push('=');
        out.push_str(&query_escape(value));
    }
    out
}

/// A byte as `%XX`.
pub fn percent_encoded(byte: u8) -> [u8; 3] {
    let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
    [b'%', digit(byte >> 4), digit(byte & 0xf)]
}

/// Encodes all bytes but the plain ones, for those whose rules are not Go's.
pub fn percent_encode(bytes: &[u8], is_plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if is_plain(*byte) {
            out.push(char::from(*byte));
        } else {
            out.extend(percent_encoded(*byte).map(char::from));
        }
    }
    out
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a byte has to be escaped.
fn is_reserved(byte: u8, part: UrlPart) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => false,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']'
        | b'<' | b'>' | b'"'
            if matches!(part, UrlPart::Host | UrlPart::Zone) =>
        {
            false
        }
        b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' => match part {
            UrlPart::Path => byte == b'?',
            UrlPart::PathSegment => matches!(byte, b'/' | b';' | b',' | b'?'),
            UrlPart::UserPassword => matches!(byte, b'@' | b'/' | b'?' | b':'),
            UrlPart::Query | UrlPart::Host | UrlPart::Zone => true,
            UrlPart::Fragment => false,
        },
        b'!' | b'(' | b')' | b'*' => part != UrlPart::Fragment,
        _ => true,
    }
}

pub(super) fn escape(bytes: &[u8], part: UrlPart) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte == b' ' && part == UrlPart::Query {
            out.push('+');
        } else if is_reserved(byte, part) {
            out.extend(percent_encoded(byte).map(char::from));
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

pub(super) fn unescape(bytes: &[u8], part: UrlPart) -> Result<Vec<u8>, EscapeError> {
    check(bytes, part)?;
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                out.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (b'+', _) if part == UrlPart::Query => out.push(b' '),
            _ => out.push(*first),
        }
    }
    Ok(out)
}

/// Whether everything may stand in this part.
fn check(bytes: &[u8], part: UrlPart) -> Result<(), EscapeError> {
    let is_host = matches!(part, UrlPart::Host | UrlPart::Zone);
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
            UrlPart::Host => !value.is_ascii() || shown == b"%25",
            UrlPart::Zone => shown == b"%25" || value == b' ' || !is_reserved(value, UrlPart::Host),
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
pub(super) fn is_valid_encoded(text: &str, part: UrlPart) -> bool {
    text.bytes().all(|byte| match byte {
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'['
        | b']' | b'%' => true,
        byte => !is_reserved(byte, part),
    })
}
