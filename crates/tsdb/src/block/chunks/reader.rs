//! Reading chunk segments.

use std::path::{Path, PathBuf};

use ferula_chunk::Encoding;

use super::format::{CRC_BYTES, ENCODING_BYTES, HEADER_BYTES, LENGTH_BYTES_MAX, MAGIC, VERSION, place};
use crate::blob::{Access, Blob, Piece};
use crate::block::BlockError;
use crate::block::bytes::ByteReader;
use crate::disk::Disk;

/// Most chunks are shorter; one read call is enough for those.
const CHUNK_BYTES_USUAL: usize = 4096;

/// The chunks of a block.
#[derive(Debug)]
pub struct ChunkReader {
    dir: PathBuf,
    segments: Vec<Blob>,
}

impl ChunkReader {
    /// Opens all segments in the folder.
    pub fn open(disk: &dyn Disk, dir: &Path, access: Access) -> Result<Self, BlockError> {
        let entries = disk.list(dir).map_err(|error| BlockError::io(dir, error))?;
        let mut segments = Vec::new();
        for entry in entries.iter().filter(|entry| entry.name.parse::<u64>().is_ok()) {
            let path = dir.join(&entry.name);
            let blob = Blob::open(disk, &path, access).map_err(|error| BlockError::io(&path, error))?;
            check_header(&blob)?;
            segments.push(blob);
        }
        Ok(ChunkReader { dir: dir.to_path_buf(), segments })
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Blob::bytes).sum()
    }

    /// Encoding and data of a chunk; its checksum is checked.
    pub fn chunk(&self, reference: u64) -> Result<(Encoding, Piece), BlockError> {
        let (segment, offset) = place(reference);
        let Some(blob) = self.segments.get(segment as usize) else {
            let what = format!("segment index {segment} out of range");
            return Err(BlockError::corrupt(&self.dir, u64::from(offset), what));
        };
        let offset = u64::from(offset);
        let corrupt = |what: String| BlockError::corrupt(blob.path(), offset, what);
        let start = LENGTH_BYTES_MAX + ENCODING_BYTES + CHUNK_BYTES_USUAL + CRC_BYTES;
        let start = blob.prefix(offset, start).map_err(|error| BlockError::io(blob.path(), error))?;
        let mut reader = ByteReader::new(&start, offset);
        let length = reader.uvarint32().map_err(|malformed| malformed.in_file(blob.path()))? as usize;
        let from = reader.position();
        let end = from + ENCODING_BYTES + length + CRC_BYTES;
        let whole = if start.len() >= end {
            start
        } else {
            blob.range(offset, end).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => corrupt(format!(
                    "segment doesn't include enough bytes to read the chunk - required:{}, available:{}",
                    offset + end as u64,
                    blob.bytes()
                )),
                _ => BlockError::io(blob.path(), error),
            })?
        };
        let (body, crc) = whole[from..end].split_at(ENCODING_BYTES + length);
        let actual = crc32c::crc32c(body);
        let expected = u32::from_be_bytes(crc.try_into().expect("the checksum has 4 bytes"));
        if actual != expected {
            return Err(corrupt(format!("checksum mismatch expected:{expected:x}, actual:{actual:x}")));
        }
        let number = body[0];
        let encoding = Encoding::from_number(number)
            .ok_or_else(|| corrupt(format!("invalid chunk encoding \"{number}\"")))?;
        Ok((encoding, whole.slice(from + ENCODING_BYTES, end - CRC_BYTES)))
    }
}

fn check_header(blob: &Blob) -> Result<(), BlockError> {
    let header = blob.prefix(0, HEADER_BYTES).map_err(|error| BlockError::io(blob.path(), error))?;
    if header.len() < HEADER_BYTES {
        return Err(BlockError::corrupt(blob.path(), 0, "invalid segment header: invalid size"));
    }
    if header[..4] != MAGIC.to_be_bytes() {
        return Err(BlockError::corrupt(blob.path(), 0, "invalid magic number"));
    }
    if header[4] != VERSION {
        return Err(BlockError::corrupt(
            blob.path(),
            4,
            format!("invalid chunk format version {}", header[4]),
        ));
    }
    Ok(())
}
