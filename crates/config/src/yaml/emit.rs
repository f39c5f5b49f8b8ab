//! Prints values the way go-yaml v2 does, so that the shown configuration is Prometheus' byte for byte:
//! block style with lists at the indent of their key, plain scalars where they stay what they are, quotes by
//! libyaml's rules, long texts folded at column 80.

use super::resolve::{Resolved, by_text};

/// A value to print.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PrintedValue {
    Null,
    /// A number or boolean, printed as it is.
    Plain(String),
    /// Text, quoted when it would otherwise be read as something else.
    Text(String),
    List {
        items: Vec<PrintedValue>,
        /// In brackets on one line.
        flow: bool,
    },
    /// In the order given.
    Map(Vec<(String, PrintedValue)>),
}

/// The document as text.
pub(crate) fn emit(value: &PrintedValue) -> String {
    let mut emitter = Emitter::default();
    emitter.node(value, Context::Root, -1);
    if !emitter.out.ends_with('\n') {
        emitter.out.push('\n');
    }
    emitter.out
}

/// Where a node stands, as far as its form depends on it.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Root,
    Item,
    Key,
    MapValue,
}

const INDENT: i32 = 2;
const WIDTH: usize = 80;

#[derive(Default)]
struct Emitter {
    out: String,
    column: usize,
    /// The last character written separates tokens.
    whitespace: bool,
    /// The line so far has only indentation (or `- `).
    indention: bool,
    flow_depth: u32,
}

impl Emitter {
    fn node(&mut self, value: &PrintedValue, context: Context, indent: i32) {
        match value {
            PrintedValue::Null => self.plain("null", context, indent),
            PrintedValue::Plain(text) => self.plain(text, context, indent),
            PrintedValue::Text(text) => self.text(text, context, indent),
            PrintedValue::Map(entries) if entries.is_empty() => self.indicator("{}", true, false),
            PrintedValue::List { items, .. } if items.is_empty() => self.indicator("[]", true, false),
            PrintedValue::Map(entries) => self.map(entries, indent),
            PrintedValue::List { items, flow: true } => self.flow_list(items, indent),
            PrintedValue::List { items, .. } => self.list(items, context, indent),
        }
    }

    fn map(&mut self, entries: &[(String, PrintedValue)], indent: i32) {
        let indent = deeper(indent, false);
        for (key, value) in entries {
            self.indent(indent);
            self.text(key, Context::Key, indent);
            self.indicator(":", false, false);
            self.node(value, Context::MapValue, indent);
        }
    }

    fn list(&mut self, items: &[PrintedValue], context: Context, indent: i32) {
        // A list under a key stays at the key's own indent.
        let beside_key = context == Context::MapValue && !self.indention;
        let indent = if beside_key { indent.max(0) } else { deeper(indent, false) };
        for item in items {
            self.indent(indent);
            self.indicator("-", true, true);
            self.node(item, Context::Item, indent);
        }
    }

    fn flow_list(&mut self, items: &[PrintedValue], indent: i32) {
        let indent = deeper(indent, true);
        self.indicator("[", true, false);
        self.whitespace = true;
        self.flow_depth += 1;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.indicator(",", false, false);
            }
            if self.column > WIDTH {
                self.indent(indent);
            }
            self.node(item, Context::Item, indent);
        }
        self.flow_depth -= 1;
        self.indicator("]", false, false);
    }

    /// Starts a line at `indent`, unless the current line has not got that far.
    fn indent(&mut self, indent: i32) {
        let indent = usize::try_from(indent).unwrap_or(0);
        if !self.out.is_empty()
            && (!self.indention || self.column > indent || self.column == indent && !self.whitespace)
        {
            self.out.push('\n');
            self.column = 0;
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn indicator(&mut self, text: &str, needs_space: bool, keeps_indention: bool) {
        if needs_space && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = false;
        self.indention = self.indention && keeps_indention;
    }

    fn text(&mut self, text: &str, context: Context, indent: i32) {
        let form = Form::of(text);
        let resolves_to_text = by_text(text) == Resolved::Str && !is_base60(text);
        let in_flow = self.flow_depth > 0;
        if text.contains('\n') && form.block && !in_flow && context != Context::Key {
            return self.literal(text, indent);
        }
        let plain = if in_flow { form.flow_plain } else { form.block_plain };
        if resolves_to_text && plain && !text.contains('\n') {
            self.plain(text, context, indent);
        } else if resolves_to_text && form.single && !text.contains('\n') {
            self.quoted(text, '\'', context, indent);
        } else {
            self.quoted(text, '"', context, indent);
        }
    }

    fn plain(&mut self, text: &str, context: Context, indent: i32) {
        if !self.whitespace && !text.is_empty() {
            self.put(' ');
        }
        self.folded(text, context, indent, &mut |emitter, c| emitter.put(c));
        self.whitespace = false;
        self.indention = false;
    }

    fn quoted(&mut self, text: &str, quote: char, context: Context, indent: i32) {
        self.indicator(if quote == '"' { "\"" } else { "'" }, true, false);
        if quote == '\'' {
            self.folded(text, context, indent, &mut |emitter, c| {
                if c == '\'' {
                    emitter.put(c);
                }
                emitter.put(c);
            });
        } else {
            self.double_quoted(text, context, indent);
        }
        self.indicator(if quote == '"' { "\"" } else { "'" }, false, false);
    }

    /// Writes text, breaking lines at single spaces beyond the width.
    fn folded(&mut self, text: &str, context: Context, indent: i32, put: &mut dyn FnMut(&mut Self, char)) {
        let chars: Vec<char> = text.chars().collect();
        let (mut after_space, mut after_break) = (false, false);
        for (index, c) in chars.iter().enumerate() {
            if is_break(*c) {
                self.line_break(*c);
                after_break = true;
                continue;
            }
            if std::mem::take(&mut after_break) {
                self.indent(deeper(indent, true));
            }
            let foldable = *c == ' ' && context != Context::Key && !after_space && self.column > WIDTH;
            let inside = index > 0 && index + 1 < chars.len();
            if foldable && inside && chars[index + 1] != ' ' {
                self.indent(deeper(indent, true));
            } else {
                put(self, *c);
                self.indention = false;
            }
            after_space = *c == ' ';
        }
    }

    /// A line break within a text. What follows it is indented.
    fn line_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
        self.indention = true;
    }

    fn double_quoted(&mut self, text: &str, context: Context, indent: i32) {
        let chars: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (index, c) in chars.iter().enumerate() {
            // libyaml looks for a byte order mark at the start of the text at every character.
            let escape = if text.starts_with('\u{feff}') { Some(numeric_escape(*c)) } else { escape(*c) };
            if let Some(escape) = escape {
                escape.chars().for_each(|c| self.put(c));
                after_space = false;
            } else if *c == ' ' {
                let inside = index > 0 && index + 1 < chars.len();
                if context != Context::Key && !after_space && self.column > WIDTH && inside {
                    self.indent(deeper(indent, true));
                    if chars[index + 1] == ' ' {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                after_space = true;
            } else {
                self.put(*c);
                after_space = false;
            }
        }
    }

    fn literal(&mut self, text: &str, indent: i32) {
        let indent = deeper(indent, true);
        self.indicator("|", true, false);
        if text.starts_with([' ', '\n']) {
            self.put('2');
        }
        if !text.ends_with('\n') {
            self.put('-');
        } else if text.ends_with("\n\n") || text == "\n" {
            self.put('+');
        }
        let body = text.strip_suffix('\n').unwrap_or(text);
        for line in body.split('\n') {
            self.out.push('\n');
            self.column = 0;
            if !line.is_empty() {
                (0..indent).for_each(|_| self.put(' '));
                for c in line.chars() {
                    if is_break(c) {
                        self.line_break(c);
                        continue;
                    }
                    if self.column == 0 {
                        self.indent(indent);
                    }
                    self.put(c);
                }
            }
        }
        self.whitespace = false;
        self.indention = false;
    }
}

fn deeper(indent: i32, flow: bool) -> i32 {
    match indent {
        ..0 if flow => INDENT,
        ..0 => 0,
        _ => indent + INDENT,
    }
}

/// Which forms a text may take; libyaml's `analyze_scalar`.
struct Form {
    flow_plain: bool,
    block_plain: bool,
    single: bool,
    block: bool,
}

impl Form {
    fn of(text: &str) -> Form {
        if text.is_empty() {
            return Form { flow_plain: false, block_plain: true, single: true, block: false };
        }
        let chars: Vec<char> = text.chars().collect();
        let blank =
            |index: usize| chars.get(index).is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\0'));
        let document_mark = text.starts_with("---") || text.starts_with("...");
        let (mut flow_mark, mut block_mark, mut special) = (document_mark, document_mark, false);
        let (mut break_space, mut space_break) = (false, false);
        for (index, c) in chars.iter().enumerate() {
            let followed = blank(index + 1);
            match (index, c) {
                (
                    0,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                ) => {
                    (flow_mark, block_mark) = (true, true);
                }
                (_, ':') | (0, '?') => {
                    flow_mark = true;
                    block_mark |= followed;
                }
                (0, '-') if followed => (flow_mark, block_mark) = (true, true),
                (1.., ',' | '?' | '[' | ']' | '{' | '}') => flow_mark = true,
                (1.., '#') if blank(index - 1) => (flow_mark, block_mark) = (true, true),
                _ => {}
            }
            special |= !is_printable(*c) && *c != '\n';
            if index > 0 {
                break_space |= *c == ' ' && is_break(chars[index - 1]);
                space_break |= is_break(*c) && chars[index - 1] == ' ';
            }
        }
        let lines = chars.iter().any(|c| is_break(*c));
        let ends_space = chars.last() == Some(&' ');
        let is_edge = |c: char| c == ' ' || is_break(c);
        let edge = is_edge(chars[0]) || chars.last().is_some_and(|last| is_edge(*last));
        let opaque = space_break || special;
        let plain = !edge && !break_space && !opaque && !lines;
        Form {
            flow_plain: plain && !flow_mark,
            block_plain: plain && !block_mark,
            single: !break_space && !opaque,
            block: !ends_space && !opaque,
        }
    }
}

/// A character that ends a line in YAML 1.1 and may appear in a text without double quotes.
fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{2028}' | '\u{2029}')
}

/// A character that libyaml prints unchanged. In go-yaml's port of it, none of more than three bytes is.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// The escape of a character that double quotes cannot show.
fn escape(c: char) -> Option<String> {
    Some(match c {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\0' => "\\0".into(),
        '\x07' => "\\a".into(),
        '\x08' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\x0b' => "\\v".into(),
        '\x0c' => "\\f".into(),
        '\r' => "\\r".into(),
        '\x1b' => "\\e".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        c if is_printable(c) => return None,
        c => numeric_escape(c),
    })
}

fn numeric_escape(c: char) -> String {
    match u32::from(c) {
        code @ ..=0xff => format!("\\x{code:02X}"),
        code @ ..=0xffff => format!("\\u{code:04X}"),
        code => format!("\\U{code:08X}"),
    }
}

/// `190:20:30`: a number in base 60 to YAML 1.1, quoted for the sake of other readers.
fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or("");
    let rest: Vec<&str> = parts.collect();
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && !rest.is_empty()
        && rest.iter().all(|part| match part.as_bytes() {
            [one] => one.is_ascii_digit(),
            [ten, one] => matches!(ten, b'0'..=b'5') && one.is_ascii_digit(),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> PrintedValue {
        PrintedValue::Text(value.to_owned())
    }

    fn list(items: Vec<PrintedValue>, flow: bool) -> PrintedValue {
        PrintedValue::List { items, flow }
    }

    fn map(entries: Vec<(&str, PrintedValue)>) -> PrintedValue {
        PrintedValue::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    #[test]
    fn nesting_looks_like_go_yamls() {
        let value = map(vec![
            ("a", PrintedValue::Plain("1".into())),
            (
                "list",
                list(
                    vec![map(vec![("x", text("1")), ("y", list(vec![text("p")], false))]), text("q")],
                    false,
                ),
            ),
            ("nested", list(vec![list(vec![text("a"), text("b")], false)], false)),
            ("flow", list(vec![text("a:b"), text("b,c"), text("plain")], true)),
            ("none", list(vec![], false)),
            ("empty", map(vec![])),
            ("null", PrintedValue::Null),
        ]);
        let expected = "a: 1\nlist:\n- x: \"1\"\n  \"y\":\n  - p\n- q\nnested:\n- - a\n  - b\n\
                        flow: ['a:b', 'b,c', plain]\nnone: []\nempty: {}\n\"null\": null\n";
        assert_eq!(emit(&value), expected);
    }

    #[test]
    fn scalars_are_quoted_by_libyamls_rules() {
        for (value, printed) in [
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("1:30", "\"1:30\""),
            ("12", "\"12\""),
            ("(.*)", "(.*)"),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("*x", "'*x'"),
            ("it's", "it's"),
            ("'x", "'''x'"),
            ("a\tb", "\"a\\tb\""),
            (" lead", "' lead'"),
            ("é", "é"),
            ("{{ $x }}", "'{{ $x }}'"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\nb\n", "|\n  a\n  b"),
            ("<secret>", "<secret>"),
            ("$1", "$1"),
            (";", ";"),
        ] {
            assert_eq!(emit(&map(vec![("k", text(value))])), format!("k: {printed}\n"), "{value:?}");
        }
    }

    #[test]
    fn long_texts_fold_at_single_spaces() {
        let words = "abcd ".repeat(20);
        let printed = emit(&map(vec![("k", text(words.trim()))]));
        assert_eq!(printed.lines().count(), 2);
        assert!(printed.lines().next().is_some_and(|line| line.chars().count() <= 85));
        assert!(printed.lines().nth(1).is_some_and(|line| line.starts_with("  abcd")));
    }
}
