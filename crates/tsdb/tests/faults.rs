//! Crashes before and in the middle of every single write; full disks; damaged logs.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use common::{
    DIR, Floats, RANGE, commit, floats, helper, open, open_reporting, series, small_options, try_open,
};
use ferula_model::{LabelSet, Matcher, TimeRange, Timestamp};
use ferula_storage::{AppendError, CommitError};
use ferula_tsdb::disk::Survives;
use ferula_tsdb::disk::{Disk, FaultDisk, Faults};
use ferula_tsdb::{Options, Progress, UnsyncedHook};

fn options() -> Options {
    Options { out_of_order_window_ms: RANGE, ..small_options() }
}

/// What the last query returned, and what had been written by then.
#[derive(Default)]
struct LastQuery {
    shown: Floats,
    asked: Floats,
    /// What had been returned when the log was last synced.
    synced: Floats,
}

/// Scrapes, out-of-order samples, queries and maintenance until the disk dies or everything is done.
fn live(disk: &FaultDisk, seen: &mut LastQuery) {
    let Ok(db) = try_open(disk, options()) else { return };
    seen.shown = floats(&db);
    let start = seen.shown.values().filter_map(|s| s.last_key_value()).map(|(t, _)| *t).max();
    let mut now = start.map_or(1_000_000, |newest| newest / 10_000 * 10_000 + 10_000);
    for round in 0..36 {
        let mut samples: Vec<(LabelSet, i64, f64)> =
            (0..3).map(|n| (series(n), now, (now + n as i64) as f64)).collect();
        if round % 4 == 3 {
            samples.extend((0..3).map(|n| (series(n), now - 25_000 - n as i64, now as f64)));
        }
        for (labels, at, value) in &samples {
            seen.asked.entry(labels.clone()).or_default().insert(*at, value.to_bits());
        }
        let committed = commit(&db, &samples);
        // A dead machine returns nothing any more.
        if committed.is_err() || disk.crashed() {
            return;
        }
        seen.shown = floats(&db);
        if round % 3 == 1 {
            if db.sync().is_err() || disk.crashed() {
                return;
            }
            seen.synced = seen.shown.clone();
        }
        if round % 6 == 5 {
            db.maintain(Timestamp::from_millis(now));
            if disk.crashed() {
                return;
            }
            seen.shown = floats(&db);
        }
        now += 10_000;
    }
}

fn assert_between(found: &Floats, seen: &LastQuery, what: &str) {
    assert_kept(found, &seen.shown, &seen.asked, what);
}

fn assert_kept(found: &Floats, kept: &Floats, asked: &Floats, what: &str) {
    for (labels, samples) in kept {
        for (at, value) in samples {
            let now = found.get(labels).and_then(|samples| samples.get(at));
            assert_eq!(now, Some(value), "{what}: {labels} at {at} was shown and is gone");
        }
    }
    for (labels, samples) in found {
        for (at, value) in samples {
            let asked = asked.get(labels).and_then(|samples| samples.get(at));
            assert_eq!(asked, Some(value), "{what}: {labels} at {at} came from nowhere");
        }
    }
}

/// For every write that changes the disk: the process dies there, possibly after a part of the write. The
/// next process finds everything that a query had returned, and nothing that was not written; it can
/// continue, and die again.
#[test]
fn a_crash_at_any_write_loses_nothing_that_a_query_had_returned() {
    let whole = FaultDisk::default();
    live(&whole, &mut LastQuery::default());
    let operations = whole.operations();
    assert!(operations > 150, "{operations} operations");
    // All early writes (opening, the first commits), and a stride that over time includes every kind of later
    // write.
    for crash_at in (0..60).chain((60..operations).step_by(7)) {
        for torn_bytes in [0, 1, 50] {
            let disk = FaultDisk::new(Faults { crash_at: Some(crash_at), torn_bytes, ..Faults::default() });
            let mut seen = LastQuery::default();
            live(&disk, &mut seen);
            assert!(disk.crashed(), "write {crash_at} was never reached");
            let what = format!("crash at {crash_at} with {torn_bytes} bytes");
            let after = disk.restart(Survives::Written);
            let db = open(&after, options());
            assert_between(&floats(&db), &seen, &what);
            drop(db);
            if torn_bytes == 1 {
                // Again, while the next start repairs and continues.
                let again = disk.restart(Survives::Written);
                again.set_faults(Faults {
                    crash_at: Some(crash_at % 23),
                    torn_bytes: 3,
                    ..Faults::default()
                });
                seen.shown.clear();
                live(&again, &mut seen);
                let db = open(&again.restart(Survives::Written), options());
                assert_between(&floats(&db), &seen, &format!("{what}, then at {}", crash_at % 23));
            }
        }
    }
}

/// For every write: the machine loses power there. What a query had returned when the log was last synced is
/// there, whatever maintenance was doing: both with the file names at the time of the loss, and with those
/// from when their directories were last synced, which restores removed files.
#[test]
fn a_power_loss_at_any_write_loses_nothing_that_was_synced() {
    let fresh = |faults| {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new(DIR)).expect("room");
        disk.sync_dir(Path::new("/")).expect("synced");
        disk.set_faults(faults);
        disk
    };
    let whole = fresh(Faults::default());
    live(&whole, &mut LastQuery::default());
    let operations = whole.operations();
    for crash_at in (2..60).chain((60..operations).step_by(5)) {
        let disk = fresh(Faults { crash_at: Some(crash_at), ..Faults::default() });
        let mut seen = LastQuery::default();
        live(&disk, &mut seen);
        assert!(disk.crashed(), "write {crash_at} was never reached");
        for survives in [Survives::Synced, Survives::SyncedWithNames] {
            let what = format!("power loss at {crash_at}, {survives:?}");
            let (db, reports) = open_reporting(&disk.restart(survives), options());
            let found = floats(&db);
            assert_kept(&found, &seen.synced, &seen.asked, &format!("{what}: {reports:?}"));
            // And it continues.
            let newest = found.values().filter_map(|s| s.last_key_value()).map(|(t, _)| *t).max();
            let at = newest.unwrap_or(1_000_000) + 10_000;
            assert_eq!(commit(&db, &[(series(0), at, 1.0)]).expect("written"), [], "{what}");
            db.maintain(Timestamp::from_millis(at));
        }
    }
}

#[test]
fn what_was_deleted_stays_deleted_after_a_power_loss() {
    let disk = FaultDisk::default();
    disk.create_dir_all(Path::new(DIR)).expect("room");
    disk.sync_dir(Path::new("/")).expect("synced");
    live(&disk, &mut LastQuery::default());
    let disk = disk.restart(Survives::Written);
    let db = open(&disk, options());
    assert!(!db.blocks().is_empty());
    let before = floats(&db);
    let (first, last) = {
        let times = &before[&series(1)];
        (*times.first_key_value().expect("samples").0, *times.last_key_value().expect("samples").0)
    };
    let all = TimeRange::from_millis(first, last);
    db.delete(all, &[vec![Matcher::equal("n", "001")]]).expect("deleted");
    assert!(db.sync().expect("synced"));
    for survives in [Survives::Synced, Survives::SyncedWithNames] {
        let found = floats(&open(&disk.restart(survives), options()));
        assert_eq!(found.get(&series(1)), None, "{survives:?}");
        assert_eq!(found[&series(0)], before[&series(0)], "{survives:?}");
    }
}

/// A power loss takes only what was not synced: what remains is a prefix of the commits.
#[test]
fn a_power_loss_leaves_a_prefix_of_the_commits() {
    let disk = FaultDisk::default();
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let on_unsynced = UnsyncedHook::new(move || {
        count.fetch_add(1, SeqCst);
    });
    let db = open(&disk, Options { min_block_duration_ms: 7_200_000, on_unsynced, ..Options::default() });
    let mut synced = 0;
    for round in 0..50i64 {
        commit(&db, &[(series(0), round, round as f64), (series(1), round, round as f64)]).expect("written");
        // Notified of the first commit after each sync.
        assert_eq!(told.load(SeqCst) as i64, 1 + round / 10);
        if round % 10 == 9 {
            assert!(db.sync().expect("synced"));
            assert!(!db.sync().expect("nothing is new"));
            synced = round;
        }
        let after = disk.restart(Survives::Synced);
        let found = floats(&open(&after, Options::default()));
        let rows: Vec<Vec<i64>> = found.values().map(|samples| samples.keys().copied().collect()).collect();
        if round >= 9 {
            assert_eq!(rows, [(0..=synced).collect::<Vec<_>>(), (0..=synced).collect()]);
        }
    }
}

/// The log has the samples of every chunk file, so none is lost with any of the files.
#[test]
fn missing_or_exchanged_chunk_files_lose_nothing_and_are_reported() {
    let disk = FaultDisk::default();
    for run in 0..4 {
        let db = open(&disk, Options::default());
        for at in run * 500..(run + 1) * 500 {
            commit(&db, &[(series(1), at, at as f64), (series(2), at, 1.0)]).expect("written");
        }
        db.close().expect("closed");
    }
    let before = floats(&open(&disk.restart(Survives::Written), Options::default()));
    let path = |file: u32| Path::new(common::DIR).join(format!("chunks_head/{file:06}"));
    let exchange = |disk: &FaultDisk, a: u32, b: u32| {
        for (from, to) in [(a, 99), (b, a), (99, b)] {
            disk.rename(&path(from), &path(to)).expect("renamed");
        }
    };
    let changes: [(&str, &dyn Fn(&FaultDisk)); 4] = [
        ("a hole", &|disk| disk.remove_file(&path(2)).expect("removed")),
        ("a large hole", &|disk| {
            [2, 3].iter().for_each(|file| disk.remove_file(&path(*file)).expect("removed"))
        }),
        ("two exchanged", &|disk| exchange(disk, 2, 3)),
        ("first and last exchanged", &|disk| exchange(disk, 1, 4)),
    ];
    for savepoints in [false, true] {
        for (what, change) in &changes {
            let copy = disk.restart(Survives::Written);
            change(&copy);
            let (db, reports) = open_reporting(&copy, Options { savepoints, ..Options::default() });
            let told = reports.iter().any(
                |r| matches!(r, Progress::Damaged(damage) if damage.to_string().contains("chunks_head")),
            );
            assert_eq!((floats(&db) == before, told), (true, true), "{what}");
        }
    }
}

#[test]
fn a_full_disk_stops_ingestion_but_not_reading_and_ingestion_resumes_by_itself() {
    let disk = FaultDisk::default();
    let db = open(&disk, Options::default());
    commit(&db, &[(series(1), 1, 1.0)]).expect("written");
    let before = floats(&db);
    disk.set_faults(Faults { capacity_bytes: Some(1), ..Faults::default() });
    for at in 2..5 {
        let refused = commit(&db, &[(series(1), at, 1.0), (series(2), at, 1.0)]);
        assert!(refused.as_ref().is_err_and(CommitError::is_disk_full), "{refused:?}");
        assert_eq!(floats(&db), before, "nothing of it is visible");
        assert!(db.ingestion_failure().is_some_and(|failure| failure.is_disk_full()));
    }
    disk.set_faults(Faults::default());
    assert_eq!(commit(&db, &[(series(1), 9, 1.0), (series(2), 9, 1.0)]).expect("room again"), []);
    assert_eq!(db.ingestion_failure(), None);
    // The series that was created while the disk was full is in the log.
    let after = floats(&db);
    drop(db);
    assert_eq!(floats(&open(&disk.restart(Survives::Written), Options::default())), after);
    assert_eq!(after[&series(2)].len(), 1);
}

#[test]
fn damage_in_the_middle_of_the_log_loses_only_its_content_and_never_prevents_the_start() {
    let disk = FaultDisk::default();
    let options = || Options { wal_compression: ferula_tsdb::Compression::None, ..Options::default() };
    let db = open(&disk, options());
    for at in 0..6000 {
        commit(&db, &[(series(0), at, at as f64), (series(1), at, at as f64)]).expect("written");
    }
    let before = floats(&db);
    drop(db);
    let wal = Path::new(DIR).join("wal/00000000");
    for page in [1, 3] {
        let disk = disk.restart(Survives::Written);
        disk.damage(&wal, |bytes| bytes[page * 32 * 1024 + 5000] ^= 4).expect("damaged");
        let twin = disk.restart(Survives::Written);
        let (db, reports) = open_reporting(&disk, options());
        assert!(
            reports
                .iter()
                .any(|r| matches!(r, Progress::Damaged(damage) if damage.what.contains("checksum"))),
            "{reports:?}"
        );
        assert_eq!(db.recovered().corruptions, 1);
        let found = floats(&db);
        let lost = before[&series(0)].len() - found[&series(0)].len();
        assert!((1..1200).contains(&lost), "{lost} samples lost");
        assert!(found[&series(0)].contains_key(&0) && found[&series(0)].contains_key(&5999));
        // A second thread that reads ahead changes nothing.
        let (ahead, told) = open_reporting(&twin, Options { replay_helper: helper(), ..options() });
        assert_eq!((floats(&ahead), format!("{told:?}")), (found.clone(), format!("{reports:?}")));
        assert_eq!(format!("{:?}", ahead.recovered()), format!("{:?}", db.recovered()));
        // The segment was repaired: the next start finds no damage.
        drop(db);
        let (db, reports) = open_reporting(&disk.restart(Survives::Written), options());
        assert!(!reports.iter().any(|r| matches!(r, Progress::Damaged(_))), "{reports:?}");
        assert_eq!(floats(&db), found);
    }
}

#[test]
fn two_servers_do_not_share_a_directory_and_leftovers_are_removed() {
    let disk = FaultDisk::default();
    let db = open(&disk, Options::default());
    let error = try_open(&disk, Options::default()).err().expect("locked");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    db.close().expect("closed");
    drop(db);

    let leftover = Path::new(DIR).join("01BKGV7JBM69T2G1BGBGM6KB12.tmp-for-creation");
    disk.create_dir_all(&leftover.join("chunks")).expect("made");
    let (db, reports) = open_reporting(&disk, Options::default());
    assert!(!reports.iter().any(|r| matches!(r, Progress::LockReplaced(_))), "it was closed cleanly");
    assert!(disk.stat(&leftover).expect("asked").is_none());
    assert_eq!(
        commit(&db, &[(series(1), 5, 1.0), (series(1), 4, 1.0)]).expect("written"),
        Vec::<AppendError>::new()
    );
}
