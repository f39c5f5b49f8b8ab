//! Zstandard frames with a limit on their decompressed size. VictoriaMetrics' agents try this encoding first.

use std::io::Read;

use ferula_storage::{Lease, OutOfMemory};

/// Maximum decompressed size of a frame, the same as for a snappy block.
pub const DECODED_BYTES_MAX: usize = crate::snappy::DECODED_BYTES_MAX;

/// Minimum step in which memory is reserved.
const STEP_BYTES_MIN: usize = 64 << 10;

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZstdError {
    /// Not a zstd frame.
    #[error("zstd: corrupt input")]
    Corrupt,
    /// The decompressed size exceeds the limit.
    #[error("zstd: decoded length exceeds the limit of {DECODED_BYTES_MAX} bytes")]
    TooLarge,
    /// Not enough memory for the decompressed data.
    #[error("decompressing would use too much memory: {0}")]
    NoRoom(#[from] OutOfMemory),
}

/// Decompresses a frame. Memory grows with the output, whatever size the frame states, and the window is
/// bounded too.
pub fn decode(frame: &[u8], memory: &Lease) -> Result<Vec<u8>, ZstdError> {
    const WINDOW_LOG_MAX: u32 = 27;
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(|_| ZstdError::Corrupt)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| ZstdError::Corrupt)?;
    let mut bytes = Vec::new();
    loop {
        // The vector doubles when it is full.
        let room = bytes.len().clamp(STEP_BYTES_MIN, DECODED_BYTES_MAX);
        memory.grow(room)?;
        let read = decoder.by_ref().take(room as u64).read_to_end(&mut bytes);
        let read = read.map_err(|_| ZstdError::Corrupt)?;
        if bytes.len() > DECODED_BYTES_MAX {
            return Err(ZstdError::TooLarge);
        }
        if read < room {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use ferula_storage::MemoryContract;

    use super::*;

    #[test]
    fn frames_survive_a_round_trip_within_the_limit() {
        let memory = MemoryContract::unlimited().lease();
        let decode = |frame: &[u8]| decode(frame, &memory);
        let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("memory is enough");
        let zeros = vec![0u8; DECODED_BYTES_MAX];
        assert_eq!(decode(&pack(b"some")), Ok(b"some".to_vec()));
        assert_eq!(decode(&pack(&zeros)).map(|bytes| bytes.len()), Ok(DECODED_BYTES_MAX));
        assert_eq!(decode(&pack(&[zeros.clone(), vec![0]].concat())), Err(ZstdError::TooLarge));
        assert_eq!(decode(b"xx"), Err(ZstdError::Corrupt));
        let cut = pack(b"some more");
        assert_eq!(decode(&cut[..cut.len() - 1]), Err(ZstdError::Corrupt));
        let scarce = MemoryContract::new(1 << 20);
        let refused = super::decode(&pack(&zeros), &scarce.lease());
        assert!(matches!(refused, Err(ZstdError::NoRoom(_))), "32 MiB come out of a few bytes");
        assert_eq!(scarce.used(), 0);
    }
}
