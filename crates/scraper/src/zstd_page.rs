//! Decompresses zstd pages, which are requested with `--scrape.ferula.zstd`.

use std::io::Read;

use crate::page_buffers::{PageBuffer, PageBuffers};
use crate::unpack_error::UnpackError;

/// Frames may refer back by 8 MiB, as RFC 8878 recommends: so much memory is needed beside the page.
const WINDOW_LOG_MAX: u32 = 23;

/// The page's claimed size; 0 if it claims none.
pub fn expected_bytes(packed: &[u8]) -> usize {
    let stated = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    stated.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Decompresses a page that claims fewer than `most` bytes and has no more, at once and with bounded work. Returns `None`
/// for all others, including broken ones.
pub fn unpack_small(packed: &[u8], most: usize, buffers: &PageBuffers) -> Option<PageBuffer> {
    let expected = expected_bytes(packed);
    if packed.len() > most || expected >= most || expected == 0 {
        return None;
    }
    let mut plain = buffers.take(expected);
    let done = zstd::bulk::decompress_to_buffer(packed, plain.as_mut());
    done.is_ok_and(|bytes| bytes == expected).then_some(plain)
}

/// Decompresses a page that must be smaller than `most` bytes and must fit into `room`.
pub fn unpack(packed: &[u8], room: usize, most: usize) -> Result<Vec<u8>, UnpackError> {
    let damaged = |error: std::io::Error| UnpackError::Zstd(error.to_string());
    if packed.is_empty() {
        return Err(UnpackError::Empty);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    let mut plain = Vec::new();
    // One byte more than `room` shows that there is too little.
    let limit = u64::try_from(most.min(room.saturating_add(1))).unwrap_or(u64::MAX);
    match decoder.take(limit).read_to_end(&mut plain) {
        Ok(_) if plain.len() >= most => Err(UnpackError::TooLarge),
        Ok(_) if plain.len() > room => Err(UnpackError::NoRoom),
        Ok(_) => Ok(plain),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(UnpackError::Truncated),
        Err(error) => Err(damaged(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(plain, 3).expect("memory can be written")
    }

    #[test]
    fn pages_of_any_number_of_frames_are_decompressed() {
        let buffers = PageBuffers::default();
        for plain in [&b"up 1\n"[..], &b"some_metric{label=\"value\"} 12345\n".repeat(3000)] {
            assert_eq!(unpack(&packed(plain), usize::MAX, usize::MAX).as_deref(), Ok(plain));
            let small = unpack_small(&packed(plain), 1 << 20, &buffers);
            assert_eq!(small.as_ref().map(AsRef::as_ref), Some(plain));
            let twice = [packed(plain), packed(b"tail\n")].concat();
            assert_eq!(unpack(&twice, usize::MAX, usize::MAX), Ok([plain, b"tail\n"].concat()));
            assert!(unpack_small(&twice, 1 << 20, &buffers).is_none(), "more than it claims");
        }
        // Written piece by piece, it claims no size.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("an encoder");
        std::io::Write::write_all(&mut encoder, b"up 1\n").expect("memory can be written");
        let streamed = encoder.finish().expect("memory can be written");
        assert_eq!(expected_bytes(&streamed), 0);
        assert!(unpack_small(&streamed, 1 << 20, &buffers).is_none());
        assert_eq!(unpack(&streamed, usize::MAX, usize::MAX).as_deref(), Ok(&b"up 1\n"[..]));
    }

    #[test]
    fn the_limits_hold() {
        let bomb = packed(&vec![b'x'; 1 << 20]);
        assert!(bomb.len() < 1000);
        assert_eq!(unpack(&bomb, usize::MAX, 1 << 20), Err(UnpackError::TooLarge));
        assert_eq!(unpack(&bomb, 1 << 19, usize::MAX), Err(UnpackError::NoRoom));
        assert_eq!(unpack(&bomb, 1 << 20, (1 << 20) + 1).map(|plain| plain.len()), Ok(1 << 20));
        assert!(unpack_small(&bomb, 1 << 20, &PageBuffers::default()).is_none());
        // A frame that refers back by 64 MiB.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
        encoder.window_log(26).expect("a window");
        std::io::Write::write_all(&mut encoder, b"up 1\n").expect("memory can be written");
        let wide = encoder.finish().expect("memory can be written");
        assert!(matches!(unpack(&wide, usize::MAX, usize::MAX), Err(UnpackError::Zstd(_))));
    }

    #[test]
    fn damage_is_an_error() {
        let whole = packed(b"up 1\n");
        assert_eq!(unpack(b"", usize::MAX, usize::MAX), Err(UnpackError::Empty));
        assert_eq!(unpack(&whole[..whole.len() - 1], usize::MAX, usize::MAX), Err(UnpackError::Truncated));
        let text = unpack(b"up 1\n", usize::MAX, usize::MAX).expect_err("not zstd").to_string();
        assert!(text.starts_with("zstd: "), "{text}");
    }
}
