//! Alerts on their way from rules to Alertmanagers, and the nanosecond timestamps they carry.

use std::sync::Arc;
use std::time::Duration;

use ferula_go::calendar;

use crate::{LabelSet, Timestamp};

/// Nanoseconds since the Unix epoch, UTC. The schedule of rules is finer than a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// From milliseconds since the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        UnixNanos(ms.saturating_mul(1_000_000))
    }

    /// The containing millisecond.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.0.div_euclid(1_000_000))
    }

    /// The containing second.
    pub const fn whole_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// `self + by`, saturating.
    pub fn plus(self, by: Duration) -> Self {
        UnixNanos(self.0.saturating_add(nanos(by)))
    }

    /// `self - by`, saturating.
    pub fn minus(self, by: Duration) -> Self {
        UnixNanos(self.0.saturating_sub(nanos(by)))
    }

    /// Nanoseconds since `earlier`; negative if this is before it.
    pub const fn since(self, earlier: UnixNanos) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `2026-11-20T19:07:03.2635Z`, without trailing zeros in the fraction.
    pub fn rfc3339_nanos(self) -> String {
        calendar::format(self.0, calendar::RFC3339_NANO)
    }

    /// With exactly three digits of fraction: `2026-11-20T19:07:03.263Z`.
    pub fn rfc3339_millis(self) -> String {
        calendar::format(self.0, "2006-01-02T15:04:05.000Z07:00")
    }
}

/// Parses `2026-11-20T19:07:03.25Z`, also with an offset such as `+01:00` instead of `Z`; `None` also for years beyond
/// the range of nanoseconds.
pub fn parse_rfc3339(text: &str) -> Option<UnixNanos> {
    let (seconds, nanos) = calendar::parse_rfc3339(text)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos.into()).map(UnixNanos)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What Go prints for a time that was never set.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// One alert as it is sent. Cloning copies pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Identifies the alert; includes `alertname`.
    pub labels: LabelSet,
    /// Further information, by name; values may be empty.
    pub annotations: Arc<[(String, String)]>,
    /// When it began to fire.
    pub starts_at: Option<UnixNanos>,
    /// When it was resolved, or when it expires unless it is sent again.
    pub ends_at: Option<UnixNanos>,
    /// Whether it is resolved; `ends_at` is when.
    pub resolved: bool,
    /// A link to the expression.
    pub generator_url: Arc<str>,
}

/// Accepts alerts and returns at once. Delivery is up to the receiver.
pub trait AlertSink: Send + Sync {
    /// Passes on alerts, in no particular order.
    fn send(&self, alerts: Vec<Alert>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_in_go() {
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
