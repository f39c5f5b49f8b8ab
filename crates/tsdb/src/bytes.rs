//! Reads numbers and texts from the front of a slice, and appends them to a vector, in the encodings of all
//! files of a database.
//!
//! Elsewhere: LEB128 itself (`ferula_chunk::leb128`), and reading with positions for errors (`block::bytes`).

use ferula_chunk::leb128;

/// Appends an unsigned LEB128 integer.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, value: u64) {
    leb128::put(value, |byte| out.push(byte));
}

/// Appends a zig-zag LEB128 integer.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, leb128::zigzag(value));
}

/// Appends text preceded by its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The input ends before the value does, or the value is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadInput;

/// Reads values from the front of a slice.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], BadInput> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(BadInput)?;
        self.0 = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, BadInput> {
        let (first, rest) = self.0.split_first().ok_or(BadInput)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A big-endian integer of 8 bytes.
    pub fn u64_be(&mut self) -> Result<u64, BadInput> {
        let (taken, rest) = self.0.split_first_chunk::<8>().ok_or(BadInput)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*taken))
    }

    /// An unsigned LEB128 integer.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, BadInput> {
        // Most integers are this short.
        match self.0 {
            [first, rest @ ..] if *first < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*first))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*first & 0x7f) | u64::from(*second) << 7)
            }
            _ => self.long_uvarint(),
        }
    }

    fn long_uvarint(&mut self) -> Result<u64, BadInput> {
        let mut rest = self.0.iter();
        let value = leb128::read(|| rest.next().copied().ok_or(BadInput))?.ok_or(BadInput)?;
        self.0 = rest.as_slice();
        Ok(value)
    }

    /// A zig-zag LEB128 integer.
    #[inline]
    pub fn varint(&mut self) -> Result<i64, BadInput> {
        self.uvarint().map(leb128::unzigzag)
    }

    /// A length, and that many bytes.
    pub fn string(&mut self) -> Result<&'a [u8], BadInput> {
        let length = usize::try_from(self.uvarint()?).map_err(|_| BadInput)?;
        self.bytes(length)
    }

    /// A count of items that take at least `bytes_each` bytes each. It is refused if there cannot be that
    /// many, so that a damaged count never causes a large allocation.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, BadInput> {
        let count = usize::try_from(self.uvarint()?).map_err(|_| BadInput)?;
        if count > self.0.len() / bytes_each { Err(BadInput) } else { Ok(count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_survive_a_round_trip() {
        for value in [0, 1, -1, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut input = Input(&bytes);
            assert_eq!(input.varint(), Ok(value));
            assert!(input.is_empty());
            assert_eq!(Input(&bytes[..bytes.len() - 1]).varint(), Err(BadInput));
        }
        assert_eq!(Input(&[0xff; 10]).uvarint(), Err(BadInput));
    }

    #[test]
    fn an_impossible_count_is_refused() {
        let mut bytes = Vec::new();
        put_uvarint(&mut bytes, 1 << 50);
        bytes.extend([0; 16]);
        assert_eq!(Input(&bytes).count(8), Err(BadInput));
    }
}
