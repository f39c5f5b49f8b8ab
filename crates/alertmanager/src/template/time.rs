//! Times for templates, in any zone.

use std::any::Any;
use std::sync::Arc;

use ferula_go::calendar::{self, Civil, Zoned};
use ferula_template::{CallError, Duration, Object, Value};
use jiff::tz::TimeZone;

use crate::time::Time;

/// `time.Time`
#[derive(Clone, Debug)]
pub struct TimeValue {
    time: Time,
    /// `CET`; empty if only the offset is known.
    zone: String,
}

impl TimeValue {
    pub fn new(time: Time) -> Self {
        TimeValue { time, zone: time.zoned().zone.to_owned() }
    }

    /// The moment, with its offset.
    pub fn time(&self) -> Time {
        self.time
    }

    /// The same moment in another zone.
    pub fn in_zone(&self, zone: &TimeZone) -> TimeValue {
        let Ok(moment) = jiff::Timestamp::new(self.time.seconds, 0) else { return self.clone() };
        let info = zone.to_offset_info(moment);
        let time = Time { offset_seconds: info.offset().seconds(), ..self.time };
        TimeValue { time, zone: info.abbreviation().to_owned() }
    }

    /// As a value of a template.
    pub fn value(self) -> Value {
        Value::Object(Arc::new(self))
    }

    /// Formats it with one of Go's layouts.
    pub fn format(&self, layout: &str) -> String {
        calendar::format_zoned(&self.zoned(), layout)
    }

    fn zoned(&self) -> Zoned<'_> {
        Zoned { zone: &self.zone, ..self.time.zoned() }
    }

    fn civil(&self) -> Civil {
        Civil::from_unix(self.time.seconds + i64::from(self.time.offset_seconds))
    }

    fn plus_nanos(&self, nanos: i64) -> TimeValue {
        let sum =
            i128::from(self.time.seconds) * 1_000_000_000 + i128::from(self.time.nanos) + i128::from(nanos);
        let seconds = i64::try_from(sum.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        let time = Time { seconds, nanos: sum.rem_euclid(1_000_000_000) as u32, ..self.time };
        TimeValue { time, zone: self.zone.clone() }
    }
}

/// Nanoseconds from `b` to `a`, clamped.
pub fn nanos_between(a: Time, b: Time) -> i64 {
    let seconds = i128::from(a.seconds) - i128::from(b.seconds);
    let nanos = seconds * 1_000_000_000 + i128::from(a.nanos) - i128::from(b.nanos);
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// The time that a value contains.
pub fn time_of(value: &Value) -> Option<TimeValue> {
    match value {
        Value::Object(object) => {
            let any: &dyn Any = object.as_ref();
            any.downcast_ref::<TimeValue>().cloned()
        }
        _ => None,
    }
}

/// Nanoseconds of a duration, or of a whole number.
pub fn nanos_of(value: &Value) -> Option<i64> {
    match value {
        Value::Int(nanos) => Some(*nanos),
        Value::Object(object) => {
            let any: &dyn Any = object.as_ref();
            any.downcast_ref::<Duration>().map(|duration| duration.nanos)
        }
        _ => None,
    }
}

impl Object for TimeValue {
    fn type_name(&self) -> String {
        "time.Time".to_owned()
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let civil = self.civil();
        let int = |v: i64| Some(Ok(Value::Int(v)));
        let Time { seconds, nanos, .. } = self.time;
        let other = || arguments.first().and_then(time_of).map(|other| other.time);
        let ordering = || other().map(|other| self.time.cmp(&other));
        match (name, arguments) {
            ("Format", [Value::Text(layout)]) => Some(Ok(Value::text(self.format(layout)))),
            ("Year", []) => int(civil.year),
            ("Month", []) => Some(Ok(Value::text(civil.month_name()))),
            ("Day", []) => int(civil.day.into()),
            ("Hour", []) => int(civil.hour.into()),
            ("Minute", []) => int(civil.minute.into()),
            ("Second", []) => int(civil.second.into()),
            ("Nanosecond", []) => int(nanos.into()),
            ("YearDay", []) => int(civil.day_of_year.into()),
            ("Weekday", []) => Some(Ok(Value::text(civil.weekday_name()))),
            ("Unix", []) => int(seconds),
            ("UnixMilli", []) => int(seconds.wrapping_mul(1000).wrapping_add(i64::from(nanos) / 1_000_000)),
            ("UnixMicro", []) => int(seconds.wrapping_mul(1_000_000).wrapping_add(i64::from(nanos) / 1000)),
            ("UnixNano", []) => int(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos.into())),
            ("UTC", []) => Some(Ok(TimeValue::new(Time { offset_seconds: 0, ..self.time }).value())),
            ("Local", []) => Some(Ok(self.in_zone(&TimeZone::system()).value())),
            ("IsZero", []) => Some(Ok(Value::Bool(self.time.is_zero()))),
            ("Add", [by]) => nanos_of(by).map(|by| Ok(self.plus_nanos(by).value())),
            ("Sub", [_]) => other().map(|other| Ok(Duration::new(nanos_between(self.time, other)).value())),
            ("Before", [_]) => ordering().map(|order| Ok(Value::Bool(order.is_lt()))),
            ("After", [_]) => ordering().map(|order| Ok(Value::Bool(order.is_gt()))),
            ("Equal", [_]) => ordering().map(|order| Ok(Value::Bool(order.is_eq()))),
            ("String", []) => Some(Ok(Value::text(self.print()))),
            _ => None,
        }
    }

    fn print(&self) -> String {
        calendar::to_string_zoned(&self.zoned())
    }

    fn to_json(&self) -> Result<String, CallError> {
        Ok(format!("\"{}\"", self.format(calendar::RFC3339_NANO)))
    }
}
