//! The agent's store: what it refuses, what it forgets, and that a reader of its log misses nothing over truncations and kills.

use std::collections::BTreeMap;
use std::path::Path;

use ferula_model::{FloatHistogram, HistogramValue, SeriesRef, Timestamp};
use ferula_storage::{AppendError, Appendable, Durability, HistogramSample, LogRecords, SampleBatch};
use ferula_telemetry::Registry;
use proptest::prelude::*;

use super::*;
use crate::disk::{FaultDisk, Faults, Survives};
use crate::wal::format::{PAGE_BYTES, list_segments};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn try_open(disk: &FaultDisk, options: AgentOptions) -> Result<AgentDb, crate::OpenError> {
    AgentDb::open(Path::new("/agent"), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {})
}

fn open(disk: &FaultDisk, options: AgentOptions) -> AgentDb {
    try_open(disk, options).expect("opened")
}

/// Segments of one page, so that a few commits fill several.
fn small_segments() -> AgentOptions {
    AgentOptions { wal_segment_bytes: PAGE_BYTES as u64, ..AgentOptions::default() }
}

fn labels(name: &str) -> LabelSet {
    LabelSet::from_pairs([("__name__", name), ("job", "test")])
}

/// Appends a sample to each of the series, and returns what was refused.
fn append(db: &AgentDb, names: &[&str], at: i64) -> Vec<AppendError> {
    let mut appender = db.appender();
    let mut batch = SampleBatch::default();
    for name in names {
        batch.push_float(
            appender.resolve(&labels(name)).expect("a series"),
            Timestamp::from_millis(at),
            at as f64,
        );
    }
    let refused = appender.append(&mut batch).refused;
    appender.commit(Durability::Written).expect("committed");
    refused.into_iter().map(|refusal| refusal.error).collect()
}

fn segments(disk: &FaultDisk) -> Vec<u32> {
    let segments = list_segments(disk, Path::new("/agent/wal")).expect("readable");
    segments.into_iter().map(|segment| segment.number).collect()
}

/// Reads the log as remote write does.
struct Follower {
    cursor: Box<dyn LogCursor>,
    at: LogPosition,
    names: BTreeMap<LogRef, String>,
    read: Vec<(String, i64)>,
}

impl Follower {
    fn of(db: &AgentDb, at: LogPosition) -> Self {
        let cursor = LogFeed::open(db, at).expect("opened");
        Follower { cursor, at, names: BTreeMap::new(), read: Vec::new() }
    }

    fn follow(&mut self, db: &AgentDb) {
        let mut records = LogRecords::default();
        while self.cursor.next(&mut records).expect("readable") {
            assert_eq!((records.segments_lost, records.damaged), (0, 0));
            for (series, labels) in &records.series {
                self.names.insert(*series, labels.metric_name().to_owned());
            }
            for sample in &records.samples {
                let name = self.names.get(&sample.series).expect("its series was logged before");
                self.read.push((name.clone(), sample.at.millis()));
            }
            self.at = records.end;
        }
        self.hold(db);
    }

    fn hold(&self, db: &AgentDb) {
        db.hold(Some(Hold { from: self.at, is_behind: false }));
    }
}

#[test]
fn samples_that_are_not_newer_are_refused() {
    // The window, times of one series in order, and which of them are refused.
    for (window, times, refused) in [
        (0, &[10, 20, 20, 15, 21][..], &[20, 15][..]),
        (0, &[-5, -6, 0], &[-6]),
        (5, &[100, 96, 95, 94, 101], &[95, 94]),
        (i64::MAX, &[100, 1], &[]),
    ] {
        let options = AgentOptions { out_of_order_window_ms: window, ..AgentOptions::default() };
        let db = open(&FaultDisk::default(), options);
        let mut seen = Vec::new();
        for at in times {
            let errors = append(&db, &["a"], *at);
            assert!(errors.iter().all(|error| *error == AppendError::OutOfOrder));
            seen.extend(errors.iter().map(|_| *at));
        }
        assert_eq!(seen, refused, "window {window}");
        let mut follower = Follower::of(&db, LogPosition::default());
        follower.follow(&db);
        assert_eq!(follower.read.len(), times.len() - refused.len());
    }
}

#[test]
fn samples_of_one_commit_are_not_checked_against_each_other() {
    let db = open(&FaultDisk::default(), AgentOptions::default());
    let mut appender = db.appender();
    let series = appender.resolve(&labels("a")).expect("a series");
    let mut batch = SampleBatch::default();
    [10, 10, 9].iter().for_each(|at| batch.push_float(series, Timestamp::from_millis(*at), 1.0));
    assert_eq!(appender.append(&mut batch).accepted, 3);
    appender.commit(Durability::Synced).expect("committed");
    assert_eq!(db.metrics.out_of_order.get(), 1.0, "counted when it is committed");
    assert_eq!(append(&db, &["a"], 10), [AppendError::OutOfOrder]);
}

#[test]
fn histograms_exemplars_and_starts_are_logged_and_metadata_is_not() {
    let options = AgentOptions { start_as_zero_sample: true, ..AgentOptions::default() };
    let db = open(&FaultDisk::default(), options);
    let exemplar = |value, at| Exemplar {
        labels: LabelSet::from_pairs([("trace", "x")]),
        value,
        timestamp: Timestamp::from_millis(at),
        has_timestamp: false,
    };
    let commit = |at: i64, value| {
        let mut appender = db.appender();
        let series = appender.resolve(&labels("h")).expect("a series");
        let mut batch = SampleBatch::default();
        batch.histograms.push(HistogramSample {
            series,
            timestamp: Timestamp::from_millis(at),
            start_timestamp: Timestamp::from_millis(5),
            value: HistogramValue::Float(Arc::new(FloatHistogram::default())),
        });
        batch.exemplars.push((series, exemplar(value, at)));
        batch.metadata.push((series, Default::default()));
        assert!(appender.append(&mut batch).refused.is_empty());
        appender.commit(Durability::Written).expect("committed");
    };
    commit(10, 1.0);
    commit(20, 1.0);
    commit(30, 2.0);
    let mut cursor = LogFeed::open(&db, LogPosition::default()).expect("opened");
    let (mut records, mut times, mut exemplars) = (LogRecords::default(), Vec::new(), Vec::new());
    while cursor.next(&mut records).expect("readable") {
        times.extend(records.histograms.iter().map(|histogram| histogram.at.millis()));
        exemplars.extend(records.exemplars.iter().map(|(_, exemplar)| exemplar.value));
        assert!(records.metadata.is_empty(), "Prometheus' agent takes it for corruption");
    }
    assert_eq!(times, [5, 10, 20, 30], "the start comes once");
    assert_eq!(exemplars, [1.0, 2.0], "one that is shown again is left out");
}

#[test]
fn wrong_refs_labels_and_times_are_refused_each_in_its_words() {
    let db = open(&FaultDisk::default(), AgentOptions::default());
    let mut appender = db.appender();
    assert_eq!(appender.resolve(&LabelSet::empty()), Err(AppendError::EmptyLabelSet));
    let mut batch = SampleBatch::default();
    batch.push_float(SeriesRef::new(77).expect("not 0"), Timestamp::from_millis(1), 1.0);
    assert_eq!(appender.append(&mut batch).refused[0].error, AppendError::UnknownSeries);
    drop(appender);
    assert_eq!(db.snapshot(TimeRange::from_millis(0, 1)).err(), Some(StorageError::LogOnly));
    assert_eq!(StorageError::LogOnly.to_string(), "unsupported operation with WAL-only storage");
    db.close().expect("closed");
    let mut appender = db.appender();
    let mut batch = SampleBatch::default();
    batch.push_float(appender.resolve(&labels("a")).expect("a series"), Timestamp::from_millis(1), 1.0);
    appender.append(&mut batch);
    assert_eq!(appender.commit(Durability::Written), Err(CommitError::Closed));
}

#[test]
fn a_directory_has_one_process_and_a_clean_end_leaves_no_lock() {
    let disk = FaultDisk::default();
    let db = open(&disk, AgentOptions::default());
    assert!(matches!(try_open(&disk, AgentOptions::default()), Err(crate::OpenError::Locked(_))));
    db.close().expect("closed");
    assert_eq!(disk.stat(Path::new("/agent/lock")).expect("readable"), None);
    let unlocked = AgentOptions { lock_file: false, ..AgentOptions::default() };
    let _two = [open(&disk, unlocked.clone()), open(&disk, unlocked)];
}

/// Six rounds of two minutes with a truncation after each. The series `old` gets no sample after the first.
fn truncated_rounds(disk: &FaultDisk, options: AgentOptions) -> (AgentDb, Vec<TruncationReport>) {
    let db = open(disk, options);
    let mut done = Vec::new();
    for round in 0..6 {
        let at = HOUR + round * 2 * MINUTE;
        append(&db, if round == 0 { &["old", "young"] } else { &["young"] }, at);
        done.push(
            db.truncate(Timestamp::from_millis(at), Some(Timestamp::from_millis(at))).expect("truncated"),
        );
    }
    (db, done)
}

#[test]
fn ended_series_leave_memory_first_and_the_log_when_nothing_names_them_any_more() {
    for checkpoint_from_memory in [false, true] {
        let disk = FaultDisk::default();
        let options = AgentOptions { checkpoint_from_memory, checkpoint_batch: 1, ..small_segments() };
        let (db, done) = truncated_rounds(&disk, options.clone());
        let removed: Vec<usize> = done.iter().map(|done| done.removed_series).collect();
        assert_eq!(removed, [0, 0, 0, 1, 0, 0], "after five minutes without a sample");
        // As in Prometheus: two thirds of the segments that were there, but for the one that is written.
        let checkpoints: Vec<Option<u32>> = done.iter().map(|done| done.checkpoint).collect();
        assert_eq!(checkpoints, [None, None, None, Some(1), None, Some(3)]);
        assert_eq!(segments(&disk), [4, 5, 6]);
        assert_eq!(db.series_count(), 1);
        // It was retired while segment 3 was written, which the last checkpoint replaced.
        assert_eq!(db.retired.lock().len(), 0);
        db.close().expect("closed");
        let again = open(&disk, options);
        assert_eq!(again.series_count(), 1, "nothing of it is in the log");
        assert_eq!(again.recovered().corruptions, 0);
        let newest = HOUR + 10 * MINUTE;
        assert_eq!(append(&again, &["young"], newest), [AppendError::OutOfOrder], "its time is known");
        assert!(append(&again, &["young", "old"], newest + 1).is_empty());
    }
}

#[test]
fn a_series_in_use_and_one_that_returns_keep_their_samples() {
    let db = open(&FaultDisk::default(), small_segments());
    let mut appender = db.appender();
    let used = appender.resolve(&labels("used")).expect("a series");
    append(&db, &["gone"], HOUR);
    let gone = { db.appender().resolve(&labels("gone")).expect("a series") };
    assert_eq!(
        db.truncate(Timestamp::from_millis(3 * HOUR), Some(Timestamp::from_millis(3 * HOUR)))
            .expect("truncated")
            .removed_series,
        1
    );
    let mut batch = SampleBatch::default();
    batch.push_float(used, Timestamp::from_millis(HOUR), 1.0);
    batch.push_float(gone, Timestamp::from_millis(HOUR), 1.0);
    let outcome = appender.append(&mut batch);
    assert_eq!((outcome.accepted, outcome.refused.len()), (1, 1));
    assert_eq!(outcome.refused[0].error, AppendError::UnknownSeries, "the scraper resolves it again");
    appender.commit(Durability::Written).expect("committed");
    assert!(append(&db, &["gone"], HOUR).is_empty());
    let mut follower = Follower::of(&db, LogPosition::default());
    follower.follow(&db);
    let name = |name: &str| (name.to_owned(), HOUR);
    assert_eq!(follower.read, [name("gone"), name("used"), name("gone")]);
}

#[test]
fn what_a_reader_has_not_read_stays_until_it_is_too_old() {
    let disk = FaultDisk::default();
    let db = open(&disk, AgentOptions { wal_time_max_ms: HOUR, ..small_segments() });
    db.hold(Some(Hold { from: LogPosition::default(), is_behind: true }));
    for round in 0..20 {
        append(&db, &["a"], HOUR + round * 10 * MINUTE);
        // Nothing was sent so far.
        let done = db
            .truncate(Timestamp::from_millis(HOUR + round * 10 * MINUTE), Some(Timestamp::EPOCH))
            .expect("truncated");
        let (first, now) = (segments(&disk)[0], round as u32);
        // Segment n ended after the sample of ten minutes times n.
        assert!(first <= now.saturating_sub(6), "an hour is kept: {first} in round {now}, {done:?}");
        assert!(round < 12 || first > 0, "not more than that: {first} in round {now}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A sample for each of these series.
    Append(Vec<u8>),
    /// Time passes, and the log is truncated.
    Truncate(i64),
    Read,
    /// The process is killed.
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec(0u8..12, 1..300).prop_map(Step::Append),
        3 => (0i64..30).prop_map(Step::Truncate),
        2 => Just(Step::Read),
        1 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    /// Whatever happens in between, a reader gets each sample once, in order, under its own name.
    #[test]
    fn a_reader_misses_nothing_over_truncations_and_kills(steps in steps(), from_memory in any::<bool>()) {
        let mut disk = FaultDisk::default();
        let options = AgentOptions {
            checkpoint_from_memory: from_memory,
            checkpoint_batch: 3,
            wal_time_max_ms: i64::MAX / 2,
            ..small_segments()
        };
        let mut db = open(&disk, options.clone());
        let mut follower = Follower::of(&db, LogPosition::default());
        follower.hold(&db);
        let (mut now, mut accepted) = (HOUR, Vec::new());
        for step in steps.into_iter().chain([Step::Kill, Step::Read]) {
            now += 1000;
            match step {
                Step::Append(series) => {
                    for some in series.chunks(40) {
                        now += 1;
                        let mut names: Vec<String> = some.iter().map(|series| format!("s{series}")).collect();
                        names.sort();
                        names.dedup();
                        let names: Vec<&str> = names.iter().map(String::as_str).collect();
                        prop_assert!(append(&db, &names, now).is_empty());
                        accepted.extend(names.iter().map(|name| ((*name).to_owned(), now)));
                    }
                }
                Step::Truncate(minutes) => {
                    now += minutes * MINUTE;
                    db.truncate(Timestamp::from_millis(now), Some(Timestamp::from_millis(now))).expect("truncated");
                }
                Step::Read => follower.follow(&db),
                Step::Kill => {
                    drop(db);
                    disk = disk.restart(Survives::Written);
                    db = open(&disk, options.clone());
                    let read = std::mem::take(&mut follower.read);
                    follower = Follower { read, ..Follower::of(&db, follower.at) };
                    follower.hold(&db);
                }
            }
        }
        prop_assert_eq!(&follower.read, &accepted);
    }
}

#[test]
fn a_stop_at_any_write_loses_nothing_that_was_committed() {
    let options = AgentOptions { lock_file: false, ..small_segments() };
    let mut crash_at = 0;
    loop {
        let disk = FaultDisk::new(Faults { crash_at: Some(crash_at), torn_bytes: 3, ..Faults::default() });
        let mut committed = 0;
        if let Ok(db) = try_open(&disk, options.clone()) {
            for round in 0..8 {
                let at = HOUR + round * 2 * MINUTE;
                let mut appender = db.appender();
                let mut batch = SampleBatch::default();
                batch.push_float(
                    appender.resolve(&labels("a")).expect("a series"),
                    Timestamp::from_millis(at),
                    1.0,
                );
                appender.append(&mut batch);
                if appender.commit(Durability::Written).is_ok() {
                    committed = at;
                }
                // It may stop in here, too.
                let _ = db.truncate(Timestamp::from_millis(at), Some(Timestamp::from_millis(at)));
            }
        }
        let crashed = disk.crashed();
        let db = open(&disk.restart(Survives::Written), options.clone());
        assert_eq!(db.newest().map_or(0, Timestamp::millis), committed, "stopped at write {crash_at}");
        if committed > 0 {
            assert_eq!(append(&db, &["a"], committed), [AppendError::OutOfOrder], "write {crash_at}");
        }
        assert!(append(&db, &["a"], committed + HOUR).is_empty());
        if !crashed {
            break;
        }
        crash_at += 1;
    }
    assert!(crash_at > 50, "{crash_at}");
}
