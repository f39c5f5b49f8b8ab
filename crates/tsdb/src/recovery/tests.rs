//! What a start makes of logs and chunks that do not fit together, and what Prometheus finds afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ferula_model::{LabelSet, Timestamp};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;

use crate::disk::{FaultDisk, Survives};
use crate::head_chunks::{ChunkPlace, load};
use crate::ids::LogRef;
use crate::wal::SegmentReader;
use crate::wal::format::list_segments;
use crate::wal::record::Records;
use crate::{Db, Options};

fn open(disk: &FaultDisk) -> Db {
    let options = Options {
        out_of_order_window_ms: 3_600_000,
        out_of_order_samples_max: 4,
        savepoints: true,
        ..Options::default()
    };
    Db::open(Path::new("/data"), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {})
        .expect("opened")
}

fn commit(db: &Db, n: &str, at: i64) {
    let mut appender = db.appender();
    let mut batch = SampleBatch::default();
    let series = appender.resolve(&LabelSet::from_pairs([("n", n)])).expect("resolved");
    batch.push_float(series, Timestamp::from_millis(at), 1.0);
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
