//! `ferula tsdb verify`, `repair` and `drop-future`: what is wrong with a data directory, and what is done about it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use ferula_tsdb::Options;
use ferula_tsdb::disk::{Disk, OverlayDisk};
use ferula_tsdb::tools::{VerifiedPart, drop_future, repair_directory, verify, verify_directory};

use super::data_dir::{DB_PATH, data_dir, disk, open_block, stat};
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag};
use crate::tools::moment;
use crate::tools::output::{finish, with_stdout};

const BLOCK_TO_VERIFY: Argument = argument("block id", ValueKind::Text, "The block to read; all by default.");
const DRY_RUN: Flag = flag("dry-run", ValueKind::Switch, "Print what would be done, and change nothing.");
const UNTIL: Flag =
    flag("until", ValueKind::Int64, "The last time to keep, in milliseconds since 1970; by default, now.")
        .default("0");

/// `tsdb verify`
pub const VERIFY: Command = Command::new(
    "verify",
    "Read everything in a data directory: logs, head chunks, savepoint, blocks, and how they fit together. Or one block. \
     Changes nothing.",
    |args| finish(with_stdout(|out| run_verify(args, out))),
)
.arguments(&[DB_PATH, BLOCK_TO_VERIFY])
.ours();

/// `tsdb repair`
pub const REPAIR: Command = Command::new(
    "repair",
    "Set damage in a data directory aside, restore what other files still have, and print what is lost. Deletes nothing. \
     The server must not run.",
    |args| finish(with_stdout(|out| run_repair(args, out))),
)
.flags(&[DRY_RUN])
.arguments(&[DB_PATH])
.ours();

/// `tsdb drop-future`
pub const DROP_FUTURE: Command = Command::new(
    "drop-future",
    "Take the samples of a clock that was ahead out of a data directory, so that current ones are stored again. Keeps what \
     it takes out. The server must not run.",
    |args| finish(with_stdout(|out| run_drop_future(args, out))),
)
.flags(&[DRY_RUN, UNTIL])
.arguments(&[DB_PATH])
.ours();

fn run_verify(args: &Args, out: &mut dyn Write) -> Result<()> {
    let (disk, dir) = (disk(), data_dir(args));
    stat(dir)?;
    let parts = match args.argument(BLOCK_TO_VERIFY) {
        Some(name) => {
            let block = open_block(&disk, dir, Some(name))?;
            let name = block.meta().ulid.to_string();
            vec![VerifiedPart { name, verified: verify(&block)?, notes: Vec::new() }]
        }
        None => verify_directory(&disk, dir)?,
    };
    let mut bad = 0;
    for part in &parts {
        let stats = part.verified.stats;
        let counts = format!(
            "{} series, {} chunks, {} samples",
            stats.num_series, stats.num_chunks, stats.num_samples
        );
        let is_good = part.verified.problems.is_empty();
        writeln!(out, "{} {}: {counts}", part.name, if is_good { "ok" } else { "BAD" })?;
        bad += usize::from(!is_good);
        for problem in &part.verified.problems {
            writeln!(out, "  {problem}")?;
        }
        for note in &part.notes {
            writeln!(out, "  note: {note}")?;
        }
    }
    out.flush()?;
    if bad > 0 { bail!("{bad} of {} are bad", parts.len()) } else { Ok(()) }
}

/// The disk that a command works on: with `--dry-run` its changes stay in memory.
fn working_disk(args: &Args) -> Arc<dyn Disk> {
    if args.has(DRY_RUN) { Arc::new(OverlayDisk::new(disk())) } else { disk() }
}

/// The options of a server that would use the directory next.
fn server_options(dir: &Path, now_ms: i64) -> Options {
    let window_ms = if dir.join("wbl").is_dir() { 1 } else { 0 };
    Options {
        savepoints: true,
        opened_at: Some(ferula_model::Timestamp::from_millis(now_ms)),
        out_of_order_window_ms: window_ms,
        ..Options::default()
    }
}

fn run_repair(args: &Args, out: &mut dyn Write) -> Result<()> {
    let dir = data_dir(args);
    stat(dir)?;
    let now_ms = moment::now().0 / 1_000_000;
    let damages = repair_directory(&working_disk(args), dir, server_options(dir, now_ms), now_ms)?;
    for damage in &damages {
        writeln!(out, "{}: {damage}", damage.kind.name())?;
    }
    match (damages.len(), args.has(DRY_RUN)) {
        (0, _) => writeln!(out, "nothing is damaged")?,
        (count, true) => writeln!(out, "{count} damaged places; nothing was changed (--dry-run)")?,
        (count, false) => writeln!(out, "{count} damaged places were dealt with; nothing was deleted")?,
    }
    Ok(())
}

fn run_drop_future(args: &Args, out: &mut dyn Write) -> Result<()> {
    let dir = data_dir(args);
    stat(dir)?;
    let until_ms = match args.number(UNTIL) {
        0 => moment::now().0 / 1_000_000,
        until => until,
    };
    let done = drop_future(&working_disk(args), dir, server_options(dir, until_ms), until_ms)?;
    match done.head_newest {
        Some(newest) => writeln!(out, "the newest sample of the head was at {newest}")?,
        None => writeln!(out, "the head has no sample after {until_ms}")?,
    }
    for (what, blocks) in [("written", &done.written), ("rewritten", &done.cleaned)] {
        for block in blocks {
            writeln!(out, "block {block} {what}")?;
        }
    }
    for kept in &done.kept {
        writeln!(out, "kept as {}", kept.display())?;
    }
    if args.has(DRY_RUN) {
        writeln!(out, "nothing was changed (--dry-run)")?;
    } else if !done.kept.is_empty() {
        writeln!(out, "remove what is kept when nobody misses it")?;
    }
    Ok(())
}
