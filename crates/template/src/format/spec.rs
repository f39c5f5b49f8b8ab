//! Flags, width and precision of a verb, and padding.

use std::fmt::Write;

/// Flags, width and precision of one verb.
#[derive(Clone, Copy, Default)]
pub(super) struct Spec {
    pub minus: bool,
    pub plus: bool,
    pub sharp: bool,
    /// `%#v`: as in a program's text.
    pub sharp_v: bool,
    pub space: bool,
    pub zero: bool,
    pub width: Option<usize>,
    pub precision: Option<usize>,
}

/// Go's `pad`: to the width in characters, with zeros only on the left.
pub(super) fn pad(text: &str, spec: &Spec) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    match spec.minus {
        true => format!("{text}{}", " ".repeat(missing)),
        false => format!("{}{text}", if spec.zero { "0" } else { " " }.repeat(missing)),
    }
}

/// To the width with spaces, whatever the flags say.
pub(super) fn pad_with_spaces(text: &str, spec: &Spec) -> String {
    pad(text, &Spec { zero: false, ..*spec })
}

/// Quoted text with everything beyond ASCII escaped.
pub(super) fn ascii_only(quoted: &str) -> String {
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
