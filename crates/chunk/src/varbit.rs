//! Integers in a number of bits that depends on their size; histograms and start timestamps use them.
//!
//! ```text
//! prefix       bits   signed range (asymmetric: one more above than below)
//! 0               0   0
//! 10              3   -3 … 4
//! 110             6   -31 … 32
//! 1110            9   -255 … 256
//! 11110          12   -2047 … 2048
//! 111110         18   -131071 … 131072
//! 1111110        25   -16777215 … 16777216
//! 11111110       56   -(2^55 - 1) … 2^55
//! 11111111       64   everything
//! ```
//! Unsigned numbers use the same prefixes and the whole width.

use crate::bits::{BitAccumulator, BitReader, BitSink, Corrupt, low_mask};

/// Bits after a prefix of that many ones.
const WIDTHS: [u8; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Whether `value` fits `bits` bits in the asymmetric sense: −(2^(bits−1)−1) … 2^(bits−1).
#[inline]
pub(crate) fn fits(value: i64, bits: u8) -> bool {
    let high = 1i64 << (bits - 1);
    -(high - 1) <= value && value <= high
}

/// Restores a number that [`fits`] `bits` bits from its lowest bits.
#[inline]
pub(crate) fn extend(raw: u64, bits: u8) -> i64 {
    if raw > 1 << (bits - 1) { raw.wrapping_sub(1 << bits) as i64 } else { raw as i64 }
}

/// Appends a signed number.
pub(crate) fn put_signed<S: BitSink>(out: &mut BitAccumulator, sink: &mut S, value: i64) {
    let class = match value {
        0 => 0,
        v => (1..8).find(|class| fits(v, WIDTHS[*class])).unwrap_or(8),
    };
    put_class(out, sink, class, value as u64);
}

/// Appends an unsigned number.
pub(crate) fn put_unsigned<S: BitSink>(out: &mut BitAccumulator, sink: &mut S, value: u64) {
    let class = (0..8).find(|class| value & !low_mask(WIDTHS[*class]) == 0).unwrap_or(8);
    put_class(out, sink, class, value);
}

fn put_class<S: BitSink>(out: &mut BitAccumulator, sink: &mut S, class: usize, value: u64) {
    // The widest prefix has no closing zero.
    let (prefix, prefix_bits) =
        if class == 8 { (0xff, 8) } else { ((1 << (class + 1)) - 2, class as u8 + 1) };
    out.put(sink, prefix, prefix_bits);
    out.put_wide(sink, value, WIDTHS[class]);
}

/// Reads a signed number.
#[inline]
pub(crate) fn read_signed(from: &mut BitReader<'_>) -> Result<i64, Corrupt> {
    match from.read_ones(8)? {
        0 => Ok(0),
        8 => Ok(from.read(64)? as i64),
        class => {
            let bits = WIDTHS[usize::from(class)];
            Ok(extend(from.read(bits)?, bits))
        }
    }
}

/// Reads an unsigned number.
#[inline]
pub(crate) fn read_unsigned(from: &mut BitReader<'_>) -> Result<u64, Corrupt> {
    let class = from.read_ones(8)?;
    from.read(WIDTHS[usize::from(class)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sized() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0u32..64).prop_map(|(v, shift)| v >> shift)
    }

    fn bytes_of(put: impl FnOnce(&mut BitAccumulator, &mut Vec<u8>)) -> (Vec<u8>, usize) {
        let (mut bits, mut bytes) = (BitAccumulator::new(), Vec::new());
        put(&mut bits, &mut bytes);
        let (tail, tail_bytes) = bits.tail();
        bytes.extend_from_slice(&tail[..tail_bytes]);
        (bytes, bits.byte_len())
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec(sized(), 1..50)) {
            let (bytes, _) = bytes_of(|out, sink| for v in &values {
                put_signed(out, sink, *v);
                put_unsigned(out, sink, *v as u64);
            });
            let mut reader = BitReader::new(&bytes, 0);
            for v in &values {
                prop_assert_eq!(read_signed(&mut reader), Ok(*v));
                prop_assert_eq!(read_unsigned(&mut reader), Ok(*v as u64));
            }
        }
    }

    #[test]
    fn ranges_are_asymmetric() {
        for (value, bits) in [(0, 1), (4, 5), (-3, 5), (5, 9), (-4, 9), (32, 9), (33, 13), (-32, 13)] {
            let (bytes, _) = bytes_of(|out, sink| put_signed(out, sink, value));
            assert_eq!(bytes.len(), usize::div_ceil(bits, 8), "{value}");
        }
        for edge in [1 << 55, (1 << 55) + 1, -(1 << 55) + 1, -(1 << 55), i64::MIN, i64::MAX] {
            let (bytes, _) = bytes_of(|out, sink| put_signed(out, sink, edge));
            assert_eq!(read_signed(&mut BitReader::new(&bytes, 0)), Ok(edge));
        }
    }
}
