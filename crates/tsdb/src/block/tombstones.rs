//! Deleted ranges of time, per series; see docs/format/tombstones.md. The head uses the same types.
//!
//! ```text
//! u32 magic | u8 version | (uvarint series, varint first ms, varint last ms)* | u32 crc32c of the entries
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use super::BlockError;
use super::bytes::{ByteReader, Malformed};
use crate::bytes::{put_uvarint, put_varint};
use crate::damage::{Damage, DamageKind};
use crate::disk::{Disk, read_file, write_whole};

/// Name of the file in the block's directory.
pub const TOMBSTONES_FILE: &str = "tombstones";
/// A copy of it that only ferula reads, for when the file is lost.
pub const TOMBSTONES_COPY_FILE: &str = "ferula_tombstones";
const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const CRC_BYTES: usize = 4;
/// More than the tombstones of 100 million series: a larger file is not a real one.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// A time range in milliseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First moment.
    pub min: i64,
    /// Last moment.
    pub max: i64,
}

/// Time ranges in ascending order, at least a millisecond apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// No range.
    pub const fn new() -> Self {
        Intervals(Vec::new())
    }

    /// Adds a range and merges it with those it touches. An empty range is ignored.
    pub fn add(&mut self, new: Interval) {
        if new.min > new.max {
            return;
        }
        let first = self.0.partition_point(|old| old.max < new.min.saturating_sub(1));
        let last = self.0.partition_point(|old| old.min <= new.max.saturating_add(1));
        // If `first` is after `last`, nothing is touched.
        let touched = &self.0[first..last.max(first)];
        let merged = Interval {
            min: touched.first().map_or(new.min, |old| old.min.min(new.min)),
            max: touched.last().map_or(new.max, |old| old.max.max(new.max)),
        };
        self.0.splice(first..last.max(first), [merged]);
    }

    /// Whether a time is in one of the ranges.
    pub fn contains(&self, t: i64) -> bool {
        let at = self.0.partition_point(|interval| interval.max < t);
        self.0.get(at).is_some_and(|interval| interval.min <= t)
    }

    /// Whether all of `[min, max]` is in one of the ranges.
    pub fn covers(&self, min: i64, max: i64) -> bool {
        let at = self.0.partition_point(|interval| interval.max < max);
        self.0.get(at).is_some_and(|interval| interval.min <= min)
    }

    /// Whether any time of `[min, max]` is in one of the ranges.
    pub fn overlaps(&self, min: i64, max: i64) -> bool {
        let at = self.0.partition_point(|interval| interval.max < min);
        self.0.get(at).is_some_and(|interval| interval.min <= max)
    }

    /// Drops everything before `t`.
    pub fn truncate_before(&mut self, t: i64) {
        self.0.retain(|interval| interval.max >= t);
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Interval> + '_ {
        self.0.iter().copied()
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut all = Intervals::new();
        intervals.into_iter().for_each(|interval| all.add(interval));
        all
    }
}

/// Deleted ranges by series. In a block, a series is identified by its number in the index; in the head, by
/// its ref.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u64, Intervals>);

impl Tombstones {
    /// No deleted range.
    pub fn new() -> Self {
        Self::default()
    }

    /// The deleted ranges of a series.
    pub fn get(&self, series: u64) -> Option<&Intervals> {
        self.0.get(&series)
    }

    /// Adds a deleted range.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.min <= interval.max {
            self.0.entry(series).or_default().add(interval);
        }
    }

    /// Drops the ranges of a series.
    pub fn remove(&mut self, series: u64) {
        self.0.remove(&series);
    }

    /// Drops everything before `t`.
    pub fn truncate_before(&mut self, t: i64) {
        self.0.retain(|_, intervals| {
            intervals.truncate_before(t);
            !intervals.is_empty()
        });
    }

    /// All ranges of all series, in ascending order of series.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Intervals)> {
        self.0.iter().map(|(series, intervals)| (*series, intervals))
    }

    /// Number of ranges.
    pub fn total(&self) -> u64 {
        self.0.values().map(|intervals| intervals.len() as u64).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Encodes the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.push(VERSION);
        for (series, intervals) in self.iter() {
            for interval in intervals.iter() {
                put_uvarint(&mut out, series);
                put_varint(&mut out, interval.min);
                put_varint(&mut out, interval.max);
            }
        }
        let crc = crc32c::crc32c(&out[HEADER_BYTES..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Decodes the output of [`encode`](Self::encode).
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = ByteReader::new(data, 0);
        if reader.be32()? != MAGIC {
            return Err(Malformed { offset: 0, what: "not a tombstones file" });
        }
        if reader.byte()? != VERSION {
            return Err(Malformed { offset: 4, what: "unknown tombstones version" });
        }
        if reader.left() < CRC_BYTES {
            return Err(reader.malformed("the data ends too early"));
        }
        let entries = reader.bytes(reader.left() - CRC_BYTES)?;
        if crc32c::crc32c(entries) != reader.be32()? {
            return Err(Malformed { offset: HEADER_BYTES as u64, what: "checksum did not match" });
        }
        let mut reader = ByteReader::new(entries, HEADER_BYTES as u64);
        let mut all = Tombstones::new();
        while reader.left() > 0 {
            let series = reader.uvarint()?;
            all.add(series, Interval { min: reader.varint()?, max: reader.varint()? });
        }
        Ok(all)
    }

    /// Reads a file of a block's directory; `None` without one.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, BlockError> {
        match read_file(disk, path, FILE_BYTES_MAX) {
            Ok(data) => Self::decode(&data).map(Some).map_err(|malformed| malformed.in_file(path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlockError::io(path, error)),
        }
    }

    /// Writes the file, and its copy when there is something to copy: each under another name, synced, then renamed. No copy is
    /// ahead of the file.
    pub fn write(&self, disk: &dyn Disk, block_dir: &Path) -> Result<(), BlockError> {
        for name in [TOMBSTONES_FILE, TOMBSTONES_COPY_FILE] {
            if self.is_empty() && name == TOMBSTONES_COPY_FILE {
                break;
            }
            let path = block_dir.join(name);
            write_whole(disk, &path, &self.encode()).map_err(|error| BlockError::io(&path, error))?;
        }
        Ok(())
    }

    /// Whether every deleted range of `other` is deleted here too.
    pub fn covers(&self, other: &Tombstones) -> bool {
        other.iter().all(|(series, intervals)| {
            let own = self.get(series);
            intervals.iter().all(|range| own.is_some_and(|own| own.covers(range.min, range.max)))
        })
    }

    /// Adds all deleted ranges of `other`.
    pub fn add_all(&mut self, other: &Tombstones) {
        for (series, intervals) in other.iter() {
            intervals.iter().for_each(|range| self.add(series, range));
        }
    }
}

/// What the files of a block say is deleted.
pub(crate) struct ReadTombstones {
    pub tombstones: Tombstones,
    /// What is wrong with the file.
    pub damage: Option<Damage>,
}

/// Reads the tombstones of a block whose `meta.json` counts `counted` of them. Deletions hold for ever, so the copy is used
/// where the file is gone, damaged, or another block's.
///
/// # Errors
/// The file is damaged, and there is no copy: without it deleted samples would be shown.
pub(crate) fn read_tombstones(
    disk: &dyn Disk,
    block_dir: &Path,
    counted: u64,
) -> Result<ReadTombstones, BlockError> {
    const SAVED: &str = "nothing: there is a copy";
    let path = block_dir.join(TOMBSTONES_FILE);
    let copy = Tombstones::read(disk, &block_dir.join(TOMBSTONES_COPY_FILE)).ok().flatten();
    let damage = |kind, what: String, cost: &str| Some(Damage::new(kind, &path, what).cost(cost));
    Ok(match (Tombstones::read(disk, &path), copy) {
        (Ok(Some(mut tombstones)), Some(copy)) if !tombstones.covers(&copy) => {
            tombstones.add_all(&copy);
            let what = "it lacks ranges that were deleted: it is an older file, or another block's";
            ReadTombstones { tombstones, damage: damage(DamageKind::Misplaced, what.to_owned(), SAVED) }
        }
        (Ok(Some(tombstones)), _) => {
            let found = tombstones.total();
            let what = format!("{found} deleted ranges, though meta.json counts {counted}");
            let damage = damage(DamageKind::Contradictory, what, "perhaps deleted samples are shown again");
            ReadTombstones { tombstones, damage: damage.filter(|_| found < counted) }
        }
        (Ok(None), Some(copy)) => {
            let damage = damage(DamageKind::Missing, "the file is gone".to_owned(), SAVED);
            ReadTombstones { tombstones: copy, damage }
        }
        (Ok(None), None) => {
            let what = format!("the file is gone, and meta.json counts {counted} deleted ranges");
            let damage = damage(DamageKind::Missing, what, "what was deleted from this block is shown again");
            ReadTombstones { tombstones: Tombstones::new(), damage: damage.filter(|_| counted > 0) }
        }
        (Err(error), Some(copy)) => {
            let damage = damage(DamageKind::Unreadable, error.to_string(), SAVED);
            ReadTombstones { tombstones: copy, damage }
        }
        (Err(error), None) => return Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn intervals_contain_exactly_the_added_times(
            added in prop::collection::vec((-20i64..20, 0i64..6), 0..12),
            probe in (-25i64..25, 0i64..5),
        ) {
            let added: Vec<_> = added.into_iter().map(|(min, len)| Interval { min, max: min + len }).collect();
            let deleted = |t| added.iter().any(|i| i.min <= t && t <= i.max);
            let intervals: Intervals = added.iter().copied().collect();
            for t in -30..30 {
                prop_assert_eq!(intervals.contains(t), deleted(t), "{}", t);
            }
            let (min, max) = (probe.0, probe.0 + probe.1);
            prop_assert_eq!(intervals.covers(min, max), (min..=max).all(deleted));
            prop_assert_eq!(intervals.overlaps(min, max), (min..=max).any(deleted));
            let gaps = intervals.iter().zip(intervals.iter().skip(1)).all(|(a, b)| a.max + 1 < b.min);
            prop_assert!(gaps, "{:?}", intervals);
        }

        #[test]
        fn files_survive_a_round_trip_and_damage_is_detected(
            entries in prop::collection::vec((any::<u64>(), any::<i64>(), any::<i64>()), 0..20),
            damage in any::<prop::sample::Index>(),
        ) {
            let mut all = Tombstones::new();
            entries.iter().for_each(|(series, min, max)| all.add(*series, Interval { min: *min, max: *max }));
            let mut data = all.encode();
            prop_assert_eq!(Tombstones::decode(&data), Ok(all));
            let at = damage.index(data.len());
            data[at] ^= 0x10;
            prop_assert!(Tombstones::decode(&data).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Tombstones::decode(&data);
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut all = Intervals::new();
        all.add(Interval { min: i64::MIN, max: 5 });
        all.add(Interval { min: 6, max: i64::MAX });
        assert_eq!(all.iter().collect::<Vec<_>>(), [Interval { min: i64::MIN, max: i64::MAX }]);
    }
}
