//! Numbers by their verbs: bases, characters, floats in all of Go's shapes.

use std::fmt::Write;

use ferula_go::float::{format_e_precise, format_f_precise, format_g, format_g_precise};
use ferula_go::quote::go_quote_char;
use ferula_go::unicode::is_print;

use super::spec::{Spec, ascii_only, pad, pad_with_spaces};

/// A whole number; `None` for verbs that it does not have.
pub(super) fn integer(v: i64, verb: char, spec: &Spec) -> Option<String> {
    let size = v.unsigned_abs();
    let (digits, prefix) = match verb {
        'v' | 'd' => (size.to_string(), ""),
        'b' => (format!("{size:b}"), "0b"),
        'o' | 'O' => (format!("{size:o}"), "0"),
        'x' => (format!("{size:x}"), "0x"),
        'X' => (format!("{size:X}"), "0X"),
        'c' => return Some(pad(&code_point(v).to_string(), spec)),
        'q' => {
            let quoted = go_quote_char(i64::from(u32::from(code_point(v))));
            return Some(pad(&if spec.plus { ascii_only(&quoted) } else { quoted }, spec));
        }
        'U' => return Some(unicode(v, spec)),
        _ => return None,
    };
    let has_sign = v < 0 || spec.plus || spec.space;
    let least = match (spec.precision, spec.width) {
        (Some(0), width) if v == 0 => return Some(" ".repeat(width.unwrap_or(0))),
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero && !spec.minus => width.saturating_sub(usize::from(has_sign)),
        _ => 0,
    };
    let mut out = format!("{digits:0>least$}");
    if spec.sharp && !(prefix == "0" && out.starts_with('0')) {
        out.insert_str(0, prefix);
    }
    if verb == 'O' {
        out.insert_str(0, "0o");
    }
    match v < 0 {
        true => out.insert(0, '-'),
        false if spec.plus => out.insert(0, '+'),
        false if spec.space => out.insert(0, ' '),
        false => {}
    }
    Some(pad_with_spaces(&out, spec))
}

/// `U+0041 'A'`
fn unicode(v: i64, spec: &Spec) -> String {
    let least = spec.precision.unwrap_or(0).max(4);
    let mut out = format!("U+{:0>least$}", format!("{v:X}"));
    let shown = u32::try_from(v).ok().and_then(char::from_u32).filter(|c| is_print(*c));
    if let Some(c) = shown.filter(|_| spec.sharp) {
        write!(out, " '{c}'").expect("writing to a String cannot fail");
    }
    pad_with_spaces(&out, spec)
}

/// A float; `None` for verbs that it does not have.
pub(super) fn number_text(v: f64, verb: char, spec: &Spec) -> Option<String> {
    let precision = spec.precision;
    let lower = verb.to_ascii_lowercase();
    let digits = match lower {
        'v' | 'g' => precision.map_or_else(|| format_g(v), |precision| format_g_precise(v, precision)),
        'f' => format_f_precise(v, precision.unwrap_or(6)),
        'e' => format_e_precise(v, precision.unwrap_or(6)),
        'x' => hex_float(v, precision),
        'b' if verb == 'b' => binary_float(v),
        _ => return None,
    };
    let digits =
        if matches!(verb, 'E' | 'G' | 'X') && v.is_finite() { digits.to_ascii_uppercase() } else { digits };
    let (sign, mut digits) = match digits.strip_prefix(['-', '+']) {
        Some(rest) => (if digits.starts_with('-') { "-" } else { "+" }, rest.to_owned()),
        None => ("+", digits),
    };
    let sign = if spec.space && sign == "+" && !spec.plus { " " } else { sign };
    if !v.is_finite() {
        // An infinity keeps its sign, what is not a number has none.
        let bare = v.is_nan() && !spec.space && !spec.plus;
        return Some(pad_with_spaces(&format!("{}{digits}", if bare { "" } else { sign }), spec));
    }
    if spec.sharp && lower != 'b' {
        let wanted = match verb {
            'v' | 'g' | 'G' | 'x' => precision.unwrap_or(6),
            _ => 0,
        };
        digits = with_point(&digits, wanted, lower == 'x');
    }
    if !spec.plus && sign == "+" {
        return Some(pad(&digits, spec));
    }
    let width = spec.width.unwrap_or(0);
    if spec.zero && !spec.minus && width > digits.len() + 1 {
        return Some(format!("{sign}{}{digits}", "0".repeat(width - digits.len() - 1)));
    }
    Some(pad(&format!("{sign}{digits}"), spec))
}

/// With a point, and zeros up to so many digits; the exponent stays at the end.
fn with_point(number: &str, digits: usize, is_hex: bool) -> String {
    let marks: &[char] = if is_hex { &['p', 'P'] } else { &['e', 'E', 'p', 'P'] };
    let (mantissa, tail) = number.split_at(number.find(marks).unwrap_or(number.len()));
    let mut left = digits;
    let mut has_begun = false;
    for c in mantissa.chars().filter(|c| *c != '.') {
        has_begun |= c != '0';
        if has_begun {
            left = left.saturating_sub(1);
        }
    }
    let mut out = mantissa.to_owned();
    if !out.contains('.') {
        if out == "0" {
            left = left.saturating_sub(1);
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(left));
    out + tail
}

/// Mantissa and exponent of a float: `v = mantissa × 2^exponent`.
fn parts(v: f64) -> (u64, i32) {
    let bits = v.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    match exponent {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent - 1075),
    }
}

/// `4503599627370496p-52`
fn binary_float(v: f64) -> String {
    if !v.is_finite() {
        return format_g(v);
    }
    let (mantissa, exponent) = parts(v);
    format!("{}{mantissa}p{exponent:+}", if v.is_sign_negative() { "-" } else { "" })
}

/// `0x1.8p+01`
fn hex_float(v: f64, precision: Option<usize>) -> String {
    if !v.is_finite() {
        return format_g(v);
    }
    let sign = if v.is_sign_negative() { "-" } else { "" };
    let (mut mantissa, exponent) = parts(v);
    let mut power = if mantissa == 0 { 0 } else { exponent + 60 };
    // The highest bit at 60: one digit before the point, fifteen behind it.
    while mantissa != 0 && mantissa >> 60 == 0 {
        mantissa <<= 1;
        power -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = 60 - 4 * precision as u32;
        let rest = mantissa & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        mantissa >>= shift;
        // To the nearest, and to the even one of two.
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= shift;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            power += 1;
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(precision) => format!("{fraction:0<precision$}")[..precision].to_owned(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let power_sign = if power < 0 { '-' } else { '+' };
    format!("{sign}0x{}{point}{fraction}p{power_sign}{:02}", mantissa >> 60, power.abs())
}

fn code_point(v: i64) -> char {
    u32::try_from(v).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}
