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

/// Formats a duration in milliseconds as Go does: `2h0m0s`, `1m0.5s`, `7ms`, `0s`.
pub fn go_duration(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let rest = millis.unsigned_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    if rest < 1000 {
        return format!("{sign}{rest}ms");
    }
    let (hours, minutes, millis) = (rest / 3_600_000, rest / 60_000 % 60, rest % 60_000);
    let mut seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
