//! Writes an index from front to back. Its memory does not grow with the number of series × labels.
//!
//! Symbols and series are written as they arrive. Then the series are read back once per batch of label
//! names, to collect which series have which value; a batch collects at most [`BATCH_ENTRIES`] of these. Only
//! the symbol table and the number of series per label name stay in memory throughout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferula_chunk::leb128;

use super::ChunkMeta;
use super::format::{
    CRC_BYTES, HEADER_BYTES, INDEX_BYTES_MAX, MAGIC, POSTINGS_ALIGN, SERIES_ALIGN, SymbolTable, TOC_BYTES,
    Toc, VERSION_2,
};
use crate::block::BlockError;
use crate::block::bytes::ByteReader;
use crate::bytes::{put_text, put_uvarint, put_varint};
use crate::disk::{Disk, ReadFile, WriteFile};

/// How many bytes are passed to the disk at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Maximum number of entries (8 bytes each) in one batch of label names.
const BATCH_ENTRIES: u64 = 8 << 20;

/// Writes the index of a block.
pub struct IndexWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn WriteFile>,
    buffer: Vec<u8>,
    /// Number of bytes written, including those in the buffer.
    position: u64,
    toc: Toc,
    symbols: SymbolTable,
    /// Number of series per label name (by symbol number), sorted by name.
    name_uses: BTreeMap<u32, u64>,
    series_count: u64,
    last_labels: Vec<(u32, u32)>,
    last_chunk: u64,
}

/// A list that was written: its label, number of series, and position.
struct WrittenList {
    /// `None` for the list of all series.
    label: Option<(u32, u32)>,
    offset: u64,
}

impl IndexWriter {
    /// Creates the file and writes the symbols.
    pub fn create(disk: &Arc<dyn Disk>, path: &Path, symbols: SymbolTable) -> Result<Self, BlockError> {
        let file = disk.create(path).map_err(|error| BlockError::io(path, error))?;
        let mut writer = IndexWriter {
            disk: disk.clone(),
            path: path.to_path_buf(),
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            position: 0,
            toc: Toc { symbols: HEADER_BYTES, ..Toc::default() },
            symbols,
            name_uses: BTreeMap::new(),
            series_count: 0,
            last_labels: Vec::new(),
            last_chunk: 0,
        };
        writer.put(&MAGIC.to_be_bytes())?;
        writer.put(&[VERSION_2])?;
        writer.put_symbols()?;
        writer.toc.series = writer.position;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.buffer.extend_from_slice(bytes);
        self.position += bytes.len() as u64;
        if self.position > INDEX_BYTES_MAX {
            return Err(BlockError::Refused(format!(
                "{:?} exceeding max size of 64GiB",
                self.path.display().to_string()
            )));
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        self.file.write_all(&self.buffer).map_err(|error| BlockError::io(&self.path, error))?;
        self.buffer.clear();
        Ok(())
    }

    fn pad(&mut self, align: u64) -> Result<(), BlockError> {
        let padding = self.position.next_multiple_of(align) - self.position;
        self.put(&[0; SERIES_ALIGN as usize][..padding as usize])
    }

    fn put_symbols(&mut self) -> Result<(), BlockError> {
        let symbols = std::mem::take(&mut self.symbols);
        let count = (symbols.len() as u32).to_be_bytes();
        let length = u32::try_from(count.len() + symbols.encoded().len())
            .map_err(|_| BlockError::Refused("symbol table size exceeds 4294967295 bytes".to_owned()))?;
        self.put(&length.to_be_bytes())?;
        self.put(&count)?;
        for part in symbols.encoded().chunks(BUFFER_BYTES) {
            self.put(part)?;
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&count), symbols.encoded());
        self.put(&crc.to_be_bytes())?;
        self.symbols = symbols;
        Ok(())
    }

    /// The symbols for the labels of series.
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Adds a series with its chunks. `labels` are symbol numbers of name and value.
    ///
    /// # Errors
    /// [`BlockError::Refused`] if series, chunks or labels are not in order.
    pub fn add_series(&mut self, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        self.check_order(labels, chunks)?;
        self.pad(SERIES_ALIGN)?;
        let mut body = Vec::with_capacity(8 + 8 * labels.len() + 8 * chunks.len());
        put_uvarint(&mut body, labels.len() as u64);
        for (name, value) in labels {
            put_uvarint(&mut body, u64::from(*name));
            put_uvarint(&mut body, u64::from(*value));
            *self.name_uses.entry(*name).or_insert(0) += 1;
        }
        put_chunks(&mut body, chunks);
        let mut length = Vec::with_capacity(4);
        put_uvarint(&mut length, body.len() as u64);
        self.put(&length)?;
        body.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        self.put(&body)?;
        self.last_labels.clear();
        self.last_labels.extend_from_slice(labels);
        self.series_count += 1;
        Ok(())
    }

    fn check_order(&mut self, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        let refused = |what: String| Err(BlockError::Refused(what));
        if labels <= &self.last_labels[..] {
            return refused(format!(
                "out-of-order series added with label set {:?}, last label set {:?}",
                self.texts(labels),
                self.texts(&self.last_labels)
            ));
        }
        if labels.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return refused(format!("labels are not sorted: {:?}", self.texts(labels)));
        }
        let known = self.symbols.len() as u64;
        if labels.iter().any(|(name, value)| u64::from(*name.max(value)) >= known) {
            return refused(format!("a label of {labels:?} is not among the {known} symbols"));
        }
        let mut before: Option<&ChunkMeta> = None;
        for chunk in chunks {
            if chunk.reference < self.last_chunk {
                return refused(format!(
                    "unsorted chunk reference: {}, previous: {}",
                    chunk.reference, self.last_chunk
                ));
            }
            if let Some(before) = before.filter(|before| chunk.min_time <= before.max_time) {
                return refused(format!(
                    "chunk minT {} is not higher than previous chunk maxT {}",
                    chunk.min_time, before.max_time
                ));
            }
            if chunk.max_time < chunk.min_time {
                return refused(format!(
                    "chunk maxT {} is less than minT {}",
                    chunk.max_time, chunk.min_time
                ));
            }
            self.last_chunk = chunk.reference;
            before = Some(chunk);
        }
        Ok(())
    }

    fn texts(&self, labels: &[(u32, u32)]) -> Vec<(&str, &str)> {
        let text = |number| self.symbols.get(number).unwrap_or("?");
        labels.iter().map(|(name, value)| (text(*name), text(*value))).collect()
    }

    /// Writes postings and tables, and syncs the file. Returns its length.
    pub fn finish(mut self) -> Result<u64, BlockError> {
        self.toc.label_indices = self.position;
        self.flush()?;
        self.toc.postings = self.position;
        let lists = self.put_postings()?;
        self.toc.label_indices_table = self.position;
        self.toc.postings_table = self.position;
        self.put_offset_table(&lists)?;
        let toc: [u8; TOC_BYTES] = self.toc.encode();
        self.put(&toc)?;
        self.flush()?;
        self.file.sync_data().map_err(|error| BlockError::io(&self.path, error))?;
        Ok(self.position)
    }

    fn put_postings(&mut self) -> Result<Vec<WrittenList>, BlockError> {
        let file = self.disk.open(&self.path).map_err(|error| BlockError::io(&self.path, error))?;
        self.pad(POSTINGS_ALIGN)?;
        let mut lists = Vec::new();
        let mut all = Vec::with_capacity(usize::try_from(self.series_count).unwrap_or(0));
        self.scan_series(&*file, |series, _| {
            all.push(series);
            Ok(())
        })?;
        self.put_list(None, &all, &mut lists)?;
        drop(all);
        let mut names: Vec<(u32, u64)> = std::mem::take(&mut self.name_uses).into_iter().rev().collect();
        while let Some((first, uses)) = names.pop() {
            let mut batch = BTreeMap::from([(first, Vec::with_capacity(uses as usize))]);
            let mut entries = uses;
            while let Some((name, uses)) = names.pop_if(|(_, uses)| entries + *uses <= BATCH_ENTRIES) {
                batch.insert(name, Vec::with_capacity(uses as usize));
                entries += uses;
            }
            self.put_batch(&*file, batch, &mut lists)?;
        }
        Ok(lists)
    }

    /// Writes the lists of all values of some names: for each name, `batch` has space for value << 32 |
    /// series.
    fn put_batch(
        &mut self,
        file: &dyn ReadFile,
        mut batch: BTreeMap<u32, Vec<u64>>,
        lists: &mut Vec<WrittenList>,
    ) -> Result<(), BlockError> {
        self.scan_series(file, |series, reader| {
            for _ in 0..reader.uvarint()? {
                let (name, value) = (reader.uvarint32()?, reader.uvarint32()?);
                if let Some(entries) = batch.get_mut(&name) {
                    entries.push(u64::from(value) << 32 | u64::from(series));
                }
            }
            Ok(())
        })?;
        let mut list = Vec::new();
        for (name, mut entries) in batch {
            entries.sort_unstable();
            for of_value in entries.chunk_by(|a, b| a >> 32 == b >> 32) {
                list.clear();
                list.extend(of_value.iter().map(|entry| *entry as u32));
                self.put_list(Some((name, (of_value[0] >> 32) as u32)), &list, lists)?;
            }
        }
        Ok(())
    }

    /// Calls `visit` with the number and body of every series written so far.
    fn scan_series(
        &self,
        file: &dyn ReadFile,
        mut visit: impl FnMut(u32, &mut ByteReader<'_>) -> Result<(), crate::block::bytes::Malformed>,
    ) -> Result<(), BlockError> {
        let (mut at, end) = (self.toc.series, self.toc.label_indices);
        let mut window = Vec::new();
        // The window always begins at a series, and grows if that does not fit.
        let mut window_bytes = BUFFER_BYTES as u64;
        while at < end {
            window.resize(usize::try_from(window_bytes.min(end - at)).expect("a window fits memory"), 0);
            let read = file.read_at(&mut window, at).map_err(|error| BlockError::io(&self.path, error))?;
            window.truncate(read);
            let mut used = 0;
            loop {
                let aligned = (at + used).next_multiple_of(SERIES_ALIGN) - at;
                if at + aligned >= end {
                    return Ok(());
                }
                let rest = window.get(aligned as usize..).unwrap_or(&[]);
                let mut reader = ByteReader::new(rest, at + aligned);
                let Ok(body) = reader.prefixed().and_then(|body| reader.bytes(CRC_BYTES).map(|_| body))
                else {
                    break;
                };
                let series = u32::try_from((at + aligned) / SERIES_ALIGN)
                    .map_err(|_| BlockError::corrupt(&self.path, at + aligned, "series number of 32 bits"))?;
                visit(series, &mut ByteReader::new(body, at + aligned))
                    .map_err(|malformed| malformed.in_file(&self.path))?;
                used = aligned + reader.position() as u64;
            }
            if used == 0 {
                if window_bytes >= end - at {
                    return Err(BlockError::corrupt(
                        &self.path,
                        at,
                        "a series that was written cannot be found",
                    ));
                }
                window_bytes *= 2;
            }
            at += used;
        }
        Ok(())
    }

    fn put_list(
        &mut self,
        label: Option<(u32, u32)>,
        list: &[u32],
        lists: &mut Vec<WrittenList>,
    ) -> Result<(), BlockError> {
        self.pad(POSTINGS_ALIGN)?;
        lists.push(WrittenList { label, offset: self.position });
        let length = u32::try_from(4 + 4 * list.len() as u64)
            .map_err(|_| BlockError::Refused("posting size exceeds 4 bytes".to_owned()))?;
        let mut body = Vec::with_capacity(4 + 4 * list.len());
        body.extend_from_slice(&(list.len() as u32).to_be_bytes());
        list.iter().for_each(|series| body.extend_from_slice(&series.to_be_bytes()));
        let crc = crc32c::crc32c(&body);
        self.put(&length.to_be_bytes())?;
        self.put(&body)?;
        self.put(&crc.to_be_bytes())
    }

    fn put_offset_table(&mut self, lists: &[WrittenList]) -> Result<(), BlockError> {
        let symbols = std::mem::take(&mut self.symbols);
        let text = |number: u32| symbols.get(number).unwrap_or("");
        let texts =
            |list: &WrittenList| list.label.map_or(("", ""), |(name, value)| (text(name), text(value)));
        let text_bytes = |text: &str| leb128::bytes(text.len() as u64) + text.len();
        let entries: u64 = lists
            .iter()
            .map(|list| {
                let (name, value) = texts(list);
                (1 + text_bytes(name) + text_bytes(value) + leb128::bytes(list.offset)) as u64
            })
            .sum();
        let length = u32::try_from(4 + entries)
            .map_err(|_| BlockError::Refused(format!("length size exceeds 4 bytes: {entries}")))?;
        self.put(&length.to_be_bytes())?;
        let mut entry = (lists.len() as u32).to_be_bytes().to_vec();
        let mut crc = crc32c::crc32c(&entry);
        self.put(&entry)?;
        for list in lists {
            let (name, value) = texts(list);
            entry.clear();
            entry.push(2);
            put_text(&mut entry, name);
            put_text(&mut entry, value);
            put_uvarint(&mut entry, list.offset);
            crc = crc32c::crc32c_append(crc, &entry);
            self.put(&entry)?;
        }
        self.symbols = symbols;
        self.put(&crc.to_be_bytes())
    }
}

/// Times and positions are relative to the previous chunk.
fn put_chunks(body: &mut Vec<u8>, chunks: &[ChunkMeta]) {
    put_uvarint(body, chunks.len() as u64);
    let mut before: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match before {
            None => put_varint(body, chunk.min_time),
            Some(before) => put_uvarint(body, chunk.min_time.wrapping_sub(before.max_time) as u64),
        }
        put_uvarint(body, chunk.max_time.wrapping_sub(chunk.min_time) as u64);
        match before {
            None => put_uvarint(body, chunk.reference),
            Some(before) => put_varint(body, chunk.reference.wrapping_sub(before.reference) as i64),
        }
        before = Some(chunk);
    }
}
