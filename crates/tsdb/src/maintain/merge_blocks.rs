//! Merges blocks that `compact` selects.

use super::Maintained;
use crate::block::{Block, BlockError, BlockMeta, Ulid};
use crate::compact::{Compactor, PlanOptions, block_ranges, plan, without_waiting};
use crate::db::Db;

impl Db {
    /// Merges blocks for as long as there are any to merge.
    pub(super) fn merge_blocks(&self, now_ms: i64, done: &mut Maintained) {
        let (min, max) = (self.options.min_block_duration_ms, self.options.max_block_duration_ms);
        let options =
            PlanOptions { ranges: block_ranges(min, max), overlapping: self.options.overlapping_compaction };
        let compactor =
            Compactor { disk: self.disk.clone(), data_dir: self.dir.clone(), options: self.block_options() };
        loop {
            let view = self.views.get();
            // A block of out-of-order samples may extend into the time that the head still holds. Merged with
            // others, it would look like one that was cut from the head, and the next start would skip the
            // log of that time.
            let metas: Vec<BlockMeta> = view
                .blocks
                .iter()
                .map(|block| (*block.meta()).clone())
                .filter(|meta| meta.max_time <= view.head_min)
                .collect();
            let metas = match &self.options.delay_compact_file {
                None => metas,
                Some(file) => without_waiting(&*self.disk, file, metas).unwrap_or_else(|(error, metas)| {
                    ferula_telemetry::warn!(
                        "cannot read TSDB upload meta file: no block waits for its upload",
                        component = "tsdb",
                        err = error
                    );
                    metas
                }),
            };
            let chosen = plan(&metas, &options);
            if chosen.is_empty() || !self.head.is_open() {
                return;
            }
            let blocks: Vec<&Block> =
                view.blocks.iter().map(|b| &**b).filter(|b| chosen.contains(&b.meta().ulid)).collect();
            if blocks.windows(2).any(|pair| pair[1].meta().min_time < pair[0].meta().max_time) {
                self.maintenance.vertical_compactions.inc();
            }
            let ulid = self.new_ulid(now_ms);
            let compacted = self
                .compaction(2, |watch| compactor.compact(&blocks, ulid, watch))
                .and_then(|written| self.replace_merged(&blocks, &chosen, written, done));
            match compacted {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.maintenance.compactions_failed.inc();
                    done.errors.push(format!("compacting blocks: {error}"));
                    return;
                }
            }
        }
    }

    /// Publishes a merged block in place of its sources; returns whether that was done. Sources in which everything is deleted
    /// stay while one of them is the newest block: without it, a start would take from the log what that block had.
    fn replace_merged(
        &self,
        sources: &[&Block],
        names: &[Ulid],
        written: Option<BlockMeta>,
        done: &mut Maintained,
    ) -> Result<bool, BlockError> {
        if written.is_none() && sources.iter().any(|block| self.ends_the_blocks(block)) {
            for block in sources {
                block.update_meta(|meta| meta.compaction.deletable = false)?;
            }
            return Ok(false);
        }
        self.replace(names, written, done)?;
        Ok(true)
    }
}
