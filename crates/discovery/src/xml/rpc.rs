//! XML-RPC: encodes calls, and parses the value or fault of the answer.

use std::collections::BTreeMap;

use super::{Document, Element, XmlError, boolean};

/// A value in a call or answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Nil,
    Integer(i64),
    Boolean(bool),
    /// Strings, and types that are treated as strings: doubles, dates, base64.
    Text(String),
    Array(Vec<Value>),
    Struct(BTreeMap<String, Value>),
}

/// Why an answer has no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// The fault that the server reported.
    #[error("error: \"{message}\" code: {code}")]
    Fault { code: i64, message: String },
    #[error("the answer has no value")]
    NoValue,
    #[error("unknown value type {0:?}")]
    UnknownType(String),
}

const NIL: Value = Value::Nil;

impl Value {
    /// A member of a struct; nil if there is none.
    pub(crate) fn get(&self, key: &str) -> &Value {
        match self {
            Value::Struct(members) => members.get(key).unwrap_or(&NIL),
            _ => &NIL,
        }
    }

    /// The items of an array; empty for anything else.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Value> {
        let items: &[Value] = if let Value::Array(items) = self { items } else { &[] };
        items.iter()
    }

    pub(crate) fn text(&self) -> &str {
        if let Value::Text(text) = self { text } else { "" }
    }

    pub(crate) fn integer(&self) -> i64 {
        if let Value::Integer(number) = self { *number } else { 0 }
    }

    pub(crate) fn boolean(&self) -> bool {
        matches!(self, Value::Boolean(true))
    }

    fn write(&self, out: &mut String) {
        out.push_str("<value>");
        match self {
            Value::Nil => out.push_str("<nil/>"),
            Value::Integer(number) => out.push_str(&format!("<int>{number}</int>")),
            Value::Boolean(value) => out.push_str(&format!("<boolean>{}</boolean>", u8::from(*value))),
            Value::Text(text) => {
                out.push_str(&format!("<string>{}</string>", quick_xml::escape::escape(text.as_str())));
            }
            Value::Array(items) => {
                out.push_str("<array><data>");
                items.iter().for_each(|item| item.write(out));
                out.push_str("</data></array>");
            }
            Value::Struct(members) => {
                out.push_str("<struct>");
                for (name, value) in members {
                    let name = quick_xml::escape::escape(name.as_str());
                    out.push_str(&format!("<member><name>{name}</name>"));
                    value.write(out);
                    out.push_str("</member>");
                }
                out.push_str("</struct>");
            }
        }
        out.push_str("</value>");
    }
}

/// The body of a call.
pub(crate) fn call(method: &str, parameters: &[Value]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><methodCall><methodName>{method}</methodName><params>"
    );
    for parameter in parameters {
        out.push_str("<param>");
        parameter.write(&mut out);
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>");
    out
}

/// The value of an answer.
pub(crate) fn result(body: &[u8]) -> Result<Value, AnswerError> {
    let document = Document::parse(body)?;
    let root = document.root("methodResponse")?;
    if let Some(fault) = root.at(&["fault", "value"]) {
        let fault = value(fault)?;
        let message = fault.get("faultString").text().to_owned();
        return Err(AnswerError::Fault { code: fault.get("faultCode").integer(), message });
    }
    value(root.at(&["params", "param", "value"]).ok_or(AnswerError::NoValue)?)
}

/// Parses a `value`; the document limits the nesting.
fn value(element: &Element) -> Result<Value, AnswerError> {
    let Some(typed) = element.children.first() else { return Ok(Value::Text(element.text.clone())) };
    Ok(match typed.name.as_str() {
        "int" | "i1" | "i2" | "i4" | "i8" => Value::Integer(typed.integer()?),
        "boolean" => Value::Boolean(boolean(&typed.text)?),
        "string" | "double" | "dateTime.iso8601" | "base64" => Value::Text(typed.text.clone()),
        "nil" => Value::Nil,
        "array" => {
            let items = typed.items("data", "value").map(value);
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        "struct" => {
            let member = |member: &Element| {
                let held = member.child("value").map_or(Ok(Value::Nil), value)?;
                Ok((member.text_at(&["name"]).to_owned(), held))
            };
            Value::Struct(typed.all("member").map(member).collect::<Result<_, AnswerError>>()?)
        }
        other => return Err(AnswerError::UnknownType(other.to_owned())),
    })
}
