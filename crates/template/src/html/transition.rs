//! How text moves the context on. Each function reads from a context and returns the next one with how many bytes it
//! took; the machine and its limits are those of `html/template`, which everybody's templates were written against.

use ferula_go::quote::go_quote_bytes;

use super::attribute::{ValueKind, kind_of};
use super::context::{Attribute, Context, Delimiter, Element, Slash, State, UrlPart};

type Step = (Context, usize);

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn find_any(text: &[u8], bytes: &[u8]) -> Option<usize> {
    text.iter().position(|byte| bytes.contains(byte))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r')
}

fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_space(**byte)).count()
}

/// Quoted, cut to 32 characters.
fn quoted_32(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    go_quote_bytes(text.chars().take(32).collect::<String>().as_bytes())
}

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
    let name = String::from_utf8_lossy(&text[start..end]).to_lowercase();
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

fn in_url(mut context: Context, text: &[u8]) -> Step {
    if find_any(text, b"#?").is_some() {
        context.url_part = UrlPart::QueryOrFragment;
    } else if spaces(text) != text.len() && context.url_part == UrlPart::None {
        context.url_part = UrlPart::PreQuery;
    }
    (context, text.len())
}

fn in_script(mut context: Context, text: &[u8]) -> Step {
    let Some(mut at) = find_any(text, b"\"`'/{}<-#") else {
        context.slash = slash_after(text, context.slash);
        return (context, text.len());
    };
    context.slash = slash_after(&text[..at], context.slash);
    let next = text.get(at + 1).copied();
    match text[at] {
        b'"' => (context.state, context.slash) = (State::JsDouble, Slash::Regexp),
        b'\'' => (context.state, context.slash) = (State::JsSingle, Slash::Regexp),
        b'`' => (context.state, context.slash) = (State::JsTemplate, Slash::Regexp),
        b'/' if next == Some(b'/') => (context.state, at) = (State::JsLineComment, at + 1),
        b'/' if next == Some(b'*') => (context.state, at) = (State::JsBlockComment, at + 1),
        b'/' => match context.slash {
            Slash::Regexp => context.state = State::JsRegexp,
            Slash::Division => context.slash = Slash::Regexp,
            Slash::Unknown => {
                let problem = format!("'/' could start a division or regexp: {}", quoted_32(&text[at..]));
                return (Context::error(problem), text.len());
            }
        },
        b'<' if text[at..].starts_with(b"<!--") => (context.state, at) = (State::JsHtmlOpen, at + 3),
        b'-' if text[at..].starts_with(b"-->") => (context.state, at) = (State::JsHtmlClose, at + 2),
        b'#' if next == Some(b'!') => (context.state, at) = (State::JsLineComment, at + 1),
        b'{' => {
            if let Some(depth) = context.braces.last_mut() {
                *depth += 1;
            }
        }
        b'}' => {
            if let Some(depth) = context.braces.last_mut() {
                *depth -= 1;
                if *depth < 0 {
                    context.braces.pop();
                    context.state = State::JsTemplate;
                }
            }
        }
        _ => {}
    }
    (context, at + 1)
}

/// What a slash begins after this much of a script.
fn slash_after(text: &[u8], before: Slash) -> Slash {
    const SPACES: &str = "\u{c}\n\r\t\u{b} \u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
                          \u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
    const BEFORE_REGEXPS: [&str; 14] = [
        "break",
        "case",
        "continue",
        "delete",
        "do",
        "else",
        "finally",
        "in",
        "instanceof",
        "return",
        "throw",
        "try",
        "typeof",
        "void",
    ];
    let whole = String::from_utf8_lossy(text);
    let text = whole.trim_end_matches(|c| SPACES.contains(c));
    let bytes = text.as_bytes();
    let Some(last) = bytes.last() else { return before };
    let is_regexp = match last {
        b'+' | b'-' => bytes.iter().rev().take_while(|byte| *byte == last).count() % 2 == 1,
        b'.' => bytes.len() == 1 || !bytes[bytes.len() - 2].is_ascii_digit(),
        b',' | b'<' | b'>' | b'=' | b'*' | b'%' | b'&' | b'|' | b'^' | b'?' | b'!' | b'~' | b'(' | b'['
        | b':' | b';' | b'{' | b'}' => true,
        _ => {
            let word = bytes.iter().rev().take_while(|byte| is_script_word(**byte)).count();
            BEFORE_REGEXPS.contains(&&text[text.len() - word..])
        }
    };
    if is_regexp { Slash::Regexp } else { Slash::Division }
}

/// Bytes of names in scripts.
pub fn is_script_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_')
}

fn unfinished(what: &str, text: &[u8]) -> Step {
    (Context::error(format!("unfinished {what}: {}", go_quote_bytes(text))), text.len())
}

fn in_script_template(mut context: Context, text: &[u8]) -> Step {
    let mut from = 0;
    while let Some(found) = find_any(&text[from..], b"`\\$") {
        let mut at = from + found;
        match text[at] {
            b'\\' => {
                at += 1;
                if at == text.len() {
                    return unfinished("escape sequence in JS string", text);
                }
            }
            b'$' if text.get(at + 1) == Some(&b'{') => {
                context.braces.push(0);
                context.state = State::Js;
                return (context, at + 2);
            }
            b'`' => {
                context.state = State::Js;
                return (context, at + 1);
            }
            _ => {}
        }
        from = at + 1;
    }
    (context, text.len())
}

fn in_script_literal(mut context: Context, text: &[u8]) -> Step {
    let specials: &[u8] = match context.state {
        State::JsSingle => b"\\'",
        State::JsRegexp => b"\\/[]",
        _ => b"\\\"",
    };
    let (mut from, mut in_set) = (0, false);
    while let Some(found) = find_any(&text[from..], specials) {
        let mut at = from + found;
        match text[at] {
            b'\\' => {
                at += 1;
                if at == text.len() {
                    return unfinished("escape sequence in JS string", text);
                }
            }
            b'[' => in_set = true,
            b']' => in_set = false,
            b'/' if at > 0
                && at + 7 <= text.len()
                && text[at - 1..at + 7].eq_ignore_ascii_case(b"</script") =>
            {
                at += 1;
            }
            _ if !in_set => {
                (context.state, context.slash) = (State::Js, Slash::Division);
                return (context, at + 1);
            }
            _ => {}
        }
        from = at + 1;
    }
    if in_set {
        return unfinished("JS regexp charset", text);
    }
    (context, text.len())
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

fn in_style(mut context: Context, text: &[u8]) -> Step {
    let mut from = 0;
    while let Some(found) = find_any(&text[from..], b"(\"'/") {
        let at = from + found;
        match (text[at], text.get(at + 1)) {
            (b'(', _) => {
                let before = text[..at].trim_ascii_end_of_style();
                if ends_with_keyword(before, b"url") {
                    let rest = at + 1 + spaces(&text[at + 1..]);
                    let (state, end) = match text.get(rest) {
                        Some(b'"') => (State::CssDoubleUrl, rest + 1),
                        Some(b'\'') => (State::CssSingleUrl, rest + 1),
                        _ => (State::CssUrl, rest),
                    };
                    context.state = state;
                    return (context, end);
                }
            }
            (b'/', Some(b'/')) => {
                context.state = State::CssLineComment;
                return (context, at + 2);
            }
            (b'/', Some(b'*')) => {
                context.state = State::CssBlockComment;
                return (context, at + 2);
            }
            (b'"', _) => {
                context.state = State::CssDouble;
                return (context, at + 1);
            }
            (b'\'', _) => {
                context.state = State::CssSingle;
                return (context, at + 1);
            }
            _ => {}
        }
        from = at + 1;
    }
    (context, text.len())
}

/// Spaces of style sheets at the end of bytes.
trait TrimStyle {
    fn trim_ascii_end_of_style(&self) -> &[u8];
}

impl TrimStyle for [u8] {
    fn trim_ascii_end_of_style(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| !is_space(*byte)).map_or(0, |at| at + 1);
        &self[..end]
    }
}

fn ends_with_keyword(text: &[u8], keyword: &[u8]) -> bool {
    let Some(start) = text.len().checked_sub(keyword.len()) else { return false };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte >= 0x80;
    (start == 0 || !is_name(text[start - 1])) && text[start..].eq_ignore_ascii_case(keyword)
}

fn in_style_string(mut context: Context, text: &[u8]) -> Step {
    let ends: &[u8] = match context.state {
        State::CssDouble | State::CssDoubleUrl => b"\\\"",
        State::CssSingle | State::CssSingleUrl => b"\\'",
        _ => b"\\\t\n\x0c\r )",
    };
    let mut from = 0;
    loop {
        let Some(found) = find_any(&text[from..], ends) else {
            let decoded = decode_style(&text[from..]);
            let (context, taken) = in_url(context, &decoded);
            return (context, (from + taken).min(text.len()));
        };
        let mut at = from + found;
        if text[at] != b'\\' {
            context.state = State::Css;
            return (context, at + 1);
        }
        at += 1;
        if at == text.len() {
            return unfinished("escape sequence in CSS string", text);
        }
        context = in_url(context, &decode_style(&text[..=at])).0;
        from = at + 1;
    }
}

/// Style sheet text with its escapes (`\27 `) undone.
pub fn decode_style(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let Some(next) = rest.get(1) else { return out };
        if !next.is_ascii_hexdigit() {
            let length = utf8_length(*next).min(rest.len() - 1);
            out.extend_from_slice(&rest[1..=length]);
            rest = &rest[1 + length..];
            continue;
        }
        let mut digits = rest[1..].iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let text = std::str::from_utf8(&rest[1..=digits]).unwrap_or_default();
        let mut code = u32::from_str_radix(text, 16).unwrap_or(0);
        if code > 0x0010_ffff {
            code /= 16;
            digits -= 1;
        }
        let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[1 + digits..];
        // One space ends the digits and belongs to them.
        rest = match rest {
            [b'\r', b'\n', tail @ ..] | [b'\t' | b'\n' | b'\x0c' | b' ' | b'\r', tail @ ..] => tail,
            other => other,
        };
    }
    out.extend_from_slice(rest);
    out
}

fn utf8_length(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
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

/// Whether a `<script>` of this type holds a script.
fn is_script_type(value: &str) -> bool {
    let kind = value.split(';').next().unwrap_or_default().to_lowercase();
    let kind = kind.trim();
    if matches!(kind, "module" | "application/json" | "application/ld+json") {
        return true;
    }
    match kind.split_once('/') {
        Some(("application", name)) => {
            matches!(name, "ecmascript" | "javascript" | "x-ecmascript" | "x-javascript")
        }
        Some(("text", name)) => {
            matches!(
                name,
                "ecmascript" | "javascript" | "jscript" | "livescript" | "x-ecmascript" | "x-javascript"
            ) || ["0", "1", "2", "3", "4", "5"].iter().any(|minor| name == format!("javascript1.{minor}"))
        }
        _ => false,
    }
}
