//! Zstandard frames with a bound on what they unpack to: what VictoriaMetrics' agents send first.

use std::io::Read;

use ferula_storage::{Lease, OutOfMemory};

/// A frame may unpack to at most this many bytes, as a snappy block may.
pub const DECODED_BYTES_MAX: usize = crate::snappy::DECODED_BYTES_MAX;

/// Memory is asked for in steps of at least this.
const STEP_BYTES_MIN: usize = 64 << 10;

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZstdError {
    /// Not a zstd frame.
    #[error("zstd: corrupt input")]
    Corrupt,
    /// Unpacks to more than is accepted.
    #[error("zstd: decoded length exceeds the limit of {DECODED_BYTES_MAX} bytes")]
    TooLarge,
    /// There is no memory for what it unpacks to.
    #[error("unpacking would use too much memory: {0}")]
    NoRoom(#[from] OutOfMemory),
}

/// Unpacks a frame. Memory is taken as bytes come out, whatever the frame states, and the window is bounded too.
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
    fn frames_come_back_within_the_bound() {
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
