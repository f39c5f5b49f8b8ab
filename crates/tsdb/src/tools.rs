//! The `tsdb` commands of the binary, as functions that write the same text as `promtool`'s commands.
//!
//! Here: list, analyze, dump, verify, and creating blocks from given samples. Elsewhere: flags, parsing of
//! OpenMetrics files, standard output.

mod analyze;
mod backfill;
mod dump;
mod list;
mod sources;
mod verify;

pub use crate::block::block_dirs;
pub use crate::retention::replaced;
pub use analyze::{AnalyzeOptions, analyze};
pub use backfill::{Backfill, backfill_block_duration, backfill_windows};
pub use dump::{DumpFormat, DumpOptions, dump};
pub use list::{ListedBlock, list};
pub use sources::{block_sources, head_sources};
pub use verify::{Verified, verify, verify_savepoint};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A block cannot be read or written.
    #[error(transparent)]
    Block(#[from] crate::block::BlockError),
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
