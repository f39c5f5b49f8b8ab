//! The functions every Go template has.

use std::cmp::Ordering;

use ferula_go::html::escape_template;
use ferula_go::unicode::is_print;
use ferula_go::url::query_escape;

use crate::error::CallError;
use crate::format::{print, sprint, sprintf};
use crate::function::Function;
use crate::value::{Parameter, Value};

type CallResult<T> = Result<T, CallError>;

const ANY: &[Parameter] = &[Parameter::Any];
const TWO: &[Parameter] = &[Parameter::Any, Parameter::Any];

const NAMES: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

/// Whether every template has a function of this name.
pub fn is_builtin(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The built-in function; `and` and `or` are part of the language and evaluated there.
pub fn function(name: &str) -> Option<Function> {
    Some(match name {
        "call" => Function::variadic(TWO, |args| match args {
            [] | [Value::Nil, ..] => Err(CallError::argument("call of nil")),
            [other, ..] => Err(CallError::Argument(format!(
                "non-function {} of type {}",
                print(other),
                other.type_name()
            ))),
        }),
        "html" => Function::variadic(ANY, |args| Ok(Value::text(escape_template(&joined(args))))),
        "js" => Function::variadic(ANY, |args| Ok(Value::text(js(&joined(args))))),
        "urlquery" => Function::variadic(ANY, |args| Ok(Value::text(query_escape(&joined(args))))),
        "print" => Function::variadic(ANY, |args| Ok(Value::text(sprint(args)))),
        "println" => Function::variadic(ANY, |args| {
            Ok(Value::text(format!("{}\n", args.iter().map(print).collect::<Vec<_>>().join(" "))))
        }),
        "printf" => Function::variadic(&[Parameter::Text, Parameter::Any], |args| match args {
            [Value::Text(format), values @ ..] => Ok(Value::text(sprintf(format, values))),
            _ => Err(CallError::argument("printf needs a format")),
        }),
        "not" => Function::new(ANY, |args| Ok(Value::Bool(!args[0].is_true()))),
        "len" => Function::new(ANY, |args| length(&args[0])),
        "index" => Function::variadic(TWO, |args| index(&args[0], &args[1..])),
        "slice" => Function::variadic(TWO, |args| slice(&args[0], &args[1..])),
        "eq" => Function::variadic(TWO, |args| equal_any(&args[0], &args[1..]).map(Value::Bool)),
        "ne" => Function::new(TWO, |args| equal(&args[0], &args[1]).map(|equal| Value::Bool(!equal))),
        "lt" => Function::new(TWO, |args| less(&args[0], &args[1]).map(Value::Bool)),
        "le" => Function::new(TWO, |args| less_or_equal(&args[0], &args[1]).map(Value::Bool)),
        "gt" => Function::new(TWO, |args| less_or_equal(&args[0], &args[1]).map(|le| Value::Bool(!le))),
        "ge" => Function::new(TWO, |args| less(&args[0], &args[1]).map(|lt| Value::Bool(!lt))),
        _ => return None,
    })
}

fn joined(args: &[Value]) -> String {
    match args {
        [Value::Nil] => "<no value>".to_owned(),
        args => sprint(args),
    }
}

fn length(value: &Value) -> CallResult<Value> {
    let length = match value.plain() {
        Value::Text(text) => text.len(),
        Value::List(items, _) => items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err(CallError::argument("reflect: call of reflect.Value.Type on zero Value")),
        _ => return Err(CallError::Argument(format!("len of type {}", value.type_name()))),
    };
    Ok(Value::Int(length as i64))
}

fn index(value: &Value, indices: &[Value]) -> CallResult<Value> {
    if matches!(value, Value::Nil) {
        return Err(CallError::argument("index of untyped nil"));
    }
    let mut value = value.clone();
    for index in indices {
        value = match value.plain() {
            Value::List(items, _) => items[element(index, items.len(), "slice")?].clone(),
            Value::Text(text) => {
                Value::Int(i64::from(text.as_bytes()[element(index, text.len(), "string")?]))
            }
            Value::Map(map) => match index {
                Value::Text(key) => Value::entry(map, key),
                Value::Nil => return Err(CallError::argument("value is nil; should be of type string")),
                other => {
                    return Err(CallError::Argument(format!(
                        "value has type {}; should be string",
                        other.type_name()
                    )));
                }
            },
            Value::Nil => return Err(CallError::argument("index of nil pointer")),
            other => {
                return Err(CallError::Argument(format!("can't index item of type {}", other.type_name())));
            }
        };
    }
    Ok(value)
}

/// The index of an element. Go checks it once too generously, and the end is refused in other words.
fn element(index: &Value, length: usize, kind: &str) -> CallResult<usize> {
    match position(index, length)? {
        at if at == length => Err(CallError::Argument(format!("reflect: {kind} index out of range"))),
        at => Ok(at),
    }
}

/// An index into something of this length, its end included.
fn position(index: &Value, length: usize) -> CallResult<usize> {
    let index = match index {
        Value::Int(index) => *index,
        Value::Nil => return Err(CallError::argument("cannot index slice/array with nil")),
        other => {
            return Err(CallError::Argument(format!(
                "cannot index slice/array with type {}",
                other.type_name()
            )));
        }
    };
    let at = usize::try_from(index).ok().filter(|at| *at <= length);
    at.ok_or_else(|| CallError::Argument(format!("index out of range: {index}")))
}

fn slice(value: &Value, indices: &[Value]) -> CallResult<Value> {
    if indices.len() > 3 {
        return Err(CallError::Argument(format!("too many slice indexes: {}", indices.len())));
    }
    let length = match value.plain() {
        Value::Text(_) if indices.len() == 3 => {
            return Err(CallError::argument("cannot 3-index slice a string"));
        }
        Value::Text(text) => text.len(),
        Value::List(items, _) => items.len(),
        Value::Nil => return Err(CallError::argument("slice of untyped nil")),
        other => return Err(CallError::Argument(format!("can't slice item of type {}", other.type_name()))),
    };
    let mut bounds = [0, length];
    for (bound, index) in bounds.iter_mut().zip(indices) {
        *bound = position(index, length)?;
    }
    let [from, to] = bounds;
    if from > to {
        return Err(CallError::Argument(format!("invalid slice index: {from} > {to}")));
    }
    Ok(match value.plain() {
        Value::Text(text) => Value::text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        Value::List(items, name) => Value::List(items[from..to].into(), name),
        _ => unreachable!("other kinds have no length"),
    })
}

const BAD_TYPE: &str = "invalid type for comparison";

fn incompatible(a: &Value, b: &Value) -> CallError {
    CallError::Argument(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
}

fn equal_any(first: &Value, others: &[Value]) -> CallResult<bool> {
    if others.is_empty() {
        return Err(CallError::argument("missing argument for comparison"));
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value, b: &Value) -> CallResult<bool> {
    match (a.plain(), b.plain()) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::List(..), Value::List(..)) | (Value::Map(_), Value::Map(_)) => {
            Err(CallError::Argument(format!("non-comparable type {}: {}", print(b), b.type_name())))
        }
        (Value::List(..), Value::Map(_)) | (Value::Map(_), Value::List(..)) => Err(CallError::Argument(
            format!("non-comparable types {}: {}, {}: {}", print(a), a.type_name(), b.type_name(), print(b)),
        )),
        _ => Err(incompatible(a, b)),
    }
}

fn order(a: &Value, b: &Value) -> CallResult<Option<Ordering>> {
    let is_basic = |v: &Value| matches!(v, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_));
    match (a.plain(), b.plain()) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (a, b) if !is_basic(a) || !is_basic(b) => Err(CallError::argument(BAD_TYPE)),
        (Value::Bool(_), Value::Bool(_)) => Err(CallError::argument(BAD_TYPE)),
        _ => Err(incompatible(a, b)),
    }
}

fn less(a: &Value, b: &Value) -> CallResult<bool> {
    Ok(order(a, b)? == Some(Ordering::Less))
}

fn less_or_equal(a: &Value, b: &Value) -> CallResult<bool> {
    Ok(matches!(order(a, b)?, Some(Ordering::Less | Ordering::Equal)))
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if (c as u32) < 0x20 || !is_print(c) && !c.is_ascii() => {
                out.push_str(&format!("\\u{:04X}", c as u32))
            }
            c => out.push(c),
        }
    }
    out
}
