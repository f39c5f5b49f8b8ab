//! LEB128, as Go's `binary.PutUvarint` and `PutVarint` write it: seven bits a byte, the lowest first, the highest bit of
//! a byte is set when another follows. Signed numbers are zig-zag first: 0, -1, 1, -2 become 0, 1, 2, 3.
//!
//! Here: the numbers, byte by byte, wherever the bytes come from. Every reader and writer of files is built on it.

/// Passes the bytes of a number to `byte`.
#[inline]
pub fn put(mut value: u64, mut byte: impl FnMut(u8)) {
    while value >= 0x80 {
        byte(value as u8 | 0x80);
        value >>= 7;
    }
    byte(value as u8);
}

/// Reads a number; `None` when it has more than 64 bits.
///
/// # Errors
/// The error of `next` if it has no byte.
#[inline]
pub fn read<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<Option<u64>, E> {
    let mut value = 0;
    for group in 0..10 {
        let byte = next()?;
        // The tenth byte holds one bit only.
        if group == 9 && byte > 1 {
            return Ok(None);
        }
        value |= u64::from(byte & 0x7f) << (7 * group);
        if byte < 0x80 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A signed number as an unsigned one that is small when it is near 0.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse of [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// How many bytes [`put`] passes on.
pub const fn bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8]) -> Result<Option<u64>, ()> {
        let mut rest = bytes.iter();
        read(|| rest.next().copied().ok_or(()))
    }

    proptest! {
        #[test]
        fn numbers_come_back(value in (any::<u64>(), 0u32..64).prop_map(|(v, shift)| v >> shift)) {
            let mut out = Vec::new();
            put(value, |byte| out.push(byte));
            prop_assert_eq!(out.len(), bytes(value));
            prop_assert_eq!(read_all(&out), Ok(Some(value)));
            prop_assert_eq!(read_all(&out[..out.len() - 1]), Err(()));
            prop_assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
        }
    }

    #[test]
    fn the_bytes_are_those_of_go() {
        let written = |value| {
            let mut out = Vec::new();
            put(value, |byte| out.push(byte));
            out
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(300), [0xac, 2]);
        assert_eq!(written(u64::MAX).len(), 10);
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
        assert_eq!(read_all(&[0xff; 11]), Ok(None));
        assert_eq!(read_all(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), Ok(None));
    }
}
