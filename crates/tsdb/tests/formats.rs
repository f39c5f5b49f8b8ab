//! Configurable formats: the encoding of floats, start timestamps, zero samples, metadata.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{commit, floats, open, read, series};
use ferula_chunk::{Encoding, FloatEncoding};
use ferula_model::{
    CounterResetHint, Histogram, HistogramValue, LabelSet, MetricMetadata, MetricType, Span, TimeRange,
    Timestamp,
};
use ferula_storage::{Appendable, Durability, HistogramSample, SampleBatch, SeriesSamples};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::{Disk, FaultDisk};
use ferula_tsdb::formats::wal::SegmentReader;
use ferula_tsdb::formats::wal::list_segments;
use ferula_tsdb::formats::wal::{RecordKind, Records};
use ferula_tsdb::{Db, OpenError, Options};

const HOUR: i64 = 3_600_000;

/// Commits samples of one series: timestamp, start timestamp, value.
fn commit_with_starts(db: &Db, labels: &LabelSet, samples: &[(i64, i64, f64)]) {
    let mut appender = db.appender();
    let series = appender.resolve(labels).expect("resolved");
    let mut batch = SampleBatch::default();
    for (at, start, value) in samples {
        batch.push_float_with_start(
            series,
            Timestamp::from_millis(*at),
            *value,
            Timestamp::from_millis(*start),
        );
    }
    appender.append(&mut batch);
    appender.commit(Durability::Written).expect("written");
}

fn commit_metadata(db: &Db, labels: &LabelSet, metadata: &MetricMetadata) {
    let mut appender = db.appender();
    let series = appender.resolve(labels).expect("resolved");
    let mut batch = SampleBatch::default();
    batch.metadata.push((series, metadata.clone()));
    appender.append(&mut batch);
    appender.commit(Durability::Written).expect("written");
}

/// Kinds of all records of the log, without the checkpoint.
fn logged_kinds(disk: &FaultDisk) -> Vec<RecordKind> {
    let dir = Path::new(common::DIR).join("wal");
    let mut kinds = Vec::new();
    for segment in list_segments(disk, &dir).expect("listed") {
        let mut reader = SegmentReader::open(disk, &dir, segment.number).expect("opened");
        while let Some(record) = reader.next().expect("readable") {
            kinds.extend(Records::default().decode(record.expect("whole")).expect("well formed"));
        }
    }
    kinds
}

/// Encodings of the chunks that the head has moved to disk.
fn moved_encodings(disk: &FaultDisk) -> Vec<Encoding> {
    let loaded = ferula_tsdb::formats::head_chunks::load(disk, &Path::new(common::DIR).join("chunks_head"));
    loaded.expect("readable").chunks.into_iter().map(|chunk| chunk.encoding).collect()
}

fn block_encodings(db: &Db) -> Vec<Encoding> {
    let mut encodings = Vec::new();
    for block in db.blocks().iter() {
        let mut entry = Default::default();
        for number in block.index().all_postings().expect("readable") {
            block.series(number, &mut entry).expect("readable");
            for chunk in &entry.chunks {
                encodings.push(block.chunk(*chunk).expect("readable").encoding);
            }
        }
    }
    encodings
}

#[test]
fn the_encoding_of_floats_can_change_at_any_time_and_an_open_chunk_keeps_its_encoding() {
    let disk = FaultDisk::default();
    let db = open(&disk, Options::default());
    let at = |n: i64| n * 15_000;
    let fill = |from: i64, to: i64| {
        for n in from..to {
            commit(&db, &[(series(1), at(n), n as f64 / 3.0)]).expect("written");
        }
    };
    fill(0, 50);
    db.set_float_encoding(Some(FloatEncoding::Xor2)).expect("no start timestamps are stored");
    fill(50, 200);
    db.set_float_encoding(None).expect("the default is restored");
    fill(200, 800);
    let before = floats(&db);
    assert_eq!(before[&series(1)].len(), 800);
    db.maintain(Timestamp::from_millis(at(800)));
    assert!(!db.blocks().is_empty(), "three hours are enough for a block");
    assert_eq!(floats(&db), before);
    db.close().expect("closed");
    let moved = moved_encodings(&disk);
    // 120 in XOR, begun before the change; then the one that was open at the second change.
    assert_eq!(moved[..2], [Encoding::Xor, Encoding::Xor2]);
    assert!(moved[2..].iter().all(|encoding| *encoding == Encoding::Xor), "{moved:?}");
    assert_eq!(floats(&open(&disk, Options::default())), before);
}

#[test]
fn with_xor2_head_and_blocks_are_in_it() {
    let disk = FaultDisk::default();
    let options = || Options { floats: FloatEncoding::Xor2, ..Options::default() };
    let db = open(&disk, options());
    for n in 0..800 {
        commit(&db, &[(series(1), n * 15_000, (n * n) as f64)]).expect("written");
    }
    let before = floats(&db);
    db.maintain(Timestamp::from_millis(800 * 15_000));
    let encodings = block_encodings(&db);
    assert!(!encodings.is_empty() && encodings.iter().all(|e| *e == Encoding::Xor2), "{encodings:?}");
    assert_eq!(floats(&db), before);
    drop(db);
    assert_eq!(floats(&open(&disk, options())), before, "after a kill");
}

#[test]
fn start_timestamps_need_xor2() {
    let refused = |result: Result<_, OpenError>| match result {
        Err(OpenError::Options(text)) => text,
        other => panic!("not refused: {:?}", other.map(|_: ()| "fine")),
    };
    let expected = "float chunk encoding \"xor\" is incompatible with start-timestamp storage; XOR chunks do not store \
                    start timestamps, use \"xor2\"";
    let options = Options { floats: FloatEncoding::Xor, ..Options::with_start_timestamps() };
    assert_eq!(refused(Db::in_memory(options).map(|_| ())), expected);
    let db = Db::in_memory(Options::with_start_timestamps()).expect("opened");
    assert_eq!(refused(db.set_float_encoding(Some(FloatEncoding::Xor))), expected);
    db.set_float_encoding(None).expect("what it was opened with");
}

#[test]
fn start_timestamps_survive_kills_blocks_and_being_out_of_order() {
    let disk = FaultDisk::default();
    let options = || Options { out_of_order_window_ms: HOUR, ..Options::with_start_timestamps() };
    let db = open(&disk, options());
    let mut expected = Vec::new();
    for n in 1..800i64 {
        let start = 7 + n / 300 * 1000;
        commit_with_starts(&db, &series(1), &[(n * 15_000, start, n as f64)]);
        expected.push((n * 15_000, start));
        if n % 100 == 50 {
            commit_with_starts(&db, &series(1), &[(n * 15_000 - 7_000, 3, n as f64)]);
            expected.push((n * 15_000 - 7_000, 3));
        }
    }
    expected.sort_unstable();
    let stored = |db: &Db| -> Vec<(i64, i64)> {
        let rows = read(db, &[], TimeRange::ALL);
        let floats = &rows[0].1.floats;
        floats.timestamps.iter().copied().zip(floats.start_timestamps.iter().copied()).collect()
    };
    assert_eq!(stored(&db), expected);
    assert!(logged_kinds(&disk).contains(&RecordKind::SamplesV2));
    assert!(!logged_kinds(&disk).contains(&RecordKind::Samples));
    drop(db);
    let db = open(&disk, options());
    assert_eq!(stored(&db), expected, "after a kill");
    db.maintain(Timestamp::from_millis(800 * 15_000));
    assert!(!db.blocks().is_empty());
    assert_eq!(stored(&db), expected, "from blocks and head");
}

#[test]
fn a_start_timestamp_becomes_a_zero_sample_once() {
    let disk = FaultDisk::default();
    let db = open(&disk, Options { start_as_zero_sample: true, ..Options::default() });
    let one = |samples: &[(i64, i64, f64)]| commit_with_starts(&db, &series(1), samples);
    // The start timestamp is sent with every sample of a request, and again with the next.
    one(&[(HOUR, HOUR - 500, 1.0), (HOUR + 1_000, HOUR - 500, 2.0)]);
    one(&[(HOUR + 2_000, HOUR - 500, 3.0)]);
    // A restart of the target.
    one(&[(HOUR + 3_000, HOUR + 2_500, 1.0)]);
    // A start timestamp that is not before its sample, one of another time, and none.
    one(&[(HOUR + 4_000, HOUR + 4_000, 2.0)]);
    one(&[(HOUR + 5_000, HOUR + 6_000, 3.0)]);
    one(&[(HOUR + 7_000, 0, 4.0)]);
    let values: Vec<(i64, f64)> =
        floats(&db)[&series(1)].iter().map(|(at, bits)| (at - HOUR, f64::from_bits(*bits))).collect();
    let expected = [
        (-500, 0.0),
        (0, 1.0),
        (1_000, 2.0),
        (2_000, 3.0),
        (2_500, 0.0),
        (3_000, 1.0),
        (4_000, 2.0),
        (5_000, 3.0),
        (7_000, 4.0),
    ];
    assert_eq!(values, expected);
    let before = floats(&db);
    drop(db);
    assert_eq!(floats(&open(&disk, Options::default())), before, "the log has them too");
}

#[test]
fn the_start_timestamp_of_a_histogram_becomes_an_empty_histogram() {
    let db = Db::in_memory(Options { start_as_zero_sample: true, ..Options::default() }).expect("opened");
    let value = HistogramValue::Integer(Arc::new(Histogram {
        count: 3,
        sum: 4.5,
        schema: 2,
        zero_threshold: 0.25,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_buckets: vec![3],
        ..Histogram::default()
    }));
    let mut appender = db.appender();
    let series = appender.resolve(&series(1)).expect("resolved");
    let mut batch = SampleBatch::default();
    batch.histograms.push(HistogramSample {
        series,
        timestamp: Timestamp::from_millis(HOUR),
        start_timestamp: Timestamp::from_millis(HOUR - 500),
        value,
    });
    appender.append(&mut batch);
    appender.commit(Durability::Written).expect("written");
    let rows = read(&db, &[], TimeRange::ALL);
    let SeriesSamples { histograms, .. } = &rows[0].1;
    assert_eq!(histograms.timestamps, [HOUR - 500, HOUR]);
    let zero = &histograms.values[0];
    assert_eq!((zero.count, zero.sum, zero.schema, zero.zero_threshold), (0.0, 0.0, 2, 0.25));
    assert_eq!(histograms.values[1].counter_reset_hint, CounterResetHint::NotReset, "one chunk holds both");
}

#[test]
fn metadata_is_logged_when_it_changes_and_restored() {
    let disk = FaultDisk::default();
    let db = open(&disk, Options::default());
    let metadata = |help: &str| MetricMetadata {
        kind: MetricType::Counter,
        unit: "seconds".to_owned(),
        help: help.to_owned(),
    };
    commit(&db, &[(series(1), HOUR, 1.0), (series(2), HOUR, 1.0)]).expect("written");
    for _ in 0..5 {
        commit_metadata(&db, &series(1), &metadata("one"));
        commit_metadata(&db, &series(2), &metadata("two"));
    }
    let records = || logged_kinds(&disk).into_iter().filter(|kind| *kind == RecordKind::Metadata).count();
    assert_eq!(records(), 2);
    commit_metadata(&db, &series(1), &metadata("other"));
    assert_eq!(records(), 3);
    let check = |db: &Db| {
        assert_eq!(db.series_metadata(&series(1)), Some(metadata("other")));
        assert_eq!(db.series_metadata(&series(2)), Some(metadata("two")));
    };
    check(&db);
    drop(db);
    let db = open(&disk, Options::default());
    check(&db);
    commit_metadata(&db, &series(2), &metadata("two"));
    assert_eq!(records(), 3, "what the log has is not logged again");
    // A checkpoint keeps the newest metadata of each living series.
    for hour in 2..9 {
        commit(&db, &[(series(1), hour * HOUR, 1.0), (series(2), hour * HOUR, 1.0)]).expect("written");
        db.maintain(Timestamp::from_millis(hour * HOUR));
    }
    assert!(records() < 3, "the segments with the records are gone");
    drop(db);
    let registry = Registry::new();
    let db =
        Db::open(Path::new(common::DIR), Options::default(), Arc::new(disk.clone()), &registry, &mut |_| {});
    check(&db.expect("opened"));
}

/// With `fast-startup`, Prometheus assigns refs from this file on before it has read the log.
#[test]
fn the_series_state_file_of_prometheus_stays_correct() {
    let disk = FaultDisk::default();
    let wal = Path::new(common::DIR).join("wal");
    let file = wal.join("series_state.json");
    let db = open(&disk, Options::default());
    commit(&db, &[(series(1), HOUR, 1.0), (series(2), HOUR, 1.0)]).expect("written");
    db.close().expect("closed");
    assert!(disk.stat(&file).expect("asked").is_none(), "none is made");
    let theirs = br#"{"last_series_id":2,"last_wal_segment":0,"clean_shutdown":true,"new":1}"#;
    disk.create(&file).expect("made").write_all(theirs).expect("written");
    let state = || -> serde_json::Value {
        let bytes = ferula_tsdb::disk::read_file(&disk, &file, 1000).expect("readable");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let db = open(&disk, Options::default());
    let first = state();
    assert_eq!(
        first,
        serde_json::json!({"last_series_id": 2, "last_wal_segment": 1, "clean_shutdown": false, "new": 1})
    );
    // A series whose record is copied to a checkpoint.
    commit(&db, &[(series(3), HOUR, 1.0)]).expect("written");
    for hour in 2..12 {
        commit(&db, &[(series(3), hour * HOUR, 1.0)]).expect("written");
        db.maintain(Timestamp::from_millis(hour * HOUR));
    }
    let segments = list_segments(&disk, &wal).expect("listed");
    let last = state();
    assert_eq!((last["last_series_id"].as_u64(), last["clean_shutdown"].as_bool()), (Some(3), Some(false)));
    let named = last["last_wal_segment"].as_u64().expect("a number");
    assert!(named > 1 && segments.iter().any(|segment| u64::from(segment.number) == named));
    disk.create(&file).expect("made").write_all(b"{").expect("written");
    drop(db);
    open(&disk, Options::default());
    assert_eq!(state()["last_series_id"], 3, "an unreadable file is rewritten");
}
