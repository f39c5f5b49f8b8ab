//! What the editor knows: names, values and types, as far as a query needs them at the moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferula_model::labels::METRIC_NAME;
use ferula_model::{Matcher, MetricMetadata, MetricType, TimeRange};
use ferula_query::Lookup;
use ferula_scraper::TargetsSnapshot;
use ferula_storage::StorageError;

use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::params::Params;

/// Names are looked for in this much of the past, unless the request names a range.
const RANGE_MS_DEFAULT: i64 = 24 * 3_600_000;
/// Metric names are read anew after this long. A person types several keys in that time.
const NAMES_KEPT: Duration = Duration::from_secs(5);
/// Targets of a pool that are asked for the metadata of a metric: those of one pool have the same metrics mostly.
const TARGETS_OF_POOL_MAX: usize = 4;
/// More values than these are not read to look for one.
pub(super) const VALUES_MAX: usize = 5_000;

/// The metric names that were read last, in the order of the store.
#[derive(Default)]
pub struct NameCache(Mutex<Option<Names>>);

struct Names {
    read_at: Duration,
    range: TimeRange,
    names: Arc<Vec<String>>,
}

/// What the editor asks, for one request.
pub(super) struct EditorData<'a> {
    api: &'a Api,
    range: TimeRange,
    targets: TargetsSnapshot,
    lookup: Lookup,
}

impl<'a> EditorData<'a> {
    pub(super) fn new(api: &'a Api, params: &Params, lookup: Lookup) -> Result<Self, ApiError> {
        // Whole minutes, so that requests that follow each other mean the same range.
        let now = api.site.clock.now().millis() / 60_000 * 60_000 + 60_000;
        let end = params.time_or("end", now)?;
        let start = params.time_or("start", end.saturating_sub(RANGE_MS_DEFAULT))?;
        let range = TimeRange::from_millis(start, end);
        Ok(EditorData { api, range, targets: api.targets.targets(), lookup })
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_ended(&self) -> bool {
        self.lookup.is_ended()
    }

    /// All metric names.
    pub(super) fn metric_names(&self) -> Result<Arc<Vec<String>>, ApiError> {
        let now = self.api.site.clock.elapsed();
        let mut cached = self.api.editor_names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*cached
            && known.range == self.range
            && now.saturating_sub(known.read_at) < NAMES_KEPT
        {
            return Ok(known.names.clone());
        }
        let names = Arc::new(self.values(METRIC_NAME, &[], 0)?);
        *cached = Some(Names { read_at: now, range: self.range, names: names.clone() });
        Ok(names)
    }

    pub(super) fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ApiError> {
        let snapshot = self.api.store.queryable.snapshot(self.range).map_err(failed)?;
        snapshot.label_names(matchers, 0, &self.lookup.hints()).map_err(failed)
    }

    /// Values of a label; `limit` 0 is none.
    pub(super) fn values(
        &self,
        label: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, ApiError> {
        let snapshot = self.api.store.queryable.snapshot(self.range).map_err(failed)?;
        snapshot.label_values(label, matchers, limit, &self.lookup.hints()).map_err(failed)
    }

    /// Type and help of a metric, from the first target that states them.
    pub(super) fn metadata(&self, metric: &str) -> Option<MetricMetadata> {
        let families = || std::iter::once(metric).chain(family_names(metric));
        let targets = self.targets.pools.iter().flat_map(|pool| pool.active.iter().take(TARGETS_OF_POOL_MAX));
        targets.filter_map(|target| target.metadata()).find_map(|metadata| {
            let metadata = metadata.lock().unwrap_or_else(PoisonError::into_inner);
            families().find_map(|family| {
                metadata.get(family).filter(|about| holds(about.kind, metric, family)).cloned()
            })
        })
    }

    /// How far scrapes of a job are apart; of any job when none is named, the shortest.
    pub(super) fn scrape_interval(&self, job: Option<&str>) -> Option<Duration> {
        let pools = self.targets.pools.iter().filter(|pool| job.is_none_or(|job| pool.name == job));
        pools.map(|pool| pool.config.scrape_interval).filter(|interval| !interval.is_zero()).min()
    }
}

/// Names of families that a metric may belong to.
fn family_names(metric: &str) -> impl Iterator<Item = &str> {
    ["_total", "_bucket", "_sum", "_count"].into_iter().filter_map(|suffix| metric.strip_suffix(suffix))
}

/// Whether a metric can be of a family of this type: `_sum` of a gauge is another metric.
fn holds(kind: MetricType, metric: &str, family: &str) -> bool {
    metric == family
        || match kind {
            MetricType::Counter => metric.ends_with("_total"),
            MetricType::Histogram | MetricType::GaugeHistogram => !metric.ends_with("_total"),
            MetricType::Summary => metric.ends_with("_sum") || metric.ends_with("_count"),
            _ => false,
        }
}

fn failed(error: StorageError) -> ApiError {
    ApiError::storage(&error, ErrorKind::Execution)
}
