//! Metrics of the database beside those of its head, by Prometheus' names.
//!
//! Durations are what the caller's [`Stopwatch`](crate::Stopwatch) says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};
use ferula_telemetry::{Counter, Gauge, Histogram, Registry, Summary};

use crate::block::BlockChunk;
use crate::disk::{Disk, directory_bytes};
use crate::head::Head;
use crate::options::{WAL_DIR, WBL_DIR};
use crate::retention::Retention;
use crate::view::Views;
use crate::wal::Compression;

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
    of_log_records(registry, head);
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
        |head| head.raw_times().0 as f64,
    );
    gauge(
        "prometheus_tsdb_head_max_time",
        "Maximum timestamp of the head block. The unit is decided by the library consumer.",
        |head| head.raw_times().1 as f64,
    );
    gauge("prometheus_tsdb_head_min_time_seconds", "Minimum time bound of the head block.", |head| {
        head.raw_times().0 as f64 / 1000.0
    });
    gauge("prometheus_tsdb_head_max_time_seconds", "Maximum timestamp of the head block.", |head| {
        head.raw_times().1 as f64 / 1000.0
    });
    gauge("ferula_tsdb_head_bytes", "Memory that the head takes, estimated.", |head| head.bytes() as f64);
    gauge(
        "ferula_tsdb_head_limit_bytes",
        "Estimated memory at which new series are refused; 0 for no limit.",
        |head| head.limits().bytes.unwrap_or(0) as f64,
    );
    gauge(
        "ferula_tsdb_head_limit_series",
        "Number of series at which new ones are refused; 0 for no limit.",
        |head| head.limits().series.unwrap_or(0) as f64,
    );
    gauge("prometheus_tsdb_head_chunks_storage_size_bytes", "Size of the chunks_head directory.", |head| {
        head.chunk_file_bytes() as f64
    });
}

fn of_log(registry: &Registry, head: &Arc<Head>, disk: &Arc<dyn Disk>, dir: &Path) {
    let current = head.clone();
    registry.gauge_func(
        "prometheus_tsdb_wal_segment_current",
        "Write log segment index that TSDB is currently writing to.",
        move || f64::from(current.log_segment()),
    );
    for (name, help, folder) in [
        ("prometheus_tsdb_wal_storage_size_bytes", "Size of the write log directory.", WAL_DIR),
        ("prometheus_tsdb_out_of_order_wbl_storage_size_bytes", "Size of the write log directory.", WBL_DIR),
    ] {
        let (disk, folder) = (disk.clone(), dir.join(folder));
        registry.gauge_func(name, help, move || directory_bytes(&*disk, &folder) as f64);
    }
    let counter = |name: &str, help: &str, value: fn(&Head) -> u64| {
        let head = head.clone();
        registry.counter_func(name, help, move || value(&head) as f64);
    };
    counter("prometheus_tsdb_wal_page_flushes_total", "Total number of page flushes.", |head| {
        head.log_stats().written.page_flushes
    });
    counter("prometheus_tsdb_wal_completed_pages_total", "Total number of completed pages.", |head| {
        head.log_stats().written.completed_pages
    });
    counter(
        "prometheus_tsdb_wal_writes_failed_total",
        "Total number of write log writes that failed.",
        |head| head.log_stats().failed_writes,
    );
}

fn of_log_records(registry: &Registry, head: &Arc<Head>) {
    let counter = |name: &str, help: &str, value: fn(&Head) -> u64| {
        let head = head.clone();
        registry.counter_func(name, help, move || value(&head) as f64);
    };
    counter(
        "prometheus_tsdb_wal_record_part_writes_total",
        "Total number of record parts written before flushing.",
        |head| head.log_stats().written.record_parts,
    );
    counter(
        "prometheus_tsdb_wal_record_parts_bytes_written_total",
        "Total number of record part bytes written before flushing, including CRC and compression headers.",
        |head| head.log_stats().written.record_part_bytes,
    );
    counter("prometheus_tsdb_mmap_chunks_total", "Total number of chunks that were memory-mapped.", |head| {
        head.chunks_moved()
    });
    let head = head.clone();
    registry.collector(move |families| {
        let compression = match head.log_stats().compression {
            Compression::None => return,
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        };
        families.push(MetricFamily {
            name: "prometheus_tsdb_wal_record_bytes_saved_total".to_owned(),
            help: "Total number of bytes saved by the optional record compression. Use this metric to learn about the effectiveness compression.".to_owned(),
            kind: MetricType::Counter,
            metrics: vec![Metric {
                labels: LabelSet::from_pairs([("compression", compression)]),
                value: MetricValue::Single(head.log_stats().written.bytes_saved as f64),
                timestamp: None,
            }],
        });
    });
}

fn of_exemplars(registry: &Registry, head: &Arc<Head>) {
    let gauge = |name: &str, help: &str, value: fn(&Head) -> f64| {
        let head = head.clone();
        registry.gauge_func(name, help, move || value(&head));
    };
    gauge(
        "prometheus_tsdb_exemplar_exemplars_in_storage",
        "Number of exemplars currently in circular storage.",
        |head| head.exemplar_counts().stored as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
        "Number of series with exemplars currently in circular storage.",
        |head| head.exemplar_counts().series as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_max_exemplars",
        "Total number of exemplars the exemplar storage can store, resizeable.",
        |head| head.exemplar_counts().max as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
        "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what time range the current exemplar buffer limit allows. This usually means the last timestamp for all exemplars for a typical setup. This is not true though if one of the series timestamp is in future compared to rest series.",
        |head| head.exemplar_counts().oldest.map_or(0.0, |at| at as f64 / 1000.0),
    );
}

fn of_blocks(registry: &Registry, head: &Arc<Head>, views: &Arc<Views>) {
    let loaded = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_blocks_loaded",
        "Number of currently loaded data blocks",
        move || loaded.get().blocks.len() as f64,
    );
    let symbols = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_symbol_table_size_bytes",
        "Size of symbol table in memory for loaded blocks",
        move || {
            let blocks = symbols.get().blocks;
            blocks.iter().map(|block| block.index().symbol_table_bytes()).sum::<usize>() as f64
        },
    );
    let stored = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_storage_blocks_bytes",
        "The number of bytes that are currently used for local storage by all blocks.",
        move || stored.get().blocks.iter().map(|block| block.bytes()).sum::<u64>() as f64,
    );
    let lowest = |head: &Head, views: &Views| match views.get().blocks.first() {
        Some(block) => block.meta().min_time as f64,
        None => head.raw_times().0 as f64,
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

/// Metrics of start, compaction, truncation and retention.
pub(crate) struct MaintenanceMetrics {
    pub clean_start: Gauge,
    pub replay_duration: Gauge,
    pub chunk_corruptions: Counter,
    pub wal_corruptions: Counter,
    pub compactions_triggered: Counter,
    pub compactions: Counter,
    pub compactions_failed: Counter,
    pub compaction_duration: Histogram,
    pub populating_block: Gauge,
    pub vertical_compactions: Counter,
    pub chunks: ChunkMetrics,
    /// Counted every minute.
    pub stale_series: Gauge,
    pub stale_compactions: Counter,
    pub stale_compactions_failed: Counter,
    pub stale_compaction_duration: Histogram,
    pub tombstone_cleanup: Histogram,
    pub head_truncations: Counter,
    pub head_truncations_failed: Counter,
    pub head_gc_duration: Summary,
    pub log_syncs: Summary,
    pub log_truncations: Counter,
    pub log_truncations_failed: Counter,
    pub log_truncate_duration: Summary,
    pub checkpoint_creations: Counter,
    pub checkpoint_creations_failed: Counter,
    pub checkpoint_deletions: Counter,
    pub checkpoint_deletions_failed: Counter,
    pub reloads: Counter,
    pub reloads_failed: Counter,
    pub time_retentions: Counter,
    pub size_retentions: Counter,
    pub savepoint: SavepointMetrics,
    limit_bytes: Gauge,
    limit_percentage: Gauge,
    limit_seconds: Gauge,
}

/// How savepoints go.
pub(crate) struct SavepointMetrics {
    taken: Counter,
    pub failed: Counter,
    bytes: Gauge,
    duration: Gauge,
}

impl SavepointMetrics {
    fn new(registry: &Registry) -> Self {
        SavepointMetrics {
            taken: registry.counter(
                "ferula_tsdb_savepoints_total",
                "Savepoints of the head that were written, from which a start reads the log on.",
            ),
            failed: registry.counter(
                "ferula_tsdb_savepoints_failed_total",
                "Savepoints of the head that could not be written.",
            ),
            bytes: registry.gauge("ferula_tsdb_savepoint_bytes", "Length of the last savepoint."),
            duration: registry.gauge(
                "ferula_tsdb_savepoint_duration_seconds",
                "How long it took to write the last savepoint.",
            ),
        }
    }

    pub fn taken(&self, bytes: u64, took: Duration) {
        self.taken.inc();
        self.bytes.set(bytes as f64);
        self.duration.set(took.as_secs_f64());
    }
}

/// What the chunks of first blocks are like.
pub(crate) struct ChunkMetrics {
    bytes: Histogram,
    samples: Histogram,
    range: Histogram,
}

impl ChunkMetrics {
    pub fn observe(&self, chunk: &BlockChunk) {
        self.bytes.observe(chunk.data.len() as f64);
        self.samples.observe(f64::from(chunk.sample_count()));
        // Milliseconds, though the name says seconds: so does Prometheus, and its buckets are made for that.
        self.range.observe((chunk.max_time - chunk.min_time) as f64);
    }
}

/// `count` bounds from `first` on, each `factor` times the one before.
fn exponential(first: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(first), |bound| Some(bound * factor)).take(count).collect()
}

impl MaintenanceMetrics {
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help);
        let gauge = |name: &str, help: &str| registry.gauge(name, help);
        let summary = |name: &str, help: &str, quantiles: &[f64]| registry.summary(name, help, quantiles);
        let histogram = |name: &str, help: &str, bounds: &[f64]| registry.histogram(name, help, bounds);
        MaintenanceMetrics {
            savepoint: SavepointMetrics::new(registry),
            clean_start: gauge(
                "prometheus_tsdb_clean_start",
                "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
            ),
            replay_duration: gauge(
                "prometheus_tsdb_data_replay_duration_seconds",
                "Time taken to replay the data on disk.",
            ),
            chunk_corruptions: counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Total number of memory-mapped chunk corruptions.",
            ),
            wal_corruptions: counter(
                "prometheus_tsdb_wal_corruptions_total",
                "Total number of WAL corruptions.",
            ),
            compactions_triggered: counter(
                "prometheus_tsdb_compactions_triggered_total",
                "Total number of triggered compactions for the partition.",
            ),
            compactions: counter(
                "prometheus_tsdb_compactions_total",
                "Total number of compactions that were executed for the partition.",
            ),
            compactions_failed: counter(
                "prometheus_tsdb_compactions_failed_total",
                "Total number of compactions that failed for the partition.",
            ),
            compaction_duration: histogram(
                "prometheus_tsdb_compaction_duration_seconds",
                "Duration of compaction runs",
                &exponential(1.0, 2.0, 14),
            ),
            populating_block: gauge(
                "prometheus_tsdb_compaction_populating_block",
                "Set to 1 when a block is currently being written to the disk.",
            ),
            vertical_compactions: counter(
                "prometheus_tsdb_vertical_compactions_total",
                "Total number of compactions done on overlapping blocks.",
            ),
            chunks: ChunkMetrics {
                bytes: histogram(
                    "prometheus_tsdb_compaction_chunk_size_bytes",
                    "Final size of chunks on their first compaction",
                    &exponential(32.0, 1.5, 12),
                ),
                samples: histogram(
                    "prometheus_tsdb_compaction_chunk_samples",
                    "Final number of samples on their first compaction",
                    &exponential(4.0, 1.5, 12),
                ),
                range: histogram(
                    "prometheus_tsdb_compaction_chunk_range_seconds",
                    "Final time range of chunks on their first compaction",
                    &exponential(100.0, 4.0, 10),
                ),
            },
            stale_series: gauge(
                "prometheus_tsdb_head_stale_series",
                "Total number of stale series in the head block.",
            ),
            stale_compactions: counter(
                "prometheus_tsdb_stale_series_compactions_triggered_total",
                "Total number of triggered stale series compactions.",
            ),
            stale_compactions_failed: counter(
                "prometheus_tsdb_stale_series_compactions_failed_total",
                "Total number of stale series compactions that failed.",
            ),
            stale_compaction_duration: histogram(
                "prometheus_tsdb_stale_series_compaction_duration_seconds",
                "Duration of stale series compaction runs.",
                &exponential(1.0, 2.0, 14),
            ),
            tombstone_cleanup: histogram(
                "prometheus_tsdb_tombstone_cleanup_seconds",
                "The time taken to recompact blocks to remove tombstones.",
                &[],
            ),
            head_truncations: counter(
                "prometheus_tsdb_head_truncations_total",
                "Total number of head truncations attempted.",
            ),
            head_truncations_failed: counter(
                "prometheus_tsdb_head_truncations_failed_total",
                "Total number of head truncations that failed.",
            ),
            head_gc_duration: summary(
                "prometheus_tsdb_head_gc_duration_seconds",
                "Runtime of garbage collection in the head block.",
                &[],
            ),
            log_syncs: summary(
                "prometheus_tsdb_wal_fsync_duration_seconds",
                "Duration of write log fsync.",
                &[0.5, 0.9, 0.99],
            ),
            log_truncations: counter(
                "prometheus_tsdb_wal_truncations_total",
                "Total number of write log truncations attempted.",
            ),
            log_truncations_failed: counter(
                "prometheus_tsdb_wal_truncations_failed_total",
                "Total number of write log truncations that failed.",
            ),
            log_truncate_duration: summary(
                "prometheus_tsdb_wal_truncate_duration_seconds",
                "Duration of WAL truncation.",
                &[],
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
            size_retentions: counter(
                "prometheus_tsdb_size_retentions_total",
                "The number of times that blocks were deleted because the maximum number of bytes was exceeded.",
            ),
            limit_bytes: gauge(
                "prometheus_tsdb_retention_limit_bytes",
                "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
            ),
            limit_percentage: gauge(
                "prometheus_tsdb_retention_limit_percentage",
                "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled",
            ),
            limit_seconds: gauge(
                "prometheus_tsdb_retention_limit_seconds",
                "How long to retain samples in storage.",
            ),
        }
    }

    /// Shows how much is kept.
    pub fn limits(&self, retention: &Retention) {
        self.limit_bytes.set(retention.bytes_max as f64);
        self.limit_percentage.set(retention.percentage.max(0.0));
        self.limit_seconds.set(retention.duration_ms as f64 / 1000.0);
    }
}
