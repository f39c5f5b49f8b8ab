//! Cursors on a log that grows, is truncated, and loses its beginning.

use std::path::Path;

use ferula_model::{LabelSet, Timestamp};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;

use super::*;
use crate::disk::FaultDisk;
use crate::options::Options;
use crate::wal::format::PAGE_BYTES;

fn open(disk: &FaultDisk, options: Options) -> Db {
    Db::open(Path::new("/db"), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {})
        .expect("opened")
}

/// Segments of one page, so that a few commits fill several.
fn small_segments() -> Options {
    Options { wal_segment_bytes: PAGE_BYTES as u64, ..Options::default() }
}

fn commit(db: &Db, name: &str, at: i64, samples: i64) {
    let mut appender = db.appender();
    let series = appender.resolve(&LabelSet::from_pairs([("__name__", name)])).expect("a series");
    let mut batch = SampleBatch::default();
    (0..samples)
        .for_each(|more| batch.push_float(series, Timestamp::from_millis(at + more), (at + more) as f64));
    appender.append(&mut batch);
    appender.commit(Durability::Written).expect("committed");
}

/// Names and timestamps of the samples that the cursor returns up to the end, and its position.
fn drain(
    cursor: &mut dyn LogCursor,
    names: &mut std::collections::HashMap<LogRef, String>,
) -> Vec<(String, i64)> {
    let (mut records, mut read) = (LogRecords::default(), Vec::new());
    while cursor.next(&mut records).expect("readable") {
        assert!(records.start <= records.end);
        for (series, labels) in &records.series {
            names.insert(*series, labels.value("__name__").to_owned());
        }
        read.extend(records.samples.iter().map(|sample| (names[&sample.series].clone(), sample.at.millis())));
    }
    read
}

#[test]
fn a_cursor_reads_everything_once_while_the_log_grows_over_many_segments() {
    let disk = FaultDisk::default();
    let db = open(&disk, small_segments());
    let mut cursor = LogFeed::open(&db, LogPosition::default()).expect("opened");
    let (mut names, mut read) = (std::collections::HashMap::new(), Vec::new());
    for round in 0..60 {
        commit(&db, &format!("m{}", round % 7), round * 10_000, 700);
        if round % 3 == 0 {
            read.extend(drain(&mut *cursor, &mut names));
        }
    }
    read.extend(drain(&mut *cursor, &mut names));
    assert!(db.end().segment > 3, "several segments: {:?}", db.end());
    let want: Vec<(String, i64)> = (0..60i64)
        .flat_map(|round| (0..700).map(move |more| (format!("m{}", round % 7), round * 10_000 + more)))
        .collect();
    assert_eq!(read, want);
}

#[test]
fn a_cursor_in_the_middle_knows_earlier_series_even_after_a_restart() {
    let disk = FaultDisk::default();
    let db = open(&disk, small_segments());
    commit(&db, "early", 1, 3000);
    let middle = db.end();
    commit(&db, "early", 10_000, 1);
    commit(&db, "later", 10_001, 1);
    drop(db);
    let db = open(&disk, small_segments());
    commit(&db, "early", 10_002, 1);
    let mut cursor = LogFeed::open(&db, middle).expect("opened");
    let read = drain(&mut *cursor, &mut std::collections::HashMap::new());
    assert_eq!(read, [("early".into(), 10_000), ("later".into(), 10_001), ("early".into(), 10_002)]);
}

/// Fills the head over several block ranges, so that maintenance cuts blocks and truncates the log.
fn outgrow(db: &Db, hours: std::ops::Range<i64>) {
    const HOUR: i64 = 3_600_000;
    for hour in hours {
        for minute in 0..60 {
            commit(db, &format!("m{}", minute % 5), hour * HOUR + minute * 60_000, 300);
        }
        db.maintain(Timestamp::from_millis(hour * HOUR));
    }
}

#[test]
fn segments_held_by_a_reader_stay_until_it_releases_them() {
    let disk = FaultDisk::default();
    let db = open(&disk, small_segments());
    let hold = |from| db.hold(Some(Hold { from, is_behind: true }));
    hold(LogPosition::default());
    outgrow(&db, 0..8);
    let mut cursor = LogFeed::open(&db, LogPosition::default()).expect("opened");
    assert_eq!(cursor.first_segment().expect("listed"), 0, "nothing was cut");
    let read = drain(&mut *cursor, &mut std::collections::HashMap::new());
    assert_eq!(read.len(), 8 * 60 * 300);
    hold(db.end());
    outgrow(&db, 8..12);
    assert!(cursor.first_segment().expect("listed") > 0, "the log was cut");
}

#[test]
fn a_checkpoint_between_opening_and_reading_loses_no_series() {
    let disk = FaultDisk::default();
    let db = open(&disk, small_segments());
    outgrow(&db, 0..1);
    let middle = db.end();
    db.hold(Some(Hold { from: middle, is_behind: true }));
    let mut cursor = LogFeed::open(&db, middle).expect("opened");
    outgrow(&db, 1..10);
    assert!(cursor.first_segment().expect("listed") > 0, "the segments before it are gone");
    // It panics at a series that no record named.
    let read = drain(&mut *cursor, &mut std::collections::HashMap::new());
    assert_eq!(read.len(), 9 * 60 * 300);
}

#[test]
fn over_the_bound_the_log_goes_and_the_reader_hears_of_it() {
    let disk = FaultDisk::default();
    let options = Options { log_held_bytes_max: 4 * PAGE_BYTES as u64, ..small_segments() };
    let db = open(&disk, options);
    db.hold(Some(Hold { from: LogPosition::default(), is_behind: true }));
    outgrow(&db, 0..8);
    let mut cursor = LogFeed::open(&db, LogPosition::default()).expect("opened");
    let first = cursor.first_segment().expect("listed");
    assert!(first > 0, "the log was cut");
    let (mut records, mut lost) = (LogRecords::default(), 0);
    while cursor.next(&mut records).expect("readable") {
        lost += records.segments_lost;
    }
    assert_eq!(lost, first);
}

#[test]
fn earlier_series_are_returned_in_portions() {
    const NEW_SERIES: usize = 250;
    let disk = FaultDisk::default();
    let db = open(&disk, Options::default());
    for round in 0..60 {
        let mut appender = db.appender();
        let mut batch = SampleBatch::default();
        for number in 0..NEW_SERIES {
            let labels = LabelSet::from_pairs([("__name__", format!("m{round}_{number}"))]);
            batch.push_float(appender.resolve(&labels).expect("a series"), Timestamp::from_millis(1), 1.0);
        }
        appender.append(&mut batch);
        appender.commit(Durability::Written).expect("committed");
    }
    let mut cursor = LogFeed::open(&db, db.end()).expect("opened");
    let (mut records, mut names) = (LogRecords::default(), HashSet::new());
    while cursor.next(&mut records).expect("readable") {
        assert!(records.series.len() < EARLIER_SERIES + NEW_SERIES, "{}", records.series.len());
        names.extend(records.series.drain(..).map(|(_, labels)| labels.value("__name__").to_owned()));
    }
    assert_eq!(names.len(), 60 * NEW_SERIES);
}
