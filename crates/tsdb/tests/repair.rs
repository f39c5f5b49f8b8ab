//! `tsdb repair`: over every kind of damage it says what is lost, deletes nothing, and leaves a directory in which everything
//! that was readable is shown. A dry run changes nothing, and says the same.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{DIR, Floats, commit, floats, open, read, series};
use ferula_model::{Matcher, TimeRange, Timestamp};
use ferula_storage::{Hints, Queryable, SeriesSamples};
use ferula_tsdb::disk::{Disk, FaultDisk, OverlayDisk, Survives, read_file};
use ferula_tsdb::tools::{repair_directory, verify_directory};
use ferula_tsdb::{BlockOptions, Damage, Options};

const MINUTE: i64 = 60_000;
const BEGIN: i64 = 500_000 * 60 * MINUTE;
const NOW: i64 = BEGIN + 120 * MINUTE;
const CHUNK_SAMPLES: u16 = 20;

fn options() -> Options {
    Options {
        min_block_duration_ms: 30 * MINUTE,
        max_block_duration_ms: 30 * MINUTE,
        samples_per_chunk: CHUNK_SAMPLES,
        wal_segment_bytes: 32 * 1024,
        wal_compression: ferula_tsdb::Compression::None,
        out_of_order_window_ms: 60 * MINUTE,
        out_of_order_samples_max: 4,
        blocks: BlockOptions { chunk_samples_max: CHUNK_SAMPLES, ..BlockOptions::default() },
        savepoints: true,
        ..Options::default()
    }
}

/// Two hours of three series: blocks, one of them with deleted samples, both logs, a checkpoint, head chunks, a
/// savepoint; then killed.
fn lived() -> (FaultDisk, Floats) {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    for second in (0..120 * 60).step_by(10) {
        let at = BEGIN + second * 1000;
        let samples: Vec<_> = (0..3).map(|n| (series(n), at, (at + n as i64) as f64)).collect();
        commit(&db, &samples).expect("written");
        if second > 50 * 60 && second % 60 == 0 {
            commit(&db, &[(series(1), at - 7 * MINUTE + 1, second as f64)]).expect("written");
        }
        if second % 300 == 0 {
            assert_eq!(db.maintain(Timestamp::from_millis(at)).errors, Vec::<String>::new());
        }
        if second == 117 * 60 {
            db.savepoint().expect("there is room");
        }
    }
    let deleted = TimeRange::from_millis(BEGIN + 5 * MINUTE, BEGIN + 7 * MINUTE);
    db.delete(deleted, &[vec![Matcher::equal("n", "001")]]).expect("deleted");
    db.sync().expect("synced");
    let samples = floats(&db);
    (disk, samples)
}

fn files(disk: &dyn Disk, dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in disk.list(dir).expect("listed") {
        let path = dir.join(&entry.name);
        if entry.stat.is_dir {
            files(disk, &path, found);
        } else {
            found.insert(path.clone(), read_file(disk, &path, 1 << 30).expect("read"));
        }
    }
}

fn all_files(disk: &dyn Disk) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(disk, Path::new(DIR), &mut found);
    found
}

fn lost(before: &Floats, after: &Floats) -> BTreeMap<String, BTreeSet<i64>> {
    let mut lost = BTreeMap::<String, BTreeSet<i64>>::new();
    for (labels, samples) in before {
        let left = after.get(labels);
        let gone = samples.keys().filter(|at| left.is_none_or(|left| !left.contains_key(at)));
        let gone: BTreeSet<i64> = gone.copied().collect();
        if !gone.is_empty() {
            lost.insert(labels.value("n").to_owned(), gone);
        }
    }
    lost
}

type Change = fn(&mut Vec<u8>);

const CHANGES: [(&str, Option<Change>); 6] = [
    ("gone", None),
    ("emptied", Some(Vec::clear)),
    ("zeroed", Some(|bytes| bytes.fill(0))),
    ("cut", Some(|bytes| bytes.truncate(bytes.len() / 2))),
    ("a bit flipped", Some(|bytes| *bytes.last_mut().expect("not empty") ^= 1)),
    (
        "a bit flipped in the middle",
        Some(|bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        }),
    ),
];

/// What a repair of this disk says, with the names of new blocks left out.
fn repair(disk: Arc<dyn Disk>, what: &str) -> Vec<Damage> {
    repair_directory(&disk, Path::new(DIR), options(), NOW).unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn told(damages: &[Damage]) -> Vec<(PathBuf, &'static str, String)> {
    damages.iter().map(|damage| (damage.path.clone(), damage.kind.name(), damage.what.clone())).collect()
}

#[test]
fn repair_shows_what_was_still_there_says_what_is_lost_and_deletes_nothing() {
    let (whole, before) = lived();
    let damageable = |path: &&PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name != "lock"
    };
    let paths: Vec<PathBuf> =
        all_files(&whole).into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(path, _)| path).collect();
    let paths: Vec<PathBuf> = paths.iter().filter(damageable).cloned().collect();
    assert!(paths.len() >= 20, "{paths:?}");
    let cases: Vec<(&PathBuf, &str, Option<Change>)> = paths
        .iter()
        .flat_map(|path| CHANGES.iter().map(move |(name, change)| (path, *name, *change)))
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let lost_chunks = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for share in cases.chunks(cases.len().div_ceil(threads)) {
            let (whole, before, lost_chunks) = (&whole, &before, &lost_chunks);
            scope.spawn(move || {
                for (path, name, change) in share {
                    let lost = repair_after(whole, before, path, name, *change);
                    lost_chunks.fetch_add(lost, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert!(lost_chunks.into_inner() >= 2, "blocks lost a chunk each");
}

/// Damages one file of a copy, repairs the copy, and checks the result; returns how many chunks were lost.
fn repair_after(
    whole: &FaultDisk,
    before: &Floats,
    path: &Path,
    change_name: &str,
    change: Option<Change>,
) -> usize {
    let what = format!("{} {change_name}", path.display());
    let disk = whole.restart(Survives::Written);
    match change {
        None => disk.remove_file(path).expect("removed"),
        Some(change) => disk.damage(path, change).expect("damaged"),
    }
    let damaged = all_files(&disk);
    let dry = repair(Arc::new(OverlayDisk::new(Arc::new(disk.clone()))), &what);
    assert_eq!(all_files(&disk), damaged, "{what}: a dry run changes nothing");
    let done = repair(Arc::new(disk.clone()), &what);
    assert_eq!(told(&dry), told(&done), "{what}");
    assert_nothing_is_deleted(&damaged, &all_files(&disk), &what);
    let parts = verify_directory(&(Arc::new(disk.clone()) as Arc<dyn Disk>), Path::new(DIR));
    for part in parts.expect("readable") {
        assert_eq!(part.verified.problems, Vec::<String>::new(), "{what}: {}", part.name);
    }
    let found = floats(&open(&disk, options()));
    assert!(lost(&found, before).is_empty(), "{what}: samples from nowhere");
    let gone = lost(before, &found);
    let costs = done.iter().any(|damage| !damage.cost.is_empty());
    assert!(gone.is_empty() || costs, "{what}: {gone:?}, and nothing is said");
    // There is nothing left to repair.
    assert_eq!(told(&repair(Arc::new(disk.clone()), &what)), [], "{what}, a second time");
    if !is_of_chunks(path) || change_name != "a bit flipped" {
        return 0;
    }
    // One chunk of one series, and nothing else.
    let lost: usize = gone.values().map(BTreeSet::len).sum();
    assert!((1..=usize::from(CHUNK_SAMPLES)).contains(&lost), "{what}: {lost} lost");
    gone.len()
}

/// The content of every file is there under some name, or a longer file begins with it, or it was cut in two.
fn assert_nothing_is_deleted(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
    what: &str,
) {
    for (path, bytes) in before.iter().filter(|(path, bytes)| is_kept(path) && !bytes.is_empty()) {
        let whole = after.values().any(|other| other.starts_with(bytes));
        let rest = after.get(path).and_then(|left| bytes.strip_prefix(&left[..]));
        let in_two = rest.is_some_and(|rest| after.values().any(|other| other == rest));
        assert!(whole || in_two, "{what}: the content of {} is gone", path.display());
    }
}

fn is_of_chunks(path: &Path) -> bool {
    path.parent().is_some_and(|dir| dir.ends_with("chunks"))
}

/// Files whose content must survive a repair. The savepoint and its lists are replaced when the database is closed, like the
/// lock.
fn is_kept(path: &Path) -> bool {
    !path.starts_with(Path::new(DIR).join("ferula_savepoint"))
        && !path.ends_with("lock")
        && !path.ends_with("series_state.json")
}

/// A query that meets a damaged chunk fails before a repair, and is answered with the rest after it.
#[test]
fn a_query_that_failed_on_a_damaged_chunk_is_answered_after_a_repair() {
    let (disk, before) = lived();
    let disk = disk.restart(Survives::Written);
    let chunks = all_files(&disk).into_keys().find(|path| is_of_chunks(path)).expect("there is a block");
    disk.damage(&chunks, |bytes| *bytes.last_mut().expect("not empty") ^= 1).expect("damaged");
    {
        let db = open(&disk, options());
        let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
        let all = snapshot.select(&[], &Hints::default()).expect("selected");
        snapshot.freeze().expect("frozen");
        let rows = snapshot.series_count(all);
        let mut take = |_: usize, _: &SeriesSamples| std::ops::ControlFlow::Continue(());
        assert!(snapshot.read(all, 0..rows, TimeRange::ALL, &mut take).is_err());
    }
    let disk = disk.restart(Survives::Written);
    let damages = repair(Arc::new(disk.clone()), "repair");
    assert!(damages.iter().any(|damage| damage.cost.contains("0 series and 1 chunks")), "{damages:?}");
    let db = open(&disk, options());
    let left = read(&db, &[], TimeRange::ALL);
    assert_eq!(left.len(), 3);
    let gone: usize = lost(&before, &floats(&db)).values().map(BTreeSet::len).sum();
    assert!((1..=usize::from(CHUNK_SAMPLES)).contains(&gone), "{gone}");
}
