//! Strings in Go's quotes: `strconv.Quote`, which is `%q`, and `strconv.Unquote`.

use std::fmt::Write;

use crate::unicode::is_print;

/// `strconv.Quote` (`%q`): double quotes, escapes for characters that cannot be printed.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| push_char(&mut out, c, '"'));
    out.push('"');
    out
}

/// [`go_quote`] of bytes, those that are not UTF-8 as `\xff`.
pub fn go_quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(&mut out, c, '"'));
        for byte in chunk.invalid() {
            push_escape(&mut out, 'x', 2, u32::from(*byte));
        }
    }
    out.push('"');
    out
}

/// `%q` of a code point: single quotes. What is not a code point is shown as U+FFFD.
pub fn go_quote_char(code: i64) -> String {
    let c = u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut out = String::from("'");
    push_char(&mut out, c, '\'');
    out.push('\'');
    out
}

/// Appends a character as it stands between quotes of this kind.
fn push_char(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        c if is_print(c) => out.push(c),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if c.is_ascii() => push_escape(out, 'x', 2, c.into()),
        c if u32::from(c) < 0x1_0000 => push_escape(out, 'u', 4, c.into()),
        c => push_escape(out, 'U', 8, c.into()),
    }
}

fn push_escape(out: &mut String, kind: char, digits: usize, code: u32) {
    write!(out, "\\{kind}{code:0digits$x}").expect("writing to a String cannot fail");
}

/// `strconv.Unquote` of a `"…"`, `` `…` `` or `'…'` literal: its bytes, which `\xff` may keep from being UTF-8.
/// `None` where Go answers "invalid syntax".
pub fn unquote(literal: &str) -> Option<Vec<u8>> {
    let quote = literal.chars().next()?;
    let inner = literal[quote.len_utf8()..].strip_suffix(quote)?;
    let mut out = Vec::with_capacity(inner.len());
    match quote {
        '`' if inner.contains('`') => return None,
        '`' => out.extend(inner.bytes().filter(|byte| *byte != b'\r')),
        '"' => {
            let mut rest = inner;
            while !rest.is_empty() {
                rest = unescape(rest, quote, &mut out)?;
            }
        }
        // Go accepts this, although it holds no character.
        '\'' if inner.is_empty() => {}
        '\'' if !unescape(inner, quote, &mut out)?.is_empty() => return None,
        '\'' => {}
        _ => return None,
    }
    Some(out)
}

/// `strconv.UnquoteChar`: the code point, or for an escape such as `\xff` the byte, that a literal in quotes of this kind
/// continues with, and what follows it. `None` where Go answers "invalid syntax".
pub fn unquote_char(text: &str, quote: char) -> Option<(u32, &str)> {
    let mut bytes = Vec::with_capacity(4);
    let rest = unescape(text, quote, &mut bytes)?;
    let value = match std::str::from_utf8(&bytes) {
        Ok(text) => text.chars().next().map(u32::from),
        Err(_) => bytes.first().copied().map(u32::from),
    };
    Some((value?, rest))
}

/// Takes one character or escape off the front of `text`, which stands in quotes of this kind, and appends its bytes; returns
/// the rest. `None` where Go answers "invalid syntax".
pub fn unescape<'a>(text: &'a str, quote: char, out: &mut Vec<u8>) -> Option<&'a str> {
    let mut chars = text.chars();
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    let first = chars.next()?;
    if first != '\\' {
        if first == quote || first == '\n' {
            return None;
        }
        push(first);
        return Some(chars.as_str());
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    match escape {
        'a' => push('\x07'),
        'b' => push('\x08'),
        'f' => push('\x0c'),
        'n' => push('\n'),
        'r' => push('\r'),
        't' => push('\t'),
        'v' => push('\x0b'),
        '\\' => push('\\'),
        '"' | '\'' if escape == quote => push(escape),
        'x' => {
            let (code, rest) = digits(rest, 2, 16)?;
            out.push(u8::try_from(code).ok()?);
            return Some(rest);
        }
        '0'..='7' => {
            let (code, rest) = digits(&text[1..], 3, 8)?;
            out.push(u8::try_from(code).ok()?);
            return Some(rest);
        }
        'u' | 'U' => {
            let (code, rest) = digits(rest, if escape == 'u' { 4 } else { 8 }, 16)?;
            push(char::from_u32(code)?);
            return Some(rest);
        }
        _ => return None,
    }
    Some(rest)
}

/// A number of exactly `count` digits, at most eight, and what follows it.
fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (body, rest) = text.split_at_checked(count)?;
    let code = body.chars().try_fold(0u32, |code, c| Some(code.wrapping_mul(radix) | c.to_digit(radix)?))?;
    Some((code, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn quoting_is_undone_by_unquoting(text: String, bytes: Vec<u8>, c: char) {
            proptest::prop_assert_eq!(unquote(&go_quote(&text)), Some(text.clone().into_bytes()));
            proptest::prop_assert_eq!(go_quote_bytes(text.as_bytes()), go_quote(&text));
            proptest::prop_assert_eq!(unquote(&go_quote_bytes(&bytes)), Some(bytes));
            proptest::prop_assert_eq!(unquote(&go_quote_char(i64::from(u32::from(c)))), Some(c.to_string().into_bytes()));
        }
    }
}
