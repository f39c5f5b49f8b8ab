//! Strings in Go's quotes: `strconv.Quote`, which is `%q`.

use std::fmt::Write;

/// Go's `strconv.Quote` (`%q`): double quotes, escapes for control and unprintable characters.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
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
            c if c == ' ' || is_go_print(c) => out.push(c),
            c if (c as u32) < 0x80 => {
                write!(out, "\\x{:02x}", c as u32).expect("writing to a String cannot fail")
            }
            c if (c as u32) < 0x10000 => {
                write!(out, "\\u{:04x}", c as u32).expect("writing to a String cannot fail")
            }
            c => write!(out, "\\U{:08x}", c as u32).expect("writing to a String cannot fail"),
        }
    }
    out.push('"');
    out
}

/// Whether Go's `strconv.IsPrint` holds: letters, marks, numbers, punctuation, symbols, and the ASCII space.
/// Rust's `escape_debug` uses the same Unicode categories for "printable"; grapheme extenders are the exception, hence the tail.
fn is_go_print(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    let mut with_letter = String::from("a");
    with_letter.push(c);
    with_letter.escape_debug().count() == 2 && !c.is_whitespace() && c != '\u{ad}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_looks_like_gos() {
        assert_eq!(go_quote("a\"b\\c\n\u{7f}é\u{200b}"), "\"a\\\"b\\\\c\\n\\x7fé\\u200b\"");
    }
}
