//! A block without a `meta.json` that is its own: what the file said, as far as index and chunks tell it too.

use std::path::Path;

use super::chunks::ChunkReader;
use super::index::{IndexReader, SeriesEntry};
use super::meta::{META_BYTES_MAX, MetaError};
use super::{BlockError, BlockMeta, HINT_OUT_OF_ORDER, META_FILE, Ulid};
use crate::damage::{Damage, DamageKind};
use crate::disk::{Disk, read_file};
use crate::ids::TimeSpan;

/// What stands in `meta.json`.
pub(super) enum ReadMeta {
    Own(Box<BlockMeta>),
    /// It is damaged or another block's; with the name that the directory has.
    Unfit(Ulid, Damage),
}

/// Reads `meta.json` in a block's directory.
///
/// # Errors
/// There is none, or it is of a later version, or it is damaged in a directory without the name of a block.
pub(super) fn read_meta(disk: &dyn Disk, dir: &Path) -> Result<ReadMeta, BlockError> {
    let path = dir.join(META_FILE);
    let json = read_file(disk, &path, META_BYTES_MAX).map_err(|error| BlockError::io(&path, error))?;
    let name = dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<Ulid>().ok());
    let cost = "nothing that is seen: times and counts are taken from the index";
    let unfit = |kind, what| Damage::new(kind, &path, what).cost(cost);
    match (BlockMeta::from_json(&json), name) {
        (Ok(meta), Some(name)) if meta.ulid != name => {
            let what = format!("it is that of block {}", meta.ulid);
            Ok(ReadMeta::Unfit(name, unfit(DamageKind::Misplaced, what)))
        }
        (Ok(meta), _) => Ok(ReadMeta::Own(Box::new(meta))),
        (Err(error), Some(name)) if !matches!(error, MetaError::Version(_)) => {
            Ok(ReadMeta::Unfit(name, unfit(DamageKind::Unreadable, error.to_string())))
        }
        (Err(error), _) => Err(BlockError::corrupt(&path, 0, error.to_string())),
    }
}

/// What `meta.json` would say by the index and the chunks. Nothing is compacted with a block whose ancestors are unknown, and it
/// does not decide where the head begins.
///
/// # Errors
/// The index cannot be read.
pub(super) fn rebuild_meta(
    index: &IndexReader,
    chunks: &ChunkReader,
    ulid: Ulid,
) -> Result<BlockMeta, BlockError> {
    let mut span = TimeSpan::EMPTY;
    let mut entry = SeriesEntry::default();
    let mut meta = BlockMeta::level_1(ulid, 0, 0);
    for number in index.all_postings()? {
        index.series(number, &mut entry)?;
        span = span.cover(entry.span());
        meta.stats.num_series += 1;
        meta.stats.num_chunks += entry.chunks.len() as u64;
        for chunk in &entry.chunks {
            // A damaged chunk is named when it is read.
            if let Ok((encoding, data)) = chunks.chunk(chunk.reference) {
                meta.stats.num_samples += u64::from(encoding.sample_count(&data).unwrap_or(0));
            }
        }
    }
    (meta.min_time, meta.max_time) = (span.start(), span.end());
    meta.compaction.set_hint(HINT_OUT_OF_ORDER);
    meta.compaction.failed = true;
    Ok(meta)
}
