//! Durations as Prometheus writes them: `1d2h30m`, units from long to short, each at most once.

/// Why a duration was refused; the texts are those of `model.ParseDuration`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("empty duration string")]
    Empty,
    /// The text does not have the form of a duration.
    #[error("not a valid duration string: {}", ferula_go::quote::go_quote(.0))]
    Invalid(String),
    /// The unit does not exist.
    #[error("unknown unit {} in duration {}", ferula_go::quote::go_quote(.unit), ferula_go::quote::go_quote(.text))]
    UnknownUnit { unit: String, text: String },
    /// More than about 292 years.
    #[error("duration out of range")]
    OutOfRange,
}

/// Units with their length in milliseconds, longest first.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3600 * 1000),
    ("w", 7 * 24 * 3600 * 1000),
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest duration: Go counts nanoseconds in an i64.
const MILLIS_MAX: i64 = i64::MAX / 1_000_000;

/// Parses a duration to milliseconds, as `model.ParseDuration` does: `0`, or numbers with units from long to short.
pub fn parse_millis(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let (mut rest, mut total, mut units) = (text, 0i64, &UNITS[..]);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        // Go counts in a u64; a number that does not fit is not a duration.
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        }
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        total = i64::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(units[at].1))
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MILLIS_MAX)
            .ok_or(DurationError::OutOfRange)?;
        units = &units[at + 1..];
        rest = tail;
    }
    Ok(total)
}

/// Prints a duration as `model.Duration.String` does: `1h30m`, `0s`; years, weeks and days only if they divide it.
pub fn format_millis(millis: i64) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    let mut rest = millis.unsigned_abs();
    if millis < 0 {
        out.push('-');
    }
    for (unit, length) in UNITS {
        let length = length.unsigned_abs();
        // Years and weeks are only used if nothing is left over: 8d stays 8d.
        let exact_only = matches!(unit, "y" | "w");
        if exact_only && !rest.is_multiple_of(length) {
            continue;
        }
        if rest >= length {
            out.push_str(&(rest / length).to_string());
            out.push_str(unit);
            rest %= length;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (text, millis) in [
            ("0s", 0),
            ("1ms", 1),
            ("1h30m", 5_400_000),
            ("8d", 691_200_000),
            ("2w", 1_209_600_000),
            ("1y", 31_536_000_000),
        ] {
            assert_eq!(parse_millis(text), Ok(millis));
            assert_eq!(format_millis(millis), text);
        }
        assert_eq!(parse_millis("0"), Ok(0));
        assert_eq!(parse_millis("1d2h3m4s5ms"), Ok(93_784_005));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        assert_eq!(parse_millis(""), Err(DurationError::Empty));
        for text in ["1", "1m1h", "1h1h", "h", "-1h", "99999999999999999999s"] {
            assert!(matches!(parse_millis(text), Err(DurationError::Invalid(_))), "{text}");
        }
        for (text, unit) in [("1.5h", "."), ("1 h", " h"), ("1H", "H"), ("1m ", "m "), ("5y1hs", "hs")] {
            let error = DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() };
            assert_eq!(parse_millis(text), Err(error));
        }
        assert_eq!(parse_millis("300y"), Err(DurationError::OutOfRange));
    }
}
