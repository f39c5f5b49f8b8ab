//! An open block.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferula_chunk::{ChunkRef, Encoding};
use ferula_model::{LabelSet, Matcher};

use super::chunks::{ChunkReader, ChunkScanner};
use super::index::{ChunkMeta, IndexReader, SeriesEntry};
use super::rebuild::{ReadMeta, read_meta, rebuild_meta};
use super::{
    BlockError, BlockMeta, CHUNKS_DIR, INDEX_FILE, Interval, Intervals, META_FILE, TOMBSTONES_COPY_FILE,
    TOMBSTONES_FILE, Tombstones, read_tombstones,
};
use crate::blob::{Access, BlobSlice};
use crate::damage::{Damage, set_aside};
use crate::disk::Disk;
use crate::ids::TimeSpan;
use crate::postings::{self, Compare};
use crate::sync::{Mutex, rank};

/// A chunk of a block, or one that is to become part of a block.
#[derive(Clone, Debug)]
pub struct BlockChunk {
    /// The encoding of `data`.
    pub encoding: Encoding,
    /// Timestamp of the first sample in milliseconds.
    pub min_time: i64,
    /// Timestamp of the last sample in milliseconds.
    pub max_time: i64,
    /// The samples.
    pub data: BlobSlice,
}

impl BlockChunk {
    /// The same chunk for `ferula-chunk`.
    pub fn as_ref(&self) -> ChunkRef<'_> {
        ChunkRef {
            encoding: self.encoding,
            min_time: self.min_time,
            max_time: self.max_time,
            data: &self.data,
        }
    }

    /// Number of samples according to its header.
    pub fn sample_count(&self) -> u16 {
        self.encoding.sample_count(&self.data).unwrap_or(0)
    }
}

impl From<ferula_chunk::Chunk> for BlockChunk {
    fn from(chunk: ferula_chunk::Chunk) -> Self {
        BlockChunk {
            encoding: chunk.encoding,
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            data: chunk.data.into(),
        }
    }
}

/// A block. It can be read from several threads; only its deleted ranges change.
pub struct Block {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    index: IndexReader,
    chunks: ChunkReader,
    /// Readers use the tombstones as they are at that moment.
    state: Mutex<State, rank::BlockState>,
    /// What was wrong when it was opened.
    damages: Vec<Damage>,
}

#[derive(Clone)]
struct State {
    meta: Arc<BlockMeta>,
    tombstones: Arc<Tombstones>,
    /// Whether the file `meta.json` is another one than `meta`; it is kept when this one is written.
    keep_meta_file: bool,
    /// The same for the file of tombstones.
    keep_tombstones_file: bool,
}

impl Block {
    /// Opens the block in the directory `dir`. Damage that costs no sample does not prevent that; see
    /// [`damages`](Self::damages).
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path, access: Access) -> Result<Self, BlockError> {
        let meta = read_meta(&**disk, dir)?;
        let chunks = ChunkReader::open(&**disk, &dir.join(CHUNKS_DIR), access)?;
        let index = IndexReader::open(&**disk, &dir.join(INDEX_FILE), access)?;
        let mut damages = Vec::new();
        let mut keep_meta_file = false;
        let meta = match meta {
            ReadMeta::Own(meta) => *meta,
            ReadMeta::Unfit(ulid, damage) => {
                damages.push(damage);
                keep_meta_file = true;
                rebuild_meta(&index, &chunks, ulid)?
            }
        };
        let counted = if keep_meta_file { 0 } else { meta.stats.num_tombstones };
        let read = read_tombstones(&**disk, dir, counted)?;
        let keep_tombstones_file = read.damage.is_some();
        damages.extend(read.damage);
        let (meta, tombstones) = (Arc::new(meta), Arc::new(read.tombstones));
        let state = State { meta, tombstones, keep_meta_file, keep_tombstones_file };
        let (disk, dir) = (disk.clone(), dir.to_path_buf());
        Ok(Block { disk, dir, index, chunks, state: Mutex::new(state), damages })
    }

    /// Opens a block that has no `meta.json`; one is made from index and chunks, and written by [`mend`](Self::mend).
    ///
    /// # Errors
    /// The name of its directory is not that of a block, or it cannot be read.
    pub(crate) fn open_without_meta(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        access: Access,
    ) -> Result<Self, BlockError> {
        let name = dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let name = name.ok_or_else(|| BlockError::corrupt(dir, 0, "not the name of a block"))?;
        let chunks = ChunkReader::open(&**disk, &dir.join(CHUNKS_DIR), access)?;
        let index = IndexReader::open(&**disk, &dir.join(INDEX_FILE), access)?;
        let meta = rebuild_meta(&index, &chunks, name)?;
        let read = read_tombstones(&**disk, dir, 0)?;
        let (meta, tombstones) = (Arc::new(meta), Arc::new(read.tombstones));
        let state = State { meta, tombstones, keep_meta_file: true, keep_tombstones_file: false };
        let (disk, dir) = (disk.clone(), dir.to_path_buf());
        Ok(Block { disk, dir, index, chunks, state: Mutex::new(state), damages: Vec::new() })
    }

    /// What was wrong when it was opened.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// Rewrites damaged files that can be replaced, and keeps the damaged ones.
    ///
    /// # Errors
    /// The disk failed.
    pub fn mend(&self) -> Result<(), BlockError> {
        let mut state = self.state.lock();
        if state.keep_tombstones_file && !state.tombstones.is_empty() {
            self.keep(&mut state.keep_tombstones_file, TOMBSTONES_FILE)?;
            state.tombstones.write(&*self.disk, &self.dir)?;
        }
        if state.keep_meta_file {
            self.keep(&mut state.keep_meta_file, META_FILE)?;
            state.meta.write(&*self.disk, &self.dir)?;
        }
        Ok(())
    }

    /// Sets a damaged file aside before another takes its name.
    fn keep(&self, wanted: &mut bool, name: &str) -> Result<(), BlockError> {
        let path = self.dir.join(name);
        if std::mem::take(wanted)
            && let Err(error) = set_aside(&*self.disk, &path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            *wanted = true;
            return Err(BlockError::io(&path, error));
        }
        Ok(())
    }

    fn state(&self) -> State {
        self.state.lock().clone()
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The current content of `meta.json`.
    pub fn meta(&self) -> Arc<BlockMeta> {
        self.state().meta
    }

    /// The current deleted ranges.
    pub fn tombstones(&self) -> Arc<Tombstones> {
        self.state().tombstones
    }

    /// The index.
    pub fn index(&self) -> &IndexReader {
        &self.index
    }

    /// Total size in bytes of the files that Prometheus has too.
    pub fn bytes(&self) -> u64 {
        let small: u64 = [META_FILE, TOMBSTONES_FILE]
            .iter()
            .filter_map(|name| self.disk.stat(&self.dir.join(name)).ok().flatten())
            .map(|stat| stat.bytes)
            .sum();
        self.index.bytes() + self.chunks.bytes() + small
    }

    /// Numbers of the series that match all matchers, in the order of their labels. Without matchers, all
    /// series match.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<u32>, BlockError> {
        self.select_by(matchers, &Matcher::matches)
    }

    /// [`select`](Self::select) with a different comparison of values with matchers.
    pub(crate) fn select_by(
        &self,
        matchers: &[Matcher],
        matches: &Compare<'_>,
    ) -> Result<Vec<u32>, BlockError> {
        postings::select(&self.index, matchers, matches)
    }

    /// Reads the series with this number into `entry`; see [`IndexReader::labels`] for its labels.
    pub fn series(&self, number: u32, entry: &mut SeriesEntry) -> Result<(), BlockError> {
        self.index.series(number, entry)
    }

    /// The labels of a series.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<LabelSet, BlockError> {
        self.index.labels(entry)
    }

    /// Reads a chunk of a series.
    pub fn chunk(&self, meta: ChunkMeta) -> Result<BlockChunk, BlockError> {
        let (encoding, data) = self.chunks.chunk(meta.reference)?;
        Ok(BlockChunk { encoding, min_time: meta.min_time, max_time: meta.max_time, data })
    }

    /// A reader for all its chunks in order.
    pub fn scan_chunks(&self) -> Result<ChunkScanner, BlockError> {
        ChunkScanner::open(&*self.disk, &self.dir.join(CHUNKS_DIR))
    }

    /// Label names of matching series, sorted.
    pub fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, BlockError> {
        self.label_names_by(matchers, &Matcher::matches)
    }

    /// [`label_names`](Self::label_names) with a different comparison of values with matchers.
    pub(crate) fn label_names_by(
        &self,
        matchers: &[Matcher],
        matches: &Compare<'_>,
    ) -> Result<Vec<String>, BlockError> {
        if matchers.is_empty() {
            return Ok(self.index.label_names().map(str::to_owned).collect());
        }
        let mut symbols = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for number in self.select_by(matchers, matches)? {
            self.series(number, &mut entry)?;
            symbols.extend(entry.labels.iter().map(|(name, _)| *name));
        }
        let mut names = symbols
            .into_iter()
            .map(|name| self.index.symbol(name).map(str::to_owned))
            .collect::<Result<Vec<_>, _>>()?;
        names.sort();
        Ok(names)
    }

    /// Values of a label of matching series, sorted.
    pub fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, BlockError> {
        self.label_values_by(name, matchers, &Matcher::matches)
    }

    /// [`label_values`](Self::label_values) with a different comparison of values with matchers.
    pub(crate) fn label_values_by(
        &self,
        name: &str,
        matchers: &[Matcher],
        matches: &Compare<'_>,
    ) -> Result<Vec<String>, BlockError> {
        if matchers.is_empty() {
            return self.index.label_values(name);
        }
        let selected = self.select_by(matchers, matches)?;
        if selected.len() < self.index.value_count(name) {
            return self.values_of(name, &selected);
        }
        let mut values = Vec::new();
        self.index.each_value(name, |value, offset| {
            if postings::intersects(&self.index.postings_at(offset)?, &selected) {
                values.push(value.to_owned());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(values)
    }

    fn values_of(&self, name: &str, series: &[u32]) -> Result<Vec<String>, BlockError> {
        let mut values = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for number in series {
            self.series(*number, &mut entry)?;
            for (label, value) in &entry.labels {
                if self.index.symbol(*label)? == name {
                    values.insert(self.index.symbol(*value)?.to_owned());
                }
            }
        }
        Ok(values.into_iter().collect())
    }

    /// Marks the samples in the span of the matching series as deleted.
    pub fn delete(&self, span: TimeSpan, matchers: &[Matcher]) -> Result<(), BlockError> {
        // Held throughout: of two concurrent deletions, one would be lost.
        let mut state = self.state.lock();
        let mut tombstones = (*state.tombstones).clone();
        let mut entry = SeriesEntry::default();
        for number in self.select(matchers)? {
            self.series(number, &mut entry)?;
            // Only up to the existing samples: a sample that is added later at a deleted time is not deleted.
            let hit = entry.span().intersect(span);
            if entry.chunks.iter().any(|chunk| chunk.span().overlaps(span)) {
                tombstones.add(u64::from(number), Interval { min: hit.start(), max: hit.last() });
            }
        }
        let mut meta = (*state.meta).clone();
        meta.stats.num_tombstones = tombstones.total();
        self.keep(&mut state.keep_tombstones_file, TOMBSTONES_FILE)?;
        tombstones.write(&*self.disk, &self.dir)?;
        state.tombstones = Arc::new(tombstones);
        self.keep(&mut state.keep_meta_file, META_FILE)?;
        meta.write(&*self.disk, &self.dir)?;
        state.meta = Arc::new(meta);
        Ok(())
    }

    /// Changes `meta.json`, which records failed and empty compactions.
    pub fn update_meta(&self, change: impl FnOnce(&mut BlockMeta)) -> Result<(), BlockError> {
        let mut state = self.state.lock();
        let mut meta = (*state.meta).clone();
        change(&mut meta);
        self.keep(&mut state.keep_meta_file, META_FILE)?;
        meta.write(&*self.disk, &self.dir)?;
        state.meta = Arc::new(meta);
        Ok(())
    }

    /// Creates a copy in the directory `dir`, under the block's name, with hard links to the same files.
    pub fn snapshot(&self, dir: &Path) -> Result<(), BlockError> {
        let to = dir.join(self.meta().ulid.to_string());
        let to_chunks = to.join(CHUNKS_DIR);
        self.disk.create_dir_all(&to_chunks).map_err(|error| BlockError::io(&to_chunks, error))?;
        let link = |from: PathBuf, to: PathBuf| {
            self.disk.hard_link(&from, &to).map_err(|error| BlockError::io(&from, error))
        };
        // A deletion renames a new file into place, so the linked one does not change. Meta and tombstones
        // must be of the same moment.
        let state = self.state.lock();
        link(self.dir.join(META_FILE), to.join(META_FILE))?;
        for name in [TOMBSTONES_FILE, TOMBSTONES_COPY_FILE] {
            match link(self.dir.join(name), to.join(name)) {
                Err(error) if error.is_not_found() => {}
                linked => linked?,
            }
        }
        drop(state);
        link(self.dir.join(INDEX_FILE), to.join(INDEX_FILE))?;
        let from_chunks = self.dir.join(CHUNKS_DIR);
        let segments = self.disk.list(&from_chunks).map_err(|error| BlockError::io(&from_chunks, error))?;
        for segment in segments {
            link(from_chunks.join(&segment.name), to_chunks.join(&segment.name))?;
        }
        Ok(())
    }

    /// The deleted ranges of a series.
    pub fn deleted(tombstones: &Tombstones, number: u32) -> Option<&Intervals> {
        tombstones.get(u64::from(number))
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({})", self.dir.display())
    }
}
