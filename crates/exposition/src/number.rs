//! Numbers of a page, as Go's `strconv` reads them, but without hexadecimal forms and underscores.

use ferula_model::value::NORMAL_NAN;

use crate::error::quote;

/// Why a token is not a number, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FloatError {
    /// A character that older Go versions did not accept.
    #[error("unsupported character in float")]
    Unsupported,
    #[error("strconv.ParseFloat: parsing {}: invalid syntax", quote(.0))]
    Syntax(Vec<u8>),
    #[error("strconv.ParseFloat: parsing {}: value out of range", quote(.0))]
    Range(Vec<u8>),
}

/// The value of a token.
///
/// # Errors
/// Invalid syntax, a value out of range, or a character that older Go versions did not accept.
pub(crate) fn parse_float(token: &[u8]) -> Result<f64, FloatError> {
    if token.iter().any(|byte| matches!(byte, b'p' | b'P' | b'_')) {
        return Err(FloatError::Unsupported);
    }
    parse_any_float(token)
}

/// The same without the check for characters that pages may not use; for numbers in label values.
pub(crate) fn parse_any_float(token: &[u8]) -> Result<f64, FloatError> {
    let wrong = || FloatError::Syntax(token.to_vec());
    let (signed, digits) = match token {
        [b'+' | b'-', rest @ ..] => (true, rest),
        _ => (false, token),
    };
    let is_nan = digits.eq_ignore_ascii_case(b"nan");
    if is_nan && !signed {
        return Ok(NORMAL_NAN);
    }
    let text = std::str::from_utf8(token).map_err(|_| wrong())?;
    let value: f64 = text.parse().map_err(|_| wrong())?;
    if is_nan {
        return Err(wrong());
    }
    if value.is_infinite() && !digits.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'i')) {
        return Err(FloatError::Range(token.to_vec()));
    }
    Ok(value)
}

/// Converts seconds to milliseconds, truncated; out-of-range values become the earliest time, as in Go on amd64.
pub(crate) fn seconds_to_millis(seconds: f64) -> i64 {
    let millis = seconds * 1000.0;
    if millis >= i64::MIN as f64 && millis < i64::MAX as f64 { millis as i64 } else { i64::MIN }
}

/// A number in OpenMetrics form: always with a point or an exponent.
pub(crate) fn openmetrics_float(value: f64) -> String {
    if value == 0.0 {
        return "0.0".to_owned();
    }
    let mut text = ferula_go::float::format_g(value);
    if value.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_as_in_go() {
        for (text, value) in [
            ("1", 1.0),
            ("-0", -0.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+5", 5.0),
            ("1E-400", 0.0),
            ("inf", f64::INFINITY),
            ("+Infinity", f64::INFINITY),
            ("-iNF", f64::NEG_INFINITY),
            ("NaN", NORMAL_NAN),
            ("nAn", NORMAL_NAN),
        ] {
            assert_eq!(parse_float(text.as_bytes()).map(f64::to_bits), Ok(value.to_bits()), "{text}");
        }
    }

    #[test]
    fn invalid_numbers_are_refused_with_gos_texts() {
        let refused = |token: &[u8]| parse_float(token).expect_err("refused").to_string();
        let syntax = |text: &str| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax");
        for text in ["", "-", ".", "e5", "1e", "+nan", "-NaN", "infin", "0x10", "1,5", "true", "1 "] {
            assert_eq!(refused(text.as_bytes()), syntax(text));
        }
        let range = "strconv.ParseFloat: parsing \"1e400\": value out of range";
        assert_eq!(refused(b"1e400"), range);
        for text in ["1_2", "0x1p-3", "1P"] {
            assert_eq!(parse_float(text.as_bytes()), Err(FloatError::Unsupported));
        }
        assert_eq!(refused(b"1\xff"), r#"strconv.ParseFloat: parsing "1\xff": invalid syntax"#);
    }

    #[test]
    fn seconds_are_truncated() {
        assert_eq!(seconds_to_millis(1.2349), 1234);
        assert_eq!(seconds_to_millis(-1.2349), -1234);
        assert_eq!(seconds_to_millis(1e300), i64::MIN);
    }
}
