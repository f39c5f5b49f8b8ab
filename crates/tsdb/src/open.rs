//! Opens a database: locks and cleans up the directory, opens blocks, and restores the head.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ferula_telemetry::Registry;

use crate::block::{
    Block, BlockError, CREATION_SUFFIX, DELETION_SUFFIX, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES,
    HINT_STALE_SERIES, Ulid, block_dirs, repair_index_versions,
};
use crate::chunk_snapshot;
use crate::close::LOCK_FILE;
use crate::db::Db;
use crate::disk::{Disk, FaultDisk, FileLock, create_dir_durable};
use crate::head::{ChunkRules, Head, HeadParts, Limits, Metrics};
use crate::head_chunks;
use crate::metrics::{MaintenanceMetrics, register_gauges};
use crate::options::{CHUNKS_HEAD_DIR, OpenError, Options, WAL_DIR, WBL_DIR};
use crate::recovery::{Progress, Recovered, Recovery, SavepointFiles};
use crate::savepoint::SAVEPOINT_DIR;
use crate::savepoint::segments::Segments;
use crate::series_state;
use crate::sync::{Mutex, rank};
use crate::view::Views;
use crate::wal::format::{CHECKPOINT_PREFIX, REPAIR_SUFFIX, TEMPORARY_SUFFIX};
use crate::wal::group::GroupLog;
use crate::wal::{SyncTimer, Writer};

type SharedSegments = Arc<Mutex<Segments, rank::Segments>>;

impl Db {
    /// Opens the database in `dir`, which is created if missing, and restores the content of its log.
    /// `report` receives progress; metrics are registered in `registry`.
    pub fn open(
        dir: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
        registry: &Registry,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        options.check()?;
        let maintenance = MaintenanceMetrics::new(registry);
        maintenance.limits(&options.retention);
        create_dir_durable(&*disk, dir).map_err(at(dir))?;
        let lock = options.lock_file.then(|| take_lock(&*disk, dir, report)).transpose()?;
        maintenance.clean_start.set(clean_start(lock.as_ref()));
        remove_leftovers(&*disk, dir).map_err(at(dir))?;
        for block in repair_index_versions(&*disk, dir)? {
            report(Progress::Damaged(format!(
                "block {block} had wrong versions, as Prometheus 2.1 wrote them; repaired"
            )));
        }
        let (blocks, floor) = open_blocks(&disk, dir, &options, report)?;
        let begun = options.stopwatch.elapsed();
        let start = HeadStart { disk: &disk, dir, options: &options, maintenance: &maintenance, floor };
        let (head, recovered) = start.head(registry, report)?;
        let took = options.stopwatch.elapsed().saturating_sub(begun);
        maintenance.replay_duration.set(took.as_secs_f64());
        maintenance.wal_corruptions.add(recovered.corruptions);
        let (head, views) = (Arc::new(head), Arc::new(Views::new(blocks, floor)));
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
            held: Default::default(),
            lock: Mutex::new(lock),
            options,
        };
        db.set_out_of_order_window(db.options.out_of_order_window_ms).map_err(at(&dir.join(WBL_DIR)))?;
        series_state::update(&*db.disk, dir, &db.head).map_err(at(&dir.join(WAL_DIR)))?;
        Ok(db)
    }

    /// A database that exists only in memory.
    pub fn in_memory(options: Options) -> Result<Self, OpenError> {
        let disk = Arc::new(FaultDisk::default());
        Db::open(Path::new("/db"), options, disk, &Registry::new(), &mut |_| {})
    }
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_path_buf();
    move |error| OpenError::Io { path, error }
}

/// The inputs for restoring a head.
struct HeadStart<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    options: &'a Options,
    maintenance: &'a MaintenanceMetrics,
    /// In-order samples before this time are in blocks.
    floor: i64,
}

impl HeadStart<'_> {
    /// Loads `chunks_head`, opens the log, and replays both.
    fn head(
        &self,
        registry: &Registry,
        report: &mut dyn FnMut(Progress),
    ) -> Result<(Head, Recovered), OpenError> {
        let (wal, chunks_dir) = (self.dir.join(WAL_DIR), self.dir.join(CHUNKS_HEAD_DIR));
        let segments = Segments::new(self.disk.clone(), self.dir.join(SAVEPOINT_DIR));
        let segments = Arc::new(Mutex::new(segments));
        let loaded = head_chunks::load(&**self.disk, &chunks_dir).map_err(at(&chunks_dir))?;
        let chunks_damaged = loaded.damage.is_some();
        if let Some(damage) = loaded.damage {
            self.maintenance.chunk_corruptions.inc();
            report(Progress::Damaged(damage));
        }
        let log = self.open_log(&wal, &segments).map_err(at(&wal))?;
        let chunks = head_chunks::Store::new(self.disk.clone(), chunks_dir.clone(), &loaded.files);
        let mut head = Head::new(self.parts(log, chunks, registry));
        let mut recovery = Recovery::new(head.replay(loaded.chunks), self.options.replay_helper.clone());
        if recovery.chunk_snapshot(&**self.disk, self.dir, &wal, report).map_err(at(self.dir))? {
            self.maintenance.snapshot_replay_errors.inc();
        }
        let mut start = None;
        if self.options.savepoints {
            let files = SavepointFiles {
                disk: self.disk,
                data_dir: self.dir,
                wal: &wal,
                chunks_dir: &chunks_dir,
                chunks_damaged,
            };
            let mut told = |progress: Progress| {
                if matches!(progress, Progress::SavepointIgnored(_)) {
                    self.maintenance.snapshot_replay_errors.inc();
                }
                report(progress);
            };
            start = recovery.savepoint(&files, &mut segments.lock(), &mut told).map_err(at(self.dir))?;
        }
        recovery.log(&**self.disk, &wal, start, report).map_err(at(&wal))?;
        let wbl = self.dir.join(WBL_DIR);
        recovery.out_of_order_log(&**self.disk, &wbl, report).map_err(at(&wbl))?;
        let recovered = recovery.finish().map_err(at(self.dir))?;
        Ok((head, recovered))
    }

    fn parts(&self, log: Arc<GroupLog>, chunks: head_chunks::Store, registry: &Registry) -> HeadParts {
        let options = self.options;
        HeadParts {
            rules: ChunkRules {
                range: options.min_block_duration_ms,
                samples: options.samples_per_chunk,
                floats: options.floats,
                start_timestamps: options.start_timestamps,
                histogram_starts: options.histogram_start_timestamps,
            },
            limits: Limits { series: options.series_max, bytes: options.head_bytes_max },
            floor: self.floor,
            out_of_order_samples_max: options.out_of_order_samples_max,
            out_of_order_window: options.out_of_order_window_ms,
            exemplars_max: options.exemplars_max,
            start_as_zero_sample: options.start_as_zero_sample,
            log,
            chunks,
            metrics: Metrics::new(registry),
        }
    }

    /// Opens the log of all samples. Its syncs are measured, and savepoints depend on its segments.
    fn open_log(&self, dir: &Path, segments: &SharedSegments) -> io::Result<Arc<GroupLog>> {
        let options = self.options;
        let mut writer = Writer::open(self.disk.clone(), dir.to_path_buf(), options.wal())?;
        if options.savepoints {
            let segments = segments.clone();
            writer.on_begin(move |segment, first| segments.lock().add(segment, first));
        }
        let (stopwatch, durations) = (options.stopwatch.clone(), self.maintenance.log.syncs.clone());
        writer.time_syncs(SyncTimer { stopwatch, durations });
        Ok(Arc::new(GroupLog::new(writer, options.start_timestamps, options.on_unsynced.clone())))
    }
}

/// Locks a directory against other processes.
pub(crate) fn take_lock(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut dyn FnMut(Progress),
) -> Result<FileLock, OpenError> {
    let path = dir.join(LOCK_FILE);
    match disk.lock(&path) {
        Ok(lock) => {
            if lock.was_there {
                report(Progress::LockReplaced(path));
            }
            Ok(lock)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OpenError::Locked(dir.to_path_buf())),
        Err(error) => Err(OpenError::Io { path, error }),
    }
}

/// The value of the metric for a clean start.
pub(crate) fn clean_start(lock: Option<&FileLock>) -> f64 {
    match lock {
        None => -1.0,
        Some(lock) if lock.was_there => 0.0,
        Some(_) => 1.0,
    }
}

/// Removes what a process left unfinished: directories of blocks, checkpoints and snapshots with certain
/// suffixes, and partially repaired segments. Everything else with such a name belongs to another program.
pub(crate) fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
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
            let of_directory = stem.parse::<Ulid>().is_ok()
                || stem.starts_with(CHECKPOINT_PREFIX)
                || stem.starts_with(chunk_snapshot::PREFIX);
            if entry.stat.is_dir && of_directory {
                disk.remove_dir_all(&path)?;
            } else if !entry.stat.is_dir && stem.ends_with(REPAIR_SUFFIX) {
                disk.remove_file(&path)?;
            }
        }
    }
    Ok(())
}

/// Opens the blocks of a directory. Also returns the start of the head's in-order samples: the end of the
/// newest block that was made of such samples.
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
            // Left alone: nothing is deleted in doubt.
            Err(error) => report(Progress::Damaged(error.to_string())),
        }
    }
    let of_part_of_head = |block: &Block| {
        let meta = block.meta();
        [HINT_OUT_OF_ORDER, HINT_STALE_SERIES, HINT_SELECTED_SERIES]
            .iter()
            .any(|h| meta.compaction.has_hint(h))
    };
    let block_ms = options.min_block_duration_ms;
    let of_future = |block: &Block| {
        options.opened_at.is_some_and(|now| block.meta().is_of_future(now.millis(), block_ms))
    };
    let ends = blocks.iter().filter(|block| !of_part_of_head(block) && !of_future(block));
    let ends = ends.map(|block| block.meta().max_time);
    let in_order_end = ends.max().unwrap_or(i64::MIN);
    Ok((blocks, in_order_end))
}
