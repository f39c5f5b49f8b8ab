//! JSON of services: read as Go reads it (`ferula_go::json_reader`), into structs or into [`Json`].

use std::collections::BTreeMap;
use std::fmt;

pub use ferula_go::json_reader::JsonError;
pub(crate) use ferula_go::json_reader::{from_slice, object};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A value of any type, for data without a struct.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Json {
    #[default]
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            all.insert(key, value);
        }
        Ok(Json::Object(all))
    }
}

impl Json {
    /// An entry of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        if let Json::Object(entries) = self { entries.get(key) } else { None }
    }

    /// A string in an object, or "".
    pub(crate) fn text(&self, key: &str) -> &str {
        if let Some(Json::Text(text)) = self.get(key) { text } else { "" }
    }

    /// A scalar as text; anything but a string, number or boolean is "".
    pub(crate) fn scalar(&self) -> String {
        match self {
            Json::Text(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            Json::Bool(value) => value.to_string(),
            Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
        }
    }
}

/// Defines the structs of an answer. As in Go, every field has a default.
macro_rules! answers {
    ($case:literal: $($shown:vis $name:ident { $($(#[$meta:meta])* $visible:vis $field:ident: $ty:ty,)* })*) => {$(
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(default, rename_all = $case)]
        $shown struct $name {
            $($(#[$meta])* $visible $field: $ty,)*
        }
    )*};
}

pub(crate) use answers;
