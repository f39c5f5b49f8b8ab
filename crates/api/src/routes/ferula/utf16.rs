//! Converts positions in a text to UTF-16 code units, as JavaScript uses them, and back.

/// Converts byte positions to UTF-16 positions.
pub(super) struct Utf16<'a> {
    text: &'a str,
    /// Whether bytes and UTF-16 code units coincide.
    ascii: bool,
}

impl<'a> Utf16<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Utf16 { text, ascii: text.is_ascii() }
    }

    /// Converts a byte position. A position inside a character becomes its beginning; a position beyond the
    /// end becomes the end.
    pub(super) fn at(&self, byte: usize) -> usize {
        if self.ascii {
            return byte.min(self.text.len());
        }
        self.text[..self.text.floor_char_boundary(byte)].chars().map(char::len_utf16).sum()
    }

    /// Converts a UTF-16 position to a byte position.
    pub(super) fn byte(&self, units: usize) -> usize {
        if self.ascii {
            return units.min(self.text.len());
        }
        let mut left = units;
        for (at, character) in self.text.char_indices() {
            if left < character.len_utf16() {
                return at;
            }
            left -= character.len_utf16();
        }
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_as_in_javascript() {
        let offsets = Utf16::of("é💥{x}");
        assert_eq!([0, 1, 2, 5, 6, 7, 99].map(|byte| offsets.at(byte)), [0, 0, 1, 1, 3, 4, 6]);
        assert_eq!([0, 1, 2, 3, 4, 99].map(|units| offsets.byte(units)), [0, 2, 2, 6, 7, 9]);
        let plain = Utf16::of("up");
        assert_eq!(([0, 2, 9].map(|byte| plain.at(byte)), plain.byte(7)), ([0, 2, 2], 2));
    }
}
