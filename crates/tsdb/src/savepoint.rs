//! Savepoints: the state of the head at a place of the log, so that a start reads the log from there only.
//!
//! ```text
//! take:  place P in the log ──▶ wait for commits from before P ──▶ copy series slice by slice ──▶ sync log and chunks ──▶ rename
//! start: is it ours, whole, and of this log? ──▶ series with their open chunks ──▶ log from P on
//! ```
//! `maintain/savepoint` takes them, `recovery` brings them back with `load`, `format` has the bytes (docs/format/savepoint.md),
//! `segments` tells segments that this program began from those of another. Why it is so: docs/decisions/savepoints.md.
//!
//! Always true: a savepoint holds everything that was logged before P, and nothing that is not in the synced log when it
//! gets its name. It may hold more than what was before P; replay passes over what is there. On any doubt it is not
//! used, and the whole log is read, which has everything a savepoint has. What was logged, but whose sync failed, was refused to
//! its sender: it may be missing in a savepoint and be there after a full replay.

pub mod format;
mod load;
pub(crate) mod segments;

use std::path::{Path, PathBuf};

pub(crate) use load::{OriginError, Start, before, check_origin, open};

/// What a savepoint took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// How many series there are in it.
    pub series: u64,
    /// How long it is.
    pub bytes: u64,
    /// Place in the log, from which a start reads on: segment and offset.
    pub place: (u32, u64),
}

/// What decides whether a savepoint is still complete: the place in the log, and the newest checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedAt {
    pub place: (u32, u64),
    pub checkpoint: Option<u32>,
}

/// Name of the directory of the savepoint.
pub const SAVEPOINT_DIR: &str = "ferula_savepoint";
/// Name of the file that has the state.
const STATE_FILE: &str = "state";

/// Path of the state.
pub(crate) fn state_path(dir: &Path) -> PathBuf {
    dir.join(STATE_FILE)
}
