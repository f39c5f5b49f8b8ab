//! Reads a block slowly, so that damage on the disk is known before a query or a compaction meets it.
//!
//! Every series, list of postings and chunk is read and its checksum compared. That is less than `tools::verify` does, and needs
//! little memory: what agrees with its checksum is what was written.

use std::ops::ControlFlow;

use crate::block::index::SeriesEntry;
use crate::block::{Block, BlockError, Ulid};
use crate::damage::{Damage, DamageKind};
use crate::db::Db;

/// What was found in a block.
#[derive(Clone, Debug, Default)]
pub struct ScrubbedBlock {
    /// What is damaged, if it was not known before.
    pub damage: Option<Damage>,
    /// Whether all of the block was read.
    pub complete: bool,
}

impl Db {
    /// Reads a block. `pace` gets how many bytes were read since it was last called, may wait, and says whether to continue.
    /// Damage is counted and listed like any other. `None` if there is no such block any more.
    pub fn scrub(&self, ulid: Ulid, pace: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Option<ScrubbedBlock> {
        let blocks = self.blocks();
        let block = blocks.iter().find(|block| block.meta().ulid == ulid)?;
        let mut problems = Problems::default();
        let mut counted = |bytes: u64| {
            self.maintenance.scrubbed_bytes.add(bytes);
            pace(bytes)
        };
        let complete = match scrub(block, &mut counted, &mut problems) {
            Ok(flow) => flow.is_continue(),
            Err(error) => {
                problems.add(&error);
                true
            }
        };
        self.maintenance.scrubbed_blocks.add(u64::from(complete));
        // A block that was removed meanwhile is no damage.
        let is_there = matches!(self.disk.stat(block.dir()), Ok(Some(_)));
        let damage = problems.first.filter(|_| is_there).map(|first| {
            let what = match problems.count {
                1 => first,
                count => format!("{count} places cannot be read, the first: {first}"),
            };
            Damage::new(DamageKind::Unreadable, block.dir(), what)
                .cost("queries of those series in the block's time fail; `tsdb repair` keeps the rest")
        });
        Some(ScrubbedBlock { damage: damage.filter(|damage| self.damages.note(damage)), complete })
    }
}

/// What cannot be read.
#[derive(Default)]
struct Problems {
    count: u64,
    first: Option<String>,
}

impl Problems {
    fn add(&mut self, error: &BlockError) {
        self.count += 1;
        self.first.get_or_insert_with(|| error.to_string());
    }

    fn note<T>(&mut self, read: Result<T, BlockError>) -> Option<T> {
        read.inspect_err(|error| self.add(error)).ok()
    }
}

fn scrub(
    block: &Block,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    problems: &mut Problems,
) -> Result<ControlFlow<()>, BlockError> {
    let index = block.index();
    let mut chunks = block.scan_chunks()?;
    let mut entry = SeriesEntry::default();
    for number in index.all_postings()? {
        if problems.note(index.series(number, &mut entry)).is_none() {
            continue;
        }
        // About what the series takes in the index.
        let mut bytes = 8 * (entry.labels.len() + entry.chunks.len()) as u64;
        problems.note(index.labels(&entry));
        for meta in &entry.chunks {
            if let Some((_, data)) = problems.note(chunks.chunk(meta.reference)) {
                bytes += data.len() as u64;
            }
        }
        if pace(bytes).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    for name in index.label_names() {
        let mut flow = ControlFlow::Continue(());
        let read = index.each_value(name, |_, offset| {
            let list = problems.note(index.postings_at(offset)).unwrap_or_default();
            flow = pace(4 * list.len() as u64);
            Ok(flow)
        });
        problems.note(read);
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}
