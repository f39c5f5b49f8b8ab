//! `tsdb verify` of a whole data directory: the logs, the head's chunks, the savepoint, every block, and how they fit
//! together.
//!
//! What a killed process leaves is not a problem: an end of a log that was not written whole, a block beside those it was made
//! of, a directory whose name says that it is not finished. It is noted. Nothing is changed, so a server may be running;
//! what it writes meanwhile looks like the end of a log.

mod logs;
mod part;

use std::path::Path;
use std::sync::Arc;

use ferula_chunk::SampleIter;

use super::ToolError;
use super::verify::{verify, verify_savepoint};
use crate::blob::Access;
use crate::block::{Block, BlockStats, CREATION_SUFFIX, DELETION_SUFFIX, Ulid, block_damage, block_dirs};
use crate::damage::{DamageKind, KEPT_SUFFIX};
use crate::disk::{Disk, OverlayDisk};
use crate::head::ChunkRules;
use crate::head_chunks::{Store, load};
use crate::options::{CHUNKS_HEAD_DIR, WAL_DIR};
use crate::savepoint::segments::{LOG_LIST, Segments};
use crate::savepoint::{SAVEPOINT_DIR, check_origin, open, state_path};
use logs::Logs;
pub use part::VerifiedPart;

/// Reads everything in a data directory.
///
/// # Errors
/// The directory itself cannot be read.
pub fn verify_directory(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<VerifiedPart>, ToolError> {
    let mut parts = vec![directory(&**disk, dir)?];
    let mut logs = Logs::new(disk, dir);
    parts.push(logs.log());
    parts.push(logs.out_of_order_log());
    parts.push(head_chunks(disk, dir));
    parts.extend(savepoint(disk, dir)?);
    for block_dir in block_dirs(&**disk, dir)? {
        parts.push(block(disk, &block_dir));
    }
    Ok(parts)
}

/// Names in the directory itself.
fn directory(disk: &dyn Disk, dir: &Path) -> Result<VerifiedPart, ToolError> {
    let mut part = VerifiedPart::new("directory");
    for entry in disk.list(dir)? {
        let unfinished = [CREATION_SUFFIX, DELETION_SUFFIX].iter().any(|end| entry.name.ends_with(end));
        if unfinished {
            part.notes.push(format!("{} was not finished; the next start removes it", entry.name));
        } else if entry.name.contains(KEPT_SUFFIX) {
            part.notes.push(format!("{} was set aside", entry.name));
        } else if entry.name.parse::<Ulid>().is_ok() && !entry.stat.is_dir && !entry.stat.is_file {
            part.verified.problem(|| format!("{} has the name of a block, and leads nowhere", entry.name));
        }
    }
    Ok(part)
}

fn head_chunks(disk: &Arc<dyn Disk>, dir: &Path) -> VerifiedPart {
    let mut part = VerifiedPart::new(CHUNKS_HEAD_DIR);
    // What a start would set aside is set aside in memory.
    let overlay: Arc<dyn Disk> = Arc::new(OverlayDisk::new(disk.clone()));
    let chunks_dir = dir.join(CHUNKS_HEAD_DIR);
    let loaded = match load(&*overlay, &chunks_dir) {
        Ok(loaded) => loaded,
        Err(error) => {
            part.verified.problem(|| error.to_string());
            return part;
        }
    };
    for damage in &loaded.damages {
        let what = format!("{}: {}", damage.path.display(), damage.what);
        match damage.kind {
            DamageKind::Torn => part.notes.push(what),
            _ => part.verified.problem(|| what),
        }
    }
    let store = Store::new(overlay, chunks_dir, &loaded.files);
    part.verified.stats.num_chunks = loaded.chunks.len() as u64;
    for chunk in &loaded.chunks {
        let times = store.read(chunk.place, |stored| {
            let samples = SampleIter::new(stored.encoding, stored.data).into_iter().flatten();
            samples.map(|sample| sample.map(|sample| sample.timestamp)).collect::<Result<Vec<i64>, _>>()
        });
        let place = || {
            format!(
                "the chunk at {:06}/{} of series {}",
                chunk.place.file(),
                chunk.place.offset(),
                chunk.series
            )
        };
        match times {
            Err(error) => part.verified.problem(|| error.to_string()),
            Ok(Err(corrupt)) => part.verified.problem(|| format!("{}: {corrupt}", place())),
            Ok(Ok(times)) => {
                part.verified.stats.num_samples += times.len() as u64;
                let rises = times.windows(2).all(|two| two[0] < two[1]);
                if !rises || (times.first(), times.last()) != (Some(&chunk.min), Some(&chunk.max)) {
                    part.verified.problem(|| format!("{} has other times than it says", place()));
                }
            }
        }
    }
    part
}

fn savepoint(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Option<VerifiedPart>, ToolError> {
    let Some(verified) = verify_savepoint(&**disk, dir)? else { return Ok(None) };
    let mut part = VerifiedPart { verified, ..VerifiedPart::new(SAVEPOINT_DIR) };
    let file = disk.map(&state_path(&dir.join(SAVEPOINT_DIR)))?;
    let Ok((origin, _)) = open(&file) else { return Ok(Some(part)) };
    let mut segments = Segments::new(disk.clone(), dir.join(SAVEPOINT_DIR), LOG_LIST);
    if let Err(error) = segments.load() {
        part.verified.problem(|| error.to_string());
        return Ok(Some(part));
    }
    let rules = ChunkRules {
        range: origin.chunk_range,
        samples: origin.samples_per_chunk,
        start_timestamps: origin.start_timestamps,
        histogram_starts: origin.histogram_starts,
        floats: ferula_chunk::FloatEncoding::Xor,
    };
    match check_origin(&**disk, &dir.join(WAL_DIR), &origin, &rules, &segments) {
        Ok(start) => {
            for lost in &start.lost {
                part.verified.problem(|| format!("only the savepoint has what was there: {lost}"));
            }
        }
        // Prometheus was here, or a checkpoint was made since: the log is read instead.
        Err(why) => part.notes.push(format!("the next start will not use it: {why}")),
    }
    Ok(Some(part))
}

fn block(disk: &Arc<dyn Disk>, dir: &Path) -> VerifiedPart {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut part = VerifiedPart::new(name);
    let opened = Block::open(disk, dir, Access::Mapped);
    match opened.and_then(|block| Ok((verify(&block)?, block))) {
        Ok((verified, block)) => {
            part.verified = verified;
            for damage in block.damages() {
                part.verified.problem(|| damage.to_string());
            }
        }
        Err(error) => {
            part.verified.stats = BlockStats::default();
            part.verified.problem(|| block_damage(dir, &error).to_string());
        }
    }
    part
}
