//! What is stored of each metric: its series, its jobs, and the bytes of its chunks.

use std::collections::{BTreeSet, HashMap, HashSet};

use ferula_model::labels::METRIC_NAME;
use ferula_model::{Matcher, TimeRange};
use ferula_query::Lookup;
use ferula_query::reads::LastRead;
use ferula_storage::{Hints, Queryable, StorageError};

use super::drop_rules::Replay;
use crate::error::{ApiError, ErrorKind};

/// Jobs of a metric that are named.
const JOBS_MAX: usize = 20;
/// Of a metric with more series, so many are measured, evenly spread, and the others estimated from them.
const MEASURED_SERIES_MAX: usize = 64;
/// How many series are counted between two checks for cancellation.
const SERIES_BETWEEN_CHECKS: usize = 1024;

/// A metric with its series.
#[derive(Debug, Default)]
pub struct StoredMetric {
    pub name: String,
    pub series: u64,
    /// Values of `job`, at most [`JOBS_MAX`].
    pub jobs: BTreeSet<String>,
}

/// A metric that nothing reads.
pub struct UnreadMetric {
    pub metric: StoredMetric,
    pub bytes: ChunkBytes,
    /// The last read by its name that is known, before the range.
    pub last_read: LastRead,
}

/// The bytes of a metric's chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkBytes {
    pub bytes: u64,
    /// Whether only some of the series were measured.
    pub is_estimated: bool,
}

fn failed(error: StorageError) -> ApiError {
    ApiError::storage(&error, ErrorKind::Execution)
}

/// Names of all metrics with samples in a range.
pub fn metric_names(
    store: &dyn Queryable,
    range: TimeRange,
    lookup: &Lookup,
) -> Result<Vec<String>, ApiError> {
    values_of_name(store, range, &[], lookup)
}

/// Names of metrics with series that satisfy the matchers.
pub fn values_of_name(
    store: &dyn Queryable,
    range: TimeRange,
    matchers: &[Matcher],
    lookup: &Lookup,
) -> Result<Vec<String>, ApiError> {
    let snapshot = store.snapshot(range).map_err(failed)?;
    let names = snapshot.label_values(METRIC_NAME, matchers, 0, &lookup.hints()).map_err(failed)?;
    lookup.charge(names.iter().map(|name| name.len() + size_of::<String>()).sum())?;
    Ok(names)
}

/// Goes through all series once: counts those of the metrics that are to be dropped and of `others`, and replays the
/// rules.
pub fn tally(
    store: &dyn Queryable,
    range: TimeRange,
    lookup: &Lookup,
    others: &[&str],
    replay: &mut Replay<'_>,
) -> Result<Vec<StoredMetric>, ApiError> {
    let others: HashSet<&str> = others.iter().copied().collect();
    let mut snapshot = store.snapshot(range).map_err(failed)?;
    let hints = Hints { range: Some(range), labels_only: true, ..lookup.hints() };
    let selection = snapshot.select(&[], &hints).map_err(failed)?;
    snapshot.freeze().map_err(failed)?;
    let mut metrics: HashMap<String, StoredMetric> = HashMap::new();
    for row in 0..snapshot.series_count(selection) {
        if row.is_multiple_of(SERIES_BETWEEN_CHECKS) && lookup.is_ended() {
            return Err(failed(StorageError::Stopped));
        }
        let labels = snapshot.labels(selection, row);
        replay.add(&labels);
        let name = labels.metric_name();
        if !replay.drops(name) && !others.contains(name) {
            continue;
        }
        if !metrics.contains_key(name) {
            lookup.charge(2 * name.len() + size_of::<StoredMetric>())?;
            metrics
                .insert(name.to_owned(), StoredMetric { name: name.to_owned(), ..StoredMetric::default() });
        }
        let Some(metric) = metrics.get_mut(name) else { continue };
        metric.series += 1;
        let job = labels.get("job").unwrap_or_default();
        if metric.jobs.len() < JOBS_MAX && !metric.jobs.contains(job) {
            lookup.charge(job.len())?;
            metric.jobs.insert(job.to_owned());
        }
    }
    let mut metrics: Vec<StoredMetric> = metrics.into_values().collect();
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(metrics)
}

/// The bytes of the chunks that a metric has in a range.
pub fn bytes(
    store: &dyn Queryable,
    range: TimeRange,
    lookup: &Lookup,
    metric: &StoredMetric,
) -> Result<ChunkBytes, ApiError> {
    let mut snapshot = store.snapshot(range).map_err(failed)?;
    let hints = Hints { range: Some(range), ..lookup.hints() };
    let matchers = [Matcher::equal(METRIC_NAME, &metric.name)];
    let selection = snapshot.select(&matchers, &hints).map_err(failed)?;
    snapshot.freeze().map_err(failed)?;
    let rows = snapshot.series_count(selection);
    let step = rows.div_ceil(MEASURED_SERIES_MAX).max(1);
    let (mut measured, mut bytes) = (0u64, 0u64);
    for row in (0..rows).step_by(step) {
        if lookup.is_ended() {
            return Err(failed(StorageError::Stopped));
        }
        let chunks = snapshot.read_chunks(selection, row, range, false).map_err(failed)?;
        bytes += chunks.unwrap_or_default().iter().map(|chunk| chunk.data.len() as u64).sum::<u64>();
        measured += 1;
    }
    let all = u128::from(bytes) * rows as u128 / u128::from(measured.max(1));
    Ok(ChunkBytes { bytes: u64::try_from(all).unwrap_or(u64::MAX), is_estimated: step > 1 })
}
