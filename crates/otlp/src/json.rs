//! Converts requests from JSON to protobuf: fields by the tables in [`schema`], written in the order of the input.
//!
//! Names may be in camel or snake case, unknown ones are skipped; numbers may be texts, and must be if they need more than 53 bits;
//! ids of traces are hexadecimal, other bytes base64.

mod schema;

use std::fmt;

use ferula_go::base64;
use ferula_go::protobuf::{push_varint, put_bytes, put_double, put_sint, put_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::schema::{Field, FieldKind, Message};

/// Converts a request from JSON to protobuf.
///
/// # Errors
/// The text is not JSON, or a value has the wrong type.
pub fn to_protobuf(text: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    MessageSeed { message: &schema::REQUEST, out: &mut out }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// Appends the fields of a message.
struct MessageSeed<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match self.message.field(&name) {
                Some(field) => map.next_value_seed(FieldSeed { field, out: self.out })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Appends one field.
struct FieldSeed<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Field { number, kind, repeated, .. } = self.field;
        if *repeated {
            return deserializer.deserialize_any(ListSeed { field: self.field, out: self.out });
        }
        if let FieldKind::Message(message) = kind {
            let mut inner = Vec::new();
            MessageSeed { message: message(), out: &mut inner }.deserialize(deserializer)?;
            put_bytes(self.out, *number, &inner);
            return Ok(());
        }
        deserializer.deserialize_any(ScalarSeed { field: self.field, out: self.out })
    }
}

/// Appends a field once for each element.
struct ListSeed<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(ElementSeed { field: self.field, out: self.out })?.is_some() {}
        Ok(())
    }
}

struct ElementSeed<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if let FieldKind::Message(message) = self.field.kind {
            let mut inner = Vec::new();
            MessageSeed { message: message(), out: &mut inner }.deserialize(deserializer)?;
            put_bytes(self.out, self.field.number, &inner);
            return Ok(());
        }
        deserializer.deserialize_any(ScalarSeed { field: self.field, out: self.out })
    }
}

/// Appends a number, text or boolean.
struct ScalarSeed<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl ScalarSeed<'_> {
    fn put_integer<E: Error>(self, integer: i128) -> Result<(), E> {
        let (number, out) = (self.field.number, self.out);
        let beyond = || E::custom(format!("{integer} is out of the range of {}", self.field.camel));
        let signed = || i64::try_from(integer).map_err(|_| beyond());
        let unsigned = || u64::try_from(integer).map_err(|_| beyond());
        match self.field.kind {
            FieldKind::Double => put_double(out, number, integer as f64),
            FieldKind::Fixed64 => put_fixed64(out, number, unsigned()?),
            FieldKind::SignedFixed64 => put_fixed64(out, number, signed()? as u64),
            FieldKind::Unsigned32 => {
                let value = u32::try_from(integer).map_err(|_| beyond())?;
                put_varint(out, number, u64::from(value));
            }
            FieldKind::Unsigned64 => put_varint(out, number, unsigned()?),
            FieldKind::Zigzag32 => {
                let value = i32::try_from(integer).map_err(|_| beyond())?;
                put_sint(out, number, i64::from(value));
            }
            FieldKind::Signed64 => put_varint(out, number, signed()? as u64),
            FieldKind::Enum(_) => {
                let value = i32::try_from(integer).map_err(|_| beyond())?;
                put_varint(out, number, i64::from(value) as u64);
            }
            FieldKind::Text
            | FieldKind::Bool
            | FieldKind::Base64
            | FieldKind::Hex
            | FieldKind::Message(_) => {
                return Err(E::custom(format!("a number is no value of {}", self.field.camel)));
            }
        }
        Ok(())
    }
}

fn put_fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    const FIXED64: u64 = 1;
    push_varint(out, u64::from(field) << 3 | FIXED64);
    out.extend_from_slice(&number.to_le_bytes());
}

impl<'de> Visitor<'de> for ScalarSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.field.camel)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if self.field.kind != FieldKind::Bool {
            return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self));
        }
        put_varint(self.out, self.field.number, u64::from(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put_integer(i128::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put_integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if self.field.kind != FieldKind::Double {
            return Err(E::invalid_type(serde::de::Unexpected::Float(value), &self));
        }
        put_double(self.out, self.field.number, value);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let number = self.field.number;
        let invalid = || E::custom(format!("{text:?} is no value of {}", self.field.camel));
        match self.field.kind {
            FieldKind::Text => put_bytes(self.out, number, text.as_bytes()),
            FieldKind::Base64 => put_bytes(self.out, number, &base64::decode(text).ok_or_else(invalid)?),
            FieldKind::Hex => put_bytes(self.out, number, &hex_bytes(text).ok_or_else(invalid)?),
            FieldKind::Enum(names) => {
                // As in pdata, an unknown name counts as the first one.
                let value = names.iter().position(|name| *name == text).unwrap_or(0);
                put_varint(self.out, number, value as u64);
            }
            FieldKind::Double => {
                put_double(self.out, number, ferula_go::number::parse_float(text).map_err(|_| invalid())?)
            }
            FieldKind::Bool | FieldKind::Message(_) => return Err(invalid()),
            _ => {
                let value: i128 = text.parse().map_err(|_| invalid())?;
                self.put_integer(value)?;
            }
        }
        Ok(())
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits.chunks_exact(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}
