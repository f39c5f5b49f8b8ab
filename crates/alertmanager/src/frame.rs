//! Frames: the encoding of a sequence of records in our own files and in messages between members of a pair.
//!
//! A frame is a length and a checksum (CRC-32), four bytes each in little-endian order, and the bytes. If a frame is damaged,
//! reading continues at the next intact one.

/// Length and checksum.
pub const HEADER_BYTES: usize = 8;
/// A longer frame is damage.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// How many bytes are checksummed at most in the search for the next intact frame.
const SEARCH_BYTES_MAX: usize = 256 << 20;

/// Appends a frame.
pub fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    push_with(out, |out| out.extend_from_slice(bytes));
}

/// Bytes that are not frames, and where they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    pub at: usize,
    pub bytes: usize,
}

/// Appends a frame whose content `write` appends.
pub fn push_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let content = &out[start + HEADER_BYTES..];
    let (length, crc) = (u32::try_from(content.len()).unwrap_or(u32::MAX), crc32fast::hash(content));
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// The frames of a file, and the damage in order.
pub fn read(bytes: &[u8]) -> (Vec<&[u8]>, Vec<Damage>) {
    let (mut frames, mut damages, mut at) = (Vec::new(), Vec::new(), 0);
    let mut searchable = SEARCH_BYTES_MAX;
    while at < bytes.len() {
        if let Some(frame) = frame_at(bytes, at) {
            frames.push(frame);
            at += HEADER_BYTES + frame.len();
            continue;
        }
        let next = (at + 1..bytes.len()).find(|next| {
            let Some(length) = length_at(bytes, *next) else { return false };
            // A sequence of zeros looks like empty frames.
            if length == 0 || length > searchable {
                return false;
            }
            searchable -= length;
            frame_at(bytes, *next).is_some()
        });
        let end = next.unwrap_or(bytes.len());
        damages.push(Damage { at, bytes: end - at });
        at = end;
    }
    (frames, damages)
}

/// The length of a frame that may begin here, if it would fit.
fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let header = bytes.get(at..at + HEADER_BYTES)?;
    let length = usize::try_from(u32::from_le_bytes([header[0], header[1], header[2], header[3]])).ok()?;
    (length <= FRAME_BYTES_MAX && length <= bytes.len() - at - HEADER_BYTES).then_some(length)
}

fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = length_at(bytes, at)?;
    let checksum = bytes.get(at + 4..at + HEADER_BYTES)?;
    let content = &bytes[at + HEADER_BYTES..at + HEADER_BYTES + length];
    let expected = u32::from_le_bytes([checksum[0], checksum[1], checksum[2], checksum[3]]);
    (crc32fast::hash(content) == expected).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_costs_only_the_frame_that_it_is_in() {
        let contents: [&[u8]; 4] = [b"one", b"", b"three, which is longer", b"4"];
        let mut whole = Vec::new();
        contents.iter().for_each(|content| push(&mut whole, content));
        assert_eq!(read(&whole), (contents.to_vec(), Vec::new()));
        for at in 0..whole.len() {
            for mask in [0x01, 0x80] {
                let mut flipped = whole.clone();
                flipped[at] ^= mask;
                let (frames, damages) = read(&flipped);
                assert_eq!(damages.len(), 1, "{at}");
                // An empty frame only counts if nothing before it is damaged.
                assert!(frames.len() >= 2, "{at}: {frames:?}");
                assert!(frames.iter().all(|frame| contents.contains(frame)), "{at}: {frames:?}");
            }
        }
        for cut in 0..whole.len() {
            let (frames, damages) = read(&whole[..cut]);
            let bytes: usize = frames.iter().map(|frame| frame.len() + HEADER_BYTES).sum();
            assert_eq!(bytes + damages.iter().map(|damage| damage.bytes).sum::<usize>(), cut);
        }
        assert_eq!(read(&[0xff; 100]).1, [Damage { at: 0, bytes: 100 }]);
    }
}
