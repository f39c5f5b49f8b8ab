//! Reads records and skips damage: a damaged page costs only its own content, not what follows.
//!
//! The usual damage is a torn write at the end, because the process was killed; at any other damage,
//! Prometheus' reader stops. This one continues at the next page that begins a record, and reports what it
//! skipped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{
    Compression, FragmentPart, HEADER_BYTES, PAGE_BYTES, RECORD_BYTES_MAX, REPAIR_SUFFIX, TEMPORARY_SUFFIX,
    parse_kind, put_fragments, segment_path,
};
use crate::damage::{DamageKind, cut_off, free_name};
use crate::disk::{Disk, ReadFile};

/// A place in a segment that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment} at offset {offset}: {reason}")]
pub struct Damage {
    /// Number of the segment.
    pub segment: u32,
    pub kind: DamageKind,
    /// Where the record began that is lost.
    pub offset: u64,
    /// Where reading continues.
    pub end: u64,
    /// What was wrong.
    pub reason: String,
}

/// Number of pages that are read at once.
const BUFFER_PAGES: usize = 32;

/// The records of one segment.
pub struct SegmentReader {
    file: Arc<dyn ReadFile>,
    segment: u32,
    buffer: Vec<u8>,
    /// Position of the buffer in the file; a multiple of the page size.
    buffer_start: u64,
    at: u64,
    record: Vec<u8>,
    decompressed: Vec<u8>,
    decoder: zstd::bulk::Decompressor<'static>,
    good_end: u64,
    ended: bool,
}

enum Fragment {
    Part { part: FragmentPart, compression: Compression, bytes: std::ops::Range<usize> },
    PageEnd,
    FileEnd,
}

impl SegmentReader {
    /// Opens a segment.
    pub fn open(disk: &dyn Disk, dir: &Path, segment: u32) -> io::Result<Self> {
        Ok(SegmentReader {
            file: disk.open(&segment_path(dir, segment))?,
            segment,
            buffer: Vec::new(),
            buffer_start: 0,
            at: 0,
            record: Vec::new(),
            decompressed: Vec::new(),
            decoder: zstd::bulk::Decompressor::new()?,
            good_end: 0,
            ended: false,
        })
    }

    /// Continues at `offset`, which must be the end of a record.
    pub fn seek(&mut self, offset: u64) {
        (self.at, self.good_end) = (offset, offset);
    }

    /// Discards what was read after the last complete record, because the file has grown since.
    pub fn refresh(&mut self) {
        self.buffer.clear();
        (self.at, self.ended) = (self.good_end, false);
    }

    /// End of the last complete record so far, as an offset in the file.
    pub fn good_end(&self) -> u64 {
        self.good_end
    }

    /// The next record; `None` at the end. Damage is reported once per place: all that stands between two records that can be
    /// read. The call after it continues with what follows.
    ///
    /// # Errors
    /// The outer error is that of the disk.
    #[expect(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> io::Result<Option<Result<&[u8], Damage>>> {
        self.record.clear();
        let mut begun: Option<(u64, Compression)> = None;
        while !self.ended {
            let place = self.at;
            let fragment = match self.fragment()? {
                Ok(fragment) => fragment,
                Err((kind, reason)) => {
                    let start = begun.map_or(place, |(start, _)| start);
                    return self
                        .bad_until_a_record(start, place, kind, reason)
                        .map(|damage| Some(Err(damage)));
                }
            };
            let (part, compression, bytes) = match fragment {
                Fragment::Part { part, compression, bytes } => (part, compression, bytes),
                Fragment::PageEnd => continue,
                Fragment::FileEnd => {
                    self.ended = true;
                    let Some((start, _)) = begun else { break };
                    return Ok(Some(Err(self.damage(start, DamageKind::Torn, "last record is torn"))));
                }
            };
            let begins = matches!(part, FragmentPart::Full | FragmentPart::First);
            if !begins && begun.is_none() {
                let reason = "record has no beginning".to_owned();
                return self.bad_from(place, DamageKind::Missing, reason).map(|damage| Some(Err(damage)));
            }
            if let (true, Some((start, _))) = (begins, begun) {
                // The fragment begins another record: read it again after reporting the incomplete one.
                self.at = place;
                return Ok(Some(Err(self.damage(start, DamageKind::Missing, "record has no end"))));
            }
            let (start, compression) = *begun.get_or_insert((place, compression));
            self.record.extend_from_slice(&self.buffer[bytes]);
            if matches!(part, FragmentPart::Full | FragmentPart::Last) {
                if let Err(reason) = self.decompress(compression) {
                    return Ok(Some(Err(self.damage(start, DamageKind::Unreadable, reason.to_string()))));
                }
                self.good_end = self.at;
                let whole = if compression == Compression::None { &self.record } else { &self.decompressed };
                return Ok(Some(Ok(whole)));
            }
        }
        Ok(None)
    }

    /// Damage of this segment, from `offset` to the current place.
    pub(super) fn damage(&self, offset: u64, kind: DamageKind, reason: impl Into<String>) -> Damage {
        Damage { segment: self.segment, kind, offset, end: self.at.max(offset), reason: reason.into() }
    }

    /// Passes over the page of `place` and what follows, up to a fragment that begins a record; returns the damage from
    /// `start` to there.
    fn bad_until_a_record(
        &mut self,
        start: u64,
        place: u64,
        kind: DamageKind,
        reason: String,
    ) -> io::Result<Damage> {
        self.at = (place / PAGE_BYTES as u64 + 1) * PAGE_BYTES as u64;
        self.bad_from(start, kind, reason)
    }

    /// Passes over what follows up to a fragment that begins a record; returns the damage from `start` to there.
    fn bad_from(&mut self, start: u64, kind: DamageKind, reason: String) -> io::Result<Damage> {
        let mut kind = kind;
        loop {
            let place = self.at;
            match self.fragment()? {
                Ok(Fragment::Part { part: FragmentPart::Full | FragmentPart::First, .. }) => {
                    self.at = place;
                    break;
                }
                Ok(Fragment::FileEnd) => {
                    // The last page may be short: behind its end there is nothing.
                    self.at = self.at.min(self.file.bytes()?);
                    self.ended = true;
                    // What was being written when the process or the machine stopped is torn.
                    if kind != DamageKind::Zeroed && self.at / PAGE_BYTES as u64 <= start / PAGE_BYTES as u64
                    {
                        kind = DamageKind::Torn;
                    }
                    break;
                }
                Ok(_) => {}
                Err(_) => self.at = (place / PAGE_BYTES as u64 + 1) * PAGE_BYTES as u64,
            }
        }
        Ok(self.damage(start, kind, reason))
    }

    /// The fragment at the current place, which moves behind it.
    fn fragment(&mut self) -> io::Result<Result<Fragment, (DamageKind, String)>> {
        let unreadable = |reason: String| Ok(Err((DamageKind::Unreadable, reason.to_string())));
        let in_page = (self.at % PAGE_BYTES as u64) as usize;
        let page_left = PAGE_BYTES - in_page;
        let start = match self.load() {
            Ok(start) => start,
            // A bad sector costs its page. What nobody may read is for a person to decide.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(error) => {
                return if self.at < self.file.bytes()? { unreadable(error.to_string()) } else { Err(error) };
            }
        };
        let available = (self.buffer.len() - start).min(page_left);
        let page = &self.buffer[start..start + available];
        let Some(kind) = page.first() else { return Ok(Ok(Fragment::FileEnd)) };
        let Some((part, compression)) = parse_kind(*kind) else {
            return unreadable(format!("unknown fragment kind {kind}"));
        };
        if part == FragmentPart::PageEnd {
            if page.iter().any(|byte| *byte != 0) {
                return unreadable("unexpected non-zero byte in padded page".into());
            }
            if in_page == 0 {
                return Ok(Err((DamageKind::Zeroed, "a page of zeros, which nobody writes".into())));
            }
            if available < page_left {
                return Ok(Err((DamageKind::Torn, "the padding of the last page is torn".into())));
            }
            // Only the last page of a segment is left with room for a record.
            if page_left > HEADER_BYTES && self.at + (page_left as u64) < self.file.bytes()? {
                return Ok(Err((DamageKind::Zeroed, "zeros in a page that another one follows".into())));
            }
            self.at += available as u64;
            return Ok(Ok(Fragment::PageEnd));
        }
        let Some((header, rest)) = page.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(Err((DamageKind::Torn, "fragment header is torn".into())));
        };
        let [_, length_high, length_low, crc @ ..] = header;
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        if length > page_left - HEADER_BYTES {
            return unreadable(format!("invalid record size {length}"));
        }
        let Some(bytes) = rest.get(..length) else {
            return Ok(Err((DamageKind::Torn, "fragment is torn".into())));
        };
        let (stored, found) = (u32::from_be_bytes(*crc), crc32c::crc32c(bytes));
        if stored != found {
            return unreadable(format!("unexpected checksum {found:x}, expected {stored:x}"));
        }
        self.at += (HEADER_BYTES + length) as u64;
        let from = start + HEADER_BYTES;
        Ok(Ok(Fragment::Part { part, compression, bytes: from..from + length }))
    }

    /// Loads the page of the current position into the buffer; returns the position in the buffer.
    fn load(&mut self) -> io::Result<usize> {
        let page_start = self.at - self.at % PAGE_BYTES as u64;
        let buffer_end = self.buffer_start + self.buffer.len() as u64;
        // A buffer that is not full ends at the end of the file: its last page will not get any longer.
        let ends_with_file = !self.buffer.is_empty() && self.buffer.len() < BUFFER_PAGES * PAGE_BYTES;
        let wanted_end = if ends_with_file { page_start + 1 } else { page_start + PAGE_BYTES as u64 };
        if page_start < self.buffer_start || wanted_end > buffer_end {
            if self.buffer.is_empty() {
                // Zeroed by the system; a debug build would take a millisecond to do it byte by byte.
                self.buffer = vec![0; BUFFER_PAGES * PAGE_BYTES];
            }
            self.buffer.resize(BUFFER_PAGES * PAGE_BYTES, 0);
            // Until it is read, the buffer holds nothing.
            let read = self.file.read_at(&mut self.buffer, page_start).or_else(|_| {
                self.buffer.truncate(PAGE_BYTES);
                self.file.read_at(&mut self.buffer, page_start)
            });
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            self.buffer_start = page_start;
            read?;
        }
        Ok(((self.at - self.buffer_start) as usize).min(self.buffer.len()))
    }

    fn decompress(&mut self, compression: Compression) -> Result<(), DecompressError> {
        match compression {
            Compression::None => Ok(()),
            Compression::Snappy => {
                let bytes = snap::raw::decompress_len(&self.record)?;
                check_length(bytes)?;
                self.decompressed.resize(bytes, 0);
                let mut decoder = snap::raw::Decoder::new();
                decoder.decompress(&self.record, &mut self.decompressed)?;
                Ok(())
            }
            Compression::Zstd => self.decompress_zstd(),
        }
    }

    fn decompress_zstd(&mut self) -> Result<(), DecompressError> {
        if let Ok(Some(bytes)) = zstd::zstd_safe::get_frame_content_size(&self.record) {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            check_length(bytes)?;
            self.decompressed.resize(bytes, 0);
            let read = self.decoder.decompress_to_buffer(&self.record[..], &mut self.decompressed[..])?;
            self.decompressed.truncate(read);
            return Ok(());
        }
        // A frame without a stated size is decompressed as a stream.
        self.decompressed.clear();
        let stream = zstd::stream::read::Decoder::new(&self.record[..])?;
        let mut limited = io::Read::take(stream, RECORD_BYTES_MAX as u64 + 1);
        io::Read::read_to_end(&mut limited, &mut self.decompressed)?;
        check_length(self.decompressed.len())
    }
}

fn check_length(bytes: usize) -> Result<(), DecompressError> {
    if bytes > RECORD_BYTES_MAX { Err(DecompressError::TooLong(bytes)) } else { Ok(()) }
}

/// Why a record cannot be decompressed.
#[derive(Debug, thiserror::Error)]
enum DecompressError {
    #[error(transparent)]
    Snappy(#[from] snap::Error),
    #[error(transparent)]
    Zstd(#[from] io::Error),
    #[error("record of {0} bytes is longer than {RECORD_BYTES_MAX}")]
    TooLong(usize),
}

/// What [`repair`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The segment was cut behind its last whole record; what was cut off was kept beside it.
    Truncated {
        /// How many bytes were cut off.
        bytes: u64,
        /// Where they are now.
        kept: PathBuf,
    },
    /// The readable records were copied to a new segment; the damaged file was kept beside it.
    Rewritten {
        /// Path of the damaged file.
        kept: PathBuf,
    },
}

/// Makes a damaged segment readable for Prometheus too, which stops at the first bad place and then removes
/// all segments after it. A damaged end is cut off and kept as `NNNNNNNN.damaged`; from a segment with damage in the middle,
/// the readable records are copied, and the damaged file is set aside under that name.
pub fn repair(disk: &dyn Disk, dir: &Path, segment: u32) -> io::Result<Repair> {
    let path = segment_path(dir, segment);
    let mut reader = SegmentReader::open(disk, dir, segment)?;
    let (mut damaged, mut tail_only) = (false, true);
    let mut clean_end = 0;
    loop {
        let read = match reader.next()? {
            None => break,
            Some(read) => read.is_ok(),
        };
        if !read {
            damaged = true;
        } else if damaged {
            tail_only = false;
            break;
        } else {
            clean_end = reader.good_end();
        }
    }
    if tail_only {
        let (bytes, kept) = cut_off(disk, &path, clean_end)?;
        return Ok(Repair::Truncated { bytes, kept });
    }
    let temporary = dir.join(format!("{segment:08}{REPAIR_SUFFIX}{TEMPORARY_SUFFIX}"));
    copy_readable(disk, dir, segment, &temporary)?;
    let kept = free_name(disk, &path)?;
    disk.hard_link(&path, &kept)?;
    disk.rename(&temporary, &path)?;
    disk.sync_dir(dir)?;
    Ok(Repair::Rewritten { kept })
}

/// Copies the readable records of a segment, uncompressed, to a new file.
fn copy_readable(disk: &dyn Disk, dir: &Path, segment: u32, to: &Path) -> io::Result<()> {
    let mut reader = SegmentReader::open(disk, dir, segment)?;
    let mut out = disk.create(to)?;
    let (mut framed, mut used) = (Vec::new(), 0usize);
    while let Some(read) = reader.next()? {
        let Ok(record) = read else { continue };
        framed.clear();
        put_fragments(&mut framed, used, record, Compression::None);
        used = (used + framed.len()) % PAGE_BYTES;
        out.write_all(&framed)?;
    }
    out.sync_data()
}
