//! The database: the whole public face.
//!
//! ```text
//! Db::open ──▶ lock, leftovers, chunks_head, log ──▶ Head
//! appender / snapshot                              any thread, any time
//! maintain(now), sync                              called by the binary: each minute, and soon after a write
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ferula_chunk::FloatEncoding;
use ferula_model::{Exemplar, LabelSet, Matcher, MetricMetadata, TimeRange};
use ferula_storage::{Appendable, Appender, Queryable, Snapshot, StorageError};
use ferula_telemetry::Registry;

use crate::Stopwatch;
use crate::blob::Access;
use crate::block::{
    Block, BlockError, BlockOptions, CREATION_SUFFIX, DELETION_SUFFIX, HINT_OUT_OF_ORDER,
    HINT_SELECTED_SERIES, HINT_STALE_SERIES, Ulid, block_dirs, repair_index_versions,
};
use crate::chunk_snapshot;
use crate::disk::{Disk, FaultDisk, FileLock, create_dir_durable};
use crate::head::{Cardinality, ChunkRules, Head, HeadAppender, HeadParts, Limits, Metrics};
use crate::head_chunks;
use crate::maintain::{Pending, is_of_future};
use crate::metrics::{MaintenanceMetrics, register_gauges};
use crate::querier::snapshot::DbSnapshot;
use crate::recovery::{Progress, Recovered, Recovery, SavepointFiles};
use crate::retention::Retention;
use crate::savepoint::SAVEPOINT_DIR;
use crate::savepoint::segments::Segments;
use crate::sync::{Mutex, rank};
use crate::view::Views;
use crate::wal::ahead::ReplayHelper;
use crate::wal::format::{CHECKPOINT_PREFIX, REPAIR_SUFFIX, TEMPORARY_SUFFIX};
use crate::wal::group::{GroupLog, UnsyncedHook};
use crate::wal::{Compression, SyncTimer, Writer, WriterOptions};

/// How a database works. The defaults are Prometheus'.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the shortest blocks and bound of head chunks, in milliseconds.
    pub min_block_duration_ms: i64,
    /// Length of the longest blocks, in milliseconds.
    pub max_block_duration_ms: i64,
    /// Samples that a chunk of floats should have.
    pub samples_per_chunk: u16,
    /// Compression of the log.
    pub wal_compression: Compression,
    /// Size at which a segment of the log is full, in bytes.
    pub wal_segment_bytes: u64,
    /// Told when a log begins to hold what [`Db::sync`] has to make safe.
    pub on_unsynced: UnsyncedHook,
    /// How far back out-of-order samples may be, in milliseconds; 0 for not at all.
    pub out_of_order_window_ms: i64,
    /// Out-of-order samples of a series that stay in memory.
    pub out_of_order_samples_max: usize,
    /// Exemplars that are kept; 0 for none.
    pub exemplars_max: usize,
    /// How new chunks of floats are written.
    pub floats: FloatEncoding,
    /// Whether start timestamps are logged, and kept in chunks: needs [`FloatEncoding::Xor2`].
    pub start_timestamps: bool,
    /// Whether new chunks of histograms have start timestamps. Prometheus may change these encodings.
    pub histogram_start_timestamps: bool,
    /// Whether a start timestamp becomes a sample of its own, of value zero.
    pub start_as_zero_sample: bool,
    /// New series are refused when the head has so many.
    pub series_max: Option<u64>,
    /// New series are refused when the head takes so many bytes of memory, by its own estimate.
    pub head_bytes_max: Option<u64>,
    /// Whether the folder is locked against other processes.
    pub lock_file: bool,
    /// How much is kept.
    pub retention: Retention,
    /// How blocks are written.
    pub blocks: BlockOptions,
    /// How the files of blocks are read.
    pub access: Access,
    /// Whether blocks that overlap are merged.
    pub overlapping_compaction: bool,
    /// A list of blocks that were uploaded; fresh ones that are not in it are not compacted.
    pub delay_compact_file: Option<PathBuf>,
    /// Blocks of others are looked for so often, in milliseconds.
    pub reload_interval_ms: i64,
    /// What time it is, in milliseconds. A block that begins later is of the future, and does not say where the head
    /// begins: else everything in the log would count as being in blocks. Without it no block is.
    pub opened_at_ms: Option<i64>,
    /// Measures how long things take, for metrics.
    pub stopwatch: Stopwatch,
    /// A second thread for reading the log at start.
    pub replay_helper: ReplayHelper,
    /// Whether there are savepoints: used at start, and taken when the caller asks and at the end.
    pub savepoints: bool,
}

const HOUR_MS: i64 = 3_600_000;

impl Default for Options {
    fn default() -> Self {
        Options {
            min_block_duration_ms: 2 * HOUR_MS,
            max_block_duration_ms: 31 * 24 * HOUR_MS,
            samples_per_chunk: 120,
            wal_compression: Compression::default(),
            wal_segment_bytes: crate::wal::format::SEGMENT_BYTES,
            on_unsynced: UnsyncedHook::default(),
            out_of_order_window_ms: 0,
            out_of_order_samples_max: 32,
            exemplars_max: 0,
            floats: FloatEncoding::Xor,
            start_timestamps: false,
            histogram_start_timestamps: false,
            start_as_zero_sample: false,
            series_max: None,
            head_bytes_max: None,
            lock_file: true,
            retention: Retention { duration_ms: 15 * 24 * HOUR_MS, ..Retention::default() },
            blocks: BlockOptions::default(),
            access: Access::Mapped,
            overlapping_compaction: true,
            delay_compact_file: None,
            reload_interval_ms: 60_000,
            opened_at_ms: None,
            stopwatch: Stopwatch::default(),
            replay_helper: ReplayHelper::default(),
            savepoints: false,
        }
    }
}

impl Options {
    /// The defaults, but start timestamps are kept: in the log, and in chunks of every kind of sample.
    pub fn with_start_timestamps() -> Self {
        Options {
            floats: FloatEncoding::Xor2,
            start_timestamps: true,
            histogram_start_timestamps: true,
            ..Options::default()
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("lock DB directory: resource temporarily unavailable: {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// An option cannot be.
    #[error("{0}")]
    Options(String),
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// A database of time series.
pub struct Db {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) head: Arc<Head>,
    pub(crate) views: Arc<Views>,
    pub(crate) pending: Mutex<Pending, rank::Maintenance>,
    pub(crate) retention: Mutex<Retention, rank::Retention>,
    pub(crate) maintenance: MaintenanceMetrics,
    /// Bits of the share of ended series at which they leave the head.
    pub(crate) stale_threshold: AtomicU64,
    recovered: Recovered,
    lock: Mutex<Option<FileLock>, rank::LockFile>,
}

/// Name of the folder of the log.
pub const WAL_DIR: &str = "wal";
/// Name of the folder of the out-of-order log.
pub const WBL_DIR: &str = "wbl";
/// Name of the folder of full chunks.
pub const CHUNKS_HEAD_DIR: &str = "chunks_head";
const LOCK_FILE: &str = "lock";

impl Db {
    /// Opens the database in `dir`, which is made when it is not there, and brings back what its log holds.
    /// `report` hears what is being done; metrics go to `registry`.
    pub fn open(
        dir: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
        registry: &Registry,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        check(&options)?;
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |error| OpenError::Io { path, error }
        };
        let maintenance = MaintenanceMetrics::new(registry);
        maintenance.limits(&options.retention);
        create_dir_durable(&*disk, dir).map_err(at(dir))?;
        let lock = take_lock(&*disk, dir, &options, report)?;
        maintenance.clean_start.set(match &lock {
            None => -1.0,
            Some(lock) if lock.was_there => 0.0,
            Some(_) => 1.0,
        });
        remove_leftovers(&*disk, dir).map_err(at(dir))?;
        let as_io = |error: BlockError| OpenError::Io {
            path: dir.to_path_buf(),
            error: io::Error::other(error.to_string()),
        };
        for block in repair_index_versions(&*disk, dir).map_err(as_io)? {
            report(Progress::Damaged(format!(
                "block {block} had wrong versions, as Prometheus 2.1 wrote them; repaired"
            )));
        }
        let (blocks, in_order_end) = open_blocks(&disk, dir, &options, report).map_err(|error| {
            OpenError::Io { path: dir.to_path_buf(), error: io::Error::other(error.to_string()) }
        })?;
        let (wal, chunks_dir) = (dir.join(WAL_DIR), dir.join(CHUNKS_HEAD_DIR));
        let replay_start = options.stopwatch.elapsed();
        let segments = Arc::new(Mutex::new(Segments::new(disk.clone(), dir.join(SAVEPOINT_DIR))));
        let loaded = head_chunks::load(&*disk, &chunks_dir).map_err(at(&chunks_dir))?;
        let chunks_damaged = loaded.damage.is_some();
        if let Some(damage) = loaded.damage {
            maintenance.chunk_corruptions.inc();
            report(Progress::Damaged(damage));
        }
        let mut head = Head::new(HeadParts {
            rules: ChunkRules {
                range: options.min_block_duration_ms,
                samples: options.samples_per_chunk,
                floats: options.floats,
                start_timestamps: options.start_timestamps,
                histogram_starts: options.histogram_start_timestamps,
            },
            limits: Limits { series: options.series_max, bytes: options.head_bytes_max },
            floor: in_order_end,
            out_of_order_samples_max: options.out_of_order_samples_max,
            out_of_order_window: options.out_of_order_window_ms,
            exemplars_max: options.exemplars_max,
            start_as_zero_sample: options.start_as_zero_sample,
            log: open_log(&disk, &wal, &options, Some((&maintenance, &segments))).map_err(at(&wal))?,
            chunks: head_chunks::Store::new(disk.clone(), chunks_dir.clone(), &loaded.files),
            metrics: Metrics::new(registry),
        });
        let mut replay = Recovery::new(head.replay(loaded.chunks), options.replay_helper.clone());
        replay.chunk_snapshot(&*disk, dir, &wal, report).map_err(at(dir))?;
        let start = if options.savepoints {
            let files = SavepointFiles {
                disk: &disk,
                data_dir: dir,
                wal: &wal,
                chunks_dir: &chunks_dir,
                chunks_damaged,
            };
            replay.savepoint(&files, &mut segments.lock(), report).map_err(at(dir))?
        } else {
            None
        };
        replay.log(&*disk, &wal, start, report).map_err(at(&wal))?;
        let wbl = dir.join(WBL_DIR);
        replay.out_of_order_log(&*disk, &wbl, report).map_err(at(&wbl))?;
        let recovered = replay.finish().map_err(at(dir))?;
        maintenance
            .replay_duration
            .set(options.stopwatch.elapsed().saturating_sub(replay_start).as_secs_f64());
        maintenance.wal_corruptions.add(recovered.corruptions);
        let (head, views) = (Arc::new(head), Arc::new(Views::new(blocks, in_order_end)));
        register_gauges(registry, &head, &views, &disk, dir);
        let db = Db {
            disk,
            dir: dir.to_path_buf(),
            head,
            views,
            pending: Mutex::default(),
            retention: Mutex::new(options.retention),
            maintenance,
            stale_threshold: AtomicU64::default(),
            recovered,
            lock: Mutex::new(lock),
            options,
        };
        db.set_out_of_order_window(db.options.out_of_order_window_ms).map_err(at(&wbl))?;
        db.update_series_state().map_err(at(&wal))?;
        Ok(db)
    }

    /// A database that lives in memory only.
    pub fn in_memory(options: Options) -> Result<Self, OpenError> {
        let disk = Arc::new(FaultDisk::default());
        Db::open(Path::new("/db"), options, disk, &Registry::new(), &mut |_| {})
    }

    /// An appender; see [`Appendable`].
    pub fn head_appender(&self) -> HeadAppender<'_> {
        HeadAppender::new(&self.head)
    }

    /// What the start found.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Why ingestion stands still, if it does; reading goes on.
    pub fn ingestion_failure(&self) -> Option<String> {
        self.head.log_failure().map(|error| format!("write-ahead log: {error}"))
    }

    /// Makes what was committed survive a power loss. Says whether there was something to do. To be called soon after
    /// [`Options::on_unsynced`] was, and again when it failed.
    pub fn sync(&self) -> io::Result<bool> {
        self.head.sync()
    }

    /// Changes how far back out-of-order samples and exemplars may be, in milliseconds; 0 for not at all.
    pub fn set_out_of_order_window(&self, window_ms: i64) -> io::Result<()> {
        self.head.set_out_of_order_window(window_ms, || {
            open_log(&self.disk, &self.dir.join(WBL_DIR), &self.options, None)
        })
    }

    /// Changes how new chunks of floats are written; `None` for what the database was opened with.
    ///
    /// # Errors
    /// When start timestamps are stored and the encoding has no room for them.
    pub fn set_float_encoding(&self, encoding: Option<FloatEncoding>) -> Result<(), OpenError> {
        let encoding = encoding.unwrap_or(self.options.floats);
        check_float_encoding(encoding, self.options.start_timestamps)?;
        self.head.set_float_encoding(encoding);
        Ok(())
    }

    /// How blocks are written now.
    pub(crate) fn block_options(&self) -> BlockOptions {
        BlockOptions { floats: self.head.float_encoding(), ..self.options.blocks }
    }

    /// Changes how many exemplars are kept.
    pub fn set_exemplars_max(&self, max: usize) {
        self.head.set_exemplars_max(max);
    }

    /// Changes how much is kept.
    pub fn set_retention(&self, retention: Retention) {
        self.maintenance.limits(&retention);
        *self.retention.lock() = retention;
    }

    /// The blocks, in order of their start.
    pub fn blocks(&self) -> Arc<[Arc<Block>]> {
        self.views.get().blocks
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The largest labels of the head, for `/api/v1/status/tsdb`; `label` is the metric name, mostly.
    pub fn cardinality(&self, label: &str, limit: usize) -> Cardinality {
        self.head.cardinality(label, limit)
    }

    /// First time and number of samples of each in-order chunk of a series in the head, for tools and tests.
    pub fn head_chunks(&self, labels: &LabelSet) -> Vec<(i64, u16)> {
        self.head.chunks_of(labels)
    }

    /// Metadata of the series with these labels, when it was appended.
    pub fn series_metadata(&self, labels: &LabelSet) -> Option<MetricMetadata> {
        self.head.metadata(labels)
    }

    /// Writes everything that is still in memory only, and takes no more commits. Dropping the database without
    /// it loses nothing that was committed, but the next start has to read more.
    pub fn close(&self) -> io::Result<()> {
        if !self.head.close() {
            return Ok(());
        }
        let flushed = self.head.flush();
        if let Err(error) = self.take_savepoint(&mut self.pending.lock()) {
            ferula_telemetry::warn!(
                "No savepoint was written, the next start reads the whole log",
                component = "tsdb",
                err = error
            );
        }
        let released = self.lock.lock().take();
        if released.is_some() {
            self.disk.remove_file(&self.dir.join(LOCK_FILE))?;
        }
        flushed
    }
}

fn check_float_encoding(encoding: FloatEncoding, start_timestamps: bool) -> Result<(), OpenError> {
    if start_timestamps && encoding == FloatEncoding::Xor {
        return Err(OpenError::Options(
            "float chunk encoding \"xor\" is incompatible with start-timestamp storage; XOR chunks do not store \
             start timestamps, use \"xor2\""
                .to_owned(),
        ));
    }
    Ok(())
}

fn check(options: &Options) -> Result<(), OpenError> {
    const DAY_MS: i64 = 24 * HOUR_MS;
    let refuse = |text: &str| Err(OpenError::Options(text.to_owned()));
    if options.min_block_duration_ms <= 0 || options.min_block_duration_ms > 49 * DAY_MS {
        return refuse("the minimum block duration must be between 1ms and 49d");
    }
    if options.max_block_duration_ms < options.min_block_duration_ms {
        return refuse("the maximum block duration is below the minimum block duration");
    }
    if !(4..=8192).contains(&options.samples_per_chunk) {
        return refuse("samples per chunk must be between 4 and 8192");
    }
    let page = crate::wal::format::PAGE_BYTES as u64;
    if options.wal_segment_bytes < page || !options.wal_segment_bytes.is_multiple_of(page) {
        return refuse("invalid segment size: it must be a multiple of 32KiB");
    }
    check_float_encoding(options.floats, options.start_timestamps)?;
    if !(1..=255).contains(&options.out_of_order_samples_max) {
        return refuse("OOOCapMax must be between 1 and 255");
    }
    Ok(())
}

fn take_lock(
    disk: &dyn Disk,
    dir: &Path,
    options: &Options,
    report: &mut dyn FnMut(Progress),
) -> Result<Option<FileLock>, OpenError> {
    if !options.lock_file {
        return Ok(None);
    }
    let path = dir.join(LOCK_FILE);
    match disk.lock(&path) {
        Ok(lock) => {
            if lock.was_there {
                report(Progress::LockReplaced(path));
            }
            Ok(Some(lock))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OpenError::Locked(dir.to_path_buf())),
        Err(error) => Err(OpenError::Io { path, error }),
    }
}

/// Removes what a process left unfinished: folders of blocks, checkpoints and snapshots whose names say so, and our own
/// half-repaired segments. Everything else with such a name is somebody else's.
fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    const SUFFIXES: [&str; 3] = [CREATION_SUFFIX, DELETION_SUFFIX, TEMPORARY_SUFFIX];
    let stem =
        |name: &'_ str| SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).map(str::to_owned);
    for dir in [dir.to_path_buf(), dir.join(WAL_DIR), dir.join(WBL_DIR)] {
        let entries = match disk.list(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let Some(stem) = stem(&entry.name) else { continue };
            let path = dir.join(&entry.name);
            let of_folder = stem.parse::<Ulid>().is_ok()
                || stem.starts_with(CHECKPOINT_PREFIX)
                || stem.starts_with(chunk_snapshot::PREFIX);
            if entry.stat.is_dir && of_folder {
                disk.remove_dir_all(&path)?;
            } else if !entry.stat.is_dir && stem.ends_with(REPAIR_SUFFIX) {
                disk.remove_file(&path)?;
            }
        }
    }
    Ok(())
}

/// Opens the blocks of a folder. Also says where in-order samples of the head begin: at the end of the newest block
/// that was made of such.
fn open_blocks(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
    report: &mut dyn FnMut(Progress),
) -> Result<(Vec<Arc<Block>>, i64), BlockError> {
    let mut blocks = Vec::new();
    for dir in block_dirs(&**disk, dir)? {
        match Block::open(disk, &dir, options.access) {
            Ok(block) => blocks.push(Arc::new(block)),
            // Left alone: nothing is deleted on doubt.
            Err(error) => report(Progress::Damaged(error.to_string())),
        }
    }
    let of_part_of_head = |block: &Block| {
        let meta = block.meta();
        [HINT_OUT_OF_ORDER, HINT_STALE_SERIES, HINT_SELECTED_SERIES]
            .iter()
            .any(|h| meta.compaction.has_hint(h))
    };
    let of_future =
        |block: &Block| options.opened_at_ms.is_some_and(|now| is_of_future(&block.meta(), now, options));
    let ends = blocks.iter().filter(|block| !of_part_of_head(block) && !of_future(block));
    let ends = ends.map(|block| block.meta().max_time);
    let in_order_end = ends.max().unwrap_or(i64::MIN);
    Ok((blocks, in_order_end))
}

/// With `of_head`, it is the log of all samples: syncs are measured, and savepoints depend on its segments.
fn open_log(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
    of_head: Option<(&MaintenanceMetrics, &Arc<Mutex<Segments, rank::Segments>>)>,
) -> io::Result<GroupLog> {
    let writer_options =
        WriterOptions { compression: options.wal_compression, segment_bytes: options.wal_segment_bytes };
    let mut writer = Writer::open(disk.clone(), dir.to_path_buf(), writer_options)?;
    if let Some((metrics, segments)) = of_head {
        if options.savepoints {
            let segments = segments.clone();
            writer.on_begin(move |segment, first| segments.lock().add(segment, first));
        }
        let (stopwatch, durations) = (options.stopwatch.clone(), metrics.log_syncs.clone());
        writer.time_syncs(SyncTimer { stopwatch, durations });
    }
    Ok(GroupLog::new(writer, options.start_timestamps, options.on_unsynced.clone()))
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(self.head_appender())
    }
}

impl Queryable for Db {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        let pin = self.head.pin();
        Ok(Box::new(DbSnapshot::new(&self.head, pin, &self.views.get(), range)))
    }

    fn exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<Vec<(LabelSet, Vec<Exemplar>)>, StorageError> {
        Ok(self.head.select_exemplars(range, matcher_sets))
    }
}
