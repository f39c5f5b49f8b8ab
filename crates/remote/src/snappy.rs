//! Snappy blocks with a bound on what they unpack to.

/// A block may unpack to at most this many bytes, as in Prometheus.
pub const DECODED_BYTES_MAX: usize = 32 << 20;

/// Why a block was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// Not a snappy block. The text is that of Go's library.
    #[error("snappy: corrupt input")]
    Corrupt,
    /// States that it unpacks to more than is accepted.
    #[error("snappy: decoded length {0} exceeds the limit of {DECODED_BYTES_MAX} bytes")]
    TooLarge(usize),
}

/// What a block unpacks to, in bytes, once its claim has been found possible.
pub fn decoded_bytes(block: &[u8]) -> Result<usize, SnappyError> {
    let stated = snap::raw::decompress_len(block).map_err(|_| SnappyError::Corrupt)?;
    if stated > DECODED_BYTES_MAX {
        return Err(SnappyError::TooLarge(stated));
    }
    // The best that snappy can do is 64 bytes out of 3; a claim beyond that is a lie and gets no memory.
    if stated > block.len().saturating_mul(32) {
        return Err(SnappyError::Corrupt);
    }
    Ok(stated)
}

/// Unpacks a block. Its stated length is checked before memory is taken.
pub fn decode(block: &[u8]) -> Result<Vec<u8>, SnappyError> {
    decoded_bytes(block)?;
    snap::raw::Decoder::new().decompress_vec(block).map_err(|_| SnappyError::Corrupt)
}

/// Packs bytes as one block.
///
/// # Panics
/// If there are more than 4 GiB.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("below the format's limit of 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_lies_about_the_length_get_no_memory() {
        let zeros = vec![0u8; 1 << 20];
        assert_eq!(decode(&encode(&zeros)), Ok(zeros));
        assert_eq!(decode(&encode(b"")), Ok(Vec::new()));
        assert_eq!(decode(b""), Err(SnappyError::Corrupt));
        assert_eq!(decode(b"xx"), Err(SnappyError::Corrupt));
        // 33 MiB, then 31 MiB, stated by blocks of a few bytes.
        assert_eq!(decode(&[0x80, 0x80, 0xc0, 0x10, 0]), Err(SnappyError::TooLarge(33 << 20)));
        assert_eq!(decode(&[0x80, 0x80, 0xc0, 0x0f, 0]), Err(SnappyError::Corrupt));
    }
}
