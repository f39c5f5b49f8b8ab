//! Places in a text as browsers count them.

/// Turns places in bytes into places in UTF-16 units.
pub(super) struct Utf16<'a> {
    text: &'a str,
    /// Bytes and units are the same.
    ascii: bool,
}

impl<'a> Utf16<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Utf16 { text, ascii: text.is_ascii() }
    }

    /// The place of a byte; a place inside of a character is that of its beginning, one behind the end is the end.
    pub(super) fn at(&self, byte: usize) -> usize {
        if self.ascii {
            return byte.min(self.text.len());
        }
        self.text[..self.text.floor_char_boundary(byte)].chars().map(char::len_utf16).sum()
    }

    /// The byte of a place in UTF-16 units.
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
    fn places_are_counted_as_browsers_do() {
        let offsets = Utf16::of("é💥{x}");
        assert_eq!([0, 1, 2, 5, 6, 7, 99].map(|byte| offsets.at(byte)), [0, 0, 1, 1, 3, 4, 6]);
        assert_eq!([0, 1, 2, 3, 4, 99].map(|units| offsets.byte(units)), [0, 2, 2, 6, 7, 9]);
        let plain = Utf16::of("up");
        assert_eq!(([0, 2, 9].map(|byte| plain.at(byte)), plain.byte(7)), ([0, 2, 2], 2));
    }
}
