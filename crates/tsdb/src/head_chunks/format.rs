//! Layout of the files; see docs/format/head_chunks.md. Only this file knows the offsets.
//!
//! ```text
//! file:  magic u32 | version u8 | 3 zero bytes | chunk chunk … (zeros)
//! chunk: series u64 | min time i64 | max time i64 | encoding u8 | length uvarint | data | crc32c u32
//! ```
//! Integers are big-endian. The top bit of the encoding marks out-of-order chunks; the checksum covers the
//! whole chunk before it.

use std::path::{Path, PathBuf};

use ferula_chunk::Encoding;

use crate::bytes::{BadInput, Input, put_uvarint};
use crate::ids::LogRef;

const MAGIC: u32 = 0x0130_bc91;
const VERSION: u8 = 1;
/// Bytes before the first chunk.
pub const FILE_HEADER_BYTES: usize = 8;
/// Maximum size of a file.
pub const FILE_BYTES_MAX: u64 = 128 << 20;
/// Maximum size of a chunk; a larger length is a sign of damage.
pub const CHUNK_BYTES_MAX: usize = 16 << 20;
const OUT_OF_ORDER_BIT: u8 = 0x80;
const CRC_BYTES: usize = 4;

/// The header of a file.
pub fn file_header() -> [u8; FILE_HEADER_BYTES] {
    let magic = MAGIC.to_be_bytes();
    [magic[0], magic[1], magic[2], magic[3], VERSION, 0, 0, 0]
}

/// Path of a file.
pub fn file_path(dir: &Path, file: u32) -> PathBuf {
    dir.join(format!("{file:06}"))
}

/// The position of a chunk: the number of its file, and its offset in it. Stored in the out-of-order log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkPlace(u64);

impl ChunkPlace {
    /// The position at `offset` of `file`.
    pub fn new(file: u32, offset: u32) -> Self {
        ChunkPlace(u64::from(file) << 32 | u64::from(offset))
    }

    /// The position with this number.
    pub fn from_number(number: u64) -> Self {
        ChunkPlace(number)
    }

    /// The number as stored in the out-of-order log.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Number of the file.
    pub fn file(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Offset in the file.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// A chunk as stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChunk<'a> {
    pub series: LogRef,
    /// Timestamp of its first sample in milliseconds.
    pub min: i64,
    /// Timestamp of its last sample in milliseconds.
    pub max: i64,
    /// The encoding of its data.
    pub encoding: Encoding,
    /// Whether it holds out-of-order samples.
    pub out_of_order: bool,
    /// Its samples, including the chunk header.
    pub data: &'a [u8],
}

/// Appends a chunk.
pub fn put_chunk(out: &mut Vec<u8>, chunk: &StoredChunk<'_>) {
    let start = out.len();
    out.extend_from_slice(&chunk.series.get().to_be_bytes());
    out.extend_from_slice(&chunk.min.to_be_bytes());
    out.extend_from_slice(&chunk.max.to_be_bytes());
    out.push(chunk.encoding.number() | if chunk.out_of_order { OUT_OF_ORDER_BIT } else { 0 });
    put_uvarint(out, chunk.data.len() as u64);
    out.extend_from_slice(chunk.data);
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// Errors in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFileError {
    /// The file is of another type or version.
    #[error("not a chunks_head file of version 1")]
    Header,
    /// The file ends within a chunk.
    #[error("chunk at offset {0} is truncated")]
    Short(usize),
    /// The checksum does not match.
    #[error("chunk at offset {0} has a wrong checksum")]
    Checksum(usize),
    /// The encoding is unknown.
    #[error("chunk at offset {0} has the unknown encoding {1}")]
    Encoding(usize, u8),
}

/// Checks the header of a file.
pub fn check_file_header(file: &[u8]) -> Result<(), ChunkFileError> {
    if file.starts_with(&file_header()[..5]) && file.len() >= FILE_HEADER_BYTES {
        Ok(())
    } else {
        Err(ChunkFileError::Header)
    }
}

/// Reads and checks the chunk at `offset` of `file`. Also returns the position of the next one.
pub fn read_chunk(file: &[u8], offset: usize) -> Result<(StoredChunk<'_>, usize), ChunkFileError> {
    let short = |_: BadInput| ChunkFileError::Short(offset);
    let mut input = Input(file.get(offset..).ok_or(ChunkFileError::Short(offset))?);
    let before = input.0;
    let series = LogRef::new(input.u64_be().map_err(short)?);
    let min = input.u64_be().map_err(short)? as i64;
    let max = input.u64_be().map_err(short)? as i64;
    let number = input.u8().map_err(short)?;
    let data = input.string().map_err(short)?;
    let body = &before[..before.len() - input.0.len()];
    let crc = input.bytes(CRC_BYTES).map_err(short)?;
    if crc32c::crc32c(body).to_be_bytes() != *crc {
        return Err(ChunkFileError::Checksum(offset));
    }
    let encoding = Encoding::from_number(number & !OUT_OF_ORDER_BIT)
        .ok_or(ChunkFileError::Encoding(offset, number & !OUT_OF_ORDER_BIT))?;
    let out_of_order = number & OUT_OF_ORDER_BIT != 0;
    let chunk = StoredChunk { series, min, max, encoding, out_of_order, data };
    Ok((chunk, offset + body.len() + CRC_BYTES))
}

/// Whether only zeros follow: Prometheus preallocates files.
pub fn is_end(file: &[u8], offset: usize) -> bool {
    let rest = &file[offset.min(file.len())..];
    // A chunk begins with a ref, which is never zero; so this is seldom more than a look at eight bytes.
    rest.iter().all(|byte| *byte == 0)
}
