//! Snappy blocks with a limit on their decompressed size.

/// Maximum decompressed size of a block, as in Prometheus.
pub const DECODED_BYTES_MAX: usize = 32 << 20;

/// Why a block was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// Not a snappy block. The text is that of Go's library.
    #[error("snappy: corrupt input")]
    Corrupt,
    /// The stated decompressed size exceeds the limit.
    #[error("snappy: decoded length {0} exceeds the limit of {DECODED_BYTES_MAX} bytes")]
    TooLarge(usize),
}

/// The decompressed size of a block in bytes, once it has been checked for plausibility.
pub fn decoded_bytes(block: &[u8]) -> Result<usize, SnappyError> {
    let stated = snap::raw::decompress_len(block).map_err(|_| SnappyError::Corrupt)?;
    if stated > DECODED_BYTES_MAX {
        return Err(SnappyError::TooLarge(stated));
    }
    possible_bytes(block)
}

/// [`decoded_bytes`] without the bound, for callers with a bound of their own.
pub fn possible_bytes(block: &[u8]) -> Result<usize, SnappyError> {
    let stated = snap::raw::decompress_len(block).map_err(|_| SnappyError::Corrupt)?;
    // Snappy expands 3 bytes to at most 64. A block that claims more is corrupt, and no memory is allocated for it.
    if stated > block.len().saturating_mul(32) {
        return Err(SnappyError::Corrupt);
    }
    Ok(stated)
}

/// Decompresses a block. Its stated size is checked before memory is allocated.
pub fn decode(block: &[u8]) -> Result<Vec<u8>, SnappyError> {
    decoded_bytes(block)?;
    decode_unbounded(block)
}

/// Unpacks a block of which the caller has asked for [`possible_bytes`].
pub fn decode_unbounded(block: &[u8]) -> Result<Vec<u8>, SnappyError> {
    snap::raw::Decoder::new().decompress_vec(block).map_err(|_| SnappyError::Corrupt)
}

/// Unpacks a block of which the caller has asked for [`decoded_bytes`], and returns the bytes. They are in `buffer`, which only grows:
/// what an earlier block has left in it is overwritten.
pub fn decode_into<'b>(block: &[u8], bytes: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], SnappyError> {
    if buffer.len() < bytes {
        buffer.resize(bytes, 0);
    }
    let decoded = snap::raw::Decoder::new().decompress(block, buffer).map_err(|_| SnappyError::Corrupt)?;
    Ok(&buffer[..decoded])
}

/// Compresses bytes into one block.
///
/// # Panics
/// There are more than 4 GiB.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("below the format's limit of 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_survive_a_round_trip_and_false_lengths_get_no_memory() {
        let zeros = vec![0u8; 1 << 20];
        assert_eq!(decode(&encode(&zeros)), Ok(zeros));
        assert_eq!(decode(&encode(b"")), Ok(Vec::new()));
        let mut buffer = Vec::new();
        for plain in [&[7u8; 1000][..], b"", b"shorter", &[9; 3000]] {
            let block = encode(plain);
            let bytes = decoded_bytes(&block).expect("plausible");
            assert_eq!(decode_into(&block, bytes, &mut buffer), Ok(plain));
        }
        assert_eq!(decode(b""), Err(SnappyError::Corrupt));
        assert_eq!(decode(b"xx"), Err(SnappyError::Corrupt));
        // Blocks of a few bytes that claim 33 MiB, then 31 MiB.
        assert_eq!(decode(&[0x80, 0x80, 0xc0, 0x10, 0]), Err(SnappyError::TooLarge(33 << 20)));
        assert_eq!(decode(&[0x80, 0x80, 0xc0, 0x0f, 0]), Err(SnappyError::Corrupt));
    }
}
