//! Truncates texts to the limits of services.

/// Marks a truncated text.
const MARK: &str = "…";

/// Truncates to `max` characters, including the mark.
pub(super) fn to_runes(text: String, max: usize) -> String {
    if text.len() <= max || text.chars().count() <= max {
        return text;
    }
    if max <= 3 {
        return text.chars().take(max).collect();
    }
    text.chars().take(max - 1).chain(MARK.chars()).collect()
}

/// Truncates to `max` bytes, including the mark, without splitting a character.
pub(super) fn to_bytes(text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    match max.checked_sub(MARK.len()) {
        None => ".".repeat(max),
        Some(room) => format!("{}{MARK}", &text[..text.floor_char_boundary(room)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_in_a_mark() {
        let cases =
            [("abc", 3, "abc"), ("abcd", 3, "abc"), ("äöüß", 4, "äöüß"), ("äöüßx", 4, "äöü…"), ("a", 0, "")];
        for (text, max, expected) in cases {
            assert_eq!(to_runes(text.to_owned(), max), expected, "{text} to {max}");
        }
        let cases =
            [("abc", 3, "abc"), ("abcd", 3, "…"), ("abcd", 2, ".."), ("äöü", 5, "ä…"), ("äöü", 4, "…")];
        for (text, max, expected) in cases {
            assert_eq!(to_bytes(text.to_owned(), max), expected, "{text} to {max}");
        }
    }
}
