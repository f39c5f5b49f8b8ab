//! `tsdb verify`: reads everything in a block and a savepoint, and compares redundant information.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use ferula_chunk::SampleIter;
use ferula_model::LabelSet;

use crate::block::index::{ChunkMeta, SeriesEntry};
use crate::block::{Block, BlockError, BlockStats};
use crate::disk::Disk;
use crate::savepoint::format::{FrameKind, SavepointError, SeriesDecoder, departed, exemplars, extra_refs};
use crate::savepoint::{SAVEPOINT_DIR, open, state_path};

/// Maximum number of problems to report; a longer list helps nobody.
const PROBLEMS_MAX: usize = 100;

/// Statistics and problems found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Counted while reading.
    pub stats: BlockStats,
    /// Sentences that each name a location; at most 100.
    pub problems: Vec<String>,
}

impl Verified {
    pub(super) fn problem(&mut self, what: impl FnOnce() -> String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what());
        }
    }

    /// Records an error and continues.
    fn note<T>(&mut self, result: Result<T, BlockError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(|| error.to_string());
                None
            }
        }
    }
}

/// Reads all series, postings and samples of a block.
///
/// # Errors
/// Not even the list of series can be read.
pub fn verify(block: &Block) -> Result<Verified, BlockError> {
    let index = block.index();
    let mut verified = Verified::default();
    let mut entry = SeriesEntry::default();
    // The series that the postings should contain, per pair of symbols.
    let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let mut last: Option<LabelSet> = None;
    for number in index.all_postings()? {
        if verified.note(index.series(number, &mut entry)).is_none() {
            continue;
        }
        verified.stats.num_series += 1;
        entry.labels.iter().for_each(|pair| *pairs.entry(*pair).or_default() += 1);
        let Some(labels) = verified.note(index.labels(&entry)) else { continue };
        if last.as_ref().is_some_and(|last| *last >= labels) {
            verified.problem(|| format!("series {number} {labels} is not in the order of labels"));
        }
        verify_chunks(block, &entry.chunks, &labels, &mut verified);
        last = Some(labels);
    }
    verify_postings(block, &pairs, &mut verified);
    verified.stats.num_tombstones = block.tombstones().total();
    let (said, read) = (block.meta().stats, verified.stats);
    for (what, said, read) in [
        ("samples", said.num_samples, read.num_samples),
        ("series", said.num_series, read.num_series),
        ("chunks", said.num_chunks, read.num_chunks),
    ] {
        if said != read {
            verified.problem(|| format!("meta.json states {said} {what}, but there are {read}"));
        }
    }
    // A process that is killed in between leaves a file that meta.json does not count yet.
    if said.num_tombstones > read.num_tombstones {
        let (said, read) = (said.num_tombstones, read.num_tombstones);
        verified.problem(|| format!("meta.json says that there are {said} tombstones, there are {read}"));
    }
    Ok(verified)
}

/// Reads the savepoint in a data directory, if there is one. Whether it belongs to the log is only checked at
/// the next start.
///
/// # Errors
/// The disk failed.
pub fn verify_savepoint(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Verified>> {
    let path = state_path(&dir.join(SAVEPOINT_DIR));
    if disk.stat(&path)?.is_none() {
        return Ok(None);
    }
    let (file, mut verified) = (disk.map(&path)?, Verified::default());
    match open(&file) {
        Ok((_, frames)) => {
            for (kind, body) in frames {
                if let Err(error) = verify_frame(kind, body, &mut verified) {
                    verified.problem(|| error.to_string());
                }
            }
        }
        Err(error) => verified.problem(|| error.to_string()),
    }
    Ok(Some(verified))
}

fn verify_frame(kind: FrameKind, body: &[u8], verified: &mut Verified) -> Result<(), SavepointError> {
    match kind {
        FrameKind::Series => {
            let mut series = SeriesDecoder::new(body);
            while let Some(saved) = series.next_series()? {
                verified.stats.num_series += 1;
                let Some((saved, data)) = saved.open else { continue };
                verified.stats.num_chunks += 1;
                let samples = SampleIter::new(saved.encoding, data).into_iter().flatten();
                let read = samples.take_while(Result::is_ok).count() as u64;
                verified.stats.num_samples += read;
                if saved.encoding.sample_count(data).map(u64::from) != Some(read) || read == 0 {
                    verified.problem(|| format!("the open chunk of {:?} cannot be read", series.labels()));
                }
            }
        }
        FrameKind::ExtraRefs => drop(extra_refs(body)?),
        FrameKind::Departed => drop(departed(body)?),
        FrameKind::Exemplars => drop(exemplars(body)?),
        FrameKind::Begin | FrameKind::End => {}
    }
    Ok(())
}

fn verify_chunks(block: &Block, chunks: &[ChunkMeta], labels: &LabelSet, verified: &mut Verified) {
    let range = block.meta();
    if chunks.is_empty() {
        verified.problem(|| format!("{labels} has no chunk"));
    }
    let mut before = None;
    for meta in chunks {
        verified.stats.num_chunks += 1;
        let place = || format!("chunk {:#x} of {labels}", meta.reference);
        if meta.min_time < range.min_time || meta.max_time >= range.max_time {
            verified.problem(|| format!("{} lies outside of the block's range", place()));
        }
        if before.is_some_and(|before| meta.min_time <= before) {
            verified.problem(|| format!("{} overlaps the previous one", place()));
        }
        before = Some(meta.max_time);
        let Some(chunk) = verified.note(block.chunk(*meta)) else { continue };
        let mut times: Vec<i64> = Vec::new();
        let samples = match SampleIter::new(chunk.encoding, &chunk.data) {
            Ok(samples) => samples,
            Err(corrupt) => {
                verified.problem(|| format!("{}: {corrupt}", place()));
                continue;
            }
        };
        for sample in samples {
            match sample {
                Ok(sample) => times.push(sample.timestamp),
                Err(corrupt) => verified.problem(|| format!("{}: {corrupt}", place())),
            }
        }
        verified.stats.num_samples += times.len() as u64;
        if times.windows(2).any(|pair| pair[0] >= pair[1]) {
            verified.problem(|| format!("{} has samples out of order", place()));
        }
        if (times.first(), times.last()) != (Some(&meta.min_time), Some(&meta.max_time)) {
            verified.problem(|| format!("{} does not begin and end at the times in the index", place()));
        }
    }
}

fn verify_postings(block: &Block, pairs: &BTreeMap<(u32, u32), u64>, verified: &mut Verified) {
    let index = block.index();
    let mut listed = 0;
    for name in index.label_names() {
        let read = index.each_value(name, |value, offset| {
            listed += 1;
            let list = index.postings_at(offset)?;
            if list.windows(2).any(|pair| pair[0] >= pair[1]) {
                verified.problem(|| format!("postings of {name}={value:?} are not sorted"));
            }
            Ok(ControlFlow::Continue(()))
        });
        verified.note(read);
    }
    if listed != pairs.len() {
        verified.problem(|| format!("{listed} label pairs have postings, series have {}", pairs.len()));
    }
    for ((name, value), series) in pairs {
        let (Ok(name), Ok(value)) = (index.symbol(*name), index.symbol(*value)) else { continue };
        let Some(list) = verified.note(index.postings(name, value)) else { continue };
        if list.len() as u64 != *series {
            verified.problem(|| {
                format!(
                    "postings of {name}={value:?} list {} series, but {series} have the label",
                    list.len()
                )
            });
        }
    }
}
