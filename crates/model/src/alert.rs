//! Alerts on their way from rules to Alertmanagers, and the nanosecond time they carry.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::{LabelSet, Timestamp};

/// Nanoseconds since the Unix epoch, UTC: rule evaluations are slotted finer than a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// From milliseconds since the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        UnixNanos(ms.saturating_mul(1_000_000))
    }

    /// The millisecond it lies in.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.0.div_euclid(1_000_000))
    }

    /// The second it lies in.
    pub const fn whole_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// `self + by`, held at the ends of the type.
    pub fn plus(self, by: Duration) -> Self {
        UnixNanos(self.0.saturating_add(nanos(by)))
    }

    /// `self - by`, held at the ends of the type.
    pub fn minus(self, by: Duration) -> Self {
        UnixNanos(self.0.saturating_sub(nanos(by)))
    }

    /// How long after `earlier` this is, in nanoseconds; negative when it is before.
    pub const fn since(self, earlier: UnixNanos) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Go's `RFC3339Nano`: `2026-11-20T19:07:03.2635Z`, no zeros at the end of the fraction.
    pub fn rfc3339_nanos(self) -> String {
        let mut out = self.date_and_time();
        let fraction = self.0.rem_euclid(1_000_000_000);
        if fraction > 0 {
            let digits = format!("{fraction:09}");
            out.push('.');
            out.push_str(digits.trim_end_matches('0'));
        }
        out.push('Z');
        out
    }

    /// With exactly three digits of fraction: `2026-11-20T19:07:03.263Z`.
    pub fn rfc3339_millis(self) -> String {
        let mut out = self.date_and_time();
        let millis = self.0.rem_euclid(1_000_000_000) / 1_000_000;
        write!(out, ".{millis:03}Z").expect("writing to a String cannot fail");
        out
    }

    /// `2026-11-20T19:07:03`, by the civil calendar (days are counted in 400-year eras that begin on March 1st).
    fn date_and_time(self) -> String {
        let seconds = self.whole_seconds();
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// Reads `2026-11-20T19:07:03.25Z`, or with an offset such as `+01:00` instead of `Z`.
pub fn parse_rfc3339(text: &str) -> Option<UnixNanos> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() < 20 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let mut at = 19;
    let mut fraction = 0;
    if bytes[at] == b'.' {
        let digits = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        for index in 0..9 {
            let digit = if index < digits { i64::from(bytes[at + 1 + index] - b'0') } else { 0 };
            fraction = fraction * 10 + digit;
        }
        at += 1 + digits;
    }
    let offset_minutes = match text.get(at..)? {
        "Z" => 0,
        zone if zone.len() == 6 && zone.as_bytes()[3] == b':' => {
            let minutes = number(at + 1..at + 3)? * 60 + number(at + 4..at + 6)?;
            match zone.as_bytes()[0] {
                b'+' => minutes,
                b'-' => -minutes,
                _ => return None,
            }
        }
        _ => return None,
    };
    // Days of the civil calendar, counted as in `date_and_time`.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let read = UnixNanos(seconds.checked_mul(1_000_000_000)?.checked_add(fraction)?);
    // A date that does not exist, such as February 30th, prints as another one.
    if hour > 23 || minute > 59 || second > 59 || read.rfc3339_nanos().get(..19) != text.get(..19) {
        return None;
    }
    Some(UnixNanos(read.0.checked_sub(offset_minutes * 60_000_000_000)?))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What Go prints for a time that was never set.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// One alert as it is sent. Cloning copies pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What identifies it, `alertname` included.
    pub labels: LabelSet,
    /// What is told about it, by name; values may be empty.
    pub annotations: Arc<[(String, String)]>,
    /// Since when it fires.
    pub starts_at: Option<UnixNanos>,
    /// When it was resolved, or until when it holds if nothing more is heard.
    pub ends_at: Option<UnixNanos>,
    /// Whether it is over; `ends_at` is when.
    pub resolved: bool,
    /// A link to the expression.
    pub generator_url: Arc<str>,
}

/// Takes alerts and returns at once; what happens to them is the receiver's business.
pub trait AlertSink: Send + Sync {
    /// Hands over alerts, in no particular order.
    fn send(&self, alerts: Vec<Alert>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_in_go() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_582_934_400_000_000_000, "2020-02-29T00:00:00Z"),
            (1_767_225_599_999_999_999, "2025-12-31T23:59:59.999999999Z"),
            (1_500_000_000, "1970-01-01T00:00:01.5Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
        ] {
            assert_eq!(UnixNanos(nanos).rfc3339_nanos(), text);
        }
        assert_eq!(UnixNanos(1_234_567_890).rfc3339_millis(), "1970-01-01T00:00:01.234Z");
        assert_eq!(UnixNanos(-1).timestamp(), Timestamp::from_millis(-1));
    }
}
