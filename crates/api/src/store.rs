//! The chores of the real store, as handlers ask for them.

use std::path::Path;

use ferula_model::labels::METRIC_NAME;
use ferula_model::{Matcher, MetricValue, TimeRange};
use ferula_storage::StorageError;
use ferula_telemetry::Registry;
use ferula_tsdb::Db;

use crate::api::{HeadStats, StoreAdmin};

/// The store with the registry that it counts into.
pub struct DbAdmin {
    db: std::sync::Arc<Db>,
    registry: Registry,
}

impl DbAdmin {
    /// Chores of this store.
    pub fn new(db: std::sync::Arc<Db>, registry: Registry) -> Self {
        DbAdmin { db, registry }
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

fn not_yet(what: &str) -> StorageError {
    StorageError::Io(format!("not supported yet: {what}"))
}

impl StoreAdmin for DbAdmin {
    fn stats(&self, limit: usize) -> HeadStats {
        let head = self.db.head();
        let cardinality = head.cardinality(METRIC_NAME, limit);
        let (min_time, max_time) = head.time_range().unwrap_or((i64::MAX, i64::MIN));
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
        self.db.ingestion_failure()
    }

    fn block_metas(&self) -> Vec<String> {
        let blocks = self.db.blocks();
        blocks.iter().filter_map(|block| serde_json::to_string(&*block.meta()).ok()).collect()
    }

    fn delete(&self, _: TimeRange, _: &[Matcher]) -> Result<(), StorageError> {
        Err(not_yet("deleting series"))
    }

    fn clean_tombstones(&self) -> Result<(), StorageError> {
        Err(not_yet("removing deleted samples from blocks"))
    }

    fn snapshot(&self, _: &Path, _: bool) -> Result<(), StorageError> {
        Err(not_yet("snapshots"))
    }
}
