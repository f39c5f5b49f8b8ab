//! Times as in package `time`: parts of the calendar (proleptic Gregorian), layouts, RFC 3339. In UTC, unless a
//! function takes a [`Zoned`] time.

use std::fmt::Write;

/// A moment in UTC, split into its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical: the year before 1 is 0.
    pub year: i64,
    /// 1–12
    pub month: u32,
    /// 1–31
    pub day: u32,
    /// 0–23
    pub hour: u32,
    /// 0–59
    pub minute: u32,
    /// 0–59
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    /// 1–366
    pub day_of_year: u32,
}

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Where Go's calendar begins: 1 March −292277022400, in seconds since the epoch.
const FIRST_SECOND: i64 = -9_223_372_028_741_760_000;

impl Civil {
    /// From any number of seconds since the epoch.
    pub fn from_unix(seconds: i64) -> Civil {
        // Go's calendar is unsigned, so a time before its first second wraps around. NaN and infinities do, because Go
        // converts them to the smallest integer.
        let turned = if seconds < FIRST_SECOND { 1i128 << 64 } else { 0 };
        let seconds = i128::from(seconds) + turned;
        let days = seconds.div_euclid(SECONDS_PER_DAY.into()) as i64;
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY.into()) as u32;
        let (year, month, day) = date_of(days);
        let day_of_year = (days - days_until(year, 1, 1)) as u32 + 1;
        Civil {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
            day_of_year,
        }
    }

    /// `January`
    pub fn month_name(&self) -> &'static str {
        MONTHS[self.month as usize - 1]
    }

    /// `Sunday`
    pub fn weekday_name(&self) -> &'static str {
        WEEKDAYS[self.weekday as usize]
    }

    fn hour_of_twelve(&self) -> u32 {
        (self.hour + 11) % 12 + 1
    }

    /// How many days its month has.
    pub fn days_in_month(&self) -> u32 {
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap(self.year) => 29,
            2 => 28,
            _ => 31,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from the epoch to a date; eras of 400 years that begin in March make leap days the last of a year.
fn days_until(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that is `days` after the epoch.
fn date_of(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A moment with the zone that it is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zoned<'a> {
    /// Since the epoch, in UTC.
    pub seconds: i64,
    /// Less than 1,000,000,000.
    pub nanos: u32,
    /// East of UTC.
    pub offset_seconds: i32,
    /// `CET`; empty where only the offset is known.
    pub zone: &'a str,
}

/// The moment that a layout is filled with.
struct FormattedMoment<'a> {
    civil: Civil,
    offset_seconds: i32,
    zone: &'a str,
}

impl std::ops::Deref for FormattedMoment<'_> {
    type Target = Civil;

    fn deref(&self) -> &Civil {
        &self.civil
    }
}

/// `Time.Format` of nanoseconds since the epoch.
pub fn format(nanos: i64, layout: &str) -> String {
    let seconds = nanos.div_euclid(NANOS_PER_SECOND);
    let nanos = nanos.rem_euclid(NANOS_PER_SECOND) as u32;
    format_zoned(&Zoned { seconds, nanos, offset_seconds: 0, zone: "UTC" }, layout)
}

/// `Time.Format` of a time in any zone.
pub fn format_zoned(time: &Zoned<'_>, layout: &str) -> String {
    let &Zoned { seconds, nanos, offset_seconds, zone } = time;
    let civil = Civil::from_unix(seconds.wrapping_add(offset_seconds.into()));
    let civil = FormattedMoment { civil, offset_seconds, zone };
    let nanosecond = i64::from(nanos);
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    // What stands between elements stays as it is, but for a fraction, which belongs to the seconds before it.
    while let Some(c) = rest.chars().next() {
        rest = if let Some((element, show)) =
            LAYOUT.iter().find(|(element, _)| begins_with_element(rest, element))
        {
            show(&civil, &mut out);
            &rest[element.len()..]
        } else if let Some((digits, trimmed)) = fraction(rest) {
            push_fraction(&mut out, c, nanosecond, digits, trimmed);
            &rest[1 + digits..]
        } else {
            out.push(c);
            &rest[c.len_utf8()..]
        };
    }
    out
}

/// `Time.String` of nanoseconds since the epoch: `2006-01-02 15:04:05.999999999 +0000 UTC`.
pub fn to_string(nanos: i64) -> String {
    format(nanos, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// `Time.String` of a time in any zone.
pub fn to_string_zoned(time: &Zoned<'_>) -> String {
    format_zoned(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// `time.RFC3339Nano`
pub const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

type WriteElement = fn(&FormattedMoment<'_>, &mut String);

/// Elements of a layout, longer ones before those they begin with.
const LAYOUT: [(&str, WriteElement); 34] = [
    ("January", |c, out| out.push_str(c.month_name())),
    ("Jan", |c, out| out.push_str(&c.month_name()[..3])),
    ("Monday", |c, out| out.push_str(c.weekday_name())),
    ("Mon", |c, out| out.push_str(&c.weekday_name()[..3])),
    ("MST", push_zone),
    ("01", |c, out| push_padded(out, c.month, 2)),
    ("002", |c, out| push_padded(out, c.day_of_year, 3)),
    ("02", |c, out| push_padded(out, c.day, 2)),
    ("03", |c, out| push_padded(out, c.hour_of_twelve(), 2)),
    ("04", |c, out| push_padded(out, c.minute, 2)),
    ("05", |c, out| push_padded(out, c.second, 2)),
    ("06", |c, out| push_padded(out, (c.year % 100).unsigned_abs() as u32, 2)),
    ("2006", |c, out| push_year(out, c.year)),
    ("15", |c, out| push_padded(out, c.hour, 2)),
    // Not the day: the underscore stays, and the year follows.
    ("_2006", |c, out| {
        out.push('_');
        push_year(out, c.year);
    }),
    ("__2", |c, out| push_spaced(out, c.day_of_year, 3)),
    ("_2", |c, out| push_spaced(out, c.day, 2)),
    ("-07:00:00", |c, out| push_offset(out, c.offset_seconds, "-07:00:00")),
    ("-070000", |c, out| push_offset(out, c.offset_seconds, "-070000")),
    ("-07:00", |c, out| push_offset(out, c.offset_seconds, "-07:00")),
    ("-0700", |c, out| push_offset(out, c.offset_seconds, "-0700")),
    ("-07", |c, out| push_offset(out, c.offset_seconds, "-07")),
    ("Z07:00:00", |c, out| push_offset(out, c.offset_seconds, "Z07:00:00")),
    ("Z070000", |c, out| push_offset(out, c.offset_seconds, "Z070000")),
    ("Z07:00", |c, out| push_offset(out, c.offset_seconds, "Z07:00")),
    ("Z0700", |c, out| push_offset(out, c.offset_seconds, "Z0700")),
    ("Z07", |c, out| push_offset(out, c.offset_seconds, "Z07")),
    ("PM", |c, out| out.push_str(if c.hour >= 12 { "PM" } else { "AM" })),
    ("pm", |c, out| out.push_str(if c.hour >= 12 { "pm" } else { "am" })),
    ("1", |c, out| push_padded(out, c.month, 1)),
    ("2", |c, out| push_padded(out, c.day, 1)),
    ("3", |c, out| push_padded(out, c.hour_of_twelve(), 1)),
    ("4", |c, out| push_padded(out, c.minute, 1)),
    ("5", |c, out| push_padded(out, c.second, 1)),
];

fn push_padded(out: &mut String, value: u32, width: usize) {
    write!(out, "{value:0width$}").expect("writing to a String cannot fail");
}

fn push_spaced(out: &mut String, value: u32, width: usize) {
    write!(out, "{value:width$}").expect("writing to a String cannot fail");
}

/// The name of the zone; without one, the offset.
fn push_zone(shown: &FormattedMoment<'_>, out: &mut String) {
    match shown.zone {
        "" => push_offset(out, shown.offset_seconds, "-0700"),
        zone => out.push_str(zone),
    }
}

/// The offset in the shape of the layout's element.
fn push_offset(out: &mut String, offset_seconds: i32, element: &str) {
    if element.starts_with('Z') && offset_seconds == 0 {
        return out.push('Z');
    }
    let size = offset_seconds.unsigned_abs();
    out.push(if offset_seconds < 0 { '-' } else { '+' });
    let colon = if element.contains(':') { ":" } else { "" };
    write!(out, "{:02}", size / 3600).expect("writing to a String cannot fail");
    if element.len() > 3 {
        write!(out, "{colon}{:02}", size / 60 % 60).expect("writing to a String cannot fail");
    }
    if element.len() > 6 {
        write!(out, "{colon}{:02}", size % 60).expect("writing to a String cannot fail");
    }
}

/// At least four digits, the sign not counted.
fn push_year(out: &mut String, year: i64) {
    let sign = if year < 0 { "-" } else { "" };
    write!(out, "{sign}{:04}", year.unsigned_abs()).expect("writing to a String cannot fail");
}

/// Whether `rest` begins with the element. `Jan` and `Mon` are plain text where a lower-case letter follows.
fn begins_with_element(rest: &str, element: &str) -> bool {
    let Some(after) = rest.strip_prefix(element) else { return false };
    !matches!(element, "Jan" | "Mon") || !after.starts_with(|c: char| c.is_ascii_lowercase())
}

/// A fraction of a second, `.000` or `,999`: how many digits, and whether zeros at its end are left out.
fn fraction(rest: &str) -> Option<(usize, bool)> {
    let tail = rest.strip_prefix(['.', ','])?;
    let digit = tail.bytes().next().filter(|digit| matches!(digit, b'0' | b'9'))?;
    let digits = tail.bytes().take_while(|byte| *byte == digit).count();
    // Followed by another digit, it is a plain number in the text.
    let ends = !tail[digits..].starts_with(|c: char| c.is_ascii_digit());
    ends.then_some((digits, digit == b'9'))
}

fn push_fraction(out: &mut String, point: char, nanosecond: i64, digits: usize, trimmed: bool) {
    let all = format!("{nanosecond:09}");
    let mut shown = &all[..digits.min(9)];
    if trimmed {
        shown = shown.trim_end_matches('0');
        if shown.is_empty() {
            return;
        }
    }
    out.push(point);
    out.push_str(shown);
    // Go has no more than nine digits, so it prints those.
}

/// `time.Parse` by RFC 3339: seconds since the epoch and nanoseconds; `None` where Go refuses the text.
///
/// As in Go, an hour may have one digit, a comma may replace the point of the fraction, and digits beyond
/// nanoseconds are dropped.
pub fn parse_rfc3339(text: &str) -> Option<(i64, u32)> {
    parse_rfc3339_zoned(text).map(|time| (time.seconds, time.nanos))
}

/// As [`parse_rfc3339`], with the offset as it is written; one of nothing is UTC.
pub fn parse_rfc3339_zoned(text: &str) -> Option<Zoned<'static>> {
    let mut reader = Reader { rest: text.as_bytes() };
    let year = reader.number(4, 4)?;
    reader.skip(b'-')?;
    let month = reader.number(2, 2)?;
    reader.skip(b'-')?;
    let day = reader.number(2, 2)?;
    reader.skip(b'T')?;
    let hour = reader.number(1, 2)?;
    reader.skip(b':')?;
    let minute = reader.number(2, 2)?;
    reader.skip(b':')?;
    let second = reader.number(2, 2)?;
    let nanos = reader.fraction();
    let offset_seconds = reader.offset()?;
    let date = Civil { year: i64::from(year), month, day, ..Civil::from_unix(0) };
    let sound = (1..=12).contains(&month)
        && (1..=date.days_in_month()).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && reader.rest.is_empty();
    let seconds =
        days_until(date.year, month, day) * SECONDS_PER_DAY + i64::from(hour * 3600 + minute * 60 + second);
    sound.then_some(Zoned {
        seconds: seconds - offset_seconds,
        nanos,
        offset_seconds: offset_seconds as i32,
        zone: if offset_seconds == 0 { "UTC" } else { "" },
    })
}

/// Reads a time from left to right.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn skip(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    /// A number with that many digits at least and at most.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let digits = self.rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let value = number.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        (digits >= least).then_some(value)
    }

    /// Nanoseconds of a fraction, 0 if there is none.
    fn fraction(&mut self) -> u32 {
        let [b'.' | b',', tail @ ..] = self.rest else { return 0 };
        let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return 0;
        }
        self.rest = &tail[digits..];
        (0..9).fold(0, |nanos, at| {
            nanos * 10 + tail[..digits].get(at).map_or(0, |digit| u32::from(digit - b'0'))
        })
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.skip(b'Z').is_some() {
            return Some(0);
        }
        let sign = match self.rest.first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let hours = self.number(2, 2)?;
        self.skip(b':')?;
        let minutes = self.number(2, 2)?;
        // Go's bounds are one too high.
        (hours <= 24 && minutes <= 60).then_some(sign * i64::from(hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        let leap = Civil::from_unix(1_709_210_096);
        assert_eq!((leap.year, leap.month, leap.day), (2024, 2, 29));
        assert_eq!((leap.hour, leap.minute, leap.second), (12, 34, 56));
        assert_eq!((leap.weekday, leap.day_of_year, leap.days_in_month()), (4, 60, 29));
        let before = Civil::from_unix(-1);
        assert_eq!((before.year, before.month, before.day, before.second), (1969, 12, 31, 59));
        assert_eq!((before.weekday, before.day_of_year), (3, 365));
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = (1600, 1, 1);
        for days in days_until(1600, 1, 1)..days_until(2400, 1, 1) {
            let date = Civil::from_unix(days * SECONDS_PER_DAY);
            assert_eq!((date.year, date.month, date.day), expected);
            expected = match (date.month, date.day) {
                (12, 31) => (date.year + 1, 1, 1),
                (month, day) if day == date.days_in_month() => (date.year, month + 1, 1),
                (month, day) => (date.year, month, day + 1),
            };
        }
    }

    #[test]
    fn times_before_the_calendar_come_round_as_in_go() {
        let nan = Civil::from_unix(i64::MIN);
        assert_eq!((nan.year, nan.month, nan.day, nan.hour, nan.minute), (292_277_026_596, 12, 4, 15, 30));
        assert_eq!((nan.weekday, nan.day_of_year), (0, 339));
        assert_eq!(Civil::from_unix(-9_223_372_000_000_000_000).year, -292_277_021_490);
    }

    #[test]
    fn zones_show_their_offset_and_name() {
        let all = "2006-01-02 15:04:05.000 MST -07 -0700 -07:00 -070000 -07:00:00 Z07 Z0700 Z07:00 Z070000 Z07:00:00";
        for (offset_seconds, zone, expected) in [
            (0, "UTC", "2024-02-29 12:34:56.007 UTC +00 +0000 +00:00 +000000 +00:00:00 Z Z Z Z Z"),
            (
                -12_600,
                "NST",
                "2024-02-29 09:04:56.007 NST -03 -0330 -03:30 -033000 -03:30:00 -03 -0330 -03:30 -033000 -03:30:00",
            ),
            (
                5_400,
                "",
                "2024-02-29 14:04:56.007 +0130 +01 +0130 +01:30 +013000 +01:30:00 +01 +0130 +01:30 +013000 +01:30:00",
            ),
        ] {
            let time = Zoned { seconds: 1_709_210_096, nanos: 7_000_000, offset_seconds, zone };
            assert_eq!(format_zoned(&time, all), expected);
        }
        let read = parse_rfc3339_zoned("2024-02-29T14:04:56.5+01:30").expect("a time");
        assert_eq!(
            read,
            Zoned { seconds: 1_709_210_096, nanos: 500_000_000, offset_seconds: 5400, zone: "" }
        );
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for seconds in [i64::MIN / 1000, i64::MAX / 1000, i64::MIN, i64::MAX] {
            let date = Civil::from_unix(seconds);
            assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
        }
    }
}
