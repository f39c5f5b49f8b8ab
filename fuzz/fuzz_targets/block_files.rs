//! The other files of a block: chunk segments, tombstones and `meta.json` are read without a panic, and tombstones
//! and metas that were read survive writing and reading again.

use std::path::Path;

use ferula_tsdb::Access;
use ferula_tsdb::disk::{Disk, FaultDisk};
use ferula_tsdb::formats::block::{ChunkReader, ChunkScanner};
use ferula_tsdb::formats::block::{Interval, Tombstones};
use ferula_tsdb::{BlockMeta, Ulid};

fn main() {
    let mut tombstones = Tombstones::new();
    tombstones.add(3, Interval { min: -7, max: 1 << 40 });
    tombstones.add(9, Interval { min: 0, max: 0 });
    let meta = BlockMeta::level_1(Ulid::new(1, 2), -3, 4).to_json();
    let segment = b"\x85\xbd\x40\xdd\x01\0\0\0\x03\x01abc\0\0\0\0";
    ferula_fuzz::drive("block_files", &[&tombstones.encode(), &meta, segment], |input| {
        let mut fixed = input.to_vec();
        if let Some(end) = fixed.len().checked_sub(4).filter(|end| *end >= 5) {
            let crc = crc32c::crc32c(&fixed[5..end]);
            fixed[end..].copy_from_slice(&crc.to_be_bytes());
        }
        for bytes in [input, &fixed] {
            if let Ok(read) = Tombstones::decode(bytes) {
                assert_eq!(Tombstones::decode(&read.encode()), Ok(read));
            }
        }
        if let Ok(meta) = BlockMeta::from_json(input) {
            assert_eq!(BlockMeta::from_json(&meta.to_json()).expect("it was just written"), meta);
        }
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new("/c")).expect("a disk without faults");
        let path = Path::new("/c/000001");
        disk.create(path).and_then(|mut file| file.write_all(input)).expect("a disk without faults");
        if let Ok(chunks) = ChunkReader::open(&disk, Path::new("/c"), Access::Pread) {
            for offset in 0..input.len() as u64 + 2 {
                let _ = chunks.chunk(offset);
            }
            let _ = chunks.chunk(u64::MAX);
            let mut scanner = ChunkScanner::open(&disk, Path::new("/c")).expect("the same files");
            for offset in 0..input.len() as u64 + 2 {
                let (one, other) = (chunks.chunk(offset), scanner.chunk(offset));
                assert_eq!(one.map(|c| c.1.to_vec()).ok(), other.map(|c| c.1.to_vec()).ok());
            }
        }
    });
}
