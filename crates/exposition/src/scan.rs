//! Fast recognition of common line shapes.
//!
//! Nothing here produces an error: a function that meets anything unusual returns `None`, and the exact parser reads
//! the line again. Callers have checked that the body is UTF-8 and has no NUL.

use crate::number::parse_float;

const METRIC_START: u8 = 1;
const METRIC_REST: u8 = 2;
const LABEL_START: u8 = 4;
const LABEL_REST: u8 = 8;

/// What each byte may be in an unquoted name.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => METRIC_START | METRIC_REST | LABEL_START | LABEL_REST,
            b':' => METRIC_START | METRIC_REST,
            b'0'..=b'9' => METRIC_REST | LABEL_REST,
            _ => 0,
        };
        byte += 1;
    }
    class
};

/// Whether an unquoted metric name may begin with this byte.
pub(crate) fn starts_metric(byte: u8) -> bool {
    CLASS[usize::from(byte)] & METRIC_START != 0
}

/// Whether an unquoted metric name may continue with this byte.
pub(crate) fn continues_metric(byte: u8) -> bool {
    CLASS[usize::from(byte)] & METRIC_REST != 0
}

/// Whether an unquoted label name may begin with this byte.
pub(crate) fn starts_label(byte: u8) -> bool {
    CLASS[usize::from(byte)] & LABEL_START != 0
}

/// Whether an unquoted label name may continue with this byte.
pub(crate) fn continues_label(byte: u8) -> bool {
    CLASS[usize::from(byte)] & LABEL_REST != 0
}

/// First position from `at` whose byte lacks the class; `None` if the body ends first.
#[inline]
fn skip_class(bytes: &[u8], mut at: usize, class: u8) -> Option<usize> {
    while let Some(eight) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().expect("the slice has eight bytes"));
        let other = !name_bytes(word, class) & HIGH_BITS;
        if other != 0 {
            return Some(at + (other.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    while CLASS[usize::from(*bytes.get(at)?)] & class != 0 {
        at += 1;
    }
    Some(at)
}

/// Sets the high bit of every byte of `word` that may continue an unquoted name: letters, digits, `_`, and `:` if the
/// class is that of metric names.
#[inline]
fn name_bytes(word: u64, class: u8) -> u64 {
    let last_digit = if class == METRIC_REST { b':' } else { b'9' };
    // The ranges are correct for bytes below 0x80; the last term excludes others.
    let ascii = word & !HIGH_BITS;
    let letters = in_range(ascii | (LOW_BITS * 0x20), b'a', b'z');
    let digits = in_range(ascii, b'0', last_digit);
    let underscores = in_range(ascii, b'_', b'_');
    (letters | digits | underscores) & !word & HIGH_BITS
}

/// Sets the high bit of every byte between `low` and `high`, inclusive; bytes must be below 0x80. No sum carries
/// into the next byte.
#[inline]
const fn in_range(word: u64, low: u8, high: u8) -> u64 {
    let at_least = word + LOW_BITS * (0x80 - low as u64);
    let above = word + LOW_BITS * (0x7f - high as u64);
    at_least & !above & HIGH_BITS
}

/// End of the unquoted metric name that begins at `at`.
#[inline]
pub(crate) fn metric_name_end(bytes: &[u8], at: usize) -> Option<usize> {
    if !starts_metric(*bytes.get(at)?) {
        return None;
    }
    skip_class(bytes, at + 1, METRIC_REST)
}

/// End of a key of the simple form `name` or `name{a="b",c="d"}`: no spaces, no escapes, no quoted names.
#[inline]
pub(crate) fn plain_key_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = metric_name_end(bytes, start)?;
    if *bytes.get(at)? != b'{' {
        return Some(at);
    }
    at += 1;
    if *bytes.get(at)? == b'}' {
        return Some(at + 1);
    }
    loop {
        if !starts_label(*bytes.get(at)?) {
            return None;
        }
        at = skip_class(bytes, at + 1, LABEL_REST)?;
        if bytes.get(at..at + 2)? != b"=\"" {
            return None;
        }
        at = closing_quote(bytes, at + 2)? + 1;
        match *bytes.get(at)? {
            b'}' => return Some(at + 1),
            b',' if *bytes.get(at + 1)? == b'}' => return Some(at + 2),
            b',' => at += 1,
            _ => return None,
        }
    }
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Sets the high bit of every byte of `word` that equals `byte`; bytes above the first hit may be wrong.
#[inline]
fn equal_bytes(word: u64, byte: u8) -> u64 {
    let difference = word ^ (LOW_BITS * u64::from(byte));
    difference.wrapping_sub(LOW_BITS) & !difference & HIGH_BITS
}

/// Position of the quote that ends a label value; `None` if an escape or a newline comes first.
#[inline]
fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(eight) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().expect("the slice has eight bytes"));
        // The lowest hit is correct: each mask is uncertain only above its own first hit.
        let hits = equal_bytes(word, b'"') | equal_bytes(word, b'\\') | equal_bytes(word, b'\n');
        if hits != 0 {
            at += (hits.trailing_zeros() / 8) as usize;
            return (bytes[at] == b'"').then_some(at);
        }
        at += 8;
    }
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' | b'\n' => return None,
            _ => at += 1,
        }
    }
}

/// Powers of ten that a float represents exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Mantissas up to this are exact floats.
const EXACT_MANTISSA_MAX: u64 = 1 << 53;

/// The number of digits that cannot overflow a mantissa.
const MANTISSA_DIGITS_MAX: usize = 19;

/// The number that begins at `at`, and the end of its token, which is a space or a newline.
#[inline]
pub(crate) fn value(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    match short_decimal(bytes, at) {
        Some(found) => Some(found),
        None => any_value(bytes, at),
    }
}

/// A decimal that is one multiplication or division of exact floats, and is therefore rounded only once, like
/// the full algorithm would (Clinger's fast path).
#[inline]
fn short_decimal(bytes: &[u8], start: usize) -> Option<(f64, usize)> {
    let negative = *bytes.get(start)? == b'-';
    let mut at = start + usize::from(negative);
    let mut mantissa = 0u64;
    let first = at;
    at = digits(bytes, at, &mut mantissa)?;
    let mut digit_count = at - first;
    let mut exponent = 0i32;
    if *bytes.get(at)? == b'.' {
        let fraction = at + 1;
        at = digits(bytes, fraction, &mut mantissa)?;
        digit_count += at - fraction;
        exponent = -i32::try_from(at - fraction).ok()?;
    }
    if digit_count == 0 || digit_count > MANTISSA_DIGITS_MAX || mantissa > EXACT_MANTISSA_MAX {
        return None;
    }
    if matches!(*bytes.get(at)?, b'e' | b'E') {
        let (stated, end) = stated_exponent(bytes, at + 1)?;
        exponent += stated;
        at = end;
    }
    if !matches!(*bytes.get(at)?, b' ' | b'\n') {
        return None;
    }
    let power = *EXACT_POWERS.get(exponent.unsigned_abs() as usize)?;
    let magnitude = if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
    Some((if negative { -magnitude } else { magnitude }, at))
}

/// Adds the digits from `at` on to the mantissa. May overflow: the caller checks their number.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mantissa: &mut u64) -> Option<usize> {
    loop {
        let digit = bytes.get(at)?.wrapping_sub(b'0');
        if digit > 9 {
            return Some(at);
        }
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
}

/// An exponent of at most three digits, and its end.
fn stated_exponent(bytes: &[u8], at: usize) -> Option<(i32, usize)> {
    let sign = *bytes.get(at)?;
    let first = at + usize::from(matches!(sign, b'+' | b'-'));
    let mut number = 0u64;
    let end = digits(bytes, first, &mut number)?;
    if !(1..=3).contains(&(end - first)) {
        return None;
    }
    let number = i32::try_from(number).ok()?;
    Some((if sign == b'-' { -number } else { number }, end))
}

/// Any number that the format allows.
fn any_value(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    let length = bytes.get(at..)?.iter().position(|byte| matches!(byte, b' ' | b'\n'))?;
    let token = &bytes[at..at + length];
    Some((parse_float(token).ok()?, at + length))
}

/// A timestamp in whole milliseconds, and its end.
pub(crate) fn millis(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut number = 0u64;
    let end = digits(bytes, at, &mut number)?;
    // Any eighteen digits fit into an i64.
    (1..=18).contains(&(end - at)).then(|| (number.cast_signed(), end))
}

/// Position of the next newline.
pub(crate) fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + memchr::memchr(b'\n', bytes.get(at..)?)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_keys_end_where_they_end() {
        for key in [
            "up",
            "a:b",
            r#"a{}"#,
            r#"a{b="c"}"#,
            r#"a{b="c",}"#,
            r#"a{b="",cc="some longer value, with {}"}"#,
        ] {
            assert_eq!(plain_key_end(format!("{key} 1\n").as_bytes(), 0), Some(key.len()), "{key}");
        }
        for other in [
            "1a 1\n",
            "a",
            "a{b=\"c\"",
            "a{ b=\"c\"} 1\n",
            "a{b=\"c\\n\"} 1\n",
            "a{b=\"c\nd\"} 1\n",
            "a{b=\"c\"d=\"e\"} 1\n",
            "a{\"b\"=\"c\"} 1\n",
            "a{b:=\"c\"} 1\n",
            "{\"a\"} 1\n",
        ] {
            assert_eq!(plain_key_end(other.as_bytes(), 0), None, "{other}");
        }
    }

    #[test]
    fn eight_bytes_at_once_are_judged_as_one_by_one() {
        for class in [METRIC_REST, LABEL_REST] {
            for byte in 0..=255u8 {
                for place in 0..8 {
                    let mut text = *b"aZ_09bcd ";
                    text[place] = byte;
                    let slow = text.iter().position(|b| CLASS[usize::from(*b)] & class == 0);
                    assert_eq!(skip_class(&text, 0, class), slow, "{byte:#x} at {place}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_quote_is_found_at_any_distance(before in 0usize..40, value in "[a-z\"\\\\\n]{0,40}") {
            let text = format!("{}{value}", "x".repeat(before));
            let slow = text.bytes().position(|b| matches!(b, b'"' | b'\\' | b'\n'))
                .filter(|at| text.as_bytes()[*at] == b'"');
            prop_assert_eq!(closing_quote(text.as_bytes(), 0), slow);
        }

        #[test]
        fn numbers_equal_the_full_algorithm_bit_by_bit(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{0,4})?") {
            let line = format!("{text}\n");
            let fast = value(line.as_bytes(), 0).map(|(v, end)| (v.to_bits(), end));
            let slow = parse_float(text.as_bytes()).ok().map(|v| (v.to_bits(), text.len()));
            prop_assert_eq!(fast, slow);
        }

        #[test]
        fn printed_floats_come_back(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(!float.is_nan());
            let line = format!("{} ", ferula_go::float::format_g(float));
            prop_assert_eq!(value(line.as_bytes(), 0).map(|(v, _)| v.to_bits()), Some(bits));
        }
    }
}
