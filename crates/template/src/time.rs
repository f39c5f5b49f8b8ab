//! Moments and durations in templates: what `toTime` and `toDuration` give.

use std::sync::Arc;

use crate::value::{Object, Value};

/// A moment in UTC.
pub struct Moment {
    /// Nanoseconds since the epoch.
    pub nanos: i64,
}

/// A moment's parts on the calendar.
struct Calendar {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    /// Day of the week, Sunday is 0.
    weekday: i64,
    year_day: i64,
}

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

impl Moment {
    fn calendar(&self) -> Calendar {
        let seconds = self.nanos.div_euclid(1_000_000_000);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        Calendar {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            nanos: self.nanos.rem_euclid(1_000_000_000),
            weekday: (days + 4).rem_euclid(7),
            year_day: days - days_from_civil(year, 1, 1) + 1,
        }
    }

    /// Go's `Time.String`: `2006-01-02 15:04:05.999999999 +0000 UTC`.
    pub fn text(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    /// Go's `Time.Format`.
    pub fn format(&self, layout: &str) -> String {
        let c = self.calendar();
        let mut out = String::new();
        let mut rest = layout;
        while !rest.is_empty() {
            match LAYOUT.iter().find(|(element, _)| matches_element(rest, element)) {
                Some((element, show)) => {
                    out.push_str(&show(&c));
                    rest = &rest[element.len()..];
                }
                None => rest = fraction_or_char(rest, &c, &mut out),
            }
        }
        out
    }
}

/// `_2` must not be taken from `_2006`, nor `Jan` from the middle of a longer lower-case word.
fn matches_element(rest: &str, element: &str) -> bool {
    let Some(after) = rest.strip_prefix(element) else { return false };
    match element {
        "_2" => !after.starts_with("006"),
        "Jan" | "Mon" => !after.starts_with(|c: char| c.is_ascii_lowercase()),
        _ => true,
    }
}

/// A fraction of a second (`.000`, `,999`), or any other character as it is.
fn fraction_or_char<'a>(rest: &'a str, c: &Calendar, out: &mut String) -> &'a str {
    let mut chars = rest.chars();
    let first = chars.next().expect("the layout is not empty");
    let tail = chars.as_str();
    let digit = tail.chars().next();
    if let ('.' | ',', Some(digit @ ('0' | '9'))) = (first, digit) {
        let count = tail.chars().take_while(|d| *d == digit).count();
        if count <= 9 && !tail[count..].starts_with(|c: char| c.is_ascii_digit()) {
            let all = format!("{:09}", c.nanos);
            let shown = if digit == '9' { all[..count].trim_end_matches('0') } else { &all[..count] };
            if !shown.is_empty() {
                out.push(first);
                out.push_str(shown);
            }
            return &tail[count..];
        }
    }
    out.push(first);
    tail
}

type Show = fn(&Calendar) -> String;

/// Elements of a layout, longer ones before those they begin with.
const LAYOUT: [(&str, Show); 31] = [
    ("January", |c| MONTHS[c.month as usize - 1].to_owned()),
    ("Jan", |c| MONTHS[c.month as usize - 1][..3].to_owned()),
    ("Monday", |c| WEEKDAYS[c.weekday as usize].to_owned()),
    ("Mon", |c| WEEKDAYS[c.weekday as usize][..3].to_owned()),
    ("MST", |_| "UTC".to_owned()),
    ("01", |c| format!("{:02}", c.month)),
    ("002", |c| format!("{:03}", c.year_day)),
    ("02", |c| format!("{:02}", c.day)),
    ("03", |c| format!("{:02}", twelve(c.hour))),
    ("04", |c| format!("{:02}", c.minute)),
    ("05", |c| format!("{:02}", c.second)),
    ("06", |c| format!("{:02}", c.year.rem_euclid(100))),
    ("2006", |c| format!("{:04}", c.year)),
    ("15", |c| format!("{:02}", c.hour)),
    ("__2", |c| format!("{:3}", c.year_day)),
    ("_2", |c| format!("{:2}", c.day)),
    ("-07:00:00", |_| "+00:00:00".to_owned()),
    ("-070000", |_| "+000000".to_owned()),
    ("-07:00", |_| "+00:00".to_owned()),
    ("-0700", |_| "+0000".to_owned()),
    ("-07", |_| "+00".to_owned()),
    ("Z07:00", |_| "Z".to_owned()),
    ("Z0700", |_| "Z".to_owned()),
    ("Z07", |_| "Z".to_owned()),
    ("PM", |c| if c.hour >= 12 { "PM" } else { "AM" }.to_owned()),
    ("pm", |c| if c.hour >= 12 { "pm" } else { "am" }.to_owned()),
    ("1", |c| c.month.to_string()),
    ("2", |c| c.day.to_string()),
    ("3", |c| twelve(c.hour).to_string()),
    ("4", |c| c.minute.to_string()),
    ("5", |c| c.second.to_string()),
];

fn twelve(hour: i64) -> i64 {
    match hour % 12 {
        0 => 12,
        hour => hour,
    }
}

/// Days since the epoch to year, month, day of the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl Object for Moment {
    fn type_name(&self) -> String {
        "*time.Time".to_owned()
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let c = self.calendar();
        let int = |v: i64| Some(Ok(Value::Int(v)));
        match (name, arguments) {
            ("Format", [Value::Text(layout)]) => Some(Ok(Value::text(self.format(layout)))),
            ("Year", []) => int(c.year),
            ("Month", []) => Some(Ok(Value::text(MONTHS[c.month as usize - 1]))),
            ("Day", []) => int(c.day),
            ("Hour", []) => int(c.hour),
            ("Minute", []) => int(c.minute),
            ("Second", []) => int(c.second),
            ("Nanosecond", []) => int(c.nanos),
            ("YearDay", []) => int(c.year_day),
            ("Weekday", []) => Some(Ok(Value::text(WEEKDAYS[c.weekday as usize]))),
            ("Unix", []) => int(self.nanos.div_euclid(1_000_000_000)),
            ("UnixMilli", []) => int(self.nanos.div_euclid(1_000_000)),
            ("UnixMicro", []) => int(self.nanos.div_euclid(1_000)),
            ("UnixNano", []) => int(self.nanos),
            ("UTC", []) => Some(Ok(Value::Object(Arc::new(Moment { nanos: self.nanos })))),
            ("String", []) => Some(Ok(Value::text(self.text()))),
            _ => None,
        }
    }

    fn print(&self) -> String {
        self.text()
    }
}

/// A length of time.
pub struct Duration {
    /// Nanoseconds.
    pub nanos: i64,
}

impl Duration {
    fn seconds(&self) -> f64 {
        (self.nanos / 1_000_000_000) as f64 + (self.nanos % 1_000_000_000) as f64 / 1e9
    }

    /// Go's `Duration.String`: `1h2m3.5s`, `1.5ms`.
    pub fn text(&self) -> String {
        let magnitude = self.nanos.unsigned_abs();
        let sign = if self.nanos < 0 { "-" } else { "" };
        if magnitude == 0 {
            return "0s".to_owned();
        }
        if magnitude < 1_000_000_000 {
            let (unit, size) = match magnitude {
                0..1_000 => ("ns", 1),
                1_000..1_000_000 => ("µs", 1_000),
                _ => ("ms", 1_000_000),
            };
            return format!("{sign}{}{unit}", decimal(magnitude, size));
        }
        let (minutes, rest) = (magnitude / 60_000_000_000, magnitude % 60_000_000_000);
        let seconds = decimal(rest, 1_000_000_000);
        match (minutes / 60, minutes % 60) {
            (0, 0) => format!("{sign}{seconds}s"),
            (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
            (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// `value / size` with as many decimals as are needed.
fn decimal(value: u64, size: u64) -> String {
    let (whole, rest) = (value / size, value % size);
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

impl Object for Duration {
    fn type_name(&self) -> String {
        "*time.Duration".to_owned()
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        match (name, arguments) {
            ("Hours", []) => Some(Ok(Value::Float(self.seconds() / 3600.0))),
            ("Minutes", []) => Some(Ok(Value::Float(self.seconds() / 60.0))),
            ("Seconds", []) => Some(Ok(Value::Float(self.seconds()))),
            ("Milliseconds", []) => Some(Ok(Value::Int(self.nanos / 1_000_000))),
            ("Microseconds", []) => Some(Ok(Value::Int(self.nanos / 1_000))),
            ("Nanoseconds", []) => Some(Ok(Value::Int(self.nanos))),
            ("String", []) => Some(Ok(Value::text(self.text()))),
            _ => None,
        }
    }

    fn print(&self) -> String {
        self.text()
    }

    fn as_seconds(&self) -> Option<f64> {
        Some(self.seconds())
    }
}
