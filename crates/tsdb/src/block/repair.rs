//! Repairs blocks that Prometheus 2.1 wrote with wrong version numbers: 2 in `meta.json`, 1 in an index of
//! version 2.

use std::path::Path;

use serde_json::Value;

use super::index::format::{MAGIC, VERSION_2};
use super::{BlockError, BlockMeta, INDEX_FILE, META_FILE, Ulid, block_dirs};
use crate::disk::{Disk, read_file};

/// How much of the index is copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// A larger `meta.json` is not a real one.
const META_BYTES_MAX: u64 = 64 << 20;

/// Corrects the versions in all affected blocks of a data directory and returns their names. Unreadable
/// blocks are left to the code that opens them.
pub fn repair_index_versions(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<Ulid>, BlockError> {
    let mut repaired = Vec::new();
    for dir in block_dirs(disk, data_dir)? {
        let Ok(json) = read_file(disk, &dir.join(META_FILE), META_BYTES_MAX) else { continue };
        let Ok(Value::Object(mut object)) = serde_json::from_slice(&json) else { continue };
        if object.get("version").and_then(Value::as_u64) != Some(2) {
            continue;
        }
        object.insert("version".to_owned(), 1.into());
        let Ok(meta) = serde_json::from_value::<BlockMeta>(Value::Object(object)) else { continue };
        // The index comes first: after a crash in between, the block is repaired again.
        rewrite_index(disk, &dir)?;
        meta.write(disk, &dir)?;
        repaired.push(meta.ulid);
    }
    Ok(repaired)
}

/// Copies the index with the right version in its header.
fn rewrite_index(disk: &dyn Disk, block_dir: &Path) -> Result<(), BlockError> {
    let (path, copied) = (block_dir.join(INDEX_FILE), block_dir.join("index.repaired"));
    let copy = || {
        let index = disk.open(&path)?;
        let mut out = disk.create(&copied)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        loop {
            let read = index.read_at(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            if at == 0 && read > 4 && buffer[..4] == MAGIC.to_be_bytes() {
                buffer[4] = VERSION_2;
            }
            out.write_all(&buffer[..read])?;
            at += read as u64;
        }
        out.sync_data()?;
        drop(out);
        disk.rename(&copied, &path)?;
        disk.sync_dir(block_dir)
    };
    copy().map_err(|error| BlockError::io(&path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Access;
    use crate::block::index::{ChunkMeta, IndexReader, IndexWriter, SeriesEntry, SymbolTable};
    use crate::disk::FaultDisk;
    use std::sync::Arc;

    #[test]
    fn wrong_versions_are_corrected_and_others_left_alone() {
        let fault = FaultDisk::default();
        let disk: Arc<dyn Disk> = Arc::new(fault.clone());
        let names = [Ulid::new(1, 1), Ulid::new(2, 2)];
        let dir = |name: Ulid| Path::new("/data").join(name.to_string());
        for name in names {
            disk.create_dir_all(&dir(name)).expect("room");
            let symbols = SymbolTable::from_sorted(["a", "b"]).expect("sorted");
            let mut index = IndexWriter::create(&disk, &dir(name).join(INDEX_FILE), symbols).expect("room");
            index
                .add_series(&[(0, 1)], &[ChunkMeta { min_time: 0, max_time: 1, reference: 8 }])
                .expect("in order");
            index.finish().expect("room");
            BlockMeta::level_1(name, 0, 10).write(&*disk, &dir(name)).expect("room");
        }
        let damage = |file: &str, change: &dyn Fn(&mut Vec<u8>)| {
            fault.damage(&dir(names[1]).join(file), change).expect("it is there");
        };
        damage(INDEX_FILE, &|bytes| bytes[4] = 1);
        damage(META_FILE, &|bytes| {
            *bytes = String::from_utf8_lossy(bytes).replace("\"version\": 1", "\"version\": 2").into_bytes();
        });
        assert!(BlockMeta::read(&*disk, &dir(names[1])).is_err());
        assert_eq!(repair_index_versions(&*disk, Path::new("/data")).expect("repaired"), [names[1]]);
        assert_eq!(repair_index_versions(&*disk, Path::new("/data")).expect("nothing to do"), []);
        assert_eq!(BlockMeta::read(&*disk, &dir(names[1])).expect("readable").ulid, names[1]);
        let index =
            IndexReader::open(&*disk, &dir(names[1]).join(INDEX_FILE), Access::Mapped).expect("readable");
        let mut entry = SeriesEntry::default();
        for number in index.all_postings().expect("readable") {
            index.series(number, &mut entry).expect("readable");
            assert_eq!(index.labels(&entry).expect("readable").value("a"), "b");
        }
        assert_eq!(disk.list(&dir(names[1])).expect("there").len(), 2, "nothing is left over");
    }
}
