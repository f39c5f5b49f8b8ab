//! A database over weeks: cutting and merging blocks, truncation, retention, restarts, deletions.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{DIR, Floats, commit, floats, open, read, series};
use ferula_model::{LabelSet, MatchOp, Matcher, TimeRange, Timestamp};
use ferula_storage::{Appendable, Hints, Queryable, SeriesSamples, Stop, StorageError};
use ferula_tsdb::Retention;
use ferula_tsdb::disk::Survives;
use ferula_tsdb::disk::{Disk, FaultDisk};
use ferula_tsdb::{Db, Options, Stopwatch};
use proptest::prelude::*;

/// Blocks of 100 s, so that a test covers many.
const RANGE: i64 = 100_000;

fn options() -> Options {
    Options {
        min_block_duration_ms: RANGE,
        max_block_duration_ms: 9 * RANGE,
        samples_per_chunk: 8,
        wal_segment_bytes: 32 * 1024,
        retention: Retention::default(),
        ..Options::default()
    }
}

/// Commits `rounds` scrapes of five series, 10 s apart, and adds them to the model.
fn ingest(db: &Db, model: &mut Floats, from: i64, rounds: i64) -> i64 {
    for round in 0..rounds {
        let at = from + round * 10_000;
        let samples: Vec<_> = (0..5).map(|n| (series(n), at, (at + n as i64) as f64)).collect();
        assert_eq!(commit(db, &samples).expect("written"), []);
        for (labels, at, value) in samples {
            model.entry(labels).or_default().insert(at, value.to_bits());
        }
    }
    from + rounds * 10_000
}

fn maintain(db: &Db, now: i64) -> ferula_tsdb::Maintained {
    let done = db.maintain(Timestamp::from_millis(now));
    assert_eq!(done.errors, Vec::<String>::new());
    done
}

#[test]
fn what_leaves_the_head_is_read_from_blocks_even_after_a_restart() {
    let disk = FaultDisk::default();
    let mut db = open(&disk, options());
    let (mut model, mut now) = (Floats::new(), 1_000_000);
    let mut written = 0;
    for _ in 0..40 {
        now = ingest(&db, &mut model, now, 5);
        written += maintain(&db, now).written.len();
        assert_eq!(floats(&db), model);
    }
    assert!(written >= 15, "{written} blocks");
    // The levels: 100 s, 300 s, 900 s.
    let lengths: Vec<i64> =
        db.blocks().iter().map(|b| (b.meta().max_time - b.meta().min_time) / RANGE).collect();
    assert!(lengths.contains(&9), "{lengths:?}");
    let range = db.head().time_range().expect("samples");
    let length = range.end.millis() - range.start.millis();
    assert!(length <= 2 * RANGE, "the head keeps {} s", length / 1000);
    // The log and the chunk files shrink too.
    assert!(
        disk.list(&Path::new(DIR).join("wal"))
            .expect("listed")
            .iter()
            .any(|e| e.name.starts_with("checkpoint."))
    );
    assert!(db.wal_bytes() < 400_000, "{} bytes of log", db.wal_bytes());
    drop(db);
    let disk = disk.restart(Survives::Written);
    db = open(&disk, options());
    assert_eq!(floats(&db), model);
    now = ingest(&db, &mut model, now, 30);
    maintain(&db, now);
    assert_eq!(floats(&db), model);
}

/// Its chunk may stay in `chunks_head` for long, while the log of deletions is truncated.
#[test]
fn a_deleted_out_of_order_sample_stays_deleted() {
    for savepoint in [false, true] {
        let disk = FaultDisk::default();
        let options = || Options { out_of_order_window_ms: 9 * RANGE, savepoints: savepoint, ..options() };
        let db = open(&disk, options());
        let (mut model, mut now) = (Floats::new(), 1_000_000);
        now = ingest(&db, &mut model, now, 8);
        let out_of_order = now - 75_000;
        assert_eq!(commit(&db, &[(series(0), out_of_order, 1.0)]).expect("written"), []);
        let at = ferula_model::Timestamp::from_millis(out_of_order);
        db.delete(TimeRange { start: at, end: at }, &[vec![]]).expect("deleted");
        assert_eq!(floats(&db), model);
        drop(db);
        let mut db = open(&disk, options());
        for _ in 0..8 {
            now = ingest(&db, &mut model, now, 5);
            maintain(&db, now);
            assert_eq!(floats(&db), model);
            db = open_again(db, &disk, options());
            assert_eq!(floats(&db), model, "after a kill at {now}");
        }
    }
}

/// Their chunks are no longer in memory, but may be in files next to chunks that are needed.
#[test]
fn deleted_out_of_order_samples_that_are_in_blocks_stay_deleted() {
    for savepoints in [false, true] {
        let disk = FaultDisk::default();
        let minute = 60_000;
        let options = || Options {
            min_block_duration_ms: 10 * minute,
            max_block_duration_ms: 10 * minute,
            out_of_order_window_ms: 30 * minute,
            out_of_order_samples_max: 4,
            samples_per_chunk: 8,
            savepoints,
            ..options()
        };
        let db = open(&disk, options());
        let in_order = |times: std::ops::Range<i64>| {
            for second in times.step_by(5) {
                commit(&db, &[(series(1), second * 1000, 1.0)]).expect("written");
            }
        };
        in_order(0..600);
        for second in (102..201).step_by(5) {
            commit(&db, &[(series(1), second * 1000, 2.0)]).expect("written");
        }
        in_order(600..1000);
        let written = maintain(&db, 1_000_000).written;
        assert!(written.iter().any(|meta| meta.compaction.has_hint("from-out-of-order")), "{written:?}");
        let range = TimeRange::from_millis(100_000, 200_000);
        let in_range =
            |db: &Db| common::read(db, &[], range).iter().map(|(_, samples)| samples.len()).sum::<usize>();
        assert_eq!(in_range(&db), 41);
        db.delete(range, &[vec![]]).expect("deleted");
        assert_eq!(in_range(&db), 0);
        let before = floats(&db);
        db.close().expect("closed");
        drop(db);
        let db = open(&disk, options());
        assert_eq!((in_range(&db), floats(&db) == before), (0, true), "with savepoints: {savepoints}");
    }
}

fn open_again(db: Db, disk: &FaultDisk, options: Options) -> Db {
    drop(db);
    open(disk, options)
}

#[test]
fn fresh_blocks_wait_until_they_were_uploaded() {
    let disk = FaultDisk::default();
    let list = Path::new(DIR).join("thanos.shipper.json");
    let db = open(&disk, Options { delay_compact_file: Some(list.clone()), ..options() });
    let upload = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let json = format!("{{\"version\":1,\"uploaded\":[{}]}}", names.join(","));
        disk.create(&list).expect("made").write_all(json.as_bytes()).expect("written");
    };
    let levels = || db.blocks().iter().map(|block| block.meta().compaction.level).collect::<Vec<_>>();
    upload(&[]);
    let (mut model, mut now) = (Floats::new(), 1_200_000);
    for _ in 0..10 {
        now = ingest(&db, &mut model, now, 10);
        maintain(&db, now);
    }
    assert!(levels().len() > 6 && levels().iter().all(|level| *level == 1), "{:?}", levels());
    let names: Vec<String> = db.blocks().iter().map(|block| block.meta().ulid.to_string()).collect();
    upload(&names[..4]);
    now = ingest(&db, &mut model, now, 20);
    maintain(&db, now);
    assert_eq!(levels()[..2], [2, 1], "three of the four filled a range");
    // Without a list, no block waits.
    disk.remove_file(&list).expect("removed");
    now = ingest(&db, &mut model, now, 10);
    maintain(&db, now);
    assert!(levels()[1] > 1, "{:?}", levels());
    assert_eq!(floats(&db), model);
}

/// A regular expression over many values can take long, and locks the index of the head meanwhile.
#[test]
fn a_selection_stops_when_its_reader_has_gone() {
    let db = Db::in_memory(options()).expect("opened");
    let all: Vec<_> = (0..2_000).map(series).collect();
    for at in [1_000_000, 1_000_000 + 2 * RANGE] {
        commit(&db, &all.iter().map(|labels| (labels.clone(), at, 1.0)).collect::<Vec<_>>())
            .expect("written");
    }
    assert_eq!(maintain(&db, 1_000_000 + 2 * RANGE).written.len(), 1, "half of it is in a block");
    let name =
        all[0].iter().map(|(name, _)| name).find(|name| *name != "__name__").expect("a label").to_owned();
    let matcher = || Matcher::new(MatchOp::Regex, &name, ".*[0-9].*").expect("a regex");
    let asked = Arc::new(AtomicUsize::new(0));
    for range in [TimeRange::from_millis(0, 1_000_000), TimeRange::from_millis(1_000_000 + RANGE, i64::MAX)] {
        let count_until = |last: usize| {
            asked.store(0, Ordering::Relaxed);
            let counter = Arc::clone(&asked);
            let stop = Stop::when(Arc::new(move || counter.fetch_add(1, Ordering::Relaxed) + 1 >= last));
            let mut snapshot = db.snapshot(range).expect("a snapshot");
            let outcome = snapshot.select(&[matcher()], &Hints { stop, ..Hints::default() });
            (outcome, asked.load(Ordering::Relaxed))
        };
        let (outcome, questions) = count_until(usize::MAX);
        assert!(outcome.is_ok() && questions >= 2_000 / 64, "{questions} questions about 2,000 values");
        let (outcome, questions) = count_until(3);
        assert!(matches!(outcome, Err(StorageError::Stopped)), "{outcome:?}");
        assert_eq!(questions, 3);
    }
}

#[test]
fn a_snapshot_can_be_read_while_the_head_is_cut_and_truncated() {
    let db = Db::in_memory(options()).expect("opened");
    let mut model = Floats::new();
    let now = ingest(&db, &mut model, 1_000_000, 30);
    let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
    let selection = snapshot.select(&[], &Hints::default()).expect("selected");
    snapshot.freeze().expect("frozen");
    let before = model.clone();
    // Blocks are written, but the head removes nothing that the snapshot reads.
    let done = maintain(&db, now);
    assert_eq!((done.written.len(), done.truncated_to), (1, None));
    let now = ingest(&db, &mut model, now, 30);
    maintain(&db, now);
    let mut seen = Floats::new();
    let rows = snapshot.series_count(selection);
    snapshot
        .read(selection, 0..rows, TimeRange::ALL, &mut |row: usize, samples: &SeriesSamples| {
            let values = samples.floats.values.iter().map(|v| v.to_bits());
            let column: BTreeMap<i64, u64> = samples.floats.timestamps.iter().copied().zip(values).collect();
            seen.insert(snapshot.labels(selection, row), column);
            std::ops::ControlFlow::Continue(())
        })
        .expect("readable");
    assert_eq!(seen, before);
    drop(snapshot);
    assert!(maintain(&db, now + 60_000).truncated_to.is_some());
    assert_eq!(floats(&db), model);
}

#[test]
fn a_series_that_ended_leaves_the_head_and_its_slot_is_reused() {
    let db = Db::in_memory(options()).expect("opened");
    let mut model = Floats::new();
    commit(&db, &[(series(77), 1_000_000, 1.0)]).expect("written");
    model.entry(series(77)).or_default().insert(1_000_000, 1f64.to_bits());
    let mut now = ingest(&db, &mut model, 1_000_000, 50);
    let mut removed = 0;
    for _ in 0..4 {
        removed += maintain(&db, now).removed_series;
        now += 60_000;
    }
    assert_eq!((removed, db.head().series_count()), (1, 5));
    // An earlier handle finds nothing any more; the labels create a new series.
    let now = ingest(&db, &mut model, now, 1);
    commit(&db, &[(series(78), now, 2.0), (series(77), now, 3.0)]).expect("written");
    model.entry(series(78)).or_default().insert(now, 2f64.to_bits());
    model.entry(series(77)).or_default().insert(now, 3f64.to_bits());
    assert_eq!(floats(&db), model);
}

#[test]
fn a_series_with_an_open_appender_stays() {
    let db = Db::in_memory(options()).expect("opened");
    let mut model = Floats::new();
    let mut appender = db.appender();
    let pending = appender.resolve(&series(88)).expect("resolved");
    let now = ingest(&db, &mut model, 1_000_000, 60);
    maintain(&db, now);
    let mut batch = ferula_storage::SampleBatch::default();
    batch.push_float(pending, Timestamp::from_millis(now), 5.0);
    assert_eq!(appender.append(&mut batch).refused.len(), 0);
    appender.commit(ferula_storage::Durability::Written).expect("written");
    assert_eq!(floats(&db)[&series(88)], BTreeMap::from([(now, 5f64.to_bits())]));
}

#[test]
fn old_blocks_are_removed_and_new_ones_opened() {
    let disk = FaultDisk::default();
    let retention = Retention { duration_ms: 5 * RANGE, ..Retention::default() };
    let db = open(&disk, Options { retention, max_block_duration_ms: RANGE, ..options() });
    let mut model = Floats::new();
    let mut now = 1_000_000;
    for _ in 0..30 {
        now = ingest(&db, &mut model, now, 5);
        maintain(&db, now);
    }
    let blocks = db.blocks();
    let (oldest, newest) = (blocks[0].meta(), blocks[blocks.len() - 1].meta());
    assert!(newest.max_time - oldest.max_time < 5 * RANGE);
    assert!(floats(&db)[&series(0)].first_key_value().expect("samples").0 >= &oldest.min_time);
    // A removed block is closed; an added one is read.
    let (name, dir) = (oldest.ulid.to_string(), blocks[0].dir().to_path_buf());
    drop(blocks);
    let aside = Path::new("/aside");
    disk.rename(&dir, aside).expect("moved away");
    maintain(&db, now + 60_000);
    assert!(db.blocks().iter().all(|block| block.meta().ulid.to_string() != name));
    disk.rename(aside, &dir).expect("moved back");
    assert_eq!(maintain(&db, now + 120_000).opened, 1);
}

#[test]
fn a_share_of_the_disk_is_a_limit_and_is_counted_once_however_many_blocks_are_removed() {
    let disk = FaultDisk::default();
    let registry = ferula_telemetry::Registry::new();
    // As with Thanos: blocks stay as the head cuts them, and are not merged.
    let options = Options { max_block_duration_ms: RANGE, ..options() };
    let db =
        Db::open(Path::new(DIR), options, Arc::new(disk.clone()), &registry, &mut |_| {}).expect("opened");
    let mut now = 1_000_000;
    for _ in 0..20 {
        now = ingest(&db, &mut Floats::new(), now, 5);
        maintain(&db, now);
    }
    let sizes: Vec<u64> = db.blocks().iter().map(|block| block.bytes()).collect();
    assert!(
        sizes.len() >= 8 && db.blocks().iter().all(|block| block.meta().compaction.level == 1),
        "{sizes:?}"
    );
    let count = || metrics(&registry)["prometheus_tsdb_size_retentions_total"].1;
    let total = disk.total_bytes(Path::new(DIR)).expect("known") as f64;
    // The share takes precedence over the size, which would keep everything.
    let kept = sizes[sizes.len() - 3..].iter().sum::<u64>() + sizes[0] / 2;
    let log = db.wal_bytes() + disk_bytes(&disk, "chunks_head");
    let percentage = (kept + log) as f64 / total * 100.0;
    db.set_retention(Retention { percentage, bytes_max: u64::MAX, ..Retention::default() });
    let done = maintain(&db, now + 60_000);
    assert_eq!((done.removed.len(), db.blocks().len(), count()), (sizes.len() - 3, 3, 1.0));
    maintain(&db, now + 120_000);
    assert_eq!((db.blocks().len(), count()), (3, 1.0));
}

#[test]
fn a_block_that_cannot_be_read_is_reported_and_left_alone() {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    let mut model = Floats::new();
    let now = ingest(&db, &mut model, 1_000_000, 60);
    maintain(&db, now);
    let dir = db.blocks()[0].dir().to_path_buf();
    drop(db);
    let disk = disk.restart(Survives::Written);
    disk.damage(&dir.join("index"), |bytes| bytes.truncate(20)).expect("damaged");
    let (db, reports) = common::open_reporting(&disk, options());
    assert!(
        reports.iter().any(
            |r| matches!(r, ferula_tsdb::Progress::Damaged(damage) if damage.to_string().contains("index"))
        ),
        "{reports:?}"
    );
    assert!(disk.stat(&dir).expect("asked").is_some());
    assert!(!floats(&db).is_empty(), "the rest is there");
}

#[test]
fn deleted_samples_are_gone_from_head_and_blocks_even_after_a_restart() {
    let disk = FaultDisk::default();
    let options = || Options { out_of_order_window_ms: RANGE, ..options() };
    let mut db = open(&disk, options());
    let mut model = Floats::new();
    let now = ingest(&db, &mut model, 1_000_000, 35);
    maintain(&db, now);
    // An out-of-order sample of the deleted series, only in the head.
    let out_of_order = now - 55_001;
    commit(&db, &[(series(2), out_of_order, 1.0)]).expect("written");
    let (min, max) = (1_050_000, now - 50_000);
    let only = [vec![Matcher::equal("n", "002")], vec![Matcher::equal("n", "004")]];
    db.delete(TimeRange::from_millis(min, max), &only).expect("deleted");
    for n in [2, 4] {
        model.get_mut(&series(n)).expect("there").retain(|at, _| *at < min || *at > max);
    }
    assert_eq!(floats(&db), model);
    drop(db);
    db = open(&disk.restart(Survives::Written), options());
    assert_eq!(floats(&db), model);
    let samples = |db: &Db| db.blocks().iter().map(|b| b.meta().stats.num_samples).sum::<u64>();
    let before = samples(&db);
    assert!(!db.clean_tombstones(Timestamp::from_millis(now)).expect("cleaned").written.is_empty());
    assert!(samples(&db) < before);
    assert_eq!(floats(&db), model);
    // Blocks that are cut now do not contain them either.
    let now = ingest(&db, &mut model, now, 30);
    maintain(&db, now);
    assert_eq!(floats(&db), model);
    assert!(db.blocks().iter().all(|block| block.tombstones().is_empty()));
}

#[test]
fn a_backup_contains_what_the_database_contained() {
    let disk = FaultDisk::default();
    let options = || Options { out_of_order_window_ms: RANGE, ..options() };
    let db = open(&disk, options());
    let mut model = Floats::new();
    let now = ingest(&db, &mut model, 1_000_000, 35);
    maintain(&db, now);
    commit(&db, &[(series(2), now - 55_001, 1.0)]).expect("written");
    model.entry(series(2)).or_default().insert(now - 55_001, 1f64.to_bits());
    let (with_head, without) = (Path::new("/copy"), Path::new("/blocks"));
    assert!(db.snapshot_to(with_head, true, now).expect("copied").is_some());
    assert!(db.snapshot_to(without, false, now).expect("copied").is_none());
    let mut later = model.clone();
    ingest(&db, &mut later, now, 20);
    let open_copy = |dir: &Path| {
        let registry = ferula_telemetry::Registry::new();
        Db::open(dir, options(), Arc::new(disk.clone()), &registry, &mut |_| {}).expect("opened")
    };
    assert_eq!(floats(&open_copy(with_head)), model);
    let end = db.blocks().iter().map(|b| b.meta().max_time).max().expect("blocks");
    model.values_mut().for_each(|samples| samples.retain(|at, _| *at < end));
    assert_eq!(floats(&open_copy(without)), model);
}

/// Total size of the files in a directory of the database.
fn disk_bytes(disk: &FaultDisk, directory: &str) -> u64 {
    let entries = disk.list(&Path::new(DIR).join(directory)).expect("listed");
    entries.iter().map(|entry| entry.stat.bytes).sum()
}

/// Count and sum of a histogram or summary, or the value of another metric, by name.
fn metrics(registry: &ferula_telemetry::Registry) -> BTreeMap<String, (u64, f64)> {
    use ferula_model::MetricValue::{Histogram, Single, Summary};
    let value = |value: &_| match value {
        Single(value) => (0, *value),
        Histogram { sum, count, .. } | Summary { sum, count, .. } => (*count, *sum),
    };
    registry.gather().into_iter().map(|f| (f.name, value(&f.metrics[0].value))).collect()
}

#[test]
fn durations_are_measured_by_the_callers_stopwatch() {
    // A second passes with every call, so each measured duration is a second.
    let seconds = std::sync::atomic::AtomicU64::new(0);
    let stopwatch = Stopwatch::new(move || {
        std::time::Duration::from_secs(seconds.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    });
    let registry = ferula_telemetry::Registry::new();
    let options = Options { stopwatch, out_of_order_window_ms: RANGE, ..options() };
    let disk = Arc::new(FaultDisk::default());
    let db = Db::open(Path::new(DIR), options, disk, &registry, &mut |_| {}).expect("opened");
    let mut now = 1_000_000;
    let mut blocks = 0;
    for _ in 0..12 {
        now = ingest(&db, &mut Floats::new(), now, 10);
        blocks += maintain(&db, now).written.len();
        db.sync().expect("synced");
    }
    db.delete(TimeRange::ALL, &[vec![Matcher::equal("n", "001")]]).expect("deleted");
    db.clean_tombstones(Timestamp::from_millis(now)).expect("cleaned");
    db.set_retention(Retention { duration_ms: 5_000, bytes_max: 9, percentage: 0.5 });
    let metrics = metrics(&registry);
    let of = |name: &str| metrics[&format!("prometheus_tsdb_{name}")];
    assert_eq!(of("clean_start"), (0, 1.0));
    assert_eq!(of("data_replay_duration_seconds"), (0, 1.0));
    assert_eq!(of("compactions_triggered_total"), (0, 12.0));
    let (runs, seconds) = of("compaction_duration_seconds");
    assert!(runs as usize > blocks && blocks > 5 && seconds == runs as f64, "{runs} runs, {blocks} blocks");
    assert_eq!(of("compactions_total"), (0, runs as f64));
    assert_eq!(of("compaction_populating_block"), (0, 0.0));
    let measured = |name| {
        let (count, seconds) = of(name);
        assert!(count > 0 && seconds >= count as f64, "{name}: {count} in {seconds} s");
        count
    };
    measured("head_gc_duration_seconds");
    measured("wal_truncate_duration_seconds");
    measured("tombstone_cleanup_seconds");
    assert!(measured("wal_fsync_duration_seconds") >= 12);
    let (chunks, samples) = of("compaction_chunk_samples");
    assert!(chunks > 0);
    assert_eq!(of("compaction_chunk_size_bytes").0, chunks);
    let (_, milliseconds) = of("compaction_chunk_range_seconds");
    assert_eq!(milliseconds, (samples - chunks as f64) * 10_000.0);
    assert!(of("symbol_table_size_bytes").1 > 0.0);
    assert_eq!(of("retention_limit_seconds"), (0, 5.0));
    assert_eq!(of("retention_limit_bytes"), (0, 9.0));
    assert_eq!(of("retention_limit_percentage"), (0, 0.5));
}

#[test]
fn rows_of_several_sources_are_in_label_order_those_of_one_in_order_of_creation() {
    let db = Db::in_memory(options()).expect("opened");
    let one = |n: usize, at: i64| commit(&db, &[(series(n), at, 1.0)]).expect("written");
    for n in [3, 1, 2] {
        one(n, 1_000_000);
    }
    let order = |db: &Db, range| read(db, &[], range).into_iter().map(|(l, _)| l).collect::<Vec<LabelSet>>();
    assert_eq!(order(&db, TimeRange::ALL), [series(3), series(1), series(2)]);
    for n in [3, 1, 2] {
        one(n, 1_000_000 + 2 * RANGE);
    }
    assert_eq!(maintain(&db, 0).written.len(), 1);
    one(0, 1_000_000 + 2 * RANGE);
    assert_eq!(order(&db, TimeRange::ALL), [series(0), series(1), series(2), series(3)]);
    let only_head = TimeRange::from_millis(1_000_000 + RANGE, i64::MAX);
    assert_eq!(order(&db, only_head), [series(3), series(1), series(2), series(0)]);
}

/// The out-of-order log refers to series that have been only in blocks for long. After a start their refs
/// were given to new series, and the next start assigned the old samples to these.
#[test]
fn refs_that_only_the_out_of_order_log_names_are_not_reused() {
    let options = || Options { out_of_order_window_ms: 3 * RANGE, ..options() };
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    let mut model = Floats::new();
    let now = ingest(&db, &mut model, 1_000_000, 5);
    let out_of_order = [(series(6), now + 1, 1.0), (series(5), now - 60_992, 2.0)];
    commit(&db, &out_of_order).expect("written");
    let now = ingest(&db, &mut model, now + 10_000, 15);
    maintain(&db, now);
    let now = ingest(&db, &mut model, now, 16);
    maintain(&db, now);
    drop(db);
    let disk = disk.restart(Survives::Written);
    let db = open(&disk, options());
    let new = [(series(5), now + 1, 3.0), (series(6), now + 1, 4.0)];
    commit(&db, &new).expect("written");
    drop(db);
    let db = open(&disk.restart(Survives::Written), options());
    for (labels, at, value) in out_of_order.into_iter().chain(new) {
        model.entry(labels).or_default().insert(at, value.to_bits());
    }
    assert_eq!(floats(&db), model);
}

/// A commit with an out-of-order sample twice, and one that is out of order only within the commit: as many
/// were logged as out of order as were stored so, but not the same ones.
#[test]
fn samples_out_of_order_within_their_commit_survive_a_restart() {
    let options = || Options { out_of_order_window_ms: 3 * RANGE, ..options() };
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    let samples = [
        (series(0), 1_000_001, 1.0),
        (series(4), 781_004, 2.0),
        (series(5), 1_000_001, 3.0),
        (series(4), 781_004, 2.0),
        (series(5), 999_002, 4.0),
    ];
    assert!(commit(&db, &samples).expect("written").is_empty());
    let before = floats(&db);
    assert_eq!(before[&series(5)].len(), 2);
    drop(db);
    assert_eq!(floats(&open(&disk.restart(Survives::Written), options())), before);
}

#[derive(Clone, Debug)]
enum Step {
    Ingest(i64),
    OutOfOrder(Vec<(u8, i64)>),
    Maintain,
    Restart,
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1i64..12).prop_map(Step::Ingest),
        4 => proptest::collection::vec((0u8..8, 0i64..300), 1..20).prop_map(Step::OutOfOrder),
        4 => Just(Step::Maintain),
        1 => Just(Step::Restart),
        1 => Just(Step::Check),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// In-order and out-of-order samples, compaction and kills at any time: nothing is lost, and nothing
    /// appears.
    #[test]
    fn nothing_is_lost_whatever_the_order_of_events(steps in proptest::collection::vec(step(), 1..50)) {
        let options = || Options {
            out_of_order_window_ms: 3 * RANGE,
            out_of_order_samples_max: 4,
            ..options()
        };
        let mut disk = FaultDisk::default();
        let mut db = open(&disk, options());
        let (mut model, mut now) = (Floats::new(), 1_000_000);
        for step in steps {
            match step {
                Step::Ingest(rounds) => now = ingest(&db, &mut model, now, rounds),
                Step::OutOfOrder(raw) => {
                    // Timestamps of out-of-order samples end in 1 to 9, so they never equal those of
                    // `ingest`.
                    let samples: Vec<_> = raw
                        .iter()
                        .map(|(n, back)| {
                            let at = now - back * 1_000 + 1 + back % 9;
                            (series(usize::from(*n)), at, (at * 3) as f64)
                        })
                        .collect();
                    let max = db.head().time_range().map_or(i64::MIN, |range| range.end.millis());
                    let refused = commit(&db, &samples).expect("written").len();
                    prop_assert!(max == i64::MIN || refused == samples.iter().filter(|s| s.1 < max - 3 * RANGE).count());
                    for (labels, at, value) in samples {
                        if max == i64::MIN || at >= max - 3 * RANGE {
                            model.entry(labels).or_default().insert(at, value.to_bits());
                        }
                        now = now.max(at / 10_000 * 10_000 + 10_000);
                    }
                }
                Step::Maintain => {
                    maintain(&db, now);
                }
                Step::Restart => {
                    drop(db);
                    disk = disk.restart(Survives::Written);
                    db = open(&disk, options());
                }
                Step::Check => prop_assert_eq!(&floats(&db), &model),
            }
        }
        prop_assert_eq!(&floats(&db), &model);
        for (labels, samples) in &model {
            let matchers: Vec<Matcher> = labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
            let (first, last) = (samples.first_key_value().expect("some").0, samples.last_key_value().expect("some").0);
            let found = read(&db, &matchers, TimeRange::from_millis(*first, *last));
            prop_assert_eq!(found[0].1.floats.timestamps.len(), samples.len());
        }
    }
}
