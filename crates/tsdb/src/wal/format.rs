//! Layout, record kinds and names of the log's files; see docs/format/wal.md. Only this file contains them.
//!
//! ```text
//! segment:  page page page …            (each 32 KiB, the last may be short)
//! page:     fragment fragment … zeros
//! fragment: kind u8 | length u16 | crc32c u32 | bytes          (integers big-endian)
//! kind:     low 3 bits 0 rest of page is zeros, 1 whole record, 2 first, 3 middle, 4 last part of one;
//!           0x08 the record is snappy, 0x10 zstd
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{DirEntry, Disk};

/// A page; a fragment never crosses its end.
pub const PAGE_BYTES: usize = 32 * 1024;
/// Maximum size of a segment, unless the options differ; a record never crosses its end.
pub const SEGMENT_BYTES: u64 = 128 << 20;

const KIND_BYTES: usize = 1;
const LENGTH_BYTES: usize = 2;
const CRC_BYTES: usize = 4;
/// Size of the header of a fragment.
pub const HEADER_BYTES: usize = KIND_BYTES + LENGTH_BYTES + CRC_BYTES;
const _: () = assert!(HEADER_BYTES < PAGE_BYTES && PAGE_BYTES <= u16::MAX as usize + 1);

/// Maximum size of a decompressed record; a larger size in a header is a sign of damage.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

const SNAPPY_BIT: u8 = 0x08;
const ZSTD_BIT: u8 = 0x10;
const KIND_MASK: u8 = 0x07;

/// How records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    None,
    /// Snappy, the default of Prometheus before version 3.
    Snappy,
    /// Zstandard.
    #[default]
    Zstd,
}

/// The part of a record that a fragment contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentPart {
    /// The rest of the page is zeros.
    PageEnd,
    /// A whole record.
    Full,
    /// The first part of a record.
    First,
    /// A middle part of a record.
    Middle,
    /// The last part of a record.
    Last,
}

/// The kind byte of a fragment.
pub fn kind_byte(part: FragmentPart, compression: Compression) -> u8 {
    let part = match part {
        FragmentPart::PageEnd => 0,
        FragmentPart::Full => 1,
        FragmentPart::First => 2,
        FragmentPart::Middle => 3,
        FragmentPart::Last => 4,
    };
    part | match compression {
        Compression::None => 0,
        Compression::Snappy => SNAPPY_BIT,
        Compression::Zstd => ZSTD_BIT,
    }
}

/// Decodes a kind byte; `None` if it is invalid.
pub fn parse_kind(kind: u8) -> Option<(FragmentPart, Compression)> {
    let part = match kind & KIND_MASK {
        0 => FragmentPart::PageEnd,
        1 => FragmentPart::Full,
        2 => FragmentPart::First,
        3 => FragmentPart::Middle,
        4 => FragmentPart::Last,
        _ => return None,
    };
    let compression = if kind & SNAPPY_BIT != 0 {
        Compression::Snappy
    } else if kind & ZSTD_BIT != 0 {
        Compression::Zstd
    } else {
        Compression::None
    };
    Some((part, compression))
}

/// Frames a record after `used` bytes of its page. Returns the number of fragments.
pub fn put_fragments(out: &mut Vec<u8>, used: usize, record: &[u8], compression: Compression) -> u64 {
    let (start, mut rest, mut fragments) = (out.len(), record, 0);
    while fragments == 0 || !rest.is_empty() {
        let mut left = PAGE_BYTES - (used + out.len() - start) % PAGE_BYTES;
        // A page without space for a header and a byte is full; its rest is zeros.
        if left <= HEADER_BYTES {
            out.resize(out.len() + left, 0);
            left = PAGE_BYTES;
        }
        let (part, after) = rest.split_at(rest.len().min(left - HEADER_BYTES));
        let kind = match (fragments == 0, after.is_empty()) {
            (true, true) => FragmentPart::Full,
            (true, false) => FragmentPart::First,
            (false, false) => FragmentPart::Middle,
            (false, true) => FragmentPart::Last,
        };
        out.push(kind_byte(kind, compression));
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(part).to_be_bytes());
        out.extend_from_slice(part);
        rest = after;
        fragments += 1;
    }
    fragments
}

/// Path of a segment.
pub fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}"))
}

/// A segment in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u32,
    /// Its length.
    pub bytes: u64,
}

/// Larger segment numbers are refused: they leave no space for subsequent ones.
pub const SEGMENT_NUMBER_MAX: u32 = u32::MAX - (1 << 20);

/// The number of a segment with this file name, as Prometheus writes it; a name in another form would be read from a path at
/// which there is nothing.
pub fn segment_number(name: &str) -> Option<u32> {
    let number = name.parse().ok().filter(|number| *number <= SEGMENT_NUMBER_MAX)?;
    (format!("{number:08}") == name).then_some(number)
}

/// What is in a directory; nothing when it is not there.
pub fn list_if_there(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<DirEntry>> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// Longer files are not segments: none is longer than the size at which a segment is full, and a record.
pub const SEGMENT_FILE_BYTES_MAX: u64 = 2 << 30;

fn is_segment(entry: &DirEntry) -> bool {
    entry.stat.is_file && entry.stat.bytes <= SEGMENT_FILE_BYTES_MAX
}

/// Names that look like a segment's and are not: another form, too large a number, no file, a file that is too long.
pub fn list_strangers(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<String>> {
    let entries = list_if_there(disk, dir)?;
    let mut names: Vec<String> = entries
        .into_iter()
        .filter(|entry| entry.name.bytes().all(|b| b.is_ascii_digit()))
        .filter(|entry| !is_segment(entry) || segment_number(&entry.name).is_none())
        .map(|entry| entry.name)
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Segments of a directory, sorted by number; a missing directory has none.
pub fn list_segments(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Segment>> {
    let entries = list_if_there(disk, dir)?;
    let mut segments: Vec<Segment> = entries
        .iter()
        .filter(|entry| is_segment(entry))
        .filter_map(|entry| Some(Segment { number: segment_number(&entry.name)?, bytes: entry.stat.bytes }))
        .collect();
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

/// Prefix of a checkpoint's directory name.
pub const CHECKPOINT_PREFIX: &str = "checkpoint.";
/// Suffix of a segment that is being repaired, followed by [`TEMPORARY_SUFFIX`].
pub const REPAIR_SUFFIX: &str = ".repair";
/// Suffix of an unfinished directory or file.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Directory of the checkpoint that replaces all segments up to `segment`.
pub fn checkpoint_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{CHECKPOINT_PREFIX}{segment:08}"))
}

/// Numbers of the checkpoints in a directory, oldest first.
pub fn list_checkpoints(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u32>> {
    let entries = list_if_there(disk, dir)?;
    let mut numbers: Vec<u32> = entries
        .iter()
        .filter(|entry| entry.stat.is_dir)
        .filter_map(|entry| segment_number(entry.name.strip_prefix(CHECKPOINT_PREFIX)?))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_round_trip() {
        for part in [
            FragmentPart::PageEnd,
            FragmentPart::Full,
            FragmentPart::First,
            FragmentPart::Middle,
            FragmentPart::Last,
        ] {
            for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
                assert_eq!(parse_kind(kind_byte(part, compression)), Some((part, compression)));
            }
        }
        assert_eq!(parse_kind(7), None);
    }
}
