//! The blocks that commands create: their time range and their names.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use ferula_tsdb::Ulid;
use ferula_tsdb::tools::backfill_block_duration;

use crate::tools::args::{Args, Flag, ValueKind, flag};

/// Larger blocks mean fewer files for old data.
pub const MAX_BLOCK_DURATION: Flag =
    flag("max-block-duration", ValueKind::Duration, "The maximum time range of a block; at least 2h.")
        .placeholder("<duration>")
        .hidden();

/// The time range of the blocks that a command creates.
pub fn block_duration_ms(args: &Args) -> i64 {
    backfill_block_duration(args.nanos(MAX_BLOCK_DURATION).unwrap_or_default() / 1_000_000)
}

/// A name for a new block.
pub fn new_ulid() -> Result<Ulid> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    // Each `RandomState` is seeded by the system.
    let random = || u128::from(RandomState::new().build_hasher().finish());
    Ok(Ulid::new(u64::try_from(now.as_millis()).unwrap_or(0), random() << 64 | random()))
}
