//! What escapers make of values, one for each kind of context.

use std::fmt::Write;

use ferula_go::unicode;

use super::attribute::{ValueKind, kind_of};
use super::context::{Context, Delimiter, Element, State};
use super::transition::{decode_style, is_script_word, special_tag_end, step, value_ends};
use crate::format::sprint;
use crate::function::Function;
use crate::json::to_json;
use crate::safe;
use crate::value::{Parameter, Value};

/// Written in place of a value that could do harm where it stands.
const FAILSAFE: &str = "ZgotmplZ";

/// What the author of a template vouched for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Nothing,
    Html,
    Url,
}

/// The escaper of this name.
pub fn function(name: &str) -> Option<Function> {
    let escaper: fn(&[Value]) -> String = match name.strip_prefix("_html_template_") {
        None if name == "_eval_args_" => sprint,
        Some("attrescaper") => attribute_value,
        Some("commentescaper") => |_| String::new(),
        Some("cssescaper") => |values| style_string(&text_of(values).0),
        Some("cssvaluefilter") => |values| style_value(&text_of(values).0),
        Some("htmlnamefilter") => |values| attribute_name(&text_of(values).0),
        Some("htmlescaper") => |values| match text_of(values) {
            (text, Trust::Html) => text,
            (text, _) => html(&text, HTML, true),
        },
        Some("jsregexpescaper") => |values| match script(&text_of(values).0, SCRIPT_REGEXP) {
            empty if empty.is_empty() => "(?:)".to_owned(),
            text => text,
        },
        Some("jsstrescaper") => |values| script(&text_of(values).0, SCRIPT_STRING),
        Some("jstmpllitescaper") => |values| script(&text_of(values).0, SCRIPT_TEMPLATE),
        Some("jsvalescaper") => script_value,
        Some("nospaceescaper") => unquoted_value,
        Some("rcdataescaper") => |values| match text_of(values) {
            (text, Trust::Html) => html(&text, HTML_NORMAL, true),
            (text, _) => html(&text, HTML, true),
        },
        Some("srcsetescaper") => srcset,
        Some("urlescaper") => |values| {
            let (text, trust) = text_of(values);
            url(&text, trust == Trust::Url)
        },
        Some("urlfilter") => |values| match text_of(values) {
            (text, trust) if trust == Trust::Url || is_safe_url(&text) => text,
            _ => format!("#{FAILSAFE}"),
        },
        Some("urlnormalizer") => |values| url(&text_of(values).0, true),
        _ => return None,
    };
    Some(Function::variadic(&[Parameter::Any], move |values| Ok(Value::text(escaper(values)))))
}

/// The values as text. Nothing at all is shown for what is missing.
fn text_of(values: &[Value]) -> (String, Trust) {
    if let [Value::Defined(defined)] = values
        && let Value::Text(text) = &defined.value
    {
        if std::ptr::eq(defined.class, &safe::HTML) {
            return (text.to_string(), Trust::Html);
        }
        if std::ptr::eq(defined.class, &safe::URL) {
            return (text.to_string(), Trust::Url);
        }
    }
    let present: Vec<Value> = values.iter().filter(|value| !matches!(value, Value::Nil)).cloned().collect();
    (sprint(&present), Trust::Nothing)
}

type Replacements = &'static [(char, &'static str)];

const HTML: Replacements = &[
    ('\0', "\u{fffd}"),
    ('"', "&#34;"),
    ('&', "&amp;"),
    ('\'', "&#39;"),
    ('+', "&#43;"),
    ('<', "&lt;"),
    ('>', "&gt;"),
];
const HTML_NORMAL: Replacements =
    &[('\0', "\u{fffd}"), ('"', "&#34;"), ('\'', "&#39;"), ('+', "&#43;"), ('<', "&lt;"), ('>', "&gt;")];
const UNQUOTED: Replacements = &[
    ('\0', "&#xfffd;"),
    ('\t', "&#9;"),
    ('\n', "&#10;"),
    ('\u{b}', "&#11;"),
    ('\u{c}', "&#12;"),
    ('\r', "&#13;"),
    (' ', "&#32;"),
    ('"', "&#34;"),
    ('&', "&amp;"),
    ('\'', "&#39;"),
    ('+', "&#43;"),
    ('<', "&lt;"),
    ('=', "&#61;"),
    ('>', "&gt;"),
    ('`', "&#96;"),
];

fn replacement(table: Replacements, c: char) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == c).map(|(_, text)| *text)
}

/// `keeps_odd` keeps characters that are invalid in HTML.
fn html(text: &str, table: Replacements, keeps_odd: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match replacement(table, c) {
            Some(text) => out.push_str(text),
            None if !keeps_odd && matches!(c, '\u{fdd0}'..='\u{fdef}' | '\u{fff0}'..='\u{ffff}') => {
                let _ = write!(out, "&#x{:x};", u32::from(c));
            }
            None => out.push(c),
        }
    }
    out
}

fn attribute_value(values: &[Value]) -> String {
    match text_of(values) {
        (text, Trust::Html) => html(&without_tags(&text), HTML_NORMAL, true),
        (text, _) => html(&text, HTML, true),
    }
}

fn unquoted_value(values: &[Value]) -> String {
    match text_of(values) {
        (text, _) if text.is_empty() => FAILSAFE.to_owned(),
        (text, Trust::Html) => {
            let mut out = String::new();
            for c in without_tags(&text).chars() {
                // References stay what they are.
                if c == '&' {
                    out.push('&')
                } else {
                    out.push_str(&html(c.encode_utf8(&mut [0; 4]), UNQUOTED, false))
                }
            }
            out
        }
        (text, _) => html(&text, UNQUOTED, false),
    }
}

/// HTML without its tags: the text only.
fn without_tags(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let (mut context, mut at, mut all_text) = (Context::text(), 0, true);
    while at != bytes.len() {
        if context.delimiter != Delimiter::None {
            let ends = value_ends(context.delimiter);
            let Some(found) = bytes[at..].iter().position(|byte| ends.contains(byte)) else { break };
            let quote = usize::from(context.delimiter != Delimiter::SpaceOrTagEnd);
            (context, at) = (Context::of(State::Tag, context.element), at + found + quote);
            continue;
        }
        let is_raw = context.element != Element::None && !context.state.is_in_tag();
        let (next, taken) = if is_raw {
            special_tag_end(context.clone(), &bytes[at..])
        } else {
            step(context.clone(), &bytes[at..])
        };
        let end = at + taken;
        if matches!(context.state, State::Text | State::Rcdata) {
            let mut text_end = end;
            if next.state != context.state
                && let Some(tag) = bytes[at..end].iter().rposition(|byte| *byte == b'<')
            {
                text_end = at + tag;
            }
            out.extend_from_slice(&bytes[at..text_end]);
        } else {
            all_text = false;
        }
        (context, at) = (next, end);
    }
    if all_text {
        return text.to_owned();
    }
    if matches!(context.state, State::Text | State::Rcdata) {
        out.extend_from_slice(&bytes[at..]);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn attribute_name(text: &str) -> String {
    let name = unicode::lower(text);
    let is_plain = kind_of(&name) == ValueKind::Plain;
    let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    if is_plain && is_word { name } else { FAILSAFE.to_owned() }
}

const SCRIPT_STRING: Replacements = &[
    ('"', r"\u0022"),
    ('`', r"\u0060"),
    ('&', r"\u0026"),
    ('\'', r"\u0027"),
    ('+', r"\u002b"),
    ('/', r"\/"),
    ('<', r"\u003c"),
    ('>', r"\u003e"),
    ('\\', r"\\"),
];
const SCRIPT_TEMPLATE: Replacements = &[
    ('"', r"\u0022"),
    ('`', r"\u0060"),
    ('&', r"\u0026"),
    ('\'', r"\u0027"),
    ('+', r"\u002b"),
    ('/', r"\/"),
    ('<', r"\u003c"),
    ('>', r"\u003e"),
    ('\\', r"\\"),
    ('$', r"\u0024"),
    ('{', r"\u007b"),
    ('}', r"\u007d"),
];
const SCRIPT_REGEXP: Replacements = &[
    ('"', r"\u0022"),
    ('$', r"\$"),
    ('&', r"\u0026"),
    ('\'', r"\u0027"),
    ('(', r"\("),
    (')', r"\)"),
    ('*', r"\*"),
    ('+', r"\u002b"),
    ('-', r"\-"),
    ('.', r"\."),
    ('/', r"\/"),
    ('<', r"\u003c"),
    ('>', r"\u003e"),
    ('?', r"\?"),
    ('[', r"\["),
    ('\\', r"\\"),
    (']', r"\]"),
    ('^', r"\^"),
    ('{', r"\{"),
    ('|', r"\|"),
    ('}', r"\}"),
];

fn script(text: &str, table: Replacements) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x20 || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => match replacement(table, c) {
                Some(text) => out.push_str(text),
                None => out.push(c),
            },
        }
    }
    out
}

/// A value in a script: JSON, with spaces where it could run into a word.
fn script_value(values: &[Value]) -> String {
    let json = match values {
        [Value::Defined(defined)] if defined.class.print.is_some() => {
            to_json(&Value::text(crate::format::print(&values[0])))
        }
        [value] => to_json(value),
        values => to_json(&Value::text(sprint(values))),
    };
    let json = match json {
        Ok(json) => json,
        Err(error) => {
            let text = error.to_string().replace("*/", "* /").replace("</script", "\\x3C/script");
            return format!(" /* {} */null ", text.replace("<!--", "\\x3C!--"));
        }
    };
    let ends = [json.bytes().next(), json.bytes().last()];
    match ends.into_iter().flatten().any(is_script_word) {
        true => format!(" {json} "),
        false => json,
    }
}

const STYLE: Replacements = &[
    ('\0', "\\0"),
    ('\t', "\\9"),
    ('\n', "\\a"),
    ('\u{c}', "\\c"),
    ('\r', "\\d"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('(', "\\28"),
    (')', "\\29"),
    ('+', "\\2b"),
    ('/', "\\2f"),
    (':', "\\3a"),
    (';', "\\3b"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('\\', "\\\\"),
    ('{', "\\7b"),
    ('}', "\\7d"),
];

fn style_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(escape) = replacement(STYLE, c) else {
            out.push(c);
            continue;
        };
        out.push_str(escape);
        // A space ends the number where the next character could belong to it.
        let runs_on = chars
            .peek()
            .is_none_or(|c| c.is_ascii_hexdigit() || matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' '));
        if c != '\\' && runs_on {
            out.push(' ');
        }
    }
    out
}

fn style_value(text: &str) -> String {
    let decoded = decode_style(text.as_bytes());
    let mut word = Vec::new();
    for (at, byte) in decoded.iter().enumerate() {
        match byte {
            0 | b'"' | b'\'' | b'(' | b')' | b'/' | b';' | b'@' | b'[' | b'\\' | b']' | b'`' | b'{'
            | b'}' | b'<' | b'>' => return FAILSAFE.to_owned(),
            b'-' if at != 0 && decoded[at - 1] == b'-' => return FAILSAFE.to_owned(),
            b'-' => {}
            byte if byte.is_ascii_alphanumeric() || *byte == b'_' => word.push(byte.to_ascii_lowercase()),
            _ => {}
        }
    }
    let word = String::from_utf8_lossy(&word).into_owned();
    if word.contains("expression") || word.contains("mozbinding") {
        return FAILSAFE.to_owned();
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Whether the address is relative or of a scheme that runs nothing.
fn is_safe_url(text: &str) -> bool {
    match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|safe| unicode::lower(scheme) == *safe)
        }
        _ => true,
    }
}

/// Percent-encodes; `normalizes` leaves what already means something in an address.
fn url(text: &str, normalizes: bool) -> String {
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut out = String::with_capacity(text.len() + 16);
    for (at, byte) in bytes.iter().enumerate() {
        let stays = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@'
            | b'[' | b']' => normalizes,
            b'%' => normalizes && is_hex(at + 1) && is_hex(at + 2),
            byte => byte.is_ascii_alphanumeric(),
        };
        if stays {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

fn srcset(values: &[Value]) -> String {
    let (text, trust) = text_of(values);
    if trust == Trust::Url {
        return url(&text, true).replace(',', "%2c");
    }
    let is_space = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ');
    let element = |part: &str| {
        let start = part.len() - part.trim_start_matches(is_space).len();
        let end = part[start..].find(is_space).map_or(part.len(), |at| start + at);
        let (address, rest) = (&part[start..end], &part[end..]);
        match is_safe_url(address) && rest.chars().all(|c| is_space(c) || c.is_ascii_alphanumeric()) {
            true => format!("{}{}{rest}", &part[..start], url(address, true)),
            false => format!("#{FAILSAFE}"),
        }
    };
    text.split(',').map(element).collect::<Vec<_>>().join(",")
}
