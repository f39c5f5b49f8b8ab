//! Opening the store of an agent: the directory is locked, and the log tells which series there are.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ferula_model::LabelSet;
use ferula_telemetry::Registry;

use super::metrics::Metrics;
use super::series::AllSeries;
use super::{AgentDb, AgentOptions, Retired, SegmentMark};
use crate::disk::{Disk, create_dir_durable};
use crate::ids::{LogRef, SlotId};
use crate::metrics::of_log;
use crate::obstacles::clear_the_way;
use crate::open::{at, clean_start, remove_leftovers, take_lock};
use crate::options::{OpenError, WAL_DIR, check_segment_bytes};
use crate::recovery::{LogSink, Progress, Recovery};
use crate::sync::{Mutex, RwLock};
use crate::wal::group::GroupLog;
use crate::wal::record::{RecordKind, Records};
use crate::wal::{SyncTimer, Writer};

impl AgentDb {
    /// Opens the store in `dir`, which is created if missing. `report` receives progress; metrics go to
    /// `registry`.
    ///
    /// # Errors
    /// When the directory is in use, or the disk refuses.
    pub fn open(
        dir: &Path,
        options: AgentOptions,
        disk: Arc<dyn Disk>,
        registry: &Registry,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        check_segment_bytes(options.wal_segment_bytes)?;
        let metrics = Metrics::new(registry);
        create_dir_durable(&*disk, dir).map_err(at(dir))?;
        let lock = options.lock_file.then(|| take_lock(&*disk, dir, report)).transpose()?;
        metrics.clean_start.set(clean_start(lock.as_ref()));
        clear_the_way(&*disk, dir, &mut |damage| report(Progress::Damaged(damage)))?;
        remove_leftovers(&*disk, dir, report).map_err(at(dir))?;
        let wal = dir.join(WAL_DIR);
        let mut writer = Writer::open(disk.clone(), wal.clone(), options.wal()).map_err(at(&wal))?;
        writer.time_syncs(SyncTimer {
            stopwatch: options.stopwatch.clone(),
            durations: metrics.log.syncs.clone(),
        });
        let log = Arc::new(GroupLog::new(writer, options.start_timestamps, options.on_unsynced.clone()));
        of_log(registry, &log, &disk, dir);
        let replay = Replay::new(options.checkpoint_from_memory);
        let mut recovery = Recovery::new(replay, options.replay_helper.clone());
        let (read, took) = options.stopwatch.time(|| recovery.read_log(&*disk, &wal, None, &[], report));
        read.map_err(at(&wal))?;
        let (replay, mut recovered) = recovery.into_sink();
        (recovered.samples, recovered.unknown_series) = (replay.samples, replay.unknown_series);
        metrics.replay_duration.set(took.as_secs_f64());
        metrics.corruptions.add(recovered.corruptions);
        metrics.active_series.set(replay.series.count() as f64);
        metrics.retired_series.set(replay.retired.len() as f64);
        // The segment that was begun just now gets newer samples.
        let read_last = log.segment().checked_sub(1);
        let mark = read_last.map(|segment| SegmentMark { segment, newest_ms: replay.newest_ms });
        Ok(AgentDb {
            disk,
            dir: dir.to_path_buf(),
            options,
            log,
            series: RwLock::new(replay.series),
            retired: Mutex::new(replay.retired),
            exemplars: Mutex::default(),
            newest_ms: AtomicI64::new(replay.newest_ms),
            marks: Mutex::new(mark.into_iter().collect()),
            held: Default::default(),
            metrics,
            recovered,
            closed: AtomicBool::new(false),
            lock: Mutex::new(lock),
        })
    }
}

/// Series as the records of the log tell them.
struct Replay {
    series: AllSeries,
    /// Every ref that the log names, with the slot of its labels. The first ref of a label set is its series'.
    slots: HashMap<LogRef, SlotId>,
    retired: HashMap<LogRef, Retired>,
    keeps_labels: bool,
    /// The segment that is being read.
    segment: u32,
    newest_ms: i64,
    samples: u64,
    unknown_series: u64,
}

impl Replay {
    fn new(keeps_labels: bool) -> Self {
        Replay {
            series: AllSeries::default(),
            slots: HashMap::new(),
            retired: HashMap::new(),
            keeps_labels,
            segment: 0,
            newest_ms: i64::MIN,
            samples: 0,
            unknown_series: 0,
        }
    }

    fn add(&mut self, log_ref: LogRef, labels: &LabelSet) {
        self.series.note_ref(log_ref);
        let slot = match self.series.find(labels) {
            Some((slot, series)) => {
                if series.log_ref != log_ref {
                    let labels = self.keeps_labels.then(|| labels.clone());
                    self.retired.insert(log_ref, Retired { segment: self.segment, labels });
                }
                slot
            }
            // More series than any store can hold: the rest is read without it.
            None => match self.series.add(labels, log_ref) {
                Ok(slot) => slot,
                Err(_) => return,
            },
        };
        self.slots.insert(log_ref, slot);
    }

    fn note(&mut self, log_ref: LogRef, at: i64) {
        let Some(slot) = self.slots.get(&log_ref) else {
            self.unknown_series += 1;
            return;
        };
        let series = self.series.in_slot(*slot);
        if series.log_ref != log_ref
            && let Some(retired) = self.retired.get_mut(&log_ref)
        {
            retired.segment = self.segment;
        }
        series.newest_ms.fetch_max(at, Ordering::Relaxed);
        self.newest_ms = self.newest_ms.max(at);
        self.samples += 1;
    }
}

impl LogSink for Replay {
    fn begin_segment(&mut self, number: u32) {
        self.segment = number;
    }

    fn record(&mut self, _: RecordKind, records: &Records) {
        records.series.iter().for_each(|logged| self.add(logged.series, &logged.labels));
        records.samples.iter().for_each(|logged| self.note(logged.series, logged.at));
        records.histograms.iter().for_each(|logged| self.note(logged.series, logged.at));
    }
}
