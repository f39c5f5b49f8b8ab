//! `ferula tsdb verify`, `repair` and `drop-future`: what is wrong with a data directory, and what is done about it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use ferula_tsdb::Options;
use ferula_tsdb::disk::{Disk, OverlayDisk};
use ferula_tsdb::tools::{VerifiedPart, drop_future, repair_directory, verify, verify_directory};

use super::{BLOCK_TO_VERIFY, DRY_RUN, UNTIL, data_dir, disk, open_block, stat};
use crate::tools::args::Args;
use crate::tools::moment;

/// `tsdb verify`
pub fn run_verify(args: &Args, out: &mut dyn Write) -> Result<()> {
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

/// `tsdb repair`
pub fn run_repair(args: &Args, out: &mut dyn Write) -> Result<()> {
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

/// `tsdb drop-future`
pub fn run_drop_future(args: &Args, out: &mut dyn Write) -> Result<()> {
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
