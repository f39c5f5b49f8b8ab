//! Writes one block from any number of sources.
//!
//! All sources are read once from front to back, in the order of labels. In memory are the symbol table, the
//! mapping of each source's symbols to it (4 bytes each), and one series.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encode::EncodeOptions;
use super::merge::{join, merge, unreadable, visible};
use super::plan::merged_meta;
use crate::block::chunks::ChunkScanner;
use crate::block::index::{SeriesEntry, SymbolTable};
use crate::block::{
    Block, BlockChunk, BlockError, BlockMeta, BlockOptions, BlockWriter, Intervals, Tombstones, Ulid,
};
use crate::disk::Disk;
use crate::ids::TimeSpan;

/// Series with their chunks, in the order of labels: a block, or the head.
pub trait SeriesSource {
    /// The next label name or value. They are strictly ascending bytewise, and numbered from 0 in this order.
    fn next_symbol(&mut self) -> Result<Option<&str>, BlockError>;

    /// Reads the next series into `series`; returns `false` if there is none. Called after the last symbol.
    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, BlockError>;

    /// The name of this source in errors about its chunks.
    fn place(&self) -> &Path;
}

/// Observes the writing of a block. A closure that returns whether to continue can be used.
pub trait Watch {
    /// Called before every series; if it returns `false`, the work is discarded.
    fn goes_on(&self) -> bool;

    /// Called for every chunk that was written.
    fn chunk_written(&self, _chunk: &BlockChunk) {}
}

impl<F: Fn() -> bool> Watch for F {
    fn goes_on(&self) -> bool {
        self()
    }
}

/// A series of a [`SeriesSource`].
#[derive(Debug, Default)]
pub struct SourceSeries {
    /// Symbol numbers of name and value in the source, sorted by name.
    pub labels: Vec<(u32, u32)>,
    /// Its chunks in the order of their start.
    pub chunks: Vec<BlockChunk>,
    /// Its deleted ranges of time.
    pub deleted: Intervals,
}

impl SourceSeries {
    /// Empties it but keeps its buffers.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.chunks.clear();
        self.deleted = Intervals::new();
    }
}

/// A block as a source.
pub struct BlockSource<'a> {
    block: &'a Block,
    chunks: ChunkScanner,
    tombstones: Arc<Tombstones>,
    symbols: std::vec::IntoIter<u32>,
    /// Version 1 refers to symbols by their position in the file.
    numbers: HashMap<u32, u32>,
    series: std::vec::IntoIter<u32>,
    entry: SeriesEntry,
}

impl<'a> BlockSource<'a> {
    /// Everything in the block that is not deleted now.
    pub fn new(block: &'a Block) -> Result<Self, BlockError> {
        let index = block.index();
        let mut references = Vec::new();
        let mut numbers = HashMap::new();
        if index.version() == crate::block::index::format::VERSION_1 {
            index.each_symbol(|reference, _| {
                numbers.insert(reference, references.len() as u32);
                references.push(reference);
            })?;
        } else {
            references.extend(0..index.symbol_count());
        }
        Ok(BlockSource {
            block,
            chunks: block.scan_chunks()?,
            tombstones: block.tombstones(),
            symbols: references.into_iter(),
            numbers,
            series: index.all_postings()?.into_iter(),
            entry: SeriesEntry::default(),
        })
    }

    fn number(&self, reference: u32) -> u32 {
        self.numbers.get(&reference).copied().unwrap_or(reference)
    }
}

impl SeriesSource for BlockSource<'_> {
    fn next_symbol(&mut self) -> Result<Option<&str>, BlockError> {
        self.symbols.next().map(|reference| self.block.index().symbol(reference)).transpose()
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, BlockError> {
        let Some(number) = self.series.next() else { return Ok(false) };
        self.block.series(number, &mut self.entry)?;
        series.clear();
        let labels = self.entry.labels.iter();
        series.labels.extend(labels.map(|(name, value)| (self.number(*name), self.number(*value))));
        for meta in &self.entry.chunks {
            let (encoding, data) = self.chunks.chunk(meta.reference)?;
            let (min_time, max_time) = (meta.min_time, meta.max_time);
            series.chunks.push(BlockChunk { encoding, min_time, max_time, data });
        }
        if let Some(deleted) = self.tombstones.get(u64::from(number)) {
            series.deleted = deleted.clone();
        }
        Ok(true)
    }

    fn place(&self) -> &Path {
        self.block.dir()
    }
}

/// A source in the merge: its next series, and the numbers of its symbols in the new block.
struct Merging<'a> {
    source: Box<dyn SeriesSource + 'a>,
    symbols: Vec<u32>,
    series: SourceSeries,
    more: bool,
}

impl Merging<'_> {
    fn advance(&mut self) -> Result<(), BlockError> {
        self.more = self.source.next_series(&mut self.series)?;
        if !self.more {
            return Ok(());
        }
        for label in &mut self.series.labels {
            let number = |old: u32| {
                self.symbols.get(old as usize).copied().ok_or_else(|| {
                    BlockError::corrupt(
                        self.source.place(),
                        0,
                        format!("a series has the unknown symbol {old}"),
                    )
                })
            };
            *label = (number(label.0)?, number(label.1)?);
        }
        Ok(())
    }
}

/// Writes the block that `meta` describes from all sources. Samples outside of its time range are left out.
/// `None` if nothing is left.
pub fn write_block(
    disk: &Arc<dyn Disk>,
    data_dir: &Path,
    meta: BlockMeta,
    sources: Vec<Box<dyn SeriesSource + '_>>,
    options: &BlockOptions,
    watch: &dyn Watch,
) -> Result<Option<BlockMeta>, BlockError> {
    let span = meta.span();
    let encode = EncodeOptions {
        samples_max: options.chunk_samples_max,
        bytes_max: options.chunk_bytes_max,
        floats: options.floats,
    };
    let (mut merged, symbols) = MergedSeries::begin(sources, span, encode)?;
    let mut writer = BlockWriter::create(disk, data_dir, meta, symbols, options)?;
    match add_all(&mut writer, &mut merged, options, watch) {
        Ok(()) => writer.finish(),
        Err(error) => {
            // The directory is not a block and is removed by the next start; the first error is the one to
            // report.
            let _ = writer.abandon();
            Err(error)
        }
    }
}

fn add_all(
    writer: &mut BlockWriter,
    merged: &mut MergedSeries<'_>,
    options: &BlockOptions,
    watch: &dyn Watch,
) -> Result<(), BlockError> {
    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
    loop {
        if !watch.goes_on() {
            return Err(BlockError::Refused("compaction was stopped".to_owned()));
        }
        if !merged.next(&mut labels, &mut chunks)? {
            return Ok(());
        }
        let joined = join(std::mem::take(&mut chunks), options).map_err(unreadable(&merged.place))?;
        writer.add_series(&labels, &joined)?;
        for chunk in &joined {
            watch.chunk_written(chunk);
        }
    }
}

/// The series of all sources in the order of labels, without duplicates, and with chunks that do not overlap.
pub struct MergedSeries<'a> {
    sources: Vec<Merging<'a>>,
    span: TimeSpan,
    encode: EncodeOptions,
    /// The source of the last chunks, for errors.
    place: PathBuf,
}

impl<'a> MergedSeries<'a> {
    /// Starts with the content of the sources in the span, and with the symbols to which the labels' numbers
    /// refer.
    pub fn begin(
        sources: Vec<Box<dyn SeriesSource + 'a>>,
        span: TimeSpan,
        encode: EncodeOptions,
    ) -> Result<(Self, SymbolTable), BlockError> {
        let (symbols, mut sources) = merge_symbols(sources)?;
        for source in &mut sources {
            source.advance()?;
        }
        Ok((MergedSeries { sources, span, encode, place: PathBuf::new() }, symbols))
    }

    /// The next series with samples; `false` if there is none.
    pub fn next(
        &mut self,
        labels: &mut Vec<(u32, u32)>,
        chunks: &mut Vec<BlockChunk>,
    ) -> Result<bool, BlockError> {
        loop {
            let with_series = self.sources.iter().filter(|source| source.more);
            let Some(least) = with_series.map(|source| &source.series.labels).min() else { return Ok(false) };
            labels.clone_from(least);
            let mut of_sources = Vec::new();
            for source in &mut self.sources {
                if !source.more || source.series.labels != *labels {
                    continue;
                }
                let mut chunks = std::mem::take(&mut source.series.chunks);
                let failed = unreadable(source.source.place());
                visible(&mut chunks, &source.series.deleted, self.span).map_err(failed)?;
                // After overlapping chunks have been cut, another one may come first.
                chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
                source.source.place().clone_into(&mut self.place);
                of_sources.push(chunks);
                source.advance()?;
            }
            of_sources.retain(|chunks| !chunks.is_empty());
            let ordered =
                |chunks: &[BlockChunk]| chunks.windows(2).all(|pair| pair[0].max_time < pair[1].min_time);
            *chunks = match of_sources.len() {
                0 => continue,
                1 if ordered(&of_sources[0]) => of_sources.swap_remove(0),
                _ => merge(of_sources, self.encode).map_err(unreadable(&self.place))?,
            };
            return Ok(true);
        }
    }
}

/// Merges the symbols of all sources into one table; also returns the mapping for each source.
fn merge_symbols<'a>(
    sources: Vec<Box<dyn SeriesSource + 'a>>,
) -> Result<(SymbolTable, Vec<Merging<'a>>), BlockError> {
    let mut table = SymbolTable::default();
    let mut merging = Vec::with_capacity(sources.len());
    // The next symbol of each source that has one.
    let mut next: Vec<Option<String>> = Vec::with_capacity(sources.len());
    for mut source in sources {
        next.push(source.next_symbol()?.map(str::to_owned));
        merging.push(Merging { source, symbols: Vec::new(), series: SourceSeries::default(), more: false });
    }
    while let Some(least) = next.iter().flatten().min().cloned() {
        let number = u32::try_from(table.len())
            .map_err(|_| BlockError::Refused("more than 4294967295 symbols".to_owned()))?;
        table.push(&least).map_err(|error| BlockError::Refused(error.to_string()))?;
        for (source, next) in merging.iter_mut().zip(&mut next) {
            if next.as_deref() == Some(&least) {
                source.symbols.push(number);
                match source.source.next_symbol()? {
                    Some(symbol) => {
                        let kept = next.get_or_insert_default();
                        kept.clear();
                        kept.push_str(symbol);
                    }
                    None => *next = None,
                }
            }
        }
    }
    Ok((table, merging))
}

/// Merges blocks on disk. The caller chooses the blocks and names.
#[derive(Clone)]
pub struct Compactor {
    /// Where blocks are written.
    pub disk: Arc<dyn Disk>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// How blocks are written.
    pub options: BlockOptions,
}

impl Compactor {
    /// Writes one block with the name `ulid` in place of `blocks`, given oldest first. The sources remain
    /// until the caller removes them after a reload. `None` if no sample is left: then the sources are marked
    /// as deletable.
    ///
    /// # Errors
    /// The sources are marked as failed, so that they are not retried again and again, unless `watch` stopped
    /// the work.
    pub fn compact(
        &self,
        blocks: &[&Block],
        ulid: Ulid,
        watch: &dyn Watch,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let metas: Vec<_> = blocks.iter().map(|block| block.meta()).collect();
        let meta = merged_meta(ulid, &metas.iter().map(|meta| &**meta).collect::<Vec<_>>());
        let written = self.write(blocks, meta, watch);
        match &written {
            Ok(Some(_)) => {}
            Ok(None) => {
                for block in blocks {
                    block.update_meta(|meta| meta.compaction.deletable = true)?;
                }
            }
            Err(_) if !watch.goes_on() => {}
            Err(_) => {
                for block in blocks {
                    // The first error is the one to report.
                    let _ = block.update_meta(|meta| meta.compaction.failed = true);
                }
            }
        }
        written
    }

    /// Rewrites the block without its deleted samples, under the name `ulid`. `None` if nothing is deleted,
    /// `Some(None)` if no sample is left. Unless the result is `None`, the old block can be removed.
    pub fn clean_tombstones(
        &self,
        block: &Block,
        ulid: Ulid,
        watch: &dyn Watch,
    ) -> Result<Option<Option<BlockMeta>>, BlockError> {
        if block.tombstones().is_empty() {
            return Ok(None);
        }
        let old = block.meta();
        let mut meta = BlockMeta::level_1(ulid, old.min_time, old.max_time);
        meta.compaction.parents = vec![old.desc()];
        meta.compaction.hints = old.compaction.hints.clone();
        self.write(&[block], meta, watch).map(Some)
    }

    fn write(
        &self,
        blocks: &[&Block],
        meta: BlockMeta,
        watch: &dyn Watch,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let mut sources: Vec<Box<dyn SeriesSource + '_>> = Vec::new();
        for block in blocks {
            sources.push(Box::new(BlockSource::new(block)?));
        }
        write_block(&self.disk, &self.data_dir, meta, sources, &self.options, watch)
    }
}

#[cfg(test)]
mod tests;
