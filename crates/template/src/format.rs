//! Go's `fmt`: `print`, and `printf` with its verbs.

use std::fmt::Write;

use ferula_go::float::{format_e_precise, format_f_precise, format_g, format_g_precise};
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

/// Widths and precisions above this are refused, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// Flags, width and precision of one verb.
#[derive(Clone, Copy, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    /// `%#v`: as in a program's text.
    sharp_v: bool,
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

fn code_point(v: i64) -> char {
    u32::try_from(v).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Go's `pad`: to the width in characters, with zeros only on the left.
fn pad(text: &str, spec: &Spec) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    match spec.minus {
        true => format!("{text}{}", " ".repeat(missing)),
        false => format!("{}{text}", if spec.zero { "0" } else { " " }.repeat(missing)),
    }
}

fn pad_with_spaces(text: &str, spec: &Spec) -> String {
    pad(text, &Spec { zero: false, ..*spec })
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

/// Quoted text with everything beyond ASCII escaped.
fn ascii_only(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        match u32::from(c) {
            0..0x80 => out.push(c),
            code @ 0x80..0x1_0000 => write!(out, "\\u{code:04x}").expect("writing to a String cannot fail"),
            code => write!(out, "\\U{code:08x}").expect("writing to a String cannot fail"),
        }
    }
    out
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
    pad(&if is_upper { out.to_uppercase() } else { out }, spec)
}

fn integer(v: i64, verb: char, spec: &Spec) -> Option<String> {
    let size = v.unsigned_abs();
    let (digits, prefix) = match verb {
        'v' | 'd' => (size.to_string(), ""),
        'b' => (format!("{size:b}"), "0b"),
        'o' | 'O' => (format!("{size:o}"), "0"),
        'x' => (format!("{size:x}"), "0x"),
        'X' => (format!("{size:X}"), "0X"),
        'c' => return Some(pad(&code_point(v).to_string(), spec)),
        'q' => {
            let quoted = go_quote_char(i64::from(u32::from(code_point(v))));
            return Some(pad(&if spec.plus { ascii_only(&quoted) } else { quoted }, spec));
        }
        'U' => return Some(unicode(v, spec)),
        _ => return None,
    };
    let has_sign = v < 0 || spec.plus || spec.space;
    let least = match (spec.precision, spec.width) {
        (Some(0), width) if v == 0 => return Some(" ".repeat(width.unwrap_or(0))),
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero && !spec.minus => width.saturating_sub(usize::from(has_sign)),
        _ => 0,
    };
    let mut out = format!("{digits:0>least$}");
    if spec.sharp && !(prefix == "0" && out.starts_with('0')) {
        out.insert_str(0, prefix);
    }
    if verb == 'O' {
        out.insert_str(0, "0o");
    }
    match v < 0 {
        true => out.insert(0, '-'),
        false if spec.plus => out.insert(0, '+'),
        false if spec.space => out.insert(0, ' '),
        false => {}
    }
    Some(pad_with_spaces(&out, spec))
}

/// `U+0041 'A'`
fn unicode(v: i64, spec: &Spec) -> String {
    let least = spec.precision.unwrap_or(0).max(4);
    let mut out = format!("U+{:0>least$}", format!("{v:X}"));
    let shown = u32::try_from(v).ok().and_then(char::from_u32).filter(|c| is_print(*c));
    if let Some(c) = shown.filter(|_| spec.sharp) {
        write!(out, " '{c}'").expect("writing to a String cannot fail");
    }
    pad_with_spaces(&out, spec)
}

fn number_text(v: f64, verb: char, spec: &Spec) -> Option<String> {
    let precision = spec.precision;
    let lower = verb.to_ascii_lowercase();
    let digits = match lower {
        'v' | 'g' => precision.map_or_else(|| format_g(v), |precision| format_g_precise(v, precision)),
        'f' => format_f_precise(v, precision.unwrap_or(6)),
        'e' => format_e_precise(v, precision.unwrap_or(6)),
        'x' => hex_float(v, precision),
        'b' if verb == 'b' => binary_float(v),
        _ => return None,
    };
    let digits =
        if matches!(verb, 'E' | 'G' | 'X') && v.is_finite() { digits.to_uppercase() } else { digits };
    let (sign, mut digits) = match digits.strip_prefix(['-', '+']) {
        Some(rest) => (if digits.starts_with('-') { "-" } else { "+" }, rest.to_owned()),
        None => ("+", digits),
    };
    let sign = if spec.space && sign == "+" && !spec.plus { " " } else { sign };
    if !v.is_finite() {
        // An infinity keeps its sign, what is no number has none.
        let bare = v.is_nan() && !spec.space && !spec.plus;
        return Some(pad_with_spaces(&format!("{}{digits}", if bare { "" } else { sign }), spec));
    }
    if spec.sharp && lower != 'b' {
        let wanted = match verb {
            'v' | 'g' | 'G' | 'x' => precision.unwrap_or(6),
            _ => 0,
        };
        digits = with_point(&digits, wanted, lower == 'x');
    }
    if !spec.plus && sign == "+" {
        return Some(pad(&digits, spec));
    }
    let width = spec.width.unwrap_or(0);
    if spec.zero && !spec.minus && width > digits.len() + 1 {
        return Some(format!("{sign}{}{digits}", "0".repeat(width - digits.len() - 1)));
    }
    Some(pad(&format!("{sign}{digits}"), spec))
}

/// With a point, and zeros up to so many digits; the exponent stays at the end.
fn with_point(number: &str, digits: usize, is_hex: bool) -> String {
    let marks: &[char] = if is_hex { &['p', 'P'] } else { &['e', 'E', 'p', 'P'] };
    let (mantissa, tail) = number.split_at(number.find(marks).unwrap_or(number.len()));
    let mut left = digits;
    let mut has_begun = false;
    for c in mantissa.chars().filter(|c| *c != '.') {
        has_begun |= c != '0';
        if has_begun {
            left = left.saturating_sub(1);
        }
    }
    let mut out = mantissa.to_owned();
    if !out.contains('.') {
        if out == "0" {
            left = left.saturating_sub(1);
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(left));
    out + tail
}

/// Mantissa and exponent of a float: `v = mantissa × 2^exponent`.
fn parts(v: f64) -> (u64, i32) {
    let bits = v.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    match exponent {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent - 1075),
    }
}

/// `4503599627370496p-52`
fn binary_float(v: f64) -> String {
    if !v.is_finite() {
        return format_g(v);
    }
    let (mantissa, exponent) = parts(v);
    format!("{}{mantissa}p{exponent:+}", if v.is_sign_negative() { "-" } else { "" })
}

/// `0x1.8p+01`
fn hex_float(v: f64, precision: Option<usize>) -> String {
    if !v.is_finite() {
        return format_g(v);
    }
    let sign = if v.is_sign_negative() { "-" } else { "" };
    let (mut mantissa, exponent) = parts(v);
    let mut power = if mantissa == 0 { 0 } else { exponent + 60 };
    // The highest bit at 60: one digit before the point, fifteen behind it.
    while mantissa != 0 && mantissa >> 60 == 0 {
        mantissa <<= 1;
        power -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = 60 - 4 * precision as u32;
        let rest = mantissa & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        mantissa >>= shift;
        // To the nearest, and to the even one of two.
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= shift;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            power += 1;
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(precision) => format!("{fraction:0<precision$}")[..precision].to_owned(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let power_sign = if power < 0 { '-' } else { '+' };
    format!("{sign}0x{}{point}{fraction}p{power_sign}{:02}", mantissa >> 60, power.abs())
}
