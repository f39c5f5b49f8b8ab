//! A body that arrives in chunks of any size.
//!
//! It takes about as many bytes as have arrived: a buffer that doubled would take up to three times as many while it grows, which
//! nobody has accounted for.

use bytes::Bytes;

/// The largest piece, unless the length was stated.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// The smallest.
const PIECE_BYTES_MIN: usize = 64 << 10;

/// What has arrived of a body.
#[derive(Debug, Default)]
pub struct BodyPieces {
    /// The first chunk, for as long as it is the only one. Most pages arrive in one, which needs no copy.
    first: Bytes,
    pieces: Vec<Vec<u8>>,
    bytes: usize,
    /// How many bytes will come, if that was stated and is reserved for them.
    stated: Option<usize>,
}

impl BodyPieces {
    /// Nothing yet, of as many bytes as the sender states.
    pub fn new(stated: Option<usize>) -> Self {
        BodyPieces { stated, ..BodyPieces::default() }
    }

    /// How many bytes have arrived.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if self.bytes == 0 {
            self.bytes = chunk.len();
            self.first = chunk;
            return;
        }
        let first = std::mem::take(&mut self.first);
        self.copy(&first, self.bytes - first.len() + chunk.len());
        self.copy(&chunk, 0);
        self.bytes += chunk.len();
    }

    /// Copies a chunk to the last piece and, as far as there is no room in it, to new ones. `more` bytes are known to follow.
    fn copy(&mut self, mut chunk: &[u8], more: usize) {
        while !chunk.is_empty() {
            let room = self.pieces.last().map_or(0, |piece| piece.capacity() - piece.len());
            if room == 0 {
                let so_far: usize = self.pieces.iter().map(Vec::len).sum();
                let wanted = match self.stated.filter(|_| self.pieces.is_empty()) {
                    Some(stated) => stated.max(chunk.len()),
                    None => so_far.max(chunk.len() + more).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX),
                };
                self.pieces.push(Vec::with_capacity(wanted));
                continue;
            }
            let (now, rest) = chunk.split_at(room.min(chunk.len()));
            if let Some(piece) = self.pieces.last_mut() {
                piece.extend_from_slice(now);
            }
            chunk = rest;
        }
    }

    /// The whole body. Every piece is freed once it is copied.
    pub fn joined(mut self) -> Bytes {
        match self.pieces.len() {
            0 => self.first,
            1 => self.pieces.remove(0).into(),
            _ => {
                let mut whole = Vec::with_capacity(self.bytes);
                self.pieces.into_iter().for_each(|piece| whole.extend_from_slice(&piece));
                whole.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_its_chunks_were_and_takes_no_more_than_that() {
        let text: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
        for chunk_bytes in [1, 7, 4_096, 70_000, 1 << 20, 5_000_000] {
            // Small chunks of a smaller body: it is about the borders.
            let text = &text[..text.len().min(chunk_bytes * 30_000)];
            for stated in [None, Some(text.len())] {
                let mut body = BodyPieces::new(stated);
                for chunk in text.chunks(chunk_bytes) {
                    body.push(Bytes::copy_from_slice(chunk));
                    let taken: usize = body.pieces.iter().map(Vec::capacity).sum();
                    let reserved = stated.unwrap_or(body.bytes() + PIECE_BYTES_MAX);
                    assert!(taken <= reserved, "{taken} bytes for {}", body.bytes());
                }
                assert_eq!(body.bytes(), text.len());
                assert!(body.joined() == text, "{chunk_bytes}");
            }
        }
        assert!(BodyPieces::new(None).joined().is_empty());
    }

    #[test]
    fn the_only_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![7; 100_000]);
        let mut body = BodyPieces::new(Some(100_000));
        body.push(chunk.clone());
        assert_eq!(body.joined().as_ptr(), chunk.as_ptr());
    }
}
