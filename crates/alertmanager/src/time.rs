//! Times in Go's precision, with the offset in which they were written.

use std::cmp::Ordering;
use std::time::Duration;

use ferula_go::calendar::{self, Civil, Zoned};

/// A time with nanosecond resolution and the UTC offset with which it was written. Times compare by the
/// moment that they denote, whatever their offset.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Seconds since the epoch, in UTC.
    pub seconds: i64,
    /// Less than one billion.
    pub nanos: u32,
    /// Positive offsets are east of UTC.
    pub offset_seconds: i32,
}

impl Time {
    /// Go's zero time, which means "not set": 1 January of the year 1.
    pub const ZERO: Time = Time { seconds: -62_135_596_800, nanos: 0, offset_seconds: 0 };

    /// Converts nanoseconds since the epoch, in UTC.
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        let (seconds, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        Time { seconds, nanos: nanos as u32, offset_seconds: 0 }
    }

    /// Nanoseconds since the epoch; times before 1678 and after 2262 are clamped.
    pub const fn unix_nanos(self) -> i64 {
        let nanos = self.seconds as i128 * 1_000_000_000 + self.nanos as i128;
        if nanos > i64::MAX as i128 {
            i64::MAX
        } else if nanos < i64::MIN as i128 {
            i64::MIN
        } else {
            nanos as i64
        }
    }

    /// Parses RFC 3339 as Go does: `2026-11-20T19:07:03.25+01:00`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let Zoned { seconds, nanos, offset_seconds, .. } = calendar::parse_rfc3339_zoned(text)?;
        Some(Time { seconds, nanos, offset_seconds })
    }

    /// Whether the other time is the same moment with the same offset.
    pub fn is_written_as(self, other: Time) -> bool {
        self == other && self.offset_seconds == other.offset_seconds
    }

    /// Whether it is Go's zero time.
    pub fn is_zero(self) -> bool {
        self == Time::ZERO
    }

    /// `self + by`, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let nanos = self.nanos + by.subsec_nanos();
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        let seconds = self.seconds.saturating_add(seconds).saturating_add((nanos / 1_000_000_000).into());
        Time { seconds, nanos: nanos % 1_000_000_000, ..self }
    }

    /// Converts to calendar fields; the zone has a name only in UTC.
    pub fn zoned(self) -> Zoned<'static> {
        let Time { seconds, nanos, offset_seconds } = self;
        Zoned { seconds, nanos, offset_seconds, zone: if offset_seconds == 0 { "UTC" } else { "" } }
    }

    /// `2026-11-20T19:07:03.2635+01:00`, without trailing zeros in the fraction.
    pub fn rfc3339_nanos(self) -> String {
        calendar::format_zoned(&self.zoned(), calendar::RFC3339_NANO)
    }

    /// With exactly three fractional digits: `2026-11-20T20:07:03.263+01:00`.
    pub fn rfc3339_millis(self) -> String {
        let mut out = String::new();
        self.push_rfc3339_millis(&mut out);
        out
    }

    /// Appends [`Time::rfc3339_millis`]. Answers contain hundreds of thousands of times, so usual ones do not go through a
    /// layout.
    pub fn push_rfc3339_millis(self, out: &mut String) {
        let local = Civil::from_unix(self.seconds.wrapping_add(self.offset_seconds.into()));
        let Some(year) =
            u32::try_from(local.year).ok().filter(|year| *year <= 9999 && self.offset_seconds == 0)
        else {
            out.push_str(&calendar::format_zoned(&self.zoned(), "2006-01-02T15:04:05.000Z07:00"));
            return;
        };
        let fields = [
            (year / 100, '\0'),
            (year % 100, '-'),
            (local.month, '-'),
            (local.day, 'T'),
            (local.hour, ':'),
            (local.minute, ':'),
            (local.second, '.'),
        ];
        let digit = |number: u32| char::from(b'0' + (number % 10) as u8);
        for (number, mark) in fields {
            out.push(digit(number / 10));
            out.push(digit(number));
            if mark != '\0' {
                out.push(mark);
            }
        }
        let millis = self.nanos / 1_000_000;
        out.extend([digit(millis / 100), digit(millis / 10), digit(millis), 'Z']);
    }
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_keep_their_offset_and_compare_by_moment() {
        let east = Time::parse_rfc3339("2026-11-20T20:07:03.2635+01:00").expect("a time");
        let utc = Time::parse_rfc3339("2026-11-20T19:07:03.2635Z").expect("a time");
        assert_eq!(east, utc);
        assert_eq!(east.rfc3339_nanos(), "2026-11-20T20:07:03.2635+01:00");
        assert_eq!(utc.rfc3339_nanos(), "2026-11-20T19:07:03.2635Z");
        assert_eq!(east.rfc3339_millis(), "2026-11-20T20:07:03.263+01:00");
        assert_eq!(Time::from_unix_nanos(utc.unix_nanos()), utc);
        assert_eq!(Time::ZERO.rfc3339_nanos(), "0001-01-01T00:00:00Z");
        let later = utc.plus(Duration::from_millis(1_736));
        assert_eq!(later.rfc3339_nanos(), "2026-11-20T19:07:04.9995Z");
        assert!(utc < later && Time::ZERO < utc && Time::ZERO.is_zero());
    }

    #[test]
    fn the_order_is_total() {
        let mut times = Vec::new();
        for seconds in [i64::MIN, -1, 0, 1, i64::MAX] {
            for nanos in [0, 1, 999_999_999] {
                times.extend([0, 3600, -3600].map(|offset_seconds| Time { seconds, nanos, offset_seconds }));
            }
        }
        ferula_testkit::assert_total_order(&times, Time::cmp);
    }

    proptest! {
        #[test]
        fn usual_times_are_written_as_by_their_layout(seconds in -70_000_000_000_i64..300_000_000_000, nanos in 0..1_000_000_000_u32) {
            let time = Time { seconds, nanos, offset_seconds: 0 };
            let slow = calendar::format_zoned(&time.zoned(), "2006-01-02T15:04:05.000Z07:00");
            prop_assert_eq!(time.rfc3339_millis(), slow);
        }
    }
}
