//! How text moves the context on. Each function reads from a context and returns the next one with how many bytes it
//! took; the machine and its limits are those of `html/template`, which everybody's templates were written against.

mod scan;
mod script;
mod style;

use ferula_go::quote::go_quote_bytes;
use ferula_go::unicode;

use self::scan::{Step, find, find_any, in_url, quoted_32, spaces};
pub use self::script::is_script_word;
use self::script::{in_script, in_script_literal, in_script_template, is_script_type};
pub use self::style::decode_style;
use self::style::{in_style, in_style_string};
use super::attribute::{ValueKind, kind_of};
use super::context::{Attribute, Context, Delimiter, Element, State};

/// Reads from a context outside of an attribute's value up to a change of state or the end.
pub fn step(context: Context, text: &[u8]) -> Step {
    match context.state {
        State::Text => in_text(context, text),
        State::Tag => in_tag(context, text),
        State::AttrName => in_attribute_name(context, text),
        State::AfterName => after_name(context, text),
        State::BeforeValue => before_value(context, text),
        State::HtmlComment => match find(text, b"-->") {
            Some(at) => (Context::text(), at + 3),
            None => (context, text.len()),
        },
        State::MetaContent => match text.windows(4).position(|part| part.eq_ignore_ascii_case(b"url=")) {
            // Where a page sends its readers.
            Some(at) => (Context { state: State::MetaContentUrl, ..context }, at + 4),
            None => (context, text.len()),
        },
        State::MetaContentUrl => match find(text, b";") {
            Some(at) => (Context { state: State::MetaContent, ..context }, at + 1),
            None => (context, text.len()),
        },
        State::Rcdata => special_tag_end(context, text),
        State::Url | State::Srcset => in_url(context, text),
        State::Js => in_script(context, text),
        State::JsDouble | State::JsSingle | State::JsRegexp => in_script_literal(context, text),
        State::JsTemplate => in_script_template(context, text),
        State::JsBlockComment | State::CssBlockComment => in_block_comment(context, text),
        State::JsLineComment | State::JsHtmlOpen | State::JsHtmlClose | State::CssLineComment => {
            in_line_comment(context, text)
        }
        State::Css => in_style(context, text),
        State::CssDouble | State::CssSingle | State::CssDoubleUrl | State::CssSingleUrl | State::CssUrl => {
            in_style_string(context, text)
        }
        State::Attr | State::Error | State::Dead => (context, text.len()),
    }
}

fn in_text(context: Context, text: &[u8]) -> Step {
    let mut from = 0;
    loop {
        let Some(found) = text[from..].iter().position(|byte| *byte == b'<') else {
            return (context, text.len());
        };
        let mut at = from + found;
        if at + 1 == text.len() {
            return (context, text.len());
        }
        if text[at..].starts_with(b"<!--") {
            return (Context::of(State::HtmlComment, Element::None), at + 4);
        }
        at += 1;
        let is_end = text[at] == b'/';
        if is_end {
            if at + 1 == text.len() {
                return (context, text.len());
            }
            at += 1;
        }
        let (end, element) = tag_name(text, at);
        if end != at {
            let element = if is_end { Element::None } else { element };
            return (Context::of(State::Tag, element), end);
        }
        from = end;
    }
}

/// Where the name of a tag that begins at `at` ends, and which element it is.
fn tag_name(text: &[u8], at: usize) -> (usize, Element) {
    if !text.get(at).is_some_and(u8::is_ascii_alphabetic) {
        return (at, Element::None);
    }
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        if byte.is_ascii_alphanumeric() {
            end += 1;
        } else if matches!(byte, b':' | b'-') && text.get(end + 1).is_some_and(u8::is_ascii_alphanumeric) {
            end += 2;
        } else {
            break;
        }
    }
    let element = match text[at..end].to_ascii_lowercase().as_slice() {
        b"script" => Element::Script,
        b"style" => Element::Style,
        b"textarea" => Element::Textarea,
        b"title" => Element::Title,
        b"meta" => Element::Meta,
        _ => Element::None,
    };
    (end, element)
}

fn in_tag(context: Context, text: &[u8]) -> Step {
    let start = spaces(text);
    if start == text.len() {
        return (context, text.len());
    }
    if text[start] == b'>' {
        if context.element == Element::Meta {
            return (Context::text(), start + 1);
        }
        let state = match context.element {
            Element::None | Element::Meta => State::Text,
            Element::Script => State::Js,
            Element::Style => State::Css,
            Element::Textarea | Element::Title => State::Rcdata,
        };
        return (Context::of(state, context.element), start + 1);
    }
    let end = match attribute_name(&text[start..], text) {
        Ok(length) => start + length,
        Err(problem) => return (problem, text.len()),
    };
    if start == end {
        let problem =
            format!("expected space, attr name, or end of tag, but got {}", go_quote_bytes(&text[start..]));
        return (Context::error(problem), text.len());
    }
    let name = unicode::lower(&String::from_utf8_lossy(&text[start..end]));
    let attribute = if context.element == Element::Script && name == "type" {
        Attribute::ScriptType
    } else if context.element == Element::Meta && name == "content" {
        Attribute::MetaContent
    } else {
        match kind_of(&name) {
            ValueKind::Url => Attribute::Url,
            ValueKind::Css => Attribute::Style,
            ValueKind::Js => Attribute::Script,
            ValueKind::Srcset => Attribute::Srcset,
            ValueKind::Plain | ValueKind::Html | ValueKind::Unsafe => Attribute::None,
        }
    };
    let state = if end == text.len() { State::AttrName } else { State::AfterName };
    (Context { attribute, ..Context::of(state, context.element) }, end)
}

/// How long the name at the beginning of `text` is; `whole` is shown in the error.
fn attribute_name(text: &[u8], whole: &[u8]) -> Result<usize, Context> {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\x0c' | b'\r' | b'=' | b'>' => return Ok(at),
            b'\'' | b'"' | b'<' => {
                let problem = format!("{} in attribute name: {}", go_quote_bytes(&[*byte]), quoted_32(whole));
                return Err(Context::error(problem));
            }
            _ => {}
        }
    }
    Ok(text.len())
}

fn in_attribute_name(mut context: Context, text: &[u8]) -> Step {
    match attribute_name(text, text) {
        Ok(length) => {
            if length != text.len() {
                context.state = State::AfterName;
            }
            (context, length)
        }
        Err(problem) => (problem, text.len()),
    }
}

fn after_name(mut context: Context, text: &[u8]) -> Step {
    let at = spaces(text);
    match text.get(at) {
        None => (context, text.len()),
        Some(b'=') => {
            context.state = State::BeforeValue;
            (context, at + 1)
        }
        Some(_) => {
            context.state = State::Tag;
            (context, at)
        }
    }
}

fn before_value(mut context: Context, text: &[u8]) -> Step {
    let at = spaces(text);
    let (delimiter, taken) = match text.get(at) {
        None => return (context, text.len()),
        Some(b'\'') => (Delimiter::Single, at + 1),
        Some(b'"') => (Delimiter::Double, at + 1),
        Some(_) => (Delimiter::SpaceOrTagEnd, at),
    };
    context.state = context.attribute.value_state();
    context.delimiter = delimiter;
    (context, taken)
}

/// Looks for the end tag of an element whose content is not HTML.
pub fn special_tag_end(context: Context, text: &[u8]) -> Step {
    let tag: &[u8] = match context.element {
        Element::None | Element::Meta => return (context, text.len()),
        Element::Script if context.state.is_script_literal() || context.state.is_comment() => {
            return (context, text.len());
        }
        Element::Script => b"script",
        Element::Style => b"style",
        Element::Textarea => b"textarea",
        Element::Title => b"title",
    };
    match end_tag(text, tag) {
        Some(at) => (Context::text(), at),
        None => (context, text.len()),
    }
}

fn end_tag(text: &[u8], tag: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find(&text[from..], b"</")?;
        let rest = &text[at + 2..];
        from = at + 2;
        if rest.len() >= tag.len() && rest[..tag.len()].eq_ignore_ascii_case(tag) {
            if rest.get(tag.len()).is_some_and(|byte| b"> \t\n\x0c/".contains(byte)) {
                return Some(at);
            }
            from += tag.len();
        }
    }
}

fn in_block_comment(mut context: Context, text: &[u8]) -> Step {
    let Some(at) = find(text, b"*/") else { return (context, text.len()) };
    context.state = if context.state == State::JsBlockComment { State::Js } else { State::Css };
    (context, at + 2)
}

fn in_line_comment(mut context: Context, text: &[u8]) -> Step {
    let is_style = context.state == State::CssLineComment;
    let end = if is_style {
        find_any(text, b"\n\x0c\r")
    } else {
        let separators = ["\u{2028}", "\u{2029}"].map(|separator| find(text, separator.as_bytes()));
        separators.into_iter().chain([find_any(text, b"\n\r")]).flatten().min()
    };
    let Some(at) = end else { return (context, text.len()) };
    context.state = if is_style { State::Css } else { State::Js };
    // The end of the line is not part of the comment.
    (context, at)
}

/// What ends a value.
pub fn value_ends(delimiter: Delimiter) -> &'static [u8] {
    match delimiter {
        Delimiter::None => b"",
        Delimiter::Double => b"\"",
        Delimiter::Single => b"'",
        Delimiter::SpaceOrTagEnd => b" \t\n\x0c\r>",
    }
}

/// Reads from any context.
pub fn after_text(context: Context, text: &[u8]) -> Step {
    if context.delimiter == Delimiter::None {
        let (ended, length) = special_tag_end(context.clone(), text);
        return if length == 0 { (ended, 0) } else { step(context, &text[..length]) };
    }
    let end = find_any(text, value_ends(context.delimiter)).unwrap_or(text.len());
    if context.delimiter == Delimiter::SpaceOrTagEnd
        && let Some(at) = find_any(&text[..end], b"\"'<=`")
    {
        let problem =
            format!("{} in unquoted attr: {}", go_quote_bytes(&text[at..=at]), go_quote_bytes(&text[..end]));
        return (Context::error(problem), text.len());
    }
    if end == text.len() {
        // The value continues beyond this text; entities in it must not hide what it says.
        let value = super::entity::decode(&String::from_utf8_lossy(text));
        let (mut context, mut rest) = (context, value.as_bytes());
        while !rest.is_empty() {
            let (next, taken) = step(context, rest);
            (context, rest) = (next, &rest[taken..]);
        }
        return (context, text.len());
    }
    let is_other_type = context.state == State::Attr
        && context.element == Element::Script
        && context.attribute == Attribute::ScriptType
        && !is_script_type(&String::from_utf8_lossy(&text[..end]));
    let element = if is_other_type { Element::None } else { context.element };
    let quote = usize::from(context.delimiter != Delimiter::SpaceOrTagEnd);
    (Context::of(State::Tag, element), end + quote)
}
