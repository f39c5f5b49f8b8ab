//! The bytes of an open chunk, in blocks of 64 that are linked backwards.
//!
//! All open chunks grow at the same time. If each were contiguous, growing it would copy it, and the smaller
//! allocations left behind would never be reused; blocks of equal size are reused by the next chunk.

use ferula_chunk::BitSink;

const PIECE_BYTES: usize = 64;

/// Bytes that grow at the end, four at a time.
#[derive(Debug, Default)]
pub struct Payload {
    last: Option<Box<PayloadPiece>>,
    /// Number of bytes used in the last block.
    used: u8,
}

#[derive(Debug)]
struct PayloadPiece {
    bytes: [u8; PIECE_BYTES],
    before: Option<Box<PayloadPiece>>,
}

impl BitSink for Payload {
    #[inline]
    fn put32(&mut self, word: u32) {
        if self.last.is_none() || usize::from(self.used) == PIECE_BYTES {
            let before = self.last.take();
            self.last = Some(Box::new(PayloadPiece { bytes: [0; PIECE_BYTES], before }));
            self.used = 0;
        }
        if let Some(piece) = &mut self.last {
            let at = usize::from(self.used);
            piece.bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            self.used += 4;
        }
    }
}

impl Payload {
    /// The blocks in order.
    pub fn pieces(&self) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        let (mut next, mut used) = (self.last.as_deref(), usize::from(self.used));
        while let Some(piece) = next {
            pieces.push(&piece.bytes[..used]);
            (next, used) = (piece.before.as_deref(), PIECE_BYTES);
        }
        pieces.reverse();
        pieces
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        // Taken apart one by one: dropping the first block would drop the others recursively.
        let mut next = self.last.take();
        while let Some(mut piece) = next {
            next = piece.before.take();
        }
        self.used = 0;
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_contain_what_was_appended() {
        let (mut payload, mut plain) = (Payload::default(), Vec::new());
        assert!(payload.pieces().is_empty());
        for word in 0..200u32 {
            payload.put32(word * 7);
            plain.put32(word * 7);
            assert_eq!(payload.pieces().concat(), plain);
        }
        payload.clear();
        assert!(payload.pieces().is_empty());
    }
}
