//! Metrics of the database besides those of its head, under Prometheus' names.
//!
//! Durations are measured with the caller's [`Stopwatch`](crate::Stopwatch).

use std::path::{Path, PathBuf};
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
use crate::wal::group::GroupLog;

/// Registers the gauges that are computed from head, log and blocks when they are read.
pub(crate) fn register_gauges(
    registry: &Registry,
    head: &Arc<Head>,
    views: &Arc<Views>,
    disk: &Arc<dyn Disk>,
    dir: &Path,
) {
    of_head(registry, head);
    of_log(registry, head.log(), disk, dir);
    of_size(
        registry,
        "prometheus_tsdb_out_of_order_wbl_storage_size_bytes",
        "Size of the log of out-of-order samples, in bytes.",
        disk,
        dir.join(WBL_DIR),
    );
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
        "Timestamp of the oldest in-order sample in the head, in milliseconds since 1970; the largest possible number if there is none.",
        |head| head.raw_times().0 as f64,
    );
    gauge(
        "prometheus_tsdb_head_max_time",
        "Timestamp of the newest in-order sample in the head, in milliseconds since 1970; the smallest possible number if there is none.",
        |head| head.raw_times().1 as f64,
    );
    gauge(
        "prometheus_tsdb_head_min_time_seconds",
        "Timestamp of the oldest in-order sample in the head, in seconds since 1970. If it stays hours behind, blocks are not being cut.",
        |head| head.raw_times().0 as f64 / 1000.0,
    );
    gauge(
        "prometheus_tsdb_head_max_time_seconds",
        "Timestamp of the newest in-order sample in the head, in seconds since 1970. While it is far ahead of the clock, current samples are refused.",
        |head| head.raw_times().1 as f64 / 1000.0,
    );
    gauge(
        "ferula_tsdb_head_bytes",
        "Memory of the head in bytes, estimated from its series and their labels.",
        |head| head.bytes() as f64,
    );
    gauge(
        "ferula_tsdb_head_limit_bytes",
        "Memory of the head in bytes, by the same estimate, at which new series are refused; 0 means no limit.",
        |head| head.limits().bytes.unwrap_or(0) as f64,
    );
    gauge(
        "ferula_tsdb_head_limit_series",
        "Number of series in the head at which new ones are refused; 0 means no limit.",
        |head| head.limits().series.unwrap_or(0) as f64,
    );
    gauge(
        "prometheus_tsdb_isolation_low_watermark",
        "Number of the oldest commit in progress, now or when a current reader started. If it is far below the high watermark, a commit or reader is stuck.",
        |head| head.isolation_marks().0 as f64,
    );
    gauge("prometheus_tsdb_isolation_high_watermark", "Number of commits begun since the start.", |head| {
        head.isolation_marks().1 as f64
    });
    gauge(
        "prometheus_tsdb_head_chunks_storage_size_bytes",
        "Size of the chunks_head directory, in bytes.",
        |head| head.chunk_file_bytes() as f64,
    );
    let moved = head.clone();
    registry.counter_func(
        "prometheus_tsdb_mmap_chunks_total",
        "Full chunks moved from memory to chunks_head.",
        move || moved.chunks_moved() as f64,
    );
}

/// Registers what the log in `dir` tells about itself.
pub(crate) fn of_log(registry: &Registry, log: &Arc<GroupLog>, disk: &Arc<dyn Disk>, dir: &Path) {
    let current = log.clone();
    registry.gauge_func(
        "prometheus_tsdb_wal_segment_current",
        "Number of the current segment of the write-ahead log.",
        move || f64::from(current.segment()),
    );
    of_size(
        registry,
        "prometheus_tsdb_wal_storage_size_bytes",
        "Size of the write-ahead log with its checkpoint, in bytes.",
        disk,
        dir.join(WAL_DIR),
    );
    let counter = |name: &str, help: &str, value: fn(&GroupLog) -> u64| {
        let log = log.clone();
        registry.counter_func(name, help, move || value(&log) as f64);
    };
    counter(
        "prometheus_tsdb_wal_page_flushes_total",
        "Writes to the write-ahead log. Commits that wait at the same time share one.",
        |log| log.stats().page_flushes,
    );
    counter(
        "prometheus_tsdb_wal_completed_pages_total",
        "Completed pages (of 32 KiB) of the write-ahead log.",
        |log| log.stats().completed_pages,
    );
    counter(
        "prometheus_tsdb_wal_writes_failed_total",
        "Failed writes to the write-ahead log. Ingestion stops until one succeeds.",
        GroupLog::failed_writes,
    );
    counter(
        "prometheus_tsdb_wal_record_part_writes_total",
        "Parts of records written to the write-ahead log; a record that crosses pages has several.",
        |log| log.stats().record_parts,
    );
    counter(
        "prometheus_tsdb_wal_record_parts_bytes_written_total",
        "Compressed size of these parts including headers, in bytes.",
        |log| log.stats().record_part_bytes,
    );
    of_compression(registry, log);
}

fn of_size(registry: &Registry, name: &str, help: &str, disk: &Arc<dyn Disk>, dir: PathBuf) {
    let disk = disk.clone();
    registry.gauge_func(name, help, move || directory_bytes(&*disk, &dir) as f64);
}

fn of_compression(registry: &Registry, log: &Arc<GroupLog>) {
    let log = log.clone();
    registry.collector(move |families| {
        let compression = match log.compression() {
            Compression::None => return,
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        };
        families.push(MetricFamily {
            name: "prometheus_tsdb_wal_record_bytes_saved_total".to_owned(),
            help: "Bytes that compression saved in the write-ahead log. For the saved share, divide it by the sum of it and the bytes written.".to_owned(),
            kind: MetricType::Counter,
            metrics: vec![Metric {
                labels: LabelSet::from_pairs([("compression", compression)]),
                value: MetricValue::Single(log.stats().bytes_saved as f64),
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
    gauge("prometheus_tsdb_exemplar_exemplars_in_storage", "Current number of exemplars.", |head| {
        head.exemplar_counts().stored as f64
    });
    gauge(
        "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
        "Current number of series with exemplars.",
        |head| head.exemplar_counts().series as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_max_exemplars",
        "Maximum number of exemplars; new ones replace the oldest.",
        |head| head.exemplar_counts().max as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
        "Timestamp of the exemplar that will be replaced next, in seconds since 1970. Exemplars reach back approximately this far.",
        |head| head.exemplar_counts().oldest.map_or(0.0, |at| at as f64 / 1000.0),
    );
}

fn of_blocks(registry: &Registry, head: &Arc<Head>, views: &Arc<Views>) {
    let loaded = views.clone();
    registry.gauge_func("prometheus_tsdb_blocks_loaded", "Current number of open blocks.", move || {
        loaded.get().blocks.len() as f64
    });
    let symbols = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_symbol_table_size_bytes",
        "Memory of the symbol tables of open blocks, in bytes.",
        move || {
            let blocks = symbols.get().blocks;
            blocks.iter().map(|block| block.index().symbol_table_bytes()).sum::<usize>() as f64
        },
    );
    let stored = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_storage_blocks_bytes",
        "Size of all open blocks on disk, in bytes.",
        move || stored.get().blocks.iter().map(|block| block.bytes()).sum::<u64>() as f64,
    );
    let lowest = |head: &Head, views: &Views| match views.get().blocks.first() {
        Some(block) => block.meta().min_time as f64,
        None => head.raw_times().0 as f64,
    };
    let (of_head, of_views) = (head.clone(), views.clone());
    registry.gauge_func(
        "prometheus_tsdb_lowest_timestamp",
        "Start of the oldest stored data, in milliseconds since 1970.",
        move || lowest(&of_head, &of_views),
    );
    let (of_head, of_views) = (head.clone(), views.clone());
    registry.gauge_func(
        "prometheus_tsdb_lowest_timestamp_seconds",
        "Start of the oldest stored data, in seconds since 1970.",
        move || lowest(&of_head, &of_views) / 1000.0,
    );
}

/// Metrics of start, compaction, truncation and retention.
pub(crate) struct MaintenanceMetrics {
    pub clean_start: Gauge,
    pub replay_duration: Gauge,
    pub chunk_corruptions: Counter,
    pub wal_corruptions: Counter,
    pub snapshot_replay_errors: Counter,
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
    pub log: LogMetrics,
    pub log_truncate_duration: Summary,
    pub checkpoint_creations: Counter,
    pub checkpoint_creations_failed: Counter,
    pub checkpoint_deletions: Counter,
    pub checkpoint_deletions_failed: Counter,
    pub reloads: Counter,
    pub reloads_failed: Counter,
    pub time_retentions: Counter,
    pub size_retentions: Counter,
    pub scrubbed_blocks: Counter,
    pub scrubbed_bytes: Counter,
    pub savepoint: SavepointMetrics,
    limit_bytes: Gauge,
    limit_percentage: Gauge,
    limit_seconds: Gauge,
}

/// Syncs of a log, and removals of its segments.
pub(crate) struct LogMetrics {
    pub syncs: Summary,
    pub truncations: Counter,
    pub truncations_failed: Counter,
}

impl LogMetrics {
    pub fn new(registry: &Registry) -> Self {
        LogMetrics {
            syncs: registry.summary(
                "prometheus_tsdb_wal_fsync_duration_seconds",
                "Duration of syncs of the write-ahead log, in seconds. The slower they are, the more samples a power loss can cost.",
                &[0.5, 0.9, 0.99],
            ),
            truncations: registry.counter(
                "prometheus_tsdb_wal_truncations_total",
                "Attempts to remove old segments of the write-ahead log.",
            ),
            truncations_failed: registry.counter(
                "prometheus_tsdb_wal_truncations_failed_total",
                "Failed attempts to remove old segments of the write-ahead log.",
            ),
        }
    }
}

/// Metrics of savepoints.
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
                "Savepoints of the head that were written. A start reads only the part of the log after the last one.",
            ),
            failed: registry.counter(
                "ferula_tsdb_savepoints_failed_total",
                "Failed attempts to write a savepoint of the head. Nothing is lost, but the next start reads more of the log.",
            ),
            bytes: registry.gauge("ferula_tsdb_savepoint_bytes", "Size of the last savepoint, in bytes."),
            duration: registry.gauge(
                "ferula_tsdb_savepoint_duration_seconds",
                "Duration of writing the last savepoint, in seconds.",
            ),
        }
    }

    pub fn taken(&self, bytes: u64, took: Duration) {
        self.taken.inc();
        self.bytes.set(bytes as f64);
        self.duration.set(took.as_secs_f64());
    }
}

/// Properties of chunks in level-1 blocks.
pub(crate) struct ChunkMetrics {
    bytes: Histogram,
    samples: Histogram,
    range: Histogram,
}

impl ChunkMetrics {
    pub fn observe(&self, chunk: &BlockChunk) {
        self.bytes.observe(chunk.data.len() as f64);
        self.samples.observe(f64::from(chunk.sample_count()));
        // As in Prometheus, these are milliseconds although the name says seconds; the buckets are made for
        // that.
        self.range.observe((chunk.max_time - chunk.min_time) as f64);
    }
}

/// `count` bucket bounds from `first` on, each `factor` times the previous one.
fn exponential(first: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(first), |bound| Some(bound * factor)).take(count).collect()
}

/// Metrics of Prometheus for events that cannot occur here. They stay 0, for dashboards and alerts that use
/// them.
fn never_used(registry: &Registry) {
    for (name, help) in [
        ("prometheus_tsdb_compactions_skipped_total", "Always 0: compaction cannot be disabled."),
        (
            "prometheus_tsdb_head_series_not_found_total",
            "Always 0: a series that a reader has found stays until the reader has finished.",
        ),
        (
            "prometheus_tsdb_selected_series_compactions_triggered_total",
            "Always 0: selected series cannot be removed from the head.",
        ),
        (
            "prometheus_tsdb_selected_series_compactions_failed_total",
            "Always 0: selected series cannot be removed from the head.",
        ),
    ] {
        registry.counter(name, help);
    }
    registry.histogram(
        "prometheus_tsdb_selected_series_compaction_duration_seconds",
        "Always empty: selected series cannot be removed from the head.",
        &exponential(1.0, 2.0, 14),
    );
}

impl MaintenanceMetrics {
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help);
        let gauge = |name: &str, help: &str| registry.gauge(name, help);
        let summary = |name: &str, help: &str, quantiles: &[f64]| registry.summary(name, help, quantiles);
        let histogram = |name: &str, help: &str, bounds: &[f64]| registry.histogram(name, help, bounds);
        never_used(registry);
        MaintenanceMetrics {
            scrubbed_blocks: counter(
                "ferula_tsdb_scrubbed_blocks_total",
                "Blocks that were read in the background to find damage.",
            ),
            scrubbed_bytes: counter(
                "ferula_tsdb_scrubbed_bytes_total",
                "Bytes of blocks that were read in the background to find damage.",
            ),
            savepoint: SavepointMetrics::new(registry),
            clean_start: gauge(
                "prometheus_tsdb_clean_start",
                "1 if the last process closed the database cleanly, 0 if it left its lock file behind, -1 if no lock file is used.",
            ),
            replay_duration: gauge(
                "prometheus_tsdb_data_replay_duration_seconds",
                "Duration of restoring the head from disk at the last start, in seconds.",
            ),
            chunk_corruptions: counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Damaged files in chunks_head. Their samples are read from the write-ahead log instead.",
            ),
            wal_corruptions: counter(
                "prometheus_tsdb_wal_corruptions_total",
                "Damaged places in the logs at the last start. Their samples are lost.",
            ),
            snapshot_replay_errors: counter(
                "prometheus_tsdb_snapshot_replay_error_total",
                "Copies of the head (a savepoint, or Prometheus' chunk snapshot) that the last start could not use. The log was read instead.",
            ),
            compactions_triggered: counter(
                "prometheus_tsdb_compactions_triggered_total",
                "How often maintenance checked whether compaction is necessary.",
            ),
            compactions: counter(
                "prometheus_tsdb_compactions_total",
                "Attempts to write a block: from the head, by merging, or to free the space of deleted samples.",
            ),
            compactions_failed: counter(
                "prometheus_tsdb_compactions_failed_total",
                "Failed compactions. They are retried; if this keeps rising, check the log and the free disk space.",
            ),
            compaction_duration: histogram(
                "prometheus_tsdb_compaction_duration_seconds",
                "Duration of writing a block, in seconds.",
                &exponential(1.0, 2.0, 14),
            ),
            populating_block: gauge(
                "prometheus_tsdb_compaction_populating_block",
                "1 while a block is being written, otherwise 0.",
            ),
            vertical_compactions: counter(
                "prometheus_tsdb_vertical_compactions_total",
                "Merges of blocks that overlap in time.",
            ),
            chunks: ChunkMetrics {
                bytes: histogram(
                    "prometheus_tsdb_compaction_chunk_size_bytes",
                    "Size of chunks in blocks that were cut from the head, in bytes.",
                    &exponential(32.0, 1.5, 12),
                ),
                samples: histogram(
                    "prometheus_tsdb_compaction_chunk_samples",
                    "Number of samples per chunk in blocks that were cut from the head.",
                    &exponential(4.0, 1.5, 12),
                ),
                range: histogram(
                    "prometheus_tsdb_compaction_chunk_range_seconds",
                    "Time from the first to the last sample of chunks in blocks that were cut from the head, in milliseconds despite the name.",
                    &exponential(100.0, 4.0, 10),
                ),
            },
            stale_series: gauge(
                "prometheus_tsdb_head_stale_series",
                "Series in the head that ended with a staleness marker, counted every minute.",
            ),
            stale_compactions: counter(
                "prometheus_tsdb_stale_series_compactions_triggered_total",
                "How often ended series were written to blocks early because they exceeded the configured share.",
            ),
            stale_compactions_failed: counter(
                "prometheus_tsdb_stale_series_compactions_failed_total",
                "Failed attempts to write ended series to blocks. They stay in the head.",
            ),
            stale_compaction_duration: histogram(
                "prometheus_tsdb_stale_series_compaction_duration_seconds",
                "Duration of writing ended series to blocks, in seconds.",
                &exponential(1.0, 2.0, 14),
            ),
            tombstone_cleanup: histogram(
                "prometheus_tsdb_tombstone_cleanup_seconds",
                "Duration of rewriting blocks without their deleted samples, in seconds.",
                &[],
            ),
            head_truncations: counter(
                "prometheus_tsdb_head_truncations_total",
                "How often the head was truncated after a block was cut.",
            ),
            head_truncations_failed: counter(
                "prometheus_tsdb_head_truncations_failed_total",
                "How often files of chunks_head could not be removed after a truncation. Disk usage grows until this succeeds.",
            ),
            head_gc_duration: summary(
                "prometheus_tsdb_head_gc_duration_seconds",
                "Duration of removing old chunks and empty series from the head, in seconds.",
                &[],
            ),
            log: LogMetrics::new(registry),
            log_truncate_duration: summary(
                "prometheus_tsdb_wal_truncate_duration_seconds",
                "Duration of writing a checkpoint and removing old segments of the write-ahead log, in seconds.",
                &[],
            ),
            checkpoint_creations: counter(
                "prometheus_tsdb_checkpoint_creations_total",
                "Attempts to write a checkpoint of the write-ahead log.",
            ),
            checkpoint_creations_failed: counter(
                "prometheus_tsdb_checkpoint_creations_failed_total",
                "Failed attempts to write a checkpoint of the write-ahead log. The log grows until one succeeds.",
            ),
            checkpoint_deletions: counter(
                "prometheus_tsdb_checkpoint_deletions_total",
                "Attempts to remove old checkpoints.",
            ),
            checkpoint_deletions_failed: counter(
                "prometheus_tsdb_checkpoint_deletions_failed_total",
                "Failed attempts to remove old checkpoints.",
            ),
            reloads: counter(
                "prometheus_tsdb_reloads_total",
                "How often the data directory was checked for new, missing and expired blocks.",
            ),
            reloads_failed: counter(
                "prometheus_tsdb_reloads_failures_total",
                "Checks in which a block could not be opened or removed.",
            ),
            time_retentions: counter(
                "prometheus_tsdb_time_retentions_total",
                "How often blocks were deleted because they exceeded the retention time.",
            ),
            size_retentions: counter(
                "prometheus_tsdb_size_retentions_total",
                "How often blocks were deleted because the data exceeded the retention size.",
            ),
            limit_bytes: gauge(
                "prometheus_tsdb_retention_limit_bytes",
                "Size of blocks, logs and head, in bytes, above which old blocks are deleted; 0 means no limit.",
            ),
            limit_percentage: gauge(
                "prometheus_tsdb_retention_limit_percentage",
                "Share of the file system, in percent, above which old blocks are deleted; 0 means no limit.",
            ),
            limit_seconds: gauge(
                "prometheus_tsdb_retention_limit_seconds",
                "How long samples are kept, in seconds; 0 means no limit.",
            ),
        }
    }

    /// Updates the metrics of retention limits.
    pub fn limits(&self, retention: &Retention) {
        self.limit_bytes.set(retention.bytes_max as f64);
        self.limit_percentage.set(retention.percentage.max(0.0));
        self.limit_seconds.set(retention.duration_ms as f64 / 1000.0);
    }
}
