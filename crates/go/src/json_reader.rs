//! Parses JSON as Go's `encoding/json` does, into ordinary `serde` structs.
//!
//! Clients and servers written for Prometheus rely on Go's leniency: field names match in any case, `null` means "not
//! set", the last of two equal keys wins, and invalid Unicode in bytes or escapes becomes U+FFFD.
//! `serde_json` refuses all of these.
//!
//! Here: the deserializer. Below, in `parse`: text to syntax tree. Structs derive `Deserialize` with
//! `#[serde(default)]`.
//! Always true: nesting is at most [`parse::DEPTH_MAX`], so neither reading nor dropping overflows the stack.

mod error;
mod parse;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

pub use error::JsonError;
use parse::Node;

/// Parses a whole text.
///
/// # Errors
/// The first error.
pub fn from_slice<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    T::deserialize(parse::parse(bytes)?)
}

/// Parses the first value of a stream, as `Decoder.Decode` does: what follows it is not looked at.
///
/// # Errors
/// The first error; [`JsonError::UnexpectedEnd`] if the value is cut, and [`JsonError::Empty`] if there is none.
pub fn first_of_stream<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    T::deserialize(parse::parse_first(bytes)?)
}

/// An object with arbitrary keys.
#[derive(Debug)]
pub struct Object(Vec<(String, Node)>);

/// Parses a text that must be an object.
///
/// # Errors
/// The first error.
pub fn object(bytes: &[u8]) -> Result<Object, JsonError> {
    match parse::parse(bytes)? {
        Node::Object(entries) => Ok(Object(entries)),
        other => other.refuse(&"an object"),
    }
}

impl Object {
    /// Removes an entry and parses it; `None` if it is missing or `null`.
    ///
    /// # Errors
    /// The entry is of another type.
    pub fn take<T: serde::de::DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, JsonError> {
        let Some(at) = self.0.iter().rposition(|(name, _)| name == key) else { return Ok(None) };
        Option::deserialize(std::mem::replace(&mut self.0[at].1, Node::Null))
    }
}

impl Node {
    fn refuse<T>(&self, wanted: &dyn Expected) -> Result<T, JsonError> {
        let found = match self {
            Node::Null => "null",
            Node::Bool(_) => "bool",
            Node::Number(_) => "number",
            Node::Text(_) => "string",
            Node::Array(_) => "array",
            Node::Object(_) => "object",
        };
        Err(JsonError::Type { found: found.to_owned(), wanted: wanted.to_string() })
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            match &self {
                Node::Null => visitor.$visit(<$type>::default()),
                Node::Number(text) => match text.parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(JsonError::Type {
                        found: format!("number {text}"),
                        wanted: stringify!($type).to_owned(),
                    }),
                },
                other => other.refuse(&visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Node {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(value),
            Node::Number(text) => match text.parse::<i64>() {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => visitor.visit_f64(text.parse().unwrap_or(f64::NAN)),
            },
            Node::Text(text) => visitor.visit_string(text),
            Node::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            Node::Object(entries) => visitor.visit_map(Entries::new(entries)),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Node::Null => visitor.visit_bool(false),
            Node::Bool(value) => visitor.visit_bool(value),
            other => other.refuse(&visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Node::Null => visitor.visit_str(""),
            Node::Text(text) => visitor.visit_string(text),
            other => other.refuse(&visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Node::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Node::Null => visitor.visit_seq(Items(Vec::new().into_iter())),
            Node::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            other => other.refuse(&visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Node::Null => visitor.visit_map(Entries::new(Vec::new())),
            Node::Object(entries) => visitor.visit_map(Entries::new(entries)),
            other => other.refuse(&visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self {
            Node::Null => visitor.visit_map(Entries::new(Vec::new())),
            Node::Object(entries) => visitor.visit_map(Entries::new(fields_of(entries, fields))),
            other => other.refuse(&visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

/// The entries of an object under the names of the struct's fields, without duplicates.
fn fields_of(entries: Vec<(String, Node)>, fields: &'static [&'static str]) -> Vec<(String, Node)> {
    let mut found: Vec<(String, Node)> = Vec::with_capacity(entries.len().min(fields.len()));
    for (key, value) in entries {
        let name = fields
            .iter()
            .find(|field| **field == key)
            .or_else(|| fields.iter().find(|field| same_folded(field, &key)))
            .map_or(key, |field| (*field).to_owned());
        let known = fields.contains(&name.as_str());
        match (value, found.iter_mut().find(|(earlier, _)| *earlier == name)) {
            // A `null` empties a list or map, and leaves everything else unchanged.
            (Node::Null, Some((_, earlier))) if known => {
                if let Node::Array(_) | Node::Object(_) = earlier {
                    *earlier = Node::Null;
                }
            }
            (Node::Null, None) if known => {}
            (value, Some((_, earlier))) => *earlier = value,
            (value, None) => found.push((name, value)),
        }
    }
    found
}

/// Whether two names are equal when case is ignored. Two non-ASCII characters fold to ASCII letters: `ſ` and
/// the Kelvin sign. Field names are ASCII.
fn same_folded(field: &str, key: &str) -> bool {
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    field.len() <= key.len() && field.chars().map(fold).eq(key.chars().map(fold))
}

struct Items(std::vec::IntoIter<Node>);

impl<'de> SeqAccess<'de> for Items {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, JsonError> {
        self.0.next().map(|item| seed.deserialize(item)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries {
    rest: std::vec::IntoIter<(String, Node)>,
    value: Option<Node>,
}

impl Entries {
    fn new(entries: Vec<(String, Node)>) -> Self {
        Entries { rest: entries.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, JsonError> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let key: StrDeserializer<'_, JsonError> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, JsonError> {
        seed.deserialize(self.value.take().unwrap_or(Node::Null))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Strict {
        targets: Vec<String>,
        #[serde(rename = "Kind")]
        kind: i64,
        labels: BTreeMap<String, String>,
    }

    fn strict(text: &str) -> Result<Strict, String> {
        from_slice(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_match_in_any_case_and_the_last_key_wins() {
        for text in [
            r#"{"targets":["a"],"Kind":2}"#,
            r#"{"TARGETS":["a"],"kind":2}"#,
            "{\"target\u{17f}\":[\"a\"],\"\u{212a}ind\":2}",
            r#"{"targets":["x","y"],"targets":["a"],"Kind":1,"kind":2}"#,
            r#"{"targets":["a"],"Kind":2,"Kind":null,"labels":null}"#,
        ] {
            let expected = Strict { targets: vec!["a".into()], kind: 2, ..Strict::default() };
            assert_eq!(strict(text), Ok(expected), "{text}");
        }
        assert_eq!(strict("null"), Ok(Strict::default()));
        assert_eq!(strict(r#"{"targets":["a"],"targets":null}"#), Ok(Strict::default()));
        assert_eq!(strict(r#"{"targets":[null]}"#).unwrap().targets, [""]);
        assert_eq!(
            strict(r#"{"labels":{"a":"1","A":"2","a":"3","n":null}}"#).unwrap().labels,
            BTreeMap::from([("a", "3"), ("A", "2"), ("n", "")].map(|(k, v)| (k.to_owned(), v.to_owned())))
        );
    }

    #[test]
    fn other_fields_and_types_are_refused_in_gos_words() {
        for (text, error) in [
            (r#"{"wrong":1}"#, r#"json: unknown field "wrong""#),
            (r#"{"wrong":null}"#, r#"json: unknown field "wrong""#),
            (r#"{"targets":"a"}"#, "json: cannot unmarshal string into a sequence"),
            (r#"{"targets":[1]}"#, "json: cannot unmarshal number into a string"),
            (r#"{"Kind":1.5}"#, "json: cannot unmarshal number 1.5 into i64"),
            (r#"{"Kind":"1"}"#, "json: cannot unmarshal string into i64"),
            ("[]", "json: cannot unmarshal array into struct Strict"),
            (r#"{"targets":["a"],}"#, "invalid character '}' looking for beginning of object key string"),
        ] {
            assert_eq!(strict(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn of_a_stream_the_first_value_counts() {
        let first =
            |text: &str| first_of_stream::<Vec<i64>>(text.as_bytes()).map_err(|error| error.to_string());
        for text in ["[1]", " [1] ", "[1] x", "[1][", "[1]\0"] {
            assert_eq!(first(text), Ok(vec![1]), "{text}");
        }
        for (text, error) in [
            ("", "EOF"),
            (" \n", "EOF"),
            ("[", "unexpected EOF"),
            ("[1, ", "unexpected EOF"),
            ("[tru", "unexpected EOF"),
            ("[-", "unexpected EOF"),
            ("[1e", "unexpected EOF"),
            ("[\"\\", "unexpected EOF"),
            ("x[1]", "invalid character 'x' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
        ] {
            assert_eq!(first(text), Err(error.to_owned()), "{text}");
        }
    }
}
