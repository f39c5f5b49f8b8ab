//! The store as handlers use it, and the maintenance tasks of the real one.

use std::path::Path;
use std::sync::Arc;

use ferula_model::labels::METRIC_NAME;
use ferula_model::{Matcher, MetricValue, TimeRange};
use ferula_runtime::SharedClock;
use ferula_scraper::growth::GrowthGuard;
use ferula_storage::{Appendable, Queryable, StorageError};
use ferula_telemetry::{Registry, error};
use ferula_tsdb::{AgentDb, Damage, Db};

/// The store as handlers use it.
#[derive(Clone)]
pub struct Store {
    /// With the sources that are read in addition to it.
    pub queryable: Arc<dyn Queryable>,
    /// Without them, for federation.
    pub local: Arc<dyn Queryable>,
    /// For remote write.
    pub appendable: Arc<dyn Appendable>,
    /// For status and maintenance.
    pub admin: Arc<dyn StoreAdmin>,
    /// What grows, while limits on series are set.
    pub growth: Option<Arc<GrowthGuard>>,
}

/// Statistics and maintenance of the store.
pub trait StoreAdmin: Send + Sync {
    /// Statistics of the head; each list has at most `limit` entries, largest first.
    fn stats(&self, limit: usize) -> HeadStats;

    /// Why new samples are refused now, if they are; reading continues.
    fn ingestion_failure(&self) -> Option<String>;

    /// Damaged places in the data directory that were found since the start.
    fn damages(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// The blocks on disk, oldest first, each as the JSON text of its `meta.json`.
    fn block_metas(&self) -> Vec<String>;

    /// Deletes samples of the series in the range.
    fn delete(&self, range: TimeRange, matchers: &[Matcher]) -> Result<(), StorageError>;

    /// Removes deleted samples from disk.
    fn clean_tombstones(&self) -> Result<(), StorageError>;

    /// Writes a backup of the blocks, and of the head if requested, to a new directory.
    fn backup(&self, dir: &Path, with_head: bool) -> Result<(), StorageError>;
}

/// Statistics of the head.
#[derive(Clone, Debug, Default)]
pub struct HeadStats {
    pub series: u64,
    pub label_pairs: u64,
    pub chunks: i64,
    /// Oldest sample in milliseconds; `i64::MAX` if there is none.
    pub min_time: i64,
    /// Newest sample in milliseconds; `i64::MIN` if there is none.
    pub max_time: i64,
    /// Metric names by their number of series.
    pub series_by_metric_name: Vec<(String, u64)>,
    /// Label names by their number of values.
    pub values_by_label_name: Vec<(String, u64)>,
    /// Label names by the bytes of their values.
    pub bytes_by_label_name: Vec<(String, u64)>,
    /// Label pairs by their number of series.
    pub series_by_label_pair: Vec<(String, u64)>,
}

/// The store and the registry of its metrics.
pub struct DbAdmin {
    db: Arc<Db>,
    registry: Registry,
    clock: SharedClock,
}

impl DbAdmin {
    /// Maintenance of this store.
    pub fn new(db: Arc<Db>, registry: Registry, clock: SharedClock) -> Self {
        DbAdmin { db, registry, clock }
    }

    fn gauge(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name);
        match family.and_then(|family| family.metrics.first()).map(|metric| &metric.value) {
            Some(MetricValue::Single(value)) => *value,
            _ => 0.0,
        }
    }
}

fn failed(error: impl ToString) -> StorageError {
    StorageError::Io(ferula_storage::DiskError::new(std::io::ErrorKind::Other, error.to_string()))
}

impl StoreAdmin for DbAdmin {
    fn stats(&self, limit: usize) -> HeadStats {
        let head = self.db.head();
        let cardinality = head.cardinality(METRIC_NAME, limit);
        let range = head.time_range();
        let (min_time, max_time) =
            range.map_or((i64::MAX, i64::MIN), |range| (range.start.millis(), range.end.millis()));
        HeadStats {
            series: head.series_count() as u64,
            label_pairs: cardinality.label_pairs,
            chunks: self.gauge("prometheus_tsdb_head_chunks") as i64,
            min_time,
            max_time,
            series_by_metric_name: cardinality.series_by_value,
            values_by_label_name: cardinality.values_by_name,
            bytes_by_label_name: cardinality.bytes_by_name,
            series_by_label_pair: cardinality.series_by_pair,
        }
    }

    fn ingestion_failure(&self) -> Option<String> {
        self.db.ingestion_failure().map(|error| error.to_string())
    }

    fn damages(&self) -> Vec<Damage> {
        self.db.damages()
    }

    fn block_metas(&self) -> Vec<String> {
        let blocks = self.db.blocks();
        blocks.iter().filter_map(|block| serde_json::to_string(&*block.meta()).ok()).collect()
    }

    fn delete(&self, range: TimeRange, matchers: &[Matcher]) -> Result<(), StorageError> {
        self.db.delete(range, &[matchers.to_vec()]).map_err(failed)
    }

    fn clean_tombstones(&self) -> Result<(), StorageError> {
        let done = self.db.clean_tombstones(self.clock.now()).map_err(failed)?;
        match done.errors.first() {
            None => Ok(()),
            Some(first) => {
                for err in &done.errors {
                    error!("Cleaning tombstones", component = "tsdb", err = err);
                }
                Err(failed(first))
            }
        }
    }

    fn backup(&self, dir: &Path, with_head: bool) -> Result<(), StorageError> {
        self.db.snapshot_to(dir, with_head, self.clock.now().millis()).map(|_| ()).map_err(failed)
    }
}

/// The store of an agent, which has nothing to maintain on request.
pub struct AgentAdmin(Arc<AgentDb>);

impl AgentAdmin {
    /// Of this store.
    pub fn new(store: Arc<AgentDb>) -> Self {
        AgentAdmin(store)
    }
}

impl StoreAdmin for AgentAdmin {
    fn stats(&self, _: usize) -> HeadStats {
        HeadStats { min_time: i64::MAX, max_time: i64::MIN, ..HeadStats::default() }
    }

    fn ingestion_failure(&self) -> Option<String> {
        self.0.ingestion_failure().map(|error| error.to_string())
    }

    fn block_metas(&self) -> Vec<String> {
        Vec::new()
    }

    fn delete(&self, _: TimeRange, _: &[Matcher]) -> Result<(), StorageError> {
        Err(StorageError::LogOnly)
    }

    fn clean_tombstones(&self) -> Result<(), StorageError> {
        Err(StorageError::LogOnly)
    }

    fn backup(&self, _: &Path, _: bool) -> Result<(), StorageError> {
        Err(StorageError::LogOnly)
    }
}
