//! Metrics of the database beside those of its head, by Prometheus' names.
//!
//! Durations are not among them: the engine reads no clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ferula_telemetry::{Counter, Registry};

use crate::db::{WAL_DIR, WBL_DIR};
use crate::disk::Disk;
use crate::head::{Head, lock};
use crate::maintain::folder_bytes;
use crate::view::Views;

/// Registers the gauges that are read off head, log and blocks when somebody asks.
pub(crate) fn register_gauges(
    registry: &Registry,
    head: &Arc<Head>,
    views: &Arc<Views>,
    disk: &Arc<dyn Disk>,
    dir: &Path,
) {
    of_head(registry, head);
    of_log(registry, head, disk, dir);
    of_exemplars(registry, head);
    of_blocks(registry, head, views);
}

fn of_head(registry: &Registry, head: &Arc<Head>) {
    let gauge = |name: &str, help: &str, value: fn(&Head) -> f64| {
        let head = head.clone();
        registry.gauge_func(name, help, move || value(&head));
    };
    gauge(
        "prometheus_tsdb_head_min_time",
        "Minimum time bound of the head block. The unit is decided by the library consumer.",
        |head| head.times.min.load(Ordering::SeqCst) as f64,
    );
    gauge(
        "prometheus_tsdb_head_max_time",
        "Maximum timestamp of the head block. The unit is decided by the library consumer.",
        |head| head.times.max.load(Ordering::SeqCst) as f64,
    );
    gauge("prometheus_tsdb_head_min_time_seconds", "Minimum time bound of the head block.", |head| {
        head.times.min.load(Ordering::SeqCst) as f64 / 1000.0
    });
    gauge("prometheus_tsdb_head_max_time_seconds", "Maximum timestamp of the head block.", |head| {
        head.times.max.load(Ordering::SeqCst) as f64 / 1000.0
    });
    gauge("prometheus_tsdb_head_chunks_storage_size_bytes", "Size of the chunks_head directory.", |head| {
        head.chunks.bytes() as f64
    });
}

fn of_log(registry: &Registry, head: &Arc<Head>, disk: &Arc<dyn Disk>, dir: &Path) {
    let current = head.clone();
    registry.gauge_func(
        "prometheus_tsdb_wal_segment_current",
        "Write log segment index that TSDB is currently writing to.",
        move || f64::from(current.log.segment()),
    );
    for (name, help, folder) in [
        ("prometheus_tsdb_wal_storage_size_bytes", "Size of the write log directory.", WAL_DIR),
        ("prometheus_tsdb_out_of_order_wbl_storage_size_bytes", "Size of the write log directory.", WBL_DIR),
    ] {
        let (disk, folder) = (disk.clone(), dir.join(folder));
        registry.gauge_func(name, help, move || folder_bytes(&*disk, &folder) as f64);
    }
    let counter = |name: &str, help: &str, value: fn(&Head) -> u64| {
        let head = head.clone();
        registry.counter_func(name, help, move || value(&head) as f64);
    };
    counter("prometheus_tsdb_wal_page_flushes_total", "Total number of page flushes.", |head| {
        head.log.stats().page_flushes
    });
    counter("prometheus_tsdb_wal_completed_pages_total", "Total number of completed pages.", |head| {
        head.log.stats().completed_pages
    });
    counter(
        "prometheus_tsdb_wal_writes_failed_total",
        "Total number of write log writes that failed.",
        |head| head.log.failed_writes(),
    );
}

fn of_exemplars(registry: &Registry, head: &Arc<Head>) {
    let gauge = |name: &str, help: &str, value: fn(&Head) -> f64| {
        let head = head.clone();
        registry.gauge_func(name, help, move || value(&head));
    };
    gauge(
        "prometheus_tsdb_exemplar_exemplars_in_storage",
        "Number of exemplars currently in circular storage.",
        |head| lock(&head.exemplars).len() as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
        "Number of series with exemplars currently in circular storage.",
        |head| lock(&head.exemplars).series_count() as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_max_exemplars",
        "Total number of exemplars the exemplar storage can store, resizeable.",
        |head| lock(&head.exemplars).capacity() as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
        "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what time range the current exemplar buffer limit allows. This usually means the last timestamp for all exemplars for a typical setup. This is not true though if one of the series timestamp is in future compared to rest series.",
        |head| lock(&head.exemplars).oldest().map_or(0.0, |at| at as f64 / 1000.0),
    );
}

fn of_blocks(registry: &Registry, head: &Arc<Head>, views: &Arc<Views>) {
    let loaded = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_blocks_loaded",
        "Number of currently loaded data blocks",
        move || loaded.get().blocks.len() as f64,
    );
    let stored = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_storage_blocks_bytes",
        "The number of bytes that are currently used for local storage by all blocks.",
        move || stored.get().blocks.iter().map(|block| block.bytes()).sum::<u64>() as f64,
    );
    let lowest = |head: &Head, views: &Views| match views.get().blocks.first() {
        Some(block) => block.meta().min_time as f64,
        None => head.times.min.load(Ordering::SeqCst) as f64,
    };
    let (of_head, of_views) = (head.clone(), views.clone());
    registry.gauge_func(
        "prometheus_tsdb_lowest_timestamp",
        "Lowest timestamp value stored in the database. The unit is decided by the library consumer.",
        move || lowest(&of_head, &of_views),
    );
    let (of_head, of_views) = (head.clone(), views.clone());
    registry.gauge_func(
        "prometheus_tsdb_lowest_timestamp_seconds",
        "Lowest timestamp value stored in the database.",
        move || lowest(&of_head, &of_views) / 1000.0,
    );
}

/// Counters of compaction, truncation and retention.
pub(crate) struct MaintenanceMetrics {
    pub compactions: Counter,
    pub compactions_failed: Counter,
    pub head_truncations: Counter,
    pub checkpoint_creations: Counter,
    pub checkpoint_creations_failed: Counter,
    pub checkpoint_deletions: Counter,
    pub checkpoint_deletions_failed: Counter,
    pub reloads: Counter,
    pub reloads_failed: Counter,
    pub time_retentions: Counter,
    pub size_retentions: Counter,
    pub wal_corruptions: Counter,
}

impl MaintenanceMetrics {
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help);
        MaintenanceMetrics {
            compactions: counter(
                "prometheus_tsdb_compactions_total",
                "Total number of compactions that were executed for the partition.",
            ),
            compactions_failed: counter(
                "prometheus_tsdb_compactions_failed_total",
                "Total number of compactions that failed for the partition.",
            ),
            head_truncations: counter(
                "prometheus_tsdb_head_truncations_total",
                "Total number of head truncations attempted.",
            ),
            checkpoint_creations: counter(
                "prometheus_tsdb_checkpoint_creations_total",
                "Total number of checkpoint creations attempted.",
            ),
            checkpoint_creations_failed: counter(
                "prometheus_tsdb_checkpoint_creations_failed_total",
                "Total number of checkpoint creations that failed.",
            ),
            checkpoint_deletions: counter(
                "prometheus_tsdb_checkpoint_deletions_total",
                "Total number of checkpoint deletions attempted.",
            ),
            checkpoint_deletions_failed: counter(
                "prometheus_tsdb_checkpoint_deletions_failed_total",
                "Total number of checkpoint deletions that failed.",
            ),
            reloads: counter(
                "prometheus_tsdb_reloads_total",
                "Number of times the database reloaded block data from disk.",
            ),
            reloads_failed: counter(
                "prometheus_tsdb_reloads_failures_total",
                "Number of times the database failed to reloadBlocks block data from disk.",
            ),
            time_retentions: counter(
                "prometheus_tsdb_time_retentions_total",
                "The number of times that blocks were deleted because the maximum time limit was exceeded.",
            ),
            wal_corruptions: counter(
                "prometheus_tsdb_wal_corruptions_total",
                "Total number of WAL corruptions.",
            ),
            size_retentions: counter(
                "prometheus_tsdb_size_retentions_total",
                "The number of times that blocks were deleted because the maximum number of bytes was exceeded.",
            ),
        }
    }
}
