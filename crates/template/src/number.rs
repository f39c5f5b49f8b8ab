//! Numeric and character literals: what each can be read as.

use ferula_go::number::{parse_float, parse_int_any_base, parse_uint_any_base};
use ferula_go::quote::{go_quote, unquote_char};

use crate::ast::Number;

/// Why a literal is not a number; worded as in Go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    #[error("invalid syntax")]
    Syntax,
    #[error("malformed character constant: {0}")]
    Character(String),
    #[error("integer overflow: {}", go_quote(.0))]
    Overflow(String),
    #[error("illegal number syntax: {}", go_quote(.0))]
    Number(String),
}

/// Reads a literal.
///
/// # Errors
/// See [`LiteralError`].
pub fn number(text: &str) -> Result<Number, LiteralError> {
    if let Some(inner) = text.strip_prefix('\'') {
        let (code, rest) = unquote_char(inner, '\'').ok_or(LiteralError::Syntax)?;
        if rest != "'" {
            return Err(LiteralError::Character(text.to_owned()));
        }
        let code = i64::from(code);
        return Ok(Number { text: text.to_owned(), int: Some(code), float: Some(code as f64) });
    }
    let looks_whole = !text.contains(['.', 'e', 'E', 'p', 'P']);
    let (int, mut float) = (parse_int_any_base(text).ok(), parse_float(text).ok());
    if let Some(int) = int {
        float = float.or(Some(int as f64));
    } else if parse_uint_any_base(text).is_ok() {
        // Executing it says that it overflows.
        return Ok(Number { text: text.to_owned(), int: None, float });
    } else if looks_whole && float.is_some() {
        return Err(LiteralError::Overflow(text.to_owned()));
    }
    // A float without a fraction is an integer too, where one is required.
    let int = int.or_else(|| {
        let float = float.filter(|_| !looks_whole)?;
        (float.fract() == 0.0 && float.abs() < 9e18).then_some(float as i64)
    });
    if int.is_none() && float.is_none() {
        return Err(LiteralError::Number(text.to_owned()));
    }
    Ok(Number { text: text.to_owned(), int, float })
}

/// Whether the literal is a float where no parameter asks for a type.
pub fn looks_like_float(number: &Number) -> bool {
    let text = number.text.as_bytes();
    let is_hex = text.len() > 2 && text[0] == b'0' && matches!(text[1], b'x' | b'X');
    let is_char = text.first() == Some(&b'\'');
    number.float.is_some() && !is_hex && !is_char && text.iter().any(|b| b".eEpP".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_what_go_reads_them_as() {
        for (text, int, float) in [
            ("1_000", Some(1000), Some(1000.0)),
            ("0x1F", Some(31), Some(31.0)),
            ("0b11", Some(3), Some(3.0)),
            ("1e3", Some(1000), Some(1000.0)),
            ("1.5", None, Some(1.5)),
            ("'a'", Some(97), Some(97.0)),
            ("-0", Some(0), Some(0.0)),
            ("18446744073709551615", None, Some(18_446_744_073_709_551_615.0)),
        ] {
            let number = number(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((number.int, number.float), (int, float), "{text}");
        }
        for (text, error) in [
            ("1x", "illegal number syntax: \"1x\""),
            ("99999999999999999999", "integer overflow: \"99999999999999999999\""),
            ("'ab'", "malformed character constant: 'ab'"),
            ("'", "invalid syntax"),
        ] {
            assert_eq!(number(text).expect_err(text).to_string(), error);
        }
        for (text, is_float) in
            [("1.0", true), ("1e3", true), ("0x1p-2", false), ("12", false), ("'.'", false)]
        {
            assert_eq!(looks_like_float(&number(text).expect("a number")), is_float, "{text}");
        }
    }
}
