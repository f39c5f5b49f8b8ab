//! The data that the editor uses: names, values and types, read only when needed.

use std::sync::Arc;
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::labels::METRIC_NAME;
use ferula_model::{Matcher, MetricMetadata, MetricType, TimeRange};
use ferula_query::Lookup;
use ferula_scraper::TargetsSnapshot;
use ferula_storage::StorageError;

use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::name_cache::MetricNames;
use crate::params::Params;

/// How far back names are searched if the request has no range.
const RANGE_MS_DEFAULT: i64 = 24 * 3_600_000;
/// How many targets of a pool are searched for a metric's metadata: targets of one pool mostly have the same
/// metrics.
const TARGETS_OF_POOL_MAX: usize = 4;
/// Maximum number of values that are searched for a certain one.
pub(super) const VALUES_MAX: usize = 5_000;

/// Access to the data for one request.
pub(in crate::routes::ferula) struct EditorData<'a> {
    api: &'a Api,
    range: TimeRange,
    targets: TargetsSnapshot,
    lookup: Lookup,
}

impl<'a> EditorData<'a> {
    pub(in crate::routes::ferula) fn new(
        api: &'a Api,
        params: &Params,
        lookup: Lookup,
    ) -> Result<Self, ApiError> {
        // Whole minutes, so that consecutive requests have the same range.
        let now = api.site.clock.now().millis() / 60_000 * 60_000 + 60_000;
        let end = params.time_or("end", now)?;
        let start = params.time_or("start", end.saturating_sub(RANGE_MS_DEFAULT))?;
        let range = TimeRange::from_millis(start, end);
        Ok(EditorData { api, range, targets: api.targets.targets(), lookup })
    }

    /// Whether the client has stopped waiting.
    pub(super) fn is_ended(&self) -> bool {
        self.lookup.is_ended()
    }

    /// All metric names.
    pub(in crate::routes::ferula) fn metric_names(&self) -> Result<Arc<MetricNames>, ApiError> {
        let now = self.api.site.clock.elapsed();
        self.api.editor_names.of_range(self.range, now, || self.values(METRIC_NAME, &[], 0))
    }

    pub(super) fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ApiError> {
        let snapshot = self.api.store.queryable.snapshot(self.range).map_err(failed)?;
        snapshot.label_names(matchers, 0, &self.lookup.hints()).map_err(failed)
    }

    /// Values of a label; a `limit` of 0 means no limit.
    pub(super) fn values(
        &self,
        label: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, ApiError> {
        let snapshot = self.api.store.queryable.snapshot(self.range).map_err(failed)?;
        snapshot.label_values(label, matchers, limit, &self.lookup.hints()).map_err(failed)
    }

    /// Type and help text of a metric, from the first target that has them.
    pub(in crate::routes::ferula) fn metadata(&self, metric: &str) -> Option<MetricMetadata> {
        let families = || std::iter::once(metric).chain(family_names(metric));
        let targets = self.targets.pools.iter().flat_map(|pool| pool.active.iter().take(TARGETS_OF_POOL_MAX));
        targets.filter_map(|target| target.metadata()).find_map(|metadata| {
            let metadata = metadata.locked();
            families().find_map(|family| {
                metadata.get(family).filter(|about| holds(about.kind, metric, family)).cloned()
            })
        })
    }

    /// The scrape interval of a job; without a job, the shortest of all.
    pub(super) fn scrape_interval(&self, job: Option<&str>) -> Option<Duration> {
        let pools = self.targets.pools.iter().filter(|pool| job.is_none_or(|job| pool.name == job));
        pools.map(|pool| pool.config.scrape_interval).filter(|interval| !interval.is_zero()).min()
    }
}

/// Names of metric families to which a metric may belong.
fn family_names(metric: &str) -> impl Iterator<Item = &str> {
    ["_total", "_bucket", "_sum", "_count"].into_iter().filter_map(|suffix| metric.strip_suffix(suffix))
}

/// Whether a metric can belong to a family of this type: `_sum` of a gauge is a different metric.
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
