//! The store of an agent, which only logs: no sample stays in memory, there are no blocks, nothing can be queried. The samples
//! are for those who read the log ([`LogFeed`]), mostly remote write.
//!
//! ```text
//! append ──▶ series (the newest time of each: what is not newer is refused) ──▶ log ──▶ readers
//! truncate(now, sent) ──▶ series without new samples go ──▶ checkpoint of two thirds of the log
//! ```
//! Directory, format and rules are those of Prometheus' `tsdb/agent`, and each continues what the other left. Here: series,
//! checks, truncation. Elsewhere: the log itself (`wal`), reading it at start (`recovery`), when to truncate (the binary).
//!
//! Always true: a series to which a commit in progress refers is not removed; the record of a series stays in the log as long as a
//! later record names it.

mod appender;
mod metrics;
mod open;
mod series;
mod truncate;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ferula_model::{Exemplar, LabelSet, Matcher, TimeRange, Timestamp};
use ferula_storage::{
    CommitError, DiskError, Hold, LogCursor, LogFeed, LogPosition, Queryable, Snapshot, StorageError,
    StoredCounts,
};

use crate::Stopwatch;
use crate::close::LOCK_FILE;
use crate::disk::{Disk, FileLock};
use crate::feed::{Cursor, end_of};
use crate::ids::LogRef;
use crate::log_hold::LogHold;
use crate::options::WAL_DIR;
use crate::recovery::Recovered;
use crate::sync::{Mutex, RwLock, rank};
use crate::wal::ahead::ReplayHelper;
use crate::wal::format::SEGMENT_BYTES;
use crate::wal::group::{GroupLog, UnsyncedHook};
use crate::wal::{Compression, WriterOptions};
use metrics::Metrics;
use series::AllSeries;
pub use truncate::TruncationReport;

/// How the store of an agent works. The defaults are Prometheus'.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Compression of the log.
    pub wal_compression: Compression,
    /// Size at which a segment of the log is full, in bytes.
    pub wal_segment_bytes: u64,
    /// Series stay this much longer than their newest sample was sent, in milliseconds.
    pub wal_time_min_ms: i64,
    /// Samples that are older are let go at the next truncation, sent or not.
    pub wal_time_max_ms: i64,
    /// How much older than the newest sample of its series one may be, in milliseconds; 0 for not at all.
    pub out_of_order_window_ms: i64,
    /// Whether a start timestamp becomes a sample of its own, of value zero.
    pub start_as_zero_sample: bool,
    /// Whether start timestamps are logged.
    pub start_timestamps: bool,
    /// Checkpoints are written from the series in memory, instead of from what they replace.
    pub checkpoint_from_memory: bool,
    /// How many series a record of such a checkpoint has.
    pub checkpoint_batch: usize,
    /// Whether the directory is locked against other processes.
    pub lock_file: bool,
    /// Called when the log begins to hold what [`AgentDb::sync`] has to make safe.
    pub on_unsynced: UnsyncedHook,
    /// Measures how long things take, for metrics.
    pub stopwatch: Stopwatch,
    /// A second thread for reading the log at start.
    pub replay_helper: ReplayHelper,
}

impl Default for AgentOptions {
    fn default() -> Self {
        AgentOptions {
            wal_compression: Compression::default(),
            wal_segment_bytes: SEGMENT_BYTES,
            wal_time_min_ms: 5 * 60 * 1000,
            wal_time_max_ms: 4 * 3600 * 1000,
            out_of_order_window_ms: 0,
            start_as_zero_sample: false,
            start_timestamps: false,
            checkpoint_from_memory: false,
            checkpoint_batch: 1000,
            lock_file: true,
            on_unsynced: UnsyncedHook::default(),
            stopwatch: Stopwatch::default(),
            replay_helper: ReplayHelper::default(),
        }
    }
}

impl AgentOptions {
    fn wal(&self) -> WriterOptions {
        WriterOptions { compression: self.wal_compression, segment_bytes: self.wal_segment_bytes }
    }
}

/// A ref that no series has any more, though the log still names it.
#[derive(Clone, Debug)]
struct Retired {
    /// The last segment that may name it.
    segment: u32,
    /// Its labels, if checkpoints are written from memory.
    labels: Option<LabelSet>,
}

/// Nothing in segments up to this one is newer than that.
#[derive(Clone, Copy, Debug)]
struct SegmentMark {
    segment: u32,
    newest_ms: i64,
}

/// The store of an agent.
pub struct AgentDb {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: AgentOptions,
    log: Arc<GroupLog>,
    series: RwLock<AllSeries, rank::Index>,
    retired: Mutex<HashMap<LogRef, Retired>, rank::Deleted>,
    /// The last exemplar of each series that has some.
    exemplars: Mutex<HashMap<LogRef, Exemplar>, rank::Exemplars>,
    /// Time of the newest sample; `i64::MIN` without one.
    newest_ms: AtomicI64,
    /// How old segments are. Held while the log is truncated.
    marks: Mutex<VecDeque<SegmentMark>, rank::Maintenance>,
    /// What readers of the log still need.
    held: LogHold,
    metrics: Metrics,
    recovered: Recovered,
    closed: AtomicBool,
    /// Held from the start to the end.
    lock: Mutex<Option<FileLock>, rank::LockFile>,
}

impl AgentDb {
    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the start found.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.series.read().count()
    }

    /// How many series each value of a label has.
    pub fn series_by_value(&self, label: &str) -> Vec<(String, u64)> {
        self.series.read().by_value(label)
    }

    /// Why ingestion has stopped, if it has.
    pub fn ingestion_failure(&self) -> Option<CommitError> {
        self.log.failure().map(CommitError::Log)
    }

    /// Makes what was committed survive a power loss. Returns whether there was something to do.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> io::Result<bool> {
        self.log.sync()
    }

    /// Writes what is still in memory only, takes no more commits, and gives the directory back.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn close(&self) -> io::Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let flushed = self.log.flush();
        if self.lock.lock().take().is_some() {
            self.disk.remove_file(&self.dir.join(LOCK_FILE))?;
        }
        Ok(flushed?)
    }
}

/// Nothing can be read but the log.
impl Queryable for AgentDb {
    fn snapshot(&self, _: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        Err(StorageError::LogOnly)
    }

    fn exemplars(
        &self,
        _: TimeRange,
        _: &[Vec<Matcher>],
    ) -> Result<Vec<(LabelSet, Vec<Exemplar>)>, StorageError> {
        Err(StorageError::LogOnly)
    }
}

impl LogFeed for AgentDb {
    fn end(&self) -> LogPosition {
        end_of(&self.log)
    }

    fn newest(&self) -> Option<Timestamp> {
        let newest = self.newest_ms.load(Ordering::Relaxed);
        (newest != i64::MIN).then_some(Timestamp::from_millis(newest))
    }

    fn stored(&self) -> StoredCounts {
        let [samples, histograms] = self.metrics.samples.each_ref().map(|counter| counter.get() as u64);
        StoredCounts { samples, histograms, exemplars: self.metrics.exemplars.get() as u64 }
    }

    fn open(&self, from: LogPosition) -> Result<Box<dyn LogCursor>, DiskError> {
        let dir = self.dir.join(WAL_DIR);
        Ok(Box::new(Cursor::open(self.disk.clone(), dir, self.log.clone(), from)?))
    }

    fn hold(&self, held: Option<Hold>) {
        self.held.set(held);
    }

    fn living_series(&self) -> Box<dyn Fn(LogRef) -> bool + Send> {
        let mut known: HashSet<LogRef> = self.series.read().refs();
        known.extend(self.retired.lock().keys());
        Box::new(move |series| known.contains(&series))
    }
}

#[cfg(test)]
mod tests;
