//! Values of literals: numbers, durations and quoted strings, by Go's rules.

use ferula_go::number::{NumberError, Reason};
use ferula_go::quote::unescape;
use ferula_model::duration::{DurationError, parse_millis};

use crate::raw_bytes;

/// The value of a number token.
///
/// Integers may be decimal, octal (`017`), hexadecimal (`0x1f`) and have underscores; anything else is a decimal float.
pub(crate) fn number(text: &str) -> Result<f64, NumberError> {
    if let Some(value) = integer(text) {
        return Ok(value as f64);
    }
    let failed = |reason| NumberError { function: "ParseFloat", text: text.to_owned(), reason };
    let digits_only = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-' | '_');
    let special = matches!(text.to_ascii_lowercase().as_str(), "inf" | "nan");
    if !special && (!text.chars().all(digits_only) || !underscores_separate_digits(text)) {
        return Err(failed(Reason::Syntax));
    }
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if value.is_infinite() && !special => Err(failed(Reason::Range)),
        Ok(value) if value.is_nan() => Ok(ferula_model::value::NORMAL_NAN),
        Ok(value) => Ok(value),
        Err(_) => Err(failed(Reason::Syntax)),
    }
}

/// Whether every underscore stands between two digits.
fn underscores_separate_digits(text: &str) -> bool {
    let mut parts = text.split('_').peekable();
    while let Some(part) = parts.next() {
        let Some(next) = parts.peek() else { break };
        let digits = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
        if !digits(part.bytes().last()) || !digits(next.bytes().next()) {
            return false;
        }
    }
    true
}

/// Go's `strconv.ParseInt(text, 0, 64)` without signs, binary and `0o`, which the lexer does not let through.
fn integer(text: &str) -> Option<i64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // An underscore stands between digits, or between the prefix and a digit.
    if digits.contains("__") || digits.ends_with('_') || (radix == 10 && digits.starts_with('_')) {
        return None;
    }
    i64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

/// The value of a duration token in seconds.
pub(crate) fn duration_seconds(text: &str) -> Result<f64, DurationError> {
    let millis = parse_millis(text)?;
    // Whole seconds and the rest are converted apart, as Go's `Duration.Seconds` does.
    Ok((millis / 1000) as f64 + ((millis % 1000) * 1_000_000) as f64 / 1e9)
}

/// A quoted string with a wrong form; the lexer lets only a few such strings through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidSyntax;

/// The text that a quoted string stands for. Bytes written as escapes that do not form UTF-8 are
/// kept as `raw_bytes` says.
pub(crate) fn unquote(quoted: &str) -> Result<String, InvalidSyntax> {
    let quote = quoted.chars().next().ok_or(InvalidSyntax)?;
    let body = quoted
        .strip_prefix(quote)
        .and_then(|rest| rest.strip_suffix(quote))
        .filter(|_| matches!(quote, '"' | '\'' | '`'))
        .ok_or(InvalidSyntax)?;
    if quote == '`' || !body.contains('\\') {
        return Ok(body.to_owned());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(&rest[at..], quote, &mut out).ok_or(InvalidSyntax)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(raw_bytes::from_bytes(&out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("1", 1.0),
            ("017", 15.0),
            ("018", 18.0),
            ("0x1F", 31.0),
            ("0x_1f", 31.0),
            ("1_000", 1000.0),
            ("0_7", 7.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("Inf", f64::INFINITY),
            ("1_000.5", 1000.5),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
        ] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        assert!(number("nan").is_ok_and(f64::is_nan));
        for (text, why) in
            [("1e_5", "invalid syntax"), ("1e400", "value out of range"), ("0x", "invalid syntax")]
        {
            let error = number(text).expect_err(text).to_string();
            assert_eq!(error, format!("strconv.ParseFloat: parsing \"{text}\": {why}"));
        }
    }

    #[test]
    fn strings_are_unquoted() {
        for (quoted, text) in [
            (r#""a\n\x41\101\u00e9\U0001F600\"'""#, "a\nAA\u{e9}\u{1F600}\"'"),
            (r#"'a\'b"c'"#, "a'b\"c"),
            (r"`a\n`", "a\\n"),
            (r#""\xff""#, "\u{10ffff}"),
        ] {
            assert_eq!(unquote(quoted), Ok(text.to_owned()), "{quoted}");
        }
        for quoted in [r#""\'""#, r#""\q""#, r#""\x4""#, r#""\ud800""#, r#""\400""#, "\"", "x", ""] {
            assert_eq!(unquote(quoted), Err(InvalidSyntax), "{quoted}");
        }
    }
}
