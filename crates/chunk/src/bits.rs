//! Reading and writing bits, most significant first.
//!
//! Writing: [`BitAccumulator`] keeps fewer than 32 bits between calls and hands whole 32-bit words to a
//! [`BitSink`], so that an open chunk can live in a `Vec` or in a chain of small blocks.
//! Reading: [`BitReader`] loads eight unaligned bytes at a time and knows where the input ends.

use crate::leb128;

/// Bytes that are not what a chunk must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk data at byte {byte}: {what}")]
pub struct Corrupt {
    /// Offset in the chunk's data, header included.
    pub byte: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Takes the bits of a chunk, 32 at a time.
pub trait BitSink {
    /// Appends the four bytes of `word`, the most significant first.
    fn put32(&mut self, word: u32);
}

impl BitSink for Vec<u8> {
    #[inline]
    fn put32(&mut self, word: u32) {
        self.extend_from_slice(&word.to_be_bytes());
    }
}

/// The bits of a word that is not full yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct BitAccumulator {
    /// The lowest `pending` bits are not written yet; those above them are.
    bits: u64,
    /// Always below 32 between calls.
    pending: u8,
    /// Words written so far.
    words: u16,
}

impl BitAccumulator {
    /// An empty accumulator.
    pub const fn new() -> Self {
        BitAccumulator { bits: 0, pending: 0, words: 0 }
    }

    /// Bits of the word that is not full yet, fewer than 32.
    pub fn pending(&self) -> u8 {
        self.pending
    }

    /// Bytes written so far, including the unfinished one.
    pub fn byte_len(&self) -> usize {
        usize::from(self.words) * 4 + usize::from(self.pending).div_ceil(8)
    }

    /// Appends the lowest `count` bits of `value`; `count` is at most 32 and the bits above them are 0.
    #[inline]
    pub fn put<S: BitSink>(&mut self, sink: &mut S, value: u64, count: u8) {
        debug_assert!(count <= 32 && value >> count == 0);
        self.bits = (self.bits << count) | value;
        self.pending += count;
        if self.pending >= 32 {
            self.pending -= 32;
            sink.put32((self.bits >> self.pending) as u32);
            self.words = self.words.wrapping_add(1);
        }
    }

    /// Appends the lowest `count` bits of `value`, up to 64; the bits above them are ignored.
    #[inline]
    pub fn put_wide<S: BitSink>(&mut self, sink: &mut S, value: u64, count: u8) {
        if count > 32 {
            self.put(sink, (value >> 32) & low_mask(count - 32), count - 32);
            self.put(sink, value & 0xffff_ffff, 32);
        } else {
            self.put(sink, value & low_mask(count), count);
        }
    }

    /// Appends Go's `PutUvarint` form: 7 bits per byte, the least significant group first.
    pub fn put_uvarint<S: BitSink>(&mut self, sink: &mut S, value: u64) {
        leb128::put(value, |byte| self.put(sink, u64::from(byte), 8));
    }

    /// Appends Go's `PutVarint` form: zig-zag, then as [`put_uvarint`](Self::put_uvarint).
    pub fn put_varint<S: BitSink>(&mut self, sink: &mut S, value: i64) {
        self.put_uvarint(sink, leb128::zigzag(value));
    }

    /// The bits that are not written yet, as bytes padded with zero bits, and the number of these bytes.
    pub fn tail(&self) -> ([u8; 4], usize) {
        let word = if self.pending == 0 { 0 } else { (self.bits << (32 - self.pending)) as u32 };
        (word.to_be_bytes(), usize::from(self.pending).div_ceil(8))
    }
}

/// Appends a whole chunk to `out`: its header, the bytes of the sink in pieces of any size, and the bits after them.
pub(crate) fn put_chunk<'a>(
    out: &mut Vec<u8>,
    header: &[u8],
    payload: impl IntoIterator<Item = &'a [u8]>,
    (tail, tail_bytes): ([u8; 4], usize),
) {
    out.extend_from_slice(header);
    for piece in payload {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&tail[..tail_bytes]);
}

/// A mask of the lowest `count` bits, `count` up to 64.
#[inline]
pub(crate) const fn low_mask(count: u8) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Reads bits from the data of a chunk.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    data: &'a [u8],
    /// Bits read so far, including the header's.
    at: usize,
    end: usize,
}

impl<'a> BitReader<'a> {
    /// A reader of what follows the first `header_bytes` of `data`.
    pub fn new(data: &'a [u8], header_bytes: usize) -> Self {
        BitReader { data, at: header_bytes * 8, end: data.len() * 8 }
    }

    /// An error at the place read last.
    pub fn corrupt(&self, what: &'static str) -> Corrupt {
        Corrupt { byte: self.at / 8, what }
    }

    /// Bits that are left.
    pub fn bits_left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// The 64 bits from `at` on, zeros after the end; at least 57 of them are from the data if it has them.
    #[inline]
    fn peek(&self) -> u64 {
        load(self.data, self.at)
    }

    /// The next `count` bits, up to 64.
    #[inline]
    pub fn read(&mut self, count: u8) -> Result<u64, Corrupt> {
        if self.bits_left() < usize::from(count) {
            return Err(self.corrupt("ends within a sample"));
        }
        if count > 57 {
            let high = self.read(count - 32)?;
            return Ok((high << 32) | self.read(32)?);
        }
        let bits = if count == 0 { 0 } else { self.peek() >> (64 - count) };
        self.at += usize::from(count);
        Ok(bits)
    }

    /// The next bit.
    #[inline]
    pub fn read_bit(&mut self) -> Result<bool, Corrupt> {
        Ok(self.read(1)? == 1)
    }

    /// How many 1 bits come next, at most `max` (below 57); they and the 0 after fewer than `max` are consumed.
    #[inline]
    pub fn read_ones(&mut self, max: u8) -> Result<u8, Corrupt> {
        let ones = (self.peek().leading_ones() as u8).min(max);
        let consumed = if ones == max { ones } else { ones + 1 };
        if self.bits_left() < usize::from(consumed) {
            return Err(self.corrupt("ends within a sample"));
        }
        self.at += usize::from(consumed);
        Ok(ones)
    }

    /// A number in Go's `Uvarint` form.
    pub fn read_uvarint(&mut self) -> Result<u64, Corrupt> {
        let value = leb128::read(|| self.read(8).map(|byte| byte as u8))?;
        value.ok_or_else(|| self.corrupt("number of more than 64 bits"))
    }

    /// A number in Go's `Varint` form.
    pub fn read_varint(&mut self) -> Result<i64, Corrupt> {
        self.read_uvarint().map(leb128::unzigzag)
    }

    /// Bits read so far, including the header's.
    pub fn position(&self) -> usize {
        self.at
    }
}

/// The 64 bits of `data` from bit `at` on, zeros after the end; at least 57 of them are from the data if it has them.
#[inline(always)]
pub(crate) fn load(data: &[u8], at: usize) -> u64 {
    let byte = at / 8;
    let word = match data.get(byte..byte.wrapping_add(8)) {
        Some(bytes) => u64::from_be_bytes(bytes.try_into().expect("the slice has 8 bytes")),
        None => load_end(data, byte),
    };
    word << (at % 8)
}

#[cold]
#[inline(never)]
fn load_end(data: &[u8], byte: usize) -> u64 {
    let mut padded = [0; 8];
    let rest = data.get(byte..).unwrap_or(&[]);
    padded[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back_in_order(pieces in prop::collection::vec((any::<u64>(), 1u8..=64), 0..200)) {
            let (mut bits, mut bytes) = (BitAccumulator::new(), Vec::new());
            for (value, count) in &pieces {
                bits.put_wide(&mut bytes, *value, *count);
            }
            let (tail, tail_bytes) = bits.tail();
            bytes.extend_from_slice(&tail[..tail_bytes]);
            prop_assert_eq!(bytes.len(), bits.byte_len());
            let mut reader = BitReader::new(&bytes, 0);
            for (value, count) in &pieces {
                prop_assert_eq!(reader.read(*count), Ok(value & low_mask(*count)));
            }
            prop_assert!(reader.bits_left() < 8);
            prop_assert!(reader.read(8).is_err());
        }

        #[test]
        fn varints_come_back(values in prop::collection::vec((any::<i64>(), any::<u64>()), 0..50)) {
            let (mut bits, mut bytes) = (BitAccumulator::new(), Vec::new());
            for (signed, unsigned) in &values {
                bits.put_varint(&mut bytes, *signed);
                bits.put_uvarint(&mut bytes, *unsigned);
            }
            let (tail, tail_bytes) = bits.tail();
            bytes.extend_from_slice(&tail[..tail_bytes]);
            let mut reader = BitReader::new(&bytes, 0);
            for (signed, unsigned) in &values {
                prop_assert_eq!(reader.read_varint(), Ok(*signed));
                prop_assert_eq!(reader.read_uvarint(), Ok(*unsigned));
            }
        }
    }

    #[test]
    fn a_run_of_ones_ends_at_its_bound_or_at_a_zero() {
        let data = [0b1110_1111, 0b1111_1111];
        let mut reader = BitReader::new(&data, 0);
        assert_eq!(reader.read_ones(8), Ok(3));
        assert_eq!(reader.read_ones(4), Ok(4));
        assert_eq!(reader.read_ones(9).map_err(|e| e.what), Err("ends within a sample"));
        assert_eq!(reader.read_ones(8), Ok(8));
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let data = [0xff; 12];
        assert!(BitReader::new(&data, 0).read_uvarint().is_err());
    }
}
