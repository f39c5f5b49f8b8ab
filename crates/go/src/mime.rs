//! Media types as Go's `mime.ParseMediaType` reads them.

use std::collections::BTreeMap;

use crate::unicode;

/// Why a header has no media type; the texts are Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    #[error("mime: no media type")]
    NoType,
    #[error("mime: expected slash after first token")]
    ExpectedSlash,
    #[error("mime: expected token after slash")]
    ExpectedSubtype,
    #[error("mime: unexpected content after media subtype")]
    ContentAfterSubtype,
    #[error("mime: invalid media parameter")]
    InvalidParameter,
    #[error("mime: duplicate parameter name")]
    DuplicateParameter,
}

/// The media type of a header such as `Content-Type`, in lower case and without its parameters, which must be well-formed.
///
/// # Errors
/// The type or a parameter is malformed, or a parameter is repeated.
pub fn parse_media_type(header: &str) -> Result<String, MediaTypeError> {
    Ok(media_type_and_parameter(header, "")?.0)
}

/// The media type, and the value of one of its parameters (named in lower case).
///
/// # Errors
/// See [`parse_media_type`].
pub fn media_type_and_parameter(
    header: &str,
    wanted: &str,
) -> Result<(String, Option<String>), MediaTypeError> {
    let base = header.split(';').next().unwrap_or_default();
    let media_type = unicode::lower(base).trim().to_owned();
    check_type(&media_type)?;
    let mut rest = &header[base.len()..];
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        // A semicolon at the very end is passed over.
        if rest.is_empty() || rest.trim() == ";" {
            return Ok((media_type, seen.get(wanted).map(|value| unquoted(value))));
        }
        let (name, value, after) = parameter(rest).ok_or(MediaTypeError::InvalidParameter)?;
        // Newer versions of Go allow the same once more.
        if seen.insert(name, value).is_some_and(|other| other != value) {
            return Err(MediaTypeError::DuplicateParameter);
        }
        rest = after;
    }
}

/// A value without the quotation marks and escapes that it may be written with.
fn unquoted(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let (mut out, mut chars) = (String::with_capacity(inside.len()), inside.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            // Other backslashes are those of paths, which some browsers send.
            '\\' if matches!(chars.peek(), Some('"' | '\\')) => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

fn check_type(media_type: &str) -> Result<(), MediaTypeError> {
    let (kind, rest) = token(media_type);
    if kind.is_empty() {
        return Err(MediaTypeError::NoType);
    }
    if rest.is_empty() {
        return Ok(());
    }
    let (subtype, rest) = token(rest.strip_prefix('/').ok_or(MediaTypeError::ExpectedSlash)?);
    if subtype.is_empty() {
        return Err(MediaTypeError::ExpectedSubtype);
    }
    if rest.is_empty() { Ok(()) } else { Err(MediaTypeError::ContentAfterSubtype) }
}

/// The token that comes next, which may be empty, and what follows it.
fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_graphic() || r#"()<>@,;:\"/[]?="#.contains(c));
    text.split_at(end.unwrap_or(text.len()))
}

/// `; name=value`: the name, the value as written, and what follows. `None` when something else is there.
fn parameter(text: &str) -> Option<(String, &str, &str)> {
    let (name, rest) = token(text.strip_prefix(';')?.trim_start());
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let after = match rest.strip_prefix('"') {
        Some(inside) => after_quoted(inside)?,
        None => {
            let (value, after) = token(rest);
            (!value.is_empty()).then_some(after)?
        }
    };
    Some((unicode::lower(name), &rest[..rest.len() - after.len()], after))
}

/// What follows the quoted string whose inside begins here; `None` when it does not end on its line.
fn after_quoted(inside: &str) -> Option<&str> {
    let mut bytes = inside.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return inside.get(at + 1..),
            b'\r' | b'\n' => return None,
            // Of the escapes only these two matter for where the string ends.
            b'\\' if matches!(inside.as_bytes().get(at + 1), Some(b'"' | b'\\')) => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Go 1.27, with which Prometheus is built; the recorded answers are those of an older one.
    #[test]
    fn a_parameter_may_be_there_twice_with_one_value() {
        let parsed = |parameters: &str| parse_media_type(&format!("text/plain{parameters}"));
        assert_eq!(parsed("; charset=utf-8; charset=utf-8"), Ok("text/plain".to_owned()));
        assert_eq!(parsed("; charset=utf-8; charset=utf-16"), Err(MediaTypeError::DuplicateParameter));
    }

    /// Each parameter is compared with all before it only if that takes one look.
    #[test]
    fn many_parameters_take_no_square_of_time() {
        let same = "; a=1".repeat(500_000);
        assert_eq!(parse_media_type(&format!("text/plain{same}")), Ok("text/plain".to_owned()));
        let other = format!("text/plain{same}; a=2");
        assert_eq!(parse_media_type(&other), Err(MediaTypeError::DuplicateParameter));
    }
}
