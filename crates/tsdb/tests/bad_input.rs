//! Bad content of the directory: damaged blocks, files of others, blocks in the future, wrong clocks. Each is
//! reported clearly, everything else works, and nothing is deleted in doubt.

mod common;

use std::path::{Path, PathBuf};

use common::{DIR, Floats, commit, floats, open, open_reporting, read, series};
use ferula_model::{Matcher, TimeRange, Timestamp};
use ferula_storage::AppendError;
use ferula_tsdb::Retention;
use ferula_tsdb::disk::Survives;
use ferula_tsdb::disk::{Disk, FaultDisk};
use ferula_tsdb::{Db, Doubt, Maintained, Options, Progress};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Start of the samples in these tests.
const BEGIN: i64 = 500_000 * HOUR;

fn options() -> Options {
    Options {
        retention: Retention { duration_ms: 15 * DAY, ..Retention::default() },
        max_block_duration_ms: 2 * HOUR,
        ..Options::default()
    }
}

/// A sample of two series every ten minutes, with maintenance after each, as if time passed.
fn live(db: &Db, from: i64, hours: i64) -> (i64, Vec<Maintained>) {
    let (mut now, end, mut all) = (from, from + hours * HOUR, Vec::new());
    while now < end {
        let refused = commit(db, &[(series(0), now, now as f64), (series(1), now, 1.0)]).expect("written");
        assert_eq!(refused, [], "at {now}");
        all.push(db.maintain(Timestamp::from_millis(now)));
        now += HOUR / 6;
    }
    (now, all)
}

fn assert_quiet(all: &[Maintained]) {
    for done in all {
        assert_eq!(done.errors, Vec::<String>::new());
        assert_eq!((&done.doubts[..], &done.clock_jump_ms, &done.vanished[..]), (&[][..], &None, &[][..]));
    }
}

/// A cleanly closed database with blocks; its disk, the directories of its blocks, and its samples.
fn with_blocks() -> (FaultDisk, Vec<PathBuf>, Floats) {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    let (_, all) = live(&db, BEGIN, 10);
    assert_quiet(&all);
    let dirs: Vec<PathBuf> = db.blocks().iter().map(|block| block.dir().to_path_buf()).collect();
    assert!(dirs.len() >= 3, "{} blocks", dirs.len());
    let samples = floats(&db);
    db.close().expect("closed");
    drop(db);
    (disk, dirs, samples)
}

fn replace(disk: &FaultDisk, file: &Path, old: &str, new: &str) {
    disk.damage(file, |bytes| {
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert!(text.contains(old), "{text}");
        *bytes = text.replace(old, new).into_bytes();
    })
    .expect("it is there");
}

type Damage = fn(&FaultDisk, &Path);

/// What is done to a block, and what must be said about it.
const DAMAGES: [(&str, Damage, &str); 11] = [
    ("no meta.json", |d, b| d.remove_file(&b.join("meta.json")).expect("gone"), "meta.json"),
    (
        "a meta.json of a later version",
        |d, b| replace(d, &b.join("meta.json"), "\"version\": 1", "\"version\": 3"),
        "unexpected meta file version 3",
    ),
    ("no index", |d, b| d.remove_file(&b.join("index")).expect("gone"), "index"),
    ("half an index", |d, b| d.damage(&b.join("index"), |x| x.truncate(x.len() / 2)).expect("cut"), "index"),
    ("an invalid index", |d, b| d.damage(&b.join("index"), |x| x[0] ^= 1).expect("set"), "index"),
    (
        "an index of a later version",
        |d, b| d.damage(&b.join("index"), |x| x[4] = 9).expect("set"),
        "version 9",
    ),
    ("no chunks", |d, b| d.remove_dir_all(&b.join("chunks")).expect("gone"), "chunks"),
    (
        "invalid chunks",
        |d, b| d.damage(&b.join("chunks/000001"), |x| x[0] ^= 1).expect("set"),
        "chunks/000001",
    ),
    (
        "chunks of a later version",
        |d, b| d.damage(&b.join("chunks/000001"), |x| x[4] = 9).expect("set"),
        "version 9",
    ),
    (
        "chunks without their header",
        |d, b| d.damage(&b.join("chunks/000001"), |x| x.truncate(3)).expect("cut"),
        "chunks/000001",
    ),
    ("damaged tombstones", |d, b| d.damage(&b.join("tombstones"), |x| x[0] ^= 1).expect("set"), "tombstones"),
];

#[test]
fn a_block_that_cannot_be_read_is_named_and_left_alone_and_the_rest_is_read() {
    let (whole, dirs, samples) = with_blocks();
    for (what, damage, word) in DAMAGES {
        let disk = whole.restart(Survives::Written);
        let bad = &dirs[1];
        damage(&disk, bad);
        let before = names_below(&disk, bad);
        let (db, reports) = open_reporting(&disk, options());
        let ulid = bad.file_name().and_then(|name| name.to_str()).expect("a name");
        let told = |text: &str| text.contains(word) && text.contains(ulid);
        assert!(
            reports.iter().any(|r| matches!(r, Progress::Damaged(damage) if told(&damage.to_string()))),
            "{what}: {reports:?}"
        );
        // It is checked repeatedly, and never removed.
        for minutes in 1..4 {
            let done = db.maintain(Timestamp::from_millis(BEGIN + 10 * HOUR + minutes * 60_000));
            assert!(done.errors.iter().any(|error| told(error)), "{what}: {:?}", done.errors);
            assert!(done.removed.is_empty(), "{what}: {:?}", done.removed);
        }
        assert_eq!(names_below(&disk, bad), before, "{what}");
        let found = floats(&db);
        for (labels, found) in &found {
            let kept = |at: &i64| samples[labels].get(at) == found.get(at);
            let lost = samples[labels].keys().filter(|at| !kept(at)).count();
            assert_eq!(lost, 12, "{what}: two hours of samples are in the block");
        }
        live(&db, BEGIN + 10 * HOUR, 1);
    }
}

/// Files below a directory with their sizes.
fn names_below(disk: &FaultDisk, dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in disk.list(dir).expect("a directory") {
        let path = dir.join(&entry.name);
        if entry.stat.is_dir {
            found.extend(names_below(disk, &path));
        } else {
            found.push((path, entry.stat.bytes));
        }
    }
    found
}

#[test]
fn a_truncated_chunk_is_named_when_it_is_read() {
    let (disk, dirs, _) = with_blocks();
    let file = dirs[0].join("chunks/000001");
    disk.damage(&file, |bytes| bytes.truncate(bytes.len() - 5)).expect("cut");
    let db = open(&disk, options());
    let matchers = [Matcher::equal("n", "000")];
    // The first series is intact, and so is everything outside of this block.
    assert_eq!(read(&db, &matchers, TimeRange::ALL)[0].1.floats.timestamps.len(), 60);
    let mut snapshot = ferula_storage::Queryable::snapshot(&db, TimeRange::ALL).expect("a snapshot");
    let selection = snapshot.select(&[], &ferula_storage::Hints::default()).expect("selected");
    snapshot.freeze().expect("frozen");
    let rows = snapshot.series_count(selection);
    let read = snapshot.read(
        selection,
        0..rows,
        TimeRange::ALL,
        &mut |_: usize, _: &ferula_storage::SeriesSamples| std::ops::ControlFlow::Continue(()),
    );
    let error = read.expect_err("a chunk is cut off").to_string();
    assert!(error.contains("chunks/000001") && error.contains("byte"), "{error}");
}

#[test]
fn files_of_others_stay() {
    let (disk, _, samples) = with_blocks();
    let put = |path: &str| {
        let path = Path::new(DIR).join(path);
        disk.create_dir_all(path.parent().expect("a directory")).expect("room");
        disk.create(&path).and_then(|mut file| file.write_all(b"mine")).expect("room");
        path
    };
    let foreign = [
        "notes.txt",
        "notes.tmp",
        "backup.tmp/important",
        "lost+found/x",
        "01BKGV7JBM69T2G1BGBGM6KB1/meta.json",
        "01BKGV7JBM69T2G1BGBGM6KB12.old/meta.json",
        "01BKGV7JBM69T2G1BGBGM6KB13",
        "snapshots/20260101T000000Z-0/01BKGV7JBM69T2G1BGBGM6KB14/meta.json",
        "wal/series_state.json",
        "wal/notes.tmp",
        "wal/checkpoint.old/notes",
        "chunks_head/notes",
        "wbl/notes",
    ]
    .map(put);
    let ours = [
        "01BKGV7JBM69T2G1BGBGM6KB15.tmp-for-creation/meta.json",
        "01BKGV7JBM69T2G1BGBGM6KB16.tmp-for-deletion/index",
        "wal/checkpoint.00000007.tmp/00000000",
        "wal/00000003.repair.tmp",
    ]
    .map(put);
    let (db, reports) = open_reporting(&disk, options());
    assert!(!reports.iter().any(|r| matches!(r, Progress::Damaged(_))), "{reports:?}");
    assert_eq!(floats(&db), samples);
    let (_, all) = live(&db, BEGIN + 10 * HOUR, 9);
    assert_quiet(&all);
    db.close().expect("closed");
    for path in foreign {
        assert!(disk.stat(&path).expect("asked").is_some(), "{} was removed", path.display());
    }
    for path in ours {
        assert!(disk.stat(&path).expect("asked").is_none(), "{} was left", path.display());
    }
}

#[test]
fn a_missing_block_is_reported_and_the_rest_continues() {
    let (disk, dirs, samples) = with_blocks();
    let db = open(&disk, options());
    disk.remove_dir_all(&dirs[0]).expect("somebody removed it");
    let done = db.maintain(Timestamp::from_millis(BEGIN + 10 * HOUR));
    assert_eq!(done.errors, Vec::<String>::new());
    let vanished: Vec<String> = done.vanished.iter().map(ToString::to_string).collect();
    assert_eq!(vanished, [dirs[0].file_name().and_then(|name| name.to_str()).expect("a name")]);
    assert_eq!(db.maintain(Timestamp::from_millis(BEGIN + 10 * HOUR + 60_000)).vanished, [], "told once");
    let found = floats(&db);
    assert!(found[&series(0)].len() < samples[&series(0)].len() && !found[&series(0)].is_empty());
    live(&db, BEGIN + 10 * HOUR, 1);
}

/// Ten years ahead; created with a wrong clock, or added by somebody.
#[test]
fn a_block_in_the_future_neither_stops_ingestion_nor_ages_the_others() {
    const FUTURE: i64 = BEGIN + 3650 * DAY;
    let (other, dirs, _) = {
        let disk = FaultDisk::default();
        let db = open(&disk, options());
        live(&db, FUTURE, 5);
        let dirs: Vec<PathBuf> = db.blocks().iter().map(|block| block.dir().to_path_buf()).collect();
        (disk, dirs, ())
    };
    let (disk, _, mut model) = with_blocks();
    for (file, _) in names_below(&other, &dirs[0]) {
        let bytes = ferula_tsdb::disk::read_file(&other, &file, 1 << 20).expect("readable");
        disk.create_dir_all(file.parent().expect("a directory")).expect("room");
        disk.create(&file).and_then(|mut copy| copy.write_all(&bytes)).expect("room");
    }
    let mut now = BEGIN + 10 * HOUR;
    for _ in 0..3 {
        let db = open(&disk, Options { opened_at: Some(Timestamp::from_millis(now)), ..options() });
        let found = floats(&db);
        for (labels, samples) in &model {
            let lost = samples.iter().find(|(at, value)| found[labels].get(*at) != Some(*value));
            assert_eq!(lost, None, "{labels}");
        }
        assert!(found[&series(0)].keys().any(|at| *at >= FUTURE), "the block is read");
        let (then, all) = live(&db, now, 8);
        now = then;
        for done in all {
            assert_eq!((done.errors, done.removed), (vec![], vec![]));
            assert!(
                matches!(done.doubts[..], [Doubt::FutureBlock { min_time, .. }, Doubt::RetentionWaits { .. }] if min_time >= FUTURE),
                "{:?}",
                done.doubts
            );
        }
        model = floats(&db);
        // Without `close`, as after a kill.
    }
}

#[test]
fn a_clock_jump_is_reported_and_loses_nothing() {
    let (disk, _, before) = with_blocks();
    let mut now = BEGIN + 10 * HOUR;
    let db = open(&disk, Options { opened_at: Some(Timestamp::from_millis(now)), ..options() });
    let (then, all) = live(&db, now, 4);
    assert_quiet(&all);
    now = then;
    // Forward by a month, for twelve hours: blocks are cut there, and all others look old.
    let (ahead, all) = live(&db, now + 30 * DAY, 12);
    assert_eq!(all[0].clock_jump_ms, Some(30 * DAY + HOUR / 6));
    assert!(all[1..].iter().all(|done| done.clock_jump_ms.is_none()));
    assert!(all.iter().all(|done| done.removed.is_empty()), "nothing is deleted on doubt");
    let last = all.last().expect("some");
    assert!(matches!(last.doubts[..], [Doubt::RetentionWaits { blocks: 4.. }]), "{:?}", last.doubts);
    // And back: current samples are older than the newest ones, until an operator removes the future blocks.
    let done = db.maintain(Timestamp::from_millis(now));
    assert!(done.clock_jump_ms.is_some_and(|jump| jump < -29 * DAY), "{:?}", done.clock_jump_ms);
    assert!(
        done.doubts.iter().any(|doubt| matches!(doubt, Doubt::HeadAhead { hours } if *hours > 29 * 24)),
        "{:?}",
        done.doubts
    );
    assert_eq!(
        commit(&db, &[(series(0), now, 1.0)]).expect("nothing is written"),
        [AppendError::OutOfBounds],
        "as Prometheus has it"
    );
    for minutes in 1..200 {
        assert!(db.maintain(Timestamp::from_millis(now + minutes * 60_000)).removed.is_empty());
    }
    let found = floats(&db);
    for (labels, samples) in &before {
        assert!(samples.iter().all(|(at, value)| found[labels].get(at) == Some(value)), "{labels}");
    }
    assert!(found[&series(0)].keys().any(|at| *at >= ahead - HOUR));
    // With a window for out-of-order samples, they are accepted.
    db.set_out_of_order_window(60 * DAY).expect("a log for them");
    assert_eq!(commit(&db, &[(series(0), now, 1.0)]).expect("written"), []);
    assert_eq!(floats(&db)[&series(0)].get(&now), Some(&1f64.to_bits()));
}

/// A log of three segments with samples, none of which are in a block or savepoint.
fn with_log() -> (FaultDisk, Floats) {
    let disk = FaultDisk::default();
    let mut samples = Floats::new();
    for start in 0..3 {
        let db = open(&disk, options());
        for minute in 0..10 {
            let at = BEGIN + (start * 10 + minute) * 60_000;
            assert_eq!(commit(&db, &[(series(0), at, at as f64)]).expect("written"), []);
        }
        samples = floats(&db);
        // Killed: each start adds a segment, and there is nothing but the log.
        drop(db);
    }
    assert_eq!(samples[&series(0)].len(), 30);
    (disk, samples)
}

fn damages(reports: &[Progress]) -> Vec<String> {
    let text = |report: &Progress| match report {
        Progress::Damaged(damage) => Some(damage.to_string()),
        _ => None,
    };
    reports.iter().filter_map(text).collect()
}

/// Names in the log's directory that no program wrote must not affect the log, at this start or a later one.
#[test]
fn odd_names_in_the_log_lose_nothing_and_are_reported() {
    for name in [
        "wal/4294967295",
        "wal/4294967294",
        "wal/1",
        "wal/000000001",
        "wal/00000077/notes",
        "wal/99999999999999999999",
        "wbl/4294967295",
        "wal/checkpoint.00000099/00000000",
        "wal/checkpoint.00000002/00000000",
    ] {
        let (disk, mut samples) = with_log();
        let path = Path::new(DIR).join(name);
        disk.create_dir_all(path.parent().expect("a directory")).expect("room");
        disk.create(&path).expect("room");
        for start in 0..3 {
            let (db, reports) = open_reporting(&disk, options());
            assert_eq!(floats(&db), samples, "{name}, start {start}");
            let told = damages(&reports);
            // What was in the way of a segment was set aside at the first start.
            let set_aside = start > 0 && name == "wal/00000077/notes";
            assert!(
                set_aside || told.iter().any(|text| text.contains(name.split('/').nth(1).expect("a name"))),
                "{name}: {told:?}"
            );
            // Newly written samples are there at the next start too.
            let at = BEGIN + (40 + start) * 60_000;
            assert_eq!(commit(&db, &[(series(0), at, 1.0)]).expect("written"), []);
            samples = floats(&db);
        }
    }
}

#[test]
fn a_missing_segment_is_reported_and_loses_only_its_own_samples() {
    let (disk, samples) = with_log();
    disk.remove_file(&Path::new(DIR).join("wal/00000001")).expect("somebody removed it");
    let (db, reports) = open_reporting(&disk, options());
    let told = damages(&reports);
    assert!(told.iter().any(|text| text.contains("segments 1 to 1 are missing")), "{told:?}");
    let found = floats(&db);
    assert!(found[&series(0)].len() >= 20, "{}", found[&series(0)].len());
    assert!(found[&series(0)].keys().all(|at| samples[&series(0)].contains_key(at)));
}
