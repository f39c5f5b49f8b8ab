//! Compression of answers: gzip or deflate, whichever the client lists first.
//!
//! Never zstd or brotli: Grafana forwards the browser's list but only decompresses what Prometheus would send.

use std::io::{Read, Write};

use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};

/// The compression of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
}

impl Encoding {
    /// The first supported encoding that the client lists; weights are ignored, as in Prometheus.
    pub fn of_request(headers: &HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        for name in accepted.unwrap_or("").split(',') {
            match name.trim() {
                "gzip" => return Encoding::Gzip,
                "deflate" => return Encoding::Deflate,
                _ => {}
            }
        }
        Encoding::Identity
    }

    /// The value of `Content-Encoding`, if any.
    pub const fn header(self) -> Option<&'static str> {
        match self {
            Encoding::Identity => None,
            Encoding::Gzip => Some("gzip"),
            Encoding::Deflate => Some("deflate"),
        }
    }
}

/// Compresses chunks one after another.
pub enum Packer {
    /// Passes chunks through.
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Packer {
    /// A compressor at the start of an answer. It uses the fast level: numbers compress well even so.
    pub fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Packer::Identity,
            Encoding::Gzip => Packer::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Encoding::Deflate => Packer::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
        }
    }

    /// Takes a chunk and returns the output that is ready to send, which may be empty.
    pub fn push(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        const MEMORY: &str = "writing to a Vec cannot fail";
        match self {
            Packer::Identity => chunk,
            Packer::Gzip(encoder) => {
                encoder.write_all(&chunk).expect(MEMORY);
                std::mem::take(encoder.get_mut())
            }
            Packer::Deflate(encoder) => {
                encoder.write_all(&chunk).expect(MEMORY);
                std::mem::take(encoder.get_mut())
            }
        }
    }

    /// Ends the answer and returns the remaining output.
    pub fn finish(self) -> Vec<u8> {
        const MEMORY: &str = "writing to a Vec cannot fail";
        match self {
            Packer::Identity => Vec::new(),
            Packer::Gzip(encoder) => encoder.finish().expect(MEMORY),
            Packer::Deflate(encoder) => encoder.finish().expect(MEMORY),
        }
    }
}

/// Decompresses a gzip file of ours.
pub fn unpack_gzip(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn accepting(list: &str) -> Encoding {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, list.parse().expect("a header value"));
        Encoding::of_request(&headers)
    }

    #[test]
    fn the_first_supported_encoding_is_used() {
        assert_eq!(accepting("zstd, br, deflate, gzip"), Encoding::Deflate);
        assert_eq!(accepting("gzip,deflate"), Encoding::Gzip);
        assert_eq!(accepting("zstd, identity, gzip;q=1"), Encoding::Identity);
        assert_eq!(Encoding::of_request(&HeaderMap::new()), Encoding::Identity);
    }

    #[test]
    fn chunks_decompress_to_the_whole_answer() {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate] {
            let mut packer = Packer::new(encoding);
            let mut sent = Vec::new();
            for _ in 0..1000 {
                sent.extend(packer.push(b"[1435781451.781,\"1\"],".repeat(9)));
            }
            sent.extend(packer.finish());
            let mut plain = Vec::new();
            let unpacked = match encoding {
                Encoding::Identity => (&sent[..]).read_to_end(&mut plain),
                Encoding::Gzip => flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut plain),
                Encoding::Deflate => flate2::read::ZlibDecoder::new(&sent[..]).read_to_end(&mut plain),
            };
            unpacked.expect("compressed data decompresses");
            assert_eq!(plain, b"[1435781451.781,\"1\"],".repeat(9000));
        }
    }
}
