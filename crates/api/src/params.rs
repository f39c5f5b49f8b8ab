//! Request parameters from the form body and the URL together, the body's first.
//!
//! Error texts are those that Prometheus gets from Go's library.

use ferula_go::number::atoi;
use ferula_go::quote::go_quote;
use ferula_go::url::{QueryError, parse_query};
use ferula_model::duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::ApiError;

/// Start of optional ranges: the earliest time that client libraries send.
pub const MIN_TIME_MILLIS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// End of optional ranges.
pub const MAX_TIME_MILLIS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;
/// What Go's conversion to integers returns for NaN and the infinities as seconds since the epoch.
const NOT_FINITE_MILLIS: i64 = -9_223_372_036_855;
/// The two as client libraries spell them; no other year of more than four digits is accepted.
const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// Parameters in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    body: Vec<(String, String)>,
    url: Vec<(String, String)>,
    /// Fields of a form in several parts, which come last.
    parts: Vec<(String, String)>,
    error: Option<QueryError>,
}

/// Why a parameter is invalid; the texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    #[error("cannot parse {} to a valid timestamp", go_quote(.0))]
    Timestamp(String),
    #[error("cannot parse {} to a valid duration", go_quote(.0))]
    Duration(String),
    #[error("cannot parse {} to a valid duration. It overflows int64", go_quote(.0))]
    DurationOverflow(String),
}

impl Params {
    /// Parses the URL's query and a form body.
    pub fn new(url: &str, body: &[u8]) -> Self {
        let ((body, of_body), (url, of_url)) = (parse_query(body), parse_query(url));
        Params { body, url, parts: Vec::new(), error: of_body.or(of_url) }
    }

    /// Parses the URL's query; the fields of a form in several parts come behind it.
    pub fn with_parts(url: &str, parts: Vec<(String, String)>) -> Self {
        Params { parts, ..Params::new(url, &[]) }
    }

    fn pairs(&self) -> impl Iterator<Item = &(String, String)> {
        self.body.iter().chain(&self.url).chain(&self.parts)
    }

    /// Why a pair could not be parsed, if one could not.
    pub fn error(&self) -> Option<&QueryError> {
        self.error.as_ref()
    }

    /// The first value, or "".
    pub fn first(&self, name: &str) -> &str {
        first_of(self.pairs(), name)
    }

    /// The first value in the URL's query alone, or "".
    pub fn first_in_url(&self, name: &str) -> &str {
        first_of(self.url.iter(), name)
    }

    /// All values.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A limit: a non-negative number; 0 or a missing parameter means "none".
    pub fn limit(&self) -> Result<usize, ApiError> {
        let text = self.first("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let number = atoi(text).map_err(|why| ApiError::parameter("limit", why))?;
        usize::try_from(number).map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))
    }

    /// A required point in time, in milliseconds.
    pub fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.first(name)).map_err(|why| ApiError::parameter(name, why))
    }

    /// A required point in time as the query engine sees it: see [`wrapped_millis`].
    pub fn query_time(&self, name: &str) -> Result<i64, ApiError> {
        wrapped_millis(self.first(name)).map_err(|why| ApiError::parameter(name, why))
    }

    /// [`Params::query_time`] with a default.
    pub fn query_time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        match self.first(name) {
            "" => Ok(default),
            text => wrapped_millis(text)
                .map_err(|why| ApiError::parameter(name, format!("invalid time value for '{name}': {why}"))),
        }
    }

    /// A point in time with a default, in milliseconds.
    pub fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        match self.first(name) {
            "" => Ok(default),
            text => parse_time(text)
                .map_err(|why| ApiError::parameter(name, format!("invalid time value for '{name}': {why}"))),
        }
    }

    /// A duration in nanoseconds, `None` if it is missing.
    pub fn duration_nanos(&self, name: &str) -> Result<Option<i64>, ParamError> {
        match self.first(name) {
            "" => Ok(None),
            text => parse_duration_nanos(text).map(Some),
        }
    }
}

fn first_of<'a>(mut pairs: impl Iterator<Item = &'a (String, String)>, name: &str) -> &'a str {
    pairs.find(|(n, _)| n == name).map_or("", |(_, value)| value)
}

/// A float as Go's `ParseFloat` reads it; `None` if it is too large.
fn parse_float(text: &str) -> Option<f64> {
    ferula_go::number::parse_float(text).ok()
}

/// Seconds as a number, or RFC 3339, to milliseconds.
pub fn parse_time(text: &str) -> Result<i64, ParamError> {
    if let Some(seconds) = parse_float(text) {
        if !seconds.is_finite() {
            return Ok(NOT_FINITE_MILLIS);
        }
        let fraction_millis = (seconds.fract() * 1000.0).round();
        // Beyond its range the conversion saturates, far outside anything stored.
        return Ok((seconds.trunc() as i64).saturating_mul(1000).saturating_add(fraction_millis as i64));
    }
    match text {
        MIN_TIME_TEXT => return Ok(MIN_TIME_MILLIS),
        MAX_TIME_TEXT => return Ok(MAX_TIME_MILLIS),
        _ => {}
    }
    match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(time) => Ok(time.unix_timestamp_nanos().div_euclid(1_000_000) as i64),
        Err(_) => Err(ParamError::Timestamp(text.to_owned())),
    }
}

/// Go's conversion to a 64-bit integer on x86-64: out-of-range values become the lowest integer.
fn go_int(value: f64) -> i64 {
    const BOUND: f64 = (1u64 << 63) as f64;
    if (-BOUND..BOUND).contains(&value) { value as i64 } else { i64::MIN }
}

/// A time as Prometheus' query engine sees it: through 64-bit nanoseconds, which wrap around for times
/// before 1677 and after 2262. NaN and the infinities are valid times there.
pub fn wrapped_millis(text: &str) -> Result<i64, ParamError> {
    const NANOS_PER_SECOND: i64 = 1_000_000_000;
    let nanos = match (parse_float(text), text) {
        (Some(seconds), _) => {
            let fraction = if seconds.is_finite() { seconds.fract() } else { f64::NAN };
            let nanos = go_int((fraction * 1000.0).round() / 1000.0 * 1e9);
            go_int(seconds.trunc()).wrapping_mul(NANOS_PER_SECOND).wrapping_add(nanos)
        }
        (None, MIN_TIME_TEXT) => (i128::from(MIN_TIME_MILLIS) * 1_000_000) as i64,
        (None, MAX_TIME_TEXT) => (i128::from(MAX_TIME_MILLIS) * 1_000_000 + 999_999) as i64,
        (None, _) => match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(time) => time.unix_timestamp_nanos() as i64,
            Err(_) => return Err(ParamError::Timestamp(text.to_owned())),
        },
    };
    Ok(nanos / 1_000_000)
}

/// Seconds as a number, or a duration such as `1h30m`, to nanoseconds.
pub fn parse_duration_nanos(text: &str) -> Result<i64, ParamError> {
    if let Some(seconds) = parse_float(text) {
        let nanos = seconds * 1e9;
        // NaN is not an overflow; it is converted like the others.
        if nanos < i64::MIN as f64 || nanos > i64::MAX as f64 {
            return Err(ParamError::DurationOverflow(text.to_owned()));
        }
        // 2^63 passes the bounds check because the bounds are rounded, but it does not fit.
        return Ok(go_int(nanos));
    }
    duration::parse_millis(text)
        .map(|millis| millis.saturating_mul(1_000_000))
        .map_err(|_| ParamError::Duration(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_body_comes_before_the_url_and_both_count() {
        let params = Params::new(
            "query=url&match[]=a%7B%22%C3%A9%22%7D&x=1+2%203",
            b"query=body&match%5B%5D=b&=v&flag",
        );
        assert_eq!(params.first("query"), "body");
        assert_eq!(params.first_in_url("query"), "url");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["b", "a{\"é\"}"]);
        assert_eq!((params.first("x"), params.first("flag"), params.first("none")), ("1 2 3", "", ""));
    }

    #[test]
    fn broken_pairs_are_left_out_and_the_rest_is_read() {
        let params = Params::new("a=%zz&b=%4&c=ok&d;e=1&f=%ff", b"");
        assert_eq!((params.first("a"), params.first("b"), params.first("c")), ("", "", "ok"));
        assert_eq!(params.first("f"), "\u{fffd}");
        let error = |url| Params::new(url, b"").error().map(ToString::to_string);
        assert_eq!(error("a=1;b=2"), Some("invalid semicolon separator in query".to_owned()));
        // A semicolon is reported rather than an escape, whichever comes first.
        assert_eq!(error("a=%zz&b;"), Some("invalid semicolon separator in query".to_owned()));
        assert_eq!(error("a=%zz&b=%"), Some("invalid URL escape \"%zz\"".to_owned()));
        assert_eq!((error("b=%4"), error("a=%41")), (Some("invalid URL escape \"%4\"".to_owned()), None));
    }

    #[test]
    fn times_are_numbers_or_rfc_3339() {
        for (text, millis) in [
            ("1435781451.781", 1_435_781_451_781),
            ("1435781451", 1_435_781_451_000),
            ("-0.0015", -2),
            ("1.0005", 1000), // 0.0005 is slightly less in binary
            ("1e3", 1_000_000),
            ("1_000.5", 1_000_500),
            ("1700000000000", 1_700_000_000_000_000),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51.7819+02:00", 1_435_781_451_781),
            ("1969-12-31T23:59:59.9995Z", -1),
            (MIN_TIME_TEXT, MIN_TIME_MILLIS),
            (MAX_TIME_TEXT, MAX_TIME_MILLIS),
            ("NaN", NOT_FINITE_MILLIS),
            ("-Inf", NOT_FINITE_MILLIS),
        ] {
            assert_eq!(parse_time(text), Ok(millis), "{text}");
        }
        for text in ["", "abc", "1e400", "20x", "2015-07-01", "_1", "1_", "1__0", "1_.5"] {
            let want = format!("cannot parse \"{text}\" to a valid timestamp");
            assert_eq!(parse_time(text).map_err(|error| error.to_string()), Err(want));
        }
    }

    /// Recorded answers of Prometheus to `vector(time())` at these times.
    #[test]
    fn times_of_queries_wrap_around_as_in_prometheus() {
        for (text, millis) in [
            ("1435781451.781", 1_435_781_451_781),
            ("-0.0015", -2),
            ("9223372036854775807", 0),
            ("-9223372036854775808", 0),
            ("1e300", 0),
            ("NaN", -9_223_372_036_854),
            ("Inf", -9_223_372_036_854),
            ("9223372036854775.807", 192),
            ("-9223372036854775.808", -192),
            (MAX_TIME_TEXT, -6_795_364_579_679),
            (MIN_TIME_TEXT, 6_795_364_580_679),
        ] {
            assert_eq!(wrapped_millis(text), Ok(millis), "{text}");
        }
        assert!(wrapped_millis("1e400").is_err() && wrapped_millis("").is_err());
    }

    #[test]
    fn durations_are_numbers_or_words() {
        for (text, nanos) in [
            ("0.2", 200_000_000),
            ("15", 15_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1d", 86_400_000_000_000),
            ("9223372036.854775807", i64::MIN),
            ("NaN", i64::MIN),
        ] {
            assert_eq!(parse_duration_nanos(text), Ok(nanos), "{text}");
        }
        let refused = |text: &str| parse_duration_nanos(text).map_err(|error| error.to_string());
        assert_eq!(refused("foo"), Err("cannot parse \"foo\" to a valid duration".into()));
        assert_eq!(
            refused("1e300"),
            Err("cannot parse \"1e300\" to a valid duration. It overflows int64".into())
        );
    }

    #[test]
    fn limits_are_checked_as_go_does() {
        let limit = |text: &str| Params::new(&format!("limit={text}"), b"").limit().map_err(|e| e.text);
        assert_eq!((limit(""), limit("0"), limit("7")), (Ok(0), Ok(0), Ok(7)));
        assert_eq!(
            limit("x"),
            Err("invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax".into())
        );
        assert_eq!(limit("-1"), Err("invalid parameter \"limit\": limit must be non-negative".into()));
        assert_eq!(
            limit("99999999999999999999"),
            Err("invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range".into())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(url: String, body: Vec<u8>) {
            let params = Params::new(&url, &body);
            let _ = (params.limit(), params.time_or("a", 0), parse_time(&url), parse_duration_nanos(&url));
        }
    }
}
