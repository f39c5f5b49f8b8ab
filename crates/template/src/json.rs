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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::value::{Map, MapElement};

    #[test]
    fn values_are_written_as_in_go() {
        let map = |pairs: &[(&str, Value)]| {
            let entries = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            Value::Map(Arc::new(Map { entries, element: MapElement::Any }))
        };
        // Recorded from encoding/json.
        for (value, expected) in [
            (Value::Nil, "null"),
            (Value::Float(1.0), "1"),
            (Value::Float(1e21), "1e+21"),
            (Value::Float(0.000_000_1), "1e-7"),
            (Value::text("<a href='x'>&\u{2028}\t\u{8}"), r#""\u003ca href='x'\u003e\u0026\u2028\t\b""#),
            (Value::List([Value::Int(-1), Value::Bool(true)].into(), "[]interface {}"), "[-1,true]"),
            (map(&[("b<", Value::Nil), ("a", map(&[]))]), r#"{"a":{},"b\u003c":null}"#),
            (Value::defined(&crate::safe::HTML, Value::text("<b>")), r#""\u003cb\u003e""#),
        ] {
            assert_eq!(to_json(&value).as_deref(), Ok(expected));
        }
        let error =
            to_json(&Value::List([Value::Float(f64::NAN)].into(), "[]float64")).expect_err("no number");
        assert_eq!(error.to_string(), "json: unsupported value: NaN");
    }
}
