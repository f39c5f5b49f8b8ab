//! Builds JSON for the services: keys in the order of insertion, HTML escaped as Go does.

use std::fmt::Write;

use ferula_config::alertmanager::AnyValue;
use ferula_go::json::{format_number, push_html_string};

/// An object under construction.
#[derive(Default)]
pub(super) struct Object(String);

impl Object {
    pub fn new() -> Self {
        Object::default()
    }

    /// Adds a value that is JSON already.
    pub fn raw(mut self, key: &str, json: impl std::fmt::Display) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        push_html_string(&mut self.0, key);
        write!(self.0, ":{json}").expect("writing to a String cannot fail");
        self
    }

    pub fn text(self, key: &str, text: &str) -> Self {
        let quoted = quoted(text);
        self.raw(key, quoted)
    }

    /// Adds a string unless it is empty.
    pub fn filled(self, key: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.text(key, text) }
    }

    /// Adds a value if there is one.
    pub fn some(self, key: &str, json: Option<impl std::fmt::Display>) -> Self {
        match json {
            Some(json) => self.raw(key, json),
            None => self,
        }
    }

    /// Adds a flag if it is set.
    pub fn set(self, key: &str, flag: bool) -> Self {
        self.some(key, flag.then_some("true"))
    }

    /// Adds a list unless it is empty.
    pub fn list(self, key: &str, items: &[String]) -> Self {
        self.some(key, (!items.is_empty()).then(|| array(items)))
    }

    pub fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }

    /// Returns the object with a final newline.
    pub fn message(self) -> String {
        format!("{{{}}}\n", self.0)
    }
}

/// A list of values that are JSON already.
pub(super) fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_html_string(&mut out, text);
    out
}

/// A value of any shape.
pub(super) fn any(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => "null".to_owned(),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Float(value) => format_number(*value).unwrap_or_else(|| "null".to_owned()),
        AnyValue::Text(text) => quoted(text),
        AnyValue::List(items) => array(&items.iter().map(any).collect::<Vec<_>>()),
        AnyValue::Map(map) => {
            map.iter().fold(Object::new(), |object, (key, value)| object.raw(key, any(value))).finish()
        }
    }
}
