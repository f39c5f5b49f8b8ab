//! Integers and strings as block files have them, read with the place in the file at hand.

use super::BlockError;
use std::path::Path;

/// Bytes that are not what they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where in the file.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl Malformed {
    /// The same with the file's name.
    pub fn in_file(self, path: &Path) -> BlockError {
        BlockError::corrupt(path, self.offset, self.what)
    }
}

/// Reads one after another; knows where in the file it is.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    data: &'a [u8],
    at: usize,
    base: u64,
}

impl<'a> ByteReader<'a> {
    /// A reader of `data`, which begins at byte `base` of its file.
    pub fn new(data: &'a [u8], base: u64) -> Self {
        ByteReader { data, at: 0, base }
    }

    /// Where in the file the next byte is.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Where in the data the next byte is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.data.len() - self.at
    }

    /// An error at this place.
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

    /// A number in Go's `Uvarint` form.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (group, byte) in self.data[self.at..].iter().take(10).enumerate() {
            if group == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * group);
            if *byte < 0x80 {
                self.at += group + 1;
                return Ok(value);
            }
        }
        Err(self.malformed("not a varint"))
    }

    /// A number in Go's `Uvarint` form that must fit 32 bits.
    #[inline]
    pub fn uvarint32(&mut self) -> Result<u32, Malformed> {
        let value = self.uvarint()?;
        u32::try_from(value).map_err(|_| self.malformed("a number of more than 32 bits"))
    }

    /// A number in Go's `Varint` form.
    pub fn varint(&mut self) -> Result<i64, Malformed> {
        let value = self.uvarint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Bytes with their length before them.
    #[inline]
    pub fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.uvarint()?;
        self.bytes(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Text with its length before it.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let start = self.clone();
        std::str::from_utf8(self.prefixed()?).map_err(|_| start.malformed("text is not UTF-8"))
    }
}

/// Appends Go's `PutUvarint` form.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends Go's `PutVarint` form.
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends text with its length before it.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// How many bytes [`put_uvarint`] appends.
pub fn uvarint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value in (any::<u64>(), 0u32..64).prop_map(|(v, shift)| v >> shift)) {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            prop_assert_eq!(out.len(), uvarint_bytes(value));
            put_varint(&mut out, value as i64);
            let mut reader = ByteReader::new(&out, 0);
            prop_assert_eq!(reader.uvarint(), Ok(value));
            prop_assert_eq!(reader.varint(), Ok(value as i64));
            prop_assert_eq!(reader.left(), 0);
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused_with_its_place() {
        let mut reader = ByteReader::new(&[1, 0xff, 0xff], 100);
        assert_eq!(reader.byte(), Ok(1));
        assert_eq!(reader.uvarint(), Err(Malformed { offset: 101, what: "not a varint" }));
        assert_eq!(reader.be32(), Err(Malformed { offset: 101, what: "the data ends too early" }));
        assert!(ByteReader::new(&[0xff; 11], 0).uvarint().is_err());
        assert!(ByteReader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f, 1], 0).prefixed().is_err());
        assert!(ByteReader::new(&[1, 0xff], 0).text().is_err());
    }
}
