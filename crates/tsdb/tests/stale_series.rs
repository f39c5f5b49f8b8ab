//! Series that have ended leave the head early.

mod common;

use common::{Floats, commit, floats, open, series};
use ferula_model::Timestamp;
use ferula_model::value::STALE_NAN;
use ferula_storage::Queryable;
use ferula_tsdb::disk::{Disk, FaultDisk};
use ferula_tsdb::{Db, Options};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// A chunk range begins at this time.
const BEGIN: i64 = 1_000 * HOUR;

/// The samples that were appended, as bits.
#[derive(Default)]
struct Model(Floats);

impl Model {
    fn put(&mut self, db: &Db, n: usize, at: i64, value: f64) {
        assert_eq!(commit(db, &[(series(n), at, value)]).expect("written"), []);
        self.0.entry(series(n)).or_default().insert(at, value.to_bits());
    }
}

fn options() -> Options {
    Options { out_of_order_window_ms: HOUR, ..Options::default() }
}

/// A hundred series over half an hour, of which the first `ended` ones end.
fn filled(disk: &FaultDisk, ended: usize) -> (Db, Model) {
    let (db, mut model) = (open(disk, options()), Model::default());
    for minute in 0..30 {
        for n in 0..100 {
            model.put(&db, n, BEGIN + minute * MINUTE, (n as i64 * minute) as f64);
        }
    }
    for n in 0..ended {
        model.put(&db, n, BEGIN + 30 * MINUTE, STALE_NAN);
    }
    (db, model)
}

fn hinted(db: &Db) -> usize {
    let blocks = db.blocks();
    let hinted = blocks.iter().filter(|block| block.meta().compaction.has_hint("from-stale-series"));
    hinted.count()
}

#[test]
fn they_leave_at_the_threshold_and_nothing_is_lost() {
    let disk = FaultDisk::default();
    let (db, mut model) = filled(&disk, 60);
    let now = BEGIN + 31 * MINUTE;
    db.maintain(Timestamp::from_millis(now));
    assert_eq!((db.head().series_count(), hinted(&db)), (100, 0), "it is off by default");
    db.set_stale_series_threshold(0.61);
    db.maintain(Timestamp::from_millis(now + MINUTE));
    assert_eq!((db.head().series_count(), hinted(&db)), (100, 0), "too few have ended");
    db.set_stale_series_threshold(0.6);
    let done = db.maintain(Timestamp::from_millis(now + 2 * MINUTE));
    assert!(done.errors.is_empty(), "{:?}", done.errors);
    assert_eq!((done.removed_series, db.head().series_count(), hinted(&db)), (60, 40, 1));
    assert_eq!(floats(&db), model.0);

    // One returns, and is the same series.
    model.put(&db, 3, BEGIN + 33 * MINUTE, 7.0);
    assert_eq!(floats(&db), model.0);
    drop(db);
    let db = open(&disk, options());
    assert_eq!(floats(&db), model.0, "after a kill");

    // Half a day later, everything is in blocks, and the log is truncated.
    for minute in (35..12 * 60).step_by(10) {
        for n in 50..100 {
            model.put(&db, n, BEGIN + minute * MINUTE, minute as f64);
        }
        db.maintain(Timestamp::from_millis(BEGIN + minute * MINUTE));
    }
    assert_eq!(floats(&db), model.0);
    drop(db);
    let db = open(&disk, options());
    assert_eq!(db.recovered().unknown_series, 0, "samples in the log have their series there too");
    assert_eq!(floats(&db), model.0);
}

#[test]
fn those_that_continue_or_have_out_of_order_samples_stay() {
    let disk = FaultDisk::default();
    let (db, mut model) = filled(&disk, 60);
    model.put(&db, 0, BEGIN + 29 * MINUTE + 1, 5.0);
    model.put(&db, 1, BEGIN + 31 * MINUTE, 5.0);
    db.set_stale_series_threshold(0.5);
    // An earlier reader keeps what it may read.
    let snapshot = db.snapshot(ferula_model::TimeRange::ALL).expect("a snapshot");
    let done = db.maintain(Timestamp::from_millis(BEGIN + 32 * MINUTE));
    assert_eq!((done.removed_series, hinted(&db)), (0, 1), "{:?}", done.errors);
    // It continues between the two steps.
    model.put(&db, 2, BEGIN + 33 * MINUTE, 5.0);
    drop(snapshot);
    let done = db.maintain(Timestamp::from_millis(BEGIN + 33 * MINUTE));
    assert_eq!(done.removed_series, 57);
    assert_eq!(hinted(&db), 1);
    assert_eq!(floats(&db), model.0);
}

#[test]
fn they_wait_shortly_before_a_block_is_cut_anyway() {
    let disk = FaultDisk::default();
    let (db, mut model) = filled(&disk, 60);
    for minute in (31..200).step_by(10) {
        for n in 60..100 {
            model.put(&db, n, BEGIN + minute * MINUTE, 1.0);
        }
    }
    let now = BEGIN + 200 * MINUTE;
    assert!(db.maintain(Timestamp::from_millis(now)).truncated_to.is_some(), "a block is cut");
    for n in 60..100 {
        model.put(&db, n, BEGIN + 201 * MINUTE, STALE_NAN);
    }
    db.set_stale_series_threshold(0.5);
    db.maintain(Timestamp::from_millis(now + 2 * HOUR - 9 * MINUTE));
    assert_eq!(hinted(&db), 0);
    db.maintain(Timestamp::from_millis(now + 2 * HOUR - 11 * MINUTE));
    assert_eq!(hinted(&db), 1);
    assert_eq!(floats(&db), model.0);
}

#[test]
fn their_samples_stay_deleted() {
    let disk = FaultDisk::default();
    let (db, mut model) = filled(&disk, 60);
    let delete = |db: &Db, model: &mut Model, n: usize, (min, max): (i64, i64)| {
        let matchers = vec![ferula_model::Matcher::equal("n", &format!("{n:03}"))];
        let range = ferula_model::TimeRange {
            start: ferula_model::Timestamp::from_millis(min),
            end: ferula_model::Timestamp::from_millis(max),
        };
        db.delete(range, &[matchers]).expect("deleted");
        model.0.get_mut(&series(n)).expect("it is there").retain(|at, _| !(min..=max).contains(at));
    };
    delete(&db, &mut model, 5, (BEGIN, BEGIN + 5 * MINUTE));
    db.set_stale_series_threshold(0.5);
    db.maintain(Timestamp::from_millis(BEGIN + 31 * MINUTE));
    assert_eq!(hinted(&db), 1);
    delete(&db, &mut model, 6, (BEGIN + MINUTE, BEGIN + 10 * MINUTE));
    assert_eq!(floats(&db), model.0);
    drop(db);
    assert_eq!(floats(&open(&disk, options())), model.0, "after a kill");
}

/// The log still has its samples: older ones are out of order, as if it had never left.
#[test]
fn one_that_returns_accepts_no_older_samples_in_order() {
    for window in [0, HOUR] {
        let disk = FaultDisk::default();
        let options = || Options { out_of_order_window_ms: window, savepoints: true, ..Options::default() };
        drop(filled(&disk, 60));
        let mut db = open(&disk, options());
        let mut model = Model(floats(&db));
        db.set_stale_series_threshold(0.5);
        assert_eq!(db.maintain(Timestamp::from_millis(BEGIN + 31 * MINUTE)).removed_series, 60);
        for round in 0..2 {
            // The second time after a start with a savepoint that does not contain the series.
            if round == 1 {
                drop(db);
                db = open(&disk, options());
            }
            let at = BEGIN + 20 * MINUTE + 7 + round;
            let refused = commit(&db, &[(series(round as usize), at, 5.0)]).expect("written");
            if window == 0 {
                assert_eq!(refused, [ferula_storage::AppendError::OutOfOrder]);
            } else {
                assert_eq!(refused, []);
                model.0.entry(series(round as usize)).or_default().insert(at, 5f64.to_bits());
            }
            model.put(&db, round as usize, BEGIN + 40 * MINUTE, 6.0);
            assert_eq!(floats(&db), model.0);
            db.savepoint().expect("written");
        }
        drop(db);
        assert_eq!(floats(&open(&disk, options())), model.0, "after a kill");
        disk.remove_dir_all(&std::path::Path::new(common::DIR).join("ferula_savepoint")).expect("removed");
        assert_eq!(floats(&open(&disk, options())), model.0, "from the whole log");
    }
}

/// Even if all its samples since were refused, so that only the savepoint contains it.
#[test]
fn one_that_returned_empty_accepts_no_older_samples_after_a_start() {
    let disk = FaultDisk::default();
    let options = || Options { savepoints: true, ..Options::default() };
    drop(filled(&disk, 60));
    let db = open(&disk, options());
    db.set_stale_series_threshold(0.5);
    assert_eq!(db.maintain(Timestamp::from_millis(BEGIN + 31 * MINUTE)).removed_series, 60);
    let older = [(series(0), BEGIN + 20 * MINUTE + 7, 5.0)];
    assert_eq!(commit(&db, &older).expect("written"), [ferula_storage::AppendError::OutOfOrder]);
    db.savepoint().expect("written");
    drop(db);
    let db = open(&disk, options());
    assert!(db.recovered().savepoint_series > 0, "the savepoint is used");
    assert_eq!(commit(&db, &older).expect("written"), [ferula_storage::AppendError::OutOfOrder]);
}

#[test]
fn their_deletions_do_not_apply_to_others() {
    let disk = FaultDisk::default();
    let (db, _) = filled(&disk, 60);
    let range = ferula_model::TimeRange {
        start: ferula_model::Timestamp::from_millis(BEGIN),
        end: ferula_model::Timestamp::from_millis(BEGIN + 10 * MINUTE),
    };
    db.delete(range, &[vec![ferula_model::Matcher::equal("n", "005")]]).expect("deleted");
    db.set_stale_series_threshold(0.5);
    assert_eq!(db.maintain(Timestamp::from_millis(BEGIN + 31 * MINUTE)).removed_series, 60);
    let mut model = Model(floats(&db));
    // One of them reuses its slot in the head.
    for n in 200..260 {
        model.put(&db, n, BEGIN + 5 * MINUTE, 1.0);
    }
    assert_eq!(floats(&db), model.0);
    db.maintain(Timestamp::from_millis(BEGIN + 32 * MINUTE));
    assert_eq!(floats(&db), model.0);
}
