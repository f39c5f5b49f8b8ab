//! Reads integers and strings of block files, with positions for errors.

use std::path::Path;

use ferula_chunk::leb128;

use super::BlockError;

/// The content of a file is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The position in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: &'static str,
}

impl Malformed {
    /// Adds the file's name.
    pub fn in_file(self, path: &Path) -> BlockError {
        BlockError::corrupt(path, self.offset, self.what)
    }
}

/// Reads values one after another and tracks the position in the file.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    data: &'a [u8],
    at: usize,
    base: u64,
}

impl<'a> ByteReader<'a> {
    /// Creates a reader of `data`, which begins at byte `base` of its file.
    pub fn new(data: &'a [u8], base: u64) -> Self {
        ByteReader { data, at: 0, base }
    }

    /// Position of the next byte in the file.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Position of the next byte in the data.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Number of remaining bytes.
    pub fn left(&self) -> usize {
        self.data.len() - self.at
    }

    /// An error at this position.
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.offset(), what }
    }

    /// The next `len` bytes.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        if len > self.left() {
            return Err(self.malformed("the data ends too early"));
        }
        let bytes = &self.data[self.at..self.at + len];
        self.at += len;
        Ok(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    /// A big-endian number of four bytes.
    pub fn be32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.bytes(4)?.try_into().expect("four bytes were asked for")))
    }

    /// A big-endian number of eight bytes.
    pub fn be64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.bytes(8)?.try_into().expect("eight bytes were asked for")))
    }

    /// A number in Go's `Uvarint` encoding.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, Malformed> {
        let mut rest = self.data[self.at..].iter();
        match leb128::read(|| rest.next().copied().ok_or(())) {
            Ok(Some(value)) => {
                self.at = self.data.len() - rest.len();
                Ok(value)
            }
            Ok(None) | Err(()) => Err(self.malformed("not a varint")),
        }
    }

    /// A number in Go's `Uvarint` encoding that must fit into 32 bits.
    #[inline]
    pub fn uvarint32(&mut self) -> Result<u32, Malformed> {
        let value = self.uvarint()?;
        u32::try_from(value).map_err(|_| self.malformed("a number of more than 32 bits"))
    }

    /// A number in Go's `Varint` encoding.
    pub fn varint(&mut self) -> Result<i64, Malformed> {
        self.uvarint().map(leb128::unzigzag)
    }

    /// Bytes preceded by their length.
    #[inline]
    pub fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.uvarint()?;
        self.bytes(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Text preceded by its length.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let start = self.clone();
        std::str::from_utf8(self.prefixed()?).map_err(|_| start.malformed("text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::{put_uvarint, put_varint};

    proptest! {
        #[test]
        fn numbers_survive_a_round_trip(value in (any::<u64>(), 0u32..64).prop_map(|(v, shift)| v >> shift)) {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            put_varint(&mut out, value as i64);
            let mut reader = ByteReader::new(&out, 0);
            prop_assert_eq!(reader.uvarint(), Ok(value));
            prop_assert_eq!(reader.varint(), Ok(value as i64));
            prop_assert_eq!(reader.left(), 0);
        }
    }

    #[test]
    fn truncated_and_oversized_values_are_refused_with_their_position() {
        let mut reader = ByteReader::new(&[1, 0xff, 0xff], 100);
        assert_eq!(reader.byte(), Ok(1));
        assert_eq!(reader.uvarint(), Err(Malformed { offset: 101, what: "not a varint" }));
        assert_eq!(reader.be32(), Err(Malformed { offset: 101, what: "the data ends too early" }));
        assert!(ByteReader::new(&[0xff; 11], 0).uvarint().is_err());
        assert!(ByteReader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f, 1], 0).prefixed().is_err());
        assert!(ByteReader::new(&[1, 0xff], 0).text().is_err());
    }
}
