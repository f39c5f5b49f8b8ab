//! Numbers and times inside texts, as Go prints them.

use std::fmt::Write;

use ferula_go::calendar::Civil;

/// Go's `%.2g`.
pub(crate) fn format_two_digits(value: f64) -> String {
    if !value.is_finite() {
        return ferula_go::float::format_g(value);
    }
    let text = format!("{value:.1e}");
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` always prints an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` prints a small exponent");
    if (-4..2).contains(&exponent) {
        let decimals = usize::try_from(1 - exponent).unwrap_or(0);
        return trim_zeros(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let mut out = trim_zeros(mantissa).to_owned();
    write!(out, "e{sign}{:02}", exponent.abs()).expect("writing to a String cannot fail");
    out
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// RFC 3339 in UTC, whole seconds (towards zero, as Go divides).
pub(crate) fn format_rfc3339_seconds(ms: i64) -> String {
    let time = Civil::from_unix(ms / 1000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_significant_digits_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (5.0, "5"),
            (10.0, "10"),
            (123.0, "1.2e+02"),
            (0.00012345, "0.00012"),
            (0.000012345, "1.2e-05"),
            (1.25, "1.2"),
            (9.96, "10"),
        ] {
            assert_eq!(format_two_digits(value), text, "{value}");
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(format_rfc3339_seconds(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339_seconds(1_709_210_096_789), "2024-02-29T12:34:56Z");
    }
}
