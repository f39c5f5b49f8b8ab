//! Whether a moment lies in a named time interval.

use std::collections::BTreeMap;

use ferula_config::alertmanager::{AlertmanagerConfig, Range, Ranges, TimeInterval};
use ferula_model::UnixNanos;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The intervals of a configuration, by name.
#[derive(Debug, Default)]
pub struct TimeIntervals(BTreeMap<String, Vec<Prepared>>);

/// An interval with its time zone resolved.
#[derive(Debug)]
struct Prepared {
    interval: TimeInterval,
    zone: TimeZone,
}

impl TimeIntervals {
    /// The intervals of a checked configuration.
    pub fn new(config: &AlertmanagerConfig) -> Self {
        let named = config.mute_time_intervals.iter().chain(&config.time_intervals);
        let prepare = |interval: &TimeInterval| Prepared {
            interval: interval.clone(),
            zone: zone(interval.location.as_ref().map_or("", |location| location.0.as_str())),
        };
        TimeIntervals(
            named
                .map(|named| (named.name.clone(), named.time_intervals.iter().map(prepare).collect()))
                .collect(),
        )
    }

    /// Whether there is an interval of this name.
    pub fn is_known(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// When a route that these intervals mute is muted no more; `None` when that is more than eight days away.
    pub fn muted_until(&self, active: &[String], mute: &[String], now: UnixNanos) -> Option<UnixNanos> {
        const MINUTE: i64 = 60_000_000_000;
        // Intervals begin and end at whole minutes.
        let first = now.0.div_euclid(MINUTE) + 1;
        (first..first + 8 * 24 * 60)
            .map(|minute| UnixNanos(minute.saturating_mul(MINUTE)))
            .find(|moment| self.muting(active, mute, *moment).is_empty())
    }

    /// The names of the intervals that mute a route at a moment: all that it is active in, or those that it is muted in.
    pub fn muting(&self, active: &[String], mute: &[String], now: UnixNanos) -> Vec<String> {
        if !active.is_empty() && self.containing(active, now).is_empty() {
            return active.to_vec();
        }
        self.containing(mute, now).into_iter().cloned().collect()
    }

    /// The intervals that contain the time, in the order given.
    pub fn containing<'n>(&self, names: &'n [String], now: UnixNanos) -> Vec<&'n String> {
        let contains = |name: &&String| {
            self.0.get(*name).is_some_and(|parts| parts.iter().any(|part| part.contains(now)))
        };
        names.iter().filter(contains).collect()
    }
}

/// The time zone with a name that was checked when the configuration was read.
fn zone(name: &str) -> TimeZone {
    match name {
        "" | "UTC" => TimeZone::UTC,
        "Local" => TimeZone::system(),
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    }
}

impl Prepared {
    fn contains(&self, now: UnixNanos) -> bool {
        let Ok(now) = Timestamp::from_nanosecond(i128::from(now.0)) else { return false };
        let local = self.zone.to_datetime(now);
        let (minute, interval) = (
            u32::from(local.hour().unsigned_abs()) * 60 + u32::from(local.minute().unsigned_abs()),
            &self.interval,
        );
        let times = &interval.times;
        let weekday = i64::from(local.weekday().to_sunday_zero_offset());
        (times.is_empty() || times.iter().any(|time| (time.start_minute..time.end_minute).contains(&minute)))
            && in_month(&interval.days_of_month, local.day().into(), local.days_in_month().into())
            && any(&interval.months, local.month().into())
            && any(&interval.weekdays, weekday)
            && any(&interval.years, local.year().into())
    }
}

/// Whether one of the ranges contains the number; also if there are no ranges.
fn any<K: ferula_config::alertmanager::RangeKind>(ranges: &Ranges<K>, number: i64) -> bool {
    ranges.0.is_empty() || ranges.0.iter().any(|range| range.contains(number))
}

/// Negative days count from the end of the month; a range that begins after the end of the month never
/// matches.
fn in_month<K: ferula_config::alertmanager::RangeKind>(ranges: &Ranges<K>, day: i64, last: i64) -> bool {
    let from_start = |day: i64| if day < 0 { last + day + 1 } else { day };
    let holds = |range: &Range<K>| {
        let (begin, end) = (from_start(range.begin), from_start(range.end).min(last));
        begin <= last && (begin..=end).contains(&day)
    };
    ranges.0.is_empty() || ranges.0.iter().any(holds)
}

#[cfg(test)]
mod tests {
    use ferula_config::alertmanager::MatcherSyntax;
    use ferula_model::alert::parse_rfc3339;

    use super::*;

    #[test]
    fn times_match_the_intervals_that_contain_them() {
        for (interval, inside, outside) in [
            (
                "times: [{start_time: '09:00', end_time: '17:00'}]",
                vec!["2026-11-30T09:00:00Z", "2026-11-30T16:59:59Z"],
                vec!["2026-11-30T17:00:00Z", "2026-11-30T08:59:59Z"],
            ),
            (
                "times: [{start_time: '23:00', end_time: '24:00'}]",
                vec!["2026-11-30T23:59:59Z"],
                vec!["2026-12-01T00:00:00Z"],
            ),
            (
                "weekdays: ['monday:wednesday', sunday]",
                vec!["2026-11-30T00:00:00Z", "2026-11-29T00:00:00Z"],
                vec!["2026-12-03T00:00:00Z"],
            ),
            (
                "days_of_month: ['-1']",
                vec!["2026-02-28T12:00:00Z", "2028-02-29T12:00:00Z"],
                vec!["2028-02-28T12:00:00Z"],
            ),
            ("days_of_month: ['30:31']", vec!["2026-11-30T12:00:00Z"], vec!["2026-02-28T12:00:00Z"]),
            ("days_of_month: ['-31:-30']", vec!["2026-12-01T12:00:00Z"], vec!["2026-02-01T12:00:00Z"]),
            ("months: ['november:december']", vec!["2026-12-31T23:59:59Z"], vec!["2026-10-31T00:00:00Z"]),
            ("years: ['2026:2027']", vec!["2027-01-01T00:00:00Z"], vec!["2028-01-01T00:00:00Z"]),
            (
                "location: Europe/Berlin\n    times: [{start_time: '02:30', end_time: '03:30'}]",
                // Summer time begins at 01:00 UTC, so 02:30 does not exist; it ends at 01:00 UTC, so 02:30
                // occurs twice.
                vec!["2026-03-29T01:10:00Z", "2026-10-25T00:40:00Z", "2026-10-25T01:40:00Z"],
                vec!["2026-03-29T00:40:00Z", "2026-10-25T00:20:00Z"],
            ),
            (
                "location: Asia/Tokyo\n    weekdays: [monday]",
                vec!["2026-11-29T15:00:00Z"],
                vec!["2026-11-30T15:00:00Z"],
            ),
        ] {
            let yaml = format!(
                "route: {{receiver: a}}\nreceivers: [{{name: a}}]\ntime_intervals:\n- name: x\n  time_intervals:\n  - {interval}\n"
            );
            let config = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback).expect(&yaml);
            let intervals = TimeIntervals::new(&config);
            let names = ["other".to_owned(), "x".to_owned()];
            let contains = |moment: &str| {
                !intervals.containing(&names, parse_rfc3339(moment).expect("a time")).is_empty()
            };
            for moment in inside {
                assert!(contains(moment), "{interval} contains {moment}");
            }
            for moment in outside {
                assert!(!contains(moment), "{interval} does not contain {moment}");
            }
        }
    }
}
