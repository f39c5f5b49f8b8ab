//! `tsdb repair`: what a start does about damage, and for blocks what it leaves to a person.
//!
//! 1. Blocks without `meta.json` get one, made from index and chunks.
//! 2. The database is opened and closed: logs, head chunks, savepoint and the small files of blocks are repaired as at every
//!    start.
//! 3. Segments that the start did not read, because a savepoint has what was in them, are repaired too, and what they had is
//!    written to a checkpoint.
//! 4. Blocks with anything unreadable are rewritten with all that can be read; the damaged ones are set aside.
//!
//! Nothing is deleted. Over an [`OverlayDisk`](crate::disk::OverlayDisk) nothing is changed either, and the answer is the same.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferula_chunk::SampleIter;
use ferula_telemetry::Registry;

use super::ToolError;
use super::verify::verify;
use crate::block::index::SeriesEntry;
use crate::block::{Block, BlockError, BlockMeta, META_FILE, block_damage, block_dirs};
use crate::compact::{SeriesSource, SourceSeries, write_block};
use crate::damage::{Damage, DamageKind, set_aside};
use crate::db::Db;
use crate::disk::Disk;
use crate::options::{Options, WAL_DIR, WBL_DIR};
use crate::recovery::{Progress, rebuild_checkpoint};
use crate::wal::SegmentReader;
use crate::wal::format::{checkpoint_path, list_checkpoints, list_segments, segment_path};
use crate::wal::reader::{Repair, repair};

/// Repairs a data directory that nobody uses, and returns what was damaged, each with what was done about it.
///
/// # Errors
/// The directory is in use, or the disk refuses.
pub fn repair_directory(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    now_ms: i64,
) -> Result<Vec<Damage>, ToolError> {
    let mut damages = Vec::new();
    let access = options.access;
    let mut reports = Vec::new();
    let db = Db::open(dir, options, disk.clone(), &Registry::new(), &mut |progress| {
        if let Progress::Damaged(damage) = progress {
            reports.push(damage);
        }
    })?;
    let repaired = repair_segments(&**disk, dir)?;
    if !repaired.is_empty()
        && let Some(last) = db.head.log_segment().checked_sub(1)
    {
        // The next savepoint replaces the one that has these records.
        rebuild_checkpoint(disk, &dir.join(WAL_DIR), &db.head, last, db.options.wal())?;
    }
    reports.extend(repaired);
    for block_dir in block_dirs(&**disk, dir)? {
        if matches!(disk.stat(&block_dir.join(META_FILE)), Ok(None)) {
            match Block::open_without_meta(disk, &block_dir, access).and_then(|block| block.mend()) {
                Ok(()) => {
                    // It was reported as a block that cannot be read.
                    reports.retain(|damage| damage.path != block_dir);
                    let path = block_dir.join(META_FILE);
                    let damage = Damage::new(DamageKind::Missing, path, "the file is gone");
                    damages.push(damage.cost("nothing: it was made again from the index"));
                }
                Err(_) => continue,
            }
        }
    }
    for block_dir in block_dirs(&**disk, dir)? {
        let problem = match Block::open(disk, &block_dir, access) {
            Ok(block) => match verify(&block) {
                Ok(verified) if verified.problems.is_empty() => continue,
                verified => {
                    let problems =
                        verified.map_or_else(|error| vec![error.to_string()], |read| read.problems);
                    salvage(disk, &db, &block, &block_dir, &problems, now_ms)?
                }
            },
            Err(error) => block_damage(&block_dir, &error).cost("the samples of this block"),
        };
        reports.retain(|damage| damage.path != block_dir);
        let kept = set_aside(&**disk, &block_dir)?;
        damages.push(problem.kept(Some(kept)));
    }
    db.close()?;
    damages.splice(0..0, reports);
    Ok(damages)
}

/// Repairs the segments of both logs and of the checkpoint that are still damaged after a start.
fn repair_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Damage>, ToolError> {
    let wal = dir.join(WAL_DIR);
    let checkpoint = list_checkpoints(disk, &wal)?.last().map(|number| checkpoint_path(&wal, *number));
    let mut damages = Vec::new();
    for log in [Some(wal.clone()), checkpoint, Some(dir.join(WBL_DIR))].into_iter().flatten() {
        for segment in list_segments(disk, &log)? {
            let mut found = Vec::new();
            let mut reader = SegmentReader::open(disk, &log, segment.number)?;
            while let Some(read) = reader.next()? {
                found.extend(read.err());
            }
            if found.is_empty() {
                continue;
            }
            let (Repair::Truncated { kept, .. } | Repair::Rewritten { kept }) =
                repair(disk, &log, segment.number)?;
            damages.extend(found.into_iter().map(|damage| {
                Damage::new(damage.kind, segment_path(&log, segment.number), damage.reason)
                    .at(damage.offset..damage.end)
                    .cost("nothing: the savepoint had the records that began there")
                    .kept(Some(kept.clone()))
            }));
        }
    }
    Ok(damages)
}

/// Writes a block again with all that can be read of it.
fn salvage(
    disk: &Arc<dyn Disk>,
    db: &Db,
    block: &Block,
    block_dir: &Path,
    problems: &[String],
    now_ms: i64,
) -> Result<Damage, ToolError> {
    let first = problems.first().cloned().unwrap_or_default();
    let what = format!("{} problems, the first: {first}", problems.len());
    let damage = Damage::new(DamageKind::Unreadable, block_dir, what);
    let old = block.meta();
    let meta = BlockMeta { ulid: db.new_ulid(now_ms), stats: Default::default(), ..BlockMeta::clone(&old) };
    let (name, data_dir) = (meta.ulid, block_dir.parent().unwrap_or(Path::new(".")));
    let mut lost = (0, 0);
    let source = Readable::new(block, block_dir, &mut lost)?;
    let written = write_block(disk, data_dir, meta, vec![Box::new(source)], &db.block_options(), &|| true)?;
    let (series, chunks) = lost;
    Ok(match written {
        Some(_) => damage.cost(format!("{series} series and {chunks} chunks; the rest is in block {name}")),
        None => damage.cost("the samples of this block"),
    })
}

/// What can be read of a block.
struct Readable<'a> {
    block: &'a Block,
    place: PathBuf,
    symbols: std::vec::IntoIter<String>,
    current: String,
    /// The place of each symbol among them.
    numbers: HashMap<u32, u32>,
    series: std::vec::IntoIter<u32>,
    /// Series and chunks that were left out.
    lost: &'a mut (u64, u64),
}

impl<'a> Readable<'a> {
    fn new(block: &'a Block, place: &Path, lost: &'a mut (u64, u64)) -> Result<Self, BlockError> {
        let (mut symbols, mut numbers) = (Vec::new(), HashMap::new());
        block.index().each_symbol(|number, text| {
            numbers.insert(number, symbols.len() as u32);
            symbols.push(text.to_owned());
        })?;
        let series = block.index().all_postings()?.into_iter();
        let (place, symbols) = (place.to_path_buf(), symbols.into_iter());
        Ok(Readable { block, place, symbols, current: String::new(), numbers, series, lost })
    }
}

impl SeriesSource for Readable<'_> {
    fn next_symbol(&mut self) -> Result<Option<&str>, BlockError> {
        let Some(next) = self.symbols.next() else { return Ok(None) };
        self.current = next;
        Ok(Some(&self.current))
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, BlockError> {
        let tombstones = self.block.tombstones();
        let mut entry = SeriesEntry::default();
        for number in self.series.by_ref() {
            let of_symbol = |symbol: &u32| self.numbers.get(symbol).copied();
            let labels = match self.block.series(number, &mut entry) {
                Ok(()) => entry
                    .labels
                    .iter()
                    .map(|(name, value)| Some((of_symbol(name)?, of_symbol(value)?)))
                    .collect(),
                Err(_) => None,
            };
            let Some(labels) = labels else {
                self.lost.0 += 1;
                continue;
            };
            series.labels = labels;
            series.chunks.clear();
            for meta in &entry.chunks {
                let readable = self.block.chunk(*meta).ok().filter(|chunk| {
                    let samples = SampleIter::new(chunk.encoding, &chunk.data);
                    samples.is_ok_and(|mut samples| samples.all(|sample| sample.is_ok()))
                });
                match readable {
                    Some(chunk) => series.chunks.push(chunk),
                    None => self.lost.1 += 1,
                }
            }
            series.deleted = Block::deleted(&tombstones, number).cloned().unwrap_or_default();
            return Ok(true);
        }
        Ok(false)
    }

    fn place(&self) -> &Path {
        &self.place
    }
}
