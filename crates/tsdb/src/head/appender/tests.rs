//! The effects of a commit if its samples are refused, if the log cannot be written, and during concurrent
//! reads.

use std::path::Path;
use std::sync::Arc;

use ferula_model::{LabelSet, Matcher, TimeRange, Timestamp};
use ferula_storage::{Appendable, Appender, Durability, Hints, Queryable, SampleBatch};
use ferula_telemetry::Registry;

use super::*;
use crate::disk::{FaultDisk, Faults};
use crate::{Db, Options};

const HOUR: i64 = 3_600_000;
const NOW: i64 = 10 * HOUR;

fn labels(n: usize) -> LabelSet {
    LabelSet::from_pairs([("__name__", "m".to_owned()), ("n", n.to_string())])
}

/// A database with one series, which has a sample at `NOW`.
fn db() -> Db {
    let db = Db::in_memory(Options::default()).expect("opened");
    let mut appender = db.appender();
    append(&mut *appender, 0, NOW);
    appender.commit(Durability::Written).expect("written");
    db
}

fn append(appender: &mut dyn Appender, n: usize, at: i64) {
    let mut batch = SampleBatch::default();
    batch.push_float(appender.resolve(&labels(n)).expect("resolved"), Timestamp::from_millis(at), 1.0);
    appender.append(&mut batch);
}

/// What a sender with a wrong clock does.
fn refused_commit(db: &Db, series: std::ops::Range<usize>) {
    let mut appender = db.appender();
    series.for_each(|n| append(&mut *appender, n, NOW - 5 * HOUR));
    appender.commit(Durability::Written).expect("nothing to write");
}

#[test]
fn refused_series_occupy_no_slots_while_a_reader_is_slow() {
    let db = db();
    let mut reader = db.snapshot(TimeRange::ALL).expect("a snapshot");
    let selection = reader.select(&[], &Hints::default()).expect("selected");
    reader.freeze().expect("frozen");
    refused_commit(&db, 1..101);
    let slots = db.head.slots.count();
    for round in 2..50 {
        refused_commit(&db, round * 100..round * 100 + 100);
    }
    assert_eq!(db.head.slots.count(), slots, "their slots are used again");
    assert_eq!(reader.labels(selection, 0), labels(0));
}

#[test]
fn the_slot_of_a_refused_series_waits_for_readers_that_have_selected_it() {
    let db = db();
    let mut appender = db.appender();
    append(&mut *appender, 1, NOW - 5 * HOUR);
    let mut reader = db.snapshot(TimeRange::ALL).expect("a snapshot");
    let refused = reader.select(&[Matcher::equal("n", "1")], &Hints::default()).expect("selected");
    appender.commit(Durability::Written).expect("nothing to write");
    // Another series, which would get the slot.
    let mut appender = db.appender();
    append(&mut *appender, 2, NOW);
    appender.commit(Durability::Written).expect("written");
    reader.freeze().expect("frozen");
    assert_eq!(reader.series_count(refused), 0, "series 2 was not asked for");
}

#[test]
fn a_refused_series_is_removed_however_often_and_by_whichever_appender_it_was_resolved() {
    let db = db();
    let count = || db.head().series_count();
    // Twice in one commit.
    let mut appender = db.appender();
    (0..2).for_each(|_| append(&mut *appender, 1, NOW - 5 * HOUR));
    appender.commit(Durability::Written).expect("nothing to write");
    assert_eq!(count(), 1);
    // By two appenders at a time, whichever ends first and in whatever way.
    for (made_ends_first, commits) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut made, mut found) = (db.appender(), db.appender());
        append(&mut *made, 1, NOW - 5 * HOUR);
        append(&mut *found, 1, NOW - 5 * HOUR);
        let (first, second) = if made_ends_first { (made, found) } else { (found, made) };
        for appender in [first, second] {
            if commits {
                appender.commit(Durability::Written).expect("nothing to write");
            }
        }
        assert_eq!(count(), 1, "{made_ends_first} {commits}");
    }
    // What one of them needs stays.
    let (mut refused, mut good) = (db.appender(), db.appender());
    append(&mut *refused, 1, NOW - 5 * HOUR);
    append(&mut *good, 1, NOW);
    refused.commit(Durability::Written).expect("nothing to write");
    good.commit(Durability::Written).expect("written");
    assert_eq!(count(), 2);
}

#[test]
fn exemplars_and_metadata_keep_no_series_whose_samples_were_refused() {
    let options = Options { exemplars_max: 10, ..Options::default() };
    let db = Db::in_memory(options).expect("opened");
    let exemplar = |at: i64| Exemplar {
        labels: LabelSet::from_pairs([("trace_id", "x")]),
        value: 1.0,
        timestamp: Timestamp::from_millis(at),
        has_timestamp: true,
    };
    // Whether sample and exemplar come in one batch or in two.
    let commit = |n: usize, at: i64, exemplar_at: i64, apart: bool| {
        let mut appender = db.appender();
        let series = appender.resolve(&labels(n)).expect("resolved");
        let mut batch = SampleBatch::default();
        batch.push_float(series, Timestamp::from_millis(at), 1.0);
        if apart {
            appender.append(&mut batch);
        }
        batch.exemplars.push((series, exemplar(exemplar_at)));
        batch.metadata.push((series, MetricMetadata { help: "help".into(), ..MetricMetadata::default() }));
        let refused = appender.append(&mut batch).refused;
        appender.commit(Durability::Written).expect("written");
        refused.iter().filter(|refusal| refusal.kind == SampleKind::Exemplar).count()
    };
    assert_eq!(commit(0, NOW, NOW, false), 0);
    for apart in [false, true] {
        assert_eq!(commit(1, NOW - 5 * HOUR, NOW, apart), 1);
        assert_eq!(db.head().series_count(), 1, "{apart}");
    }
    // Of a series that is known, or gets a sample in this commit, they are kept.
    assert_eq!(commit(0, NOW - 5 * HOUR, NOW + 1, false), 0);
    assert_eq!(commit(2, NOW, NOW, true), 0);
    assert_eq!(db.head().series_count(), 2);
}

#[test]
fn a_commit_that_could_not_be_logged_leaves_no_series() {
    let disk = FaultDisk::default();
    let db = Db::open(
        Path::new("/data"),
        Options::default(),
        Arc::new(disk.clone()),
        &Registry::new(),
        &mut |_| {},
    )
    .expect("opened");
    let commit = |n: usize, at: i64| {
        let mut appender = db.appender();
        append(&mut *appender, n, at);
        appender.commit(Durability::Written)
    };
    commit(0, NOW).expect("written");
    disk.set_faults(Faults { capacity_bytes: Some(1), ..Faults::default() });
    for n in 1..100 {
        commit(n, NOW).expect_err("the disk is full");
    }
    assert_eq!(db.head().series_count(), 1);
    disk.set_faults(Faults::default());
    commit(1, NOW).expect("the disk has space");
    assert_eq!(db.head().series_count(), 2);
}

#[test]
fn label_lists_are_not_compacted_while_a_series_is_neither_found_nor_in_limbo() {
    let db = db();
    let slots: Vec<SlotId> = db.head.slots.all().collect();
    let mut asked = 0;
    db.head.remove_if(&slots, |_, _| {
        // In another thread, because a thread may not try to acquire a lock that it holds.
        let free = std::thread::scope(|scope| {
            scope.spawn(|| db.head.limbo.try_lock().is_some()).join().expect("no panic")
        });
        assert!(!free, "the limbo is held before the series is gone from the index");
        asked += 1;
        false
    });
    assert_eq!(asked, 1);
}
