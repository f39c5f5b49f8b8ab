//! Message formatting: encoded words in headers, multipart bodies, quoted-printable.

use std::fmt::Write;

use ring::rand::{SecureRandom, SystemRandom};

/// Maximum payload of an encoded word in bytes.
const WORD_BYTES_MAX: usize = 63;
/// Maximum length of a body line in bytes.
const LINE_BYTES_MAX: usize = 76;

/// Encodes a value for use in a header. Everything except plain ASCII, including line breaks, is encoded, so
/// that no value can end its header.
pub fn encoded_header(value: &str) -> String {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return value.to_owned();
    }
    const START: &str = "=?utf-8?q?";
    let mut out = String::from(START);
    let mut length = 0;
    for c in value.chars() {
        let is_plain = matches!(c, ' '..='~') && !matches!(c, '=' | '?' | '_');
        let needed = if is_plain { 1 } else { 3 * c.len_utf8() };
        if length + needed > WORD_BYTES_MAX {
            out.push_str("?= ");
            out.push_str(START);
            length = 0;
        }
        match c {
            ' ' => out.push('_'),
            c if is_plain => out.push(c),
            c => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    write!(out, "={byte:02X}").expect("writing to a String cannot fail");
                }
            }
        }
        length += needed;
    }
    out.push_str("?=");
    out
}

/// A multipart message of alternatives.
pub struct Multipart<'a> {
    boundary: &'a str,
    out: String,
}

impl<'a> Multipart<'a> {
    pub fn new(boundary: &'a str) -> Self {
        Multipart { boundary, out: String::new() }
    }

    /// Adds a part with a text of this type.
    pub fn add(&mut self, content_type: &str, text: &str) {
        let line = if self.out.is_empty() { "" } else { "\r\n" };
        let boundary = self.boundary;
        self.out.push_str(&format!(
            "{line}--{boundary}\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: {content_type}\r\n\r\n"
        ));
        self.out.push_str(&quoted_printable(text));
    }

    /// Returns the parts, followed by the closing boundary.
    pub fn finish(self) -> String {
        format!("{}\r\n--{}--\r\n", self.out, self.boundary)
    }
}

/// Encodes the text in lines of at most 76 bytes of ASCII.
fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut line = String::with_capacity(LINE_BYTES_MAX);
    let normal = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, part) in normal.split('\n').enumerate() {
        if index > 0 {
            end_line(&mut line, &mut out);
            out.push_str("\r\n");
        }
        for byte in part.bytes() {
            let is_plain = matches!(byte, b' '..=b'~' | b'\t') && byte != b'=';
            if line.len() + if is_plain { 1 } else { 3 } > LINE_BYTES_MAX - 1 {
                out.push_str(&line);
                out.push_str("=\r\n");
                line.clear();
            }
            if is_plain {
                line.push(char::from(byte));
            } else {
                write!(line, "={byte:02X}").expect("writing to a String cannot fail");
            }
        }
    }
    end_line(&mut line, &mut out);
    out
}

/// Ends a line. A trailing space could get lost in transit, so it is encoded.
fn end_line(line: &mut String, out: &mut String) {
    if let Some(space @ (' ' | '\t')) = line.chars().last() {
        line.pop();
        if line.len() + 3 > LINE_BYTES_MAX - 1 {
            out.push_str(line);
            out.push_str("=\r\n");
            line.clear();
        }
        write!(line, "={:02X}", u32::from(space)).expect("writing to a String cannot fail");
    }
    out.push_str(line);
    line.clear();
}

/// Random digits, for boundaries that occur in no text.
pub fn random_hex<const BYTES: usize>() -> String {
    ferula_go::hex::encode(random::<BYTES>())
}

/// A random number.
pub fn random_u64() -> u64 {
    u64::from_be_bytes(random())
}

fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_encoded_as_in_go() {
        // Recorded from mime.QEncoding.
        let long = "ä".repeat(12);
        for (value, expected) in [
            ("plain = text?", "plain = text?".to_owned()),
            ("a\r\nBcc: x@y", "=?utf-8?q?a=0D=0ABcc:_x@y?=".to_owned()),
            ("ä_b =?", "=?utf-8?q?=C3=A4=5Fb_=3D=3F?=".to_owned()),
            (
                long.as_str(),
                format!("=?utf-8?q?{}?= =?utf-8?q?{}?=", "=C3=A4".repeat(10), "=C3=A4".repeat(2)),
            ),
        ] {
            assert_eq!(encoded_header(value), expected);
        }
    }

    #[test]
    fn bodies_are_encoded_as_in_go() {
        // Recorded from mime/quotedprintable.
        for (text, expected) in [
            ("a=b\nc", "a=3Db\r\nc".to_owned()),
            ("end \r\nnext\t", "end=20\r\nnext=09".to_owned()),
            (&"x".repeat(80), format!("{}=\r\n{}", "x".repeat(75), "x".repeat(5))),
            (&format!("{}ä", "x".repeat(73)), format!("{}=\r\n=C3=A4", "x".repeat(73))),
            (&format!("{} \nb", "x".repeat(74)), format!("{}=\r\n=20\r\nb", "x".repeat(74))),
        ] {
            assert_eq!(quoted_printable(text), expected);
        }
    }
}
