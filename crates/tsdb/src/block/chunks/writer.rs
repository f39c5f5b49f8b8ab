//! Writes chunk segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{
    CRC_BYTES, ENCODING_BYTES, HEADER_BYTES, LENGTH_BYTES_MAX, MAGIC, VERSION, reference, segment_name,
};
use crate::block::index::ChunkMeta;
use crate::block::{BlockChunk, BlockError};
use crate::bytes::put_uvarint;
use crate::disk::{Disk, WriteFile};

/// How many bytes are passed to the disk at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes the chunks of a block.
pub struct ChunkWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes_max: u64,
    open: Option<Segment>,
    /// Number of segments begun so far.
    segments: u32,
}

struct Segment {
    path: PathBuf,
    file: Box<dyn WriteFile>,
    buffer: Vec<u8>,
    /// Number of bytes written, including those in the buffer.
    position: u64,
}

impl Segment {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.buffer.extend_from_slice(bytes);
        self.position += bytes.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        self.file.write_all(&self.buffer).map_err(|error| BlockError::io(&self.path, error))?;
        self.buffer.clear();
        Ok(())
    }

    fn close(mut self) -> Result<(), BlockError> {
        self.flush()?;
        self.file.sync_data().map_err(|error| BlockError::io(&self.path, error))
    }
}

impl ChunkWriter {
    /// Creates the directory. Segments are created when a chunk needs one.
    pub fn create(disk: &Arc<dyn Disk>, dir: &Path, segment_bytes_max: u64) -> Result<Self, BlockError> {
        disk.create_dir_all(dir).map_err(|error| BlockError::io(dir, error))?;
        let dir = dir.to_path_buf();
        Ok(ChunkWriter { disk: disk.clone(), dir, segment_bytes_max, open: None, segments: 0 })
    }

    /// Writes the chunks of one series and appends their positions to `metas`.
    ///
    /// A segment ends before a chunk that might not fit any more. "Might", because Prometheus assumes the
    /// longest length field, and blocks of the same samples should have the same bytes.
    pub fn write(&mut self, chunks: &[BlockChunk], metas: &mut Vec<ChunkMeta>) -> Result<(), BlockError> {
        let mut reckoned = self.open.as_ref().map_or(0, |segment| segment.position);
        for (index, chunk) in chunks.iter().enumerate() {
            let size = (LENGTH_BYTES_MAX + ENCODING_BYTES + chunk.data.len() + CRC_BYTES) as u64;
            let fresh = reckoned <= HEADER_BYTES as u64;
            let full = reckoned + size > self.segment_bytes_max && !(fresh && index == 0);
            if self.open.is_none() || full {
                self.cut()?;
                reckoned = HEADER_BYTES as u64;
            }
            reckoned += size;
            metas.push(self.put(chunk)?);
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), BlockError> {
        if let Some(segment) = self.open.take() {
            segment.close()?;
        }
        let path = self.dir.join(segment_name(self.segments));
        let file = self.disk.create(&path).map_err(|error| BlockError::io(&path, error))?;
        self.segments += 1;
        let mut segment = Segment { path, file, buffer: Vec::with_capacity(BUFFER_BYTES), position: 0 };
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC.to_be_bytes());
        header[4] = VERSION;
        segment.put(&header)?;
        self.open = Some(segment);
        Ok(())
    }

    fn put(&mut self, chunk: &BlockChunk) -> Result<ChunkMeta, BlockError> {
        let segment = self.open.as_mut().expect("a segment was cut for the chunk");
        let offset = u32::try_from(segment.position)
            .map_err(|_| BlockError::Refused("a chunk segment is too long for its references".to_owned()))?;
        let meta = ChunkMeta {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            reference: reference(self.segments - 1, offset),
        };
        let encoding = [chunk.encoding.number()];
        let mut length = Vec::with_capacity(LENGTH_BYTES_MAX);
        put_uvarint(&mut length, chunk.data.len() as u64);
        segment.put(&length)?;
        segment.put(&encoding)?;
        segment.put(&chunk.data)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&encoding), &chunk.data);
        segment.put(&crc.to_be_bytes())?;
        Ok(meta)
    }

    /// Syncs the data, and the names of the segments.
    pub fn finish(mut self) -> Result<(), BlockError> {
        if let Some(segment) = self.open.take() {
            segment.close()?;
        }
        self.disk.sync_dir(&self.dir).map_err(|error| BlockError::io(&self.dir, error))
    }
}
