//! Decompresses a whole gzip page at once, which is about three times as fast as doing it piece by piece.

use std::cell::RefCell;
use std::io::Read;

use libdeflater::Decompressor;

use crate::page_buffers::{PageBuffer, PageBuffers};
use crate::unpack_error::UnpackError;

const HEADER_BYTES: usize = 10;
/// The smallest gzip file: the header, and eight bytes of trailer.
const GZIP_BYTES_MIN: usize = HEADER_BYTES + 8;
/// The highest compression ratio of deflate.
const RATIO_MAX: usize = 1032;

/// The page's claimed size, capped at what is possible because it comes from outside.
pub fn expected_bytes(gzip: &[u8]) -> usize {
    let stated = gzip.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    stated.min(gzip.len().saturating_mul(RATIO_MAX))
}

thread_local! {
    /// Made once for each thread: it has tables of 30 kB.
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Decompresses a page of fewer than `most` bytes with a single member, at once and with bounded work. Returns `None`
/// for all others, including broken ones.
pub fn inflate_small(gzip: &[u8], most: usize, buffers: &PageBuffers) -> Option<PageBuffer> {
    let expected = expected_bytes(gzip);
    if gzip.len() > most || expected >= most {
        return None;
    }
    let mut plain = buffers.take(expected);
    is_whole(gzip, plain.as_mut()).then_some(plain)
}

/// Decompresses the page to `plain`, if it is a single member of exactly this size.
fn is_whole(gzip: &[u8], plain: &mut [u8]) -> bool {
    if gzip.len() < GZIP_BYTES_MIN {
        return false;
    }
    let done = DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.gzip_decompress(gzip, plain));
    // A page with several members ends with the length of the last one, and only the first was decompressed.
    done.is_ok_and(|bytes| bytes == plain.len() && gzip_members_end(gzip, bytes))
}

/// Decompresses a page that must be smaller than `most` bytes and must fit into `room`.
pub fn inflate(gzip: &[u8], room: usize, most: usize) -> Result<Vec<u8>, UnpackError> {
    // Go reads the whole header before it looks at it.
    match gzip {
        [] => return Err(UnpackError::Empty),
        short if short.len() < HEADER_BYTES => return Err(UnpackError::Truncated),
        [0x1f, 0x8b, ..] => {}
        _ => return Err(UnpackError::Header),
    }
    let expected = expected_bytes(gzip);
    if expected >= most {
        return Err(UnpackError::TooLarge);
    }
    if expected > room {
        return Err(UnpackError::NoRoom);
    }
    let mut plain = vec![0; expected];
    if is_whole(gzip, &mut plain) { Ok(plain) } else { stream(gzip, room, most) }
}

/// Whether the data ends after `plain_bytes` bytes: nothing that looks like a second member follows. Doubtful cases are
/// left to [`stream`].
fn gzip_members_end(gzip: &[u8], plain_bytes: usize) -> bool {
    // A second member would begin with the magic number and the only defined method.
    plain_bytes > 0 && memchr::memmem::find_iter(&gzip[2..], &[0x1f, 0x8b, 0x08]).next().is_none()
}

/// The slow way: supports any number of members, and reports errors.
fn stream(gzip: &[u8], room: usize, most: usize) -> Result<Vec<u8>, UnpackError> {
    let mut plain = Vec::new();
    // One byte more than `room` shows that there is too little.
    let limit = u64::try_from(most.min(room.saturating_add(1))).unwrap_or(u64::MAX);
    match flate2::read::MultiGzDecoder::new(gzip).take(limit).read_to_end(&mut plain) {
        Ok(_) if plain.len() >= most => Err(UnpackError::TooLarge),
        Ok(_) if plain.len() > room => Err(UnpackError::NoRoom),
        Ok(_) => Ok(plain),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => UnpackError::Truncated,
            std::io::ErrorKind::InvalidInput if error.to_string().contains("header") => UnpackError::Header,
            _ if error.to_string().contains("checksum") => UnpackError::Checksum,
            _ => UnpackError::Corrupt,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    #[test]
    fn pages_with_several_members_are_decompressed() {
        let buffers = PageBuffers::default();
        for plain in [
            &b""[..],
            &b"other 77\n".repeat(20_000),
            b"up 1\n",
            &b"some_metric{label=\"value\"} 12345\n".repeat(3000),
        ] {
            assert_eq!(inflate(&gzip(plain), usize::MAX, usize::MAX).as_deref(), Ok(plain));
            let twice = [gzip(plain), gzip(b"tail\n")].concat();
            assert_eq!(inflate(&twice, usize::MAX, usize::MAX), Ok([plain, b"tail\n"].concat()));
            // One after the other in the same buffer: nothing of an earlier page may be left.
            let small = inflate_small(&gzip(plain), 1 << 20, &buffers);
            assert_eq!(small.as_ref().map(AsRef::as_ref), Some(plain).filter(|plain| !plain.is_empty()));
            assert!(inflate_small(&twice, 1 << 20, &buffers).is_none(), "two members");
        }
    }

    #[test]
    fn the_limit_holds_whatever_size_the_page_claims() {
        let bomb = gzip(&vec![b'x'; 1 << 20]);
        assert_eq!(inflate(&bomb, usize::MAX, 1 << 20), Err(UnpackError::TooLarge));
        assert_eq!(inflate(&bomb, 1 << 20, (1 << 20) + 1).map(|plain| plain.len()), Ok(1 << 20));
        let mut liar = bomb;
        let end = liar.len();
        liar[end - 4..].copy_from_slice(&7u32.to_le_bytes());
        assert_eq!(inflate(&liar, usize::MAX, 1 << 19), Err(UnpackError::TooLarge));
        // It claims to be small, and must not become large on the path for small pages.
        assert!(inflate_small(&liar, 64 << 10, &PageBuffers::default()).is_none());
        assert_eq!(inflate(&liar, 1 << 19, usize::MAX), Err(UnpackError::NoRoom));
        assert!(expected_bytes(&[0xff; 20]) <= 20 * RATIO_MAX);
    }

    #[test]
    fn kinds_of_damage_are_distinguished() {
        let whole = gzip(b"up 1\n");
        for (body, error) in [
            (&b""[..], UnpackError::Empty),
            (b"up 1\n", UnpackError::Truncated),
            (b"\x1f\x8b\x08", UnpackError::Truncated),
            (b"up{job=\"a\"} 1\n", UnpackError::Header),
        ] {
            assert_eq!(inflate(body, usize::MAX, usize::MAX), Err(error), "{}", body.escape_ascii());
        }
        assert_eq!(inflate(&whole[..whole.len() - 3], usize::MAX, usize::MAX), Err(UnpackError::Truncated));
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x55;
            // Some header bytes have no meaning; the result must be either the page or an error.
            assert!(
                inflate(&broken, usize::MAX, usize::MAX).is_err_and(|e| e != UnpackError::TooLarge)
                    || inflate(&broken, usize::MAX, 1000).as_deref() == Ok(b"up 1\n"),
                "byte {at}"
            );
        }
    }
}
