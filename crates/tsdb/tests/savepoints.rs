//! Savepoints: a start from one has the same result as a start without it, and as before the process ended;
//! one that is damaged, belongs to another log, or is older than changes by another program is not used.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{DIR, commit, labels, open, open_reporting, read, series};
use ferula_chunk::FloatEncoding;
use ferula_model::{
    Exemplar, FloatHistogram, Histogram, HistogramValue, LabelSet, Matcher, MetricMetadata, Span, TimeRange,
    Timestamp,
};
use ferula_storage::{Appendable, Durability, HistogramSample, Queryable, SampleBatch};
use ferula_tsdb::Retention;
use ferula_tsdb::disk::Survives;
use ferula_tsdb::disk::{Disk, FaultDisk, Faults};
use ferula_tsdb::{Db, Options, Progress};
use proptest::prelude::*;

/// Blocks of 100 s, so that a test covers many.
const RANGE: i64 = 100_000;

fn options() -> Options {
    Options {
        min_block_duration_ms: RANGE,
        max_block_duration_ms: 9 * RANGE,
        samples_per_chunk: 8,
        wal_segment_bytes: 32 * 1024,
        out_of_order_window_ms: 50_000,
        out_of_order_samples_max: 4,
        exemplars_max: 5,
        retention: Retention::default(),
        savepoints: true,
        ..Options::default()
    }
}

fn with_starts(options: Options) -> Options {
    let Options { floats, start_timestamps, histogram_start_timestamps, .. } =
        Options::with_start_timestamps();
    Options { floats, start_timestamps, histogram_start_timestamps, ..options }
}

fn without(options: &Options) -> Options {
    Options { savepoints: false, ..options.clone() }
}

fn state_file() -> PathBuf {
    Path::new(DIR).join("ferula_savepoint/state")
}

fn ignored(reports: &[Progress]) -> Option<&str> {
    reports.iter().find_map(|report| match report {
        Progress::SavepointIgnored(why) => Some(why.as_str()),
        _ => None,
    })
}

/// The complete result of reading a database, as text, with values by bits.
fn state(db: &Db) -> Vec<String> {
    let mut lines = Vec::new();
    for (labels, samples) in read(db, &[], TimeRange::ALL) {
        if samples.is_empty() {
            continue;
        }
        let bits: Vec<u64> = samples.floats.values.iter().map(|value| value.to_bits()).collect();
        let (floats, histograms) = (&samples.floats, &samples.histograms);
        lines.push(format!(
            "{labels} {:?} {:?} {bits:x?} {:?} {:?} {:?}",
            floats.timestamps,
            floats.start_timestamps,
            histograms.timestamps,
            histograms.start_timestamps,
            histograms.values,
        ));
    }
    lines.sort();
    lines
}

fn exemplars(db: &Db) -> String {
    format!("{:?}", db.exemplars(TimeRange::ALL, &[vec![]]).expect("readable"))
}

/// Exemplars and metadata.
fn extras(db: &Db) -> String {
    let metadata: Vec<_> = (0..10).map(|n| db.series_metadata(&series(n))).collect();
    format!("{} {metadata:?}", exemplars(db))
}

fn histogram(count: u64, buckets: usize, float: bool, gauge: bool) -> HistogramValue {
    let hint =
        if gauge { ferula_model::CounterResetHint::Gauge } else { ferula_model::CounterResetHint::Unknown };
    let spans = vec![Span { offset: 0, length: buckets as u32 }];
    if float {
        return HistogramValue::Float(Arc::new(FloatHistogram {
            counter_reset_hint: hint,
            count: (count * buckets as u64) as f64,
            sum: count as f64 / 3.0,
            positive_spans: spans,
            positive_buckets: vec![count as f64; buckets],
            ..FloatHistogram::default()
        }));
    }
    let mut deltas = vec![0; buckets];
    deltas[0] = count as i64;
    HistogramValue::Integer(Arc::new(Histogram {
        counter_reset_hint: hint,
        count: count * buckets as u64,
        sum: count as f64 / 3.0,
        positive_spans: spans,
        positive_buckets: deltas,
        ..Histogram::default()
    }))
}

/// What one commit adds to a series.
#[derive(Clone, Debug)]
enum Value {
    Float(f64),
    Histogram { count: u64, buckets: usize, float: bool, gauge: bool },
    Stale,
}

#[derive(Clone, Debug)]
enum Step {
    /// Samples of series, the first this many milliseconds before now.
    Commit {
        first: usize,
        count: usize,
        back: i64,
        value: Value,
        start: bool,
    },
    Scrapes(usize),
    Delete {
        of: usize,
        from: i64,
        length: i64,
    },
    Metadata(usize),
    Exemplar(usize, i64),
    Savepoint,
    Sync,
    Maintain,
    /// The encoding of floats changes, where that is possible.
    Encoding(bool),
    Wait(i64),
    /// A series that has samples at no other time, so that truncation removes it.
    Short(usize),
    Kill,
    PowerLoss,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        (-3i32..3).prop_map(|v| Value::Float(f64::from(v) / 4.0)),
        (0u64..9, 1usize..5, any::<bool>(), any::<bool>())
            .prop_map(|(count, buckets, float, gauge)| { Value::Histogram { count, buckets, float, gauge } }),
        Just(Value::Stale),
    ];
    let back = prop_oneof![Just(0), 0i64..60_000];
    let step = prop_oneof![
        6 => (0usize..6, 1usize..4, back, value, any::<bool>())
            .prop_map(|(first, count, back, value, start)| Step::Commit { first, count, back, value, start }),
        4 => (1usize..12).prop_map(Step::Scrapes),
        1 => (0usize..6, 0i64..100_000, 0i64..30_000).prop_map(|(of, from, length)| Step::Delete { of, from, length }),
        1 => (0usize..6).prop_map(Step::Metadata),
        1 => (0usize..6, 0i64..3_000).prop_map(|(of, back)| Step::Exemplar(of, back)),
        4 => Just(Step::Savepoint),
        1 => Just(Step::Sync),
        2 => Just(Step::Maintain),
        1 => any::<bool>().prop_map(Step::Encoding),
        2 => (1i64..60_000).prop_map(Step::Wait),
        1 => (0usize..3).prop_map(Step::Short),
        3 => Just(Step::Kill),
        1 => Just(Step::PowerLoss),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..60)
}

/// A database, its disk and the time.
struct World {
    options: Options,
    disk: FaultDisk,
    db: Option<Db>,
    now: i64,
}

impl World {
    fn new(options: Options) -> Self {
        let disk = FaultDisk::default();
        let db = Some(open(&disk, options.clone()));
        World { options, disk, db, now: 1_000_000 }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("open between steps")
    }

    fn append(&self, labels: &LabelSet, at: i64, start: i64, value: &Value) {
        let mut appender = self.db().appender();
        let series = appender.resolve(labels).expect("resolved");
        let mut batch = SampleBatch::default();
        let mut float = |value: f64| {
            batch.push_float(series, Timestamp::from_millis(at), value);
            batch.start_timestamps = vec![start];
        };
        match value {
            Value::Float(value) => float(*value),
            Value::Stale => float(ferula_model::value::STALE_NAN),
            Value::Histogram { count, buckets, float, gauge } => batch.histograms.push(HistogramSample {
                series,
                timestamp: Timestamp::from_millis(at),
                start_timestamp: Timestamp::from_millis(start),
                value: histogram(*count, *buckets, *float, *gauge),
            }),
        }
        appender.append(&mut batch);
        appender.commit(Durability::Written).expect("written");
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit { first, count, back, value, start } => {
                self.now += 10;
                for n in *first..first + count {
                    // Where they are not stored, out-of-order samples have them until the next start.
                    let start = if *start && self.options.start_timestamps { self.now - 5_000 } else { 0 };
                    self.append(&series(n), self.now - back, start, value);
                }
            }
            Step::Scrapes(scrapes) => {
                for _ in 0..*scrapes {
                    self.now += 1_000;
                    let samples: Vec<_> = (0..4).map(|n| (series(n), self.now, self.now as f64)).collect();
                    commit(self.db(), &samples).expect("written");
                }
            }
            Step::Delete { of, from, length } => {
                let matchers = vec![Matcher::equal("n", &format!("{of:03}"))];
                let range = TimeRange::from_millis(self.now - from, self.now - from + length);
                self.db().delete(range, &[matchers]).expect("deleted");
            }
            Step::Metadata(of) => {
                let mut appender = self.db().appender();
                let series = appender.resolve(&series(*of)).expect("resolved");
                let mut batch = SampleBatch::default();
                let metadata = MetricMetadata { help: format!("at {}", self.now), ..Default::default() };
                batch.metadata.push((series, metadata));
                appender.append(&mut batch);
                appender.commit(Durability::Written).expect("written");
            }
            Step::Exemplar(of, back) => {
                self.now += 1;
                let mut appender = self.db().appender();
                let series = appender.resolve(&series(*of)).expect("resolved");
                let mut batch = SampleBatch::default();
                let exemplar = Exemplar {
                    labels: labels(&[("trace_id", "x")]),
                    value: self.now as f64,
                    timestamp: Timestamp::from_millis(self.now - back),
                    // Neither logged nor saved.
                    has_timestamp: false,
                };
                batch.exemplars.push((series, exemplar));
                appender.append(&mut batch);
                appender.commit(Durability::Written).expect("written");
            }
            Step::Savepoint => {
                self.db().savepoint().expect("the disk has space");
            }
            Step::Sync => {
                self.db().sync().expect("synced");
            }
            Step::Maintain => {
                assert_eq!(self.db().maintain(Timestamp::from_millis(self.now)).errors, Vec::<String>::new());
            }
            Step::Encoding(xor2) => {
                let encoding = if *xor2 { FloatEncoding::Xor2 } else { FloatEncoding::Xor };
                // Refused if start timestamps are stored.
                let _ = self.db().set_float_encoding(Some(encoding));
            }
            Step::Wait(time) => self.now += time,
            Step::Short(n) => {
                self.now += 10;
                let labels = labels(&[("__name__", "short"), ("n", &n.to_string())]);
                self.append(&labels, self.now, 0, &Value::Float(1.0));
            }
            Step::Kill => self.restart(Survives::Written, true),
            Step::PowerLoss => self.restart(Survives::SyncedWithNames, false),
            Step::Close => {
                self.db().close().expect("closed");
                self.restart(Survives::Written, true);
            }
        }
    }

    /// Restarts, with and without the savepoint.
    fn restart(&mut self, survives: Survives, keeps_all: bool) {
        let (before, exemplars_before) = (state(self.db()), exemplars(self.db()));
        self.disk = self.disk.restart(survives);
        self.db = None;
        let twin = self.disk.restart(Survives::Written);
        let twin = open(&twin, without(&self.options));
        let full = state(&twin);
        if keeps_all {
            assert_eq!(full, before, "a full replay brings everything back");
        }
        let (db, reports) = open_reporting(&self.disk, self.options.clone());
        assert_eq!(state(&db), full, "{reports:?}");
        // A checkpoint omits exemplars that are older than the head, but a savepoint has them. Metadata of
        // series that were removed and returned depends on how much of the log is read.
        if db.recovered().savepoint_series == 0 {
            assert_eq!(extras(&db), extras(&twin));
        } else if keeps_all {
            assert_eq!(exemplars(&db), exemplars_before);
        }
        self.db = Some(db);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_start_from_a_savepoint_equals_a_full_replay(steps in steps(), starts in any::<bool>(), out_of_order in any::<bool>()) {
        let window = if out_of_order { 50_000 } else { 0 };
        let options = Options { out_of_order_window_ms: window, ..options() };
        let mut world = World::new(if starts { with_starts(options) } else { options });
        // A checkpoint drops a deletion of out-of-order samples before all of them are gone.
        for step in steps.iter().filter(|step| !out_of_order || !matches!(step, Step::Delete { .. })) {
            world.step(step);
        }
        world.restart(Survives::Written, true);
        // The log stays complete: a full replay finds what comes after such a start, too.
        world.step(&Step::Scrapes(3));
        world.restart(Survives::Written, true);
    }
}

/// A head with full and open chunks of each type, out-of-order samples, deletions, metadata and exemplars,
/// and a savepoint with further records after it.
fn eventful(options: Options) -> World {
    let mut world = World::new(options);
    let value = |float, gauge| Value::Histogram { count: 3, buckets: 2, float, gauge };
    let steps = [
        Step::Scrapes(20),
        Step::Commit { first: 4, count: 1, back: 0, value: value(false, false), start: true },
        Step::Commit { first: 5, count: 1, back: 0, value: value(true, true), start: false },
        Step::Commit { first: 0, count: 3, back: 3_500, value: Value::Float(9.0), start: false },
        Step::Delete { of: 1, from: 5_000, length: 2_000 },
        Step::Metadata(2),
        Step::Exemplar(0, 0),
        Step::Exemplar(1, 0),
        Step::Savepoint,
        Step::Commit { first: 4, count: 1, back: 0, value: value(false, false), start: true },
        Step::Scrapes(3),
        Step::Delete { of: 0, from: 2_000, length: 1_000 },
        Step::Exemplar(0, 0),
    ];
    steps.iter().for_each(|step| world.step(step));
    world
}

#[test]
fn only_records_after_the_savepoint_are_read() {
    let world = eventful(options());
    let before = state(world.db());
    let disk = world.disk.restart(Survives::Written);
    let full = open(&disk.restart(Survives::Written), without(&options()));
    let (db, reports) = open_reporting(&disk, options());
    assert!(ignored(&reports).is_none(), "{reports:?}");
    assert_eq!((state(&db), extras(&db)), (before, extras(world.db())));
    // One series record with its first scrape, then one record per commit; out-of-order samples have another
    // log.
    let (read, all) = (db.recovered().records, full.recovered().records);
    assert!(read <= 10 && all > 30, "{read} of {all}");
    assert_eq!(db.recovered().savepoint_series, 6);
    let chunks = |db: &Db| (0..6).map(|n| db.head_chunks(&series(n))).collect::<Vec<_>>();
    assert_eq!(chunks(&db), chunks(&full));
}

#[test]
fn a_clean_shutdown_leaves_nothing_to_read() {
    let world = eventful(Options { out_of_order_window_ms: 0, ..options() });
    let before = state(world.db());
    world.db().close().expect("closed");
    let disk = world.disk.restart(Survives::SyncedWithNames);
    let db = open(&disk, world.options.clone());
    assert_eq!((db.recovered().records, db.recovered().savepoint_series), (0, 6));
    assert_eq!(state(&db), before);
}

#[test]
fn a_kill_at_any_write_of_a_savepoint_loses_nothing() {
    let world = eventful(options());
    let before = state(world.db());
    let (disk, db) = (&world.disk, world.db());
    let first = disk.operations();
    {
        let whole = disk.restart(Survives::Written);
        let db = open(&whole, options());
        commit(&db, &[(series(0), world.now + 5_000, 1.0)]).expect("written");
        let begun = whole.operations();
        db.savepoint().expect("the disk has space").expect("taken");
        assert!(whole.operations() - begun > 8, "many writes");
    }
    for crash in 0..30 {
        for torn_bytes in [0, 7] {
            let disk = disk.restart(Survives::Written);
            let db = open(&disk, options());
            commit(&db, &[(series(0), world.now + 5_000, 1.0)]).expect("written");
            let expected = state(&db);
            let crash_at = Some(disk.operations() + crash);
            disk.set_faults(Faults { crash_at, torn_bytes, ..Faults::default() });
            let taken = db.savepoint();
            assert_eq!(taken.is_err(), disk.crashed());
            drop(db);
            for survives in [Survives::Written, Survives::Synced, Survives::SyncedWithNames] {
                let after = disk.restart(survives);
                let full = state(&open(&after.restart(Survives::Written), without(&options())));
                let (db, _) = open_reporting(&after, options());
                assert_eq!(state(&db), full, "crash at {crash}, {survives:?}");
                if survives == Survives::Written {
                    assert_eq!(full, expected);
                    assert!(db.recovered().savepoint_series > 0, "the old one or the new one");
                }
            }
        }
    }
    assert_eq!(disk.operations(), first, "the original was left alone");
    assert_eq!(state(db), before);
}

#[test]
fn a_full_disk_prevents_a_savepoint_but_does_no_harm() {
    let world = eventful(options());
    let (disk, db) = (&world.disk, world.db());
    let used: u64 = ["wal", "chunks_head", "ferula_savepoint", "wbl"]
        .iter()
        .flat_map(|name| disk.list(&Path::new(DIR).join(name)).unwrap_or_default())
        .map(|entry| entry.stat.bytes)
        .sum();
    disk.set_faults(Faults { capacity_bytes: Some(used + 200), ..Faults::default() });
    db.savepoint().expect_err("no room");
    let left = disk.list(&Path::new(DIR).join("ferula_savepoint")).expect("listed");
    assert_eq!(left.iter().filter(|entry| entry.name.ends_with(".tmp")).count(), 0);
    commit(db, &[(series(0), world.now + 1_000, 1.0)]).expect("there is room for this");
    let before = state(db);
    disk.set_faults(Faults::default());
    let (again, reports) = open_reporting(&disk.restart(Survives::Written), options());
    assert!(ignored(&reports).is_none(), "the one before is still good: {reports:?}");
    assert_eq!(state(&again), before);
    db.savepoint().expect("the disk has space").expect("taken");
}

#[test]
fn damage_anywhere_means_a_full_replay() {
    let world = eventful(options());
    let expected = state(world.db());
    let disk = world.disk.restart(Survives::Written);
    for file in ["state", "segments"] {
        let path = Path::new(DIR).join("ferula_savepoint").join(file);
        let bytes = disk.stat(&path).expect("asked").expect("there").bytes as usize;
        let step = (bytes / 60).max(1);
        for at in (0..bytes).step_by(step).chain([bytes - 1]) {
            for cut in [false, true] {
                let copy = disk.restart(Survives::Written);
                let change = |bytes: &mut Vec<u8>| if cut { bytes.truncate(at) } else { bytes[at] ^= 0x10 };
                copy.damage(&path, change).expect("damaged");
                let (db, reports) = open_reporting(&copy, options());
                assert!(ignored(&reports).is_some(), "{file} at {at}: {reports:?}");
                assert!(
                    reports.iter().any(|report| matches!(report, Progress::Damaged(_))) || file != "state"
                );
                assert_eq!(db.recovered().savepoint_series, 0);
                assert!(copy.stat(&state_file()).expect("asked").is_none(), "it is of no use any more");
                if at % 7 == 0 {
                    assert_eq!(state(&db), expected, "{file} at {at}");
                }
            }
        }
    }
}

/// A change to a directory between two starts, and what is reported about the savepoint then.
type Change = (&'static str, fn(&FaultDisk), &'static str);

const CHANGES: &[Change] = &[
    (
        "another program has logged something",
        |disk| drop(commit(&open(disk, without(&options())), &[(series(0), 1_500_000, 1.0)])),
        "was begun by another program",
    ),
    ("another program has only looked", |disk| drop(open(disk, without(&options()))), ""),
    (
        "a chunk file is gone",
        |disk| disk.remove_file(&Path::new(DIR).join("chunks_head/000001")).expect("removed"),
        "is not in chunks_head",
    ),
    (
        "a chunk file is damaged",
        |disk| {
            disk.damage(&Path::new(DIR).join("chunks_head/000001"), |bytes| bytes[40] ^= 1).expect("damaged");
        },
        "are damaged",
    ),
    (
        "there is another checkpoint",
        |disk| disk.create_dir_all(&Path::new(DIR).join("wal/checkpoint.00000000")).expect("made"),
        "checkpointed",
    ),
];

#[test]
fn a_savepoint_of_a_different_history_is_not_used() {
    for (what, change, said) in CHANGES {
        let world = eventful(options());
        let disk = world.disk.restart(Survives::Written);
        change(&disk);
        let full = state(&open(&disk.restart(Survives::Written), without(&options())));
        let (db, reports) = open_reporting(&disk, options());
        match ignored(&reports) {
            Some(why) => {
                assert!(why.contains(said) && *what != "another program has only looked", "{what}: {why}")
            }
            None => assert_eq!(*what, "another program has only looked"),
        }
        assert_eq!(state(&db), full, "{what}");
        // The next one is valid again.
        db.savepoint().expect("the disk has space").expect("taken");
        let (again, reports) = open_reporting(&disk.restart(Survives::Written), options());
        assert!(ignored(&reports).is_none(), "{what}: {reports:?}");
        assert!(reports.iter().any(|report| matches!(report, Progress::Savepoint { .. })), "{what}");
        assert_eq!(state(&again), full, "{what}");
    }
}

/// What the log has lost and the savepoint has is not lost, at this start or at a later one that has no savepoint.
#[test]
fn a_savepoint_that_has_more_than_the_log_is_used() {
    let changes: [(&str, fn(&FaultDisk)); 5] = [
        ("a flipped bit where the segment begins", |disk| {
            disk.damage(&Path::new(DIR).join("wal/00000000"), |bytes| bytes[9] ^= 1).expect("damaged");
        }),
        ("a flipped bit before the savepoint's place", |disk| {
            let at =
                disk.stat(&Path::new(DIR).join("wal/00000000")).expect("asked").expect("there").bytes / 2;
            disk.damage(&Path::new(DIR).join("wal/00000000"), |bytes| bytes[at as usize] ^= 1)
                .expect("damaged");
        }),
        ("the segment was cut", |disk| {
            disk.damage(&Path::new(DIR).join("wal/00000000"), |bytes| bytes.truncate(200)).expect("cut");
        }),
        ("the segment was emptied", |disk| {
            disk.damage(&Path::new(DIR).join("wal/00000000"), Vec::clear).expect("emptied");
        }),
        ("the segment is gone", |disk| {
            disk.remove_file(&Path::new(DIR).join("wal/00000000")).expect("removed");
        }),
    ];
    for (what, change) in changes {
        let world = eventful(options());
        // All of it is in the savepoint.
        world.db().savepoint().expect("there is room");
        let before = state(world.db());
        let disk = world.disk.restart(Survives::Written);
        change(&disk);
        let (db, reports) = open_reporting(&disk, options());
        assert!(ignored(&reports).is_none(), "{what}: {reports:?}");
        assert_eq!(state(&db), before, "{what}: {reports:?}");
        assert!(reports.iter().any(|report| matches!(report, Progress::Damaged(_))), "{what}");
        drop(db);
        let without_savepoint = disk.restart(Survives::Written);
        without_savepoint.remove_dir_all(&Path::new(DIR).join("ferula_savepoint")).expect("removed");
        let (db, reports) = open_reporting(&without_savepoint, without(&options()));
        assert_eq!(state(&db), before, "{what}, later: {reports:?}");
        assert!(!reports.iter().any(|report| matches!(report, Progress::Damaged(_))), "{what}: {reports:?}");
    }
}

#[test]
fn different_chunk_options_mean_a_full_replay() {
    let world = eventful(options());
    for other in [
        Options { samples_per_chunk: 9, ..options() },
        Options { min_block_duration_ms: RANGE / 2, ..options() },
        with_starts(options()),
    ] {
        let (db, reports) = open_reporting(&world.disk.restart(Survives::Written), other);
        assert!(ignored(&reports).expect("said").contains("different chunk options"), "{reports:?}");
        assert_eq!(db.recovered().savepoint_series, 0);
    }
}

#[test]
fn series_that_left_early_stay_away_and_may_return() {
    let mut world = World::new(options());
    world.step(&Step::Scrapes(12));
    world.step(&Step::Commit { first: 0, count: 2, back: 0, value: Value::Stale, start: false });
    world.db().set_stale_series_threshold(0.2);
    world.step(&Step::Savepoint);
    world.step(&Step::Maintain);
    assert_eq!(world.db().head().series_count(), 2);
    world.step(&Step::Kill);
    world.db().set_stale_series_threshold(0.2);
    world.step(&Step::Maintain);
    world.step(&Step::Commit { first: 0, count: 1, back: 0, value: Value::Float(5.0), start: false });
    world.step(&Step::Savepoint);
    world.step(&Step::Kill);
    assert_eq!((world.db().recovered().savepoint_series, world.db().head().series_count()), (3, 3));
    world.step(&Step::Scrapes(2));
    world.step(&Step::Close);
}

#[test]
fn commits_continue_while_savepoints_are_taken() {
    let disk = FaultDisk::default();
    let db = open(&disk, options());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3usize)
            .map(|writer| {
                let db = &db;
                scope.spawn(move || {
                    for at in 0..300i64 {
                        // New series all the time, and one that continues.
                        let new = labels(&[("w", &writer.to_string()), ("at", &(at / 3).to_string())]);
                        let samples = [(series(writer), at * 100, at as f64), (new, at * 100, 1.0)];
                        commit(db, &samples).expect("written");
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            db.savepoint().expect("the disk has space");
            let copy = disk.restart(Survives::Written);
            let full = state(&open(&copy.restart(Survives::Written), without(&options())));
            let (again, reports) = open_reporting(&copy, options());
            assert!(ignored(&reports).is_none(), "{reports:?}");
            assert_eq!(state(&again), full);
        }
    });
}
