//! Finds the chunks of all files at start.

use std::io;
use std::path::Path;

use ferula_chunk::Encoding;

use super::format::{
    ChunkPlace, FILE_HEADER_BYTES, FormatError, check_file_header, file_path, is_end, read_chunk,
};
use crate::disk::Disk;
use crate::ids::LogRef;

/// A chunk that a file holds.
#[derive(Clone, Copy, Debug)]
pub struct LoadedChunk {
    /// Ref of its series in the log.
    pub series: LogRef,
    /// Where it is.
    pub place: ChunkPlace,
    /// Milliseconds since the epoch of its first sample.
    pub min: i64,
    /// Milliseconds since the epoch of its last sample.
    pub max: i64,
    /// How many samples it has.
    pub samples: u16,
    /// How they are written.
    pub encoding: Encoding,
    /// Whether they are out-of-order samples.
    pub out_of_order: bool,
}

/// What [`load`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Chunks in the order of files and places.
    pub chunks: Vec<LoadedChunk>,
    /// Numbers and lengths of the files.
    pub files: Vec<(u32, u64)>,
    /// What was wrong, if something was: the file and all after it were removed.
    pub damage: Option<String>,
}

/// Lists the chunks of all files, checksums checked. A damaged file and all files after it are removed, as
/// Prometheus does: their samples are in the log.
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
        .filter_map(|entry| Some((entry.name.parse().ok()?, entry.stat.bytes)))
        .collect();
    files.sort_unstable();
    for (index, (file, bytes)) in files.iter().enumerate() {
        // A file that was made just before the end of the process has no header yet.
        if *bytes < FILE_HEADER_BYTES as u64 && index + 1 == files.len() {
            disk.remove_file(&file_path(dir, *file))?;
            break;
        }
        let before = loaded.chunks.len();
        match load_file(disk, dir, *file, &mut loaded) {
            Ok(()) => loaded.files.push((*file, *bytes)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                loaded.chunks.truncate(before);
                loaded.damage = Some(format!("{}: {error}", file_path(dir, *file).display()));
                for (later, _) in &files[index..] {
                    disk.remove_file(&file_path(dir, *later))?;
                }
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(loaded)
}

fn load_file(disk: &dyn Disk, dir: &Path, file: u32, loaded: &mut Loaded) -> io::Result<()> {
    let invalid = |error: FormatError| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let bytes = disk.map(&file_path(dir, file))?;
    check_file_header(&bytes).map_err(invalid)?;
    let mut offset = FILE_HEADER_BYTES;
    while offset < bytes.len() && !is_end(&bytes, offset) {
        let (chunk, next) = read_chunk(&bytes, offset).map_err(invalid)?;
        let place = u32::try_from(offset).map_err(|_| invalid(FormatError::Short(offset)))?;
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
    use crate::disk::Survives;
    use crate::disk::{FaultDisk, Faults};

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
    fn a_full_disk_keeps_chunks_in_memory_until_there_is_room() {
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

    #[test]
    fn a_damaged_file_and_those_after_it_are_dropped() {
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
