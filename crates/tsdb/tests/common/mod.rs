//! Common functions of the database tests: append a few samples, read everything back.
#![allow(dead_code, reason = "not every test uses every helper")]

pub mod as_prometheus;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ferula_model::{HistogramValue, LabelSet, Matcher, SeriesRef, TimeRange, Timestamp};
use ferula_storage::{
    AppendError, Appendable, CommitError, DiskError, Durability, Hints, HistogramSample, Queryable,
    SampleBatch, SeriesSamples,
};
use ferula_telemetry::Registry;
use ferula_tsdb::ReplayHelper;
use ferula_tsdb::disk::FaultDisk;
use ferula_tsdb::{Db, Options, Progress};

pub const DIR: &str = "/data";

/// Milliseconds of a small block.
pub const RANGE: i64 = 100_000;

/// A database that cuts, spills and starts new segments after a handful of samples.
pub fn small_options() -> Options {
    Options {
        min_block_duration_ms: RANGE,
        max_block_duration_ms: 3 * RANGE,
        samples_per_chunk: 8,
        wal_segment_bytes: 32 * 1024,
        out_of_order_window_ms: 2 * RANGE,
        out_of_order_samples_max: 4,
        ..Options::default()
    }
}

/// A second thread that reads the log.
pub fn helper() -> ReplayHelper {
    ReplayHelper::new(|beside, here| {
        std::thread::scope(|scope| {
            scope.spawn(beside);
            here();
        });
    })
}

/// Opens the database of a simulated disk.
pub fn open(disk: &FaultDisk, options: Options) -> Db {
    try_open(disk, options).expect("opened")
}

pub fn try_open(disk: &FaultDisk, options: Options) -> Result<Db, ferula_tsdb::OpenError> {
    let options = Options { replay_helper: helper(), ..options };
    Db::open(Path::new(DIR), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {})
}

/// Opens it and returns what it reported.
pub fn open_reporting(disk: &FaultDisk, options: Options) -> (Db, Vec<Progress>) {
    let mut reports = Vec::new();
    let db = Db::open(Path::new(DIR), options, Arc::new(disk.clone()), &Registry::new(), &mut |progress| {
        reports.push(progress);
    });
    (db.expect("opened"), reports)
}

pub fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::from_pairs(pairs.iter().copied())
}

/// The series number `n`.
pub fn series(n: usize) -> LabelSet {
    LabelSet::from_pairs([("__name__", "m".to_owned()), ("n", format!("{n:03}"))])
}

/// One commit of float samples. Returns why samples were refused.
pub fn commit(db: &Db, samples: &[(LabelSet, i64, f64)]) -> Result<Vec<AppendError>, CommitError> {
    let mut appender = db.appender();
    let mut batch = SampleBatch::default();
    for (labels, at, value) in samples {
        let series = appender
            .resolve(labels)
            .map_err(|error| CommitError::Log(DiskError::new(ErrorKind::Other, error)))?;
        batch.push_float(series, Timestamp::from_millis(*at), *value);
    }
    let outcome = appender.append(&mut batch);
    appender.commit(Durability::Written)?;
    Ok(outcome.refused.into_iter().map(|refusal| refusal.error).collect())
}

pub fn commit_histogram(
    db: &Db,
    labels: &LabelSet,
    timestamp: i64,
    value: HistogramValue,
) -> Vec<AppendError> {
    let mut appender = db.appender();
    let series: SeriesRef = appender.resolve(labels).expect("resolved");
    let mut batch = SampleBatch::default();
    batch.histograms.push(HistogramSample {
        series,
        timestamp: Timestamp::from_millis(timestamp),
        start_timestamp: Timestamp::EPOCH,
        value,
    });
    let outcome = appender.append(&mut batch);
    appender.commit(Durability::Written).expect("written");
    outcome.refused.into_iter().map(|refusal| refusal.error).collect()
}

/// Everything that matches, by label set, in the order of rows.
pub fn read(db: &Db, matchers: &[Matcher], range: TimeRange) -> Vec<(LabelSet, SeriesSamples)> {
    let mut snapshot = db.snapshot(range).expect("a snapshot");
    let selection = snapshot.select(matchers, &Hints::default()).expect("selected");
    snapshot.freeze().expect("frozen");
    let rows = snapshot.series_count(selection);
    let mut found = Vec::new();
    snapshot
        .read(selection, 0..rows, range, &mut |row: usize, samples: &SeriesSamples| {
            found.push((snapshot.labels(selection, row), samples.clone()));
            ControlFlow::Continue(())
        })
        .expect("readable");
    found
}

/// Bits of all float samples by label set, without empty series.
pub type Floats = BTreeMap<LabelSet, BTreeMap<i64, u64>>;

pub fn floats(db: &Db) -> Floats {
    read(db, &[], TimeRange::ALL)
        .into_iter()
        .filter(|(_, samples)| !samples.is_empty())
        .map(|(labels, samples)| {
            let column = samples.floats;
            assert!(
                column.timestamps.windows(2).all(|two| two[0] < two[1]),
                "times rise: {labels} {:?}",
                column.timestamps
            );
            let values = column.timestamps.into_iter().zip(column.values.iter().map(|v| v.to_bits()));
            (labels, values.collect())
        })
        .collect()
}

/// One float sample of a series.
pub type Sample = (LabelSet, i64, f64);
