//! Metrics of the database beside those of its head, by Prometheus' names.
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

/// Registers the gauges that are read off head, log and blocks when somebody asks.
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
        "Size of the log of out-of-order samples.",
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
        "Time of the oldest in-order sample of the head, in milliseconds since the epoch; the largest number while there is none.",
        |head| head.raw_times().0 as f64,
    );
    gauge(
        "prometheus_tsdb_head_max_time",
        "Time of the newest in-order sample of the head, in milliseconds since the epoch; the smallest number while there is none.",
        |head| head.raw_times().1 as f64,
    );
    gauge(
        "prometheus_tsdb_head_min_time_seconds",
        "Time of the oldest in-order sample of the head, in seconds since the epoch. When it stays hours behind, blocks are not being cut.",
        |head| head.raw_times().0 as f64 / 1000.0,
    );
    gauge(
        "prometheus_tsdb_head_max_time_seconds",
        "Time of the newest in-order sample of the head, in seconds since the epoch. Ahead of the clock, current samples are refused.",
        |head| head.raw_times().1 as f64 / 1000.0,
    );
    gauge(
        "ferula_tsdb_head_bytes",
        "Memory that the head takes, estimated from its series and their labels.",
        |head| head.bytes() as f64,
    );
    gauge(
        "ferula_tsdb_head_limit_bytes",
        "Estimated memory of the head at which new series are refused; 0 for no limit.",
        |head| head.limits().bytes.unwrap_or(0) as f64,
    );
    gauge(
        "ferula_tsdb_head_limit_series",
        "Number of series at which new ones are refused; 0 for no limit.",
        |head| head.limits().series.unwrap_or(0) as f64,
    );
    gauge(
        "prometheus_tsdb_isolation_low_watermark",
        "Number of the oldest commit that is under way, or that a reader began beside. Far below the high watermark: something does not end.",
        |head| head.isolation_marks().0 as f64,
    );
    gauge(
        "prometheus_tsdb_isolation_high_watermark",
        "Number of the newest commit that was begun since the start.",
        |head| head.isolation_marks().1 as f64,
    );
    gauge("prometheus_tsdb_head_chunks_storage_size_bytes", "Size of the chunks_head directory.", |head| {
        head.chunk_file_bytes() as f64
    });
    let moved = head.clone();
    registry.counter_func(
        "prometheus_tsdb_mmap_chunks_total",
        "Full chunks that were moved from memory to chunks_head.",
        move || moved.chunks_moved() as f64,
    );
}

/// Registers what the log in `dir` tells about itself.
pub(crate) fn of_log(registry: &Registry, log: &Arc<GroupLog>, disk: &Arc<dyn Disk>, dir: &Path) {
    let current = log.clone();
    registry.gauge_func(
        "prometheus_tsdb_wal_segment_current",
        "Number of the segment of the write-ahead log that is being written.",
        move || f64::from(current.segment()),
    );
    of_size(
        registry,
        "prometheus_tsdb_wal_storage_size_bytes",
        "Size of the write-ahead log with its checkpoint.",
        disk,
        dir.join(WAL_DIR),
    );
    let counter = |name: &str, help: &str, value: fn(&GroupLog) -> u64| {
        let log = log.clone();
        registry.counter_func(name, help, move || value(&log) as f64);
    };
    counter(
        "prometheus_tsdb_wal_page_flushes_total",
        "Writes to the write-ahead log. Commits that wait together share one.",
        |log| log.stats().page_flushes,
    );
    counter(
        "prometheus_tsdb_wal_completed_pages_total",
        "Pages of 32 KiB of the write-ahead log that became full.",
        |log| log.stats().completed_pages,
    );
    counter(
        "prometheus_tsdb_wal_writes_failed_total",
        "Writes to the write-ahead log that failed. Ingestion stops until one succeeds.",
        GroupLog::failed_writes,
    );
    counter(
        "prometheus_tsdb_wal_record_part_writes_total",
        "Parts of records that were written to the write-ahead log; a record that crosses pages has several.",
        |log| log.stats().record_parts,
    );
    counter(
        "prometheus_tsdb_wal_record_parts_bytes_written_total",
        "Bytes of those parts, headers included, as compressed.",
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
            help: "Bytes that compression kept out of the write-ahead log. Divide by itself plus the bytes written for the share.".to_owned(),
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
    gauge("prometheus_tsdb_exemplar_exemplars_in_storage", "Exemplars that are kept now.", |head| {
        head.exemplar_counts().stored as f64
    });
    gauge(
        "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
        "Series of which at least one exemplar is kept.",
        |head| head.exemplar_counts().series as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_max_exemplars",
        "Exemplars that there is room for; the oldest make room for new ones.",
        |head| head.exemplar_counts().max as f64,
    );
    gauge(
        "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
        "Time of the exemplar that makes room next, in seconds since the epoch. Exemplars reach back about this far.",
        |head| head.exemplar_counts().oldest.map_or(0.0, |at| at as f64 / 1000.0),
    );
}

fn of_blocks(registry: &Registry, head: &Arc<Head>, views: &Arc<Views>) {
    let loaded = views.clone();
    registry.gauge_func("prometheus_tsdb_blocks_loaded", "Blocks that are open for reading.", move || {
        loaded.get().blocks.len() as f64
    });
    let symbols = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_symbol_table_size_bytes",
        "Memory that the symbol tables of open blocks take.",
        move || {
            let blocks = symbols.get().blocks;
            blocks.iter().map(|block| block.index().symbol_table_bytes()).sum::<usize>() as f64
        },
    );
    let stored = views.clone();
    registry.gauge_func(
        "prometheus_tsdb_storage_blocks_bytes",
        "Size of all open blocks on disk.",
        move || stored.get().blocks.iter().map(|block| block.bytes()).sum::<u64>() as f64,
    );
    let lowest = |head: &Head, views: &Views| match views.get().blocks.first() {
        Some(block) => block.meta().min_time as f64,
        None => head.raw_times().0 as f64,
    };
    let (of_head, of_views) = (head.clone(), views.clone());
    registry.gauge_func(
        "prometheus_tsdb_lowest_timestamp",
        "Where the oldest stored data begins, in milliseconds since the epoch.",
        move || lowest(&of_head, &of_views),
    );
    let (of_head, of_views) = (head.clone(), views.clone());
    registry.gauge_func(
        "prometheus_tsdb_lowest_timestamp_seconds",
        "Where the oldest stored data begins, in seconds since the epoch.",
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
                "How long syncs of the write-ahead log took. Slow syncs mean that a power loss costs more.",
                &[0.5, 0.9, 0.99],
            ),
            truncations: registry.counter(
                "prometheus_tsdb_wal_truncations_total",
                "Times that old segments of the write-ahead log were removed.",
            ),
            truncations_failed: registry.counter(
                "prometheus_tsdb_wal_truncations_failed_total",
                "Times that old segments of the write-ahead log could not be removed.",
            ),
        }
    }
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
                "Savepoints of the head that were written. A start reads the log from the last one only.",
            ),
            failed: registry.counter(
                "ferula_tsdb_savepoints_failed_total",
                "Savepoints of the head that could not be written. Nothing is lost, but the next start reads more of the log.",
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
        // Milliseconds, though the name claims seconds: so it is in Prometheus, and its buckets are made for that.
        self.range.observe((chunk.max_time - chunk.min_time) as f64);
    }
}

/// `count` bounds from `first` on, each `factor` times the one before.
fn exponential(first: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(first), |bound| Some(bound * factor)).take(count).collect()
}

/// Metrics of Prometheus about what cannot happen here. They stay 0, for dashboards and alerts that name them.
fn never_used(registry: &Registry) {
    for (name, help) in [
        ("prometheus_tsdb_compactions_skipped_total", "Stays 0: compaction is never switched off."),
        (
            "prometheus_tsdb_head_series_not_found_total",
            "Stays 0: a series that a reader has found stays until the reader has gone.",
        ),
        (
            "prometheus_tsdb_selected_series_compactions_triggered_total",
            "Stays 0: nobody names series that should leave the head.",
        ),
        (
            "prometheus_tsdb_selected_series_compactions_failed_total",
            "Stays 0: nobody names series that should leave the head.",
        ),
    ] {
        registry.counter(name, help);
    }
    registry.histogram(
        "prometheus_tsdb_selected_series_compaction_duration_seconds",
        "Stays empty: nobody names series that should leave the head.",
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
            savepoint: SavepointMetrics::new(registry),
            clean_start: gauge(
                "prometheus_tsdb_clean_start",
                "Whether the last process closed the database: 1 yes, 0 it left its lock file behind, -1 no lock file is used.",
            ),
            replay_duration: gauge(
                "prometheus_tsdb_data_replay_duration_seconds",
                "How long the last start took to bring the head back from disk.",
            ),
            chunk_corruptions: counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Damaged files found in chunks_head. Their samples are read from the write-ahead log.",
            ),
            wal_corruptions: counter(
                "prometheus_tsdb_wal_corruptions_total",
                "Places of the logs that could not be read at the last start. Samples there are lost.",
            ),
            snapshot_replay_errors: counter(
                "prometheus_tsdb_snapshot_replay_error_total",
                "Copies of the head (a savepoint, or Prometheus' chunk snapshot) that the last start could not use. The log was read instead.",
            ),
            compactions_triggered: counter(
                "prometheus_tsdb_compactions_triggered_total",
                "Times that maintenance looked for something to compact.",
            ),
            compactions: counter(
                "prometheus_tsdb_compactions_total",
                "Blocks that were written or tried: from the head, by merging, and to free deleted samples.",
            ),
            compactions_failed: counter(
                "prometheus_tsdb_compactions_failed_total",
                "Compactions that failed. They are tried again; look at the log and at free disk space when it keeps rising.",
            ),
            compaction_duration: histogram(
                "prometheus_tsdb_compaction_duration_seconds",
                "How long it took to write a block.",
                &exponential(1.0, 2.0, 14),
            ),
            populating_block: gauge(
                "prometheus_tsdb_compaction_populating_block",
                "1 while a block is being written.",
            ),
            vertical_compactions: counter(
                "prometheus_tsdb_vertical_compactions_total",
                "Merges of blocks that overlap in time.",
            ),
            chunks: ChunkMetrics {
                bytes: histogram(
                    "prometheus_tsdb_compaction_chunk_size_bytes",
                    "Size of chunks in blocks that were cut from the head.",
                    &exponential(32.0, 1.5, 12),
                ),
                samples: histogram(
                    "prometheus_tsdb_compaction_chunk_samples",
                    "Samples of chunks in blocks that were cut from the head.",
                    &exponential(4.0, 1.5, 12),
                ),
                range: histogram(
                    "prometheus_tsdb_compaction_chunk_range_seconds",
                    "Time from the first to the last sample of chunks in blocks that were cut from the head; in milliseconds, despite the name.",
                    &exponential(100.0, 4.0, 10),
                ),
            },
            stale_series: gauge(
                "prometheus_tsdb_head_stale_series",
                "Series of the head that ended with a staleness marker, counted every minute.",
            ),
            stale_compactions: counter(
                "prometheus_tsdb_stale_series_compactions_triggered_total",
                "Times that so many series had ended that they left the head early.",
            ),
            stale_compactions_failed: counter(
                "prometheus_tsdb_stale_series_compactions_failed_total",
                "Times that ended series could not be written to blocks. They stay in the head.",
            ),
            stale_compaction_duration: histogram(
                "prometheus_tsdb_stale_series_compaction_duration_seconds",
                "How long it took to write ended series to blocks.",
                &exponential(1.0, 2.0, 14),
            ),
            tombstone_cleanup: histogram(
                "prometheus_tsdb_tombstone_cleanup_seconds",
                "How long it took to write blocks anew without their deleted samples.",
                &[],
            ),
            head_truncations: counter(
                "prometheus_tsdb_head_truncations_total",
                "Times that the head forgot what a block holds.",
            ),
            head_truncations_failed: counter(
                "prometheus_tsdb_head_truncations_failed_total",
                "Times that files of chunks_head could not be removed after that. Disk usage grows until it succeeds.",
            ),
            head_gc_duration: summary(
                "prometheus_tsdb_head_gc_duration_seconds",
                "How long it took to remove old chunks and empty series from the head.",
                &[],
            ),
            log: LogMetrics::new(registry),
            log_truncate_duration: summary(
                "prometheus_tsdb_wal_truncate_duration_seconds",
                "How long it took to checkpoint and remove old segments of the write-ahead log.",
                &[],
            ),
            checkpoint_creations: counter(
                "prometheus_tsdb_checkpoint_creations_total",
                "Checkpoints of the write-ahead log that were begun.",
            ),
            checkpoint_creations_failed: counter(
                "prometheus_tsdb_checkpoint_creations_failed_total",
                "Checkpoints of the write-ahead log that could not be written. The log grows until one can.",
            ),
            checkpoint_deletions: counter(
                "prometheus_tsdb_checkpoint_deletions_total",
                "Times that old checkpoints were removed.",
            ),
            checkpoint_deletions_failed: counter(
                "prometheus_tsdb_checkpoint_deletions_failed_total",
                "Times that old checkpoints could not be removed.",
            ),
            reloads: counter(
                "prometheus_tsdb_reloads_total",
                "Times that the data directory was searched for blocks that appeared, vanished or had their time.",
            ),
            reloads_failed: counter(
                "prometheus_tsdb_reloads_failures_total",
                "Searches in which a block could not be opened or removed.",
            ),
            time_retentions: counter(
                "prometheus_tsdb_time_retentions_total",
                "Times that blocks were deleted because they were older than the retention time.",
            ),
            size_retentions: counter(
                "prometheus_tsdb_size_retentions_total",
                "Times that blocks were deleted because the data took more than the retention size.",
            ),
            limit_bytes: gauge(
                "prometheus_tsdb_retention_limit_bytes",
                "Bytes that blocks, logs and head may take before old blocks are deleted; 0 for no limit.",
            ),
            limit_percentage: gauge(
                "prometheus_tsdb_retention_limit_percentage",
                "Share of the file system in percent that they may take before old blocks are deleted; 0 for no limit.",
            ),
            limit_seconds: gauge(
                "prometheus_tsdb_retention_limit_seconds",
                "How long samples are kept, in seconds; 0 for no limit.",
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
