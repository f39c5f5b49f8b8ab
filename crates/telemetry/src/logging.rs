//! Log lines as Prometheus writes them: logfmt or JSON, one line each, on standard error.
//!
//! ```text
//! time=2026-11-20T19:07:03.263Z level=INFO source=serve.rs:41 msg="Server is ready to receive web requests."
//! ```
//!
//! Use the macros: `info!("TSDB started", duration = took)`. Keys are names or string literals, values anything
//! that implements `Display`. The process has one log; until [`init`] it uses level `info` and logfmt.

use std::fmt::Display;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use ferula_go::json::push_string;
use ferula_go::quote::go_quote;
use ferula_go::sync::MutexExt;
use time::OffsetDateTime;

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For finding out why something happens.
    Debug,
    /// For normal operation.
    Info,
    /// Something is wrong but nothing is lost yet, or the cause is elsewhere.
    Warn,
    /// Something that was requested did not happen.
    Error,
}

impl Level {
    /// The word in the line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        }
    }

    /// Parses a level from the command line.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "debug" => Some(Level::Debug),
            "info" => Some(Level::Info),
            "warn" => Some(Level::Warn),
            "error" => Some(Level::Error),
            _ => None,
        }
    }
}

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value`, quoted where needed.
    Logfmt,
    /// One JSON object.
    Json,
}

impl Format {
    /// Parses a format from the command line.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "logfmt" => Some(Format::Logfmt),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// The only global of the crate: the level, read on every call, and the format.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static FORMAT: Mutex<Format> = Mutex::new(Format::Logfmt);

/// Sets the level and format of the process' log.
pub fn init(level: Level, format: Format) {
    LEVEL.store(level as u8, Relaxed);
    *FORMAT.locked() = format;
}

/// Whether a line of this level would be written.
pub fn enabled(level: Level) -> bool {
    level as u8 >= LEVEL.load(Relaxed)
}

/// Writes one line. The macros call this and add the source position.
pub fn emit(level: Level, file: &str, line: u32, message: &str, pairs: &[(&str, &dyn Display)]) {
    let entry = Entry { time: OffsetDateTime::now_utc(), level, file, line, message, pairs };
    let format = *FORMAT.locked();
    let mut text = match format {
        Format::Logfmt => entry.logfmt(),
        Format::Json => entry.json(),
    };
    text.push('\n');
    // A failure to write the log must not end the program.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A JSON line with its newline, for logs in separate files.
pub fn json_line(
    unix_nanos: i64,
    level: Level,
    file: &str,
    line: u32,
    message: &str,
    pairs: &[(&str, &dyn Display)],
) -> String {
    let time =
        OffsetDateTime::from_unix_timestamp_nanos(unix_nanos.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut text = Entry { time, level, file, line, message, pairs }.json();
    text.push('\n');
    text
}

struct Entry<'a> {
    time: OffsetDateTime,
    level: Level,
    file: &'a str,
    line: u32,
    message: &'a str,
    pairs: &'a [(&'a str, &'a dyn Display)],
}

impl Entry<'_> {
    /// The file name without directories, and the line.
    fn source(&self) -> String {
        let file = self.file.rsplit(['/', '\\']).next().unwrap_or(self.file);
        format!("{file}:{}", self.line)
    }

    fn logfmt(&self) -> String {
        let time = rfc3339(self.time, 3);
        let mut out = format!("time={time} level={} source={} msg=", self.level.as_str(), self.source());
        push_logfmt_value(&mut out, self.message);
        for (key, value) in self.pairs {
            out.push(' ');
            push_logfmt_value(&mut out, key);
            out.push('=');
            push_logfmt_value(&mut out, &value.to_string());
        }
        out
    }

    fn json(&self) -> String {
        let mut time = rfc3339(self.time, 9);
        // Go prints the nanoseconds without trailing zeros.
        let digits = time.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').len();
        time.replace_range(digits.., "Z");
        let mut out = String::from("{");
        let (level, source) = (self.level.as_str(), self.source());
        let fixed = [("time", time.as_str()), ("level", level), ("source", &source), ("msg", self.message)];
        for (key, value) in fixed {
            push_json_pair(&mut out, key, value);
        }
        for (key, value) in self.pairs {
            push_json_pair(&mut out, key, &value.to_string());
        }
        out.push('}');
        out
    }
}

fn rfc3339(time: OffsetDateTime, digits: u32) -> String {
    let fraction = u64::from(time.nanosecond()) / 10u64.pow(9 - digits);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{fraction:0width$}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        width = digits as usize
    )
}

/// Quotes when Go's text handler does: if empty, or if it contains a space, quote, equals sign or unprintable
/// character.
fn push_logfmt_value(out: &mut String, text: &str) {
    let plain = |c: char| c > ' ' && c != '"' && c != '=' && c != '\u{7f}' && !c.is_control();
    if !text.is_empty() && text.chars().all(plain) && !text.contains(char::REPLACEMENT_CHARACTER) {
        out.push_str(text);
    } else {
        out.push_str(&go_quote(text));
    }
}

fn push_json_pair(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    push_string(out, key);
    out.push(':');
    push_string(out, value);
}

/// Writes a line with the given level: `log!(Level::Info, "text", key = value)`.
#[macro_export]
macro_rules! log {
    ($level:expr, $message:expr $(, $key:tt = $value:expr)* $(,)?) => {
        if $crate::logging::enabled($level) {
            $crate::logging::emit(
                $level,
                file!(),
                line!(),
                AsRef::<str>::as_ref(&$message),
                &[$(($crate::log_key!($key), &$value as &dyn ::std::fmt::Display)),*],
            );
        }
    };
}

/// Writes a line of level `debug`.
#[macro_export]
macro_rules! debug {
    ($($rest:tt)*) => { $crate::log!($crate::logging::Level::Debug, $($rest)*) };
}

/// Writes a line of level `info`.
#[macro_export]
macro_rules! info {
    ($($rest:tt)*) => { $crate::log!($crate::logging::Level::Info, $($rest)*) };
}

/// Writes a line of level `warn`.
#[macro_export]
macro_rules! warn {
    ($($rest:tt)*) => { $crate::log!($crate::logging::Level::Warn, $($rest)*) };
}

/// Writes a line of level `error`.
#[macro_export]
macro_rules! error {
    ($($rest:tt)*) => { $crate::log!($crate::logging::Level::Error, $($rest)*) };
}

/// The text of a key: a name as it is, a literal without its quotes.
#[doc(hidden)]
#[macro_export]
macro_rules! log_key {
    ($key:literal) => {
        $key
    };
    ($key:ident) => {
        stringify!($key)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(message: &'a str, pairs: &'a [(&'a str, &'a dyn Display)]) -> Entry<'a> {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_795_201_623_263_400_000).expect("in range");
        Entry { time, level: Level::Warn, file: "crates/x/src/serve.rs", line: 41, message, pairs }
    }

    #[test]
    fn logfmt_is_as_in_go() {
        assert_eq!(
            entry("two words", &[("n", &7), ("empty", &""), ("err", &"a \"b\"\n"), ("component", &"web")])
                .logfmt(),
            "time=2026-11-20T19:07:03.263Z level=WARN source=serve.rs:41 msg=\"two words\" n=7 empty=\"\" \
             err=\"a \\\"b\\\"\\n\" component=web"
        );
        assert!(entry("plain", &[("x", &"a=b")]).logfmt().ends_with(" msg=plain x=\"a=b\""));
    }

    #[test]
    fn json_is_as_in_go() {
        assert_eq!(
            entry("two words", &[("err", &"a \"b\"\n\u{1}")]).json(),
            r#"{"time":"2026-11-20T19:07:03.2634Z","level":"WARN","source":"serve.rs:41","msg":"two words","err":"a \"b\"\n\u0001"}"#
        );
    }

    #[test]
    fn macros_take_names_and_literals_as_keys() {
        let file = String::from("x.yml");
        crate::debug!("not written at level info", file = file, "other key" = 7);
        crate::log!(Level::Debug, format!("made {file}"));
        assert!(!enabled(Level::Debug) && enabled(Level::Warn));
        assert_eq!((Level::parse("warn"), Level::parse("WARN")), (Some(Level::Warn), None));
    }
}
