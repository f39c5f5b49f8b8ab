//! Attributes: names with values of any type, and values as text.

use ferula_go::base64;
use ferula_go::float::{format_f, format_g};
use ferula_go::json::{format_number, push_html_string};
use ferula_go::protobuf::{ProtobufError, Reader, Value};

/// Values nest no deeper.
const DEPTH_MAX: usize = 64;

/// A name with its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attribute<'a> {
    pub name: &'a str,
    value: AnyValue<'a>,
}

/// A value of any type; lists and maps are still packed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum AnyValue<'a> {
    Empty,
    String(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

/// Text of a message; bytes that are no UTF-8 end it.
pub fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

impl<'a> Attribute<'a> {
    /// Reads a `KeyValue`.
    ///
    /// # Errors
    /// Broken bytes.
    pub fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut reader = Reader::new(message);
        let (mut name, mut value) = ("", AnyValue::Empty);
        while let Some((field, content)) = reader.field()? {
            match field {
                1 => name = text(content.bytes("KeyValue.key")?),
                2 => value = AnyValue::read(content.bytes("KeyValue.value")?)?,
                _ => {}
            }
        }
        Ok(Attribute { name, value })
    }

    /// The value as the text of a label.
    pub fn text(&self) -> String {
        match self.value {
            AnyValue::Empty => String::new(),
            AnyValue::String(text) => text.to_owned(),
            AnyValue::Bool(value) => value.to_string(),
            AnyValue::Int(value) => value.to_string(),
            AnyValue::Double(value) => format_number(value)
                .unwrap_or_else(|| format!("json: unsupported value: {}", format_g(value))),
            AnyValue::Bytes(bytes) => base64::encode(bytes),
            AnyValue::List(_) | AnyValue::Map(_) => {
                let mut out = String::new();
                // As with Go's encoder, what JSON cannot express leaves nothing.
                if self.value.push_json(&mut out, 0).is_none() { String::new() } else { out }
            }
        }
    }
}

impl<'a> AnyValue<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut reader = Reader::new(message);
        let mut value = AnyValue::Empty;
        while let Some((field, content)) = reader.field()? {
            value = match field {
                1 => AnyValue::String(text(content.bytes("AnyValue.string_value")?)),
                2 => AnyValue::Bool(content.uint("AnyValue.bool_value")? != 0),
                3 => AnyValue::Int(content.int("AnyValue.int_value")?),
                4 => AnyValue::Double(content.double("AnyValue.double_value")?),
                5 => AnyValue::List(content.bytes("AnyValue.array_value")?),
                6 => AnyValue::Map(content.bytes("AnyValue.kvlist_value")?),
                7 => AnyValue::Bytes(content.bytes("AnyValue.bytes_value")?),
                _ => value,
            };
        }
        Ok(value)
    }

    /// Appends the value as `encoding/json` writes it; `None` if it cannot.
    fn push_json(self, out: &mut String, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self {
            AnyValue::Empty => out.push_str("null"),
            AnyValue::String(text) => push_html_string(out, text),
            AnyValue::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            AnyValue::Int(value) => out.push_str(&value.to_string()),
            AnyValue::Double(value) => out.push_str(&format_number(value)?),
            AnyValue::Bytes(bytes) => push_html_string(out, &base64::encode(bytes)),
            AnyValue::List(message) => {
                out.push('[');
                for (index, value) in members(message)?.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    AnyValue::read(value).ok()?.push_json(out, depth + 1)?;
                }
                out.push(']');
            }
            AnyValue::Map(message) => {
                let mut entries = Vec::new();
                for entry in members(message)? {
                    entries.push(Attribute::read(entry).ok()?);
                }
                entries.sort_by_key(|entry| entry.name);
                // Of several with one name the last counts.
                entries.reverse();
                entries.dedup_by_key(|entry| entry.name);
                entries.reverse();
                out.push('{');
                for (index, entry) in entries.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_html_string(out, entry.name);
                    out.push(':');
                    entry.value.push_json(out, depth + 1)?;
                }
                out.push('}');
            }
        }
        Some(())
    }
}

/// The messages in field 1.
fn members(message: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader::new(message);
    let mut members = Vec::new();
    while let Some((field, content)) = reader.field().ok()? {
        if field == 1
            && let Value::Bytes(member) = content
        {
            members.push(member);
        }
    }
    Some(members)
}

/// A bound or quantile as the value of a label.
pub fn bound_text(bound: f64) -> String {
    format_f(bound)
}
