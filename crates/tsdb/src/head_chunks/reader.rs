//! Finds the chunks of all files at the start.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use ferula_chunk::Encoding;

use super::format::{
    ChunkFileError, ChunkPlace, FILE_HEADER_BYTES, check_file_header, file_header, file_path, is_end,
    read_chunk,
};
use crate::damage::{Damage, DamageKind, cut_off, set_aside};
use crate::disk::{Disk, read_file};
use crate::ids::LogRef;

/// A chunk in a file.
#[derive(Clone, Copy, Debug)]
pub struct LoadedChunk {
    /// Ref of its series in the log.
    pub series: LogRef,
    pub place: ChunkPlace,
    /// Timestamp of its first sample in milliseconds.
    pub min: i64,
    /// Timestamp of its last sample in milliseconds.
    pub max: i64,
    pub samples: u16,
    pub encoding: Encoding,
    /// Whether it contains out-of-order samples.
    pub out_of_order: bool,
}

/// The result of [`load`].
#[derive(Debug, Default)]
pub struct Loaded {
    /// Chunks in the order of files and offsets.
    pub chunks: Vec<LoadedChunk>,
    /// Numbers and sizes of the files.
    pub files: Vec<(u32, u64)>,
    /// What was wrong; the files that it names were set aside.
    pub damages: Vec<Damage>,
}

/// What a damaged chunk file costs.
const COST: &str = "its samples are read from the log, as far as the log still has them";

/// Lists the chunks of all files, checksums checked. A damaged file and all files after it are set aside: their samples are
/// in the log. So is a file that does not follow the one before it, or whose chunks do not: a start passes over what the
/// log has up to the newest chunk of a series, and would lose what was in between. With chunks out of order all files are set
/// aside.
pub fn load(disk: &dyn Disk, dir: &Path) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(loaded),
        Err(error) => return Err(error),
    };
    // A stray `7` beside `000007` is not another file of this store.
    let number = |name: &str| {
        let number = name.parse().ok().filter(|_| name.bytes().all(|b| b.is_ascii_digit()))?;
        (file_path(dir, number).file_name()? == name).then_some(number)
    };
    let mut files: Vec<(u32, u64)> = Vec::new();
    for entry in &entries {
        match number(&entry.name) {
            Some(number) if entry.stat.is_file => files.push((number, entry.stat.bytes)),
            // It would be in the way of a file of that number.
            Some(number) => loaded.set_aside(disk, dir, number, DamageKind::Foreign, "it is not a file"),
            None => {}
        }
    }
    files.sort_unstable();
    let mut ends = Ends::new();
    for (index, (file, bytes)) in files.iter().enumerate() {
        let is_last = index + 1 == files.len();
        // A file that was made just before the end of the process has no header, or not all of it.
        if is_last && *bytes < FILE_HEADER_BYTES as u64 && begins_a_header(disk, &file_path(dir, *file)) {
            disk.remove_file(&file_path(dir, *file))?;
            break;
        }
        let before = loaded.chunks.len();
        let previous = index.checked_sub(1).map(|previous| files[previous].0);
        let follows = previous.is_none_or(|previous| previous.checked_add(1) == Some(*file));
        let read = if follows {
            load_file(disk, dir, *file, is_last, &mut loaded, &mut ends)
        } else {
            Err(Unusable::File(DamageKind::Missing, "the file before it is missing".to_owned()))
        };
        let (kind, what, first_bad) = match read {
            Ok(whole_bytes) => {
                loaded.files.push((*file, whole_bytes));
                continue;
            }
            Err(Unusable::Disk(error)) => return Err(error),
            Err(Unusable::File(kind, what)) => (kind, what, index),
            // Which of the files is in the wrong place cannot be told.
            Err(Unusable::Order(what)) => (DamageKind::Misplaced, what, 0),
        };
        loaded.files.truncate(first_bad);
        loaded.chunks.truncate(if first_bad == 0 { 0 } else { before });
        loaded.set_aside(disk, dir, *file, kind, &what);
        for (other, _) in files[first_bad..].iter().filter(|(other, _)| other != file) {
            let what = format!("it cannot be used without {:06}", *file);
            loaded.set_aside(disk, dir, *other, DamageKind::Contradictory, &what);
        }
        break;
    }
    Ok(loaded)
}

/// Sets all files aside, because the log is read without them.
pub fn set_all_aside(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Damage>> {
    let mut loaded = Loaded::default();
    for (number, _) in load(disk, dir)?.files {
        loaded.set_aside(disk, dir, number, DamageKind::Contradictory, "files before it are missing");
    }
    Ok(loaded.damages)
}

impl Loaded {
    fn set_aside(&mut self, disk: &dyn Disk, dir: &Path, file: u32, kind: DamageKind, what: &str) {
        let path = file_path(dir, file);
        let kept = set_aside(disk, &path).ok();
        self.damages.push(Damage::new(kind, path, what).cost(COST).kept(kept));
    }
}

/// Why a file was not loaded.
enum Unusable {
    Disk(io::Error),
    /// It is damaged.
    File(DamageKind, String),
    /// Its chunks are older than those of the files before it.
    Order(String),
}

/// Whether a file has nothing but the first bytes of a header.
fn begins_a_header(disk: &dyn Disk, path: &Path) -> bool {
    read_file(disk, path, FILE_HEADER_BYTES as u64).is_ok_and(|bytes| file_header().starts_with(&bytes))
}

/// The newest in-order sample of each series so far.
type Ends = HashMap<LogRef, i64>;

/// Returns the length of the file. If it is the last one, a chunk that ends early was being written when the process ended: it is
/// cut off.
fn load_file(
    disk: &dyn Disk,
    dir: &Path,
    file: u32,
    is_last: bool,
    loaded: &mut Loaded,
    ends: &mut Ends,
) -> Result<u64, Unusable> {
    let invalid = |error: ChunkFileError| {
        let kind = match error {
            ChunkFileError::Short(_) => DamageKind::Torn,
            _ => DamageKind::Unreadable,
        };
        Unusable::File(kind, error.to_string())
    };
    let bytes = disk.map(&file_path(dir, file)).map_err(|error| match error.kind() {
        // What nobody may read is for a person to decide.
        io::ErrorKind::PermissionDenied => Unusable::Disk(error),
        _ => Unusable::File(DamageKind::Unreadable, error.to_string()),
    })?;
    check_file_header(&bytes).map_err(invalid)?;
    let mut offset = FILE_HEADER_BYTES;
    while offset < bytes.len() {
        if is_end(&bytes, offset) {
            // Prometheus releases the reserved rest of a file when it is full. It is released now, because another file
            // will follow.
            if is_last {
                let cut = disk.append(&file_path(dir, file)).and_then(|mut file| {
                    file.set_len(offset as u64)?;
                    file.sync_data()
                });
                cut.map_err(Unusable::Disk)?;
                return Ok(offset as u64);
            }
            return Err(Unusable::File(DamageKind::Zeroed, format!("zeros from offset {offset} on")));
        }
        let (chunk, next) = match read_chunk(&bytes, offset) {
            Err(ChunkFileError::Short(at)) if is_last => {
                let path = file_path(dir, file);
                let (_, kept) = cut_off(disk, &path, at as u64).map_err(Unusable::Disk)?;
                let torn = Damage::new(DamageKind::Torn, path, "the last chunk is torn");
                let torn = torn.at(at as u64..bytes.len() as u64).cost(COST).kept(Some(kept));
                loaded.damages.push(torn);
                return Ok(at as u64);
            }
            read => read.map_err(invalid)?,
        };
        let place = u32::try_from(offset).map_err(|_| invalid(ChunkFileError::Short(offset)))?;
        if !chunk.out_of_order
            && let Some(end) = ends.insert(chunk.series, chunk.max)
            && chunk.min <= end
        {
            return Err(Unusable::Order(format!(
                "the chunk at offset {offset} does not follow the previous one of its series"
            )));
        }
        loaded.chunks.push(LoadedChunk {
            series: chunk.series,
            place: ChunkPlace::new(file, place),
            min: chunk.min,
            max: chunk.max,
            samples: chunk.encoding.sample_count(chunk.data).unwrap_or(0),
            encoding: chunk.encoding,
            out_of_order: chunk.out_of_order,
        });
        offset = next;
    }
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::Store;
    use super::super::format::StoredChunk;
    use super::*;
    use crate::disk::{FaultDisk, Faults, Survives};

    fn dir() -> PathBuf {
        PathBuf::from("/chunks_head")
    }

    fn chunk(series: u64, data: &[u8]) -> StoredChunk<'_> {
        let out_of_order = series % 2 == 1;
        let series = LogRef::new(series);
        StoredChunk { series, min: 10, max: 20, encoding: Encoding::Xor, out_of_order, data }
    }

    #[test]
    fn chunks_are_readable_before_and_after_they_are_written_and_after_a_restart() {
        let disk = FaultDisk::default();
        let store = Store::new(Arc::new(disk.clone()), dir(), &[]);
        let data: Vec<Vec<u8>> = (0..20u16).map(|i| [&i.to_be_bytes()[..], &[7; 300]].concat()).collect();
        let mut places = Vec::new();
        for (series, data) in (0..).zip(&data) {
            places.push(store.write(&chunk(series, data)));
            if series == 7 {
                store.flush().expect("written");
            }
            if series == 12 {
                store.cut().expect("cut");
            }
        }
        let check = |store: &Store| {
            for ((series, data), place) in (0..).zip(&data).zip(&places) {
                store.read(*place, |found| assert_eq!(*found, chunk(series, data))).expect("readable");
            }
        };
        check(&store);
        store.flush().expect("written");
        check(&store);
        let loaded = load(&disk, &dir()).expect("loaded");
        assert_eq!(loaded.damages, []);
        assert_eq!(loaded.files.len(), 2);
        assert_eq!(loaded.chunks.iter().map(|c| c.place).collect::<Vec<_>>(), places);
        assert_eq!(loaded.chunks.iter().map(|c| c.samples).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        check(&Store::new(Arc::new(disk), dir(), &loaded.files));
    }

    #[test]
    fn a_full_disk_keeps_chunks_in_memory_until_there_is_space() {
        let disk = FaultDisk::default();
        let store = Store::new(Arc::new(disk.clone()), dir(), &[]);
        let place = store.write(&chunk(1, &[0, 1, 2, 3]));
        disk.set_faults(Faults { capacity_bytes: Some(9), ..Faults::default() });
        assert!(store.flush().is_err());
        store.read(place, |found| assert_eq!(found.data, [0, 1, 2, 3])).expect("from memory");
        disk.set_faults(Faults::default());
        store.flush().expect("room again");
        assert_eq!(load(&disk, &dir()).expect("loaded").chunks.len(), 1);
    }

    /// Three files, each with a chunk of series 2 and one of series 4.
    fn three_files() -> FaultDisk {
        let disk = FaultDisk::default();
        let store = Store::new(Arc::new(disk.clone()), dir(), &[]);
        for file in 0..3 {
            for series in [2, 4] {
                let (min, max) = (file * 100, file * 100 + 99);
                store.write(&StoredChunk { min, max, ..chunk(series, &[0, 1, 9, 9]) });
            }
            store.cut().expect("cut");
        }
        disk
    }

    #[test]
    fn missing_and_exchanged_files_count_as_damage() {
        let path = |file| file_path(&dir(), file);
        let found = |change: &dyn Fn(&FaultDisk)| {
            let disk = three_files();
            change(&disk);
            let loaded = load(&disk, &dir()).expect("loaded");
            let (kept, left): (Vec<_>, Vec<_>) = disk
                .list(&dir())
                .expect("listed")
                .into_iter()
                .partition(|entry| entry.name.ends_with(".damaged"));
            assert_eq!(left.len(), loaded.files.len(), "nothing is left that was not loaded");
            assert_eq!(kept.len(), loaded.damages.len(), "nothing was deleted");
            (
                loaded.files.iter().map(|(file, _)| *file).collect::<Vec<_>>(),
                loaded.damages.first().map(ToString::to_string).unwrap_or_default(),
            )
        };
        assert_eq!(found(&|_| {}), (vec![1, 2, 3], String::new()));
        let hole = found(&|disk| disk.remove_file(&path(2)).expect("removed"));
        assert_eq!(hole.0, [1]);
        assert!(hole.1.starts_with("/chunks_head/000003: the file before it is missing; "), "{}", hole.1);
        assert!(hole.1.ends_with("; kept as /chunks_head/000003.damaged"), "{}", hole.1);
        // The first and the last may be gone: the first when it was old, the last as if it had never been.
        assert_eq!(found(&|disk| disk.remove_file(&path(1)).expect("removed")).0, [2, 3]);
        assert_eq!(found(&|disk| disk.remove_file(&path(3)).expect("removed")).0, [1, 2]);
        let exchanged = found(&|disk| {
            for (from, to) in [(path(2), path(9)), (path(3), path(2)), (path(9), path(3))] {
                disk.rename(&from, &to).expect("renamed");
            }
        });
        assert_eq!(exchanged.0, [0u32; 0]);
        assert!(exchanged.1.contains("000003: the chunk at offset 8 does not follow"), "{}", exchanged.1);
    }

    #[test]
    fn a_damaged_file_and_those_after_it_are_set_aside() {
        let disk = FaultDisk::default();
        let store = Store::new(Arc::new(disk.clone()), dir(), &[]);
        for series in 0..3 {
            store.write(&chunk(series, &[0, 1, 9, 9]));
            store.cut().expect("cut");
        }
        let whole = disk.restart(Survives::Written);
        whole.damage(&file_path(&dir(), 2), |bytes| bytes[20] ^= 1).expect("damaged");
        let loaded = load(&whole, &dir()).expect("loaded");
        let said = loaded.damages[0].to_string();
        assert!(said.contains("000002: chunk at offset 8 has a wrong checksum"), "{said}");
        assert_eq!((loaded.files.len(), loaded.damages.len()), (1, 2));
        assert_eq!(whole.list(&dir()).expect("listed").len(), 3, "two are kept");
        // Every prefix of a file is either whole chunks or damage, never a wrong chunk.
        let bytes = crate::disk::read_file(&disk, &file_path(&dir(), 1), 1000).expect("read");
        for cut in 8..bytes.len() {
            let copy = disk.restart(Survives::Written);
            copy.damage(&file_path(&dir(), 1), |bytes| bytes.truncate(cut)).expect("cut");
            let found = load(&copy, &dir()).expect("loaded");
            assert!(found.chunks.iter().all(|c| c.samples == 1));
        }
    }
}
