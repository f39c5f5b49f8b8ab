//! Go's `fmt`: `print`, and `printf` with its verbs.

mod number;
mod spec;

use std::fmt::{self, Write};

use ferula_go::float::format_g;
use ferula_go::quote::go_quote;

use self::number::{integer, number_text};
use self::spec::{Spec, ascii_only, pad};
use crate::value::Value;

/// A value as `%v` shows it, which is also what an action prints.
pub fn print(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format_g(*value),
        Value::Text(text) => text.to_string(),
        Value::List(items, _) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Map(map) => {
            let entries: Vec<String> = map.entries.iter().map(|(k, v)| format!("{k}:{}", print(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
        Value::Object(object) => object.print(),
        Value::Defined(defined) => match defined.class.print {
            Some(print) => print(&defined.value),
            None => print(&defined.value),
        },
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.type_name(), print(self))
    }
}

/// Go's `Sprint`: a space between two arguments unless one of them is a string.
pub fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let is_text = |v: &Value| matches!(v.plain(), Value::Text(_));
        if index > 0 && !is_text(value) && !is_text(&values[index - 1]) {
            out.push(' ');
        }
        out.push_str(&print(value));
    }
    out
}

/// Widths and precisions above this are refused, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// Longer texts are left unfinished: no template may have them, and `%[1]s` can name an argument many times.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Go's `Sprintf`. What does not fit is shown in the text (`%!d(string=hi)`), never an error.
pub fn sprintf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let (mut next, mut reordered) = (0, false);
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        if out.len() > TEXT_BYTES_MAX {
            return out;
        }
        out.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        let (spec, tail, good_index) = read_spec(rest, values, &mut next, &mut reordered, &mut out);
        let mut chars = tail.chars();
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            return out;
        };
        rest = chars.as_str();
        if verb == '%' {
            out.push('%');
        } else if !good_index {
            let _ = write!(out, "%!{verb}(BADINDEX)");
        } else if let Some(value) = values.get(next) {
            next += 1;
            // With `%v`, these two flags ask for another shape, not for signs and prefixes.
            let spec = match verb {
                'v' | 'w' => Spec { sharp_v: spec.sharp, sharp: false, plus: false, ..spec },
                _ => spec,
            };
            out.push_str(&one(value, verb, &spec));
        } else {
            let _ = write!(out, "%!{verb}(MISSING)");
        }
    }
    out.push_str(rest);
    if !reordered && next < values.len() {
        let extra: Vec<String> = values[next..]
            .iter()
            .map(|v| {
                if matches!(v, Value::Nil) {
                    "<nil>".to_owned()
                } else {
                    format!("{}={}", v.type_name(), print(v))
                }
            })
            .collect();
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

/// Reads flags, `[n]`, width and precision; returns what is left of the format from the verb on.
fn read_spec<'a>(
    format: &'a str,
    values: &[Value],
    next: &mut usize,
    reordered: &mut bool,
    out: &mut String,
) -> (Spec, &'a str, bool) {
    let mut spec = Spec::default();
    let mut good_index = true;
    let flags = format.bytes().take_while(|b| b"-+# 0".contains(b)).count();
    for flag in format[..flags].bytes() {
        match flag {
            b'-' => spec.minus = true,
            b'+' => spec.plus = true,
            b'#' => spec.sharp = true,
            b' ' => spec.space = true,
            _ => spec.zero = true,
        }
    }
    let mut rest = read_index(&format[flags..], values, next, reordered, &mut good_index);
    if let Some(tail) = rest.strip_prefix('*') {
        rest = tail;
        match values.get(*next) {
            Some(Value::Int(width)) if width.unsigned_abs() <= WIDTH_MAX as u64 => {
                spec.minus |= *width < 0;
                spec.zero &= *width >= 0;
                spec.width = Some(width.unsigned_abs() as usize);
            }
            _ => out.push_str("%!(BADWIDTH)"),
        }
        *next += 1;
    } else {
        (spec.width, rest) = read_number(rest);
    }
    if let Some(tail) = rest.strip_prefix('.') {
        rest = read_index(tail, values, next, reordered, &mut good_index);
        if let Some(tail) = rest.strip_prefix('*') {
            rest = tail;
            match values.get(*next) {
                Some(Value::Int(precision @ 0..)) if *precision <= WIDTH_MAX as i64 => {
                    spec.precision = Some(*precision as usize);
                }
                _ => out.push_str("%!(BADPREC)"),
            }
            *next += 1;
        } else {
            let (precision, tail) = read_number(rest);
            spec.precision = Some(precision.unwrap_or(0));
            rest = tail;
        }
    }
    rest = read_index(rest, values, next, reordered, &mut good_index);
    (spec, rest, good_index)
}

fn read_number(text: &str) -> (Option<usize>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok().filter(|n| *n <= WIDTH_MAX);
    (number, &text[digits..])
}

/// `[3]`: the third argument comes next.
fn read_index<'a>(
    text: &'a str,
    values: &[Value],
    next: &mut usize,
    reordered: &mut bool,
    good: &mut bool,
) -> &'a str {
    let Some(inner) = text.strip_prefix('[') else { return text };
    *reordered = true;
    let Some(end) = inner.find(']') else {
        *good = false;
        return inner;
    };
    match inner[..end].parse::<usize>() {
        Ok(index) if (1..=values.len()).contains(&index) => *next = index - 1,
        _ => *good = false,
    }
    &inner[end + 1..]
}

fn one(value: &Value, verb: char, spec: &Spec) -> String {
    match value {
        Value::Nil if matches!(verb, 'v' | 'T') => pad("<nil>", spec),
        _ if verb == 'T' => {
            let plain = Spec { sharp_v: false, ..*spec };
            text(&value.type_name(), 's', &plain).unwrap_or_default()
        }
        Value::Nil => format!("%!{verb}(<nil>)"),
        _ if verb == 'w' => wrong_verb(value, verb, spec),
        Value::Bool(flag) if matches!(verb, 'v' | 't') => pad(if *flag { "true" } else { "false" }, spec),
        Value::Int(number) => integer(*number, verb, spec).unwrap_or_else(|| wrong_verb(value, verb, spec)),
        Value::Float(number) => {
            number_text(*number, verb, spec).unwrap_or_else(|| wrong_verb(value, verb, spec))
        }
        Value::Text(content) => text(content, verb, spec).unwrap_or_else(|| wrong_verb(value, verb, spec)),
        Value::List(items, type_name) => {
            let items: Vec<String> = items.iter().map(|item| element(item, verb, spec)).collect();
            match spec.sharp_v {
                true => format!("{type_name}{{{}}}", items.join(", ")),
                false => format!("[{}]", items.join(" ")),
            }
        }
        Value::Map(map) => {
            let entry = |(key, item): (&String, &Value)| {
                format!("{}:{}", one(&Value::text(key.as_str()), verb, spec), element(item, verb, spec))
            };
            let entries: Vec<String> = map.entries.iter().map(entry).collect();
            match spec.sharp_v {
                true => format!("{}{{{}}}", value.type_name(), entries.join(", ")),
                false => format!("map[{}]", entries.join(" ")),
            }
        }
        Value::Defined(defined) => match defined.class.print {
            Some(print) if !spec.sharp_v && matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
                one(&Value::text(print(&defined.value)), verb, spec)
            }
            _ => one(&defined.value, verb, spec),
        },
        Value::Object(object) => match text(&object.print(), verb, spec) {
            Some(text) => text,
            None => wrong_verb(value, verb, spec),
        },
        Value::Bool(_) => wrong_verb(value, verb, spec),
    }
}

/// Something inside of a list or map: nothing is shown as nothing, whatever the verb.
fn element(value: &Value, verb: char, spec: &Spec) -> String {
    match value {
        Value::Nil => if spec.sharp_v { "interface {}(nil)" } else { "<nil>" }.to_owned(),
        value => one(value, verb, spec),
    }
}

/// `%!d(string=hi)`
fn wrong_verb(value: &Value, verb: char, spec: &Spec) -> String {
    format!("%!{verb}({}={})", value.type_name(), one(value, 'v', spec))
}

fn text(content: &str, verb: char, spec: &Spec) -> Option<String> {
    let cut = || match spec.precision {
        Some(precision) => content.chars().take(precision).collect(),
        None => content.to_owned(),
    };
    Some(match verb {
        'v' if spec.sharp_v => pad(&go_quote(&cut()), spec),
        'v' | 's' => pad(&cut(), spec),
        'q' => {
            let cut = cut();
            let plain = |c: char| c != '`' && c != '\u{7f}' && c != '\u{feff}' && (c >= ' ' || c == '\t');
            match () {
                () if spec.sharp && cut.chars().all(plain) => pad(&format!("`{cut}`"), spec),
                () if spec.plus => pad(&ascii_only(&go_quote(&cut)), spec),
                () => pad(&go_quote(&cut), spec),
            }
        }
        'x' | 'X' => hex_bytes(content.as_bytes(), verb == 'X', spec),
        _ => return None,
    })
}

fn hex_bytes(bytes: &[u8], is_upper: bool, spec: &Spec) -> String {
    let bytes = &bytes[..spec.precision.unwrap_or(bytes.len()).min(bytes.len())];
    let prefix = if spec.sharp { "0x" } else { "" };
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if spec.space && index > 0 {
            out.push(' ');
        }
        let prefix = if index == 0 || spec.space { prefix } else { "" };
        write!(out, "{prefix}{byte:02x}").expect("writing to a String cannot fail");
    }
    pad(&if is_upper { out.to_ascii_uppercase() } else { out }, spec)
}
