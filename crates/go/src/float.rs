//! Floats as `strconv.FormatFloat` prints them: with the shortest digits that read back, or with a precision.
//!
//! Elsewhere: reading them (`number`).

use std::fmt::Write;

/// Shortest decimal digits of `|v|` (no dot) and the power of ten of the first one: `v = 0.d1d2d3… × 10^exponent`.
///
/// When two shortest texts are equally near, the even one, as in Go. The standard library takes the larger one:
/// it prints 1076683052776796.25 as …6.3, Go as …6.2.
fn shortest_digits(v: f64) -> (String, i32) {
    if v == 0.0 {
        return ("0".to_owned(), 1);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(v.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().expect("a small decimal exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let leading_zeros = digits.len() - significant.len();
    let point = whole.len() as i32 - leading_zeros as i32 + exponent;
    (significant.trim_end_matches('0').to_owned(), point)
}

fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v.is_infinite() {
        Some(if v > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// Go's `FormatFloat(v, 'f', -1, 64)`: shortest digits, never an exponent. `+Inf`, `-Inf`, `NaN`.
pub fn format_f(v: f64) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let (digits, point) = shortest_digits(v);
    let sign = if v.is_sign_negative() { "-" } else { "" };
    match usize::try_from(point) {
        Ok(point) if point >= digits.len() => format!("{sign}{digits}{}", "0".repeat(point - digits.len())),
        Ok(point) if point > 0 => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
        _ => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
    }
}

/// Go's `FormatFloat(v, 'e', -1, 64)`: shortest digits, exponent of at least two digits.
pub fn format_e(v: f64) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let (digits, exponent) = shortest_digits(v);
    let exponent = if v == 0.0 { 0 } else { exponent - 1 };
    let mut out = String::new();
    if v.is_sign_negative() {
        out.push('-');
    }
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "e{sign}{:02}", exponent.abs()).expect("writing to a String cannot fail");
    out
}

/// Go's `FormatFloat(v, 'g', -1, 64)`, which is also `%v` and `fmt.Sprint`: exponent form below 1e-4 and from 1e6
/// (for the shortest precision Go decides as if it were 6).
pub fn format_g(v: f64) -> String {
    if special(v).is_some() || v == 0.0 {
        return format_f(v);
    }
    let exponent = shortest_digits(v).1 - 1;
    if (-4..6).contains(&exponent) { format_f(v) } else { format_e(v) }
}

/// Go's `FormatFloat(v, 'f', precision, 64)`: `%.6f`.
pub fn format_f_precise(v: f64, precision: usize) -> String {
    special(v).map_or_else(|| format!("{v:.precision$}"), str::to_owned)
}

/// Go's `FormatFloat(v, 'e', precision, 64)`: `%.6e`.
pub fn format_e_precise(v: f64, precision: usize) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let text = format!("{v:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Go's `FormatFloat(v, 'g', precision, 64)`: `%.4g`. At most this many digits, without trailing zeros; an exponent below
/// 1e-4 and where the digits do not reach the point.
pub fn format_g_precise(v: f64, precision: usize) -> String {
    if special(v).is_some() || v == 0.0 {
        return format_f(v);
    }
    let precision = precision.max(1);
    let rounded = format_e_precise(v, precision - 1);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let mantissa = without_trailing_zeros(mantissa);
    if power < -4 || usize::try_from(power).is_ok_and(|power| power >= precision) {
        return format!("{mantissa}e{exponent}");
    }
    // Rounding again to the place just found changes no digit.
    let decimals = usize::try_from(precision as i64 - 1 - i64::from(power)).unwrap_or(0);
    without_trailing_zeros(&format!("{v:.decimals$}")).to_owned()
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_gos() {
        for (v, f, e, g) in [
            (0.0, "0", "0e+00", "0"),
            (-0.0, "-0", "-0e+00", "-0"),
            (1.0, "1", "1e+00", "1"),
            (1e6, "1000000", "1e+06", "1e+06"),
            (123456.789, "123456.789", "1.23456789e+05", "123456.789"),
            (1e-7, "0.0000001", "1e-07", "1e-07"),
            (1e21, "1000000000000000000000", "1e+21", "1e+21"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN", "NaN"),
            (5e-324, &format_f(5e-324), "5e-324", "5e-324"),
            (0.00125, "0.00125", "1.25e-03", "0.00125"),
            (
                f64::from_bits(0x430e_99e6_772b_eae2), // halfway between …6.2 and …6.3
                "1076683052776796.2",
                "1.0766830527767962e+15",
                "1.0766830527767962e+15",
            ),
        ] {
            assert_eq!([format_f(v), format_e(v), format_g(v)], [f, e, g], "{v:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn digits_read_back_and_are_no_more_than_needed(bits: u64, whole: i64, decimals in 0i32..9) {
            for v in [f64::from_bits(bits), whole as f64, whole as f64 / 10f64.powi(decimals)] {
                let text = format_f(v);
                let back: f64 = text.parse().expect("a number");
                assert!(back.to_bits() == v.to_bits() || v.is_nan(), "{v:?} as {text}");
                assert!(!v.is_finite() || text.len() <= format!("{v}").len(), "{v:?} as {text}");
            }
        }
    }
}
