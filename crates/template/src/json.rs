//! Values as `encoding/json` writes them: keys sorted, `<`, `>` and `&` escaped.

use ferula_go::json::{format_number, push_html_string};

use crate::error::CallError;
use crate::value::Value;

/// The value in JSON.
///
/// # Errors
/// Go's text for numbers that JSON cannot hold.
pub fn to_json(value: &Value) -> Result<String, CallError> {
    let mut out = String::new();
    push(&mut out, value)?;
    Ok(out)
}

/// Appends the value in JSON.
///
/// # Errors
/// See [`to_json`].
pub fn push(out: &mut String, value: &Value) -> Result<(), CallError> {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => match format_number(*value) {
            Some(text) => out.push_str(&text),
            None => {
                let shown = crate::format::print(&Value::Float(*value));
                return Err(CallError::argument(format!("json: unsupported value: {shown}")));
            }
        },
        Value::Text(text) => push_html_string(out, text),
        Value::List(items, _) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push(out, item)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (index, (key, item)) in map.entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_html_string(out, key);
                out.push(':');
                push(out, item)?;
            }
            out.push('}');
        }
        Value::Object(object) => out.push_str(&object.to_json()?),
        Value::Defined(defined) => push(out, &defined.value)?,
    }
    Ok(())
}
