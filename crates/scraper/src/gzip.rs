//! Decompresses a whole page at once, which is about three times as fast as doing it piece by piece.

use std::io::Read;

/// Why a page could not be decompressed. The texts are Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    /// The data is not gzip.
    #[error("gzip: invalid header")]
    Header,
    /// The checksum or length at the end does not match.
    #[error("gzip: invalid checksum")]
    Checksum,
    /// The data is truncated.
    #[error("unexpected EOF")]
    Truncated,
    /// There is no data.
    #[error("EOF")]
    Empty,
    /// The compressed data is invalid.
    #[error("flate: corrupt input")]
    Corrupt,
    /// The page is larger than allowed.
    #[error("body size limit exceeded")]
    TooLarge,
    /// The page does not fit into its current share of memory.
    #[error("no room for the page")]
    NoRoom,
}

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

/// Decompresses a page of fewer than `most` bytes with a single member, at once and with bounded work. Returns `None`
/// for all others, including broken ones.
pub fn inflate_small(gzip: &[u8], most: usize) -> Option<Vec<u8>> {
    let expected = expected_bytes(gzip);
    if gzip.len() > most || expected >= most {
        return None;
    }
    whole(gzip, expected)
}

/// The page, if it is a single member of exactly `expected` bytes.
fn whole(gzip: &[u8], expected: usize) -> Option<Vec<u8>> {
    if gzip.len() < GZIP_BYTES_MIN {
        return None;
    }
    let mut plain = vec![0; expected];
    let done = libdeflater::Decompressor::new().gzip_decompress(gzip, &mut plain);
    // A page with several members ends with the length of the last one, and only the first was decompressed.
    done.is_ok_and(|bytes| bytes == expected && gzip_members_end(gzip, bytes)).then_some(plain)
}

/// Decompresses a page that must be smaller than `most` bytes and must fit into `room`.
pub fn inflate(gzip: &[u8], room: usize, most: usize) -> Result<Vec<u8>, GzipError> {
    // Go reads the whole header before it looks at it.
    match gzip {
        [] => return Err(GzipError::Empty),
        short if short.len() < HEADER_BYTES => return Err(GzipError::Truncated),
        [0x1f, 0x8b, ..] => {}
        _ => return Err(GzipError::Header),
    }
    let expected = expected_bytes(gzip);
    if expected >= most {
        return Err(GzipError::TooLarge);
    }
    if expected > room {
        return Err(GzipError::NoRoom);
    }
    match whole(gzip, expected) {
        Some(plain) => Ok(plain),
        None => stream(gzip, room, most),
    }
}

/// Whether the data ends after `plain_bytes` bytes: nothing that looks like a second member follows. Doubtful cases are
/// left to [`stream`].
fn gzip_members_end(gzip: &[u8], plain_bytes: usize) -> bool {
    // A second member would begin with the magic number and the only defined method.
    plain_bytes > 0 && memchr::memmem::find_iter(&gzip[2..], &[0x1f, 0x8b, 0x08]).next().is_none()
}

/// The slow way: supports any number of members, and reports errors.
fn stream(gzip: &[u8], room: usize, most: usize) -> Result<Vec<u8>, GzipError> {
    let mut plain = Vec::new();
    // One byte more than `room` shows that there is too little.
    let limit = u64::try_from(most.min(room.saturating_add(1))).unwrap_or(u64::MAX);
    match flate2::read::MultiGzDecoder::new(gzip).take(limit).read_to_end(&mut plain) {
        Ok(_) if plain.len() >= most => Err(GzipError::TooLarge),
        Ok(_) if plain.len() > room => Err(GzipError::NoRoom),
        Ok(_) => Ok(plain),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => GzipError::Truncated,
            std::io::ErrorKind::InvalidInput if error.to_string().contains("header") => GzipError::Header,
            _ if error.to_string().contains("checksum") => GzipError::Checksum,
            _ => GzipError::Corrupt,
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
        for plain in [&b""[..], b"up 1\n", &b"some_metric{label=\"value\"} 12345\n".repeat(3000)] {
            assert_eq!(inflate(&gzip(plain), usize::MAX, usize::MAX).as_deref(), Ok(plain));
            let twice = [gzip(plain), gzip(b"tail\n")].concat();
            assert_eq!(inflate(&twice, usize::MAX, usize::MAX), Ok([plain, b"tail\n"].concat()));
        }
    }

    #[test]
    fn the_limit_holds_whatever_size_the_page_claims() {
        let bomb = gzip(&vec![b'x'; 1 << 20]);
        assert_eq!(inflate(&bomb, usize::MAX, 1 << 20), Err(GzipError::TooLarge));
        assert_eq!(inflate(&bomb, 1 << 20, (1 << 20) + 1).map(|plain| plain.len()), Ok(1 << 20));
        let mut liar = bomb;
        let end = liar.len();
        liar[end - 4..].copy_from_slice(&7u32.to_le_bytes());
        assert_eq!(inflate(&liar, usize::MAX, 1 << 19), Err(GzipError::TooLarge));
        // It claims to be small, and must not become large on the path for small pages.
        assert_eq!(inflate_small(&liar, 64 << 10), None);
        assert_eq!(inflate(&liar, 1 << 19, usize::MAX), Err(GzipError::NoRoom));
        assert!(expected_bytes(&[0xff; 20]) <= 20 * RATIO_MAX);
    }

    #[test]
    fn kinds_of_damage_are_distinguished() {
        let whole = gzip(b"up 1\n");
        for (body, error) in [
            (&b""[..], GzipError::Empty),
            (b"up 1\n", GzipError::Truncated),
            (b"\x1f\x8b\x08", GzipError::Truncated),
            (b"up{job=\"a\"} 1\n", GzipError::Header),
        ] {
            assert_eq!(inflate(body, usize::MAX, usize::MAX), Err(error), "{}", body.escape_ascii());
        }
        assert_eq!(inflate(&whole[..whole.len() - 3], usize::MAX, usize::MAX), Err(GzipError::Truncated));
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x55;
            // Some header bytes have no meaning; the result must be either the page or an error.
            assert!(
                inflate(&broken, usize::MAX, usize::MAX).is_err_and(|e| e != GzipError::TooLarge)
                    || inflate(&broken, usize::MAX, 1000).as_deref() == Ok(b"up 1\n"),
                "byte {at}"
            );
        }
    }
}
