//! Go's `fmt`: `print`, `printf` with its verbs, quoting and unquoting.

use std::fmt::Write;

use crate::value::Value;

/// A value as `%v` shows it, which is also what an action prints.
pub fn print(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value, 'g', None),
        Value::Text(text) => text.to_string(),
        Value::List(items, _) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Map(map) => {
            let entries: Vec<String> = map.entries.iter().map(|(k, v)| format!("{k}:{}", print(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
        Value::Object(object) => object.print(),
    }
}

/// Go's `Sprint`: a space between two arguments unless one of them is a string.
pub fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let is_text = |v: &Value| matches!(v, Value::Text(_));
        if index > 0 && !is_text(value) && !is_text(&values[index - 1]) {
            out.push(' ');
        }
        out.push_str(&print(value));
    }
    out
}

/// Go's `FormatFloat` for the verbs e, f and g; shortest digits without a precision.
pub fn float(v: f64, verb: char, precision: Option<usize>) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match (verb, precision) {
        ('f', None) => format!("{v}"),
        ('f', Some(precision)) => format!("{v:.precision$}"),
        ('e', None) => go_exponent(&format!("{v:e}")),
        ('e', Some(precision)) => go_exponent(&format!("{v:.precision$e}")),
        (_, precision) => general(v, precision),
    }
}

/// `%g`: the shorter of `%e` and `%f`, without trailing zeros.
fn general(v: f64, precision: Option<usize>) -> String {
    if v == 0.0 {
        return if v.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = match precision {
        None => format!("{v:e}"),
        Some(precision) => format!("{v:.*e}", precision.max(1) - 1),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    // Without a precision Go decides as if it were 6.
    let threshold = precision.map_or(6, |precision| precision.max(1) as i32);
    if exponent < -4 || exponent >= threshold {
        let (first, rest) = digits.split_at(digits.len().min(1));
        let dot = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{dot}{rest}e{exponent_sign}{:02}", exponent.abs());
    }
    let body = if exponent < 0 {
        format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize))
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            format!("{digits}{}", "0".repeat(whole - digits.len()))
        } else {
            format!("{}.{}", &digits[..whole], &digits[whole..])
        }
    };
    format!("{sign}{body}")
}

/// Rust writes `1e6`, Go `1e+06`.
fn go_exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.to_owned() };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
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
        ('v', Value::Text(text)) if spec.sharp => padded(&quote(text), spec),
        ('v', Value::Float(v)) => padded_number(&signed(float(*v, 'g', spec.precision), spec), spec),
        ('v' | 'd', Value::Int(v)) => padded_number(&signed(v.to_string(), spec), spec),
        ('v', Value::Text(text)) => padded(&cut(text, spec), spec),
        ('v', Value::Nil) => padded("<nil>", spec),
        (_, Value::Nil) => format!("%!{verb}(<nil>)"),
        ('v' | 't', Value::Bool(v)) => padded(&v.to_string(), spec),
        ('s', Value::Text(text)) => padded(&cut(text, spec), spec),
        ('s', Value::Object(object)) => padded(&object.print(), spec),
        ('q', Value::Text(text)) if spec.sharp && !text.contains('`') => padded(&format!("`{text}`"), spec),
        ('q', Value::Text(text)) => padded(&quote(&cut(text, spec)), spec),
        ('x' | 'X', Value::Text(text)) => padded(&hex_bytes(text.as_bytes(), verb, spec), spec),
        ('b', Value::Int(v)) => padded_number(&radix(*v, 2, "0b", spec), spec),
        ('o', Value::Int(v)) => padded_number(&radix(*v, 8, "0", spec), spec),
        ('O', Value::Int(v)) => padded_number(&format!("0o{}", radix(*v, 8, "", spec)), spec),
        ('x', Value::Int(v)) => padded_number(&radix(*v, 16, "0x", spec), spec),
        ('X', Value::Int(v)) => padded_number(&radix(*v, 16, "0x", spec).to_uppercase(), spec),
        ('c', Value::Int(v)) => padded(&code_point(*v).to_string(), spec),
        ('q', Value::Int(v)) => padded(&format!("'{}'", code_point(*v).escape_default()), spec),
        ('U', Value::Int(v)) => padded(&format!("U+{v:04X}"), spec),
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
        _ => format!("%!{verb}({}={})", value.type_name(), print(value)),
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

/// Go's `%q` of a string.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go's `strconv.Unquote` of a `"…"` or `` `…` `` literal.
pub fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let tail = unescape(rest, '"', &mut bytes)?;
        rest = tail;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The character of a `'…'` literal.
pub fn unquote_char(literal: &str) -> Option<char> {
    let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut bytes = Vec::new();
    let rest = unescape(inner, '\'', &mut bytes)?;
    let text = String::from_utf8(bytes).ok()?;
    let mut chars = text.chars();
    let only = chars.next()?;
    (rest.is_empty() && chars.next().is_none()).then_some(only)
}

/// Takes one character or escape off the front of `text`.
fn unescape<'a>(text: &'a str, delimiter: char, out: &mut Vec<u8>) -> Option<&'a str> {
    let mut chars = text.chars();
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    let first = chars.next()?;
    if first != '\\' {
        if first == delimiter || first == '\n' {
            return None;
        }
        push(first);
        return Some(chars.as_str());
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let numeric = |digits: usize, base: u32| -> Option<(u32, &'a str)> {
        let body = rest.get(..digits)?;
        Some((u32::from_str_radix(body, base).ok()?, &rest[digits..]))
    };
    match escape {
        'a' => push('\x07'),
        'b' => push('\x08'),
        'f' => push('\x0c'),
        'n' => push('\n'),
        'r' => push('\r'),
        't' => push('\t'),
        'v' => push('\x0b'),
        '\\' => push('\\'),
        '"' | '\'' if escape == delimiter => push(escape),
        'x' => {
            let (byte, rest) = numeric(2, 16)?;
            out.push(byte as u8);
            return Some(rest);
        }
        '0'..='7' => {
            let body = text.get(1..4)?;
            out.push(u8::from_str_radix(body, 8).ok()?);
            return text.get(4..);
        }
        'u' | 'U' => {
            let (code, rest) = numeric(if escape == 'u' { 4 } else { 8 }, 16)?;
            push(char::from_u32(code)?);
            return Some(rest);
        }
        _ => return None,
    }
    Some(rest)
}
