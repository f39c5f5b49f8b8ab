//! Blocks that wait for an upload: `--storage.tsdb.delay-compact-file.path`.
//!
//! A program that copies blocks elsewhere, such as Thanos' sidecar, maintains a JSON file with the names of
//! those it has copied. Fresh blocks that are not listed are left alone, and so is everything newer: like
//! uploads, compaction proceeds from old to new, and must leave no gaps.

use std::path::Path;

use serde::Deserialize;

use crate::block::{BlockMeta, Ulid};
use crate::disk::{Disk, read_file};

/// A name takes 29 bytes, so this is enough for two million blocks.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Deserialize)]
struct Uploads {
    #[serde(default)]
    uploaded: Vec<String>,
}

/// Those of the blocks that may be compacted.
///
/// # Errors
/// The file cannot be read. As in Prometheus, no block waits then.
pub fn without_waiting(
    disk: &dyn Disk,
    file: &Path,
    mut blocks: Vec<BlockMeta>,
) -> Result<Vec<BlockMeta>, (String, Vec<BlockMeta>)> {
    let read = read_file(disk, file, FILE_BYTES_MAX).map_err(|error| error.to_string());
    let parsed = read.and_then(|json| serde_json::from_slice::<Uploads>(&json).map_err(|e| e.to_string()));
    let uploads = match parsed {
        Ok(uploads) => uploads,
        Err(error) => return Err((format!("{}: {error}", file.display()), blocks)),
    };
    let uploaded: Vec<Ulid> = uploads.uploaded.iter().filter_map(|name| name.parse().ok()).collect();
    blocks.sort_by_key(|meta| meta.ulid);
    let waits = |meta: &BlockMeta| meta.compaction.level <= 1 && !uploaded.contains(&meta.ulid);
    let first_waiting = blocks.iter().position(waits).unwrap_or(blocks.len());
    blocks.truncate(first_waiting);
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FaultDisk;

    #[test]
    fn fresh_blocks_wait_for_their_upload_and_newer_ones_with_them() {
        let disk = FaultDisk::default();
        let file = Path::new("/data/thanos.shipper.json");
        disk.create_dir_all(Path::new("/data")).expect("made");
        let block = |ulid: u64, level: u32| {
            let mut meta = BlockMeta::level_1(Ulid::new(ulid, 0), 0, 1);
            meta.compaction.level = level;
            meta
        };
        // Not by name or by the time of their samples, but by their creation time.
        let blocks = || vec![block(4, 1), block(2, 2), block(1, 1), block(3, 1)];
        let left = |json: &str| {
            disk.create(file).expect("made").write_all(json.as_bytes()).expect("written");
            let left = without_waiting(&disk, file, blocks()).map_err(|(error, all)| (error, all.len()));
            left.map(|left| left.iter().map(|meta| meta.ulid).collect::<Vec<_>>())
        };
        let named = |numbers: &[u64]| numbers.iter().map(|n| Ulid::new(*n, 0)).collect::<Vec<_>>();
        let list = |numbers: &[u64]| {
            let names: Vec<String> = named(numbers).iter().map(|ulid| format!("\"{ulid}\"")).collect();
            format!("{{\"version\":1,\"uploaded\":[{}]}}", names.join(","))
        };
        assert_eq!(left(&list(&[])), Ok(named(&[])));
        assert_eq!(left(&list(&[1])), Ok(named(&[1, 2])));
        assert_eq!(left(&list(&[1, 4])), Ok(named(&[1, 2])), "no gap");
        assert_eq!(left(&list(&[1, 3, 4])), Ok(named(&[1, 2, 3, 4])));
        assert!(matches!(left("{"), Err((error, 4)) if error.contains("thanos.shipper.json: ")));
        disk.remove_file(file).expect("removed");
        assert!(without_waiting(&disk, file, blocks()).is_err());
    }
}
