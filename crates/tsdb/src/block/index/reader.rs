//! Reads an index of version 1, 2 or 3, with or without the sections that are no longer written.
//!
//! The checksums of symbols and of the postings table are verified when the file is opened, those of series
//! and postings when they are read. In memory are every eighth position of the symbol table, every 32nd
//! position of the postings table, and the label names.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use ferula_model::{LabelSet, LabelSetBuilder};

use super::ChunkMeta;
use super::format::{
    CRC_BYTES, HEADER_BYTES, MAGIC, SERIES_ALIGN, TOC_BYTES, Toc, VERSION_1, VERSION_2, VERSION_3,
};
use crate::blob::{Access, Blob, BlobSlice};
use crate::block::BlockError;
use crate::block::bytes::{ByteReader, Malformed};
use crate::disk::Disk;
use crate::ids::TimeSpan;
use crate::postings;

/// The position of every eighth symbol is kept.
const SYMBOL_STEP: usize = 8;
/// The position of every 32nd value of a label is kept.
const VALUE_STEP: usize = 32;
/// Most series entries are shorter.
const SERIES_BYTES_USUAL: usize = 512;

/// An index.
#[derive(Debug)]
pub struct IndexReader {
    blob: Blob,
    version: u8,
    toc: Toc,
    symbols: Symbols,
    postings: PostingsTable,
}

/// A series: its labels as symbols, and its chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Name and value, as numbers for [`IndexReader::symbol`].
    pub labels: Vec<(u32, u32)>,
    /// Its chunks, in order of time.
    pub chunks: Vec<ChunkMeta>,
}

impl SeriesEntry {
    /// The time from its first to its last sample.
    pub fn span(&self) -> TimeSpan {
        let ends = self.chunks.first().zip(self.chunks.last());
        ends.map_or(TimeSpan::EMPTY, |(first, last)| TimeSpan::closed(first.min_time, last.max_time))
    }
}

#[derive(Debug)]
struct Symbols {
    /// The section's content: count, then the symbols.
    section: BlobSlice,
    /// Position of the content in the file.
    base: u64,
    count: u32,
    /// Position of every [`SYMBOL_STEP`]th symbol in the content.
    starts: Vec<u32>,
}

/// The positions of the postings lists.
#[derive(Debug)]
enum PostingsTable {
    /// Version 1 is unsorted, so all of it is kept.
    Whole(BTreeMap<Box<str>, BTreeMap<Box<str>, u64>>),
    /// Sorted by name and value.
    Sparse { section: BlobSlice, base: u64, names: Vec<NameEntry> },
}

/// The values of a label in the postings table.
#[derive(Debug)]
struct NameEntry {
    name: Box<str>,
    values: u32,
    /// Position of every [`VALUE_STEP`]th value.
    starts: Vec<u32>,
}

impl IndexReader {
    /// Opens the index at `path` and verifies its tables.
    pub fn open(disk: &dyn Disk, path: &Path, access: Access) -> Result<Self, BlockError> {
        let blob = Blob::open(disk, path, access).map_err(|error| BlockError::io(path, error))?;
        let header = range(&blob, 0, HEADER_BYTES as usize)?;
        if header[..4] != MAGIC.to_be_bytes() {
            return Err(BlockError::corrupt(path, 0, format!("invalid magic number {:x}", magic(&header))));
        }
        let version = header[4];
        if ![VERSION_1, VERSION_2, VERSION_3].contains(&version) {
            return Err(BlockError::corrupt(path, 4, format!("unknown index file version {version}")));
        }
        let toc_at = blob
            .bytes()
            .checked_sub(TOC_BYTES as u64)
            .ok_or_else(|| BlockError::corrupt(path, 0, "too short for a table of contents"))?;
        let toc = Toc::decode(&range(&blob, toc_at, TOC_BYTES)?, toc_at).map_err(|m| m.in_file(path))?;
        let symbols = Symbols::read(&blob, toc.symbols)?;
        let postings = PostingsTable::read(&blob, toc.postings_table, version)?;
        Ok(IndexReader { blob, version, toc, symbols, postings })
    }

    /// Version of the file's format.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Length of the file.
    pub fn bytes(&self) -> u64 {
        self.blob.bytes()
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.blob.path()
    }

    /// Where its sections begin.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    fn in_file(&self, malformed: Malformed) -> BlockError {
        malformed.in_file(self.path())
    }

    /// Calls `visit` with every symbol in order, and with the number by which series refer to it.
    pub fn each_symbol(&self, mut visit: impl FnMut(u32, &str)) -> Result<(), BlockError> {
        let mut reader = self.symbols.reader(4);
        for number in 0..self.symbols.count {
            let reference = if self.version == VERSION_1 {
                u32::try_from(reader.offset())
                    .map_err(|_| self.in_file(reader.malformed("offset of 32 bits")))?
            } else {
                number
            };
            let text = reader.text().map_err(|malformed| self.in_file(malformed))?;
            visit(reference, text);
        }
        Ok(())
    }

    /// The memory used for the symbol table; the symbols themselves stay in the file.
    pub fn symbol_table_bytes(&self) -> usize {
        self.symbols.starts.len() * size_of::<u32>()
    }

    /// Number of symbols.
    pub fn symbol_count(&self) -> u32 {
        self.symbols.count
    }

    /// The text for a number in a series.
    #[inline]
    pub fn symbol(&self, reference: u32) -> Result<&str, BlockError> {
        let text = if self.version == VERSION_1 {
            self.symbols.at_offset(reference)
        } else {
            self.symbols.get(reference)
        };
        text.map_err(|malformed| self.in_file(malformed))
    }

    /// Names of all labels, sorted.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        let (whole, sparse) = match &self.postings {
            PostingsTable::Whole(names) => (Some(names), None),
            PostingsTable::Sparse { names, .. } => (None, Some(names)),
        };
        let whole = whole.into_iter().flat_map(|names| names.keys().map(|name| &**name));
        let sparse = sparse.into_iter().flat_map(|names| names.iter().map(|entry| &*entry.name));
        // The list of all series has an empty name.
        whole.chain(sparse).filter(|name| !name.is_empty())
    }

    /// Number of values of a label.
    pub fn value_count(&self, name: &str) -> usize {
        match &self.postings {
            PostingsTable::Whole(names) => names.get(name).map_or(0, BTreeMap::len),
            PostingsTable::Sparse { names, .. } => find_name(names, name).map_or(0, |e| e.values as usize),
        }
    }

    /// Calls `visit` with every value of a label in order, and with the argument for
    /// [`postings_at`](Self::postings_at).
    pub fn each_value(
        &self,
        name: &str,
        mut visit: impl FnMut(&str, u64) -> Result<ControlFlow<()>, BlockError>,
    ) -> Result<(), BlockError> {
        match &self.postings {
            PostingsTable::Whole(names) => {
                for (value, offset) in names.get(name).into_iter().flatten() {
                    if visit(value, *offset)?.is_break() {
                        break;
                    }
                }
            }
            PostingsTable::Sparse { section, base, names } => {
                let Some(entry) = find_name(names, name) else { return Ok(()) };
                let first = entry.starts.first().copied().unwrap_or(0);
                let mut reader = reader_at(section, *base, first);
                for _ in 0..entry.values {
                    let (_, value, offset) = table_entry(&mut reader).map_err(|m| self.in_file(m))?;
                    if visit(value, offset)?.is_break() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// All values of a label, sorted.
    pub fn label_values(&self, name: &str) -> Result<Vec<String>, BlockError> {
        let mut values = Vec::with_capacity(self.value_count(name).min(1 << 20));
        self.each_value(name, |value, _| {
            values.push(value.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(values)
    }

    /// Numbers of all series in ascending order, which is the order of their labels.
    pub fn all_postings(&self) -> Result<Vec<u32>, BlockError> {
        self.postings("", "")
    }

    /// Numbers of the series with this label, in ascending order.
    pub fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, BlockError> {
        match self.find_postings(name, value)? {
            Some(offset) => self.postings_at(offset),
            None => Ok(Vec::new()),
        }
    }

    /// Numbers of the series whose value of the label satisfies `matches`, in ascending order.
    pub fn postings_where(
        &self,
        name: &str,
        mut matches: impl FnMut(&str) -> bool,
    ) -> Result<Vec<u32>, BlockError> {
        let mut lists = Vec::new();
        self.each_value(name, |value, offset| {
            if matches(value) {
                lists.push(self.postings_at(offset)?);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(postings::union(lists))
    }

    fn find_postings(&self, name: &str, value: &str) -> Result<Option<u64>, BlockError> {
        let (section, base, names) = match &self.postings {
            PostingsTable::Whole(names) => return Ok(names.get(name).and_then(|v| v.get(value)).copied()),
            PostingsTable::Sparse { section, base, names } => (section, *base, names),
        };
        let Some(entry) = find_name(names, name) else { return Ok(None) };
        let value_at =
            |start: u32| table_entry(&mut reader_at(section, base, start)).map(|(_, value, _)| value);
        // The last kept position whose value is not greater than the one to find.
        let step = entry.starts.partition_point(|start| value_at(*start).is_ok_and(|at| at <= value));
        let Some(step) = step.checked_sub(1) else { return Ok(None) };
        let mut reader = reader_at(section, base, entry.starts[step]);
        let left = (entry.values as usize).saturating_sub(step * VALUE_STEP).min(VALUE_STEP);
        for _ in 0..left {
            let (_, at, offset) = table_entry(&mut reader).map_err(|malformed| self.in_file(malformed))?;
            if at >= value {
                return Ok((at == value).then_some(offset));
            }
        }
        Ok(None)
    }

    /// The list at a position from [`each_value`](Self::each_value).
    pub fn postings_at(&self, offset: u64) -> Result<Vec<u32>, BlockError> {
        let content = section(&self.blob, offset)?;
        let mut reader = ByteReader::new(&content, offset + 4);
        let count = reader.be32().map_err(|malformed| self.in_file(malformed))?;
        if reader.left() as u64 != u64::from(count) * 4 {
            let what = format!(
                "unexpected postings length, should be {} bytes for {count} postings, got {} bytes",
                u64::from(count) * 4,
                reader.left()
            );
            return Err(BlockError::corrupt(self.path(), offset, what));
        }
        let numbers = content[4..].chunks_exact(4);
        Ok(numbers.map(|n| u32::from_be_bytes(n.try_into().expect("a number has 4 bytes"))).collect())
    }

    /// Reads the series with this number into `entry`.
    pub fn series(&self, number: u32, entry: &mut SeriesEntry) -> Result<(), BlockError> {
        let align = if self.version == VERSION_1 { 1 } else { SERIES_ALIGN };
        let offset = u64::from(number) * align;
        let body = self.series_body(offset)?;
        let mut reader = ByteReader::new(&body, offset);
        read_series(&mut reader, entry).map_err(|malformed| self.in_file(malformed))
    }

    fn series_body(&self, offset: u64) -> Result<BlobSlice, BlockError> {
        let io = |error| BlockError::io(self.path(), error);
        let start = self.blob.prefix(offset, SERIES_BYTES_USUAL).map_err(io)?;
        let mut reader = ByteReader::new(&start, offset);
        let length = reader.uvarint32().map_err(|malformed| self.in_file(malformed))? as usize;
        let from = reader.position();
        let whole = if reader.left() >= length + CRC_BYTES {
            start
        } else {
            range(&self.blob, offset, from + length + CRC_BYTES)?
        };
        let (body, crc) = whole[from..].split_at(length);
        if crc32c::crc32c(body).to_be_bytes() != crc[..CRC_BYTES] {
            return Err(BlockError::corrupt(self.path(), offset, "checksum of the series does not match"));
        }
        Ok(whole.slice(from, from + length))
    }

    /// The labels of a series.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<LabelSet, BlockError> {
        let mut pairs = Vec::with_capacity(entry.labels.len());
        for (name, value) in &entry.labels {
            pairs.push((self.symbol(*name)?, self.symbol(*value)?));
        }
        let sorted = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if sorted && pairs.iter().all(|(_, value)| !value.is_empty()) {
            return Ok(LabelSet::from_sorted(pairs));
        }
        // Only a damaged or foreign index leads here.
        let mut builder = LabelSetBuilder::new();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        Ok(builder.finish())
    }
}

fn magic(header: &[u8]) -> u32 {
    header.iter().take(4).fold(0, |magic, byte| magic << 8 | u32::from(*byte))
}

fn range(blob: &Blob, offset: u64, len: usize) -> Result<BlobSlice, BlockError> {
    blob.range(offset, len).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => BlockError::corrupt(blob.path(), offset, error.to_string()),
        _ => BlockError::io(blob.path(), error),
    })
}

/// The content of a section between its length and its checksum, which is verified.
fn section(blob: &Blob, offset: u64) -> Result<BlobSlice, BlockError> {
    let length = magic(&range(blob, offset, 4)?) as usize;
    let whole = range(blob, offset.saturating_add(4), length + CRC_BYTES)?;
    let (content, crc) = whole.split_at(length);
    if crc32c::crc32c(content).to_be_bytes() != *crc {
        return Err(BlockError::corrupt(blob.path(), offset, "checksum of the section does not match"));
    }
    Ok(whole.slice(0, length))
}

fn reader_at(section: &BlobSlice, base: u64, start: u32) -> ByteReader<'_> {
    let start = (start as usize).min(section.len());
    ByteReader::new(&section[start..], base + start as u64)
}

fn find_name<'a>(names: &'a [NameEntry], name: &str) -> Option<&'a NameEntry> {
    names.binary_search_by(|entry| (*entry.name).cmp(name)).ok().map(|at| &names[at])
}

/// Name, value and offset of an entry of the postings table.
fn table_entry<'a>(reader: &mut ByteReader<'a>) -> Result<(&'a str, &'a str, u64), Malformed> {
    if reader.uvarint()? != 2 {
        return Err(reader.malformed("unexpected number of keys for postings offset table"));
    }
    Ok((reader.text()?, reader.text()?, reader.uvarint()?))
}

fn read_series(reader: &mut ByteReader<'_>, entry: &mut SeriesEntry) -> Result<(), Malformed> {
    entry.labels.clear();
    entry.chunks.clear();
    for _ in 0..reader.uvarint()? {
        entry.labels.push((reader.uvarint32()?, reader.uvarint32()?));
    }
    let count = reader.uvarint()?;
    let mut before: Option<ChunkMeta> = None;
    for _ in 0..count {
        let min_time = match before {
            None => reader.varint()?,
            Some(before) => before.max_time.wrapping_add(reader.uvarint()? as i64),
        };
        let max_time = min_time.wrapping_add(reader.uvarint()? as i64);
        let reference = match before {
            None => reader.uvarint()?,
            Some(before) => before.reference.wrapping_add(reader.varint()? as u64),
        };
        let chunk = ChunkMeta { min_time, max_time, reference };
        entry.chunks.push(chunk);
        before = Some(chunk);
    }
    Ok(())
}

impl Symbols {
    fn read(blob: &Blob, offset: u64) -> Result<Self, BlockError> {
        let content = section(blob, offset)?;
        let base = offset + 4;
        let mut reader = ByteReader::new(&content, base);
        let mut read = || {
            let count = reader.be32()?;
            // Each takes at least one byte.
            if count as usize > reader.left() {
                return Err(reader.malformed("more symbols than bytes"));
            }
            let mut starts = Vec::with_capacity(count as usize / SYMBOL_STEP + 1);
            for number in 0..count as usize {
                if number.is_multiple_of(SYMBOL_STEP) {
                    let start = u32::try_from(reader.position());
                    starts.push(start.map_err(|_| reader.malformed("offset of 32 bits"))?);
                }
                reader.prefixed()?;
            }
            Ok((count, starts))
        };
        let (count, starts) = read().map_err(|malformed| malformed.in_file(blob.path()))?;
        Ok(Symbols { section: content, base, count, starts })
    }

    fn reader(&self, start: u32) -> ByteReader<'_> {
        reader_at(&self.section, self.base, start)
    }

    #[inline]
    fn get(&self, number: u32) -> Result<&str, Malformed> {
        let unknown = Malformed { offset: self.base, what: "unknown symbol" };
        if number >= self.count {
            return Err(unknown);
        }
        let start = self.starts.get(number as usize / SYMBOL_STEP).ok_or(unknown)?;
        let mut reader = self.reader(*start);
        for _ in 0..number as usize % SYMBOL_STEP {
            reader.prefixed()?;
        }
        reader.text()
    }

    /// Version 1 refers to symbols by their position in the file.
    fn at_offset(&self, offset: u32) -> Result<&str, Malformed> {
        let unknown = Malformed { offset: u64::from(offset), what: "unknown symbol" };
        let start = u64::from(offset).checked_sub(self.base).and_then(|start| u32::try_from(start).ok());
        self.reader(start.ok_or(unknown)?).text()
    }
}

impl PostingsTable {
    fn read(blob: &Blob, offset: u64, version: u8) -> Result<Self, BlockError> {
        let content = section(blob, offset)?;
        let base = offset + 4;
        let mut reader = ByteReader::new(&content, base);
        let table = if version == VERSION_1 {
            read_whole(&mut reader).map(PostingsTable::Whole)
        } else {
            read_sparse(&mut reader).map(|names| PostingsTable::Sparse {
                section: content.clone(),
                base,
                names,
            })
        };
        table.map_err(|malformed| malformed.in_file(blob.path()))
    }
}

fn read_whole(reader: &mut ByteReader<'_>) -> Result<BTreeMap<Box<str>, BTreeMap<Box<str>, u64>>, Malformed> {
    let mut names: BTreeMap<Box<str>, BTreeMap<Box<str>, u64>> = BTreeMap::new();
    for _ in 0..reader.be32()? {
        let (name, value, offset) = table_entry(reader)?;
        match names.get_mut(name) {
            Some(values) => values.insert(value.into(), offset),
            None => names.entry(name.into()).or_default().insert(value.into(), offset),
        };
    }
    Ok(names)
}

fn read_sparse(reader: &mut ByteReader<'_>) -> Result<Vec<NameEntry>, Malformed> {
    let mut names: Vec<NameEntry> = Vec::new();
    let mut last_value = "";
    for _ in 0..reader.be32()? {
        let start = reader.clone();
        let (name, value, _) = table_entry(reader)?;
        let known = names.last().is_some_and(|entry| *entry.name == *name);
        let rises =
            names.last().is_none_or(|entry| if known { last_value < value } else { *entry.name < *name });
        if !rises {
            return Err(start.malformed("postings offset table is not sorted"));
        }
        if !known {
            names.push(NameEntry { name: name.into(), values: 0, starts: Vec::new() });
        }
        let entry = names.last_mut().expect("the name was added if it was not there");
        if (entry.values as usize).is_multiple_of(VALUE_STEP) {
            let place = u32::try_from(start.position());
            entry.starts.push(place.map_err(|_| start.malformed("offset of 32 bits"))?);
        }
        entry.values += 1;
        last_value = value;
    }
    Ok(names)
}
