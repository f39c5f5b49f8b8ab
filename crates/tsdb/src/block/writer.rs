//! Writes a block, series by series in the order of their labels.
//!
//! Everything is written to a directory whose name ends in `.tmp-for-creation`, synced, and renamed at the
//! end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferula_chunk::{FloatEncoding, ValueKind};

use super::chunks::{ChunkWriter, format::SEGMENT_BYTES};
use super::index::{ChunkMeta, IndexWriter, SymbolTable};
use super::{BlockChunk, BlockError, BlockMeta, CHUNKS_DIR, CREATION_SUFFIX, INDEX_FILE, Tombstones};
use crate::disk::Disk;

/// How blocks are written.
#[derive(Clone, Copy, Debug)]
pub struct BlockOptions {
    /// Maximum size of a chunk segment.
    pub segment_bytes_max: u64,
    /// Adjacent XOR chunks of a series are joined up to this number of samples or
    /// [`chunk_bytes_max`](Self::chunk_bytes_max) bytes. With 120, the head's chunks are written unchanged,
    /// and the files are the same as those of Prometheus.
    pub chunk_samples_max: u16,
    /// See [`chunk_samples_max`](Self::chunk_samples_max).
    pub chunk_bytes_max: usize,
    /// The encoding of floats in chunks that have to be rewritten because they overlap. Floats with start
    /// timestamps are always encoded in XOR2.
    pub floats: FloatEncoding,
}

impl Default for BlockOptions {
    fn default() -> Self {
        BlockOptions {
            segment_bytes_max: SEGMENT_BYTES,
            chunk_samples_max: 480,
            chunk_bytes_max: 4096,
            floats: FloatEncoding::Xor,
        }
    }
}

/// Writes a block. If it is dropped without [`finish`](Self::finish), a directory remains that the next start
/// removes.
pub struct BlockWriter {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    temporary: PathBuf,
    meta: BlockMeta,
    chunks: ChunkWriter,
    index: IndexWriter,
    metas: Vec<ChunkMeta>,
}

impl BlockWriter {
    /// Creates the block that `meta` describes in the data directory. `symbols` contains all label names and
    /// values.
    pub fn create(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        meta: BlockMeta,
        symbols: SymbolTable,
        options: &BlockOptions,
    ) -> Result<Self, BlockError> {
        let temporary = data_dir.join(format!("{}{CREATION_SUFFIX}", meta.ulid));
        let io = |error| BlockError::io(&temporary, error);
        if disk.stat(&temporary).map_err(io)?.is_some() {
            disk.remove_dir_all(&temporary).map_err(io)?;
        }
        disk.create_dir_all(&temporary).map_err(io)?;
        let chunks = ChunkWriter::create(disk, &temporary.join(CHUNKS_DIR), options.segment_bytes_max)?;
        let index = IndexWriter::create(disk, &temporary.join(INDEX_FILE), symbols)?;
        Ok(BlockWriter {
            disk: disk.clone(),
            data_dir: data_dir.to_path_buf(),
            temporary,
            meta,
            chunks,
            index,
            metas: Vec::new(),
        })
    }

    /// The symbols for the labels of series.
    #[cfg(test)]
    pub fn symbols(&self) -> &SymbolTable {
        self.index.symbols()
    }

    /// Adds a series. `labels` are symbol numbers of name and value, sorted; chunks are in time order. A
    /// series without chunks is skipped.
    pub fn add_series(&mut self, labels: &[(u32, u32)], chunks: &[BlockChunk]) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.metas.clear();
        self.chunks.write(chunks, &mut self.metas)?;
        self.index.add_series(labels, &self.metas)?;
        let stats = &mut self.meta.stats;
        stats.num_series += 1;
        stats.num_chunks += chunks.len() as u64;
        for chunk in chunks {
            let samples = u64::from(chunk.sample_count());
            stats.num_samples += samples;
            match chunk.encoding.value_kind() {
                ValueKind::Float => stats.num_float_samples += samples,
                ValueKind::Histogram | ValueKind::FloatHistogram => stats.num_histogram_samples += samples,
            }
        }
        Ok(())
    }

    /// Completes the block and renames it. `None` if it has no samples; then no block is created.
    pub fn finish(self) -> Result<Option<BlockMeta>, BlockError> {
        let BlockWriter { disk, data_dir, temporary, meta, chunks, index, .. } = self;
        let io = |error| BlockError::io(&temporary, error);
        if meta.stats.num_samples == 0 {
            disk.remove_dir_all(&temporary).map_err(io)?;
            return Ok(None);
        }
        chunks.finish()?;
        index.finish()?;
        meta.write(&*disk, &temporary)?;
        Tombstones::new().write(&*disk, &temporary)?;
        disk.sync_dir(&temporary).map_err(io)?;
        disk.rename(&temporary, &data_dir.join(meta.ulid.to_string())).map_err(io)?;
        disk.sync_dir(&data_dir).map_err(io)?;
        Ok(Some(meta))
    }

    /// Removes everything written so far.
    pub fn abandon(self) -> Result<(), BlockError> {
        self.disk.remove_dir_all(&self.temporary).map_err(|error| BlockError::io(&self.temporary, error))
    }
}
