//! Strings of a query may hold bytes that are not UTF-8, written as escapes: `"\xff"`. Such a string cannot be the name of a
//! label, and errors and the printer show it as written.
//!
//! In the tree each of these bytes is one of the last 128 code points (U+10FF80 to U+10FFFF), which are for private
//! use and which no series uses.

/// The code point for byte 0x80.
const FIRST: u32 = 0x10_ff80;

/// Bytes as text, those that are not UTF-8 as their stand-ins.
pub(crate) fn from_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().filter_map(|&byte| char::from_u32(FIRST + u32::from(byte) - 0x80)));
    }
    out
}

/// The byte that a character of a query's string stands for, if it is not a character at all.
pub fn invalid_byte(c: char) -> Option<u8> {
    u8::try_from((c as u32).checked_sub(FIRST)? + 0x80).ok()
}

/// Whether all of a query's string is UTF-8.
pub fn is_utf8(text: &str) -> bool {
    !text.chars().any(|c| invalid_byte(c).is_some())
}

/// The string as Go's `%q` prints it, with `\xff` for bytes that are not UTF-8.
pub fn quote(text: &str) -> String {
    if is_utf8(text) {
        return ferula_go::quote::go_quote(text);
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match invalid_byte(c) {
            Some(byte) => out.push_str(&format!("\\x{byte:02x}")),
            None => {
                let quoted = ferula_go::quote::go_quote(c.encode_utf8(&mut [0; 4]));
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
    }
    out.push('"');
    out
}

/// The string with the replacement character for bytes that are not UTF-8, as JSON and label values have it.
pub fn lossy(text: &str) -> String {
    text.chars().map(|c| if invalid_byte(c).is_some() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_until_they_are_shown() {
        let text = from_bytes(b"a\xc5z\xffe\"\n\xe2\x82\xac");
        assert!(!is_utf8(&text));
        assert_eq!(quote(&text), r#""a\xc5z\xffe\"\n€""#);
        assert_eq!(lossy(&text), "a\u{fffd}z\u{fffd}e\"\n€");
        assert_eq!(from_bytes("plain €".as_bytes()), "plain €");
        assert_eq!(quote("plain €"), "\"plain €\"");
    }
}
