//! Named times at which routes are muted or active.

use ferula_go::number::{NumberError, atoi};
use ferula_go::unicode;

use crate::error::Problem;
use crate::scalars::from_text;
use crate::section::section;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

section! {
    /// One entry of `time_intervals` or `mute_time_intervals`: the union of its parts.
    pub struct NamedTimeInterval as "config.TimeInterval" read as "config.plain" {
        keep name: String;
        keep time_intervals: Vec<TimeInterval>;
    }
}

section! {
    /// Times that satisfy every part that is given.
    pub struct TimeInterval as "timeinterval.TimeInterval" {
        omit times: Vec<TimeRange>;
        omit weekdays: Ranges<Weekday>;
        omit days_of_month: Ranges<DayOfMonth>;
        omit months: Ranges<Month>;
        omit years: Ranges<Year>;
        omit location: Option<Location>;
    }
}

section! {
    /// `start_time` and `end_time` as written.
    struct WrittenTimeRange as "timeinterval.yamlTimeRange" {
        keep start_time: String;
        keep end_time: String;
    }
}

/// Why a part of a time interval is refused, in Alertmanager's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeIntervalError {
    #[error("both start and end times must be provided")]
    MissingTime,
    #[error("start time cannot be equal or greater than end time")]
    EmptyTimes,
    #[error("couldn't parse timestamp {0}, invalid format")]
    Time(String),
    #[error("couldn't parse range {0}, invalid format")]
    Range(String),
    #[error("{0} is not a valid weekday")]
    Weekday(String),
    #[error("{0} is not a valid day of the month: out of range")]
    DayOfMonth(i64),
    #[error("{0} is not a valid month")]
    Month(String),
    #[error(transparent)]
    Number(#[from] NumberError),
    #[error("start day cannot be before end day")]
    WeekdayOrder,
    #[error("end day must be negative if start day is negative")]
    DaySigns,
    /// Empty even in February.
    #[error("end day {end} is always before start day {begin}")]
    DayOrder { begin: i64, end: i64 },
    #[error("end month {end} is before start month {begin}")]
    MonthOrder { begin: &'static str, end: &'static str },
    #[error("end year {end} is before start year {begin}")]
    YearOrder { begin: i64, end: i64 },
    #[error("time: invalid location name")]
    LocationName,
    #[error("unknown time zone {0}")]
    UnknownZone(String),
}

/// Minutes of a day, from `start_minute` up to but not including `end_minute`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub start_minute: u32,
    pub end_minute: u32,
}

impl Value for TimeRange {
    fn zero() -> Self {
        TimeRange::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let before = d.errors();
        let mut written = WrittenTimeRange::zero();
        written.decode(id, d)?;
        if d.errors() > before {
            return Ok(());
        }
        *self = TimeRange::of(&written).map_err(|error| d.problem(error.to_string()))?;
        Ok(())
    }

    fn go_type() -> String {
        WrittenTimeRange::go_type()
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn print(&self) -> PrintedValue {
        let show = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        WrittenTimeRange { start_time: show(self.start_minute), end_time: show(self.end_minute) }.print()
    }
}

impl TimeRange {
    fn of(written: &WrittenTimeRange) -> Result<Self, TimeIntervalError> {
        if written.start_time.is_empty() || written.end_time.is_empty() {
            return Err(TimeIntervalError::MissingTime);
        }
        let range =
            TimeRange { start_minute: minute(&written.start_time)?, end_minute: minute(&written.end_time)? };
        if range.start_minute >= range.end_minute {
            return Err(TimeIntervalError::EmptyTimes);
        }
        Ok(range)
    }
}

/// The minute of the day of `HH:MM`, up to 24:00.
fn minute(text: &str) -> Result<u32, TimeIntervalError> {
    let wrong = || TimeIntervalError::Time(text.to_owned());
    let digits = |part: &str| match part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<u32>().ok(),
        false => None,
    };
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    match (digits(hour), digits(minute)) {
        (Some(24), Some(0)) => Ok(24 * 60),
        (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(hour * 60 + minute),
        _ => Err(wrong()),
    }
}

/// What ranges of a kind may hold.
pub trait RangeKind: Clone + Default + std::fmt::Debug + PartialEq {
    /// The number of a word such as `monday` or `12`.
    fn number(text: &str) -> Result<i64, TimeIntervalError>;
    /// Checks a whole range; `text` is what was written.
    fn check(range: Range<Self>, text: &str) -> Result<(), TimeIntervalError>;
    /// The word of a number.
    fn show(number: i64) -> String {
        number.to_string()
    }
}

/// A range with both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range<K> {
    pub begin: i64,
    pub end: i64,
    kind: std::marker::PhantomData<K>,
}

/// Days of the week from Sunday, 0, to Saturday, 6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weekday;
/// Days of a month from 1 to 31; negative ones count from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayOfMonth;
/// Months from 1 to 12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Month;
/// Years of the common era.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Year;

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn index_of(words: &[&str], text: &str) -> Option<i64> {
    words.iter().position(|word| *word == text).and_then(|at| i64::try_from(at).ok())
}

impl RangeKind for Weekday {
    fn number(text: &str) -> Result<i64, TimeIntervalError> {
        index_of(&WEEKDAYS, text).ok_or_else(|| TimeIntervalError::Weekday(text.to_owned()))
    }

    fn check(range: Range<Self>, _: &str) -> Result<(), TimeIntervalError> {
        if range.begin > range.end { Err(TimeIntervalError::WeekdayOrder) } else { Ok(()) }
    }

    fn show(number: i64) -> String {
        usize::try_from(number).ok().and_then(|at| WEEKDAYS.get(at)).map_or_else(String::new, |w| (*w).into())
    }
}

impl RangeKind for DayOfMonth {
    fn number(text: &str) -> Result<i64, TimeIntervalError> {
        Ok(atoi(text)?)
    }

    fn check(range: Range<Self>, _: &str) -> Result<(), TimeIntervalError> {
        for day in [range.begin, range.end] {
            if day == 0 || !(-31..=31).contains(&day) {
                return Err(TimeIntervalError::DayOfMonth(day));
            }
        }
        if range.begin < 0 && range.end > 0 {
            return Err(TimeIntervalError::DaySigns);
        }
        // Whether a range is empty depends on the month; one that is empty even in February is refused.
        let in_february = |day: i64| if day < 0 { 28 + day } else { day };
        if in_february(range.begin) > in_february(range.end) {
            return Err(TimeIntervalError::DayOrder { begin: range.begin, end: range.end });
        }
        Ok(())
    }
}

impl RangeKind for Month {
    fn number(text: &str) -> Result<i64, TimeIntervalError> {
        index_of(&MONTHS, text)
            .map(|at| at + 1)
            .or_else(|| text.parse().ok())
            .ok_or_else(|| TimeIntervalError::Month(text.to_owned()))
    }

    fn check(range: Range<Self>, _: &str) -> Result<(), TimeIntervalError> {
        if range.begin <= range.end {
            return Ok(());
        }
        let name = |number: i64| {
            usize::try_from(number - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or_default()
        };
        Err(TimeIntervalError::MonthOrder { begin: name(range.begin), end: name(range.end) })
    }
}

impl RangeKind for Year {
    fn number(text: &str) -> Result<i64, TimeIntervalError> {
        Ok(atoi(text)?)
    }

    fn check(range: Range<Self>, _: &str) -> Result<(), TimeIntervalError> {
        if range.begin <= range.end {
            return Ok(());
        }
        Err(TimeIntervalError::YearOrder { begin: range.begin, end: range.end })
    }
}

impl<K: RangeKind> Range<K> {
    fn parse(text: &str) -> Result<Self, TimeIntervalError> {
        let text = unicode::lower(text);
        let (begin, end) = match text.split_once(':') {
            Some((_, end)) if end.contains(':') => {
                return Err(TimeIntervalError::Range(text));
            }
            Some((begin, end)) => (K::number(begin)?, K::number(end)?),
            None => (K::number(&text)?, K::number(&text)?),
        };
        let range = Range { begin, end, kind: std::marker::PhantomData };
        K::check(range.clone(), &text).map(|()| range)
    }

    /// Whether the number lies in the range.
    pub fn contains(&self, number: i64) -> bool {
        (self.begin..=self.end).contains(&number)
    }
}

impl<K: RangeKind> Value for Range<K> {
    fn zero() -> Self {
        Range::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| Range::parse(&text))
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn print(&self) -> PrintedValue {
        let begin = K::show(self.begin);
        PrintedValue::Text(if self.begin == self.end {
            begin
        } else {
            format!("{begin}:{}", K::show(self.end))
        })
    }
}

/// Ranges of which one must match; printed on one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges<K: RangeKind>(pub Vec<Range<K>>);

impl<K: RangeKind> Value for Ranges<K> {
    fn zero() -> Self {
        Ranges::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.decode(id, d)
    }

    fn go_type() -> String {
        "[]string".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::List { items: self.0.iter().map(Value::print).collect(), flow: true }
    }
}

/// The name of a time zone, such as `Europe/Berlin`. Alertmanager prints the section that follows one on a single line,
/// which is a quirk of its YAML library; here it is printed like any other, which reads the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location(pub String);

impl Value for Location {
    fn zero() -> Self {
        Location::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| {
            let name = if text.is_empty() { "UTC".to_owned() } else { text };
            known_zone(&name).map(|()| Location(name))
        })
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.0.clone())
    }
}

/// Refuses names that Go's `time.LoadLocation` does not know. The machine's database is asked first, then the one in
/// this program.
fn known_zone(name: &str) -> Result<(), TimeIntervalError> {
    if matches!(name, "" | "UTC" | "Local") {
        return Ok(());
    }
    if name.starts_with(['/', '\\']) || name.contains("..") {
        return Err(TimeIntervalError::LocationName);
    }
    match jiff::tz::TimeZone::get(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(TimeIntervalError::UnknownZone(name.to_owned())),
    }
}
