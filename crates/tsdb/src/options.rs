//! The options of a database, the names of its directories, and why it cannot be opened.

use std::io;
use std::path::PathBuf;

use ferula_chunk::FloatEncoding;
use ferula_model::Timestamp;

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

/// The options of a database. The defaults are Prometheus'.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the shortest blocks and of the ranges of head chunks, in milliseconds.
    pub min_block_duration_ms: i64,
    /// Length of the longest blocks, in milliseconds.
    pub max_block_duration_ms: i64,
    /// Target number of samples in a chunk of floats.
    pub samples_per_chunk: u16,
    /// Compression of the log.
    pub wal_compression: Compression,
    /// Maximum size of a log segment, in bytes.
    pub wal_segment_bytes: u64,
    /// Maximum size up to which the log is kept for its readers ([`LogFeed`](ferula_storage::LogFeed)), in
    /// bytes.
    pub log_held_bytes_max: u64,
    /// Called when a log starts to contain data that [`Db::sync`](crate::Db::sync) has to sync.
    pub on_unsynced: UnsyncedHook,
    /// How old out-of-order samples may be, in milliseconds; 0 disables them.
    pub out_of_order_window_ms: i64,
    /// Maximum number of out-of-order samples of a series in memory.
    pub out_of_order_samples_max: usize,
    /// Maximum number of exemplars; 0 for none.
    pub exemplars_max: usize,
    /// The encoding of new chunks of floats.
    pub floats: FloatEncoding,
    /// Whether start timestamps are logged and stored in chunks; requires [`FloatEncoding::Xor2`].
    pub start_timestamps: bool,
    /// Whether new chunks of histograms store start timestamps. Prometheus may still change these encodings.
    pub histogram_start_timestamps: bool,
    /// Whether start timestamps become samples with value zero.
    pub start_as_zero_sample: bool,
    /// Number of series at which new ones are refused.
    pub series_max: Option<u64>,
    /// Memory of the head in bytes, by its own estimate, at which new series are refused.
    pub head_bytes_max: Option<u64>,
    /// Whether the directory is locked against other processes.
    pub lock_file: bool,
    pub retention: Retention,
    /// How blocks are written.
    pub blocks: BlockOptions,
    /// How the files of blocks are read.
    pub access: Access,
    /// Whether overlapping blocks are merged.
    pub overlapping_compaction: bool,
    /// A list of uploaded blocks; fresh blocks that are not listed are not compacted.
    pub delay_compact_file: Option<PathBuf>,
    /// How often to look for blocks of other programs, in milliseconds.
    pub reload_interval_ms: i64,
    /// The current time. A block that begins later is in the future, and does not determine
    /// the start of the head: otherwise everything in the log would count as already stored in blocks.
    /// Without this option, no block is in the future.
    pub opened_at: Option<Timestamp>,
    /// Measures durations, for metrics.
    pub stopwatch: Stopwatch,
    /// A second thread for reading the log at the start.
    pub replay_helper: ReplayHelper,
    /// Whether savepoints are used at the start, and taken at shutdown and on request.
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
            opened_at: None,
            stopwatch: Stopwatch::default(),
            replay_helper: ReplayHelper::default(),
            savepoints: false,
        }
    }
}

impl Options {
    /// The defaults, but with start timestamps in the log and in chunks of all types.
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
    /// The log's directory is a link or the like whose destination is not reachable now, and may be later.
    #[error(
        "{} is a link that leads nowhere, or a pipe, socket or device: make the directory that it stands for reachable, or \
         remove it to begin with an empty log", .0.display()
    )]
    LogUnreachable(PathBuf),
    /// An option has a value that it cannot have.
    #[error("{0}")]
    Options(String),
    /// The disk returned an error.
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

    /// Checks for values that cannot work.
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

/// Checks that segments of a log consist of whole pages.
pub(crate) fn check_segment_bytes(bytes: u64) -> Result<(), OpenError> {
    let page = crate::wal::format::PAGE_BYTES as u64;
    if bytes < page || !bytes.is_multiple_of(page) {
        let text = "invalid segment size: it must be a multiple of 32KiB";
        return Err(OpenError::Options(text.to_owned()));
    }
    Ok(())
}

/// Start timestamps require an encoding that can represent them.
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
