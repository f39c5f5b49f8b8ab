//! Finds the chunks of all files at the start.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use ferula_chunk::Encoding;

use super::format::{
    ChunkFileError, ChunkPlace, FILE_HEADER_BYTES, check_file_header, file_path, is_end, read_chunk,
};
use crate::disk::Disk;
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
    /// A description of damage, if there was any: the file and all after it were removed.
    pub damage: Option<String>,
}

/// Lists the chunks of all files and verifies their checksums. As in Prometheus, a damaged file and all files
/// after it are removed, because their samples are in the log. The same applies to a file that does not
/// follow the previous one, or whose chunks do not: a start skips the log up to the newest chunk of a series,
/// and would lose what was in between. If chunks are out of order, all files are removed.
pub fn load(disk: &dyn Disk, dir: &Path) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(loaded),
        Err(error) => return Err(error),
    };
    let mut files: Vec<(u32, u64)> = entries
        .iter()
        .filter(|entry| !entry.stat.is_dir && entry.name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| Some((entry.name.parse().ok()?, entry.stat.bytes, &entry.name)))
        // A stray `7` beside `000007` is not another file of this store.
        .filter(|(file, _, name)| file_path(dir, *file).file_name().is_some_and(|own| own == name.as_str()))
        .map(|(file, bytes, _)| (file, bytes))
        .collect();
    files.sort_unstable();
    let mut ends = Ends::new();
    for (index, (file, bytes)) in files.iter().enumerate() {
        // A file that was created just before the process ended has no header yet.
        if *bytes < FILE_HEADER_BYTES as u64 && index + 1 == files.len() {
            disk.remove_file(&file_path(dir, *file))?;
            break;
        }
        let before = loaded.chunks.len();
        let previous = index.checked_sub(1).map(|previous| files[previous].0);
        let follows = previous.is_none_or(|previous| previous.checked_add(1) == Some(*file));
        let read = if follows {
            load_file(disk, dir, *file, &mut loaded, &mut ends)
        } else {
            Err(Unusable::File("the previous file is missing".to_owned()))
        };
        let (what, first_bad) = match read {
            Ok(()) => {
                loaded.files.push((*file, *bytes));
                continue;
            }
            Err(Unusable::Disk(error)) => return Err(error),
            Err(Unusable::File(what)) => (what, index),
            // It is unknown which of the files is in the wrong place.
            Err(Unusable::Order(what)) => (what, 0),
        };
        loaded.damage = Some(format!("{}: {what}", file_path(dir, *file).display()));
        loaded.files.truncate(first_bad);
        loaded.chunks.truncate(if first_bad == 0 { 0 } else { before });
        for (bad, _) in &files[first_bad..] {
            disk.remove_file(&file_path(dir, *bad))?;
        }
        break;
    }
    Ok(loaded)
}

/// Why a file was not loaded.
enum Unusable {
    Disk(io::Error),
    File(String),
    /// Its chunks are older than those of the previous files.
    Order(String),
}

/// The newest in-order sample of each series so far.
type Ends = HashMap<LogRef, i64>;

fn load_file(
    disk: &dyn Disk,
    dir: &Path,
    file: u32,
    loaded: &mut Loaded,
    ends: &mut Ends,
) -> Result<(), Unusable> {
    let invalid = |error: ChunkFileError| Unusable::File(error.to_string());
    let bytes = disk.map(&file_path(dir, file)).map_err(Unusable::Disk)?;
    check_file_header(&bytes).map_err(invalid)?;
    let mut offset = FILE_HEADER_BYTES;
    while offset < bytes.len() && !is_end(&bytes, offset) {
        let (chunk, next) = read_chunk(&bytes, offset).map_err(invalid)?;
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
    Ok(())
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
        assert_eq!(loaded.damage, None);
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
            let left = disk.list(&dir()).expect("listed").len();
            assert_eq!(left, loaded.files.len(), "nothing is left that was not loaded");
            (
                loaded.files.iter().map(|(file, _)| *file).collect::<Vec<_>>(),
                loaded.damage.unwrap_or_default(),
            )
        };
        assert_eq!(found(&|_| {}), (vec![1, 2, 3], String::new()));
        let hole = found(&|disk| disk.remove_file(&path(2)).expect("removed"));
        assert_eq!(hole, (vec![1], "/chunks_head/000003: the previous file is missing".into()));
        // The first and last file may be missing: the first because it was old, the last as if it had never
        // existed.
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
    fn a_damaged_file_and_later_ones_are_dropped() {
        let disk = FaultDisk::default();
        let store = Store::new(Arc::new(disk.clone()), dir(), &[]);
        for series in 0..3 {
            store.write(&chunk(series, &[0, 1, 9, 9]));
            store.cut().expect("cut");
        }
        let whole = disk.restart(Survives::Written);
        whole.damage(&file_path(&dir(), 2), |bytes| bytes[20] ^= 1).expect("damaged");
        let loaded = load(&whole, &dir()).expect("loaded");
        assert!(loaded.damage.expect("found").contains("000002: chunk at offset 8 has a wrong checksum"));
        assert_eq!(loaded.files.len(), 1);
        assert_eq!(whole.list(&dir()).expect("listed").len(), 1);
        // Every prefix of a file consists of whole chunks or is damaged, but never has a wrong chunk.
        let bytes = crate::disk::read_file(&disk, &file_path(&dir(), 1), 1000).expect("read");
        for cut in 8..bytes.len() {
            let copy = disk.restart(Survives::Written);
            copy.damage(&file_path(&dir(), 1), |bytes| bytes.truncate(cut)).expect("cut");
            let found = load(&copy, &dir()).expect("loaded");
            assert!(found.chunks.iter().all(|c| c.samples == 1));
        }
    }
}
