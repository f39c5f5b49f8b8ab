//! How the text of style sheets moves the context on: strings, addresses, comments.

use super::super::context::{Context, State};
use super::scan::{Step, find_any, in_url, is_space, spaces, unfinished};

pub(super) fn in_style(mut context: Context, text: &[u8]) -> Step {
    let mut from = 0;
    while let Some(found) = find_any(&text[from..], b"(\"'/") {
        let at = from + found;
        match (text[at], text.get(at + 1)) {
            (b'(', _) => {
                let before = text[..at].trim_ascii_end_of_style();
                if ends_with_keyword(before, b"url") {
                    let rest = at + 1 + spaces(&text[at + 1..]);
                    let (state, end) = match text.get(rest) {
                        Some(b'"') => (State::CssDoubleUrl, rest + 1),
                        Some(b'\'') => (State::CssSingleUrl, rest + 1),
                        _ => (State::CssUrl, rest),
                    };
                    context.state = state;
                    return (context, end);
                }
            }
            (b'/', Some(b'/')) => {
                context.state = State::CssLineComment;
                return (context, at + 2);
            }
            (b'/', Some(b'*')) => {
                context.state = State::CssBlockComment;
                return (context, at + 2);
            }
            (b'"', _) => {
                context.state = State::CssDouble;
                return (context, at + 1);
            }
            (b'\'', _) => {
                context.state = State::CssSingle;
                return (context, at + 1);
            }
            _ => {}
        }
        from = at + 1;
    }
    (context, text.len())
}

/// Spaces of style sheets at the end of bytes.
trait TrimStyle {
    fn trim_ascii_end_of_style(&self) -> &[u8];
}

impl TrimStyle for [u8] {
    fn trim_ascii_end_of_style(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| !is_space(*byte)).map_or(0, |at| at + 1);
        &self[..end]
    }
}

fn ends_with_keyword(text: &[u8], keyword: &[u8]) -> bool {
    let Some(start) = text.len().checked_sub(keyword.len()) else { return false };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte >= 0x80;
    (start == 0 || !is_name(text[start - 1])) && text[start..].eq_ignore_ascii_case(keyword)
}

pub(super) fn in_style_string(mut context: Context, text: &[u8]) -> Step {
    let ends: &[u8] = match context.state {
        State::CssDouble | State::CssDoubleUrl => b"\\\"",
        State::CssSingle | State::CssSingleUrl => b"\\'",
        _ => b"\\\t\n\x0c\r )",
    };
    let mut from = 0;
    loop {
        let Some(found) = find_any(&text[from..], ends) else {
            let decoded = decode_style(&text[from..]);
            let (context, taken) = in_url(context, &decoded);
            return (context, (from + taken).min(text.len()));
        };
        let mut at = from + found;
        if text[at] != b'\\' {
            context.state = State::Css;
            return (context, at + 1);
        }
        at += 1;
        if at == text.len() {
            return unfinished("escape sequence in CSS string", text);
        }
        context = in_url(context, &decode_style(&text[..=at])).0;
        from = at + 1;
    }
}

/// Style sheet text with its escapes (`\27 `) undone.
pub fn decode_style(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let Some(next) = rest.get(1) else { return out };
        if !next.is_ascii_hexdigit() {
            let length = utf8_length(*next).min(rest.len() - 1);
            out.extend_from_slice(&rest[1..=length]);
            rest = &rest[1 + length..];
            continue;
        }
        let mut digits = rest[1..].iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let text = std::str::from_utf8(&rest[1..=digits]).unwrap_or_default();
        let mut code = u32::from_str_radix(text, 16).unwrap_or(0);
        if code > 0x0010_ffff {
            code /= 16;
            digits -= 1;
        }
        let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[1 + digits..];
        // One space ends the digits and belongs to them.
        rest = match rest {
            [b'\r', b'\n', tail @ ..] | [b'\t' | b'\n' | b'\x0c' | b' ' | b'\r', tail @ ..] => tail,
            other => other,
        };
    }
    out.extend_from_slice(rest);
    out
}

fn utf8_length(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}
