//! Times and durations in templates: the results of `toTime` and `toDuration`, and lengths of time elsewhere.

use std::sync::Arc;

use ferula_go::calendar::{self, Civil};
use ferula_go::duration;

use crate::error::CallError;
use crate::value::{Object, Value};

/// A moment in UTC.
pub struct Moment {
    /// Nanoseconds since the epoch.
    pub nanos: i64,
}

impl Moment {
    fn civil(&self) -> Civil {
        Civil::from_unix(self.nanos.div_euclid(1_000_000_000))
    }
}

impl Object for Moment {
    fn type_name(&self) -> String {
        "*time.Time".to_owned()
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let civil = self.civil();
        let int = |v: i64| Some(Ok(Value::Int(v)));
        match (name, arguments) {
            ("Format", [Value::Text(layout)]) => Some(Ok(Value::text(calendar::format(self.nanos, layout)))),
            ("Year", []) => int(civil.year),
            ("Month", []) => Some(Ok(Value::text(civil.month_name()))),
            ("Day", []) => int(civil.day.into()),
            ("Hour", []) => int(civil.hour.into()),
            ("Minute", []) => int(civil.minute.into()),
            ("Second", []) => int(civil.second.into()),
            ("Nanosecond", []) => int(self.nanos.rem_euclid(1_000_000_000)),
            ("YearDay", []) => int(civil.day_of_year.into()),
            ("Weekday", []) => Some(Ok(Value::text(civil.weekday_name()))),
            ("Unix", []) => int(self.nanos.div_euclid(1_000_000_000)),
            ("UnixMilli", []) => int(self.nanos.div_euclid(1_000_000)),
            ("UnixMicro", []) => int(self.nanos.div_euclid(1_000)),
            ("UnixNano", []) => int(self.nanos),
            ("UTC", []) => Some(Ok(Value::Object(Arc::new(Moment { nanos: self.nanos })))),
            ("String", []) => Some(Ok(Value::text(self.print()))),
            _ => None,
        }
    }

    fn print(&self) -> String {
        calendar::to_string(self.nanos)
    }
}

/// A length of time.
pub struct Duration {
    /// Nanoseconds.
    pub nanos: i64,
    type_name: &'static str,
}

impl Duration {
    /// `time.Duration`
    pub fn new(nanos: i64) -> Self {
        Duration { nanos, type_name: "time.Duration" }
    }

    /// A pointer to one, as `toDuration` returns it.
    pub(crate) fn pointer(nanos: i64) -> Self {
        Duration { nanos, type_name: "*time.Duration" }
    }

    /// The duration as a value.
    pub fn value(self) -> Value {
        Value::Object(Arc::new(self))
    }

    fn seconds(&self) -> f64 {
        (self.nanos / 1_000_000_000) as f64 + (self.nanos % 1_000_000_000) as f64 / 1e9
    }
}

impl Object for Duration {
    fn type_name(&self) -> String {
        self.type_name.to_owned()
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        match (name, arguments) {
            ("Hours", []) => Some(Ok(Value::Float(self.seconds() / 3600.0))),
            ("Minutes", []) => Some(Ok(Value::Float(self.seconds() / 60.0))),
            ("Seconds", []) => Some(Ok(Value::Float(self.seconds()))),
            ("Milliseconds", []) => Some(Ok(Value::Int(self.nanos / 1_000_000))),
            ("Microseconds", []) => Some(Ok(Value::Int(self.nanos / 1_000))),
            ("Nanoseconds", []) => Some(Ok(Value::Int(self.nanos))),
            ("String", []) => Some(Ok(Value::text(self.print()))),
            _ => None,
        }
    }

    fn print(&self) -> String {
        duration::format(self.nanos)
    }

    fn to_json(&self) -> Result<String, CallError> {
        Ok(self.nanos.to_string())
    }

    fn as_seconds(&self) -> Option<f64> {
        Some(self.seconds())
    }
}
