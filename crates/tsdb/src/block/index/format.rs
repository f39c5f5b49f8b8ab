//! Sections of the index that reader and writer share.
//!
//! ```text
//! u32 magic | u8 version | symbols | series | postings | postings offset table | table of contents
//! ```

use crate::block::bytes::{ByteReader, Malformed};
use crate::bytes::put_text;

/// First four bytes of the file.
pub const MAGIC: u32 = 0xBAAA_D700;
/// Symbols are named by position in the file, series are unaligned, the postings table is unsorted.
pub const VERSION_1: u8 = 1;
/// The version that ferula writes: symbols are named by number, series are aligned to 16 bytes.
pub const VERSION_2: u8 = 2;
/// Reserved by Prometheus, with the same layout as version 2.
pub const VERSION_3: u8 = 3;
/// Magic and version.
pub const HEADER_BYTES: u64 = 5;
/// In version 2, series begin at multiples of this; their numbers are offsets divided by it.
pub const SERIES_ALIGN: u64 = 16;
/// Postings lists begin at multiples of this.
pub const POSTINGS_ALIGN: u64 = 4;
/// A checksum.
pub const CRC_BYTES: usize = 4;
/// The table of contents, the last bytes of the file.
pub const TOC_BYTES: usize = 6 * 8 + CRC_BYTES;
/// The maximum size follows from series numbers of 32 bits.
pub const INDEX_BYTES_MAX: u64 = SERIES_ALIGN * u32::MAX as u64;

/// Positions of the sections; 0 for a missing one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toc {
    /// The symbol table.
    pub symbols: u64,
    pub series: u64,
    /// Value lists per label, which are no longer written; then the end of the series.
    pub label_indices: u64,
    /// The table of these lists, likewise; then the same as `postings_table`.
    pub label_indices_table: u64,
    /// The postings lists.
    pub postings: u64,
    /// The table with the positions of postings lists.
    pub postings_table: u64,
}

impl Toc {
    /// Encodes the last bytes of the file.
    pub fn encode(&self) -> [u8; TOC_BYTES] {
        let fields = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ];
        let mut out = [0; TOC_BYTES];
        for (bytes, field) in out.chunks_exact_mut(8).zip(fields) {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[..TOC_BYTES - CRC_BYTES]);
        out[TOC_BYTES - CRC_BYTES..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Decodes the last bytes of a file, which begin at `base`.
    pub fn decode(data: &[u8], base: u64) -> Result<Self, Malformed> {
        let mut reader = ByteReader::new(data, base);
        let fields = reader.bytes(TOC_BYTES - CRC_BYTES)?;
        if crc32c::crc32c(fields) != reader.be32()? {
            return Err(Malformed { offset: base, what: "checksum of the table of contents does not match" });
        }
        let mut reader = ByteReader::new(fields, base);
        Ok(Toc {
            symbols: reader.be64()?,
            series: reader.be64()?,
            label_indices: reader.be64()?,
            label_indices_table: reader.be64()?,
            postings: reader.be64()?,
            postings_table: reader.be64()?,
        })
    }
}

/// Why a text cannot be added to a symbol table. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    #[error("symbol {0:?} out-of-order")]
    OutOfOrder(String),
    #[error("symbol table size exceeds 4294967295 bytes")]
    TooLarge,
}

/// All label names and values of a block, sorted bytewise. Series refer to them by number, from 0.
///
/// Numbers sort like the texts, so that comparing numbers compares labels.
#[derive(Clone, Debug, Default)]
pub struct SymbolTable {
    /// Texts preceded by their length, as in the file.
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl SymbolTable {
    /// Creates a table from texts in strictly ascending order.
    ///
    /// # Errors
    /// The first text that is not greater than the one before, or that makes the table exceed its length
    /// field.
    pub fn from_sorted<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, SymbolError> {
        let mut table = SymbolTable::default();
        texts.into_iter().try_for_each(|text| table.push(text.as_ref()))?;
        Ok(table)
    }

    /// Adds a text that sorts after all others.
    ///
    /// # Errors
    /// As [`from_sorted`](Self::from_sorted).
    pub fn push(&mut self, text: &str) -> Result<(), SymbolError> {
        if !self.is_empty() && self.get(self.len() as u32 - 1).is_some_and(|last| last >= text) {
            return Err(SymbolError::OutOfOrder(text.to_owned()));
        }
        let start = u32::try_from(self.bytes.len()).ok().filter(|start| *start < u32::MAX - (8 << 10));
        self.starts.push(start.ok_or(SymbolError::TooLarge)?);
        put_text(&mut self.bytes, text);
        Ok(())
    }

    /// The text with this number.
    pub fn get(&self, number: u32) -> Option<&str> {
        let start = *self.starts.get(number as usize)? as usize;
        ByteReader::new(&self.bytes[start..], 0).text().ok()
    }

    /// The number of a text.
    pub fn find(&self, text: &str) -> Option<u32> {
        let at = self.starts.partition_point(|start| {
            ByteReader::new(&self.bytes[*start as usize..], 0).text().is_ok_and(|symbol| symbol < text)
        });
        let at = u32::try_from(at).ok()?;
        (self.get(at)? == text).then_some(at)
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The texts one after another, each preceded by its length.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }
}
