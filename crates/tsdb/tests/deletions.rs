//! What was deleted stays deleted, whatever the next start finds of the places where it was.

mod common;

use std::path::Path;

use common::{DIR, Floats, commit, floats, open, series, small_options};
use ferula_model::{Matcher, TimeRange, Timestamp};
use ferula_tsdb::disk::{Disk, FaultDisk, Survives};
use ferula_tsdb::{Db, Options};

const BEGIN: i64 = 1_000_000;

fn options() -> Options {
    Options { savepoints: true, ..small_options() }
}

fn scrape(db: &Db, at: i64) {
    let samples: Vec<_> = (0..3).map(|n| (series(n), at, at as f64)).collect();
    assert_eq!(commit(db, &samples).expect("written"), []);
}

fn maintain(db: &Db, at: i64) {
    assert_eq!(db.maintain(Timestamp::from_millis(at)).errors, Vec::<String>::new());
}

fn delete(db: &Db, from: i64, to: i64, matchers: Vec<Matcher>) {
    db.delete(TimeRange::from_millis(from, to), &[matchers]).expect("deleted");
}

fn in_range(found: &Floats, from: i64, to: i64) -> usize {
    found.values().map(|samples| samples.range(from..=to).count()).sum()
}

/// One block from the head and one of out-of-order samples; the files of both logs and of `chunks_head` still have all of it.
fn lived() -> (FaultDisk, Db) {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    for second in (0..170).step_by(10) {
        scrape(&db, BEGIN + second * 1000);
        if second >= 50 {
            let out_of_order: Vec<_> =
                (0..3).map(|n| (series(n), BEGIN + second * 1000 - 33_333, 1.0)).collect();
            assert_eq!(commit(&db, &out_of_order).expect("written"), []);
        }
    }
    maintain(&db, BEGIN + 170_000);
    assert!(db.blocks().len() >= 2, "{} blocks", db.blocks().len());
    (disk, db)
}

#[test]
fn out_of_order_samples_of_a_block_do_not_come_back_when_the_out_of_order_log_is_damaged() {
    let (disk, db) = lived();
    delete(&db, BEGIN, BEGIN + 99_999, vec![Matcher::equal("n", "001")]);
    let out_of_order = vec![(series(0), BEGIN + 130_001, 1.0), (series(1), BEGIN + 130_001, 1.0)];
    commit(&db, &out_of_order).expect("written");
    db.sync().expect("synced");
    let before = floats(&db);
    drop(db);
    let next = disk.restart(Survives::Written);
    let wbl = Path::new(DIR).join("wbl");
    let segments = next.list(&wbl).expect("listed");
    let last = segments.iter().rfind(|entry| entry.stat.bytes > 0).expect("there is one");
    next.damage(&wbl.join(&last.name), |bytes| bytes.truncate(bytes.len() - 1)).expect("torn");
    let found = floats(&open(&next, options()));
    for (labels, samples) in &found {
        let known = &before[labels];
        for at in samples.keys() {
            assert!(known.contains_key(at), "{labels} at {at} is back");
        }
    }
    assert_eq!(in_range(&found, BEGIN, BEGIN + 99_999), in_range(&before, BEGIN, BEGIN + 99_999));
}

#[test]
fn a_block_that_was_replaced_is_not_read_when_a_power_loss_brings_it_back() {
    let (disk, db) = lived();
    delete(&db, BEGIN, BEGIN + 20_000, vec![Matcher::equal("n", "001")]);
    let cleaned = db.clean_tombstones(Timestamp::from_millis(BEGIN + 170_000)).expect("cleaned");
    assert!(!cleaned.written.is_empty());
    // The new block only: the old one is gone.
    delete(&db, BEGIN + 30_000, BEGIN + 50_000, vec![Matcher::equal("n", "002")]);
    db.sync().expect("synced");
    let before = floats(&db);
    drop(db);
    let next = disk.restart(Survives::SyncedWithNames);
    assert_eq!(floats(&open(&next, options())), before);
}

#[test]
fn a_range_of_the_head_that_was_deleted_before_its_cut_does_not_come_back() {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    scrape(&db, BEGIN);
    delete(&db, BEGIN, BEGIN + 99_999, vec![]);
    for second in (100..=200).step_by(10) {
        scrape(&db, BEGIN + second * 1000);
    }
    // Nothing is left for a block that would tell a start where the head begins.
    maintain(&db, BEGIN + 200_000);
    assert_eq!(db.blocks().len(), 0);
    let before = floats(&db);
    assert_eq!(in_range(&before, BEGIN, BEGIN + 99_999), 0);
    db.close().expect("closed");
    drop(db);
    assert_eq!(floats(&open(&disk.restart(Survives::Written), options())), before);
}

#[test]
fn the_log_does_not_bring_back_a_block_in_which_everything_was_deleted() {
    let (disk, db) = lived();
    delete(&db, BEGIN, BEGIN + 99_999, vec![]);
    db.clean_tombstones(Timestamp::from_millis(BEGIN + 170_000)).expect("cleaned");
    maintain(&db, BEGIN + 171_000);
    let before = floats(&db);
    assert_eq!((in_range(&before, BEGIN, BEGIN + 99_999), before.len()), (0, 3));
    drop(db);
    let next = disk.restart(Survives::Written);
    assert_eq!(floats(&open(&next, options())), before);
    // Without a savepoint, the log alone.
    let next = disk.restart(Survives::Written);
    let _ = next.remove_dir_all(&Path::new(DIR).join("ferula_savepoint"));
    assert_eq!(floats(&open(&next, options())), before);
}
