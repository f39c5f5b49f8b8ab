//! The segments of the log that this program began, recognized by their first bytes.
//!
//! Prometheus begins a new segment when it opens a log. What it logs, truncates and removes is not in a
//! savepoint, so a savepoint must not be used if a later segment is not in this list. Empty segments contain
//! nothing and do not count.
//!
//! ```text
//! file:  magic 8 bytes | entry entry … | crc32 u32 (of all before it)
//! entry: segment u32 | how many bytes u32 | crc32 of those u32
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, create_dir_durable, read_file, write_whole};
use crate::wal::format::{Segment, segment_path};

const MAGIC: [u8; 8] = *b"ferulasg";
const FILE: &str = "segments";
const ENTRY_BYTES: usize = 12;
/// How many first bytes identify a segment. The first write of a segment contains times and values.
const FIRST_BYTES_MAX: usize = 4096;
/// Older entries are dropped: no log has that many segments between two savepoints.
const ENTRIES_MAX: usize = 1 << 14;

/// A segment and its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begun {
    segment: u32,
    bytes: u32,
    crc: u32,
}

/// Why segments of the log cannot be recognized as our own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentsError {
    #[error("the list of segments cannot be read: {0}")]
    List(io::Error),
    #[error("the list of segments is damaged")]
    ListDamaged,
    #[error("segment {0} is missing")]
    Missing(u32),
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
    begun: Vec<Begun>,
}

impl Segments {
    /// Creates an empty list in the directory `dir`. The file is not changed.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Segments { disk, dir, begun: Vec::new() }
    }

    /// Loads the file; a missing file means an empty list.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn load(&mut self) -> Result<(), SegmentsError> {
        let path = self.dir.join(FILE);
        let bytes_max = (MAGIC.len() + ENTRY_BYTES * ENTRIES_MAX + 4) as u64;
        let file = match read_file(&*self.disk, &path, bytes_max) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget();
                return Ok(());
            }
            Err(error) => return Err(SegmentsError::List(error)),
        };
        self.begun = decode(&file).ok_or(SegmentsError::ListDamaged)?;
        Ok(())
    }

    /// Clears the list. The file stays until the next segment is added.
    pub fn forget(&mut self) {
        self.begun.clear();
    }

    /// Drops segments with numbers below `segment`.
    pub fn forget_before(&mut self, segment: u32) {
        self.begun.retain(|begun| begun.segment >= segment);
    }

    /// Adds a segment that begins with these bytes. If the file cannot be written, the next start will
    /// consider the segment another program's, unless a later write succeeds.
    pub fn add(&mut self, segment: u32, first: &[u8]) {
        let first = &first[..first.len().min(FIRST_BYTES_MAX)];
        self.begun.push(Begun { segment, bytes: first.len() as u32, crc: crc32fast::hash(first) });
        if self.begun.len() > ENTRIES_MAX {
            self.begun.drain(..ENTRIES_MAX / 2);
        }
        if let Err(error) = self.write() {
            ferula_telemetry::warn!(
                "Updating the list of log segments for savepoints failed",
                component = "tsdb",
                segment = segment,
                err = error
            );
        }
    }

    fn write(&self) -> io::Result<()> {
        create_dir_durable(&*self.disk, &self.dir)?;
        write_whole(&*self.disk, &self.dir.join(FILE), &encode(&self.begun))
    }

    /// Checks that this program began all of `segments`, which are in `wal`, and that they are consecutive.
    ///
    /// # Errors
    /// The first one for which this is not true.
    pub fn check(&self, wal: &Path, segments: &[Segment]) -> Result<(), SegmentsError> {
        if let Some(two) = segments.windows(2).find(|two| two[1].number != two[0].number + 1) {
            return Err(SegmentsError::Missing(two[0].number + 1));
        }
        for segment in segments.iter().filter(|segment| segment.bytes > 0) {
            let number = segment.number;
            let begun = self.begun.iter().rfind(|begun| begun.segment == number);
            let begun = begun.ok_or(SegmentsError::Foreign(number))?;
            let crc = first_crc(&*self.disk, &segment_path(wal, number), begun.bytes)
                .map_err(|error| SegmentsError::Segment { number, error })?;
            if crc != Some(begun.crc) {
                return Err(SegmentsError::Changed(number));
            }
        }
        Ok(())
    }
}

/// CRC-32 of the first `bytes` bytes; `None` if there are fewer.
fn first_crc(disk: &dyn Disk, path: &Path, bytes: u32) -> io::Result<Option<u32>> {
    let mut first = vec![0; (bytes as usize).min(FIRST_BYTES_MAX)];
    let read = disk.open(path)?.read_at(&mut first, 0)?;
    Ok((read == bytes as usize).then(|| crc32fast::hash(&first)))
}

fn encode(begun: &[Begun]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for Begun { segment, bytes, crc } in begun {
        [segment, bytes, crc].iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn decode(file: &[u8]) -> Option<Vec<Begun>> {
    let (body, crc) = file.split_last_chunk::<4>()?;
    let entries = body.strip_prefix(&MAGIC)?;
    if crc32fast::hash(body) != u32::from_be_bytes(*crc) || !entries.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let entry = |entry: &[u8]| {
        let number = |at: usize| Some(u32::from_be_bytes(entry.get(at..at + 4)?.try_into().ok()?));
        Some(Begun { segment: number(0)?, bytes: number(4)?, crc: number(8)? })
    };
    entries.chunks(ENTRY_BYTES).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FaultDisk;

    fn listed(disk: &FaultDisk) -> Segments {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Segments::new(disk, "/data/list".into())
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
        assert!(
            again.check(wal, &[four, empty]).expect_err("a gap").to_string().contains("segment 5 is missing")
        );
        let other = segment(&disk, 4, b"fore, and more");
        assert!(again.check(wal, &[other, five]).expect_err("other").to_string().contains("other bytes"));
        let short = segment(&disk, 5, &[7; 100]);
        assert!(again.check(wal, &[short]).expect_err("short").to_string().contains("other bytes"));
    }

    #[test]
    fn a_damaged_list_is_refused() {
        let whole = encode(&[Begun { segment: 1, bytes: 2, crc: 3 }]);
        assert_eq!(decode(&whole).map(|begun| begun.len()), Some(1));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes), None, "{at}");
            assert_eq!(decode(&whole[..at]), None, "{at}");
        }
    }
}
