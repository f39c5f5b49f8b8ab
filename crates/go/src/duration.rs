//! `time.Duration`: its text, such as `1h2m3.5s` or `300ms`, and reading it.

use std::fmt;

/// Units with their nanoseconds. There are two letters for "micro" in Unicode.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// What the flag library kingpin adds.
const DAYS: [(&str, u64); 2] = [("d", 86_400_000_000_000), ("w", 604_800_000_000_000)];

/// Why a text is not a duration; the text is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not written like a duration, or too long.
    #[error("time: invalid duration {}", Quoted(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", Quoted(.0))]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {} in duration {}", Quoted(.unit), Quoted(.text))]
    UnknownUnit {
        unit: String,
        /// The whole duration.
        text: String,
    },
}

/// The quotes of package `time`, which are simpler than `%q`: whatever is not ASCII becomes hexadecimal bytes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for byte in self.0.bytes() {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                b' '..=0x7f => write!(f, "{}", char::from(byte))?,
                byte => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_str("\"")
    }
}

/// `time.ParseDuration`, to nanoseconds.
///
/// # Errors
/// Go's text.
pub fn parse(text: &str) -> Result<i64, ParseError> {
    parse_with(text, &[])
}

/// [`parse`] with days and weeks, as the flag library kingpin reads durations.
///
/// # Errors
/// Go's text.
pub fn parse_with_days(text: &str) -> Result<i64, ParseError> {
    parse_with(text, &DAYS)
}

fn parse_with(text: &str, more_units: &[(&str, u64)]) -> Result<i64, ParseError> {
    const MAGNITUDE_MAX: u64 = 1 << 63;
    let invalid = || ParseError::Invalid(text.to_owned());
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    match rest {
        "0" => return Ok(0),
        "" => return Err(invalid()),
        _ => {}
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (number, tail) = split_digits(rest);
        let whole = number
            .bytes()
            .try_fold(0u64, |whole, digit| whole.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
        let whole = whole.filter(|whole| *whole <= MAGNITUDE_MAX).ok_or_else(invalid)?;
        let (fraction, tail) = tail.strip_prefix('.').map_or(("", tail), split_digits);
        if number.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(ParseError::MissingUnit(text.to_owned()));
        }
        let Some((_, size)) = UNITS.iter().chain(more_units).find(|(name, _)| *name == unit) else {
            return Err(ParseError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        };
        let part = whole.checked_mul(*size).filter(|part| *part <= MAGNITUDE_MAX).ok_or_else(invalid)?;
        total = part
            .checked_add(fraction_of(fraction, *size))
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MAGNITUDE_MAX)
            .ok_or_else(invalid)?;
        rest = tail;
    }
    match (negative, i64::try_from(total)) {
        (false, Ok(nanos)) => Ok(nanos),
        (false, Err(_)) => Err(invalid()),
        (true, _) => Ok(0i64.wrapping_sub_unsigned(total)),
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// The nanoseconds of a fraction of a unit. Digits that do not fit into 63 bits are dropped, and the product is
/// rounded as a float; both as in Go.
fn fraction_of(digits: &str, size: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for digit in digits.bytes() {
        if value > (i64::MAX as u64) / 10 {
            break;
        }
        let next = value * 10 + u64::from(digit - b'0');
        if next > 1 << 63 {
            break;
        }
        (value, scale) = (next, scale * 10.0);
    }
    (value as f64 * (size as f64 / scale)) as u64
}

/// `Duration.String` of nanoseconds.
pub fn format(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(magnitude, 1_000_000)),
        _ => {
            let (minutes, rest) = (magnitude / 60_000_000_000, magnitude % 60_000_000_000);
            let seconds = decimal(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `value / size` with as many decimals as are needed.
fn decimal(value: u64, size: u64) -> String {
    let (whole, rest) = (value / size, value % size);
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_are_for_flags_only() {
        assert_eq!(parse_with_days("1w1d1.5h"), Ok(8 * 86_400_000_000_000 + 5_400_000_000_000));
        assert_eq!(
            parse("1d").map_err(|error| error.to_string()),
            Err("time: unknown unit \"d\" in duration \"1d\"".into())
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(nanos: i64) {
            proptest::prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
        }
    }
}
