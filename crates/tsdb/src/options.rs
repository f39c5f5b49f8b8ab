//! How a database works, what its directories are called, and why it cannot be opened.

use std::io;
use std::path::PathBuf;

use ferula_chunk::FloatEncoding;

use crate::Stopwatch;
use crate::blob::Access;
use crate::block::{BlockError, BlockOptions};
use crate::retention::Retention;
use crate::wal::ahead::ReplayHelper;
use crate::wal::group::UnsyncedHook;
use crate::wal::{Compression, WriterOptions};

/// Name of the directory of the log.
pub const WAL_DIR: &str = "wal";
/// Name of the directory of the out-of-order log.
pub const WBL_DIR: &str = "wbl";
/// Name of the directory of full chunks.
pub const CHUNKS_HEAD_DIR: &str = "chunks_head";

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
    /// The log is kept for its readers ([`LogFeed`](ferula_storage::LogFeed)) up to this length, in bytes.
    pub log_held_bytes_max: u64,
    /// Called when a log begins to hold what [`Db::sync`](crate::Db::sync) has to make safe.
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
    /// Number of series at which new ones are refused.
    pub series_max: Option<u64>,
    /// Bytes of memory of the head, by its own estimate, at which new series are refused.
    pub head_bytes_max: Option<u64>,
    /// Whether the directory is locked against other processes.
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
    /// How often blocks of others are looked for, in milliseconds.
    pub reload_interval_ms: i64,
    /// What time it is, in milliseconds. A block that begins later is of the future, and does not decide where the head
    /// begins: else everything in the log would count as being in blocks. Without it no block is of the future.
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
            log_held_bytes_max: u64::MAX,
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
    /// Another process uses the directory.
    #[error("lock DB directory: resource temporarily unavailable: {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// An option has a value that it cannot have.
    #[error("{0}")]
    Options(String),
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// What was being opened.
        path: PathBuf,
        error: io::Error,
    },
    /// The blocks cannot be listed or repaired.
    #[error(transparent)]
    Block(#[from] BlockError),
}

impl Options {
    /// How the logs are written.
    pub(crate) fn wal(&self) -> WriterOptions {
        WriterOptions { compression: self.wal_compression, segment_bytes: self.wal_segment_bytes }
    }

    /// Checks values that could not work.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        const DAY_MS: i64 = 24 * HOUR_MS;
        let refuse = |text: &str| Err(OpenError::Options(text.to_owned()));
        if self.min_block_duration_ms <= 0 || self.min_block_duration_ms > 49 * DAY_MS {
            return refuse("the minimum block duration must be between 1ms and 49d");
        }
        if self.max_block_duration_ms < self.min_block_duration_ms {
            return refuse("the maximum block duration is below the minimum block duration");
        }
        if !(4..=8192).contains(&self.samples_per_chunk) {
            return refuse("samples per chunk must be between 4 and 8192");
        }
        check_segment_bytes(self.wal_segment_bytes)?;
        check_float_encoding(self.floats, self.start_timestamps)?;
        if !(1..=255).contains(&self.out_of_order_samples_max) {
            return refuse("OOOCapMax must be between 1 and 255");
        }
        Ok(())
    }
}

/// Segments of a log are whole pages.
pub(crate) fn check_segment_bytes(bytes: u64) -> Result<(), OpenError> {
    let page = crate::wal::format::PAGE_BYTES as u64;
    if bytes < page || !bytes.is_multiple_of(page) {
        let text = "invalid segment size: it must be a multiple of 32KiB";
        return Err(OpenError::Options(text.to_owned()));
    }
    Ok(())
}

/// Start timestamps need an encoding that has room for them.
pub(crate) fn check_float_encoding(encoding: FloatEncoding, start_timestamps: bool) -> Result<(), OpenError> {
    if start_timestamps && encoding == FloatEncoding::Xor {
        return Err(OpenError::Options(
            "float chunk encoding \"xor\" is incompatible with start-timestamp storage; XOR chunks do not store \
             start timestamps, use \"xor2\""
                .to_owned(),
        ));
    }
    Ok(())
}
