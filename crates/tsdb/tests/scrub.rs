//! The slow reading of blocks in the background finds damage that nobody has asked for, and nothing else.

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::{DIR, commit, open, series, small_options};
use ferula_model::Timestamp;
use ferula_tsdb::Db;
use ferula_tsdb::disk::{Disk, FaultDisk, Survives};

const BEGIN: i64 = 1_000_000;

/// A database with a block.
fn lived() -> FaultDisk {
    let disk = FaultDisk::default();
    let db = open(&disk, small_options());
    for second in (0..170).step_by(10) {
        let at = BEGIN + second * 1000;
        let samples: Vec<_> = (0..3).map(|n| (series(n), at, at as f64)).collect();
        assert_eq!(commit(&db, &samples).expect("written"), []);
    }
    assert_eq!(db.maintain(Timestamp::from_millis(BEGIN + 170_000)).errors, Vec::<String>::new());
    assert_eq!(db.blocks().len(), 1);
    disk.restart(Survives::Written)
}

fn scrub(db: &Db) -> (Option<String>, bool, u64) {
    let (ulid, mut bytes) = (db.blocks()[0].meta().ulid, 0);
    let scrubbed = db.scrub(ulid, &mut |more| {
        bytes += more;
        ControlFlow::Continue(())
    });
    let scrubbed = scrubbed.expect("the block is there");
    (scrubbed.damage.map(|damage| damage.to_string()), scrubbed.complete, bytes)
}

#[test]
fn a_whole_block_is_read_and_nothing_is_reported() {
    let db = open(&lived(), small_options());
    let (damage, complete, bytes) = scrub(&db);
    assert_eq!((damage, complete), (None, true));
    assert!(bytes > 100, "{bytes}");
    assert_eq!(db.damages(), []);
}

#[test]
fn a_flipped_bit_anywhere_in_chunks_is_found_and_listed_once() {
    let disk = lived();
    let block = open(&disk, small_options()).blocks()[0].dir().to_path_buf();
    let segment = block.join("chunks/000001");
    let length = disk.stat(&segment).expect("readable").expect("there").bytes as usize;
    // Behind the header of the file.
    for at in 8..length {
        let copy = disk.restart(Survives::Written);
        copy.damage(&segment, |bytes| bytes[at] ^= 0x10).expect("there");
        let db = open(&copy, small_options());
        assert_eq!(db.damages(), [], "the start does not read it");
        let (damage, complete, _) = scrub(&db);
        let damage = damage.unwrap_or_else(|| panic!("byte {at} is not read"));
        assert!(damage.starts_with(&block.display().to_string()), "{damage}");
        assert!(complete);
        assert_eq!(db.damages().len(), 1);
        assert_eq!(scrub(&db).0, None, "it is known");
        assert_eq!(db.damages().len(), 1);
    }
}

#[test]
fn it_ends_when_it_is_told_to_and_a_block_that_is_gone_is_no_damage() {
    let disk = lived();
    let db = open(&disk, small_options());
    let block = db.blocks()[0].clone();
    let ulid = block.meta().ulid;
    let scrubbed = db.scrub(ulid, &mut |_| ControlFlow::Break(())).expect("there");
    assert!(!scrubbed.complete && scrubbed.damage.is_none());
    disk.remove_dir_all(&Path::new(DIR).join(ulid.to_string())).expect("removed");
    assert!(scrub(&db).0.is_none());
    assert_eq!(db.damages(), []);
}
