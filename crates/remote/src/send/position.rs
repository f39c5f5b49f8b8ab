//! The position of a destination, in a file that survives the process; see
//! docs/format/remote-write-position.md.
//!
//! ```text
//! header:  magic "FRWP" | version u8 | 3 zeros | bytes of a slot u32                (integers big-endian)
//! slot ×2: sequence u64 | lanes u32 | lane × lanes | crc32 u32 of all before it in the slot
//! lane:    acknowledged: segment u32, offset u64, item u32 | in flight: the same
//! ```
//!
//! The slots are written alternately, so that a torn write leaves the previous one intact. A write is a
//! single system call without a sync: it survives `kill -9` at once, and a power loss after the next sync
//! through [`PositionFile::sync_handle`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ferula_storage::LogPosition;

const MAGIC: [u8; 4] = *b"FRWP";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 12;
const PLACE_BYTES: usize = 16;
const LANE_BYTES: usize = 2 * PLACE_BYTES;
const SLOT_FIXED_BYTES: usize = 8 + 4 + 4;
/// More lanes than any configuration allows; a file that claims more is not ours.
const LANES_MAX: usize = 1 << 16;

/// A position between two items of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemPosition {
    /// Start of a record.
    pub record: LogPosition,
    /// Number of items in that record before this position.
    pub item: u32,
}

impl ItemPosition {
    /// The position before a record.
    pub fn before(record: LogPosition) -> Self {
        ItemPosition { record, item: 0 }
    }
}

/// The progress of one lane. Its items before `acknowledged` are done. Those from there to `in_flight` may
/// have arrived; they are sent together in one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LanePosition {
    pub acknowledged: ItemPosition,
    pub in_flight: ItemPosition,
}

/// A position file.
#[derive(Debug)]
pub struct PositionFile {
    path: PathBuf,
    file: File,
    lanes: usize,
    sequence: u64,
    buffer: Vec<u8>,
}

fn slot_bytes(lanes: usize) -> usize {
    SLOT_FIXED_BYTES + lanes * LANE_BYTES
}

impl PositionFile {
    /// The positions in a file; `None` if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or neither slot is intact.
    pub fn read(path: &Path) -> io::Result<Option<Vec<LanePosition>>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let newest = decode(&bytes).map(|(_, lanes)| lanes);
        newest
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "neither of its slots is intact"))
    }

    /// Creates a file with these positions, replacing an existing one.
    ///
    /// # Errors
    /// The disk failed.
    pub fn create(path: &Path, lanes: &[LanePosition]) -> io::Result<Self> {
        let temporary = path.with_extension("tmp");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary)?;
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, 0, 0, 0]);
        bytes.extend_from_slice(&(slot_bytes(lanes.len()) as u32).to_be_bytes());
        put_slot(&mut bytes, 1, lanes);
        put_slot(&mut bytes, 0, lanes);
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&temporary, path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(PositionFile { path: path.to_owned(), file, lanes: lanes.len(), sequence: 1, buffer: Vec::new() })
    }

    /// Writes positions over the older slot. A different number of lanes requires a new file.
    ///
    /// # Errors
    /// The disk failed. The previous content remains.
    pub fn write(&mut self, lanes: &[LanePosition]) -> io::Result<()> {
        if lanes.len() != self.lanes {
            *self = PositionFile::create(&self.path, lanes)?;
            return Ok(());
        }
        self.buffer.clear();
        put_slot(&mut self.buffer, self.sequence + 1, lanes);
        // Odd sequence numbers are in the first slot, even ones in the second.
        let slot = (self.sequence % 2) as usize;
        self.file.write_all_at(&self.buffer, (HEADER_BYTES + slot * slot_bytes(self.lanes)) as u64)?;
        self.sequence += 1;
        Ok(())
    }

    /// A handle whose `sync_data` protects what has been written against power loss.
    ///
    /// # Errors
    /// The system has no free handles.
    pub fn sync_handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

fn put_place(out: &mut Vec<u8>, place: ItemPosition) {
    out.extend_from_slice(&place.record.segment.to_be_bytes());
    out.extend_from_slice(&place.record.offset.to_be_bytes());
    out.extend_from_slice(&place.item.to_be_bytes());
}

fn put_slot(out: &mut Vec<u8>, sequence: u64, lanes: &[LanePosition]) {
    let start = out.len();
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&(lanes.len() as u32).to_be_bytes());
    for lane in lanes {
        put_place(out, lane.acknowledged);
        put_place(out, lane.in_flight);
    }
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// Sequence number and lanes of the newer intact slot.
fn decode(bytes: &[u8]) -> Option<(u64, Vec<LanePosition>)> {
    let (header, slots) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [m0, m1, m2, m3, version, _, _, _, length @ ..] = header;
    if [*m0, *m1, *m2, *m3] != MAGIC || *version != VERSION {
        return None;
    }
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length < SLOT_FIXED_BYTES || slots.len() < 2 * length {
        return None;
    }
    let (first, second) = slots.split_at(length);
    let both = [decode_slot(first), decode_slot(&second[..length])];
    both.into_iter().flatten().max_by_key(|(sequence, _)| *sequence)
}

fn decode_slot(slot: &[u8]) -> Option<(u64, Vec<LanePosition>)> {
    let (body, crc) = slot.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
        return None;
    }
    let (sequence, rest) = body.split_first_chunk::<8>()?;
    let (count, lanes) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    if count == 0 || count > LANES_MAX || lanes.len() != count * LANE_BYTES {
        return None;
    }
    let lanes = lanes.chunks_exact(LANE_BYTES).map(|lane| {
        let (acknowledged, in_flight) = lane.split_at(PLACE_BYTES);
        Some(LanePosition { acknowledged: place(acknowledged)?, in_flight: place(in_flight)? })
    });
    Some((u64::from_be_bytes(*sequence), lanes.collect::<Option<_>>()?))
}

fn place(bytes: &[u8]) -> Option<ItemPosition> {
    let (segment, rest) = bytes.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let item = rest.first_chunk::<4>()?;
    let record = LogPosition { segment: u32::from_be_bytes(*segment), offset: u64::from_be_bytes(*offset) };
    Some(ItemPosition { record, item: u32::from_be_bytes(*item) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(count: usize, step: u64) -> Vec<LanePosition> {
        let place = |more: u64| ItemPosition {
            record: LogPosition { segment: 7, offset: step * 100 + more },
            item: more as u32,
        };
        let all = 0..count as u64;
        all.map(|lane| LanePosition { acknowledged: place(lane), in_flight: place(lane + 1) }).collect()
    }

    #[test]
    fn the_last_write_is_read_back_with_any_number_of_lanes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("position");
        assert!(PositionFile::read(&path).expect("a missing file is not an error").is_none());
        let mut file = PositionFile::create(&path, &lanes(1, 0)).expect("created");
        for step in 1..9 {
            let written = lanes(1 + step as usize % 3, step);
            file.write(&written).expect("written");
            assert_eq!(PositionFile::read(&path).expect("readable"), Some(written));
        }
    }

    #[test]
    fn a_torn_write_costs_one_step_and_garbage_is_reported() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("position");
        let mut file = PositionFile::create(&path, &lanes(2, 0)).expect("created");
        file.write(&lanes(2, 1)).expect("written");
        file.write(&lanes(2, 2)).expect("written");
        let whole = std::fs::read(&path).expect("readable");
        let slots = [HEADER_BYTES..HEADER_BYTES + slot_bytes(2), HEADER_BYTES + slot_bytes(2)..whole.len()];
        let mut outcomes = Vec::new();
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x10;
            std::fs::write(&path, &broken).expect("written");
            let read = PositionFile::read(&path);
            // The padding zeros of the header are not checked.
            if (5..8).contains(&at) {
                continue;
            }
            match slots.iter().position(|slot| slot.contains(&at)) {
                Some(_) => outcomes.push(read.expect("the other slot is whole").expect("a file")),
                None => assert!(read.is_err(), "byte {at} of the header"),
            }
        }
        assert!(outcomes.contains(&lanes(2, 1)) && outcomes.contains(&lanes(2, 2)));
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("written");
            assert!(PositionFile::read(&path).is_err(), "cut to {length}");
        }
    }
}
