//! A block: a closed range of time on disk, in Prometheus' formats.
//!
//! ```text
//! 01BKGV7JBM69T2G1BGBGM6KB12/
//!   meta.json     name, range, statistics, ancestry          meta.rs
//!   index         symbols, series, postings                  index/
//!   chunks/000001 the samples                                chunks/
//!   tombstones    deleted ranges of time                     tombstones.rs
//! ```
//! Here: reading ([`Block`]), writing ([`BlockWriter`]), deleting. Elsewhere: bytes of a chunk (`ferula-chunk`),
//! which blocks are merged (`compact`) or removed (`retention`).
//!
//! Always true: a directory whose name is a ULID is a complete block, because it is written under another
//! name and renamed at the end; index and chunks never change after that; no reader panics on the bytes of a
//! block, and its errors name the file and position.

pub mod bytes;
pub mod chunks;
pub mod index;
mod meta;
mod reader;
mod rebuild;
mod repair;
mod select;
mod tombstones;
mod ulid;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use meta::{
    Ancestry, BlockMeta, BlockStats, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES, HINT_STALE_SERIES, META_FILE,
};
pub use reader::{Block, BlockChunk};
pub use repair::repair_index_versions;
pub(crate) use tombstones::read_tombstones;
pub use tombstones::{Interval, Intervals, TOMBSTONES_COPY_FILE, TOMBSTONES_FILE, Tombstones};
pub use ulid::Ulid;
pub use writer::{BlockOptions, BlockWriter};

use crate::damage::{Damage, DamageKind};
use crate::disk::Disk;

/// The index in the block's directory.
pub const INDEX_FILE: &str = "index";
/// The directory of chunk segments in the block's directory.
pub const CHUNKS_DIR: &str = "chunks";
/// Suffix of a directory that is being written. The next start removes it.
pub const CREATION_SUFFIX: &str = ".tmp-for-creation";
/// Suffix of a directory that is being deleted. The next start removes it.
pub const DELETION_SUFFIX: &str = ".tmp-for-deletion";

/// Why a block cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The disk returned an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        source: io::Error,
    },
    /// The content of a file is invalid.
    #[error("{}: {what} (at byte {offset})", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The position in it.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Content that was to be written violates the format.
    #[error("{0}")]
    Refused(String),
}

impl BlockError {
    /// A disk error with the file that it concerns.
    pub fn io(path: &Path, source: io::Error) -> Self {
        BlockError::Io { path: path.to_path_buf(), source }
    }

    /// Invalid content at a position in a file.
    pub fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        BlockError::Corrupt { path: path.to_path_buf(), offset, what: what.into() }
    }

    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, BlockError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A block that cannot be opened, as damage.
pub(crate) fn block_damage(block_dir: &Path, error: &BlockError) -> Damage {
    let kind = if error.is_not_found() { DamageKind::Missing } else { DamageKind::Unreadable };
    Damage::new(kind, block_dir, error.to_string())
        .cost("the block's samples are not shown; it is left as it is")
}

/// Directories of blocks in a data directory, sorted by name: those named by a ULID.
pub fn block_dirs(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<PathBuf>, BlockError> {
    let entries = disk.list(data_dir).map_err(|error| BlockError::io(data_dir, error))?;
    let blocks = entries.into_iter().filter(|entry| entry.stat.is_dir && entry.name.parse::<Ulid>().is_ok());
    Ok(blocks.map(|entry| data_dir.join(entry.name)).collect())
}

/// Removes a block. It is renamed first, so that no reader ever sees half of it. Once the new name survives a power loss, the
/// block does not come back: what was deleted since from the block that replaces it would come back too.
pub fn remove_block(disk: &dyn Disk, block_dir: &Path) -> Result<(), BlockError> {
    let mut doomed = block_dir.as_os_str().to_owned();
    doomed.push(DELETION_SUFFIX);
    let doomed = PathBuf::from(doomed);
    disk.rename(block_dir, &doomed).map_err(|error| BlockError::io(block_dir, error))?;
    let data_dir = block_dir.parent().unwrap_or(block_dir);
    disk.sync_dir(data_dir).map_err(|error| BlockError::io(data_dir, error))?;
    disk.remove_dir_all(&doomed).map_err(|error| BlockError::io(&doomed, error))
}

#[cfg(test)]
mod tests;
