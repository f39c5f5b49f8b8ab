//! Reading chunk segments.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ferula_chunk::Encoding;

use super::format::{CRC_BYTES, ENCODING_BYTES, HEADER_BYTES, LENGTH_BYTES_MAX, MAGIC, VERSION, place};
use crate::blob::{Access, Blob, BlobSlice};
use crate::block::BlockError;
use crate::block::bytes::ByteReader;
use crate::disk::Disk;

/// Most chunks are shorter, so a single read call suffices for them.
const CHUNK_BYTES_USUAL: usize = 4096;
/// How much [`ChunkScanner`] reads at a time.
const SCAN_BYTES: usize = 1 << 20;

/// The chunks of a block.
#[derive(Debug)]
pub struct ChunkReader {
    dir: PathBuf,
    segments: Vec<Blob>,
}

impl ChunkReader {
    /// Opens all segments in the directory.
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

    /// Total size of all segments in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Blob::bytes).sum()
    }

    /// Encoding and data of a chunk. The checksum is verified.
    pub fn chunk(&self, reference: u64) -> Result<(Encoding, BlobSlice), BlockError> {
        let (segment, offset) = place(reference);
        let Some(blob) = self.segments.get(segment as usize) else {
            let what = format!("segment index {segment} out of range");
            return Err(BlockError::corrupt(&self.dir, u64::from(offset), what));
        };
        let offset = u64::from(offset);
        let start = LENGTH_BYTES_MAX + ENCODING_BYTES + CHUNK_BYTES_USUAL + CRC_BYTES;
        let start = blob.prefix(offset, start).map_err(|error| BlockError::io(blob.path(), error))?;
        let extent = extent(&start, blob.path(), offset)?;
        let whole = if start.len() >= extent.end { start } else { read_whole(blob, offset, &extent)? };
        let encoding = check(&whole, &extent, blob.path(), offset)?;
        Ok((encoding, whole.slice(extent.data().start, extent.data().end)))
    }
}

/// The extent of a chunk in bytes that begin with its length.
struct Extent {
    /// The position after the length.
    from: usize,
    /// The position after the checksum.
    end: usize,
}

impl Extent {
    fn body(&self) -> Range<usize> {
        self.from..self.end - CRC_BYTES
    }

    fn data(&self) -> Range<usize> {
        self.from + ENCODING_BYTES..self.end - CRC_BYTES
    }
}

fn extent(bytes: &[u8], path: &Path, offset: u64) -> Result<Extent, BlockError> {
    let mut reader = ByteReader::new(bytes, offset);
    let length = reader.uvarint32().map_err(|malformed| malformed.in_file(path))? as usize;
    let from = reader.position();
    Ok(Extent { from, end: from + ENCODING_BYTES + length + CRC_BYTES })
}

fn read_whole(blob: &Blob, offset: u64, extent: &Extent) -> Result<BlobSlice, BlockError> {
    blob.range(offset, extent.end).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            let what = format!(
                "segment doesn't include enough bytes to read the chunk - required:{}, available:{}",
                offset + extent.end as u64,
                blob.bytes()
            );
            BlockError::corrupt(blob.path(), offset, what)
        }
        _ => BlockError::io(blob.path(), error),
    })
}

/// Checks the checksum and returns the encoding.
fn check(bytes: &[u8], extent: &Extent, path: &Path, offset: u64) -> Result<Encoding, BlockError> {
    let body = &bytes[extent.body()];
    let actual = crc32c::crc32c(body);
    let crc = bytes[extent.body().end..extent.end].try_into().expect("the checksum has 4 bytes");
    let expected = u32::from_be_bytes(crc);
    if actual != expected {
        let what = format!("checksum mismatch expected:{expected:x}, actual:{actual:x}");
        return Err(BlockError::corrupt(path, offset, what));
    }
    let number = body[0];
    Encoding::from_number(number)
        .ok_or_else(|| BlockError::corrupt(path, offset, format!("invalid chunk encoding \"{number}\"")))
}

/// Reads the chunks of a block one after another with few and large reads. Nothing is mapped, so a scan of a whole
/// block does not fill the memory of the process with its pages.
#[derive(Debug)]
pub struct ChunkScanner {
    chunks: ChunkReader,
    window: Vec<u8>,
    /// Segment and offset of the window.
    at: (u32, u64),
}

impl ChunkScanner {
    /// Opens all segments in the directory.
    pub fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, BlockError> {
        let chunks = ChunkReader::open(disk, dir, Access::Pread)?;
        Ok(ChunkScanner { chunks, window: Vec::new(), at: (0, 0) })
    }

    /// As [`ChunkReader::chunk`]; fast when references rise.
    pub fn chunk(&mut self, reference: u64) -> Result<(Encoding, BlobSlice), BlockError> {
        if let Some(chunk) = self.in_window(reference)? {
            return Ok(chunk);
        }
        let (segment, offset) = place(reference);
        let Some(blob) = self.chunks.segments.get(segment as usize) else {
            return self.chunks.chunk(reference);
        };
        let read = blob.prefix(u64::from(offset), SCAN_BYTES);
        self.window = read.map_err(|error| BlockError::io(blob.path(), error))?.into_vec();
        self.at = (segment, u64::from(offset));
        match self.in_window(reference)? {
            Some(chunk) => Ok(chunk),
            None => self.chunks.chunk(reference),
        }
    }

    /// The chunk, if all of it is in the window.
    fn in_window(&self, reference: u64) -> Result<Option<(Encoding, BlobSlice)>, BlockError> {
        let (segment, offset) = place(reference);
        let offset = u64::from(offset);
        let start = offset.checked_sub(self.at.1).filter(|_| segment == self.at.0);
        let Some(bytes) = start.and_then(|start| self.window.get(usize::try_from(start).ok()?..)) else {
            return Ok(None);
        };
        if bytes.len() < LENGTH_BYTES_MAX {
            return Ok(None);
        }
        let path = self.chunks.segments[segment as usize].path();
        let extent = extent(bytes, path, offset)?;
        if extent.end > bytes.len() {
            return Ok(None);
        }
        let encoding = check(bytes, &extent, path, offset)?;
        Ok(Some((encoding, bytes[extent.data()].to_vec().into())))
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
