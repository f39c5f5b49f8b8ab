//! Strings and floats in JSON, as `encoding/json` writes them, and strings as the library `json-iterator` does.
//!
//! Prometheus writes its HTTP answers with `json-iterator`; its log and its tools use `encoding/json`. The two differ:
//! the first lacks `\b` and `\f`, and escapes U+2028 and U+2029 only where it also escapes HTML.

use crate::float::{format_e, format_f};

/// Where text is appended: a `String`, or the bytes of one.
pub trait Buffer {
    /// Appends `text`.
    fn push_text(&mut self, text: &str);
}

impl Buffer for String {
    #[inline]
    fn push_text(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Buffer for Vec<u8> {
    #[inline]
    fn push_text(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Appends a string as `encoding/json` writes it with `SetEscapeHTML(false)`, and `log/slog` always.
pub fn push_string(out: &mut impl Buffer, text: &str) {
    push(out, text, &STANDARD);
}

/// Appends a string as `encoding/json` writes it by default: `<`, `>` and `&` are escaped.
pub fn push_html_string(out: &mut impl Buffer, text: &str) {
    push(out, text, &STANDARD_HTML);
}

/// Appends a string as `json-iterator` writes it where HTML stays: label names and values in HTTP answers.
pub fn push_iterator_string(out: &mut impl Buffer, text: &str) {
    push(out, text, &ITERATOR);
}

/// Appends a string as `json-iterator` writes it with HTML escaped: everything else in HTTP answers.
pub fn push_iterator_html_string(out: &mut impl Buffer, text: &str) {
    push(out, text, &ITERATOR_HTML);
}

/// A float as `encoding/json` writes it: with an exponent, of as few digits as possible, below 1e-6 and from 1e21.
/// `None` for what JSON cannot express.
pub fn format_number(v: f64) -> Option<String> {
    if !v.is_finite() {
        return None;
    }
    if v == 0.0 || (1e-6..1e21).contains(&v.abs()) {
        return Some(format_f(v));
    }
    let mut text = format_e(v);
    if let Some(at) = text.find("e-0") {
        text.remove(at + 2);
    }
    Some(text)
}

/// What a byte of a string needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EscapeForm {
    /// Nothing: it stays.
    Nothing,
    /// The letter after a backslash.
    Short(u8),
    /// `\u00xx`.
    Code,
    /// A look at the next two bytes, because U+2028 and U+2029 begin with this one.
    Look,
}

type Style = [EscapeForm; 256];

const fn style(html: bool, short_b_and_f: bool, separators: bool) -> Style {
    let mut needs = [EscapeForm::Nothing; 256];
    let mut byte = 0;
    while byte < 0x20 {
        needs[byte] = EscapeForm::Code;
        byte += 1;
    }
    needs[b'"' as usize] = EscapeForm::Short(b'"');
    needs[b'\\' as usize] = EscapeForm::Short(b'\\');
    needs[b'\n' as usize] = EscapeForm::Short(b'n');
    needs[b'\r' as usize] = EscapeForm::Short(b'r');
    needs[b'\t' as usize] = EscapeForm::Short(b't');
    if short_b_and_f {
        needs[0x08] = EscapeForm::Short(b'b');
        needs[0x0c] = EscapeForm::Short(b'f');
    }
    if html {
        needs[b'<' as usize] = EscapeForm::Code;
        needs[b'>' as usize] = EscapeForm::Code;
        needs[b'&' as usize] = EscapeForm::Code;
    }
    if separators {
        needs[0xe2] = EscapeForm::Look;
    }
    needs
}

static STANDARD: Style = style(false, true, true);
static STANDARD_HTML: Style = style(true, true, true);
static ITERATOR: Style = style(false, false, false);
static ITERATOR_HTML: Style = style(true, false, true);

fn push(out: &mut impl Buffer, text: &str, style: &Style) {
    out.push_text("\"");
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let need = style[usize::from(*byte)];
        if need == EscapeForm::Nothing {
            continue;
        }
        let mut escape = *b"\\u00xx";
        let (escape, length) = match need {
            EscapeForm::Short(letter) => {
                escape[1] = letter;
                (&escape[..2], 1)
            }
            EscapeForm::Look => match bytes.get(at + 1..at + 3) {
                Some([0x80, 0xa8]) => (&b"\\u2028"[..], 3),
                Some([0x80, 0xa9]) => (&b"\\u2029"[..], 3),
                _ => continue,
            },
            _ => {
                escape[4] = b"0123456789abcdef"[usize::from(byte >> 4)];
                escape[5] = b"0123456789abcdef"[usize::from(byte & 0xf)];
                (&escape[..], 1)
            }
        };
        // Every byte that needs something is ASCII or begins a character, so the text may be cut here.
        out.push_text(&text[plain_from..at]);
        out.push_text(std::str::from_utf8(escape).unwrap_or_default());
        plain_from = at + length;
    }
    out.push_text(&text[plain_from..]);
    out.push_text("\"");
}
