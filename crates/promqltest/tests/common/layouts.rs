//! The same samples in every place a database can have them: head, blocks, both, blocks over each other, and samples
//! that came out of order. A query must not see the difference.
//!
//! Nothing here makes a block by hand: heads are filled, cut and copied as the server does it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use ferula_model::{HistogramValue, LabelSet, Timestamp};
use ferula_storage::{Appendable, Durability, HistogramSample, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::Retention;
use ferula_tsdb::disk::FaultDisk;
use ferula_tsdb::{Db, Options};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Longer blocks out of the head are refused.
const RANGE_MAX_MS: i64 = 49 * DAY_MS;
/// The directory of blocks that are copies of databases.
const COPIES: &str = "/copies";

/// One sample of a series.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Start timestamp, 0 for none.
    pub start: i64,
    /// The value.
    pub value: StoredValue,
}

/// A value of either kind.
#[derive(Clone, Debug)]
pub enum StoredValue {
    /// A float, also the end of a series.
    Float(f64),
    /// A native histogram.
    Histogram(HistogramValue),
}

/// Samples by series and time.
pub type Data = BTreeMap<LabelSet, BTreeMap<i64, Stored>>;

/// Where samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All in blocks, one after the other.
    Blocks,
    /// The older half in blocks, the newer one in the head.
    Halves,
    /// Dealt out to three blocks of the same time. Every fourth sample is in all of them.
    Overlapping,
    /// The same, and then the blocks were merged.
    Merged,
    /// All in the head; every third sample of a series came before the two that are older.
    Late,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 5] =
        [Layout::Blocks, Layout::Halves, Layout::Overlapping, Layout::Merged, Layout::Late];

    /// A database that has the data so.
    pub fn build(self, data: &Data) -> Result<Db, String> {
        match self {
            Layout::Blocks => {
                let disk = FaultDisk::default();
                copy(&grown(&disk, data, 3)?)?;
                let db = open(&disk, COPIES, options(RANGE_MAX_MS))?;
                check(db.head().series_count() == 0, "nothing is left in the head")?;
                Ok(db)
            }
            Layout::Halves => {
                let db = grown(&FaultDisk::default(), data, 3)?;
                let spread = times(data).is_some_and(|range| range.end() > range.start());
                check(!spread || !db.blocks().is_empty(), "a block was cut")?;
                Ok(db)
            }
            Layout::Overlapping => overlapping(data),
            Layout::Merged => {
                let db = overlapping(data)?;
                maintain(&db)?;
                check(db.blocks().len() <= 1, "one block is left")?;
                Ok(db)
            }
            Layout::Late => late(data),
        }
    }
}

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("the layout is not what it should be: {what}")) }
}

fn options(range_ms: i64) -> Options {
    Options {
        min_block_duration_ms: range_ms,
        max_block_duration_ms: range_ms,
        retention: Retention::default(),
        exemplars_max: 100,
        ..Options::with_start_timestamps()
    }
}

fn open(disk: &FaultDisk, dir: &str, options: Options) -> Result<Db, String> {
    Db::open(Path::new(dir), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {})
        .map_err(|error| error.to_string())
}

fn times(data: &Data) -> Option<RangeInclusive<i64>> {
    let all = || data.values().flat_map(BTreeMap::keys).copied();
    Some(all().min()?..=all().max()?)
}

/// A sample with its series and time.
type Point<'a> = (&'a LabelSet, i64, &'a Stored);

/// One commit, with at most one sample of each series.
fn put<'a>(db: &Db, samples: impl IntoIterator<Item = Point<'a>>) -> Result<(), String> {
    let mut appender = db.appender();
    let mut batch = SampleBatch::default();
    for (labels, timestamp, sample) in samples {
        let series = appender.resolve(labels).map_err(|error| error.to_string())?;
        match &sample.value {
            StoredValue::Float(value) => batch.push_float_with_start(
                series,
                Timestamp::from_millis(timestamp),
                *value,
                Timestamp::from_millis(sample.start),
            ),
            StoredValue::Histogram(value) => batch.histograms.push(HistogramSample {
                series,
                timestamp: Timestamp::from_millis(timestamp),
                start_timestamp: Timestamp::from_millis(sample.start),
                value: value.clone(),
            }),
        }
    }
    if let Some(refusal) = appender.append(&mut batch).refused.first() {
        return Err(refusal.error.to_string());
    }
    appender.commit(Durability::Written).map_err(|error| error.to_string())
}

/// The samples of each time.
fn by_time<'a>(samples: impl Iterator<Item = Point<'a>>) -> BTreeMap<i64, Vec<Point<'a>>> {
    let mut by_time: BTreeMap<i64, Vec<Point<'a>>> = BTreeMap::new();
    samples.for_each(|point| by_time.entry(point.1).or_default().push(point));
    by_time
}

fn points(data: &Data) -> impl Iterator<Item = Point<'_>> {
    data.iter().flat_map(|(labels, samples)| samples.iter().map(move |(at, sample)| (labels, *at, sample)))
}

fn maintain(db: &Db) -> Result<(), String> {
    // Far enough from the last time for every look at the blocks to be due.
    let newest = db.blocks().iter().map(|block| block.meta().max_time).max().unwrap_or(0);
    let done = db.maintain(Timestamp::from_millis(newest.saturating_add(1000 * DAY_MS)));
    if done.errors.is_empty() { Ok(()) } else { Err(done.errors.join("; ")) }
}

/// Adds blocks with all that the database has to [`COPIES`] on the same disk.
fn copy(db: &Db) -> Result<(), String> {
    db.snapshot_to(Path::new(COPIES), true, 0).map(|_| ()).map_err(|error| error.to_string())
}

/// A database that grew as a server's does: samples in order of time, blocks cut on the way. The whole time is about
/// `ranges` blocks long, of which the newest one or two are not cut yet.
fn grown(disk: &FaultDisk, data: &Data, ranges: i64) -> Result<Db, String> {
    let span = times(data).map_or(0, |range| range.end().saturating_sub(*range.start()));
    let range_ms = (span / ranges).clamp(1000, RANGE_MAX_MS);
    let db = open(disk, "/grown", options(range_ms))?;
    for samples in by_time(points(data)).into_values() {
        put(&db, samples)?;
        if db
            .head()
            .time_range()
            .is_some_and(|range| range.end.millis() - range.start.millis() > range_ms / 2 * 3)
        {
            maintain(&db)?;
        }
    }
    Ok(db)
}

/// Three databases with a part of the samples each; their snapshots are blocks of one directory.
fn overlapping(data: &Data) -> Result<Db, String> {
    let disk = FaultDisk::default();
    for part in 0..3 {
        let dealt = data.iter().flat_map(|(labels, samples)| {
            let of_part =
                samples.iter().enumerate().filter(move |(index, _)| index % 3 == part || index % 4 == 0);
            of_part.map(move |(_, (at, sample))| (labels, *at, sample))
        });
        let db = open(&disk, &format!("/part{part}"), options(RANGE_MAX_MS))?;
        for samples in by_time(dealt).into_values() {
            put(&db, samples)?;
        }
        copy(&db)?;
    }
    open(&disk, COPIES, options(RANGE_MAX_MS))
}

/// Everything in one head, not in order.
fn late(data: &Data) -> Result<Db, String> {
    let window = 20_000 * DAY_MS;
    let db = open(
        &FaultDisk::default(),
        "/late",
        Options { out_of_order_window_ms: window, out_of_order_samples_max: 4, ..options(RANGE_MAX_MS) },
    )?;
    let points: Vec<Vec<Point<'_>>> = data
        .iter()
        .map(|(labels, samples)| samples.iter().map(|(at, sample)| (labels, *at, sample)).collect())
        .collect();
    let longest = points.iter().map(Vec::len).max().unwrap_or(0);
    for first in (0..longest).step_by(3) {
        for place in [first + 2, first, first + 1] {
            put(&db, points.iter().filter_map(|points| points.get(place).copied()))?;
        }
    }
    Ok(db)
}
