//! Whatever is missing, emptied, zeroed, exchanged or in the way in a data directory: the start comes, says so, keeps what was
//! damaged, and uses what another file still has.

mod common;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{DIR, Floats, commit, floats, helper, open, open_reporting, series};
use ferula_model::{Matcher, TimeRange, Timestamp};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::{Disk, FaultDisk, Faults, RealDisk, Survives};
use ferula_tsdb::tools::verify_directory;
use ferula_tsdb::{Damage, DamageKind, Db, OpenError, Options, Progress};

const MINUTE: i64 = 60_000;
const BEGIN: i64 = 500_000 * 60 * MINUTE;

fn options() -> Options {
    Options {
        min_block_duration_ms: 30 * MINUTE,
        max_block_duration_ms: 30 * MINUTE,
        samples_per_chunk: 20,
        wal_segment_bytes: 32 * 1024,
        wal_compression: ferula_tsdb::Compression::None,
        out_of_order_window_ms: 60 * MINUTE,
        out_of_order_samples_max: 4,
        savepoints: true,
        ..Options::default()
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Two hours of three series with out-of-order samples: blocks, a checkpoint, segments of both logs, head chunks; killed.
fn lived(savepoint: bool) -> (FaultDisk, Floats) {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    for minute in 0..120 {
        let at = BEGIN + minute * MINUTE;
        for second in 0..6 {
            let now = at + second * 10_000;
            let samples: Vec<_> = (0..3).map(|n| (series(n), now, (now + n as i64) as f64)).collect();
            commit(&db, &samples).expect("written");
        }
        if minute > 100 {
            commit(&db, &[(series(1), at - 7 * MINUTE + 1, minute as f64)]).expect("written");
        }
        if minute % 5 == 0 {
            assert_eq!(db.maintain(Timestamp::from_millis(at)).errors, Vec::<String>::new());
        }
        // As the server does, one soon after a checkpoint.
        if [49, 117].contains(&minute) && savepoint {
            db.savepoint().expect("there is room");
        }
    }
    db.sync().expect("synced");
    let samples = floats(&db);
    (disk, samples)
}

fn damages(reports: Vec<Progress>) -> Vec<Damage> {
    let damage = |report| match report {
        Progress::Damaged(damage) => Some(damage),
        _ => None,
    };
    reports.into_iter().filter_map(damage).collect()
}

fn names(disk: &FaultDisk, dir: &str) -> Vec<String> {
    disk.list(&path(dir)).unwrap_or_default().into_iter().map(|entry| entry.name).collect()
}

fn lost(before: &Floats, after: &Floats) -> usize {
    let there = |labels, at| after.get(labels).is_some_and(|samples| samples.contains_key(at));
    before.iter().map(|(labels, samples)| samples.keys().filter(|at| !there(labels, at)).count()).sum()
}

type Change = fn(&FaultDisk, &str);

/// What is done to a file, and what kind of damage it must be called.
const CHANGES: [(&str, Change, &[DamageKind]); 4] = [
    ("gone", |disk, file| disk.remove_file(&path(file)).expect("removed"), &[DamageKind::Missing]),
    (
        "emptied",
        |disk, file| disk.damage(&path(file), Vec::clear).expect("emptied"),
        &[DamageKind::Torn, DamageKind::Missing, DamageKind::Contradictory, DamageKind::Unreadable],
    ),
    (
        "zeroed",
        |disk, file| disk.damage(&path(file), |bytes| bytes.fill(0)).expect("zeroed"),
        &[DamageKind::Zeroed, DamageKind::Torn, DamageKind::Unreadable, DamageKind::Missing],
    ),
    (
        "a page of zeros",
        |disk, file| {
            disk.damage(&path(file), |bytes| {
                let end = bytes.len().min(32 * 1024);
                bytes[..end].fill(0);
            })
            .expect("zeroed")
        },
        &[DamageKind::Zeroed, DamageKind::Torn, DamageKind::Unreadable, DamageKind::Missing],
    ),
];

/// Every segment of both logs, of the checkpoint, and every chunk file: whatever is done to one of them, it is reported if it cost
/// a sample, no other sample is lost, and the damaged file is kept.
#[test]
fn nothing_is_lost_in_silence_whichever_file_is_damaged() {
    for savepoint in [false, true] {
        let (whole, before) = lived(savepoint);
        let checkpoint = names(&whole, "wal").into_iter().find(|name| name.starts_with("checkpoint."));
        let checkpoint = format!("wal/{}", checkpoint.expect("there is one"));
        let mut files: Vec<String> = Vec::new();
        for dir in ["wal", "wbl", "chunks_head", checkpoint.as_str()] {
            let numbers =
                names(&whole, dir).into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
            let full = numbers.filter(|name| {
                whole.stat(&path(dir).join(name)).expect("asked").is_some_and(|stat| stat.bytes > 0)
            });
            files.extend(full.map(|name| format!("{dir}/{name}")));
        }
        assert!(files.len() >= 6, "{files:?}");
        for file in &files {
            for (what, change, kinds) in CHANGES {
                let what = format!("{file} {what}, savepoint: {savepoint}");
                let disk = whole.restart(Survives::Written);
                change(&disk, file);
                let verified = verify_directory(&(Arc::new(disk.clone()) as Arc<dyn Disk>), Path::new(DIR));
                let problems: usize = verified
                    .expect("readable")
                    .iter()
                    .map(|part| part.verified.problems.len() + part.notes.len())
                    .sum();
                let (db, reports) = open_reporting(&disk, options());
                let found = floats(&db);
                let told = damages(reports);
                let gone = lost(&before, &found);
                assert_eq!(lost(&found, &before), 0, "{what}: samples from nowhere");
                assert!(
                    gone == 0 || !told.is_empty(),
                    "{what}: {gone} samples are gone, and nothing is said"
                );
                assert!(
                    gone == 0 || problems > 0,
                    "{what}: {gone} samples are gone, and verify finds nothing"
                );
                if !told.is_empty() {
                    let kind_fits = told.iter().any(|damage| kinds.contains(&damage.kind));
                    assert!(kind_fits, "{what}: {told:?}");
                    assert_eq!(db.damages(), told, "{what}");
                }
                if file.starts_with("chunks_head") {
                    assert_eq!(gone, 0, "{what}: the log has the samples of every chunk");
                }
                if savepoint && file.starts_with(checkpoint.as_str()) {
                    assert_eq!(gone, 0, "{what}: the savepoint has the series of the checkpoint");
                    assert!(!told.is_empty() || what.contains("zero"), "{what}");
                }
                // A start later all is as it was found, and nothing more is gone.
                drop(db);
                let (db, _) = open_reporting(&disk.restart(Survives::Written), options());
                assert_eq!(lost(&found, &floats(&db)), 0, "{what}: more is gone at the second start");
            }
        }
    }
}

/// Files of blocks that another block's were exchanged for, or that are gone.
#[test]
fn a_block_whose_small_files_are_gone_or_anothers_shows_what_it_did() {
    let (whole, _) = lived(false);
    let (deleted, before) = {
        let db = open(&whole, options());
        let range = TimeRange::from_millis(BEGIN, BEGIN + 40 * MINUTE);
        db.delete(range, &[vec![Matcher::equal("n", "001")]]).expect("deleted");
        db.sync().expect("synced");
        (range, floats(&db))
    };
    let blocks: Vec<String> = names(&whole, "").into_iter().filter(|name| name.len() == 26).collect();
    assert!(blocks.len() >= 3, "{blocks:?}");
    let (a, b) = (blocks[0].clone(), blocks[1].clone());
    let exchange = |disk: &FaultDisk, file: &str| {
        let (a, b, free) = (path(&a).join(file), path(&b).join(file), path("free"));
        for (from, to) in [(&a, &free), (&b, &a), (&free, &b)] {
            disk.rename(from, to).expect("renamed");
        }
    };
    let changes: [(&str, &dyn Fn(&FaultDisk), DamageKind); 6] = [
        ("meta.json exchanged", &|disk| exchange(disk, "meta.json"), DamageKind::Misplaced),
        (
            "meta.json cut",
            &|disk| disk.damage(&path(&a).join("meta.json"), |b| b.truncate(40)).expect("cut"),
            DamageKind::Unreadable,
        ),
        (
            "tombstones gone",
            &|disk| disk.remove_file(&path(&a).join("tombstones")).expect("gone"),
            DamageKind::Missing,
        ),
        (
            "tombstones damaged",
            &|disk| disk.damage(&path(&a).join("tombstones"), |b| b[6] ^= 1).expect("set"),
            DamageKind::Unreadable,
        ),
        ("tombstones exchanged", &|disk| exchange(disk, "tombstones"), DamageKind::Misplaced),
        (
            "tombstones of an empty block",
            &|disk| {
                let empty = path(&blocks[2]).join("tombstones");
                disk.remove_file(&path(&a).join("tombstones")).expect("gone");
                disk.hard_link(&empty, &path(&a).join("tombstones")).expect("linked");
            },
            DamageKind::Misplaced,
        ),
    ];
    for (what, change, kind) in changes {
        let disk = whole.restart(Survives::Written);
        change(&disk);
        let (db, reports) = open_reporting(&disk, options());
        let told = damages(reports);
        assert!(told.iter().any(|damage| damage.kind == kind), "{what}: {told:?}");
        let undeleted = common::read(&db, &[Matcher::equal("n", "001")], deleted);
        // What the other block got instead may hide more there, never less.
        assert!(undeleted.iter().all(|(_, samples)| samples.floats.timestamps.is_empty()), "{what}");
        if what != "tombstones exchanged" {
            assert_eq!(floats(&db), before, "{what}");
        }
        // It was mended: the next start, and any other reader of the directory, finds nothing wrong.
        drop(db);
        let (db, reports) = open_reporting(&disk.restart(Survives::Written), options());
        assert_eq!(damages(reports), [], "{what}");
        assert_eq!(
            db.maintain(Timestamp::from_millis(BEGIN + 300 * MINUTE)).errors,
            Vec::<String>::new(),
            "{what}"
        );
        assert!(
            what == "tombstones exchanged" || lost(&before, &floats(&db)) == 0,
            "{what}: after compaction"
        );
    }
}

/// After a sync has failed, a later one that succeeds must not be believed for what the first was about.
#[test]
fn what_a_failed_sync_was_about_is_written_again() {
    for close in [false, true] {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new(DIR)).expect("room");
        disk.sync_dir(Path::new("/")).expect("synced");
        let db = open(&disk, options());
        let write = |from: i64, to: i64| {
            for at in from..to {
                commit(&db, &[(series(0), at * 1000, at as f64)]).expect("written");
            }
        };
        write(0, 30);
        // The first commit in a segment of the out-of-order log is synced at once.
        commit(&db, &[(series(0), 5, 1.0)]).expect("an out-of-order sample");
        db.sync().expect("synced");
        write(30, 60);
        commit(&db, &[(series(0), 6, 1.0)]).expect("another one");
        disk.set_faults(Faults { fail_syncs: true, ..Faults::default() });
        assert!(db.sync().is_err());
        assert!(db.sync().is_err(), "still");
        assert!(
            commit(&db, &[(series(0), 61_000, 1.0)]).is_err(),
            "nothing is taken that cannot be made safe"
        );
        assert_eq!(floats(&db)[&series(0)].len(), 62, "reading continues");
        disk.set_faults(Faults::default());
        db.sync().expect("all is well again");
        write(70, 80);
        db.sync().expect("synced");
        if close {
            db.close().expect("closed");
        }
        let before = floats(&db);
        assert_eq!(before[&series(0)].len(), 72);
        let (db, reports) = open_reporting(&disk.restart(Survives::SyncedWithNames), options());
        assert_eq!((floats(&db), damages(reports)), (before, vec![]), "closed: {close}");
    }
}

fn open_real(dir: &Path) -> (Result<Db, OpenError>, Vec<Damage>) {
    let mut reports = Vec::new();
    let options = Options { replay_helper: helper(), ..options() };
    let db = Db::open(dir, options, Arc::new(RealDisk), &Registry::new(), &mut |report| reports.push(report));
    (db, damages(reports))
}

/// Puts something strange under a name: a reader that opens it may wait for ever, or read without end.
fn put(what: &str, at: &Path) {
    std::fs::create_dir_all(at.parent().expect("a directory")).expect("made");
    match what {
        "directory" => std::fs::create_dir(at).expect("made"),
        "full directory" => std::fs::create_dir_all(at.join("x/y")).expect("made"),
        "file" => std::fs::write(at, b"something else").expect("written"),
        "pipe" => {
            let name = std::ffi::CString::new(at.as_os_str().as_bytes()).expect("no zero byte");
            // SAFETY: the name ends with a zero byte, and the call touches no other memory.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        }
        "socket" => drop(UnixListener::bind(at).expect("bound")),
        "device" => std::os::unix::fs::symlink("/dev/zero", at).expect("linked"),
        "loop" => std::os::unix::fs::symlink(at, at).expect("linked"),
        "dead link" => std::os::unix::fs::symlink("/proc/nowhere/at/all", at).expect("linked"),
        "huge" => std::fs::File::create(at).and_then(|file| file.set_len(5 << 30)).expect("made"),
        other => panic!("{other}"),
    }
}

/// Whatever stands where the database has a file or directory of its own, the start comes, or names the one thing that a person
/// must decide; nothing that was there is deleted.
#[test]
fn a_start_comes_whatever_is_in_the_directory() {
    const STRANGE: [&str; 9] =
        ["directory", "full directory", "file", "pipe", "socket", "device", "loop", "dead link", "huge"];
    const PLACES: [&str; 27] = [
        "wal",
        "wbl",
        "chunks_head",
        "ferula_savepoint",
        "ferula_savepoint/state",
        "ferula_savepoint/state.tmp",
        "ferula_savepoint/segments",
        "ferula_savepoint/segments.tmp",
        "ferula_savepoint/wbl_segments",
        "lock",
        "wal/00000000",
        "wal/00000001",
        "wal/00000007",
        "wal/99999999999",
        "wal/checkpoint.00000000",
        "wal/checkpoint.00000000.tmp",
        "wal/00000000.damaged",
        "wal/series_state.json",
        "wbl/00000000",
        "wbl/00000003",
        "chunks_head/000001",
        "chunks_head/000009",
        "chunk_snapshot.000001.0000000001",
        "01BKGV7JBM69T2G1BGBGM6KB12",
        "01BKGV7JBM69T2G1BGBGM6KB12.tmp-for-creation",
        "a name\nwith a line",
        "\u{202e}\u{1F980}",
    ];
    for place in PLACES {
        for what in STRANGE {
            let dir = tempfile::tempdir().expect("a directory");
            let at = dir.path().join("data").join(place);
            put(what, &at);
            let begin = std::fs::symlink_metadata(&at).expect("it is there");
            let (db, told) = open_real(&dir.path().join("data"));
            let db = match db {
                Ok(db) => db,
                Err(OpenError::LogUnreachable(path)) => {
                    assert!(["wal", "wbl"].contains(&place), "{place}: {what}");
                    assert_eq!(path, at, "{place}: {what}");
                    continue;
                }
                Err(error) => panic!("{place}: {what}: {error}"),
            };
            commit(&db, &[(series(0), BEGIN, 1.0), (series(0), BEGIN - 5, 2.0)]).expect("written");
            assert_eq!(
                db.maintain(Timestamp::from_millis(BEGIN))
                    .errors
                    .iter()
                    .filter(|error| !error.contains("01BKGV"))
                    .count(),
                0,
                "{place}: {what}"
            );
            db.close().expect("closed");
            let found = floats(&db);
            drop(db);
            // What was there is there, under its own name or another; what has the form of a leftover may go.
            use std::os::unix::fs::MetadataExt;
            let parent = at.parent().expect("a directory");
            let kept = std::fs::read_dir(parent).is_ok_and(|entries| {
                entries.flatten().any(|entry| {
                    std::fs::symlink_metadata(entry.path()).is_ok_and(|meta| meta.ino() == begin.ino())
                })
            });
            // The lock goes with every end, and Prometheus' file is kept true.
            let replaced = place.contains(".tmp") || ["lock", "wal/series_state.json"].contains(&place);
            assert!(kept || replaced, "{place}: {what} is gone; told {told:?}");
            let (db, _) = open_real(&dir.path().join("data"));
            let db = db.unwrap_or_else(|error| panic!("{place}: {what}, again: {error}"));
            assert_eq!(floats(&db), found, "{place}: {what}");
            assert_eq!(found[&series(0)].len(), 2, "{place}: {what}");
        }
    }
}

/// A process that was killed right after its first commits: nothing was synced yet by the clock.
#[test]
fn a_segment_that_is_gone_is_told_together_with_any_other_file_that_is_gone() {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    for second in 0..20 {
        let now = BEGIN + second * 10_000;
        let samples: Vec<_> = (0..3).map(|n| (series(n), now, now as f64)).collect();
        commit(&db, &samples).expect("written");
        commit(&db, &[(series(1), now - 7 * MINUTE + 1, now as f64)]).expect("written");
        if second == 10 {
            db.savepoint().expect("there is room");
        }
    }
    let before = floats(&db);
    drop(db);
    let whole = disk.restart(Survives::Written);
    let files = ["ferula_savepoint/state", "ferula_savepoint/segments", "ferula_savepoint/wbl_segments"];
    for segment in ["wal/00000000", "wbl/00000000"] {
        for other in files.iter().copied().map(Some).chain([None]) {
            let changes: [(&str, fn(&FaultDisk, &str)); 2] =
                [CHANGES[0], CHANGES[1]].map(|change| (change.0, change.1));
            for (what, change) in changes {
                let copy = whole.restart(Survives::Written);
                change(&copy, segment);
                if let Some(other) = other {
                    copy.remove_file(&path(other)).expect("removed");
                }
                let verified = verify_directory(&(Arc::new(copy.clone()) as Arc<dyn Disk>), Path::new(DIR));
                let problems =
                    verified.expect("readable").into_iter().map(|part| part.verified.problems.len());
                assert!(problems.sum::<usize>() > 0, "{segment} {what}, without {other:?}: verify is silent");
                let (db, reports) = open_reporting(&copy, options());
                let (gone, told) = (lost(&before, &floats(&db)), damages(reports));
                assert!(!told.is_empty(), "{segment} {what}, without {other:?}: {gone} samples are gone");
            }
        }
    }
}

/// A savepoint of the first moment has nothing of the segment in which it was taken.
#[test]
fn a_segment_that_was_emptied_is_told_by_a_savepoint_from_its_beginning() {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    db.savepoint().expect("there is room");
    for second in 0..20 {
        let now = BEGIN + second * 10_000;
        commit(&db, &[(series(1), now, now as f64)]).expect("written");
    }
    let before = floats(&db);
    drop(db);
    let whole = disk.restart(Survives::Written);
    assert!(whole.stat(&path("ferula_savepoint/state")).expect("readable").is_some(), "there is a savepoint");
    for (what, change) in [CHANGES[0], CHANGES[1]].map(|change| (change.0, change.1)) {
        let copy = whole.restart(Survives::Written);
        change(&copy, "wal/00000000");
        let (db, reports) = open_reporting(&copy, options());
        let (gone, told) = (lost(&before, &floats(&db)), damages(reports));
        assert!(gone > 0 && !told.is_empty(), "{what}: {gone} samples are gone, {told:?}");
    }
}

/// The lists of segments are made together; at no moment of a first start does the next one miss a list.
#[test]
fn a_kill_at_any_moment_of_the_first_start_is_no_damage() {
    for calls in 1.. {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new(DIR)).expect("made");
        disk.set_faults(Faults { crash_at: Some(calls), ..Faults::default() });
        let opened = common::try_open(&disk, options());
        let alive = !disk.crashed();
        drop(opened);
        let (_, reports) = open_reporting(&disk.restart(Survives::Written), options());
        assert_eq!(damages(reports), [], "killed at call {calls}");
        if alive {
            break;
        }
    }
}
