//! Times in flags: seconds since the epoch, or RFC 3339.

use std::time::{SystemTime, UNIX_EPOCH};

use ferula_go::float::format_f;
use ferula_go::quote::go_quote;
use ferula_model::UnixNanos;
use ferula_model::alert::parse_rfc3339;

/// The default range in either direction, in hours.
const FAR_HOURS: i64 = 9_999;
const NANOS_PER_HOUR: i64 = 3_600_000_000_000;
/// 64-bit nanoseconds cannot express a time with more seconds than this.
const SECONDS_MAX: f64 = 9.2e9;

/// Why a text is not a time. The texts are promtool's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    #[error("cannot parse {} to a valid timestamp", go_quote(.0))]
    Invalid(String),
    #[error("error parsing {what} time: {error}")]
    OfFlag { what: &'static str, error: Box<MomentError> },
}

/// Parses a time.
///
/// # Errors
/// The text has neither form.
pub fn parse(text: &str) -> Result<UnixNanos, MomentError> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.abs() < SECONDS_MAX
    {
        let nanos = (seconds.fract() * 1e9) as i64;
        return Ok(UnixNanos(seconds.trunc() as i64 * 1_000_000_000 + nanos));
    }
    parse_rfc3339(text).ok_or_else(|| MomentError::Invalid(text.to_owned()))
}

/// Now.
pub fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The time in a flag, if it was given.
///
/// # Errors
/// The text has neither form; the error names `what`.
pub fn given(text: Option<&str>, what: &'static str) -> Result<Option<UnixNanos>, MomentError> {
    let of_flag = |error| MomentError::OfFlag { what, error: Box::new(error) };
    text.filter(|text| !text.is_empty()).map(|text| parse(text).map_err(of_flag)).transpose()
}

/// Both ends of a range; by default, nearly all of time.
///
/// # Errors
/// See [`given`].
pub fn wide_range(start: Option<&str>, end: Option<&str>) -> Result<(UnixNanos, UnixNanos), MomentError> {
    let (now, far) = (now(), FAR_HOURS * NANOS_PER_HOUR);
    let start = given(start, "start")?.unwrap_or(UnixNanos(now.0.saturating_sub(far)));
    Ok((start, given(end, "end")?.unwrap_or(UnixNanos(now.0.saturating_add(far)))))
}

/// Seconds, as sent to a server.
pub fn seconds(moment: UnixNanos) -> String {
    let (whole, nanos) = (moment.0.div_euclid(1_000_000_000), moment.0.rem_euclid(1_000_000_000));
    format_f(whole as f64 + nanos as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_dates() {
        for (text, shown) in
            [("1435781430.781", "1435781430.781"), ("-2", "-2"), ("2015-07-01T20:10:30Z", "1435781430")]
        {
            assert_eq!(parse(text).map(seconds), Ok(shown.to_owned()));
        }
        assert_eq!(parse("yesterday"), Err(MomentError::Invalid("yesterday".to_owned())));
        let error = given(Some("x"), "end").expect_err("not a moment").to_string();
        assert_eq!(error, "error parsing end time: cannot parse \"x\" to a valid timestamp");
        assert_eq!(given(None, "end"), Ok(None));
    }
}
