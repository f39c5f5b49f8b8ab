//! Numbers and booleans in texts: `strconv.Atoi`, `ParseInt`, `ParseFloat`, `ParseBool`, and their errors.

use crate::quote::go_quote;

/// Why a text is not a number, in Go's words: `strconv.Atoi: parsing "x": invalid syntax`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("strconv.{function}: parsing {}: {reason}", go_quote(.text))]
pub struct NumberError {
    /// The name of Go's function.
    pub function: &'static str,
    pub text: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is none.
    #[error("invalid syntax")]
    Syntax,
    /// It does not fit the type.
    #[error("value out of range")]
    Range,
}

fn error(function: &'static str, text: &str) -> impl Fn(Reason) -> NumberError {
    move |reason| NumberError { function, text: text.to_owned(), reason }
}

/// `strconv.Atoi`
///
/// # Errors
/// Go's text.
pub fn atoi(text: &str) -> Result<i64, NumberError> {
    integer(text, i64::MAX).map_err(error("Atoi", text))
}

/// `strconv.ParseInt(text, 10, 32)`
///
/// # Errors
/// Go's text.
pub fn parse_int32(text: &str) -> Result<i32, NumberError> {
    integer(text, i32::MAX.into())
        .and_then(|number| i32::try_from(number).map_err(|_| Reason::Range))
        .map_err(error("ParseInt", text))
}

/// `strconv.ParseInt(text, 0, 64)`: a prefix is the base (`0x`, `0o`, `0b`, a bare `0` for octal), and `_` may separate
/// digits.
///
/// # Errors
/// Go's text.
pub fn parse_int_any_base(text: &str) -> Result<i64, NumberError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    any_base(unsigned)
        .and_then(|magnitude| with_sign(magnitude, text, i64::MAX))
        .map_err(error("ParseInt", text))
}

/// `strconv.ParseUint(text, 0, 64)`: as [`parse_int_any_base`], without a sign and with room for one bit more.
///
/// # Errors
/// Go's text.
pub fn parse_uint_any_base(text: &str) -> Result<u64, NumberError> {
    any_base(text)
        .and_then(|magnitude| u64::try_from(magnitude).map_err(|_| Reason::Range))
        .map_err(error("ParseUint", text))
}

/// The number that digits after the prefix of a base stand for, if it fits into 64 bits.
fn any_base(unsigned: &str) -> Result<i128, Reason> {
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    let number = magnitude(&digits.replace('_', ""), radix, u64::MAX.into())?;
    if underscores_separate_digits(unsigned) { Ok(number) } else { Err(Reason::Syntax) }
}

/// `strconv.ParseBool`
///
/// # Errors
/// Go's text.
pub fn parse_bool(text: &str) -> Result<bool, NumberError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(error("ParseBool", text)(Reason::Syntax)),
    }
}

/// A decimal number with an optional sign, from `-max - 1` to `max`.
fn integer(text: &str, max: i64) -> Result<i64, Reason> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    with_sign(magnitude(digits, 10, i128::from(max) * 2 + 1)?, text, max)
}

/// Reads digits from the left until a character is not one, or the number does not fit an unsigned one of the size: Go
/// stops there too.
fn magnitude(digits: &str, radix: u32, unsigned_max: i128) -> Result<i128, Reason> {
    if digits.is_empty() {
        return Err(Reason::Syntax);
    }
    let mut number: i128 = 0;
    for c in digits.chars() {
        let digit = c.to_digit(radix).ok_or(Reason::Syntax)?;
        number = number * i128::from(radix) + i128::from(digit);
        if number > unsigned_max {
            return Err(Reason::Range);
        }
    }
    Ok(number)
}

fn with_sign(magnitude: i128, text: &str, max: i64) -> Result<i64, Reason> {
    let signed = if text.starts_with('-') { -magnitude } else { magnitude };
    i64::try_from(signed).ok().filter(|number| (-max - 1..=max).contains(number)).ok_or(Reason::Range)
}

/// Whether every underscore stands between two digits; the prefix of a base counts as one.
fn underscores_separate_digits(unsigned: &str) -> bool {
    #[derive(PartialEq)]
    enum Last {
        Digit,
        Underscore,
        Other,
    }
    let bytes = unsigned.as_bytes();
    let (mut last, start, hex) = match bytes {
        [b'0', b'x' | b'X', ..] => (Last::Digit, 2, true),
        [b'0', b'o' | b'O' | b'b' | b'B', ..] => (Last::Digit, 2, false),
        _ => (Last::Other, 0, false),
    };
    for byte in &bytes[start..] {
        let digit = byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit();
        last = match (digit, byte, last) {
            (true, ..) => Last::Digit,
            (false, b'_', Last::Digit) => Last::Underscore,
            (false, b'_', _) | (false, _, Last::Underscore) => return false,
            (false, ..) => Last::Other,
        };
    }
    last != Last::Underscore
}

/// `strconv.ParseFloat(text, 64)`: decimal and hexadecimal numbers, `_` between digits, `inf`, `infinity`, `nan`.
///
/// # Errors
/// Go's text. A number that is too large is out of range, not infinite.
pub fn parse_float(text: &str) -> Result<f64, NumberError> {
    float(text).map_err(error("ParseFloat", text))
}

fn float(text: &str) -> Result<f64, Reason> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return Ok(f64::INFINITY.copysign(sign));
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::from_bits(GO_NAN_BITS));
    }
    if unsigned.contains('_') && !underscores_separate_digits(unsigned) {
        return Err(Reason::Syntax);
    }
    let without_underscores;
    let plain = if unsigned.contains('_') {
        without_underscores = unsigned.replace('_', "");
        &without_underscores
    } else {
        unsigned
    };
    let magnitude = match plain.as_bytes() {
        [b'0', b'x' | b'X', ..] => hexadecimal(&plain[2..])?,
        // What the standard library would take as a sign or a word.
        bytes if !bytes.iter().all(|b| b.is_ascii_digit() || b".eE+-".contains(b)) => {
            return Err(Reason::Syntax);
        }
        [b'+' | b'-', ..] => return Err(Reason::Syntax),
        _ => plain.parse().map_err(|_| Reason::Syntax)?,
    };
    if magnitude == f64::INFINITY { Err(Reason::Range) } else { Ok(magnitude * sign) }
}

/// The NaN that `math.NaN` returns.
const GO_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// `1.8p-3`, what follows `0x`: hexadecimal digits with an optional point, and an exponent that has to be there.
fn hexadecimal(text: &str) -> Result<f64, Reason> {
    let (mantissa, exponent) = text.split_once(['p', 'P']).ok_or(Reason::Syntax)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.chars().chain(fraction.chars());
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let sound =
        digits().all(|c| c.is_ascii_hexdigit()) && exponent_digits.bytes().all(|b| b.is_ascii_digit());
    if !sound || digits().next().is_none() || exponent_digits.is_empty() {
        return Err(Reason::Syntax);
    }
    // Far beyond the exponent of any float; more digits change nothing.
    let exponent_magnitude: i64 = exponent_digits.parse().unwrap_or(i64::MAX).min(1 << 40);
    let mut exponent = if exponent.starts_with('-') { -exponent_magnitude } else { exponent_magnitude };
    exponent -= 4 * fraction.len() as i64;
    // 60 bits, and whether any bit after them was set.
    let (mut bits, mut rest) = (0u64, false);
    for digit in digits().filter_map(|c| c.to_digit(16)) {
        if bits >> 56 == 0 {
            bits = bits << 4 | u64::from(digit);
        } else {
            rest |= digit != 0;
            exponent += 4;
        }
    }
    Ok(rounded(bits, rest, exponent))
}

/// `bits × 2^exponent` rounded to the nearest float, halves to even; with `rest`, the true value is a little more.
fn rounded(bits: u64, rest: bool, exponent: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    // The highest bit to bit 62, so that there is room to round.
    let shift = bits.leading_zeros() - 1;
    let (bits, exponent) = (bits << shift, exponent - i64::from(shift));
    let highest = exponent + 62;
    if highest > 1023 {
        return f64::INFINITY;
    }
    // 53 bits stay of a normal number, fewer of one below the smallest.
    let dropped = (10 + (-1022 - highest).max(0)).min(64) as u32;
    let kept = bits.checked_shr(dropped).unwrap_or(0);
    let cut = bits - kept.checked_shl(dropped).unwrap_or(0);
    let half = 1u64.checked_shl(dropped - 1).unwrap_or(0);
    let up = cut > half || cut == half && (rest || kept & 1 == 1);
    let kept = kept + u64::from(up);
    crate::math::ldexp(kept as f64, exponent + i64::from(dropped))
}
