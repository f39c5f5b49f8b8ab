//! Go's `fmt`: `print`, and `printf` with its verbs.

use std::fmt::Write;

use ferula_go::float::{format_e, format_e_precise, format_f, format_f_precise, format_g, format_g_precise};
use ferula_go::quote::{go_quote, go_quote_char};
use ferula_go::unicode::is_print;

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

/// `strconv.FormatFloat` for the verbs e, f and g; shortest digits without a precision.
fn float(v: f64, verb: char, precision: Option<usize>) -> String {
    match (verb, precision) {
        ('f', None) => format_f(v),
        ('f', Some(precision)) => format_f_precise(v, precision),
        ('e', None) => format_e(v),
        ('e', Some(precision)) => format_e_precise(v, precision),
        (_, None) => format_g(v),
        (_, Some(precision)) => format_g_precise(v, precision),
    }
}

/// Widths and precisions above this are refused, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// Flags, width and precision of one verb.
#[derive(Clone, Copy, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's `Sprintf`. What does not fit is shown in the text (`%!d(string=hi)`), never an error.
pub fn sprintf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let (mut next, mut reordered) = (0, false);
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
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
            b'-' => {
                spec.minus = true;
                spec.zero = false;
            }
            b'+' => spec.plus = true,
            b'#' => spec.sharp = true,
            b' ' => spec.space = true,
            _ => spec.zero = !spec.minus,
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
    // `%+v` names the fields of structs; numbers get no sign from it.
    let spec = &Spec { plus: spec.plus && verb != 'v', ..*spec };
    match (verb, value) {
        ('T', _) => padded(&value.type_name(), spec),
        (_, Value::Defined(defined)) => match defined.class.print {
            Some(print) if !spec.sharp && matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
                one(&Value::text(print(&defined.value)), verb, spec)
            }
            _ => one(&defined.value, verb, spec),
        },
        ('v', Value::Text(text)) if spec.sharp => padded(&go_quote(text), spec),
        ('v', Value::Float(v)) => padded_number(&signed(float(*v, 'g', spec.precision), spec), spec),
        ('v' | 'd', Value::Int(v)) => padded_number(&signed(v.to_string(), spec), spec),
        ('v', Value::Text(text)) => padded(&cut(text, spec), spec),
        ('v', Value::Nil) => padded("<nil>", spec),
        (_, Value::Nil) => format!("%!{verb}(<nil>)"),
        ('v' | 't', Value::Bool(v)) => padded(&v.to_string(), spec),
        ('s', Value::Text(text)) => padded(&cut(text, spec), spec),
        ('s', Value::Object(object)) => padded(&object.print(), spec),
        ('q', Value::Text(text)) if spec.sharp && !text.contains('`') => padded(&format!("`{text}`"), spec),
        ('q', Value::Text(text)) => padded(&go_quote(&cut(text, spec)), spec),
        ('x' | 'X', Value::Text(text)) => padded(&hex_bytes(text.as_bytes(), verb, spec), spec),
        ('b', Value::Int(v)) => padded_number(&radix(*v, 2, "0b", spec), spec),
        ('o', Value::Int(v)) => padded_number(&radix(*v, 8, "0", spec), spec),
        ('O', Value::Int(v)) => padded_number(&format!("0o{}", radix(*v, 8, "", spec)), spec),
        ('x', Value::Int(v)) => padded_number(&radix(*v, 16, "0x", spec), spec),
        ('X', Value::Int(v)) => padded_number(&radix(*v, 16, "0x", spec).to_uppercase(), spec),
        ('c', Value::Int(v)) => padded(&code_point(*v).to_string(), spec),
        ('q', Value::Int(v)) => padded(&go_quote_char(*v), spec),
        ('U', Value::Int(v)) => {
            let c = code_point(*v);
            let shown = if spec.sharp && is_print(c) { format!(" '{c}'") } else { String::new() };
            padded(&format!("U+{v:04X}{shown}"), spec)
        }
        ('f' | 'F', Value::Float(v)) => {
            padded_number(&signed(float(*v, 'f', Some(spec.precision.unwrap_or(6))), spec), spec)
        }
        ('e', Value::Float(v)) => {
            padded_number(&signed(float(*v, 'e', Some(spec.precision.unwrap_or(6))), spec), spec)
        }
        ('E', Value::Float(v)) => padded_number(
            &signed(float(*v, 'e', Some(spec.precision.unwrap_or(6))).replace('e', "E"), spec),
            spec,
        ),
        ('g', Value::Float(v)) => padded_number(&signed(float(*v, 'g', spec.precision), spec), spec),
        ('G', Value::Float(v)) => {
            padded_number(&signed(float(*v, 'g', spec.precision).replace('e', "E"), spec), spec)
        }
        ('v', Value::List(items, type_name)) if spec.sharp => {
            let items: Vec<String> = items.iter().map(|item| one(item, verb, spec)).collect();
            format!("{type_name}{{{}}}", items.join(", "))
        }
        (_, Value::List(items, _)) => {
            let items: Vec<String> = items.iter().map(|item| one(item, verb, spec)).collect();
            format!("[{}]", items.join(" "))
        }
        (_, Value::Map(map)) => {
            let entries: Vec<String> = map
                .entries
                .iter()
                .map(|(k, v)| format!("{}:{}", one(&Value::text(k.as_str()), verb, spec), one(v, verb, spec)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        ('v', Value::Object(object)) => padded(&object.print(), spec),
        _ => format!("%!{verb}({}={})", value.type_name(), one(value, 'v', spec)),
    }
}

fn code_point(v: i64) -> char {
    u32::try_from(v).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn radix(v: i64, base: u32, prefix: &str, spec: &Spec) -> String {
    let magnitude = v.unsigned_abs();
    let digits = match base {
        2 => format!("{magnitude:b}"),
        8 => format!("{magnitude:o}"),
        _ => format!("{magnitude:x}"),
    };
    let prefix = if spec.sharp { prefix } else { "" };
    signed(format!("{}{prefix}{digits}", if v < 0 { "-" } else { "" }), spec)
}

fn hex_bytes(bytes: &[u8], verb: char, spec: &Spec) -> String {
    let mut out = String::from(if spec.sharp && !bytes.is_empty() { "0x" } else { "" });
    for (index, byte) in bytes.iter().enumerate() {
        if spec.space && index > 0 {
            out.push(' ');
        }
        let _ = write!(out, "{byte:02x}");
    }
    if verb == 'X' { out.to_uppercase() } else { out }
}

/// With the sign that `+` or space ask for. Go shows `+Inf` with its sign only when asked, but for `%v`, `%g` it keeps it.
fn signed(text: String, spec: &Spec) -> String {
    if text.starts_with(['-', '+']) || text == "NaN" && !spec.plus {
        return text;
    }
    if spec.plus {
        format!("+{text}")
    } else if spec.space {
        format!(" {text}")
    } else {
        text
    }
}

fn cut(text: &str, spec: &Spec) -> String {
    match spec.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    }
}

fn padded(text: &str, spec: &Spec) -> String {
    pad(text, spec, if spec.zero { '0' } else { ' ' })
}

fn pad(text: &str, spec: &Spec, fill: char) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if spec.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    format!("{}{text}", fill.to_string().repeat(missing))
}

/// Zeros go between the sign and the digits; infinities and NaN are filled with spaces.
fn padded_number(text: &str, spec: &Spec) -> String {
    if !spec.zero || text.ends_with("Inf") || text.ends_with("NaN") {
        return pad(text, spec, ' ');
    }
    let (sign, digits) = match text.chars().next() {
        Some(sign @ ('-' | '+' | ' ')) => (sign.to_string(), &text[1..]),
        _ => (String::new(), text),
    };
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    format!("{sign}{}{digits}", "0".repeat(missing))
}
