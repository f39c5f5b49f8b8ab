//! The `tsdb` commands of the binary, as functions that write the same text as `promtool`'s commands.
//!
//! Here: list, analyze, dump, verify, and creating blocks from given samples. Elsewhere: flags, parsing of
//! OpenMetrics files, standard output.

mod analyze;
mod backfill;
mod drop_future;
mod dump;
mod list;
mod repair;
mod sources;
mod verify;
mod verify_directory;

pub use crate::block::block_dirs;
pub use crate::retention::replaced;
pub use analyze::{AnalyzeOptions, analyze};
pub use backfill::{Backfill, backfill_block_duration, backfill_windows};
pub use drop_future::{DroppedFuture, drop_future};
pub use dump::{DumpFormat, DumpOptions, dump};
pub use list::{ListedBlock, list};
pub use repair::repair_directory;
pub use sources::{block_sources, head_sources};
pub use verify::{Verified, verify, verify_savepoint};
pub use verify_directory::{VerifiedPart, verify_directory};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A block cannot be read or written.
    #[error(transparent)]
    Block(#[from] crate::block::BlockError),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] crate::options::OpenError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// Formats a duration in milliseconds as Go does: `2h0m0s`, `1m0.5s`, `7ms`, `0s`. Beyond 292 years it wraps around,
/// as in Go.
fn go_duration(millis: i64) -> String {
    ferula_go::duration::format(millis.wrapping_mul(1_000_000))
}

#[cfg(test)]
mod tests;
