//! Alerts as they are received, grouped and sent, with times in Go's precision.

use std::cmp::Ordering;
use std::time::Duration;

use ferula_go::calendar::{self, Zoned};

use crate::route::Labels;

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// At least one label; no value is empty.
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Time,
    /// [`Time::ZERO`] if the alert has no known end.
    pub ends_at: Time,
    pub updated_at: Time,
    /// The source of the alert; may be empty.
    pub generator_url: String,
    /// Whether `ends_at` was derived from `resolve_timeout`.
    pub timeout: bool,
}

impl Alert {
    /// The label hash that identifies the alert everywhere: FNV-1a over the sorted names and values, each
    /// followed by a byte 255.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.labels)
    }

    /// Whether the alert has ended at this time.
    pub fn is_resolved_at(&self, now: Time) -> bool {
        !self.ends_at.is_zero() && self.ends_at <= now
    }
}

/// The hash of a label set.
pub fn fingerprint(labels: &Labels) -> u64 {
    const OFFSET: u64 = 14_695_981_039_346_656_037;
    const PRIME: u64 = 1_099_511_628_211;
    let mut hash = OFFSET;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for (name, value) in labels {
        name.bytes().for_each(&mut add);
        add(255);
        value.bytes().for_each(&mut add);
        add(255);
    }
    hash
}

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
        calendar::format_zoned(&self.zoned(), "2006-01-02T15:04:05.000Z07:00")
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
    fn fingerprints_are_those_of_alertmanager() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Labels>()
        };
        // Taken from answers of /api/v2/alerts.
        for (pairs, expected) in [
            (&[("alertname", "A")][..], 0xd2c6_efc3_89df_0927),
            (&[("alertname", "A"), ("instance", "h:1"), ("job", "ü")], 0xb090_e6c9_9286_852d),
        ] {
            assert_eq!(fingerprint(&labels(pairs)), expected);
        }
    }
}
