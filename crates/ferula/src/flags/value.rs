//! The types of flag values, and how each is parsed.
//!
//! A flag's type appears once, in its table row. It decides how the text is checked on the command line, how it is
//! shown, and what the rest of the program receives. So a checked value can always be parsed and never silently becomes
//! 0.

use std::time::Duration;

use ferula_config::ByteSize;
use ferula_go::float::format_g;
use ferula_go::quote::go_quote;
use ferula_model::duration;
use ferula_telemetry::logging::{Format, Level};
use ferula_tsdb::Compression;

/// The syntax of a value on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `--x`, `--no-x`
    Switch,
    Text,
    /// Text; the flag may be repeated.
    List,
    /// `1h30m`
    Duration,
    Integer,
    /// An integer, digits only.
    Digits,
    Number,
    /// `512MB`
    Bytes,
    /// One of these words. The second part is what errors call the value, if Prometheus has a name for it.
    Word(&'static [&'static str], Option<&'static str>),
}

impl Syntax {
    /// The value as it is shown, if `text` is valid.
    ///
    /// # Errors
    /// Prometheus' text for a value with the wrong syntax.
    pub fn normalize(self, text: &str) -> Result<String, ValueError> {
        match self {
            Syntax::Switch | Syntax::Text | Syntax::List => Ok(text.to_owned()),
            Syntax::Duration => duration::parse_millis(text)
                .map(duration::format_millis)
                .map_err(|error| ValueError::Duration(error.to_string())),
            Syntax::Integer => {
                integer(text).map(|number| number.to_string()).ok_or_else(|| ValueError::number(text))
            }
            Syntax::Digits => {
                let number: Option<i64> = text.parse().ok();
                number.map(|number| number.to_string()).ok_or_else(|| ValueError::Digits(go_quote(text)))
            }
            Syntax::Number => text.parse().map(format_g).map_err(|_| ValueError::number(text)),
            Syntax::Bytes => ByteSize::parse(text)
                .map(|size| size.to_string())
                .map_err(|error| ValueError::Bytes(error.to_string())),
            Syntax::Word(words, _) if words.contains(&text) => Ok(text.to_owned()),
            Syntax::Word(words, Some(what)) => {
                let meant = ferula_config::closest(text, words.iter().copied());
                Err(ValueError::Unrecognized { what, value: text.to_owned(), meant })
            }
            Syntax::Word(words, None) => {
                Err(ValueError::NotOneOf { words: words.join(","), value: text.to_owned() })
            }
        }
    }
}

/// Why a text is not a valid value. The texts are Prometheus'.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("{0}")]
    Duration(String),
    #[error("strconv.ParseFloat: parsing {0}: invalid syntax")]
    Number(String),
    #[error("strconv.ParseInt: parsing {0}: invalid syntax")]
    Digits(String),
    #[error("{0}")]
    Bytes(String),
    #[error("unrecognized {what} {value}{}", .meant.map(|meant| format!(", did you mean '{meant}'?")).unwrap_or_default())]
    Unrecognized { what: &'static str, value: String, meant: Option<&'static str> },
    #[error("enum value must be one of {words}, got '{value}'")]
    NotOneOf { words: String, value: String },
}

impl ValueError {
    fn number(text: &str) -> Self {
        ValueError::Number(go_quote(text))
    }
}

/// A whole number. Go also accepts `5e7`.
fn integer(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number.abs() < 9e15).then_some(number as i64)
}

/// The type of a flag's value.
pub trait ValueType {
    const SYNTAX: Syntax;
    type Value<'a>;

    /// Parses a text that [`Syntax::normalize`] returned, or the flag's default.
    fn read(text: &str) -> Option<Self::Value<'_>>;
}

macro_rules! value_types {
    ($($(#[$doc:meta])* $name:ident: $syntax:expr => $value:ty, |$text:ident| $read:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name;

        impl ValueType for $name {
            const SYNTAX: Syntax = $syntax;
            type Value<'a> = $value;

            fn read($text: &str) -> Option<Self::Value<'_>> {
                $read
            }
        }
    )+};
}

value_types! {
    /// On or off.
    Switch: Syntax::Switch => bool, |text| text.parse().ok();
    /// Any text.
    Text: Syntax::Text => &'a str, |text| Some(text);
    /// A text that may be missing.
    OptionalText: Syntax::Text => Option<&'a str>, |text| Some(Some(text).filter(|text| !text.is_empty()));
    /// Texts separated by commas; the flag may be repeated.
    List: Syntax::List => Vec<&'a str>, |text| Some(text.split(',').collect());
    /// A length of time.
    Span: Syntax::Duration => Duration, |text| {
        let millis = duration::parse_millis(text).ok()?;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    };
    /// A whole number of either sign.
    Integer: Syntax::Integer => i64, |text| text.parse().ok();
    /// A number of things; a negative number counts as 0.
    Count: Syntax::Integer => usize, |text| Some(usize::try_from(text.parse::<i64>().ok()?).unwrap_or(0));
    /// The same, digits only.
    DigitCount: Syntax::Digits => usize, |text| Some(usize::try_from(text.parse::<i64>().ok()?).unwrap_or(0));
    /// A number.
    Number: Syntax::Number => f64, |text| text.parse().ok();
    /// A size, which may be negative.
    Bytes: Syntax::Bytes => i64, |text| Some(ByteSize::parse(text).ok()?.0);
    /// The compression of WAL records.
    WalCompression: Syntax::Word(&["snappy", "zstd"], None) => Compression, |text| match text {
        "snappy" => Some(Compression::Snappy),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    };
    /// The lowest level that is logged.
    LogLevel: Syntax::Word(&["debug", "info", "warn", "error"], Some("log level")) => Level, |text| Level::parse(text);
    /// How log lines are written.
    LogFormat: Syntax::Word(&["logfmt", "json"], Some("log format")) => Format, |text| Format::parse(text);
}
