//! Numeric and character literals: what each can be read as.

use crate::ast::Number;

/// Reads a literal.
///
/// # Errors
/// Go's text: `illegal number syntax`, `integer overflow`, or what is wrong with a character constant.
pub fn number(text: &str) -> Result<Number, String> {
    if text.starts_with('\'') {
        let inner = crate::format::unquote_char(text).ok_or_else(|| match text {
            "''" => "invalid syntax".to_owned(),
            _ => format!("malformed character constant: {text}"),
        })?;
        let code = i64::from(inner as u32);
        return Ok(Number { text: text.to_owned(), int: Some(code), float: Some(code as f64) });
    }
    let looks_whole = !text.contains(['.', 'e', 'E', 'p', 'P']);
    let (int, mut float) = (parse_int(text), parse_float(text));
    if let Some(int) = int {
        float = float.or(Some(int as f64));
    }
    if int.is_none() && looks_whole && float.is_some_and(|float| float >= u64::MAX as f64) {
        return Err(format!("integer overflow: {}", crate::format::quote(text)));
    }
    // A float without a fraction is an integer too, where one is asked for.
    let int = int.or_else(|| {
        let float = float.filter(|_| !looks_whole)?;
        (float.fract() == 0.0 && float.abs() < 9e18).then_some(float as i64)
    });
    if int.is_none() && float.is_none() {
        return Err(format!("illegal number syntax: {}", crate::format::quote(text)));
    }
    Ok(Number { text: text.to_owned(), int, float })
}

/// Go's `ParseInt(text, 0, 64)`: a prefix gives the base, `_` may separate digits.
fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let body = body.replace('_', "");
    if body.is_empty() || !body.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(&body, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn parse_float(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    if !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    plain.parse::<f64>().ok().filter(|v| v.is_finite())
}

/// Whether the literal is a float where nothing says what it should be.
pub fn looks_like_float(number: &Number) -> bool {
    let text = number.text.as_bytes();
    let is_hex = text.len() > 2 && text[0] == b'0' && matches!(text[1], b'x' | b'X');
    let is_char = text.first() == Some(&b'\'');
    number.float.is_some() && !is_hex && !is_char && text.iter().any(|b| b".eEpP".contains(b))
}
