//! What a start makes of logs and chunks that do not fit together, and what Prometheus finds afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ferula_model::{Histogram, HistogramValue, LabelSet, TimeRange, Timestamp};
use ferula_storage::{Appendable, Durability, Hints, HistogramSample, Queryable, SampleBatch, SeriesSamples};
use ferula_telemetry::Registry;

use crate::disk::{FaultDisk, Survives};
use crate::head_chunks::{ChunkPlace, load};
use crate::ids::LogRef;
use crate::wal::SegmentReader;
use crate::wal::format::list_segments;
use crate::wal::group::Entry;
use crate::wal::record::{LoggedMarker, Records, put_markers};
use crate::{Db, Options};

/// The window is set as the server does it that has no valid configuration yet.
fn open(disk: &FaultDisk) -> Db {
    let options = Options { out_of_order_samples_max: 4, savepoints: true, ..Options::default() };
    let db = Db::open(Path::new("/data"), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {})
        .expect("opened");
    db.set_out_of_order_window(3_600_000).expect("the log is opened");
    db
}

fn commit(db: &Db, n: &str, at: i64) {
    let mut appender = db.appender();
    let mut batch = SampleBatch::default();
    let series = appender.resolve(&LabelSet::from_pairs([("n", n)])).expect("resolved");
    batch.push_float(series, Timestamp::from_millis(at), 1.0);
    appender.append(&mut batch);
    appender.commit(Durability::Written).expect("written");
}

fn commit_histogram(db: &Db, n: &str, at: i64, value: HistogramValue) {
    let mut appender = db.appender();
    let mut batch = SampleBatch::default();
    let series = appender.resolve(&LabelSet::from_pairs([("n", n)])).expect("resolved");
    let (timestamp, start_timestamp) = (Timestamp::from_millis(at), Timestamp::EPOCH);
    batch.histograms.push(HistogramSample { series, timestamp, start_timestamp, value });
    appender.append(&mut batch);
    appender.commit(Durability::Written).expect("written");
}

/// The out-of-order samples that Prometheus finds: it believes every marker that is not behind the newest chunk.
fn found_by_prometheus(disk: &FaultDisk) -> BTreeSet<i64> {
    let chunks = load(disk, Path::new("/data/chunks_head")).expect("listed").chunks;
    let out_of_order = || chunks.iter().filter(|chunk| chunk.out_of_order);
    let newest = out_of_order().map(|chunk| chunk.place).max();
    let mut found: BTreeSet<i64> = out_of_order().flat_map(|chunk| [chunk.min, chunk.max]).collect();
    let mut in_memory: BTreeMap<LogRef, BTreeSet<i64>> = BTreeMap::new();
    let wbl = Path::new("/data/wbl");
    for segment in list_segments(disk, wbl).expect("listed") {
        let mut reader = SegmentReader::open(disk, wbl, segment.number).expect("opened");
        let mut records = Records::default();
        while let Some(read) = reader.next().expect("read") {
            records.decode(read.expect("whole")).expect("well formed");
            for marker in &records.markers {
                if marker.chunk != 0
                    && newest.is_some_and(|newest| ChunkPlace::from_number(marker.chunk) <= newest)
                {
                    in_memory.remove(&marker.series);
                }
            }
            for sample in &records.samples {
                in_memory.entry(sample.series).or_default().insert(sample.at);
            }
        }
    }
    found.extend(in_memory.into_values().flatten());
    found
}

#[test]
fn prometheus_finds_samples_whose_chunk_was_lost_with_the_process() {
    const NOW: i64 = 36_000_000;
    let disk = FaultDisk::default();
    let mut db = open(&disk);
    ["1", "2"].iter().for_each(|n| commit(&db, n, NOW));
    let mut expected = BTreeSet::new();
    let mut next = NOW - 3_000_000;
    let mut out_of_order_samples = |db: &Db, n: &str, count: usize| {
        for _ in 0..count {
            next += 1000;
            commit(db, n, next);
            expected.insert(next);
        }
        expected.clone()
    };
    // Four go to a chunk, which is named by a marker, and is still in a buffer when the process is killed.
    out_of_order_samples(&db, "1", 5);
    drop(db);
    let mut disk = disk.restart(Survives::Written);
    for _ in 0..3 {
        db = open(&disk);
        // A chunk of another series, in a later file.
        let expected = out_of_order_samples(&db, "2", 8);
        db.head.flush_chunks().expect("written");
        drop(db);
        disk = disk.restart(Survives::Written);
        let found = found_by_prometheus(&disk);
        // Of a chunk only its ends are looked at.
        let chunks = load(&disk, Path::new("/data/chunks_head")).expect("listed").chunks;
        let in_chunk = |at: &i64| chunks.iter().any(|chunk| (chunk.min..=chunk.max).contains(at));
        let lost: Vec<i64> = expected.into_iter().filter(|at| !found.contains(at) && !in_chunk(at)).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}

/// All samples that a database shows.
fn times(db: &Db) -> Vec<i64> {
    let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
    let all = snapshot.select(&[], &Hints::default()).expect("selected");
    snapshot.freeze().expect("frozen");
    let mut times = BTreeSet::new();
    let mut take = |_: usize, samples: &SeriesSamples| {
        times.extend(samples.floats.timestamps.iter().chain(&samples.histograms.timestamps));
        ControlFlow::Continue(())
    };
    snapshot.read(all, 0..snapshot.series_count(all), TimeRange::ALL, &mut take).expect("readable");
    times.into_iter().collect()
}

/// The samples that leave memory together are in three chunks, because they are of two types; of those, the process wrote only
/// two before it was killed.
#[test]
fn samples_are_forgotten_only_if_all_of_their_chunks_are_there() {
    const NOW: i64 = 36_000_000;
    // Prometheus names all of them.
    for names_all in [false, true] {
        let disk = FaultDisk::default();
        let db = open(&disk);
        commit(&db, "1", NOW);
        let histogram =
            HistogramValue::Integer(Arc::new(Histogram { count: 1, zero_count: 1, ..Histogram::default() }));
        let samples = [(3000, None), (2000, Some(histogram)), (1000, None), (500, None)];
        for (back, histogram) in samples {
            match histogram {
                None => commit(&db, "1", NOW - back),
                Some(value) => commit_histogram(&db, "1", NOW - back, value),
            }
        }
        let stored = || -> Vec<ChunkPlace> {
            let chunks = load(&disk, Path::new("/data/chunks_head")).expect("listed").chunks;
            chunks.iter().filter(|chunk| chunk.out_of_order).map(|chunk| chunk.place).collect()
        };
        if names_all {
            db.head.move_out_of_order_samples();
            db.head.flush_chunks().expect("written");
            let log_ref = LogRef::new(1);
            let markers: Vec<LoggedMarker> = stored()
                .iter()
                .map(|place| LoggedMarker { series: log_ref, chunk: place.number() })
                .collect();
            let mut record = Vec::new();
            put_markers(&mut record, &markers);
            let mut entry = Entry::default();
            entry.record(record);
            db.head.out_of_order_log().expect("open").commit(entry).expect("written");
        } else {
            // One more is too many.
            commit(&db, "1", NOW - 100);
            db.head.flush_chunks().expect("written");
        }
        let expected = times(&db);
        let places = stored();
        assert_eq!(places.len(), 3);
        drop(db);
        let disk = disk.restart(Survives::Written);
        let file = Path::new("/data/chunks_head").join(format!("{:06}", places[2].file()));
        disk.damage(&file, |bytes| bytes.truncate(places[2].offset() as usize)).expect("there");
        assert_eq!(times(&open(&disk)), expected, "{names_all}");
        // And what is logged again names nothing that is not there.
        assert_eq!(times(&open(&disk.restart(Survives::Written))), expected, "{names_all}");
    }
}
