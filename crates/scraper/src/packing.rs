//! How a page is packed for the way: what is offered, and unpacking it as a whole.

use bytes::Bytes;

use crate::page_buffers::PageBuffers;
use crate::unpack_error::UnpackError;
use crate::{gzip, zstd_page};

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// The `Accept-Encoding` header. `compression` is the job's option; zstd is only offered beside gzip.
    pub fn offered(compression: bool, with_zstd: bool) -> &'static str {
        match (compression, with_zstd) {
            (false, _) => "identity",
            (true, false) => "gzip",
            (true, true) => "zstd, gzip",
        }
    }

    /// The packing of an answer with this `Content-Encoding`. As in Prometheus, gzip is unpacked whether it was offered or not,
    /// and an encoding that was not offered is left as it is.
    pub fn of_answer(content_encoding: &str, with_zstd: bool) -> Option<Self> {
        match content_encoding {
            "gzip" => Some(Packing::Gzip),
            "zstd" if with_zstd => Some(Packing::Zstd),
            _ => None,
        }
    }

    /// The page's claimed size, which may be wrong.
    pub fn expected_bytes(self, packed: &[u8]) -> usize {
        match self {
            Packing::Gzip => gzip::expected_bytes(packed),
            Packing::Zstd => zstd_page::expected_bytes(packed),
        }
    }

    /// Decompresses a page of fewer than `most` bytes at once and with bounded work; `None` for all others.
    pub fn unpack_small(self, packed: &[u8], most: usize, buffers: &PageBuffers) -> Option<Bytes> {
        match self {
            Packing::Gzip => gzip::inflate_small(packed, most, buffers),
            Packing::Zstd => zstd_page::unpack_small(packed, most, buffers),
        }
        .map(Bytes::from_owner)
    }

    /// Decompresses a page that must be smaller than `most` bytes and must fit into `room`.
    pub fn unpack(self, packed: &[u8], room: usize, most: usize) -> Result<Vec<u8>, UnpackError> {
        match self {
            Packing::Gzip => gzip::inflate(packed, room, most),
            Packing::Zstd => zstd_page::unpack(packed, room, most),
        }
    }
}
