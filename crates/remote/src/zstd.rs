//! Zstandard frames with a bound on what they unpack to: what VictoriaMetrics' agents send first.

use std::io::Read;

/// A frame may unpack to at most this many bytes, as a snappy block may.
pub const DECODED_BYTES_MAX: usize = crate::snappy::DECODED_BYTES_MAX;

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZstdError {
    /// Not a zstd frame.
    #[error("zstd: corrupt input")]
    Corrupt,
    /// Unpacks to more than is accepted.
    #[error("zstd: decoded length exceeds the limit of {DECODED_BYTES_MAX} bytes")]
    TooLarge,
}

/// Unpacks a frame. Memory is taken as bytes come out, whatever the frame states, and the window is bounded too.
pub fn decode(frame: &[u8]) -> Result<Vec<u8>, ZstdError> {
    const WINDOW_LOG_MAX: u32 = 27;
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(|_| ZstdError::Corrupt)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| ZstdError::Corrupt)?;
    let mut bytes = Vec::new();
    let read = decoder.take(DECODED_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|_| ZstdError::Corrupt)?;
    if bytes.len() > DECODED_BYTES_MAX { Err(ZstdError::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_within_the_bound() {
        let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("memory is enough");
        let zeros = vec![0u8; DECODED_BYTES_MAX];
        assert_eq!(decode(&pack(b"some")), Ok(b"some".to_vec()));
        assert_eq!(decode(&pack(&zeros)).map(|bytes| bytes.len()), Ok(DECODED_BYTES_MAX));
        assert_eq!(decode(&pack(&[zeros, vec![0]].concat())), Err(ZstdError::TooLarge));
        assert_eq!(decode(b"xx"), Err(ZstdError::Corrupt));
        let cut = pack(b"some more");
        assert_eq!(decode(&cut[..cut.len() - 1]), Err(ZstdError::Corrupt));
    }
}
