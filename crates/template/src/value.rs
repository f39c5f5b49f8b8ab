//! Values a template works with, and Go's view of them: names of types, truth, zero values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::CallError;

/// A value.
#[derive(Clone)]
pub enum Value {
    /// No value at all: prints `<no value>`.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Arc<str>),
    /// A slice; the name is the type of the slice, such as `[]string`.
    List(Arc<[Value]>, &'static str),
    /// A map with string keys.
    Map(Arc<Map>),
    /// A struct, or a pointer to one.
    Object(Arc<dyn Object>),
    /// A value of a type that has a name and methods of its own over one of the others, such as a map of labels.
    Defined(Arc<Defined>),
}

/// A value with the named type it has.
#[derive(Clone)]
pub struct Defined {
    pub class: &'static Class,
    /// The value without its name; itself never [`Value::Defined`].
    pub value: Value,
}

/// A named type over a map, list or string.
pub struct Class {
    /// `template.KV`
    pub name: &'static str,
    pub methods: &'static [Method],
    /// Go's `String` method, if the type has one.
    pub print: Option<fn(&Value) -> String>,
}

/// A method of a named type. The receiver is passed without its name.
pub struct Method {
    pub name: &'static str,
    pub parameters: &'static [Parameter],
    pub code: fn(&Value, &[Value]) -> Result<Value, CallError>,
}

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `interface {}`
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `float64`
    Float,
    /// `bool`
    Bool,
    /// A type of the caller's, by its name: an object or a list.
    Named(&'static str),
}

/// A map with string keys.
#[derive(Clone, Debug)]
pub struct Map {
    /// Entries in order of their keys, which is the order of `range` and printing.
    pub entries: BTreeMap<String, Value>,
    /// What the map is declared to hold.
    pub element: MapElement,
}

/// Type of a map's elements. It decides what a missing key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapElement {
    /// `map[string]string`: a missing key is "".
    Text,
    /// `map[string]interface {}`: a missing key is no value.
    Any,
}

/// A struct that the caller defines, with fields and methods by name.
pub trait Object: std::any::Any + Send + Sync {
    /// The type as error texts show it, such as `*template.sample`.
    fn type_name(&self) -> String;

    /// The field `name`, if there is one.
    fn field(&self, name: &str) -> Option<Value>;

    /// The result of the method `name`, if there is one.
    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let _ = (name, arguments);
        None
    }

    /// The object as `print` shows it.
    fn print(&self) -> String;

    /// Seconds, if the object is a duration.
    fn as_seconds(&self) -> Option<f64> {
        None
    }

    /// The object as `encoding/json` writes it.
    ///
    /// # Errors
    /// Parts that JSON cannot hold.
    fn to_json(&self) -> Result<String, CallError> {
        Ok("{}".to_owned())
    }
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Value::Text(text.into())
    }

    /// A value of a named type.
    pub fn defined(class: &'static Class, value: Value) -> Self {
        Value::Defined(Arc::new(Defined { class, value }))
    }

    /// The value without the name of its type.
    pub fn plain(&self) -> &Value {
        match self {
            Value::Defined(defined) => &defined.value,
            other => other,
        }
    }

    /// The text of a string, of a named type too.
    pub fn as_text(&self) -> Option<&str> {
        match self.plain() {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A `map[string]string`.
    pub fn text_map<K: Into<String>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let entries = pairs.into_iter().map(|(k, v)| (k.into(), Value::text(v))).collect();
        Value::Map(Arc::new(Map { entries, element: MapElement::Text }))
    }

    /// The name of Go's type.
    pub fn type_name(&self) -> String {
        match self {
            Value::Nil => "<nil>".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Int(_) => "int".to_owned(),
            Value::Float(_) => "float64".to_owned(),
            Value::Text(_) => "string".to_owned(),
            Value::List(_, name) => (*name).to_owned(),
            Value::Map(map) => match map.element {
                MapElement::Text => "map[string]string".to_owned(),
                MapElement::Any => "map[string]interface {}".to_owned(),
            },
            Value::Object(object) => object.type_name(),
            Value::Defined(defined) => defined.class.name.to_owned(),
        }
    }

    /// Whether the value counts as true: it is not the zero of its type.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items, _) => !items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Object(_) => true,
            Value::Defined(defined) => defined.value.is_true(),
        }
    }

    /// The entry of a map; for a missing key, the zero value of the element type.
    pub(crate) fn entry(map: &Map, key: &str) -> Value {
        match (map.entries.get(key), map.element) {
            (Some(value), _) => value.clone(),
            (None, MapElement::Text) => Value::text(""),
            (None, MapElement::Any) => Value::Nil,
        }
    }
}

impl Parameter {
    /// The type as error texts show it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Parameter::Any => "interface {}",
            Parameter::Text => "string",
            Parameter::Int => "int",
            Parameter::Float => "float64",
            Parameter::Bool => "bool",
            Parameter::Named(name) => name,
        }
    }

    /// Whether a value may be passed as it is.
    pub(crate) fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Parameter::Any, _)
            | (Parameter::Text, Value::Text(_))
            | (Parameter::Int, Value::Int(_))
            | (Parameter::Float, Value::Float(_))
            | (Parameter::Bool, Value::Bool(_)) => true,
            (Parameter::Named(name), value) => value.type_name() == name,
            _ => false,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::text(text)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}
