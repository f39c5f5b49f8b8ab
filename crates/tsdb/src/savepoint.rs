//! Savepoints: the state of the head at a position in the log, so that a start only has to read the log after
//! it.
//!
//! ```text
//! take:  position P in the log ──▶ wait for earlier commits ──▶ copy series in batches ──▶ sync log and chunks ──▶ rename
//! start: is it intact, and of this log? ──▶ series with their open chunks ──▶ log from P on
//! ```
//! `maintain/savepoint` takes them, `recovery` restores them with `load`, `format` defines the bytes
//! (docs/format/savepoint.md), and `segments` distinguishes segments that this program began from those of
//! others. The reasons are in docs/decisions/savepoints.md.
//!
//! Always true: a savepoint contains everything that was logged before P, and nothing that is not in the
//! synced log when it is renamed. It may contain more than what was before P; replay skips duplicates. In any
//! doubt it is not used, and the whole log is read, which has everything that a savepoint has. Samples that
//! were logged, but whose sync failed, were refused to their sender: they may be missing in a savepoint and
//! appear after a full replay.

pub mod format;
pub(crate) mod in_blocks;
mod load;
pub(crate) mod segments;

use std::path::{Path, PathBuf};

pub(crate) use load::{OriginError, Start, before, check_origin, open};

/// Statistics of taking a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    pub series: u64,
    pub bytes: u64,
    /// The position in the log at which a start continues: segment and offset.
    pub place: (u32, u64),
}

/// Determines whether a savepoint is still complete: the position in the log, and the newest checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedAt {
    pub place: (u32, u64),
    pub checkpoint: Option<u32>,
}

/// Name of the directory of the savepoint.
pub const SAVEPOINT_DIR: &str = "ferula_savepoint";
/// Name of the file with the state.
const STATE_FILE: &str = "state";

/// Path of the state.
pub(crate) fn state_path(dir: &Path) -> PathBuf {
    dir.join(STATE_FILE)
}
