//! The segments of the log that this program began, recognized by their first bytes.
//!
//! Prometheus begins a new segment when it opens a log. What it logs, truncates and removes is not in a
//! savepoint, so a savepoint must not be used if a later segment is not in this list. Empty segments contain
//! nothing and do not count.
//!
//! ```text
//! file:  magic 8 bytes | entry entry … | crc32 u32 (of all before it)
//! entry: segment u32 | how many bytes u32, highest bit: they were synced | crc32 of those u32
//! ```
//! An entry is made after the segment's name was synced and before its first bytes are written, and marked when those were
//! synced, which is before the first commit is acknowledged. So a segment with an entry that is not there was lost, and so was
//! one with a marked entry that is shorter: by this a start tells damage from a process that was killed and from a power loss.
//! Before segments are removed their entries are, or a checkpoint stands for them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, create_dir_durable, read_file, write_whole};
use crate::sync::{Mutex, rank};
use crate::wal::format::{Segment, segment_path};
use crate::wal::writer::Beginning;
use crate::wal::{SegmentReader, Writer};

const MAGIC: [u8; 8] = *b"ferulasg";
/// That of the out-of-order log's list, so that the two lists are not taken for each other. Before, both had the other one.
const OUT_OF_ORDER_MAGIC: [u8; 8] = *b"ferulawb";
/// The list of the log's segments.
pub(crate) const LOG_LIST: &str = "segments";
/// The list of the out-of-order log's segments.
pub(crate) const OUT_OF_ORDER_LIST: &str = "wbl_segments";
/// Marks an entry whose bytes were synced.
const SYNCED_BIT: u32 = 1 << 31;
const ENTRY_BYTES: usize = 12;
/// How many first bytes identify a segment. The first write of a segment contains times and values.
const FIRST_BYTES_MAX: usize = 4096;
/// Older entries are dropped: no log has that many segments between two savepoints.
const ENTRIES_MAX: usize = 1 << 14;

/// A segment and its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SegmentBeginning {
    segment: u32,
    bytes: u32,
    crc: u32,
    synced: bool,
}

/// A segment that is gone, or was synced and is not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostSegment {
    pub segment: u32,
    /// How many bytes there are now; `None` without a file.
    pub bytes: Option<u64>,
}

/// Why segments of the log cannot be recognized as our own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentsError {
    #[error("the list of segments cannot be read: {0}")]
    List(io::Error),
    #[error("the list of segments is damaged")]
    ListDamaged,
    #[error("segment {0} was begun by another program")]
    Foreign(u32),
    #[error("segment {number}: {error}")]
    Segment { number: u32, error: io::Error },
    #[error("segment {0} begins with different bytes from those that were written")]
    Changed(u32),
}

/// The list, in memory and in a file.
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: &'static str,
    /// Whether there was a file when the list was loaded.
    is_there: bool,
    begun: Vec<SegmentBeginning>,
    /// The last write failed, and that was logged.
    failing: bool,
}

impl Segments {
    /// A list in directory `dir` that knows of no segment yet. The file stays as it is.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, file: &'static str) -> Self {
        Segments { disk, dir, file, is_there: false, begun: Vec::new(), failing: false }
    }

    /// Loads the file; a missing file means an empty list.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn load(&mut self) -> Result<(), SegmentsError> {
        let path = self.dir.join(self.file);
        let bytes_max = (MAGIC.len() + ENTRY_BYTES * ENTRIES_MAX + 4) as u64;
        let file = match read_file(&*self.disk, &path, bytes_max) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.is_there = false;
                self.begun.clear();
                return Ok(());
            }
            Err(error) => {
                self.is_there = true;
                return Err(SegmentsError::List(error));
            }
        };
        self.is_there = true;
        self.begun = decode(self.file, &file).ok_or(SegmentsError::ListDamaged)?;
        Ok(())
    }

    /// Makes the file, if there is none.
    pub fn create_if_missing(&mut self) {
        if matches!(self.disk.stat(&self.dir.join(self.file)), Ok(None)) {
            self.write_or_warn(self.next());
        }
    }

    /// Whether segments of other programs can be told from those of this one.
    pub fn is_known(&self) -> bool {
        self.is_there
    }

    /// Forgets segments that are lost: they are reported once.
    pub fn forget_lost(&mut self, lost: &[LostSegment]) {
        let before = self.begun.len();
        self.begun.retain(|begun| lost.iter().all(|lost| lost.segment != begun.segment));
        if self.begun.len() < before {
            self.write_or_warn(lost[0].segment);
        }
    }

    /// The segments behind `stands_for` that are gone, or were synced and are shorter than their first bytes.
    pub fn lost(&self, present: &[Segment], stands_for: Option<u32>) -> Vec<LostSegment> {
        let mut lost = Vec::new();
        for (at, begun) in self.begun.iter().enumerate() {
            let newer = self.begun[at + 1..].iter().any(|other| other.segment == begun.segment);
            if newer || stands_for.is_some_and(|last| begun.segment <= last) {
                continue;
            }
            let bytes = present.iter().find(|segment| segment.number == begun.segment).map(|s| s.bytes);
            if bytes.is_none_or(|bytes| begun.synced && bytes < u64::from(begun.bytes)) {
                lost.push(LostSegment { segment: begun.segment, bytes });
            }
        }
        lost
    }

    /// The first number that no known segment has had.
    pub fn next(&self) -> u32 {
        self.begun.iter().map(|begun| begun.segment.saturating_add(1)).max().unwrap_or(0)
    }

    /// Whether another program has begun a segment behind all that are known.
    pub fn continued_by_another(&self, present: &[Segment]) -> bool {
        let last = self.begun.iter().map(|begun| begun.segment).max();
        present.iter().any(|segment| segment.bytes > 0 && last.is_none_or(|last| segment.number > last))
    }

    /// Forgets segments up to `segment`, also in the file, before they are removed.
    pub fn removing(&mut self, segment: u32) {
        let before = self.begun.len();
        self.begun.retain(|begun| begun.segment > segment);
        if self.begun.len() < before {
            self.write_or_warn(segment);
        }
    }

    /// Marks a segment whose first bytes were synced.
    pub fn synced(&mut self, segment: u32) {
        let entry = self.begun.iter_mut().rfind(|begun| begun.segment == segment);
        if let Some(begun) = entry.filter(|begun| !begun.synced) {
            begun.synced = true;
            self.write_or_warn(segment);
        }
    }

    /// Adds a segment that begins with these bytes. If the file cannot be written, the next start will
    /// consider the segment another program's, unless a later write succeeds.
    pub fn add(&mut self, segment: u32, first: &[u8]) {
        let first = &first[..first.len().min(FIRST_BYTES_MAX)];
        let (bytes, crc) = (first.len() as u32, crc32fast::hash(first));
        self.begun.retain(|begun| begun.segment != segment);
        self.begun.push(SegmentBeginning { segment, bytes, crc, synced: false });
        if self.begun.len() > ENTRIES_MAX {
            self.begun.drain(..ENTRIES_MAX / 2);
        }
        self.write_or_warn(segment);
    }

    fn write_or_warn(&mut self, segment: u32) {
        let written = self.write();
        if let (Err(error), false) = (&written, self.failing) {
            ferula_telemetry::warn!(
                "Updating the list of log segments for savepoints failed",
                component = "tsdb",
                segment = segment,
                err = error
            );
        }
        self.failing = written.is_err();
    }

    fn write(&self) -> io::Result<()> {
        create_dir_durable(&*self.disk, &self.dir)?;
        write_whole(&*self.disk, &self.dir.join(self.file), &encode(self.file, &self.begun))
    }

    /// Checks that all of `segments`, which are in `wal`, were begun by this program. One that begins with other bytes, which
    /// are not a record of any program, is one of ours that was damaged.
    ///
    /// # Errors
    /// The first one for which this is not true.
    pub fn check(&self, wal: &Path, segments: &[Segment]) -> Result<(), SegmentsError> {
        for segment in segments.iter().filter(|segment| segment.bytes > 0) {
            let number = segment.number;
            let begun = self.begun.iter().rfind(|begun| begun.segment == number);
            let begun = begun.ok_or(SegmentsError::Foreign(number))?;
            let crc = first_crc(&*self.disk, &segment_path(wal, number), begun.bytes)
                .map_err(|error| SegmentsError::Segment { number, error })?;
            let begins_a_record = || -> io::Result<bool> {
                Ok(SegmentReader::open(&*self.disk, wal, number)?.next()?.is_some_and(|read| read.is_ok()))
            };
            if crc.is_some_and(|crc| crc != begun.crc) && begins_a_record().unwrap_or(true) {
                return Err(SegmentsError::Changed(number));
            }
        }
        Ok(())
    }
}

/// Which of the two lists of a directory is missing though there must be both: they are made together, that of the out-of-order
/// log first. `log_has_records` tells a list that was removed from a process that was killed in between, at its first start.
pub(crate) fn missing_list(
    log: &Segments,
    out_of_order: &Segments,
    log_has_records: bool,
) -> Option<&'static str> {
    match (log.is_there, out_of_order.is_there) {
        (true, false) => Some(OUT_OF_ORDER_LIST),
        (false, true) if log_has_records || !out_of_order.begun.is_empty() => Some(LOG_LIST),
        _ => None,
    }
}

/// A list that a log notes its segments in.
pub(crate) type SharedSegments = Arc<Mutex<Segments, rank::Segments>>;

/// Notes in a list how each segment of a log begins.
pub(crate) fn note_beginnings(writer: &mut Writer, segments: &SharedSegments) {
    let segments = segments.clone();
    writer.on_begin(move |segment, beginning| match beginning {
        Beginning::Coming(first) => segments.lock().add(segment, first),
        Beginning::Synced => segments.lock().synced(segment),
    });
}

/// CRC-32 of the first `bytes` bytes; `None` when there are fewer.
fn first_crc(disk: &dyn Disk, path: &Path, bytes: u32) -> io::Result<Option<u32>> {
    let mut first = vec![0; (bytes as usize).min(FIRST_BYTES_MAX)];
    let read = disk.open(path)?.read_at(&mut first, 0)?;
    Ok((read == bytes as usize).then(|| crc32fast::hash(&first)))
}

fn encode(list: &str, begun: &[SegmentBeginning]) -> Vec<u8> {
    let mut out = if list == OUT_OF_ORDER_LIST { OUT_OF_ORDER_MAGIC } else { MAGIC }.to_vec();
    for SegmentBeginning { segment, bytes, crc, synced } in begun {
        let bytes = bytes | if *synced { SYNCED_BIT } else { 0 };
        [segment, &bytes, crc].iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn decode(list: &str, file: &[u8]) -> Option<Vec<SegmentBeginning>> {
    let (body, crc) = file.split_last_chunk::<4>()?;
    let entries = match body.strip_prefix(&OUT_OF_ORDER_MAGIC) {
        Some(entries) if list == OUT_OF_ORDER_LIST => entries,
        _ => body.strip_prefix(&MAGIC)?,
    };
    if crc32fast::hash(body) != u32::from_be_bytes(*crc) || !entries.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let entry = |entry: &[u8]| {
        let number = |at: usize| Some(u32::from_be_bytes(entry.get(at..at + 4)?.try_into().ok()?));
        let (bytes, synced) = (number(4)? & !SYNCED_BIT, number(4)? & SYNCED_BIT != 0);
        Some(SegmentBeginning { segment: number(0)?, bytes, crc: number(8)?, synced })
    };
    entries.chunks(ENTRY_BYTES).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FaultDisk;
    use crate::wal::Compression;
    use crate::wal::format::put_fragments;

    fn listed(disk: &FaultDisk) -> Segments {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Segments::new(disk, "/data/list".into(), LOG_LIST)
    }

    fn segment(disk: &FaultDisk, number: u32, bytes: &[u8]) -> Segment {
        disk.create_dir_all(Path::new("/wal")).expect("made");
        let mut file = disk.create(&segment_path(Path::new("/wal"), number)).expect("made");
        file.write_all(bytes).expect("written");
        Segment { number, bytes: bytes.len() as u64 }
    }

    #[test]
    fn segments_with_other_first_bytes_or_without_an_entry_belong_to_other_programs() {
        let disk = FaultDisk::default();
        let mut list = listed(&disk);
        list.add(4, b"four");
        list.add(5, &[7; 10_000]);
        let mut again = listed(&disk);
        again.load().expect("whole");
        assert_eq!(again.begun, list.begun);
        let wal = Path::new("/wal");
        let four = segment(&disk, 4, b"four, and more");
        let five = segment(&disk, 5, &[7; 20_000]);
        let empty = segment(&disk, 6, b"");
        again.check(wal, &[four, five, empty]).expect("all are ours");
        let foreign = segment(&disk, 6, b"x");
        assert!(
            again
                .check(wal, &[four, five, foreign])
                .expect_err("foreign")
                .to_string()
                .contains("segment 6 was begun")
        );
        let mut record = Vec::new();
        put_fragments(&mut record, 0, b"a record of somebody", Compression::None);
        let other = segment(&disk, 4, &record);
        assert!(again.check(wal, &[other, five]).expect_err("other").to_string().contains("different bytes"));
        // Bytes that are not a record are damage, and so are too few.
        let flipped = segment(&disk, 5, &[6; 20_000]);
        again.check(wal, &[flipped]).expect("damaged, and ours");
        let short = segment(&disk, 5, &[7; 100]);
        again.check(wal, &[short]).expect("damaged, and ours");
    }

    #[test]
    fn segments_that_were_written_and_are_gone_or_empty_are_lost() {
        let disk = FaultDisk::default();
        let mut list = listed(&disk);
        for number in 3..7 {
            list.add(number, b"first bytes");
            if number != 6 {
                list.synced(number);
            }
        }
        let mut again = listed(&disk);
        again.load().expect("whole");
        assert_eq!(again.begun, list.begun);
        let at = |number, bytes| Segment { number, bytes };
        assert_eq!(again.lost(&[at(3, 11), at(4, 11), at(5, 20), at(6, 0)], None), [], "6 was being begun");
        let lost = again.lost(&[at(3, 11), at(4, 11), at(5, 20)], None);
        assert_eq!(lost, [LostSegment { segment: 6, bytes: None }], "its name was synced before");
        let lost = again.lost(&[at(4, 0), at(6, 0)], None);
        assert_eq!(
            lost.iter().map(|lost| (lost.segment, lost.bytes)).collect::<Vec<_>>(),
            [(3, None), (4, Some(0)), (5, None)]
        );
        assert_eq!(again.lost(&[], Some(4)).len(), 2, "a checkpoint stands for the others");
        again.removing(5);
        let mut after = listed(&disk);
        after.load().expect("whole");
        assert_eq!(after.lost(&[at(6, 0)], None), []);
        assert!(!after.continued_by_another(&[at(6, 9)]) && after.continued_by_another(&[at(7, 9)]));
    }

    #[test]
    fn a_damaged_list_is_no_list() {
        let begun = [SegmentBeginning { segment: 1, bytes: 2, crc: 3, synced: true }];
        for list in [LOG_LIST, OUT_OF_ORDER_LIST] {
            let whole = encode(list, &begun);
            assert_eq!(decode(list, &whole).map(|begun| begun.len()), Some(1));
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                assert_eq!(decode(list, &bytes), None, "{at}");
                assert_eq!(decode(list, &whole[..at]), None, "{at}");
            }
        }
        assert_eq!(decode(LOG_LIST, &encode(OUT_OF_ORDER_LIST, &begun)), None, "it is the other one");
    }
}
