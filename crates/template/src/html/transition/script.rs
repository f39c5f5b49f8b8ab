//! How the text of scripts moves the context on: strings, template literals, regular expressions, and what a slash begins.

use ferula_go::unicode;

use super::super::context::{Context, Slash, State};
use super::scan::{Step, find_any, quoted_32, unfinished};

pub(super) fn in_script(mut context: Context, text: &[u8]) -> Step {
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

pub(super) fn in_script_template(mut context: Context, text: &[u8]) -> Step {
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

pub(super) fn in_script_literal(mut context: Context, text: &[u8]) -> Step {
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

/// Whether a `<script>` of this type holds a script.
pub(super) fn is_script_type(value: &str) -> bool {
    let kind = unicode::lower(value.split(';').next().unwrap_or_default());
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
