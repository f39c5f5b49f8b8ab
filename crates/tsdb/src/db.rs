//! The database: its parts, and the operations on it.
//!
//! ```text
//! open      lock, leftovers, blocks, chunks_head, log ──▶ Head          open.rs
//! appender, snapshot                                                    any thread, any time
//! maintain(now), savepoint, delete, sync                                called by the binary: maintain.rs, admin.rs
//! close                                                                 close.rs
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ferula_chunk::FloatEncoding;
use ferula_model::{Exemplar, LabelSet, Matcher, MetricMetadata, TimeRange, Timestamp};
use ferula_storage::{Appendable, Appender, CommitError, Queryable, Snapshot, StorageError};

use crate::block::{Block, BlockOptions};
use crate::damage::{Damage, DamageList};
use crate::disk::{Disk, FileLock};
use crate::head::{Cardinality, Head, HeadAppender};
use crate::log_hold::LogHold;
use crate::maintain::pending::Pending;
use crate::metrics::MaintenanceMetrics;
use crate::options::{OpenError, Options, WBL_DIR, check_float_encoding};
use crate::querier::snapshot::DbSnapshot;
use crate::recovery::Recovered;
use crate::retention::Retention;
use crate::savepoint::segments::{SharedSegments, note_beginnings};
use crate::sync::{Mutex, rank};
use crate::view::Views;
use crate::wal::Writer;
use crate::wal::group::GroupLog;
use crate::wal::record::LoggedMarker;

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
    /// The bits of a float: the share of ended series at which they are removed from the head.
    pub(crate) stale_threshold: AtomicU64,
    pub(crate) recovered: Recovered,
    /// The damage that was found since the start.
    pub(crate) damages: Arc<DamageList>,
    /// What is known of the segments of the out-of-order log.
    pub(crate) out_of_order_segments: SharedSegments,
    /// Out-of-order chunks that the out-of-order log must name when it is opened.
    pub(crate) to_mark: Vec<LoggedMarker>,
    /// What readers of the log still need.
    pub(crate) held: LogHold,
    /// Held for the whole life of the database.
    pub(crate) lock: Mutex<Option<FileLock>, rank::LockFile>,
}

impl Db {
    /// An appender; see [`Appendable`].
    pub fn head_appender(&self) -> HeadAppender<'_> {
        HeadAppender::new(&self.head)
    }

    /// Findings of the start.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The damage that was found since the start, oldest first: up to the newest thousand places.
    pub fn damages(&self) -> Vec<Damage> {
        self.damages.list()
    }

    /// How many bytes were written to the log since the start.
    pub fn log_bytes(&self) -> u64 {
        self.head.log().stats().record_part_bytes
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Why ingestion has stopped, if it has; reading continues.
    pub fn ingestion_failure(&self) -> Option<CommitError> {
        self.head.log_failure().map(CommitError::Log)
    }

    /// Makes commits survive a power loss. Returns whether there was anything to sync. Call it soon after
    /// [`Options::on_unsynced`] was called, and again if it fails.
    pub fn sync(&self) -> io::Result<bool> {
        self.head.sync()
    }

    /// Sets how old out-of-order samples and exemplars may be, in milliseconds; 0 disables them.
    pub fn set_out_of_order_window(&self, window_ms: i64) -> io::Result<()> {
        self.head.set_out_of_order_window(window_ms, || {
            let (disk, dir) = (self.disk.clone(), self.dir.join(WBL_DIR));
            let next = self.out_of_order_segments.lock().next();
            let mut writer = Writer::open_from(disk, dir, self.options.wal(), next)?;
            if self.options.savepoints {
                note_beginnings(&mut writer, &self.out_of_order_segments);
            }
            let log = GroupLog::new(writer, self.options.start_timestamps, self.options.on_unsynced.clone());
            self.log_marks(&log)?;
            Ok(log)
        })
    }

    /// Logs which out-of-order chunks were found on disk, so that the next start does not pass over them. Comes before any
    /// commit: a marker says that all samples before it are in chunks.
    fn log_marks(&self, log: &GroupLog) -> io::Result<()> {
        if self.to_mark.is_empty() {
            return Ok(());
        }
        // Without room for this, nothing else is logged either.
        log.commit(self.head.marks_of_found_chunks(&self.to_mark))?;
        log.sync().map(drop)
    }

    /// Sets the encoding of new chunks of floats; `None` restores the one with which the database was opened.
    ///
    /// # Errors
    /// Start timestamps are stored, but the encoding cannot represent them.
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

    /// Sets the number of exemplars to keep.
    pub fn set_exemplars_max(&self, max: usize) {
        self.head.set_exemplars_max(max);
    }

    /// Sets the retention.
    pub fn set_retention(&self, retention: Retention) {
        self.maintenance.limits(&retention);
        *self.retention.lock() = retention;
    }

    /// The blocks, ordered by their start.
    pub fn blocks(&self) -> Arc<[Arc<Block>]> {
        self.views.get().blocks
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The largest labels of the head, for `/api/v1/status/tsdb`; `label` is usually the metric name.
    pub fn cardinality(&self, label: &str, limit: usize) -> Cardinality {
        self.head.cardinality(label, limit)
    }

    /// Start time and number of samples of each in-order chunk of a series in the head, for tools and tests.
    pub fn head_chunks(&self, labels: &LabelSet) -> Vec<(Timestamp, u16)> {
        self.head.chunks_of(labels)
    }

    /// Metadata of the series with these labels, if it was appended.
    pub fn series_metadata(&self, labels: &LabelSet) -> Option<MetricMetadata> {
        self.head.metadata(labels)
    }
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
