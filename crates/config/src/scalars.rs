//! The scalar values of a configuration: durations, secrets, sizes, label maps, choices.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ferula_go::quote::{go_quote, go_quote_bytes};
use ferula_model::LabelSet;
use ferula_model::duration::{DurationError, format_millis, parse_millis};

use crate::error::Problem;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::{NodeId, NodeKind};

/// Reads a scalar as text and passes it to `make`, whose error ends the reading.
pub(crate) fn from_text<T, E: fmt::Display>(
    out: &mut T,
    id: NodeId,
    d: &mut Decoder<'_>,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<(), Problem> {
    let before = d.errors();
    let mut text = String::new();
    text.decode(id, d)?;
    if d.errors() == before {
        *out = make(text).map_err(|error| d.problem(error.to_string()))?;
    }
    Ok(())
}

/// The same for a secret, which may be in a file.
pub(crate) fn from_secret_text<T, E: fmt::Display>(
    out: &mut T,
    id: NodeId,
    d: &mut Decoder<'_>,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<(), Problem> {
    match d.secret_file(id)? {
        Some(text) => {
            *out = make(text).map_err(|error| d.problem(error.to_string()))?;
            Ok(())
        }
        None => from_text(out, id, d, make),
    }
}

/// Seconds as a duration, for defaults.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Prints a duration as Prometheus does.
pub(crate) fn show_duration(duration: Duration) -> String {
    format_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// Reads a Prometheus duration.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let millis = parse_millis(text)?;
    Ok(Duration::from_millis(millis.unsigned_abs()))
}

impl Value for Duration {
    fn zero() -> Self {
        Duration::ZERO
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| parse_duration(&text))
    }

    fn go_type() -> String {
        "model.Duration".into()
    }

    fn is_zero(&self) -> bool {
        Duration::is_zero(self)
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(show_duration(*self))
    }
}

/// A text that must not be shown: printed as `<secret>`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the code that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "<secret>" })
    }
}

impl Value for Secret {
    fn zero() -> Self {
        Secret::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        match d.secret_file(id)? {
            Some(text) => self.0 = text,
            None => self.0.decode(id, d)?,
        }
        Ok(())
    }

    fn go_type() -> String {
        "config.Secret".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        if self.0.is_empty() { PrintedValue::Null } else { PrintedValue::Text("<secret>".into()) }
    }
}

/// A number of bytes, written with units of 1024: `10MB`, `1GiB`. May be negative, which every user of it refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub i64);

const BYTE_UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

impl ByteSize {
    /// Reads `1GB` or `1GiB`, which are the same; a bare number is only allowed when it is 0.
    ///
    /// # Errors
    /// As in Prometheus.
    pub fn parse(text: &str) -> Result<ByteSize, ByteSizeError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned == "0" {
            return Ok(ByteSize(0));
        }
        let invalid = || ByteSizeError::Invalid(text.to_owned());
        if unsigned.is_empty() {
            return Err(invalid());
        }
        let (mut rest, mut total) = (unsigned, 0f64);
        while !rest.is_empty() {
            let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (digits, tail) = rest.split_at(number);
            let value: f64 = digits.parse().map_err(|_| invalid())?;
            let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit);
            let power = BYTE_UNITS.iter().position(|known| {
                unit == format!("{known}B") || !known.is_empty() && unit == format!("{known}iB")
            });
            let Some(power) = power else {
                return Err(ByteSizeError::Unit { unit: unit.to_owned(), text: text.to_owned() });
            };
            total += value * 1024f64.powi(i32::try_from(power).unwrap_or(0));
            rest = tail;
        }
        let total = if text.starts_with('-') { -total } else { total };
        if total.abs() >= i64::MAX as f64 {
            return Err(ByteSizeError::Overflow);
        }
        Ok(ByteSize(total as i64))
    }
}

/// Why a text is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    #[error("units: invalid {0}")]
    Invalid(String),
    #[error("units: unknown unit {unit} in {text}")]
    Unit { unit: String, text: String },
    #[error("units: overflow parsing unit")]
    Overflow,
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let mut rest = self.0;
        let mut parts = Vec::new();
        for unit in BYTE_UNITS {
            if rest % 1024 != 0 {
                parts.push(format!("{}{unit}{}", rest % 1024, if unit.is_empty() { "B" } else { "iB" }));
            }
            rest /= 1024;
        }
        parts.reverse();
        f.write_str(&parts.concat())
    }
}

impl Value for ByteSize {
    fn zero() -> Self {
        ByteSize(0)
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if !matches!(d.node(id).kind, NodeKind::Scalar(_)) {
            return d.wrong_type(id, "units.Base2Bytes");
        }
        from_text(self, id, d, |text| ByteSize::parse(&text))
    }

    fn go_type() -> String {
        "units.Base2Bytes".into()
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.to_string())
    }
}

/// Labels that are added to everything that leaves this server. Unlike in a series, a value may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalLabels(pub BTreeMap<String, String>);

impl ExternalLabels {
    /// The labels as a set; those with an empty value are left out.
    pub fn to_label_set(&self) -> LabelSet {
        LabelSet::from_pairs(&self.0)
    }
}

/// Reads a label map. Names and values must be valid UTF-8; the errors are Prometheus'.
fn decode_labels(
    out: &mut BTreeMap<String, String>,
    id: NodeId,
    go_type: &str,
    d: &mut Decoder<'_>,
) -> Result<(), Problem> {
    let NodeKind::Mapping(entries) = &d.node(id).kind else { return d.wrong_type(id, go_type) };
    for (key_id, value_id) in entries {
        if d.is_merge(*key_id) {
            for merged in d.merged(*value_id)? {
                d.through_alias(merged, &mut |target, d| decode_labels(out, target, go_type, d))?;
            }
            continue;
        }
        let (mut name, mut value) = (LabelText::default(), LabelText::default());
        let before = d.errors();
        d.read(&mut name, *key_id)?;
        d.read(&mut value, *value_id)?;
        if d.errors() > before {
            continue;
        }
        let name = name
            .text()
            .map_err(|bytes| d.problem(format!("{} is not a valid label name", go_quote_bytes(bytes))))?;
        let value = value
            .text()
            .map_err(|bytes| d.problem(format!("{} is not a valid label value", go_quote_bytes(bytes))))?;
        if out.contains_key(&name) {
            let line = d.node(*value_id).mark.line;
            d.type_error(line, &format!("key {} already set in map", go_quote(&name)));
            continue;
        }
        out.insert(name, value);
    }
    Ok(())
}

/// Text of a label before it is known to be UTF-8.
#[derive(Default)]
struct LabelText(Vec<u8>);

impl LabelText {
    fn text(&self) -> Result<String, &[u8]> {
        String::from_utf8(self.0.clone()).map_err(|_| &self.0[..])
    }
}

impl Value for LabelText {
    fn zero() -> Self {
        LabelText::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0 = d.text(id)?.unwrap_or_default();
        Ok(())
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(String::from_utf8_lossy(&self.0).into_owned())
    }
}

impl Value for ExternalLabels {
    fn zero() -> Self {
        ExternalLabels::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.clear();
        decode_labels(&mut self.0, id, "map[string]string", d)
    }

    fn go_type() -> String {
        "labels.Labels".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }
}

/// Labels of a target group: names must not be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetLabels(pub BTreeMap<String, String>);

impl Value for TargetLabels {
    fn zero() -> Self {
        TargetLabels::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        decode_labels(&mut self.0, id, "model.LabelSet", d)?;
        if self.0.contains_key("") {
            return Err(d.problem("\"\" is not a valid label name"));
        }
        Ok(())
    }

    fn go_type() -> String {
        "model.LabelSet".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }
}

/// A text that must be one of a few, refused while it is read.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident as $go:literal, [$($allowed:literal),+], $refused:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The word as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            #[allow(dead_code, reason = "not every choice has a default or is made in code")]
            pub(crate) fn new(word: &str) -> Self {
                $name(word.to_owned())
            }
        }

        impl $crate::yaml::decode::Value for $name {
            fn zero() -> Self {
                $name::default()
            }

            fn decode(
                &mut self,
                id: $crate::yaml::tree::NodeId,
                d: &mut $crate::yaml::decode::Decoder<'_>,
            ) -> Result<(), $crate::error::Problem> {
                $crate::scalars::from_text(self, id, d, |text| match text.as_str() {
                    $($allowed)|+ => Ok($name(text)),
                    other => Err($refused(other)),
                })
            }

            fn go_type() -> String {
                $go.to_owned()
            }

            fn is_zero(&self) -> bool {
                self.0.is_empty()
            }

            fn print(&self) -> $crate::yaml::emit::PrintedValue {
                $crate::yaml::emit::PrintedValue::Text(self.0.clone())
            }
        }
    };
}
pub(crate) use choice;

/// A whole number that Go's messages call `int64`; most others are `int`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Int64(pub i64);

/// A whole number that Go's messages call `uint64`; most others are `uint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uint64(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for (text, bytes, shown) in [
            ("0", 0, "0B"),
            ("10MB", 10 << 20, "10MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("1.5KB", 1536, "1KiB512B"),
            ("1GB512MB", (1 << 30) + (512 << 20), "1GiB512MiB"),
            ("-1MB", -(1 << 20), "-1MiB"),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), shown);
        }
        assert_eq!(
            ByteSize::parse("100"),
            Err(ByteSizeError::Unit { unit: String::new(), text: "100".to_owned() })
        );
        assert_eq!(ByteSize::parse("1XB").unwrap_err().to_string(), "units: unknown unit XB in 1XB");
        assert!(
            ByteSize::parse("B").is_err()
                && ByteSize::parse("").is_err()
                && ByteSize::parse("1e3MB").is_err()
        );
        assert!(ByteSize::parse("9000000000EB").is_err());
    }

    #[test]
    fn secrets_do_not_leak_through_debug() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "<secret>");
    }
}
