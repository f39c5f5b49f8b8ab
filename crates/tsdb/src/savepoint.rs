//! Savepoints: the state of the head at a place of the log, so that a start reads the log from there only.
//!
//! ```text
//! take:  place P in the log ──▶ wait for commits from before P ──▶ copy series slice by slice ──▶ sync log and chunks ──▶ rename
//! start: is it ours, whole, and of this log? ──▶ series with their open chunks ──▶ log from P on
//! ```
//! `copy` takes them, `load` (part of `recovery`) brings them back, `format` has the bytes (docs/format/savepoint.md),
//! `segments` tells segments that this program began from those of another. Why it is so: docs/decisions/savepoints.md.
//!
//! Always true: a savepoint holds everything that was logged before P, and nothing that is not in the synced log when it
//! gets its name. It may hold more than what was before P; replay passes over what is there. On any doubt it is not
//! used, and the whole log is read, which has everything a savepoint has. What was logged, but whose sync failed, was refused to
//! its sender: it may be missing in a savepoint and be there after a full replay.

mod copy;
pub mod format;
mod load;
pub(crate) mod segments;

use std::path::{Path, PathBuf};

pub(crate) use copy::Moment;
pub use copy::Saved;
pub(crate) use load::{Start, check_origin, open};

/// Name of the folder of the savepoint.
pub const SAVEPOINT_DIR: &str = "ferula_savepoint";
/// Name of the file that has the state.
const STATE_FILE: &str = "state";

/// Path of the state.
pub(crate) fn state_path(dir: &Path) -> PathBuf {
    dir.join(STATE_FILE)
}
