//! Opens a database: locks and cleans up the directory, opens blocks, and restores the head.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ferula_telemetry::Registry;

use crate::block::{
    Block, BlockError, BlockMeta, CREATION_SUFFIX, DELETION_SUFFIX, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES,
    HINT_STALE_SERIES, Ulid, block_damage, block_dirs, repair_index_versions,
};
use crate::chunk_snapshot;
use crate::close::LOCK_FILE;
use crate::damage::{Damage, DamageKind, DamageList, set_aside};
use crate::db::Db;
use crate::disk::{Disk, FaultDisk, FileLock, create_dir_durable};
use crate::head::{ChunkRules, Head, HeadParts, Limits, Metrics};
use crate::head_chunks::{self, ChunkPlace};
use crate::metrics::{MaintenanceMetrics, register_gauges};
use crate::obstacles::clear_the_way;
use crate::options::{CHUNKS_HEAD_DIR, OpenError, Options, WAL_DIR, WBL_DIR};
use crate::recovery::{LogFiles, Progress, Recovered, Recovery, SavepointFiles, rebuild_checkpoint};
use crate::retention::replaced;
use crate::savepoint::SAVEPOINT_DIR;
use crate::savepoint::in_blocks::{self, IN_BLOCKS_FILE};
use crate::savepoint::segments::{
    LOG_LIST, LostSegment, OUT_OF_ORDER_LIST, Segments, SegmentsError, SharedSegments, missing_list,
    note_beginnings,
};
use crate::series_state;
use crate::sync::Mutex;
use crate::view::Views;
use crate::wal::format::{
    CHECKPOINT_PREFIX, REPAIR_SUFFIX, TEMPORARY_SUFFIX, list_checkpoints, list_segments,
};
use crate::wal::group::GroupLog;
use crate::wal::record::LoggedMarker;
use crate::wal::{SyncTimer, Writer};

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
        let damages = Arc::new(DamageList::new(registry));
        let noted = damages.clone();
        let mut told = |progress: Progress| {
            if let Progress::Damaged(damage) = &progress {
                noted.note(damage);
            }
            report(progress);
        };
        let report: &mut dyn FnMut(Progress) = &mut told;
        let lock = options.lock_file.then(|| take_lock(&*disk, dir, report)).transpose()?;
        clear_the_way(&*disk, dir, &mut |damage| report(Progress::Damaged(damage)))?;
        maintenance.clean_start.set(clean_start(lock.as_ref()));
        remove_leftovers(&*disk, dir, report).map_err(at(dir))?;
        let repaired = repair_index_versions(&*disk, dir);
        for block in repaired.unwrap_or_default() {
            let what = "wrong versions, as Prometheus 2.1 wrote them";
            let damage = Damage::new(DamageKind::Contradictory, dir.join(block.to_string()), what);
            report(Progress::Damaged(damage.cost("nothing: repaired")));
        }
        let (blocks, floor) = open_blocks(&disk, dir, &options, report)?;
        let begun = options.stopwatch.elapsed();
        let start = HeadStart { disk: &disk, dir, options: &options, maintenance: &maintenance, floor };
        let StartedHead { head, recovered, to_mark, out_of_order_segments } = start.head(registry, report)?;
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
            damages,
            out_of_order_segments,
            to_mark,
            held: Default::default(),
            lock: Mutex::new(lock),
            options,
        };
        db.set_out_of_order_window(db.options.out_of_order_window_ms).map_err(at(&dir.join(WBL_DIR)))?;
        // Only Prometheus needs the file.
        if let Err(error) = series_state::update(&*db.disk, dir, &db.head) {
            ferula_telemetry::warn!(
                "wal/series_state.json cannot be written",
                component = "tsdb",
                err = error
            );
        }
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
    /// Loads `chunks_head`, opens the log, and replays what both hold.
    fn head(&self, registry: &Registry, report: &mut dyn FnMut(Progress)) -> Result<StartedHead, OpenError> {
        let (wal, chunks_dir) = (self.dir.join(WAL_DIR), self.dir.join(CHUNKS_HEAD_DIR));
        let lists = self.segment_lists(&wal, report).map_err(at(&wal))?;
        let loaded = head_chunks::load(&**self.disk, &chunks_dir).map_err(at(&chunks_dir))?;
        // A torn end does not rule out a savepoint: it names no chunk that was not synced.
        let chunks_damaged = loaded.damages.iter().any(|damage| damage.kind != DamageKind::Torn);
        for damage in loaded.damages {
            self.maintenance.chunk_corruptions.inc();
            report(Progress::Damaged(damage));
        }
        let log = self.open_log(&wal, &lists.log).map_err(at(&wal))?;
        let chunks = head_chunks::Store::new(self.disk.clone(), chunks_dir.clone(), &loaded.files);
        let in_blocks = self.in_blocks(&loaded.files, lists.continued_by_another, report);
        if let Some(place) = in_blocks {
            chunks.continue_behind(place).map_err(at(&chunks_dir))?;
        }
        let mut head = Head::new(self.parts(log, chunks, registry));
        let mut recovery = Recovery::new(head.replay(loaded.chunks), self.options.replay_helper.clone());
        if let Some(place) = in_blocks {
            recovery.are_in_blocks(place);
        }
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
            let segments = lists.log.lock();
            start = recovery.savepoint(&files, &segments, lists.read, &mut told).map_err(at(self.dir))?;
        }
        let log = LogFiles { disk: &**self.disk, dir: &wal, chunks_dir: &chunks_dir, lost: &lists.log_lost };
        recovery.log(&log, start.as_ref(), report).map_err(at(&wal))?;
        let wbl = self.dir.join(WBL_DIR);
        let lost = &lists.out_of_order_lost;
        recovery.out_of_order_log(&**self.disk, &wbl, lost, report).map_err(at(&wbl))?;
        recovery.refused_savepoint(&**self.disk, report);
        let (recovered, to_mark) = recovery.finish().map_err(at(self.dir))?;
        lists.log.lock().forget_lost(&lists.log_lost);
        lists.out_of_order.lock().forget_lost(&lists.out_of_order_lost);
        // What was zeroed has been reported too, and is empty now.
        for (list, dir) in [(&lists.log, &wal), (&lists.out_of_order, &wbl)] {
            let present = list_segments(&**self.disk, dir).map_err(at(dir))?;
            let mut list = list.lock();
            let emptied = list.lost(&present, None).into_iter().filter(|lost| lost.bytes == Some(0));
            let emptied: Vec<LostSegment> = emptied.collect();
            list.forget_lost(&emptied);
        }
        if start.is_some_and(|start| !start.lost.is_empty()) {
            self.rebuild_log(&wal, &head);
        }
        Ok(StartedHead { head, recovered, to_mark, out_of_order_segments: lists.out_of_order })
    }

    /// Up to where out-of-order chunks are in blocks, if that is known. It is not if another program may have begun
    /// to number the files of chunks again.
    fn in_blocks(
        &self,
        files: &[(u32, u64)],
        continued_by_another: bool,
        report: &mut dyn FnMut(Progress),
    ) -> Option<ChunkPlace> {
        match in_blocks::noted(&**self.disk, self.dir) {
            Ok(place) => place.filter(|place| {
                let follows = files.last().is_some_and(|(last, _)| *last >= place.file());
                follows || !continued_by_another
            }),
            Err(error) => {
                let path = self.dir.join(SAVEPOINT_DIR).join(IN_BLOCKS_FILE);
                let kept = set_aside(&**self.disk, &path).ok();
                let damage = Damage::new(DamageKind::Unreadable, path, error.to_string());
                let cost =
                    "nothing, unless the out-of-order log is damaged too: then deleted samples may be back";
                report(Progress::Damaged(damage.cost(cost).kept(kept)));
                None
            }
        }
    }

    /// Writes down again what only the savepoint had. If that fails, the next savepoint still has it.
    fn rebuild_log(&self, wal: &Path, head: &Head) {
        let Some(last) = head.log_segment().checked_sub(1) else { return };
        match rebuild_checkpoint(self.disk, wal, head, last, self.options.wal()) {
            Ok(()) => ferula_telemetry::info!(
                "What the log had lost was written again, from the savepoint",
                component = "tsdb",
                checkpoint = last
            ),
            Err(error) => ferula_telemetry::warn!(
                "What the log has lost is in the savepoint only",
                component = "tsdb",
                err = error
            ),
        }
    }

    /// What is known of the segments that there must be.
    fn segment_lists(&self, wal: &Path, report: &mut dyn FnMut(Progress)) -> io::Result<KnownSegments> {
        let list = |name| Segments::new(self.disk.clone(), self.dir.join(SAVEPOINT_DIR), name);
        let (mut log, mut out_of_order) = (list(LOG_LIST), list(OUT_OF_ORDER_LIST));
        let present = list_segments(&**self.disk, wal)?;
        let checkpoint = list_checkpoints(&**self.disk, wal)?.last().copied();
        let mut read = Ok(());
        if self.options.savepoints {
            read = log.load();
            let lists = [
                (LOG_LIST, read.as_ref().err().map(ToString::to_string)),
                (OUT_OF_ORDER_LIST, out_of_order.load().err().map(|error| error.to_string())),
            ];
            for (name, error) in lists {
                let Some(error) = error else { continue };
                let path = self.dir.join(SAVEPOINT_DIR).join(name);
                let kept = set_aside(&**self.disk, &path).ok();
                let damage = Damage::new(DamageKind::Unreadable, path, error);
                report(Progress::Damaged(damage.cost(without_list(name)).kept(kept)));
            }
            let has_records = checkpoint.is_some() || present.iter().any(|segment| segment.bytes > 0);
            if let Some(name) = missing_list(&log, &out_of_order, has_records) {
                let path = self.dir.join(SAVEPOINT_DIR).join(name);
                let damage = Damage::new(DamageKind::Missing, path, "the other list of segments is there");
                report(Progress::Damaged(damage.cost(without_list(name))));
            }
        }
        let log_lost = log.lost(&present, checkpoint);
        let continued_by_another = log.continued_by_another(&present);
        // Prometheus removes segments of the out-of-order log too.
        let out_of_order_lost = match continued_by_another && log.is_known() {
            true => Vec::new(),
            false => out_of_order.lost(&list_segments(&**self.disk, &self.dir.join(WBL_DIR))?, None),
        };
        if self.options.savepoints {
            [&mut out_of_order, &mut log].into_iter().for_each(Segments::create_if_missing);
        }
        Ok(KnownSegments {
            log: Arc::new(Mutex::new(log)),
            out_of_order: Arc::new(Mutex::new(out_of_order)),
            read,
            log_lost,
            out_of_order_lost,
            continued_by_another,
        })
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
        let next = segments.lock().next();
        let mut writer = Writer::open_from(self.disk.clone(), dir.to_path_buf(), options.wal(), next)?;
        if options.savepoints {
            note_beginnings(&mut writer, segments);
        }
        let (stopwatch, durations) = (options.stopwatch.clone(), self.maintenance.log.syncs.clone());
        writer.time_syncs(SyncTimer { stopwatch, durations });
        Ok(Arc::new(GroupLog::new(writer, options.start_timestamps, options.on_unsynced.clone())))
    }
}

/// What a start makes of the directory.
struct StartedHead {
    head: Head,
    recovered: Recovered,
    /// Chunks that the out-of-order log must name.
    to_mark: Vec<LoggedMarker>,
    out_of_order_segments: SharedSegments,
}

/// The lists of segments, and which of them are gone or emptied.
struct KnownSegments {
    log: SharedSegments,
    out_of_order: SharedSegments,
    /// Whether the list of the log's segments could be read.
    read: Result<(), SegmentsError>,
    log_lost: Vec<LostSegment>,
    out_of_order_lost: Vec<LostSegment>,
    /// Whether another program has begun segments of the log since.
    continued_by_another: bool,
}

/// What a start without this list costs.
fn without_list(list: &str) -> &'static str {
    match list {
        LOG_LIST => "time: the whole log is read; missing segments at its end are not noticed",
        _ => "missing segments of the out-of-order log are not noticed",
    }
}

/// Sets aside whatever has the name of the lock file but is not a file.
fn clear_lock(disk: &dyn Disk, dir: &Path, report: &mut dyn FnMut(Progress)) {
    let path = dir.join(LOCK_FILE);
    if let Ok(Some(stat)) = disk.stat(&path)
        && !stat.is_file
    {
        let kept = set_aside(disk, &path).ok();
        let damage = Damage::new(DamageKind::Foreign, path, "it is in the place of the lock file");
        report(Progress::Damaged(damage.kept(kept)));
    }
}

/// Locks a directory against other processes.
pub(crate) fn take_lock(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut dyn FnMut(Progress),
) -> Result<FileLock, OpenError> {
    // A server that has the directory may be using what else looks to be in the way.
    clear_lock(disk, dir, report);
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

/// Removes what a process left unfinished: directories of blocks, checkpoints and snapshots whose names say so, and our
/// own half-repaired segments. Everything else with such a name is somebody else's.
pub(crate) fn remove_leftovers(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut dyn FnMut(Progress),
) -> io::Result<()> {
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
            let removed = if entry.stat.is_dir && of_directory {
                disk.remove_dir_all(&path)
            } else if !entry.stat.is_dir && stem.ends_with(REPAIR_SUFFIX) {
                disk.remove_file(&path)
            } else {
                Ok(())
            };
            if let Err(error) = removed {
                let damage = Damage::new(DamageKind::Foreign, path, format!("it cannot be removed: {error}"));
                report(Progress::Damaged(damage.cost("nothing: it was never finished")));
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
            Ok(block) => {
                for damage in block.damages() {
                    report(Progress::Damaged(damage.clone()));
                }
                if !block.damages().is_empty()
                    && let Err(error) = block.mend()
                {
                    report(Progress::Damaged(block_damage(&dir, &error)));
                }
                blocks.push(Arc::new(block));
            }
            // Left alone: nothing is deleted on doubt.
            Err(error) => report(Progress::Damaged(block_damage(&dir, &error))),
        }
    }
    // A block that another one replaces is still there when the process ended before it was removed. What was deleted
    // from the new one since is still in it.
    let metas: Vec<Arc<BlockMeta>> = blocks.iter().map(|block| block.meta()).collect();
    let replaced = replaced(metas.iter().map(|meta| &**meta));
    blocks.retain(|block: &Arc<Block>| !replaced.contains(&block.meta().ulid));
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
